// Plasmids: everything this peer knows of, with a filter.

import { html, useState } from "../vendor/htm-preact.js";
import { known } from "../data.js";
import { Ago, Command, Empty, Loading, State, Text, Words, bytes, plural, shown } from "../parts.js";

export const title = "Plasmids";
const SHOWN_MAX = 200;

export function Rows({ plasmids }) {
  const row = (one) => html`<tr key=${one.content_id}>
    <td><${State} value=${one.state} word=${one.state === "fetching" ? `${Math.floor(one.percent)} %` : ""} />${one.pinned && html`<span class="sub">pinned</span>`}</td>
    <td><a href=${`#/plasmids/${one.content_id}`}><${Text}>${one.name}<//></a><span class="sub narrow"><${Text}>${one.domain}<//></span>
      ${one.sentence && !["accepted", "own"].includes(one.state) && html`<span class="sub">${held(one) && html`<b>${shown(one.stage)}</b> · `}<${Words}>${one.sentence}<//></span>`}</td>
    <td class="wide word"><${Text}>${one.domain}<//></td>
    <td class="wide word"><${Text}>${one.base_model}<//></td>
    <td class="n wide">${bytes(one.size_bytes)}</td>
    <td class="n wide"><${Ago} ms=${one.seen_wall_ms} /></td></tr>`;
  return html`<div class="rows" tabindex="0" role="region" aria-label="plasmids"><table>
    <thead><tr><th scope="col">state</th><th scope="col">name</th><th scope="col" class="wide">domain</th><th scope="col" class="wide">base</th><th scope="col" class="n wide">size</th><th scope="col" class="n wide">seen</th></tr></thead>
    <tbody>${plasmids.map(row)}</tbody></table></div>`;
}

// Whether a layer of the gate keeps it from being used.
const held = (one) => Boolean(one.stage) && one.outcome !== "ACCEPT" && !["superseded", "expired", "evicted"].includes(one.state);

function Choice({ label, value, values, choose }) {
  return html`<label>${label}<select value=${value} onChange=${(event) => choose(event.target.value)}>
    <option value="">all</option>${values.map((one) => html`<option value=${one}>${shown(one)}</option>`)}</select></label>`;
}

const distinct = (values) => [...new Set(values)].sort();

export function Screen() {
  const [text, setText] = useState("");
  const [state, setState] = useState("");
  const [domain, setDomain] = useState("");
  const [layer, setLayer] = useState("");
  const all = known.answers.plasmids?.plasmids;
  if (!all) return html`<h1>Plasmids</h1><${Loading} path="plasmids" />`;
  if (!all.length) {
    return html`<h1>Plasmids</h1><${Empty} title="No plasmid has been seen yet.">
      <p>Publish an adapter of yours; others' appear here as soon as a neighbour tells of them.</p><${Command}>plora publish FOLDER<//><//>`;
  }
  const fits = (one) => (!state || one.state === state) && (!domain || one.domain === domain) && (!layer || (held(one) && one.stage === layer))
    && (!text || `${one.name} ${one.base_model} ${one.content_id} ${one.sha256}`.includes(text.trim()));
  const found = all.filter(fits);
  return html`<h1>Plasmids</h1>
    <form class="bar" onSubmit=${(event) => event.preventDefault()}>
      <label class="grow">name, base or digest<input type="search" value=${text} onInput=${(event) => setText(event.target.value)} /></label>
      <${Choice} label="state" value=${state} values=${distinct(all.map((one) => one.state))} choose=${setState} />
      <${Choice} label="domain" value=${domain} values=${distinct(all.map((one) => one.domain))} choose=${setDomain} />
      <${Choice} label="held by the layer" value=${layer} values=${distinct(all.filter(held).map((one) => one.stage))} choose=${setLayer} />
    </form>
    <p class="light" role="status">${found.length === all.length ? plural(all.length, "plasmid") : `${found.length} of ${plural(all.length, "plasmid")}`}${found.length > SHOWN_MAX ? `; the first ${SHOWN_MAX} are shown` : ""}</p>
    ${found.length ? html`<${Rows} plasmids=${found.slice(0, SHOWN_MAX)} />` : html`<${Empty} title="None fits the filter." />`}`;
}
