// Now: one sentence if something is wrong, a few numbers, what happened lately.

import { html } from "../vendor/htm-preact.js";
import { known } from "../data.js";
import { Command, Empty, Loading, bytes, plural, shown, span } from "../parts.js";
import { Log } from "./events.js";

export const title = "Now";
export const needs = () => ["peers"];
const LIMITS_MS = 3_600_000;
const TELLING = ["link_up", "link_down", "published", "fetch_done", "fetch_failed", "verdict", "merge", "rollback", "revoked", "bound_hit", "error", "repair", "evicted", "penalty"];

export function problems() {
  const { status, peers } = known.answers;
  const found = [...(status?.warnings || [])];
  const away = (peers?.peers || []).filter((one) => one.configured && one.state !== "up" && one.state !== "denied");
  if (away.length) {
    const first = away[0];
    const why = first.last_error ? `: ${first.last_error}` : "";
    const who = first.nickname || `${first.peer.slice(0, 12)}…`;
    found.push(away.length === 1 ? `The neighbour ${who} doesn't answer${why}.` : `${away.length} of ${peers.peers.length} neighbours don't answer; the first is ${who}${why}.`);
  }
  const limits = known.events.filter((one) => one.kind === "bound_hit" && Date.now() - one.wall_ms < LIMITS_MS);
  for (const setting of new Set(limits.map((one) => one.setting))) {
    const last = limits.find((one) => one.setting === setting);
    found.push(`The limit ${setting} (${last.limit}) was reached ${span(Date.now() - last.wall_ms)} ago.`);
  }
  return found;
}

export const count = () => problems().length;

function headline(status, peers, found) {
  if (found.length) return found[0];
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
    ["up since", span(status.uptime_ms)],
  ];
  const lately = known.events.filter((one) => TELLING.includes(one.kind)).slice(0, 10);
  return html`
    <h1>${shown(headline(status, peers?.peers || [], found))}</h1>
    ${found.slice(1).map((one) => html`<p class="notice wrong">${shown(one)}</p>`)}
    <dl class="tiles">${tiles.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${!status.statements && html`<${Alone} status=${status} />`}
    <h2>Lately</h2>
    ${lately.length ? html`<${Log} records=${lately} />` : html`<p class="light">Nothing has happened since the peer started.</p>`}`;
}
