// Messages of a queue that are not there yet: those whose delay runs, and those that came back and wait for a
// retry.

import { get, post, remove } from "./api.js";
import { h } from "./dom.js";
import { bytes, duration, moment, path, some, whole } from "./format.js";
import * as messages from "./message.js";
import { attempt, confirm, notice } from "./ui.js";

const PAGE = 20;
const BYTES = 16_384;

const WHY = { nacked: "it was refused", rejected: "it was rejected", retried: "its consumer asked for it", lost: "its consumer was lost", "timed-out": "it was held for too long", returned: "it was given back in good order" };

/** Of one queue; its state lives as long as the view. */
export function waiting(ctx, vhost, name) {
  const at = path(vhost, name);
  let delayed = null;
  let parked = null;
  let opened = null;
  const toggle = (key) => {
    opened = opened === key ? null : key;
    ctx.redraw();
  };

  async function lookAtDelayed(more) {
    const after = more ? `&after=${encodeURIComponent(delayed.next)}` : "";
    const page = await attempt(() => get(`/api/queues/${at}/delayed?count=${PAGE}&truncate=${BYTES}${after}`));
    if (!page) return;
    delayed = { messages: [...(more ? delayed.messages : []), ...page.messages], next: page.next };
    ctx.redraw();
  }

  async function lookAtParked(more) {
    const page = await attempt(() => post(`/api/forebay/parked/${at}/peek`, { count: PAGE, truncate: BYTES, ...(more ? { runs: parked.rest } : {}) }));
    if (!page) return;
    parked = { messages: [...(more ? parked.messages : []), ...page.messages], rest: page.rest };
    ctx.redraw();
  }

  async function one(message, work, told) {
    const answer = await attempt(() => work(`/api/queues/${at}/delayed/${path(message.id)}`));
    if (answer) notice(told);
    // It may have come due, or somebody else was faster.
    await lookAtDelayed(false);
  }

  const deliver = (message) => one(message, (it) => post(`${it}/now`), "The message is ready.");

  async function cancel(message) {
    const was = await confirm({
      title: "Cancel this message?",
      text: h("p", {}, `It is due ${moment(message.due_at)} and will be deleted. It can't be brought back.`),
      verb: "Cancel the message",
      work: () => remove(`/api/queues/${at}/delayed/${path(message.id)}`),
    });
    if (was) notice("The message was cancelled.");
    await lookAtDelayed(false);
  }

  async function all(count, { title, text, verb, danger, work, told }) {
    let done = 0;
    const was = await confirm({ title, text: h("p", {}, h("b", {}, some(count, "delayed message")), text), verb, danger, word: danger ? name : undefined, work: async () => { done = await work(); } });
    if (!was) return;
    notice(told(some(done, "message")));
    await lookAtDelayed(false);
  }

  const deliverAll = (count) => all(count, {
    title: `Deliver all delayed messages of ${name} now?`,
    text: " will be ready at once, whenever they were due.",
    verb: `Deliver ${some(count, "message")} now`,
    danger: false,
    work: async () => (await post(`/api/queues/${at}/delayed/now`)).delivered,
    told: (what) => `${what} became ready.`,
  });

  const cancelAll = (count) => all(count, {
    title: `Cancel all delayed messages of ${name}?`,
    text: " will be deleted. They can't be brought back.",
    verb: `Cancel ${some(count, "message")}`,
    danger: true,
    work: async () => (await remove(`/api/queues/${at}/delayed`)).cancelled,
    told: (what) => `${what} were cancelled.`,
  });

  const due = (ms) => (ms > 0 ? `in ${duration(ms)}` : "now");

  function letter(key, when, message, acts) {
    return h("li", { key },
      h("button", { type: "button", class: "plain letter waits", "aria-expanded": String(opened === key), onclick: () => toggle(key) },
        h("span", { class: "quiet" }, when), h("code", {}, messages.preview(message)), h("small", {}, bytes(message.payload_bytes))),
      opened === key && acts);
  }

  function drawDelayed(count) {
    return h("section", {},
      h("div", { class: "head" }, h("h2", {}, "Delayed", h("small", {}, ` ${whole(count)}`)),
        h("div", { class: "acts" },
          h("button", { type: "button", onclick: () => lookAtDelayed(false) }, delayed ? "Look again" : "Look at those due next"),
          h("button", { type: "button", disabled: !count, onclick: () => deliverAll(count) }, "Deliver all now…"),
          h("button", { type: "button", class: "warns", disabled: !count, onclick: () => cancelAll(count) }, "Cancel all…"))),
      !delayed ? h("p", { class: "box quiet" }, "They come into the queue when they are due, and are no lag before.")
        : !delayed.messages.length ? h("p", { class: "box quiet" }, "None is delayed any more.")
          : [h("ul", { class: "list letters" }, delayed.messages.map((message) => letter(message.id, due(message.due_at - Date.now()), message,
            messages.whole(message, [
              h("span", {}, `due ${moment(message.due_at)}`),
              h("button", { type: "button", onclick: () => deliver(message) }, "Deliver now"),
              h("button", { type: "button", class: "warns", onclick: () => cancel(message) }, "Cancel…")])))),
          delayed.next && h("p", {}, h("button", { type: "button", onclick: () => lookAtDelayed(true) }, `Show ${PAGE} more`))]);
  }

  function drawParked(count) {
    return h("section", {},
      h("div", { class: "head" }, h("h2", {}, "Parked for a retry", h("small", {}, ` ${whole(count)}`)),
        h("button", { type: "button", onclick: () => lookAtParked(false) }, parked ? "Look again" : "Look at the first")),
      !parked ? h("p", { class: "box quiet" }, "They came back, and are delivered again when their wait is over.")
        : !parked.messages.length ? h("p", { class: "box quiet" }, "None is parked any more.")
          : [h("ul", { class: "list letters" }, parked.messages.map((message) => letter(`parked ${message.position.join("/")}`, due((message.due_at_ms ?? 0) - Date.now()), message,
            messages.whole(message, h("span", {}, `${some(message.attempts, "delivery", "deliveries")} so far; the last time ${WHY[message.last_reason] ?? "it came back"}`))))),
          parked.rest.length > 0 && h("p", {}, h("button", { type: "button", onclick: () => lookAtParked(true) }, `Show ${PAGE} more`))]);
  }

  /** Of a queue as the broker describes it; nothing where nothing waits, and nobody has looked. */
  return (it) => [
    (it.messages_delayed > 0 || delayed) && drawDelayed(it.messages_delayed ?? 0),
    (it.messages_parked > 0 || parked) && drawParked(it.messages_parked ?? 0),
  ];
}
