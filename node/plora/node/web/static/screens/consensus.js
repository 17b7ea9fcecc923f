// The consensus: who votes, what waits and who said what of it, what was decided, who was caught lying.

import { html } from "../vendor/htm-preact.js";
import { known } from "../data.js";
import { Command, Empty, Hash, Loading, State, Text, plural, shown } from "../parts.js";

export const title = "Consensus";
export const needs = () => ["consensus"];

const VOTES = { accept: "accepts", reject: "refuses", other: "another content", guilty: "counts no more", silent: "not heard" };

// How a member's vote on one content stands; `why` is what it says who refuses.
function voteOf(paper, { name, guilty }) {
  const refusals = paper.rejected_by || {};
  if (guilty) return { vote: "guilty" };
  if (paper.accepted_by?.includes(name)) return { vote: "accept" };
  if (Object.hasOwn(refusals, name)) return { vote: "reject", why: refusals[name] };
  return { vote: paper.accepted_another?.includes(name) ? "other" : "silent" };
}

function standing(member, all) {
  if (member.guilty) return html`<${State} value="guilty" word="voted twice" />`;
  if (member.diverged) return html`<${State} value="guilty" word="another configuration" />`;
  if (member.here) return all.votes_here && !all.to_read ? html`<${State} value="up" word="this peer" />` : html`<${State} value="waiting" word="this peer, not voting yet" />`;
  return member.linked ? html`<${State} value="up" word="linked" />` : html`<${State} value="down" word="not linked" />`;
}

function Members({ all }) {
  const row = (one) => html`<tr key=${one.key}><td><${Text}>${one.name}<//></td><td>${standing(one, all)}</td>
    <td class="wide">${one.peer ? html`<${Hash} value=${one.peer} />` : "not named"}</td></tr>`;
  return html`<h2>Members</h2><div class="rows" tabindex="0" role="region" aria-label="members"><table>
    <thead><tr><th scope="col">member</th><th scope="col">state</th><th scope="col" class="wide">peer</th></tr></thead><tbody>${all.members.map(row)}</tbody></table></div>`;
}

function Paper({ paper, all }) {
  const vote = (member) => {
    const { vote, why } = voteOf(paper, member);
    return html`<li key=${member.key}><${State} value=${vote} word=${member.name} /> <span class="light">${VOTES[vote]}${why ? `: ${shown(why).replaceAll("_", " ")}` : ""}</span></li>`;
  };
  const late = paper.reason === "certificate_overdue" && " It is overdue.";
  return html`<section class="card"><h3><a href=${`#/plasmids/${paper.content_id}`}><${Text}>${paper.name}<//></a></h3>
    <p class="light">${(paper.accepted_by || []).length} of ${all.needed} accepted it.${late}</p>
    <ul class="votes">${all.members.map(vote)}</ul></section>`;
}

function Decided({ decided }) {
  const row = (one) => html`<tr key=${one.content_id}><td><a href=${`#/plasmids/${one.content_id}`}><${Text}>${one.name}<//></a></td>
    <td><${Text}>${one.members.join(", ")}<//></td></tr>`;
  return html`<div class="rows" tabindex="0" role="region" aria-label="certificates"><table>
    <thead><tr><th scope="col">plasmid</th><th scope="col">accepted by</th></tr></thead><tbody>${decided.map(row)}</tbody></table></div>`;
}

function Lies({ lies }) {
  if (!lies.length) return null;
  const row = (one) => html`<tr key=${one.member}><td><${State} value="guilty" word=${one.member} /></td><td><${Text}>${one.slot}<//></td>
    <td>${one.contents.map((id, at) => html`${at ? " and " : ""}<${Hash} value=${id} />`)}</td></tr>`;
  return html`<h2>Caught lying</h2><p class="light">Each accepted two contents of one version. The proof travels, and their votes count no more.</p>
    <div class="rows" tabindex="0" role="region" aria-label="members caught lying"><table>
    <thead><tr><th scope="col">member</th><th scope="col">version</th><th scope="col">accepted both</th></tr></thead><tbody>${lies.map(row)}</tbody></table></div>`;
}

export function Screen() {
  if (!known.answers.consensus) return html`<h1>Consensus</h1><${Loading} path="consensus" />`;
  const all = JSON.parse(known.answers.consensus.document);
  if (!all.on) {
    return html`<h1>Consensus</h1><${Empty} title="Nothing is voted on here."><p>Members stand under <code>consensus</code> in peer.yaml, the same at every peer. Each prints its line by:</p><${Command}>plora consensus key<//><//>`;
  }
  return html`<h1>Consensus</h1>
    ${all.compromised.length > 0 && html`<p class="notice wrong">Two certificates of one version exist, so more members lie than may. Nothing is accepted until all peers agree on other members, or on a higher <code>consensus.number</code>.</p>`}
    ${all.to_read > 0 && html`<p class="notice wrong">This member doesn't vote yet: it must first read from ${plural(all.to_read, "more member")}.</p>`}
    <p class="light">${all.needed} of ${all.members.length} members make a certificate, ${all.faults} may lie.
      ${all.required ? " Nothing is accepted without one." : " Votes are shown and not waited for: policy.consensus is off."} Epoch <${Hash} value=${all.epoch} /></p>
    <${Members} all=${all} />
    <${Lies} lies=${all.lies} />
    <h2>Waiting for votes</h2>
    ${all.votes.length ? all.votes.map((paper) => html`<${Paper} paper=${paper} all=${all} key=${paper.content_id} />`) : html`<p class="light">Nothing waits for a certificate.</p>`}
    <h2>Certificates</h2>
    ${all.decided.length ? html`<p class="light">${all.certificates} so far${all.certificates > all.decided.length ? `, the newest ${all.decided.length}` : ""}.</p><${Decided} decided=${all.decided} />` : html`<p class="light">None yet.</p>`}`;
}
