// One record of the event log as a sentence: for the screen that says what happened lately.

import { html } from "./vendor/htm-preact.js";
import { known } from "./data.js";
import { Hash, Text, bytes, plural, shown } from "./parts.js";

const plasmids = () => known.answers.plasmids?.plasmids || [];

export function Peer({ id }) {
  const peer = (known.answers.peers?.peers || []).find((one) => one.peer === id);
  return peer?.nickname ? html`<${Text}>${peer.nickname}<//>` : html`<${Hash} value=${id} />`;
}

export function Plasmid({ id, digest }) {
  const found = plasmids().find((one) => one.content_id === id || one.sha256 === digest);
  return found ? html`<a href=${`#/plasmids/${found.content_id}`}><${Text}>${found.name}<//></a>` : html`<${Hash} value=${id || digest} />`;
}

const plain = (code) => shown(code).replaceAll("_", " ");
const WORDS = { bad_hash: "what came was not what was signed", disk_full: "the disk is full", io_error: "the disk failed" };
function meaning(reason) {
  const code = reason.startsWith("header_") ? "header_" : reason;
  const words = { ...WORDS, ...known.session.reasons };
  return Object.hasOwn(words, code) ? words[code] : plain(reason);
}
const bound = ({ setting, limit }) => (setting.endsWith("_rate") ? `${bytes(limit)}/s` : known.session.byte_bounds.includes(setting) ? bytes(limit) : limit);
const at = (one) => (one.reason ? html` at the layer “${shown(one.stage)}”` : "");
const because = (reason) => (reason ? `: ${meaning(reason)}` : "");
const said = (what, names) => (names?.length ? html`, ${what} <${Text}>${names.join(", ")}<//>` : "");
const OUTCOMES = { accept: "accepted", reject: "refused", quarantine: "kept apart", pending: "waits", defer: "put off" };

const SENTENCES = {
  boot: (one) => html`the peer started, version ${shown(one.software)}`,
  link_up: (one) => html`linked with <${Peer} id=${one.neighbour} />`,
  link_down: (one) => html`lost the link with <${Peer} id=${one.neighbour} />${because(one.reason)}`,
  published: (one) => html`published <${Plasmid} id=${one.id} />`,
  fetch_started: (one) => html`began to fetch <${Plasmid} digest=${one.digest} />, ${bytes(one.size_bytes)}`,
  fetch_done: (one) => html`fetched <${Plasmid} digest=${one.digest} />, ${bytes(one.wire_bytes)} from ${one.sources.map((id, at) => html`${at ? ", " : ""}<${Peer} id=${id} />`)}`,
  fetch_failed: (one) => html`couldn't fetch <${Plasmid} digest=${one.digest} />${because(one.reason)}`,
  verdict: (one) => html`<${Plasmid} id=${one.id} /> ${OUTCOMES[one.outcome] || shown(one.outcome)}${at(one)}${because(one.reason)}`,
  merge: (one) => (!one.inputs.length ? html`nothing of <${Text}>${one.base}<//> is left to merge, so no merge of it is served` : html`merged ${plural(one.inputs.length, "adapter")} of <${Text}>${one.base}<//>, generation ${one.after}`),
  merge_measured: (one) => html`generation ${one.generation} of <${Text}>${one.base}<//> was measured in <${Text}>${one.domains.join(", ")}<//>`,
  rollback: (one) => html`serves generation ${one.after || "none"} of <${Text}>${one.base}<//> instead of ${one.before}${because(one.reason)}`,
  certificate: (one) => html`a quorum accepted <${Plasmid} id=${one.content} />${said("namely", one.members)}`,
  alarm: (one) => html`consensus, <${Text}>${one.subject}<//>: <${Text}>${one.what}<//>`,
  revoked: (one) => html`${shown(one.target_kind)} ${one.target_kind === "content" ? html`<${Plasmid} id=${one.target} />` : html`<${Hash} value=${one.target} />`} was revoked${one.reason ? html`: <${Text}>${one.reason}<//>` : ""}`,
  bound_hit: (one) => html`reached the limit <code>${shown(one.setting)}</code> of ${bound(one)}`,
  evicted: (one) => html`deleted <${Plasmid} digest=${one.digest} />, ${bytes(one.size_bytes)}${because(one.reason)}`,
  penalty: (one) => html`<${Peer} id=${one.subject} /> broke a rule${because(one.reason)}`,
  repelled: (one) => html`ended ${plural(one.count, "connection")} from <${Text}>${one.host}<//>${because(one.reason)}`,
  knowledge: (one) => html`the domain <${Text}>${one.domain}<//> was ${plain(one.change)}`,
  trust: (one) => html`trust changed${said("believes", one.added)}${said("no longer believes", one.removed)}${said("distrusts", one.distrusted)}`,
  rotated: (one) => html`${plural(one.threshold, "key")} of ${one.keys.length} must sign for the owner <${Hash} value=${one.owner} /> from now on`,
  freshness: (one) => html`this peer is ${plain(one.state)}: of the ${one.required} owners needed, ${one.signed.length} said lately how new the swarm is`,
  wished: (one) => html`<${Plasmid} id=${one.id} /> was ${one.wish === "asked" ? "asked for" : plain(one.wish)} by its person`,
  serving: (one) => html`<${Text}>${one.server}<//> ${plain(one.change)} <${Text}>${one.name}<//>`,
  invited: (one) => html`made a ticket for <${Text}>${one.name}<//>`,
  joined: (one) => html`<${Text}>${one.name}<//> joined; the words are ${shown(one.words)}`,
  acknowledged: (one) => html`its person answers for entry ${one.entry} of the audit (<${Text}>${one.what}<//>): <${Text}>${one.note}<//>`,
  expired: (one) => html`<${Plasmid} id=${one.id} /> has expired`,
  superseded: (one) => html`<${Plasmid} id=${one.id} /> gave way to <${Plasmid} id=${one.by} />`,
  repair: (one) => html`<${Text}>${one.what}<//>`,
  error: (one) => html`<${Text}>${one.what}<//>${one.where ? html` <span class="light">(<${Text}>${one.where}<//>)</span>` : ""}`,
};
const MOODS = { acknowledged: "warn", alarm: "bad", rotated: "warn", freshness: "warn", trust: "warn", error: "bad", penalty: "bad", fetch_failed: "bad", revoked: "bad", bound_hit: "warn", repelled: "warn", link_down: "warn", evicted: "warn" };

export const tells = (record) => record.kind in SENTENCES && record.kind !== "knowledge" && record.kind !== "fetch_started" && record.reason !== "bytes_missing";
export const sentence = (record) => SENTENCES[record.kind]?.(record);
export const tone = (record) => MOODS[record.kind] || (record.outcome === "reject" || record.outcome === "quarantine" ? "bad" : "");
