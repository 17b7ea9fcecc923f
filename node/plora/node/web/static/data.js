// What the page knows: answers of the peer, its stream of records, and whether the peer still answers.
//
// The peer is the only source. Records say that something changed; then the answers that are on the screen are asked
// for again. A stream that is silent for SILENT_MS, though the peer beats every second, counts as lost.

const SILENT_MS = 2500;
const SETTLE_MS = 250;
const REST = 3; // times as long as the peer took to answer
const REST_MS_MAX = 2000;
const EVENTS_KEPT = 500;
const TOKEN_KEY = "plora-token";

export const known = {
  link: "connecting", // connecting, up, lost
  lostAt: 0,
  boot: "",
  session: { writable: false, actions: [], reasons: {}, byte_bounds: [] },
  events: [], // newest first
  answers: {}, // by path
  errors: {},
};

let listeners = [];
let wanted = [];
let lookAgain = 4000;
let heardAt = 0;
let timer = 0;
let dueAt = 0;
let restUntil = 0;
let asking = false;
let again = false;
let stream = null;

export function onChange(listener) {
  listeners.push(listener);
  return () => { listeners = listeners.filter((one) => one !== listener); };
}

function changed() {
  for (const listener of listeners) listener();
}

// The token comes behind the # of the address, and never goes back into one.
export function takeToken() {
  const match = /^#token=([\w-]+)$/.exec(location.hash);
  if (!match) return;
  sessionStorage.setItem(TOKEN_KEY, match[1]);
  history.replaceState(null, "", location.pathname + "#/now");
}

function headers() {
  const token = sessionStorage.getItem(TOKEN_KEY);
  return token ? { authorization: `Bearer ${token}` } : {};
}

// The paths under /api/ that the screen shows; asked for now and whenever something changed.
// Some things change without a record: all is asked for again every `every` ms.
export function want(paths, every = 4000) {
  lookAgain = every;
  if (paths.join() === wanted.join()) return;
  wanted = paths;
  for (const path of Object.keys(known.answers)) if (path.includes("?") && !paths.includes(path)) delete known.answers[path];
  Promise.all(paths.filter((path) => !known.answers[path]).map(ask)).then(changed); // a person waits for these
  refreshSoon();
}

export function refreshSoon(wait = SETTLE_MS) {
  const at = Math.max(Date.now() + wait, restUntil);
  if (timer && dueAt <= at) return;
  clearTimeout(timer);
  dueAt = at;
  timer = setTimeout(refresh, at - Date.now());
}

// One round at a time, and none before the peer has rested: however much happens there, the page takes little of it.
async function refresh() {
  clearTimeout(timer);
  timer = 0;
  if (asking) { again = true; return; }
  asking = true;
  const begun = Date.now();
  await Promise.all(wanted.map(ask));
  restUntil = Date.now() + Math.min(REST_MS_MAX, REST * (Date.now() - begun));
  asking = false;
  changed();
  refreshSoon(again ? SETTLE_MS : lookAgain);
  again = false;
}

async function ask(path) {
  try {
    const response = await fetch(`/api/${path}`, { headers: headers() });
    const document = await response.json();
    if (response.ok) {
      known.answers[path] = document;
      delete known.errors[path];
    } else {
      known.errors[path] = document.error;
    }
  } catch {
    // The stream notices when the peer is gone.
  }
}

// Do something at the peer: {ok, said}. Whatever it changes comes back by the stream.
export async function act(action, name) {
  try {
    const response = await fetch(`/api/actions/${action}`, {
      method: "POST",
      headers: { ...headers(), "content-type": "application/json" },
      body: JSON.stringify({ name }),
    });
    const document = await response.json();
    refreshSoon();
    return { ok: response.ok, said: document.error || document.running || "Done." };
  } catch {
    return { ok: false, said: "The peer didn't answer." };
  }
}

async function greet() {
  try {
    known.session = await (await fetch("/api/session", { headers: headers() })).json();
  } catch {
    return;
  }
  changed();
}

export function listen() {
  connect();
  setInterval(() => { if (Date.now() - heardAt > SILENT_MS) lose(); }, 500);
}

function connect() {
  stream = new EventSource("/api/events");
  stream.addEventListener("hello", (event) => hello(JSON.parse(event.data).boot));
  stream.addEventListener("record", (event) => { heard(); take(JSON.parse(event.data)); });
  stream.addEventListener("beat", heard);
  stream.addEventListener("error", () => { lose(); if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 1000); });
}

function hello(boot) {
  if (known.boot && known.boot !== boot) known.events = [];
  known.boot = boot;
  heard();
  greet();
  refresh();
}

function heard() {
  heardAt = Date.now();
  if (known.link !== "up") {
    known.link = "up";
    changed();
  }
}

function lose() {
  if (known.link !== "up") return;
  known.link = "lost";
  known.lostAt = Date.now();
  changed();
}

function take(record) {
  known.events = [record, ...known.events].slice(0, EVENTS_KEPT);
  refreshSoon();
}
