// One plasmid: where it stands, the gate as a column of stages with evidence, who sent it, and what can be done.

import { html } from "../vendor/htm-preact.js";
import { known } from "../data.js";
import { Action, Ago, Hash, Loading, State, Text, Words, bytes, mood, plural, shown } from "../parts.js";
import { Peer } from "../told.js";
import { Steps } from "./decisions.js";

const GONE = ["superseded", "expired", "evicted", "revoked", "refused", "removed"];
const FETCHABLE = ["offered", "unwanted", "removed", "pending", "evicted"];
export const title = "Plasmids";
export const needs = (name) => [`show?name=${encodeURIComponent(name)}`, `why?name=${encodeURIComponent(name)}`];

function Seen({ value }) {
  if (typeof value === "string") return /^[0-9a-f]{32,}$/.test(value) ? html`<${Hash} value=${value} />` : html`<${Text}>${value}<//>`;
  if (typeof value === "number") return Number.isInteger(value) ? value : value.toPrecision(4);
  if (Array.isArray(value)) return value.length ? value.map((one, at) => html`${at ? ", " : ""}<${Seen} value=${one} />`) : "none";
  if (value && typeof value === "object") return Object.entries(value).map(([name, one], at) => html`${at ? ", " : ""}<${Text}>${name}<//> <${Seen} value=${one} />`);
  return String(value);
}

const number = (value) => (value === null ? "" : Number.isInteger(value) ? value : value.toPrecision(4));

function Figures({ figures }) {
  return html`<table class="figures"><thead><tr><th>figure</th><th>value</th><th>threshold</th><th>p-value</th><th>seen as</th></tr></thead>
    <tbody>${figures.map((one) => html`<tr class=${one.flagged ? "bad" : ""}><td><${Text}>${one.name.replaceAll("_", " ")}<//></td><td>${number(one.value)}</td>
      <td>${number(one.threshold)}</td><td>${number(one.p_value)}</td><td>${one.flagged ? "beyond it" : "usual"}</td></tr>`)}</tbody></table>`;
}

function Evidence({ layer }) {
  if (layer.state === "off") return null;
  const { figures, ...seen } = layer.evidence;
  return html`${figures?.length ? html`<${Figures} figures=${figures} />` : null}<span class="evidence">${Object.entries(seen).map(([name, one]) => html`<span>${shown(name).replaceAll("_", " ")}: <${Seen} value=${one} /></span> `)}</span>`;
}

function Gate({ layers }) {
  return html`<ol class="gate card">${layers.map((one) => html`<li class=${mood(one.state)}>
    <span>${shown(one.stage)}</span><${State} value=${one.state} /><span class="said">${shown(one.sentence || one.reason)}<${Evidence} layer=${one} /></span></li>`)}</ol>`;
}

function origin(why) {
  if (!why.via) return why.own ? "published here" : "known since before the last start";
  return html`<${Peer} id=${why.via} />, ${plural(why.hops, "hop")} from its publisher`;
}

function Facts({ one, why }) {
  const facts = [
    ["domain", html`<${Text}>${one.domain}<//>`],
    ["base", html`<${Text}>${one.base_model}<//>`],
    ["size", bytes(one.size_bytes)],
    ...(why.own_score === null ? [] : [["poisoning score", `${why.own_score.toFixed(2)} here; its publisher claims ${why.claimed_score.toFixed(2)}, which decides nothing`]]),
    ["sent by", origin(why)],
    ["sources now", why.sources?.length ? why.sources.map((id) => html`<${Peer} id=${id} /> `) : "none"],
    ["seen", html`<${Ago} ms=${one.seen_wall_ms} />`],
    ["accepted", html`<${Ago} ms=${one.accepted_wall_ms} />`],
    ["owner", html`<${Hash} value=${one.owner} digits=${16} />`],
    ["content id", html`<code>${shown(one.content_id)}</code>`],
    ["bytes", html`<code>${shown(one.sha256)}</code>`],
    ...(one.folder ? [["folder", html`<code>${shown(one.folder)}</code>`]] : []),
  ];
  return html`<dl class="facts card">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

export function Screen({ argument }) {
  const [showing, asking] = needs(argument);
  const show = known.answers[showing], reply = known.answers[asking];
  if (!show || !reply) return html`<h1>Plasmid</h1><${Loading} path=${showing} />`;
  const one = show.plasmid, why = JSON.parse(reply.document), name = one.content_id;
  return html`
    <p><a href="#/plasmids">← all plasmids</a></p>
    <h1><${Text}>${one.name}<//></h1>
    <p><${State} value=${one.state} /> <span class="light">· <${Words}>${why.sentence}<//></span>${one.pinned && html` <span class="light">· pinned</span>`}</p>
    <${Steps} one=${one} />
    <div class="bar">
      ${FETCHABLE.includes(one.state) && html`<${Action} action="fetch" name=${name}>Fetch it now<//>`}
      ${GONE.includes(one.state) ? null : one.pinned ? html`<${Action} action="unpin" name=${name}>Unpin<//>` : html`<${Action} action="pin" name=${name}>Pin<//>`}
      ${one.percent > 0 && html`<${Action} action="rm" name=${name} danger sure=${one.own ? "It is your own, and stays published. Delete its bytes here?" : "Really delete its bytes here, and unmerge it?"}>Remove<//>`}
    </div>
    <${Facts} one=${one} why=${why} />
    <h2>The gate</h2>
    ${why.layers.length ? html`<${Gate} layers=${why.layers} />` : html`<p class="light">It has not been judged yet.</p>`}
    <details><summary>The signed manifest</summary><pre tabindex="0"><code>${show.yaml.split("\n").map(shown).join("\n")}</code></pre></details>`;
}
