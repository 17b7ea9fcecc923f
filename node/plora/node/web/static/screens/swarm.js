// The swarm as this peer sees it: a picture of up to 200 neighbours, and the same facts as a table.

import { html } from "../vendor/htm-preact.js";
import { known } from "../data.js";
import { Ago, Command, Empty, Hash, Loading, State, Text, plural, shown } from "../parts.js";

export const title = "Swarm";
export const needs = () => ["reputations"];
const DRAWN_MAX = 200;
const CROWD = 40;
const ME = "me";

// The layout is settled before it is drawn, and the same peers always lie in the same place: nothing wobbles.
let layout = { key: "", nodes: [] };

function laidOut(ids) {
  const key = ids.join();
  if (layout.key === key) return layout;
  const crowded = ids.length > CROWD;
  const [width, height] = crowded ? [760, 600] : [440, ids.length > 12 ? 400 : 260];
  const nodes = [{ id: ME, fx: width / 2, fy: height / 2 }, ...ids.map((id) => ({ id }))];
  const distance = crowded ? 150 : height / 2 - 40;
  const simulation = d3.forceSimulation(nodes).stop()
    .force("links", d3.forceLink(ids.map((id) => ({ source: ME, target: id }))).id((one) => one.id).distance(distance).strength(.5))
    .force("apart", d3.forceManyBody().strength(crowded ? -60 : -500))
    .force("clear", d3.forceCollide(crowded ? 11 : 34));
  simulation.tick(250);
  for (const one of nodes) {
    one.x = Math.max(45, Math.min(width - 45, one.x));
    one.y = Math.max(20, Math.min(height - 34, one.y));
  }
  layout = { key, nodes, width, height, crowded };
  return layout;
}

const LABEL_MAX = 16;
const called = (peer) => { const name = peer.nickname || peer.peer.slice(0, 8); return name.length > LABEL_MAX ? `${name.slice(0, LABEL_MAX)}…` : name; };

function Node({ place, peer }) {
  const at = `translate(${place.x} ${place.y})`;
  if (!peer) return html`<g class="me" transform=${at}><circle r="11" /><text y="27">this peer</text></g>`;
  const down = peer.state === "down" || peer.state === "denied";
  return html`<g class=${peer.state} transform=${at}>
    ${down ? html`<path d="M-6-6 6 6M6-6-6 6" />` : html`<circle r="8" />`}
    ${!layout.crowded && html`<text y="24">${shown(called(peer))}</text>`}
    <title>${shown(`${called(peer)}: ${peer.state}`)}</title></g>`;
}

function Graph({ peers }) {
  const drawn = peers.slice(0, DRAWN_MAX);
  const { nodes, width, height, crowded } = laidOut(drawn.map((one) => one.peer));
  const by = new Map(drawn.map((one) => [one.peer, one]));
  const me = nodes[0];
  const others = nodes.slice(1);
  const line = (one) => html`<line class=${by.get(one.id).state === "up" ? "up" : "away"} x1=${me.x} y1=${me.y} x2=${one.x} y2=${one.y} />`;
  return html`<div class="card"><svg class=${`graph ${crowded ? "crowded" : ""}`} viewBox="0 0 ${width} ${height}" role="img" aria-label="This peer and its neighbours; the table below says the same">
    ${others.map(line)}${nodes.map((one) => html`<${Node} place=${one} peer=${by.get(one.id)} />`)}</svg>
    ${peers.length > DRAWN_MAX && html`<p class="light">${DRAWN_MAX} of ${peers.length} neighbours are drawn; the table has all.</p>`}</div>`;
}

function Row({ one }) {
  const link = one.state === "up" ? (one.outbound ? "dialed by us" : "dialed by them") : "";
  return html`<tr><td><${State} value=${one.state} /></td>
    <td>${one.nickname ? html`<${Text}>${one.nickname}<//> ` : ""}<${Hash} value=${one.peer} />
      ${one.last_error && one.state !== "up" && html`<span class="sub">${shown(one.last_error)}</span>`}</td>
    <td><code>${shown(one.address || one.host) || "–"}</code></td><td class="wide">${link}</td>
    <td class="n wide">${one.statements}</td><td class="n wide"><${Ago} ms=${one.last_seen_wall_ms} /></td></tr>`;
}

function Standing({ one }) {
  const held = one.held ? `${one.held} held` : "";
  return html`<tr><td>${one.kind}</td>
    <td>${one.name ? html`<${Text}>${one.name}<//> ` : ""}<${Hash} value=${one.subject} /></td>
    <td class="n">${one.score.toFixed(2)}</td>
    <td>${one.fault ? html`${shown(one.fault.replaceAll("_", " "))} <span class="sub"><${Ago} ms=${one.fault_wall_ms} /></span>` : "–"}</td>
    <td class="n wide">${held}</td></tr>`;
}

function Reputations() {
  const answer = known.answers.reputations;
  if (!answer?.reputations.length) return null;
  return html`<h2>What others earned here</h2>
    <p class="light">A newcomer has 0.50. ${answer.obeyed ? `Owners below ${answer.min_reputation.toFixed(2)} are held.` : "Nobody is held for it: policy.reputation is off."}</p>
    <div class="rows" tabindex="0" role="region" aria-label="reputations"><table><thead><tr><th scope="col">of</th><th scope="col">name</th><th scope="col" class="n">score</th><th scope="col">newest fault</th><th scope="col" class="n wide">plasmids</th></tr></thead>
    <tbody>${answer.reputations.map((one) => html`<${Standing} one=${one} key=${one.subject} />`)}</tbody></table></div>`;
}

export function Screen() {
  const peers = known.answers.peers?.peers;
  if (!peers) return html`<h1>Swarm</h1><${Loading} path="peers" />`;
  if (!peers.length) {
    return html`<h1>Swarm</h1><${Empty} title="This peer knows no neighbours.">
      <p>Invite somebody to the swarm; the ticket is good once:</p><${Command}>plora invite NAME<//><//>`;
  }
  const up = peers.filter((one) => one.state === "up").length;
  return html`<h1>Swarm</h1>
    <p class="light">${up} of ${plural(peers.length, "neighbour")} linked.</p>
    <${Graph} peers=${peers} />
    <div class="rows" tabindex="0" role="region" aria-label="neighbours"><table><thead><tr><th scope="col">link</th><th scope="col">peer</th><th scope="col">address</th><th scope="col" class="wide">direction</th><th scope="col" class="n wide">statements</th><th scope="col" class="n wide">heard</th></tr></thead>
    <tbody>${peers.map((one) => html`<${Row} one=${one} key=${one.peer} />`)}</tbody></table></div>
    <${Reputations} />`;
}
