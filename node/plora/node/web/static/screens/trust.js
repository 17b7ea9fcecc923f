// Trust: how new this peer may believe to be, whom it believes, who signed two things, and whether its own memory holds.

import { html } from "../vendor/htm-preact.js";
import { known } from "../data.js";
import { Ago, Command, Empty, Hash, Loading, State, Text, plural, shown, span } from "../parts.js";

export const title = "Trust";
export const needs = () => ["beliefs", "audit"];

const from = (stamp) => (stamp ? Date.parse(stamp) : 0);
const ahead = (ms) => (ms > Date.now() ? `in ${span(ms - Date.now())}` : `${span(Date.now() - ms)} ago`);

function Member({ one, root }) {
  const why = !one.issued ? "said nothing yet" : one.under > root.version ? "speaks under a newer root file" : one.under < root.version ? "spoke under an older root file" : "no longer counts";
  return html`<tr><td><${Text}>${one.name}<//> <${Hash} value=${one.owner} /></td>
    <td>${one.counts ? html`<${State} value="up" word="counts" />` : html`<${State} value="waiting" word=${why} />`}${one.issued && html`<span class="sub narrow"><${Ago} ms=${from(one.issued)} /></span>`}</td>
    <td class="n wide"><${Ago} ms=${from(one.issued)} /></td><td class="n wide">${one.expires ? ahead(from(one.expires)) : "–"}</td></tr>`;
}

function Fresh({ all }) {
  const root = all.root;
  const behind = all.clock_behind_ms > 0 && html`<p class="notice wrong">This machine's clock is ${span(all.clock_behind_ms)} behind what a quorum has signed already. Set it: nothing new is accepted.</p>`;
  if (!root) return html`${behind}<p class="light">No root is pinned, so nobody says how new the swarm is. An organisation makes one by <code>plora root new</code>.</p>`;
  const counting = root.members.filter((one) => one.counts).length;
  const said = `${counting} of ${root.required} owners needed said lately how new the swarm is`;
  return html`${behind}
    <p><${State} value=${root.state} /> <span class="light">· ${said}${root.until_ms ? `, good for ${span(root.until_ms - Date.now())}` : ""} · root file ${root.version}</span></p>
    ${root.state === "stale" && html`<div class="notice wrong"><p>Nothing new is accepted until more of them speak; what was accepted stays.${root.outdated > 0 ? ` ${plural(root.outdated, "owner speaks", "owners speak")} under a newer root file: ask for it.` : " Each of them speaks by:"}</p>
      ${!root.outdated && html`<${Command}>plora freshness issue --key KEY.pem --owner NAME.owner<//>`}</div>`}
    <div class="rows" tabindex="0" role="region" aria-label="owners of the root"><table>
    <thead><tr><th scope="col">owner of the root</th><th scope="col">word</th><th scope="col" class="n wide">last said</th><th scope="col" class="n wide">expires</th></tr></thead>
    <tbody>${root.members.map((one) => html`<${Member} one=${one} root=${root} key=${one.owner} />`)}</tbody></table></div>`;
}

function state(one) {
  if (one.distrusted) return html`<${State} value="refused" word="distrusted" />`;
  if (one.forked.length) return html`<${State} value="forked" word="two next records" />`;
  return html`<${State} value="up" word="believed" />`;
}

function scope(one) {
  const limits = [...one.domains, ...one.bases, ...(one.roles.length > 1 ? [] : [`${one.roles[0]} only`])];
  return limits.length ? limits.join(", ") : "everything";
}

function Owner({ one }) {
  const void_ = one.revoked_keys ? `, ${one.revoked_keys} revoked` : "";
  return html`<tr><td><${Text}>${one.nickname}<//> <${Hash} value=${one.owner} /><span class="sub">${one.words}</span></td><td>${state(one)}<span class="sub narrow"><${Text}>${scope(one)}<//></span></td>
    <td class="wide"><${Text}>${scope(one)}<//></td><td class="wide">${one.threshold} of ${one.keys} must sign${void_}</td></tr>`;
}

function Forked({ one }) {
  return html`<div class="notice wrong"><p>Two records claim to be the next one of <${Text}>${one.nickname}<//> (${one.forked.slice(0, 2).map((id, at) => html`${at ? ", " : ""}<${Hash} value=${id} />`)}).
    Neither is believed. Ask the owner for their newest file:</p><${Command}>plora trust add FILE.owner<//></div>`;
}

function Owners({ all }) {
  if (!all.owners.length) return html`<${Empty} title="Nobody is believed here."><p>What others publish waits until you do:</p><${Command}>plora trust pending<//><//>`;
  return html`${all.owners.filter((one) => one.forked.length).map((one) => html`<${Forked} one=${one} />`)}
    <div class="rows" tabindex="0" role="region" aria-label="owners who are believed"><table>
    <thead><tr><th scope="col">owner</th><th scope="col">state</th><th scope="col" class="wide">about</th><th scope="col" class="wide">keys</th></tr></thead>
    <tbody>${all.owners.map((one) => html`<${Owner} one=${one} key=${one.owner} />`)}</tbody></table></div>
    ${all.distrusted.length > 0 && html`<p class="light">Distrusted besides: <${Text}>${all.distrusted.map((one) => one.name || one.entry.slice(0, 12)).join(", ")}<//>.</p>`}`;
}

function Rivals({ rivals }) {
  if (!rivals.length) return null;
  return html`<h2>Two contents of one version</h2><p class="light">Their owner signed both, so neither is accepted. A higher version ends it.</p>
    <div class="rows" tabindex="0" role="region" aria-label="versions with two contents"><table><thead><tr><th scope="col">version</th><th scope="col">contents</th></tr></thead>
    <tbody>${rivals.map((one) => html`<tr key=${one.name}><td><${Text}>${one.name}<//></td><td>${one.contents.map((id) => html`<a href=${`#/plasmids/${id}`}><${Hash} value=${id} /></a> `)}</td></tr>`)}</tbody></table></div>`;
}

function Fault({ one }) {
  const said = one.acknowledged_wall_ms > 0;
  return html`<tr><td class="n">${one.entry || "–"}</td><td>${said ? html`<${State} value="acknowledged" />` : html`<${State} value="refused" word="open" />`}</td>
    <td><${Text}>${one.what}<//>${said && html`<span class="sub">“<${Text}>${one.note}<//>”, <${Ago} ms=${one.acknowledged_wall_ms} /></span>`}</td></tr>`;
}

function Audit({ audit }) {
  const open = audit.faults.filter((one) => !one.acknowledged_wall_ms);
  const kept = audit.end - audit.start;
  const holds = audit.verified_wall_ms ? html`<${State} value=${open.length ? "refused" : "up"} word=${open.length ? `${plural(open.length, "fault")}` : "holds"} />` : "nobody has looked yet";
  const facts = [
    ["state", holds],
    ["verified", html`<${Ago} ms=${audit.verified_wall_ms} />${audit.verified_wall_ms > 0 && html` <span class="light">against ${plural(audit.notes, "head")} noted elsewhere</span>`}`],
    ["entries", `${kept}${audit.entries_max ? ` of at most ${audit.entries_max}` : ""}, ${audit.start + 1} to ${audit.end}`],
    ["head", html`<code>${audit.end}:${shown(audit.head)}</code>`],
  ];
  return html`<dl class="facts card">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
    ${audit.faults.length > 0 && html`<div class="rows" tabindex="0" role="region" aria-label="what is wrong with the audit"><table>
      <thead><tr><th scope="col" class="n">entry</th><th scope="col">state</th><th scope="col">what</th></tr></thead><tbody>${audit.faults.map((one) => html`<${Fault} one=${one} />`)}</tbody></table></div>`}
    ${open.length > 0 && html`<p>If you know how it came about, say so; it stays in the audit:</p><${Command}>${`plora audit acknowledge ${open[0].entry} --note WHY`}<//>`}
    <p class="light">Look anew, also against a head that you noted:</p><${Command}>plora audit verify<//>`;
}

export function Screen() {
  const { beliefs, audit } = known.answers;
  if (!beliefs || !audit) return html`<h1>Trust</h1><${Loading} path=${beliefs ? "audit" : "beliefs"} />`;
  const all = JSON.parse(beliefs.document);
  return html`<h1>Trust</h1>
    <h2>How new this peer is</h2><${Fresh} all=${all} />
    <h2>Whom it believes</h2><${Owners} all=${all} />
    <${Rivals} rivals=${all.rivals} />
    <h2>What it decided: the audit</h2><${Audit} audit=${audit} />`;
}
