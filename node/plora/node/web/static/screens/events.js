// Live events: the records of the event log as they are written, the newest first.

import { html, useState } from "../vendor/htm-preact.js";
import { known } from "../data.js";
import { Empty, Text, clock, shown } from "../parts.js";

export const title = "Events";
const HEADER = new Set(["v", "peer", "boot", "seq", "mono_ns", "wall_ms", "round", "kind", "cause", "policy_digest", "evidence"]);
const DIGITS = 12;

function short(value) {
  if (Array.isArray(value)) return value.map(short).join(", ");
  if (typeof value === "string") return /^[0-9a-f]{32,}$/.test(value) ? `${value.slice(0, DIGITS)}…` : value;
  return typeof value === "number" && !Number.isInteger(value) ? value.toPrecision(3) : JSON.stringify(value);
}

// "id" of a verdict and the like is a content id that the page can show.
function Field({ name, value }) {
  const plasmid = name === "id" && (known.answers.plasmids?.plasmids || []).find((one) => one.content_id === value);
  if (plasmid) return html`<span><a href=${`#/plasmids/${value}`}><${Text}>${plasmid.name}<//></a></span> `;
  return html`<span><span class="light">${shown(name)}</span> <${Text}>${short(value)}<//></span> `;
}

export function Log({ records }) {
  const entry = (record) => {
    const fields = Object.entries(record).filter(([name, value]) => !HEADER.has(name) && value !== "" && value !== null);
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
    <p class="light">Rounds and traffic are left out; <code>plora events -f</code> prints all.</p>`;
}
