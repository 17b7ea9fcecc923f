// Live events: the records of the event log as they are written, the newest first.

import { html, useState } from "../vendor/htm-preact.js";
import { known } from "../data.js";
import { Empty, Text, clock, shown } from "../parts.js";
import { Peer, Plasmid } from "../told.js";

export const title = "Events";
const HEADER = new Set(["v", "peer", "boot", "seq", "mono_ns", "wall_ms", "round", "kind", "cause", "policy_digest", "evidence"]);
const DIGITS = 12;

function short(value) {
  if (typeof value === "string") return /^[0-9a-f]{32,}$/.test(value) ? `${value.slice(0, DIGITS)}…` : value;
  return typeof value === "number" && !Number.isInteger(value) ? value.toPrecision(3) : JSON.stringify(value);
}

const IDS = new Set(["id", "inputs", "target", "by", "content"]);
const PEERS = new Set(["neighbour", "from", "sources", "picked", "peers", "member", "subject"]);

function Value({ name, value }) {
  if (Array.isArray(value)) return value.map((one, at) => html`${at ? ", " : ""}<${Value} name=${name} value=${one} />`);
  if (PEERS.has(name)) return html`<${Peer} id=${value} />`;
  if (IDS.has(name) || name === "digest") return html`<${Plasmid} id=${value} digest=${value} />`;
  return html`<${Text}>${short(value)}<//>`;
}

function Field({ name, value }) {
  return html`<span><span class="light">${shown(name).replaceAll("_", " ")}</span> <${Value} name=${name} value=${value} /></span> `;
}

export function Log({ records }) {
  const entry = (record) => {
    const fields = Object.entries(record).filter(([name, value]) => !HEADER.has(name) && value !== "" && value !== null && !(Array.isArray(value) && !value.length));
    return html`<li key=${`${record.boot}${record.seq}`}><span class="light">${clock(record.wall_ms)}</span><strong>${shown(record.kind).replaceAll("_", " ")}</strong>
      <span class="fields">${fields.map(([name, value]) => html`<${Field} name=${name} value=${value} />`)}</span></li>`;
  };
  return html`<ol class="log">${records.map(entry)}</ol>`;
}

export function Screen() {
  const [kind, setKind] = useState("");
  const [held, setHeld] = useState(null);
  const all = held || known.events;
  const kinds = [...new Set(all.map((one) => one.kind))].sort();
  const found = all.filter((one) => !kind || one.kind === kind);
  return html`<h1>Events</h1>
    <form class="bar" onSubmit=${(event) => event.preventDefault()}>
      <label>kind<select value=${kind} onChange=${(event) => setKind(event.target.value)}><option value="">all</option>${kinds.map((one) => html`<option value=${one}>${shown(one)}</option>`)}</select></label>
      <button type="button" aria-pressed=${held ? "true" : "false"} onClick=${() => setHeld(held ? null : known.events)}>${held ? "Go on" : "Hold"}</button>
    </form>
    ${found.length ? html`<${Log} records=${found.slice(0, 200)} />` : html`<${Empty} title="No events yet." />`}
    <p class="light">Rounds, traffic and passed stages of the gate are left out; <code>plora events -f</code> prints all.</p>`;
}
