// Merges: what is in the merged adapter of each base, what each input weighs, what was lost, and what it brings.

import { html } from "../vendor/htm-preact.js";
import { known } from "../data.js";
import { Action, Ago, Command, Empty, Loading, State, Text, plural, shown } from "../parts.js";

export const title = "Merges";
export const needs = () => ["merges"];

const percent = (share) => (share === 0 ? "0 %" : share < .0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);
const norm = (value) => (value ? value.toPrecision(3) : "–");

function Inputs({ merge }) {
  const row = (one) => html`<tr><td><${Text}>${one.domain || "?"}<//></td><td><a href=${`#/plasmids/${one.content_id}`}><${Text}>${one.name}<//></a>${one.left_out && html` <span class="bounds">doesn't fit the others: <${Text}>${one.left_out}<//></span>`}${one.copy_of && html` <span class="bounds">the same update as <${Text}>${one.copy_of}<//>, which counts once</span>`}</td>
    <td class="n">${one.weight.toFixed(2)}</td><td class="n wide">${norm(one.norm_alone)}</td><td class="n wide">${norm(one.norm_merged)}</td></tr>`;
  return html`<div class="rows" tabindex="0" role="region" aria-label="inputs of the merge"><table><thead><tr><th scope="col">domain</th><th scope="col">adapter</th><th scope="col" class="n">weight</th>
    <th scope="col" class="n wide" title="Frobenius norm of its change, by itself">‖ΔW‖ alone</th><th scope="col" class="n wide" title="at its weight in the merge">‖ΔW‖ merged</th></tr></thead>
    <tbody>${merge.contributions.map(row)}</tbody></table></div>`;
}

const figure = (value) => (Math.abs(value) < 100 ? value.toFixed(1) : value.toFixed(0));

// A perplexity with its 95 % bounds; the bounds give way to the next line where there is no room beside.
function Estimate({ of }) {
  return html`${figure(of.value)} <span class="bounds">[${figure(of.low)}, ${figure(of.high)}]</span>`;
}

// Against the base alone, on the same answers: clear where the interval of the difference excludes none.
const change = ({ low, high }) => (high < 0 ? "better" : low > 0 ? "worse" : "unclear");
const WORDS = { better: "better than the base", worse: "worse than the base", unclear: "no clear change" };

function Gains({ merge }) {
  const { measure } = merge;
  if (!measure.domains.length) return html`<div class="notice"><p>Not measured yet. Type</p><${Command}>plora measure ${merge.base_model}<//></div>`;
  const row = (one) => html`<tr><td><${Text}>${one.domain}<//><${State} value=${change(one.change)} word=${WORDS[change(one.change)]} /></td>
    <td class="n"><${Estimate} of=${one.base} /></td><td class="n">${measure.before ? html`<${Estimate} of=${one.before} />` : "–"}</td><td class="n"><${Estimate} of=${one.after} /></td></tr>`;
  const answers = [...new Set(measure.domains.map((one) => one.documents))].join(", ");
  return html`<div class="rows gains" tabindex="0" role="region" aria-label="what the merge brings"><table>
    <thead><tr><th scope="col">domain</th><th scope="col" class="n">base alone</th><th scope="col" class="n">${measure.before ? `before (${measure.before})` : "before"}</th>
    <th scope="col" class="n">now (${measure.generation})</th></tr></thead>
    <tbody>${measure.domains.map(row)}</tbody></table></div>
    <p class="light">Perplexity of ${answers} held-out answers a domain with 95 % bounds, lower is better; in brackets the generation.
    Measured by <${Text}>${measure.by}<//>, <${Ago} ms=${measure.wall_ms} />.</p>`;
}

function History({ base }) {
  const found = known.events.filter((one) => (one.kind === "merge" || one.kind === "rollback") && one.base === base).slice(0, 12);
  if (!found.length) return null;
  const row = (one) => html`<tr><td>${one.kind !== "merge" ? "rolled back" : one.inputs.length ? "merged" : "unmerged"}</td><td class="n">${one.before || "–"} → ${one.after || "–"}</td>
    <td class="n">${one.inputs ? one.inputs.length : ""}</td><td class="n wide">${one.discarded_energy === undefined ? "" : percent(one.discarded_energy)}</td>
    <td class="n"><${Ago} ms=${one.wall_ms} /></td></tr>`;
  return html`<div class="rows" tabindex="0" role="region" aria-label="merges until now"><table><thead><tr><th scope="col">what</th><th scope="col" class="n">generation</th><th scope="col" class="n">inputs</th><th scope="col" class="n wide">lost</th><th scope="col" class="n">when</th></tr></thead><tbody>${found.map(row)}</tbody></table></div>`;
}

function Merge({ merge }) {
  const facts = [
    ["generation served", merge.newest > merge.generation ? `${merge.generation}; the newest is ${merge.newest}` : merge.generation], ["rank", merge.rank || "–"],
    ["lost by truncation", percent(merge.discarded_energy)], ["folder", html`<code>${shown(merge.folder) || "none"}</code>`],
  ];
  const older = merge.before.find((number) => number < merge.generation) || 0;
  return html`<section><h2><${Text}>${merge.base_model}<//></h2>
    ${merge.probed && html`<p class="light">${shown(merge.probed)}</p>`}
    ${merge.trouble && html`<p class="notice wrong">The newest attempt failed: ${shown(merge.trouble)}</p>`}
    <p class="light">${plural(merge.inputs.length, "adapter")} in one, by weight; norms say how large each change is by itself and in the merge.</p>
    <${Inputs} merge=${merge} />
    <dl class="facts card">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
    ${merge.generation > 0 && html`<h3>What it brings</h3><${Gains} merge=${merge} />`}
    <div class="bar">
      ${older > 0 && html`<${Action} action="rollback" name=${merge.base_model} sure=${`Really serve generation ${older}?`}>Roll back to generation ${older}<//>`}
      ${merge.newest > merge.generation && html`<${Action} action="forward" name=${merge.base_model}>Serve the newest (${merge.newest}) again<//>`}
    </div>
    <${History} base=${merge.base_model} /></section>`;
}

export function Screen() {
  const merges = known.answers.merges?.merges;
  if (!merges) return html`<h1>Merges</h1><${Loading} path="merges" />`;
  if (!merges.length) return html`<h1>Merges</h1><${Empty} title="Nothing is merged yet."><p>The accepted adapters of a base become one merged adapter, under <code>merged/</code> in the peer's home.</p><//>`;
  return html`<h1>Merges</h1>${merges.map((merge) => html`<${Merge} merge=${merge} />`)}`;
}
