// What was given up: where, why, and back again.

import { get, post, remove } from "./api.js";
import { h } from "./dom.js";
import { bytes, duration, path, some, whole } from "./format.js";
import * as messages from "./message.js";
import { attempt, dialog, notice } from "./ui.js";

const PEEK = 20;
const PEEK_BYTES = 16_384;
// Messages of one step: the progress moves, and a stop comes soon.
const STEP = 500;
const RENEW_MS = 5_000;
const FOLLOW_MS = 1_000;
const CARDS_MAX = 60;

const REASONS = { rejected: "rejected", expired: "expired", maxlen: "no room", delivery_limit: "failed too often" };
const WAYS = {
  open: "",
  no_origin: "the broker did not put them here and knows no way back",
  unproven: "only their headers say where they come from",
  queue_gone: "their queue is gone",
  queue_full: "their queue is full",
};

export const reasonName = (reason) => (reason ? REASONS[reason] ?? reason : "unknown");

/** Asked again while the view is open: to look costs the broker more than figures do. */
function renewing(work) {
  work();
  const timer = setInterval(() => !document.hidden && work(), RENEW_MS);
  return () => clearInterval(timer);
}

function open(deaths) {
  return deaths.filter((it) => it.way_back === "open").reduce((sum, it) => sum + it.messages, 0);
}

export function deadLetters(ctx) {
  let queues = null;
  let refusal = null;
  const end = renewing(async () => {
    try {
      queues = await get(`/api/forebay/dead-letters${ctx.vhost ? `/${path(ctx.vhost)}` : ""}`);
      refusal = null;
    } catch (error) {
      refusal = error.message;
    }
    ctx.redraw();
  });
  return {
    title: () => "Dead letters",
    close: end,
    watch: () => ["/api/whoami"],
    told() {},
    draw() {
      const full = (queues ?? []).filter((it) => it.messages > 0).toSorted((left, right) => right.messages - left.messages);
      return [
        h("div", { class: "head" }, h("h1", {}, "Dead letters", queues && h("small", {}, some(full.reduce((sum, it) => sum + it.messages, 0), "message")))),
        refusal && h("p", { class: "refusal", role: "alert" }, refusal),
        !queues ? !refusal && h("p", { class: "quiet" }, "Asking the broker…")
          : !full.length ? h("p", { class: "calm" }, h("span", { class: "dot good" }), "None. A message that is rejected or fails too often would be here.")
          : h("div", { class: "cards" }, full.slice(0, CARDS_MAX).map((it) => card(ctx, it))),
        full.length > CARDS_MAX && h("p", { class: "quiet" }, `${whole(full.length - CARDS_MAX)} more have fewer messages each. Search for them in the `, h("a", { href: "#/queues?name=.dlq" }, "list of queues"), "."),
      ];
    },
  };
}

function card(ctx, it) {
  const href = `#/dead-letters/${path(it.vhost, it.name)}`;
  return h("article", { class: "card", key: `${it.vhost}/${it.name}` },
    h("div", { class: "head" },
      h("h2", {}, h("a", { href }, it.name), ctx.session.vhosts.length > 1 && h("small", { class: "vhost" }, it.vhost)),
      it.may_redrive && h("button", { type: "button", disabled: !open(it.deaths), onclick: () => redrive(it, {}, open(it.deaths)).then(ctx.redraw) }, "Redrive all…")),
    it.redrive && UNDER_WAY.has(it.redrive.state) && h("p", { class: "quiet" }, `${some(it.redrive.redriven, "message")} went back so far, at ${whole(it.redrive.rate)} a second at most.`),
    h("p", { class: "big" }, h("b", {}, whole(it.messages)), h("small", {}, it.oldest_age_ms ? ` the oldest for ${duration(it.oldest_age_ms)}` : "")),
    reasons(it));
}

function reasons(it, chosen, choose) {
  const most = Math.max(1, ...it.deaths.map((death) => death.messages));
  return h("div", { class: "reasons" },
    it.deaths.map((death) => {
      const key = `${death.queue}/${death.reason}/${death.way_back}`;
      const row = [
        h("span", { class: "who" }, death.queue ?? "unknown queue", h("span", { class: "badge" }, reasonName(death.reason))),
        h("span", { class: "track" }, h("i", { style: { width: `${(100 * death.messages) / most}%` }, class: death.way_back === "open" ? "" : "shut" })),
        h("span", { class: "number" }, whole(death.messages)),
        WAYS[death.way_back] && h("small", { class: "why" }, WAYS[death.way_back])];
      return choose
        ? h("button", { key, type: "button", class: "reason plain", "aria-pressed": String(chosen?.key === key), onclick: () => choose(chosen?.key === key ? null : { key, queue: death.queue, reason: death.reason, messages: death.messages, way_back: death.way_back }) }, row)
        : h("div", { key, class: "reason" }, row);
    }),
    it.examined < it.messages && h("small", {}, `of the first ${whole(it.examined)}`));
}

/** One queue of dead letters. */
export function deadLetterQueue(ctx, vhost, name) {
  const at = path(vhost, name);
  let it = null;
  let refusal = null;
  let chosen = null;
  let looked = null;
  let opened = null;
  const filter = () => (chosen ? { ...(chosen.queue && { queue: chosen.queue }), ...(chosen.reason && { reason: chosen.reason }) } : {});
  const renew = async () => {
    try {
      it = await get(`/api/forebay/dead-letters/${at}`);
      refusal = null;
    } catch (error) {
      refusal = error.message;
    }
    ctx.redraw();
  };
  const end = renewing(renew);
  async function look(more) {
    const answer = await attempt(() => post(`/api/forebay/dead-letters/${at}/peek`, { count: PEEK, truncate: PEEK_BYTES, ...filter(), ...(more ? { runs: looked.rest } : {}) }));
    if (!answer) return;
    for (const message of answer.messages) message.vhost = vhost;
    looked = { messages: [...(more ? looked.messages : []), ...answer.messages], rest: answer.rest };
    ctx.redraw();
  }
  look(false);
  const after = () => {
    renew();
    look(false);
  };
  async function one(message) {
    const [level, offset] = message.position;
    const answer = await attempt(() => post(`/api/forebay/dead-letters/${at}/redrive`, { runs: [[level, offset, offset]], count: 1 }));
    if (!answer) return;
    if (answer.redriven) notice(`The message is back in ${message.death?.queue ?? "its queue"}.`);
    else notice("The message stayed: there is no way back for it.", "bad");
    after();
  }
  return {
    title: () => `${name}: dead letters`,
    close: end,
    watch: () => ["/api/whoami"],
    told() {},
    draw() {
      const mayMove = it?.may_redrive;
      return [
        h("div", { class: "head" },
          h("h1", {}, h("a", { class: "up", href: "#/dead-letters" }, "Dead letters"), h("span", { class: "slash" }, "/"), name, it && h("small", {}, some(it.messages, "message"))),
          h("div", { class: "acts" },
            h("a", { class: "button", href: `#/queues/${at}` }, "The queue"),
            mayMove && it && h("button", { type: "button", class: "primary", disabled: chosen ? chosen.way_back !== "open" : !open(it.deaths), onclick: () => redrive(it, filter(), chosen ? chosen.messages : open(it.deaths)).then(after) }, chosen ? "Redrive these…" : "Redrive all…"))),
        refusal && h("p", { class: "refusal", role: "alert" }, refusal),
        it && underWay(it, after),
        it && it.messages > 0 && h("section", { class: "box" }, h("h2", {}, "Why they are here"),
          reasons(it, chosen, (which) => { chosen = which; looked = null; look(false); })),
        h("section", {}, h("h2", {}, chosen ? `Those from ${chosen.queue ?? "an unknown queue"} that were ${reasonName(chosen.reason)}` : "Messages, the earliest first"),
          !looked ? h("p", { class: "quiet" }, "Asking the broker…")
            : !looked.messages.length ? h("p", { class: "box quiet" }, "None.")
              : [h("ul", { class: "list letters" }, looked.messages.map((message) => {
                const key = message.position.join("/");
                return h("li", { key },
                  h("button", { type: "button", class: "plain letter dead", "aria-expanded": String(opened === key), onclick: () => { opened = opened === key ? null : key; ctx.redraw(); } },
                    h("span", { class: "badge" }, reasonName(message.death?.reason)), h("code", {}, messages.preview(message)), h("small", {}, bytes(message.payload_bytes)), h("small", {}, `${duration(Date.now() - message.dead_since)} ago`)),
                  opened === key && messages.whole(message, mayMove && h("button", { type: "button", disabled: !message.death, onclick: () => one(message) }, "Redrive this one")));
              })),
              looked.rest.length > 0 && h("p", {}, h("button", { type: "button", onclick: () => look(true) }, "Look for more"))]),
      ];
    },
  };
}

const UNDER_WAY = new Set(["running", "waiting"]);
const ENDED = { stopped: " Stopped.", failed: " It ended before it was done." };

/** How far a redrive is: `{redriven, stayed, state}`, and over how many it goes. */
function progress(state, done, total) {
  const isOver = state.state === "done";
  return [
    h("progress", { max: Math.max(total, 1), value: isOver ? Math.max(total, 1) : Math.min(done, total), "aria-label": "Redriven" }),
    h("p", { role: "status" }, h("b", {}, some(state.redriven, "message")), " went back", state.stayed ? `, ${whole(state.stayed)} stayed.` : ".", ENDED[state.state],
      state.state === "waiting" && " It waits until an alarm is over.")];
}

/** A redrive at a rate, with which the broker goes on by itself. */
function underWay(it, changed) {
  const job = it.redrive;
  if (!job || !UNDER_WAY.has(job.state)) return null;
  const stop = () => attempt(() => remove(`/api/forebay/dead-letters/${path(it.vhost, it.name)}/redrive`), "It stops.").then(changed);
  return h("section", { class: "box", key: "redrive" },
    h("div", { class: "head" },
      h("h2", {}, `Redrive at ${whole(job.rate)} a second, by ${job.by}`),
      it.may_redrive && h("button", { type: "button", onclick: stop }, "Stop")),
    progress(job, job.examined, job.messages));
}

/** Sends dead letters back: here step by step, or at a rate by the broker itself; with what was done so far. */
function redrive(it, filter, expected) {
  const url = `/api/forebay/dead-letters/${path(it.vhost, it.name)}/redrive`;
  const state = { step: "ask", rate: "", state: "running", redriven: 0, stayed: 0, done: 0, total: expected, refusal: null, stop: false };
  return dialog("Redrive dead letters", (close, redraw) => {
    const step = async (runs) => {
      const answer = await post(url, { ...filter, count: STEP, ...(runs ? { runs } : {}) });
      state.redriven += answer.redriven;
      state.stayed += answer.stayed;
      state.done = state.redriven;
      return answer.rest;
    };
    const follow = (job) => Object.assign(state, { state: job.state, redriven: job.redriven, stayed: job.stayed, done: job.examined, total: job.messages, refusal: job.state === "failed" ? job.reason : null });
    const work = async () => {
      if (!state.rate) {
        for (let runs; !state.stop && (!runs || runs.length);) {
          runs = await step(runs);
          redraw();
          if (!runs.length) state.state = "done";
        }
        if (state.state !== "done") state.state = "stopped";
        return;
      }
      follow(await post(url, { ...filter, rate: Number(state.rate) }));
      while (UNDER_WAY.has(state.state) && !state.left) {
        redraw();
        await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
        follow(await get(url));
      }
    };
    const run = async (event) => {
      event.preventDefault();
      state.step = "run";
      redraw();
      try {
        await work();
      } catch (error) {
        Object.assign(state, { refusal: error.message, state: "failed" });
      }
      state.step = "done";
      if (!state.left) redraw();
    };
    const stop = async () => {
      state.stop = true;
      if (state.rate) await attempt(() => remove(url));
    };
    if (state.step === "ask") {
      return h("form", { onsubmit: run },
        h("div", { class: "prose" },
          h("p", {}, h("b", {}, some(expected, "message")), ` will go back to ${filter.queue ? h("b", {}, filter.queue).children[0] : "the queues where they died"}, behind what is there, and will be delivered again.`),
          h("p", {}, "Those for which there is no way back stay here. Each is in one of the two places at every moment.")),
        h("div", { class: "field" }, h("label", { for: "rate" }, "Messages a second at most"),
          h("input", { id: "rate", name: "rate", type: "number", min: 1, max: 1_000_000, step: 1, inputmode: "numeric", autocomplete: "off", "aria-describedby": "hint-rate", value: state.rate, oninput: (event) => { state.rate = event.target.value; } }),
          h("small", { id: "hint-rate" }, "Empty: as fast as it goes, while this window is open. With a rate the broker goes on by itself.")),
        h("footer", {}, h("button", { type: "button", onclick: () => close() }, "Cancel"), h("button", { type: "submit", class: "primary", autofocus: true }, `Redrive ${some(expected, "message")}`)));
    }
    return h("div", {},
      progress(state, state.done, state.total),
      state.refusal && h("p", { class: "refusal", role: "alert" }, state.refusal),
      h("footer", {}, state.step === "run"
        ? [h("button", { type: "button", onclick: stop }, "Stop"), state.rate && h("button", { type: "button", class: "primary", onclick: () => close(state) }, "Leave it to the broker")]
        : h("button", { type: "button", class: "primary", autofocus: true, onclick: () => close(state) }, "Close")));
  }).then((result) => {
    state.left = true;
    return result;
  });
}
