// The frame of the page: who is logged in, which view is open, what is told live, keys.

import { ask, get, post, remove, useSecret, watch } from "./api.js";
import { h, render } from "./dom.js";
import { forget } from "./trail.js";
import { attempt, dialog } from "./ui.js";
import { connection, connections } from "./connections.js";
import { deadLetterQueue, deadLetters } from "./dead-letters.js";
import { definitions } from "./definitions.js";
import { exchange, exchanges } from "./exchanges.js";
import { policies, users, vhosts } from "./operators.js";
import { overview } from "./overview.js";
import { queue } from "./queue.js";
import { queues } from "./queues.js";
import { schedules } from "./schedules.js";

const VIEWS = {
  "": { name: "Overview", key: "o", open: overview },
  queues: { name: "Queues", key: "q", open: queues, one: queue },
  "dead-letters": { name: "Dead letters", key: "d", open: deadLetters, one: deadLetterQueue },
  connections: { name: "Connections", key: "c", open: connections, one: connection },
  exchanges: { name: "Exchanges", key: "e", open: exchanges, one: exchange },
  schedules: { name: "Schedules", key: "t", open: schedules },
  policies: { name: "Policies", key: "p", open: policies },
  users: { name: "Users", key: "s", open: users, may: () => ctx.has("administrator") },
  vhosts: { name: "Virtual hosts", key: "v", open: vhosts },
  definitions: { name: "Definitions", key: "f", open: definitions, may: () => ctx.has("administrator") },
};

const root = document.createElement("div");
root.id = "page";
let session = null;
let view = null;
let route = { section: "", parts: [], query: {} };
let end = null;
let link = { state: "asking" };
let ended = false;
let refused = null;

const ctx = {
  get session() { return session; },
  get query() { return route.query; },
  get vhost() { return localStorage.getItem("vhost") ?? ""; },
  has: (...tags) => session.tags.some((tag) => tags.includes(tag)),
  redraw,
  rewatch,
  /** Changes what stands behind the `?`; nothing and "" take it away. */
  set(query) {
    const next = { ...route.query, ...query };
    for (const name of Object.keys(next)) if (next[name] === undefined || next[name] === "") delete next[name];
    route.query = next;
    history.replaceState(null, "", href(route));
    rewatch();
  },
  /** Virtual hosts have come or gone. */
  renewSession: () => get("/api/forebay/session").then((described) => {
    session = described;
    if (ctx.vhost && !session.vhosts.includes(ctx.vhost)) localStorage.removeItem("vhost");
    redraw();
  }, () => {}),
  go: (target) => { location.hash = target; },
};

function href({ section, parts, query }) {
  const path = [section, ...parts].map(encodeURIComponent).join("/");
  const text = new URLSearchParams(query).toString();
  return `#/${path}${text ? `?${text}` : ""}`;
}

function parse(hash) {
  const [path, text] = hash.replace(/^#\/?/, "").split("?");
  const [section, ...parts] = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  const known = VIEWS[section] && (!VIEWS[section].may || VIEWS[section].may());
  return { section: known ? section : "", parts: known ? parts : [], query: Object.fromEntries(new URLSearchParams(text ?? "")) };
}

let drawn = 0;
function redraw() {
  if (drawn) return;
  drawn = requestAnimationFrame(() => {
    drawn = 0;
    draw();
  });
}

function rewatch() {
  end?.();
  end = null;
  const paths = view?.watch?.() ?? [];
  const mine = view;
  if (paths.length) {
    end = watch(paths, (at, body, status) => {
      if (mine !== view) return;
      refused = status >= 400 && status !== 404 ? body?.reason ?? String(status) : null;
      mine.told(at, body, status);
      redraw();
    }, (state, reason) => {
      if (link.state === state && link.reason === reason) return;
      link = { state, reason };
      redraw();
    });
  }
  redraw();
}

function open() {
  const next = parse(location.hash);
  const isSame = view && next.section === route.section && String(next.parts) === String(route.parts);
  route = next;
  if (!isSame) {
    view?.close?.();
    refused = null;
    const { open: list, one } = VIEWS[route.section];
    view = one && route.parts.length ? one(ctx, ...route.parts) : list(ctx, ...route.parts);
    window.scrollTo(0, 0);
  }
  rewatch();
}

function draw() {
  if (!session) {
    document.title = "Forebay";
    render(root, login());
    return;
  }
  const title = view.title();
  document.title = `${title} · Forebay`;
  render(root, [
    h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); document.getElementById("main").focus(); } }, "To the content"),
    h("header", { class: "bar" },
      h("a", { class: "brand", href: "#/" }, h("img", { src: "/console/icon.svg", alt: "", width: 22, height: 22 }), h("span", {}, session.product_name)),
      h("nav", { "aria-label": "Views" }, Object.entries(VIEWS).filter(([, it]) => !it.may || it.may(ctx)).map(([section, it]) =>
        h("a", { href: `#/${section}`, "aria-current": route.section === section ? "page" : undefined }, it.name))),
      h("div", { class: "tools" },
        session.vhosts.length > 1 && h("select", { "aria-label": "Virtual host", value: ctx.vhost, onchange: (event) => { localStorage.setItem("vhost", event.target.value); open(); } },
          h("option", { value: "" }, "all virtual hosts"), session.vhosts.map((vhost) => h("option", { value: vhost }, vhost))),
        h("span", { class: `link ${link.state}`, role: "status", title: link.state === "lost" ? "The broker does not answer; the page goes on trying" : "What you see is renewed each second" },
          h("i", {}), link.state === "live" ? "live" : link.state === "asking" ? "…" : link.reason ? "waiting" : "no broker"),
        h("details", { class: "menu", onfocusout: (event) => { if (!event.currentTarget.contains(event.relatedTarget)) event.currentTarget.removeAttribute("open"); } },
          h("summary", { "aria-label": "Menu" }, session.name),
          h("div", {},
            h("p", {}, h("b", {}, session.name), h("small", {}, session.tags.join(", "))),
            h("p", {}, h("small", {}, `${session.product_name} ${session.product_version}`), h("small", {}, session.node)),
            h("div", { class: "themes", role: "group", "aria-label": "Colours" }, ["auto", "light", "dark"].map((it) =>
              h("button", { type: "button", "aria-pressed": String(theme() === it), onclick: () => { localStorage.setItem("theme", it); applyTheme(); redraw(); } }, it))),
            h("button", { type: "button", onclick: help }, "Keys", h("kbd", {}, "?")),
            h("button", { type: "button", onclick: logOut }, "Log out"))))),
    link.state === "lost" && h("p", { class: "lost", role: "alert" }, link.reason ?? "The broker can't be reached. What you see is as it was; the page goes on trying."),
    h("main", { id: "main", tabindex: -1, key: href({ ...route, query: {} }) },
      refused && h("p", { class: "refusal", role: "alert" }, refused),
      view.draw()),
  ]);
}

function theme() {
  return localStorage.getItem("theme") ?? "auto";
}

function applyTheme() {
  if (theme() === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme());
}

const entry = { busy: false, reason: null };

function login() {
  const submit = async (event) => {
    event.preventDefault();
    if (entry.busy) return;
    const { name, password } = Object.fromEntries(new FormData(event.target));
    Object.assign(entry, { busy: true, reason: null });
    redraw();
    try {
      enter(await post("/api/forebay/session", { name, password }));
      entry.reason = null;
    } catch (error) {
      entry.reason = error.status === 401 ? (error.message === "Login failed" ? "Name or password is wrong." : "This user has none of the tags administrator, monitoring, policymaker and management.") : error.message;
    }
    entry.busy = false;
    redraw();
  };
  return h("main", { class: "login" },
    h("form", { onsubmit: submit },
      h("img", { src: "/console/icon.svg", alt: "", width: 48, height: 48 }),
      h("h1", {}, "Forebay"),
      ended && h("p", { class: "quiet" }, "The session has ended. Log in to go on where you were."),
      h("div", { class: "field" }, h("label", { for: "name" }, "User"), h("input", { id: "name", name: "name", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true, created: (node) => setTimeout(() => node.focus()) })),
      h("div", { class: "field" }, h("label", { for: "password" }, "Password"), h("input", { id: "password", name: "password", type: "password", autocomplete: "current-password" })),
      entry.reason && h("p", { class: "refusal", role: "alert" }, entry.reason),
      h("button", { class: "primary", type: "submit", disabled: entry.busy }, entry.busy ? "Checking…" : "Log in")));
}

function enter(described) {
  session = described;
  ended = false;
  useSecret(session.csrf);
  if (ctx.vhost && !session.vhosts.includes(ctx.vhost)) localStorage.removeItem("vhost");
  view = null;
  open();
}

function leave(because) {
  end?.();
  end = null;
  session = null;
  view = null;
  ended = because;
  useSecret(null);
  forget();
  for (const node of document.querySelectorAll("dialog")) node.close();
  redraw();
}

async function logOut() {
  await attempt(() => remove("/api/forebay/session"));
  leave(false);
}

function help() {
  const keys = [["/", "search"], ["j  k", "next row, row before"], ["Enter", "open the row"], ["u", "up, from a queue to the list"], ["?", "these keys"],
    ...Object.values(VIEWS).filter((it) => it.key && (!it.may || it.may(ctx))).map((it) => [`g  ${it.key}`, it.name])];
  dialog("Keys", () => h("dl", { class: "keys" }, keys.map(([key, text]) => [h("dt", {}, key.split("  ").map((it) => h("kbd", {}, it))), h("dd", {}, text)])));
}

let before = "";
function press(event) {
  if (!session || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const isTyping = event.target.closest("input, textarea, select");
  if (event.key === "Escape" && isTyping) {
    event.target.blur();
    return;
  }
  if (isTyping) return;
  const rows = [...document.querySelectorAll("tr[data-href]")];
  const at = rows.indexOf(document.activeElement?.closest("tr"));
  const went = before === "g" && Object.entries(VIEWS).find(([, it]) => it.key === event.key && (!it.may || it.may(ctx)));
  before = event.key === "g" ? "g" : "";
  if (went) ctx.go(`#/${went[0]}`);
  else if (event.key === "/") document.querySelector("[type=search]")?.focus();
  else if (event.key === "?") help();
  else if (event.key === "j" || event.key === "k") rows[Math.max(0, Math.min(rows.length - 1, at + (event.key === "j" ? 1 : -1)))]?.focus();
  else if (event.key === "u" && route.parts.length) ctx.go(`#/${route.section}`);
  else if (event.key === "Enter" && at >= 0 && document.activeElement === rows[at]) ctx.go(rows[at].dataset.href);
  else return;
  event.preventDefault();
}

// A row leads where its first link leads.
function click(event) {
  const row = event.target.closest?.("tr[data-href]");
  if (row && !event.target.closest("a, button, input, select") && !String(getSelection())) ctx.go(row.dataset.href);
}

window.addEventListener("hashchange", () => session && open());
window.addEventListener("keydown", press);
window.addEventListener("click", click);
window.addEventListener("ended", () => session && leave(true));
window.addEventListener("unauthorised", async () => {
  // A 401 is also what the user may not do.
  const there = await ask("GET", "/api/forebay/session").catch((error) => error);
  if (there.status === 401 && session) leave(true);
});
// Time goes on while figures stay.
setInterval(() => session && !document.hidden && redraw(), 2_000);

applyTheme();
document.body.replaceChildren(root);
get("/api/forebay/session").then(enter, () => redraw());
