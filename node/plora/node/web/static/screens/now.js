// Now: one sentence if something is wrong, a few numbers, what happened lately.

import { html } from "../vendor/htm-preact.js";
import { known } from "../data.js";
import { Command, Empty, Loading, bytes, clock, plural, shown, span } from "../parts.js";
import { sentence, tells, tone } from "../told.js";
import { called } from "./swarm.js";

export const title = "Now";
const LIMITS_MS = 3_600_000;
const LATELY = 12;

// The peer's own words first; then neighbours that are away, and limits that were reached within the hour.
export function problems() {
  const { status, peers } = known.answers;
  return [...(status?.warnings || []), ...away(peers?.peers || []), ...limits()];
}

function away(peers) {
  const found = peers.filter((one) => one.configured && one.state !== "up" && one.state !== "denied");
  if (!found.length || found.length === peers.filter((one) => one.configured).length) return []; // its warnings say so
  const [first] = found;
  const who = `${called(first)} doesn't answer${first.last_error ? `: ${first.last_error}` : ""}`;
  return [found.length === 1 ? `The neighbour ${who}` : `${found.length} of ${peers.length} neighbours don't answer; ${who}`];
}

function limits() {
  const found = known.events.filter((one) => one.kind === "bound_hit" && Date.now() - one.wall_ms < LIMITS_MS);
  const newest = [...new Map(found.reverse().map((one) => [one.setting, one])).values()];
  return newest.map((one) => `The limit ${one.setting} (${one.limit}) was reached ${span(Date.now() - one.wall_ms)} ago`);
}

export const count = () => problems().length;

function headline(status, peers, found) {
  if (found.length) return `${found[0][0].toUpperCase()}${found[0].slice(1)}.`;
  if (!peers.length) return `${status.name} runs, and knows no neighbours yet.`;
  return `All is well: ${plural(status.links, "neighbour is", "neighbours are")} linked, ${plural(status.plasmids_accepted, "adapter is", "adapters are")} in use.`;
}

function Alone({ status }) {
  return html`<${Empty} title="Nothing is here yet.">
    <p>Share an adapter, and link this peer with another:</p>
    <${Command}>plora publish FOLDER<//><${Command}>plora peers<//>
  <//>`;
}

export function Screen() {
  const { status, peers } = known.answers;
  if (!status) return html`<h1>Now</h1><${Loading} path="status" />`;
  const found = problems();
  const tiles = [
    ["adapters in use", status.plasmids_accepted],
    ["waiting", status.plasmids_waiting],
    ["neighbours linked", status.links],
    ["statements", status.statements],
    ["stored", bytes(status.store_bytes)],
    ["up for", span(status.uptime_ms)],
  ];
  const lately = known.events.filter(tells).slice(0, LATELY);
  return html`
    <h1>${shown(headline(status, peers?.peers || [], found))}</h1>
    ${found.slice(1).map((one) => html`<p class="notice wrong">${shown(one)}</p>`)}
    <dl class="tiles">${tiles.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${!status.statements && html`<${Alone} status=${status} />`}
    <h2>Lately</h2>
    ${lately.length ? html`<ol class="log told">${lately.map((one) => html`<li class=${tone(one)} key=${one.seq}><span class="light">${clock(one.wall_ms)}</span><span>${sentence(one)}</span></li>`)}</ol>` : html`<p class="light">Nothing has happened since the peer started.</p>`}`;
}
