// Now: one sentence if something is wrong, a few numbers, what happened lately.

import { html } from "../vendor/htm-preact.js";
import { known } from "../data.js";
import { Command, Empty, Loading, Words, bytes, clock, plural, span } from "../parts.js";
import { sentence, tells, tone } from "../told.js";

export const title = "Now";
const LATELY = 12;

// What is wrong is the peer's own word, the same as `plora status` prints.
const problems = () => known.answers.status?.warnings || [];

export const count = () => problems().length;

function headline(status, peers, found) {
  if (found.length) return `${found[0][0].toUpperCase()}${found[0].slice(1)}.`;
  if (!peers.length) return `${status.name} runs, and knows no neighbours yet.`;
  const up = peers.filter((one) => one.state === "up").length;
  const use = `${plural(status.plasmids_accepted, "adapter is", "adapters are")} in use`;
  if (up < peers.length) return `${up} of ${peers.length} neighbours are linked, ${use}.`;
  return `All is well: ${plural(up, "neighbour is", "neighbours are")} linked, ${use}.`;
}

function Alone({ status }) {
  return html`<${Empty} title="Nothing is here yet.">
    <p>Share an adapter, and invite somebody to the swarm:</p>
    <${Command}>plora publish FOLDER<//><${Command}>plora invite NAME<//>
  <//>`;
}

export function Screen() {
  const { status, peers } = known.answers;
  if (!status) return html`<h1>Now</h1><${Loading} path="status" />`;
  const found = problems();
  const tiles = [
    ["adapters in use", status.plasmids_accepted],
    ["waiting", status.plasmids_waiting],
    ["neighbours linked", status.links, peers?.peers.length > 0 && `of ${peers.peers.length}`],
    ["statements", status.statements],
    ["stored", bytes(status.store_bytes), status.store_bytes_max && `of ${bytes(status.store_bytes_max)}`],
    ["up for", span(status.uptime_ms)],
  ];
  const lately = known.events.filter(tells).slice(0, LATELY);
  return html`
    <h1><${Words}>${headline(status, peers?.peers || [], found)}<//></h1>
    ${found.slice(1).map((one) => html`<p class="notice wrong"><${Words}>${one}<//></p>`)}
    <dl class="tiles">${tiles.map(([name, value, of]) => html`<div><dt>${name}</dt><dd>${value}${of && html` <small>${of}</small>`}</dd></div>`)}</dl>
    ${!status.statements && html`<${Alone} status=${status} />`}
    <h2>Lately</h2>
    ${lately.length ? html`<ol class="log told">${lately.map((one) => html`<li class=${tone(one)} key=${one.seq}><span class="light">${clock(one.wall_ms)}</span><span>${sentence(one)}</span></li>`)}</ol>` : html`<p class="light">Nothing has happened since the peer started.</p>`}`;
}
