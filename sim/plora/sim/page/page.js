"use strict";
// A finished run, round by round. All of it is in the JSON above; nothing is asked from anywhere.

const run = JSON.parse(document.getElementById("run").textContent);
const element = name => document.getElementById(name);
const OUTCOMES = run.outcomes; // accepted, held, waiting, rejected; -1 is none
const ACCEPTED = 0;
const MARKS = ["50%", "90%", "100%"];
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
const STEP_MS = 450;
const SVG = "http://www.w3.org/2000/svg";

const peers = run.places.length;
const adapters = run.adapters.length;
const last = run.rounds.length;
const state = { round: -1, colour: "all", peer: null, timer: null };
const verdicts = new Int8Array(peers * adapters).fill(-1);
const isUp = new Uint8Array(peers);
const links = new Set();

// What holds after a round: frames are changes, so going back begins anew.

function wind(round) {
  if (round < state.round) {
    verdicts.fill(-1);
    isUp.fill(0);
    links.clear();
    state.round = -1;
  }
  while (state.round < round) {
    state.round += 1;
    const frame = run.frames[state.round];
    if (frame) apply(frame);
  }
}

function apply(frame) {
  for (let i = 0; i < frame.verdicts.length; i += 3) {
    verdicts[frame.verdicts[i] * adapters + frame.verdicts[i + 1]] = frame.verdicts[i + 2];
  }
  for (const peer of frame.up) isUp[peer] = 1;
  for (const peer of frame.down) isUp[peer] = 0;
  for (let i = 0; i < frame.linked.length; i += 2) links.add(frame.linked[i] * peers + frame.linked[i + 1]);
  for (let i = 0; i < frame.unlinked.length; i += 2) links.delete(frame.unlinked[i] * peers + frame.unlinked[i + 1]);
}

// The swarm on its canvas.

const canvas = element("graph");
const pen = canvas.getContext("2d");
let colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "ink", "edge", "moved", "unseen", "least", "most", "trojan", "down", ...OUTCOMES]) {
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
}

function blend(share) {
  const channel = (hex, at) => parseInt(hex.slice(at, at + 2), 16);
  return `rgb(${[1, 3, 5].map(at => {
    const [from, to] = [channel(colours.least, at), channel(colours.most, at)];
    return Math.round(from + (to - from) * share);
  }).join(" ")})`;
}

function size() {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  return [width, height];
}

const radius = () => Math.max(2.5, Math.min(11, 120 / Math.sqrt(peers)));

function place(peer) {
  const margin = radius() + 8;
  const [x, y] = run.places[peer];
  return [margin + x / 1000 * (canvas.clientWidth - 2 * margin), margin + y / 1000 * (canvas.clientHeight - 2 * margin)];
}

function draw() {
  if (!peers) return;
  const [width, height] = size();
  pen.clearRect(0, 0, width, height);
  const at = run.places.map((_, peer) => place(peer));
  strokeLinks(at, [...links].map(link => [Math.floor(link / peers), link % peers]), colours.edge, links.size > 3000 ? .4 : 1);
  const frame = run.frames[state.round];
  strokeLinks(at, pairsOf(frame ? frame.moved : []), colours.moved, peers > 300 ? 1 : 2);
  for (let peer = 0; peer < peers; peer++) drawPeer(peer, at[peer]);
}

function pairsOf(flat) {
  const pairs = [];
  for (let i = 0; i < flat.length; i += 2) pairs.push([flat[i], flat[i + 1]]);
  return pairs;
}

function strokeLinks(at, pairs, colour, width) {
  pen.beginPath();
  for (const [a, b] of pairs) {
    pen.moveTo(...at[a]);
    pen.lineTo(...at[b]);
  }
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.stroke();
}

function drawPeer(peer, [x, y]) {
  const r = radius();
  pen.beginPath();
  if (peer in run.liars) pen.rect(x - r, y - r, 2 * r, 2 * r);
  else pen.arc(x, y, r, 0, 2 * Math.PI);
  pen.setLineDash(isUp[peer] ? [] : [2, 2]);
  const [fill, rim] = isUp[peer] ? lookOf(peer) : [colours.paper, colours.down];
  pen.fillStyle = fill;
  pen.fill();
  pen.strokeStyle = rim;
  pen.lineWidth = rim === colours.trojan ? Math.max(2, r / 3) : 1;
  pen.stroke();
  pen.setLineDash([]);
  if (peer === state.peer) ring(x, y, r + 5, colours.ink);
  if (peers <= 60) label(String(peer), x, y, fill);
}

function ring(x, y, r, colour) {
  pen.beginPath();
  pen.arc(x, y, r, 0, 2 * Math.PI);
  pen.strokeStyle = colour;
  pen.lineWidth = 2.5;
  pen.stroke();
}

function label(text, x, y, fill) {
  pen.font = `${Math.round(radius() * .95)}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillStyle = isLight(fill) ? "#111" : "#fff";
  pen.fillText(text, x, y + .5);
}

function isLight(colour) {
  const channels = colour.startsWith("#")
    ? [1, 3, 5].map(at => parseInt((colour.length === 4 ? colour.replace(/[0-9a-f]/gi, "$&$&") : colour).slice(at, at + 2), 16))
    : colour.match(/\d+/g).map(Number);
  return channels[0] * .3 + channels[1] * .59 + channels[2] * .11 > 140;
}

// Fill and rim of a peer: the share of the clean adapters looked at that it accepted, or what it says of one adapter.

function lookOf(peer) {
  const row = peer * adapters;
  if (state.colour.startsWith("adapter ")) {
    const outcome = verdicts[row + Number(state.colour.slice(8))];
    return outcome < 0 ? [colours.unseen, colours.down] : [colours[OUTCOMES[outcome]], colours.ink];
  }
  const looked = chosenAdapters();
  let [clean, accepted, trojan] = [0, 0, false];
  for (const adapter of looked) {
    const yes = verdicts[row + adapter] === ACCEPTED;
    if (run.adapters[adapter].trojan) trojan ||= yes;
    else {
      clean += 1;
      accepted += yes;
    }
  }
  return [accepted ? blend(accepted / clean) : colours.unseen, trojan ? colours.trojan : colours.down];
}

function chosenAdapters() {
  const domain = state.colour.startsWith("domain ") ? state.colour.slice(7) : null;
  return run.adapters.map((_, number) => number).filter(number => domain === null || run.adapters[number].domain === domain);
}

function nearest(x, y) {
  let [best, distance] = [null, (radius() + 8) ** 2];
  for (let peer = 0; peer < peers; peer++) {
    const [px, py] = place(peer);
    const far = (px - x) ** 2 + (py - y) ** 2;
    if (far < distance) [best, distance] = [peer, far];
  }
  return best;
}

// Small things of the document.

function made(tag, text, attributes = {}) {
  const one = document.createElement(tag);
  one.textContent = text;
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  return one;
}

function svg(tag, attributes, text = "") {
  const one = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  one.textContent = text;
  return one;
}

const percent = share => `${(100 * share).toFixed(share > 0 && share < .1 ? 1 : 0)} %`;
const count = value => value.toLocaleString("en");
const shortCount = value => value < 10000 ? String(Math.round(value)) : new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);
const roundText = value => value === null ? "–" : run.moments ? run.moments[value] : String(Math.round(value * 10) / 10);
const axisText = round => run.moments ? run.moments[round] : round ? `round ${round}` : "0";
const whenText = round => run.moments ? run.moments[round] : round ? `Round ${round} of ${last}` : `Before round 1 of ${last}`;
const KINDS = run.kinds; // unknown stands where nobody said what is a trojan
const good = KINDS.includes("unknown") ? "adapters" : "clean ones";

function swatch(fill, rim, width = 1) {
  const box = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
  box.append(svg("circle", { cx: 8, cy: 8, r: 6, fill, stroke: rim, "stroke-width": width }));
  return box;
}

function legend() {
  const rows = state.colour.startsWith("adapter ")
    ? [["var(--unseen)", "var(--down)", 1, "not heard of"], ...OUTCOMES.map(one => [`var(--${one})`, "var(--ink)", 1, one])]
    : [["var(--unseen)", "var(--down)", 1, "none accepted"], ["var(--least)", "var(--down)", 1, `few of the ${good}`],
      ["var(--most)", "var(--down)", 1, `all ${good}`], ["var(--unseen)", "var(--trojan)", 3, "a trojan accepted"]];
  element("legend").replaceChildren(...rows.map(([fill, rim, width, text]) => {
    const row = made("li", "");
    row.append(swatch(fill, rim, width), text);
    return row;
  }), ...(Object.keys(run.liars).length ? [lineOf("var(--down)", "breaks rules", square)] : []),
    lineOf("var(--moved)", run.moments ? "news came this way" : "news came this way in this round", flow));
}

const flow = colour => svg("line", { x1: 0, y1: 8, x2: 16, y2: 8, stroke: colour, "stroke-width": 2.5 });
const square = colour => svg("rect", { x: 2, y: 2, width: 12, height: 12, fill: "none", stroke: colour, "stroke-width": 1.5 });

function lineOf(colour, text, shape) {
  const row = made("li", "");
  const box = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
  box.append(shape(colour));
  row.append(box, text);
  return row;
}

// Charts: lines over rounds, with a cursor at the round that is shown.

const CHART = { width: 460, height: 170, left: 44, right: 8, top: 8, bottom: 22 };
const cursors = [];

function chart(holder, name, series, top, tick) {
  const { width, height, left, right, top: above, bottom } = CHART;
  const x = round => left + (width - left - right) * round / Math.max(1, last);
  const y = value => height - bottom - (height - above - bottom) * value / (top || 1);
  const box = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": name });
  for (const share of [0, .5, 1]) {
    box.append(svg("line", { x1: left, x2: width - right, y1: y(share * top), y2: y(share * top), class: "grid" }));
    box.append(svg("text", { x: left - 5, y: y(share * top) + 4, "text-anchor": "end" }, tick(share * top)));
  }
  for (const round of [0, Math.floor(last / 2), last]) {
    box.append(svg("text", { x: x(round), y: height - 6, "text-anchor": round === last ? "end" : "middle" }, axisText(round)));
  }
  series.forEach(({ values, colour, dash }) => {
    const points = [0, ...values].map((value, round) => `${x(round).toFixed(1)} ${y(value).toFixed(1)}`);
    box.append(svg("path", { d: `M${points.join("L")}`, stroke: colour, "stroke-dasharray": dash }));
  });
  run.frames.forEach((frame, round) => {
    if (frame.planned.length) box.append(svg("line", { x1: x(round), x2: x(round), y1: above, y2: height - bottom, class: "planned" }));
  });
  const cursor = svg("line", { y1: above, y2: height - bottom, class: "cursor" });
  box.append(cursor);
  cursors.push(() => {
    cursor.setAttribute("x1", x(state.round));
    cursor.setAttribute("x2", x(state.round));
  });
  box.addEventListener("click", event => {
    const inside = (event.clientX - box.getBoundingClientRect().left) / box.getBoundingClientRect().width * width;
    show(Math.round((inside - left) / (width - left - right) * last));
  });
  holder.append(box);
}

function key(colour, dash) {
  const box = svg("svg", { viewBox: "0 0 26 10", class: "key", "aria-hidden": "true" });
  box.append(svg("path", { d: "M0 5L26 5", stroke: colour, "stroke-dasharray": dash }));
  return box;
}

const seriesColour = number => `var(--series-${number % 8})`;
const seriesDash = number => DASHES[(number + Math.floor(number / 8)) % DASHES.length];
const domains = Object.keys(run.rounds_to);
const pairsOver = (outcome, kind) => run.rounds.map(one => (one.verdicts[outcome] || {})[kind] || 0);

function charts() {
  const coverage = domains.map((domain, number) => ({
    values: run.rounds.map(one => one.coverage[domain]), colour: seriesColour(number), dash: seriesDash(number),
  }));
  chart(element("coverage-chart"), "Coverage of each domain over the rounds; figures are in the table", coverage, 1, percent);
  const judged = OUTCOMES.flatMap(outcome => KINDS.map(kind => ({
    values: pairsOver(outcome, kind), colour: `var(--${outcome})`, dash: kind === "trojan" ? "6 3" : "",
  }))).filter(one => one.values.some(Boolean));
  const most = Math.max(1, ...judged.flatMap(one => one.values));
  chart(element("verdicts-chart"), "Verdicts over the rounds, trojans dashed; figures are in the table", judged, most, shortCount);
}

function theoryTable() {
  const theory = run.theory;
  element("theory").hidden = !theory;
  if (!theory) return;
  const row = made("tr", "");
  const figures = ["observed", "complete_graph", "spectral_shape"].map(name => made("td", roundText(theory[name])));
  row.append(made("th", "mean of clean adapters", { scope: "row" }), ...figures);
  element("theory-rows").replaceChildren(row);
}

function tables() {
  const now = run.rounds[state.round - 1];
  element("coverage-rows").replaceChildren(...domains.map((domain, number) => {
    const row = made("tr", "");
    const head = made("th", "", { scope: "row" });
    head.append(key(seriesColour(number), seriesDash(number)), domain);
    const marks = MARKS.map(mark => made("td", roundText(run.rounds_to[domain][mark])));
    row.append(head, made("td", percent(now ? now.coverage[domain] : 0)), ...marks);
    return row;
  }));
  element("verdicts-rows").replaceChildren(...OUTCOMES.map(outcome => {
    const row = made("tr", "");
    const counts = now ? now.verdicts[outcome] || {} : {};
    const head = made("th", "", { scope: "row" });
    head.append(key(`var(--${outcome})`, ""), outcome);
    const bad = outcome === "accepted" && counts.trojan ? { class: "bad" } : {};
    row.append(head, ...KINDS.map(kind => made("td", count(counts[kind] || 0), kind === "trojan" ? bad : {})));
    return row;
  }));
}

function chosen() {
  element("chosen").hidden = state.peer === null;
  if (state.peer === null) return;
  const liar = run.liars[state.peer] ? `, breaks rules as ${run.liars[state.peer]}` : "";
  element("chosen-title").textContent = `Peer ${state.peer}${liar}${isUp[state.peer] ? "" : ", down"}`;
  element("chosen-rows").replaceChildren(...run.adapters.map((adapter, number) => {
    const outcome = verdicts[state.peer * adapters + number];
    const row = made("tr", "");
    row.append(
      made("td", adapter.name), made("td", adapter.domain), made("td", adapter.kind),
      made("td", outcome < 0 ? "–" : OUTCOMES[outcome], adapter.trojan && outcome === ACCEPTED ? { class: "bad" } : {}),
    );
    return row;
  }));
}

// Which round is shown.

function show(round) {
  wind(Math.max(0, Math.min(last, round)));
  const slider = element("round");
  slider.value = String(state.round);
  const text = whenText(state.round);
  slider.setAttribute("aria-valuetext", text);
  element("when").textContent = text;
  tables();
  chosen();
  const frame = run.frames[state.round];
  const lines = frame && frame.said.length ? frame.said : ["Nothing that a person would be told."];
  const more = frame && frame.untold ? [made("li", `and ${count(frame.untold)} more`, { class: "small" })] : [];
  const planned = frame ? frame.planned.map(words => made("li", `scenario: ${words}`, { class: "scenario" })) : [];
  element("events").replaceChildren(...planned, ...lines.map(line => made("li", line)), ...more);
  cursors.forEach(move => move());
  draw();
  if (!state.timer) element("said").textContent = `${text}: ${inWords()}`;
}

function inWords() {
  const now = run.rounds[state.round - 1];
  return now ? domains.map(domain => `${domain} ${percent(now.coverage[domain])}`).join(", ") : "nothing published yet";
}

function play(on) {
  clearInterval(state.timer);
  state.timer = null;
  if (on) {
    if (state.round === last) show(0);
    state.timer = setInterval(() => state.round < last ? show(state.round + 1) : play(false), STEP_MS);
  }
  element("play").textContent = on ? "Pause" : "Play";
  element("play").setAttribute("aria-pressed", String(on));
}

const KEYS = {
  ArrowLeft: () => show(state.round - 1), ArrowRight: () => show(state.round + 1),
  Home: () => show(0), End: () => show(last), " ": () => play(!state.timer),
};

function pressed(event) {
  const busy = event.target.closest("select, input, button, .scrolls");
  if (busy || event.altKey || event.ctrlKey || event.metaKey || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
}

function choose(peer) {
  state.peer = peer;
  element("peer").value = peer === null ? "" : String(peer);
  chosen();
  draw();
}

function begin() {
  element("facts").textContent = run.facts;
  element("left").hidden = !peers;
  const alarms = run.alarms.map(alarm => made("li", alarm, { class: "bad" }));
  element("notes").replaceChildren(...alarms, ...run.notes.concat(run.note || []).map(note => made("li", note)));
  const kinds = KINDS.map(kind => made("th", kind[0].toUpperCase() + kind.slice(1), { scope: "col" }));
  element("verdicts-kinds").append(...kinds);
  element("shares").textContent = run.shares;
  element("round").max = String(last);
  element("peer").max = String(peers - 1);
  const choices = [["all", "all adapters"], ...domains.map(domain => [`domain ${domain}`, `domain ${domain}`]),
    ...run.adapters.map((one, number) => [`adapter ${number}`, `${one.name} (${one.domain}${one.trojan ? ", trojan" : ""})`])];
  element("colour").replaceChildren(...choices.map(([value, text]) => made("option", text, { value })));
  readColours();
  charts();
  legend();
  theoryTable();
  show(last);
}

element("round").addEventListener("input", event => show(Number(event.target.value)));
element("play").addEventListener("click", () => play(!state.timer));
element("colour").addEventListener("change", event => {
  state.colour = event.target.value;
  legend();
  draw();
});
element("peer").addEventListener("input", event => {
  const peer = event.target.value === "" ? null : Number(event.target.value);
  choose(peer !== null && Number.isInteger(peer) && peer >= 0 && peer < peers ? peer : null);
});
canvas.addEventListener("click", event => choose(nearest(event.offsetX, event.offsetY)));
document.addEventListener("keydown", pressed);
new ResizeObserver(draw).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  readColours();
  draw();
});
begin();
