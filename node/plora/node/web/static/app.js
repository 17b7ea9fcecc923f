// The shell: which screen the address names, the navigation, and whether the peer answers.

import { html, render, useEffect, useState } from "./vendor/htm-preact.js";
import { known, listen, onChange, takeToken, want } from "./data.js";
import { clock, shown } from "./parts.js";
import * as now from "./screens/now.js";
import * as plasmids from "./screens/plasmids.js";
import * as plasmid from "./screens/plasmid.js";
import * as swarm from "./screens/swarm.js";
import * as transfers from "./screens/transfers.js";
import * as merges from "./screens/merges.js";
import * as consensus from "./screens/consensus.js";
import * as trust from "./screens/trust.js";
import * as decisions from "./screens/decisions.js";
import * as events from "./screens/events.js";

const SCREENS = { now, plasmids, swarm, transfers, merges, trust, consensus, decisions, events };

function route() {
  const [, name = "now", argument = ""] = location.hash.split("/");
  if (name === "plasmids" && argument) return { name, screen: plasmid, argument: decodeURIComponent(argument) };
  return { name: SCREENS[name] ? name : "now", screen: SCREENS[name] || now, argument: "" };
}

function Nav({ current }) {
  const link = ([name, screen]) => {
    const count = screen.count?.() || 0;
    return html`<li><a href=${`#/${name}`} aria-current=${current === name ? "page" : null}>${screen.title}${count > 0 && html`<b>${count}</b>`}</a></li>`;
  };
  return html`<nav aria-label="Screens"><ul>${Object.entries(SCREENS).map(link)}</ul></nav>`;
}

function App() {
  const [, redraw] = useState(0);
  const [place, setPlace] = useState(route());
  useEffect(() => onChange(() => redraw((count) => count + 1)), []);
  useEffect(() => {
    const move = () => { setPlace(route()); scrollTo(0, 0); };
    addEventListener("hashchange", move);
    setPlace(route()); // the address may have changed before anybody listened
    return () => removeEventListener("hashchange", move);
  }, []);
  const { screen, name, argument } = place;
  useEffect(() => {
    want([...new Set(["status", "plasmids", "peers", ...(screen.needs?.(argument) || [])])], screen.every);
    document.title = `${screen.title} · Plora`;
  }, [screen, argument]);
  const lost = known.link === "lost";
  const peer = known.answers.status?.name;
  return html`
    <header id="top">
      <a href="#/now">Plora ${peer && html`<span>${shown(peer)}</span>`}</a>
      <${Nav} current=${name} />
      <span id="mode">${known.session.writable ? "can change this peer" : "read-only"}</span>
    </header>
    ${lost && html`<p class="banner" role="alert">The peer stopped answering at ${clock(known.lostAt)}. What you see is from before; trying again …</p>`}
    <main class=${lost ? "stale" : ""}><${screen.Screen} argument=${argument} key=${name + argument} /></main>`;
}

takeToken();
document.body.replaceChildren();
render(html`<${App} />`, document.body);
listen();
