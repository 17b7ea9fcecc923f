// Transfers: what is being fetched, chunk by chunk, from whom and how fast; what was given; what was done lately.

import { html, useEffect, useRef } from "../vendor/htm-preact.js";
import { known, onChange } from "../data.js";
import { Ago, Empty, Hash, Loading, State, Text, bytes, clock, plural, shown } from "../parts.js";
import { Peer } from "../told.js";

export const title = "Transfers";
export const needs = () => ["transfers"];
export const every = 1000;
export const count = () => known.answers.transfers?.transfers.filter((one) => one.state === "fetching").length;
const SAMPLES_MAX = 120;
const WORDS = { no_source: "nobody serves it now", bad_bytes: "bad bytes", list: "asking for the list", waiting: "waiting for its source", finishing: "finishing", disk_full: "the disk is full", io_error: "the disk failed" };

// One sample an answer of the peer's status: seconds, bytes a second in, bytes a second out.
const samples = [[], [], []];
let seen = null;

onChange(() => {
  const status = known.answers.status;
  if (!status || status === seen) return;
  seen = status;
  [Date.now() / 1000, status.received_bytes_s, status.sent_bytes_s].forEach((value, row) => {
    samples[row].push(value);
    if (samples[row].length > SAMPLES_MAX) samples[row].shift();
  });
});

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(width) {
  const axis = { stroke: colour("--text-light"), grid: { stroke: colour("--border"), width: 1 }, ticks: { show: false } };
  const value = (_, rate) => (rate == null ? "–" : `${bytes(rate)}/s`);
  return {
    width, height: 150, cursor: { drag: { x: false } },
    axes: [{ ...axis, values: (_, ticks) => ticks.map((at) => clock(at * 1000)) },
      { ...axis, size: 78, values: (_, ticks) => ticks.map((rate) => `${bytes(rate)}/s`) }],
    scales: { y: { range: (_, low, high) => [0, Math.max(1024, high * 1.1)] } },
    series: [{ label: "time", value: (_, at) => (at == null ? "–" : clock(at * 1000)) },
      { label: "in", stroke: colour("--busy"), width: 2, points: { show: false }, value }, { label: "out", stroke: colour("--good"), width: 2, dash: [5, 4], points: { show: false }, value }],
  };
}

function Rates() {
  const box = useRef(null), plot = useRef(null);
  useEffect(() => {
    const draw = () => { plot.current?.destroy(); plot.current = new uPlot(options(box.current.clientWidth), samples, box.current); };
    draw();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("resize", draw);
    dark.addEventListener("change", draw);
    const leave = onChange(() => plot.current.setData(samples));
    return () => { leave(); removeEventListener("resize", draw); dark.removeEventListener("change", draw); plot.current.destroy(); };
  }, []);
  return html`<div class="card"><div class="chart" ref=${box} role="img" aria-label="Bytes a second in and out, lately"></div></div>`;
}

function Strip({ chunks }) {
  let at = 0;
  const total = chunks.reduce((sum, run) => sum + run.count, 0) || 1;
  const run = (one) => { const x = at; at += one.count; return html`<rect class=${one.state} x=${x} y="0" width=${one.count} height="1" />`; };
  const stored = chunks.filter((one) => one.state === "stored").reduce((sum, one) => sum + one.count, 0);
  return html`<svg class="strip" viewBox="0 0 ${total} 1" preserveAspectRatio="none" role="img" aria-label=${`${stored} of ${plural(total, "chunk")} stored`}>${chunks.map(run)}</svg>`;
}

function Fetch({ one }) {
  const percent = one.size_bytes ? Math.floor((100 * one.stored_bytes) / one.size_bytes) : 0;
  const notes = [
    `${bytes(one.stored_bytes)} of ${bytes(one.size_bytes)}`,
    one.state === "fetching" && `${bytes(one.rate_bytes_s)}/s`,
    one.limit && `held to its rate by ${one.limit}`,
    one.resumed_bytes > 0 && `${bytes(one.resumed_bytes)} were here from before`,
    one.wasted_bytes > 0 && `${bytes(one.wasted_bytes)} were of no use`,
  ].filter(Boolean);
  return html`<section class="card" key=${one.digest}>
    <h2><a href=${`#/plasmids/${one.content_id}`}><${Text}>${one.name}<//></a></h2>
    <p><${State} value=${one.state} word=${one.state === "fetching" ? `${percent} %` : WORDS[one.state]} /> <span class="light">${notes.join(" · ")}</span></p>
    <${Strip} chunks=${one.chunks} />
    <p class="light">${one.sources.length ? html`sources: ${one.sources.map((id) => html`<${Peer} id=${id} />${id === one.source ? " (asked now) " : " "}`)}` : "no linked neighbour serves it"}</p></section>`;
}

function Done() {
  const done = known.events.filter((one) => one.kind === "fetch_done" || one.kind === "fetch_failed").slice(0, 12);
  if (!done.length) return null;
  const plasmid = (digest) => (known.answers.plasmids?.plasmids || []).find((one) => one.sha256 === digest);
  const name = (digest) => { const found = plasmid(digest); return found ? html`<a href=${`#/plasmids/${found.content_id}`}><${Text}>${found.name}<//></a>` : html`<${Hash} value=${digest} />`; };
  const row = (one) => html`<tr><td><${State} value=${one.kind === "fetch_done" ? "pass" : "reject"} word=${one.kind === "fetch_done" ? "done" : one.reason} /></td><td>${name(one.digest)}</td>
    <td class="n">${one.wire_bytes === undefined ? "" : bytes(one.wire_bytes)}</td><td class="wide">${(one.sources || []).map((id) => html`<${Peer} id=${id} /> `)}</td><td class="n"><${Ago} ms=${one.wall_ms} /></td></tr>`;
  return html`<h2>Lately</h2><div class="rows" tabindex="0" role="region" aria-label="finished transfers"><table><thead><tr><th scope="col">end</th><th scope="col">plasmid</th><th scope="col" class="n">bytes</th><th scope="col" class="wide">sources</th><th scope="col" class="n">when</th></tr></thead><tbody>${done.map(row)}</tbody></table></div>`;
}

export function Screen() {
  const answer = known.answers.transfers;
  if (!answer) return html`<h1>Transfers</h1><${Loading} path="transfers" />`;
  return html`<h1>Transfers</h1><${Rates} />
    ${answer.transfers.length ? html`<ul class="legend"><li><i class="stored"></i>stored</li><li><i class="storing"></i>being written</li><li><i class="asked"></i>asked for</li><li><i></i>to do</li></ul>` : html`<${Empty} title="Nothing is being fetched."><p>${bytes(answer.sent_bytes)} were given to others since the start.</p><//>`}
    ${answer.transfers.map((one) => html`<${Fetch} one=${one} />`)}
    ${answer.left_out > 0 && html`<p class="light">${answer.left_out} more wait.</p>`}
    <${Done} />`;
}
