// Small parts that every screen uses. Whatever came from elsewhere passes through `shown`: text and nothing else.

import { html, useState } from "./vendor/htm-preact.js";
import { act, known } from "./data.js";

// Control characters and those that reverse the direction of writing become visible.
export function shown(value) {
  return String(value ?? "").replace(/[\p{C}\u2028\u2029]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

export function Text({ children }) {
  return html`<bdi>${shown([children].flat().join(""))}</bdi>`;
}

// A sentence of the peer's, whose commands stand in backticks.
export function Words({ children }) {
  return [children].flat().join("").split("`").map((part, at) => (at % 2 ? html`<code>${shown(part)}</code>` : html`<${Text}>${part}<//>`));
}

export function Hash({ value, digits = 12 }) {
  if (!value) return null;
  return html`<code class="hash" title=${shown(value)}>${shown(value).slice(0, digits)}${value.length > digits ? "…" : ""}</code>`;
}

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = Number(count), unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return s < 2 * 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} days`;
}

export function Ago({ ms }) {
  if (!ms) return html`<span class="light">–</span>`;
  const when = new Date(ms);
  return html`<time datetime=${when.toISOString()} title=${when.toLocaleString()}>${span(Date.now() - ms)} ago</time>`;
}

export function clock(ms) {
  return new Date(ms).toLocaleTimeString([], { hour12: false });
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

// A state is a word and a shape, so that no meaning hangs on a colour.
const SHAPES = {
  tick: html`<svg viewBox="0 0 14 14" aria-hidden="true"><circle class="f" cx="7" cy="7" r="6" /><path class="o" d="M4 7.2 6.2 9.4 10 5" /></svg>`,
  diamond: html`<svg viewBox="0 0 14 14" aria-hidden="true"><path class="f" d="M7 .8 13.2 7 7 13.2 .8 7z" /></svg>`,
  half: html`<svg viewBox="0 0 14 14" aria-hidden="true"><circle cx="7" cy="7" r="6" /><path class="f" d="M7 1a6 6 0 0 1 0 12z" /></svg>`,
  ring: html`<svg viewBox="0 0 14 14" aria-hidden="true"><circle cx="7" cy="7" r="6" /><path d="M7 3.6V7l2.4 1.6" /></svg>`,
  square: html`<svg viewBox="0 0 14 14" aria-hidden="true"><rect x="1.5" y="1.5" width="11" height="11" /></svg>`,
  warning: html`<svg viewBox="0 0 14 14" aria-hidden="true"><path d="M7 1 13.4 12.8H.6z" /><path d="M7 5.4v3.4M7 10.4v.6" /></svg>`,
  cross: html`<svg viewBox="0 0 14 14" aria-hidden="true"><path d="M4.2.8h5.6l3.4 3.4v5.6l-3.4 3.4H4.2L.8 9.8V4.2z" /><path d="m4.6 4.6 4.8 4.8m0-4.8-4.8 4.8" /></svg>`,
  dash: html`<svg viewBox="0 0 14 14" aria-hidden="true"><path d="M2 7h10" /></svg>`,
};
const STATES = {
  own: ["good", "diamond"], accepted: ["good", "tick"], pass: ["good", "tick"], accept: ["good", "tick"], up: ["good", "tick"],
  fetching: ["busy", "half"], examining: ["busy", "half"], dialing: ["busy", "half"], finishing: ["busy", "half"], list: ["busy", "half"],
  pending: ["warn", "ring"], waiting: ["warn", "ring"], deferred: ["warn", "ring"], defer: ["warn", "ring"], asked: ["warn", "ring"],
  quarantined: ["warn", "warning"], quarantine: ["warn", "warning"], no_source: ["warn", "warning"],
  refused: ["bad", "cross"], reject: ["bad", "cross"], revoked: ["bad", "cross"], down: ["bad", "cross"], denied: ["bad", "cross"],
  bad_bytes: ["bad", "cross"], disk_full: ["bad", "cross"], io_error: ["bad", "cross"],
  better: ["good", "tick"], worse: ["bad", "warning"], unclear: ["idle", "dash"],
  fresh: ["good", "tick"], stale: ["warn", "warning"], forked: ["bad", "warning"], acknowledged: ["idle", "half"],
  guilty: ["bad", "warning"], other: ["warn", "warning"], silent: ["idle", "dash"],
  unwanted: ["idle", "square"], removed: ["idle", "square"], offered: ["warn", "ring"], carried: ["good", "half"],
};

export const mood = (state) => (STATES[state] || ["idle"])[0];

export function State({ value, word }) {
  const [tone, shape] = STATES[value] || ["idle", "dash"];
  return html`<span class="state ${tone}">${SHAPES[shape]}<span>${shown(word || value).replaceAll("_", " ")}</span></span>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><p>${title}</p>${children}</div>`;
}

export function Command({ children }) {
  const [said, setSaid] = useState("Copy");
  const text = shown([children].flat().join(""));
  async function copy() {
    await navigator.clipboard.writeText(text);
    setSaid("Copied");
    setTimeout(() => setSaid("Copy"), 1500);
  }
  return html`<div class="command"><code>${text}</code><button type="button" onClick=${copy} aria-label=${`Copy: ${text}`}>${said}</button></div>`;
}

// A button for an action of the peer; nothing where the page is read-only or the peer lacks the action.
export function Action({ action, name, children, danger = false, sure = "" }) {
  const [asking, setAsking] = useState(false);
  const [said, setSaid] = useState("");
  if (!known.session.writable || !known.session.actions.includes(action)) return null;
  async function go() {
    if (sure && !asking) { setAsking(true); return; }
    setAsking(false);
    setSaid("…");
    setSaid((await act(action, name)).said);
  }
  return html`<button type="button" class=${danger ? "danger" : ""} onClick=${go} onBlur=${() => setAsking(false)}>${asking ? sure : children}</button>
    ${said && html`<span class="light" role="status">${shown(said)}</span>`}`;
}

export function Loading({ path }) {
  const error = known.errors[path];
  return error ? html`<p class="notice wrong"><${Words}>${error}<//></p>` : html`<p class="light">Asking the peer …</p>`;
}
