// What waits for a decision. Trust, signatures and revocation are typed by a person; the page only shows the command.

import { html } from "../vendor/htm-preact.js";
import { known } from "../data.js";
import { Command, Empty, Loading } from "../parts.js";
import { Rows } from "./plasmids.js";

export const title = "Decisions";

const KINDS = [
  {
    title: "Owners whom nobody here trusts",
    said: "Only the manifests are here. To believe an owner is a decision for the terminal:",
    fits: (one) => one.state === "waiting",
    commands: (one) => [`plora trust add ${one.owner.slice(0, 12)}`],
  },
  {
    title: "Too few signatures",
    said: "More owners must sign. If you are one of them, and have looked at it:",
    fits: (one) => one.reason === "below_quorum",
    commands: (one) => [`plora cosign ${one.name}`],
  },
  {
    title: "No certificate yet",
    said: "A quorum of the consensus' members must accept it. Who votes, and what they said:",
    fits: (one) => ["awaiting_certificate", "certificate_overdue", "consensus_compromised"].includes(one.reason),
    commands: (one) => ["plora consensus", `plora why ${one.name}`],
  },
  {
    title: "Kept apart",
    said: "The gate found something that a person should look at. It isn't used meanwhile.",
    fits: (one) => one.state === "quarantined",
    commands: (one) => [`plora why ${one.name}`],
  },
  {
    title: "Offered to you",
    said: "This peer asks before it fetches.",
    fits: (one) => one.state === "offered",
    commands: (one) => [`plora fetch ${one.name}`],
  },
];

const open = () => (known.answers.plasmids?.plasmids || []).filter((one) => KINDS.some((kind) => kind.fits(one)));
export const count = () => open().length;

// What a person can do about one plasmid.
export function Steps({ one }) {
  const kind = KINDS.find((each) => each.fits(one));
  if (!kind) return null;
  return html`<div class="notice"><p>${kind.said}</p>${kind.commands(one).map((text) => html`<${Command}>${text}<//>`)}</div>`;
}

export function Screen() {
  if (!known.answers.plasmids) return html`<h1>Decisions</h1><${Loading} path="plasmids" />`;
  const all = open();
  if (!all.length) return html`<h1>Decisions</h1><${Empty} title="Nothing waits for you." />`;
  const group = (kind) => {
    const found = all.filter((one) => KINDS.find((each) => each.fits(one)) === kind);
    if (!found.length) return null;
    const commands = [...new Set(found.flatMap(kind.commands))].slice(0, 20);
    return html`<section><h2>${kind.title}</h2><p>${kind.said}</p><${Rows} plasmids=${found} />${commands.map((text) => html`<${Command}>${text}<//>`)}</section>`;
  };
  return html`<h1>Decisions</h1>${KINDS.map(group)}`;
}
