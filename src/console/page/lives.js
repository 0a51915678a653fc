// What happened to the last messages of a queue that traces them (`x-trace`).

import { get } from "./api.js";
import { h } from "./dom.js";
import { bytes, clock, duration, moment, path, some, whole } from "./format.js";
import { attempt, later } from "./ui.js";

const PAGE = 20;

const party = (it) => (!it ? "nobody knows whom"
  : it.connection ? `${it.user}, ${it.connection_name ?? it.connection}, channel ${it.channel}` : `${it.user}, over HTTP`);
const wait = (event) => (event.delay_ms === undefined || event.delay_ms === null ? "" : ` for ${duration(event.delay_ms)}`);

const SAID = {
  published: (it) => (it.by ? `Published by ${party(it.by)}.` : "Published; the record began later."),
  scheduled: (it) => `Published by the schedule ${it.schedule}.`,
  "came-as-dead-letter": (it) => `Came as a dead letter of ${it.from}: ${it.reason}.`,
  "came-redriven": (it) => `An operator sent it here out of ${it.from}.`,
  delayed: (it) => `Delayed until ${moment(it.until_ms)}.`,
  due: () => "Due.",
  cancelled: () => "Cancelled while it was delayed.",
  refused: () => "Refused: the queue was full.",
  repeated: (it) => `A duplicate of it was dropped, published by ${party(it.by)}.`,
  "held-by-group": () => "Waits for another message of its group.",
  delivered: (it) => `Delivered to ${party(it.to)}${it.consumer_tag === null ? ", by basic.get" : `, consumer ${it.consumer_tag}`}; attempt ${it.attempt}${it.no_ack ? ", settled by that" : ""}.`,
  acknowledged: (it) => `Acknowledged${it.late ? ", after its time was over" : ""}.`,
  rejected: (it) => `Rejected${it.late ? ", after its time was over" : ""}.`,
  "came-back": (it) => `Came back: ${it.reason}.`,
  parked: (it) => `Waits for a retry${wait(it)}.`,
  ready: () => "Its wait is over.",
  quarantined: () => "May have killed its consumer; is delivered alone.",
  died: (it) => `Died: ${it.reason}${it.dropped ? "; dropped" : ""}.`,
  "dead-lettered": (it) => (it.queues.length ? `Dead letter in ${it.queues.join(", ")}.` : `Dead letter that no queue took, over ${it.exchange || "the default exchange"}.`),
  redriven: (it) => `An operator sent it to ${it.to_queue}.`,
  purged: () => "Purged.",
  omitted: (it) => `${some(it.count, "event")} stood here.`,
};

const ENDS = new Set(["acknowledged", "rejected", "died", "dead-lettered", "cancelled", "purged", "redriven", "refused"]);
const BAD = new Set(["died", "came-back", "rejected", "refused", "quarantined"]);

function story(life) {
  return h("ol", { class: "story" }, life.events.map((event, at) => {
    const before = life.events[at - 1]?.at_ms;
    const since = before !== undefined && event.at_ms !== undefined ? `+${duration(event.at_ms - before)}` : "";
    return h("li", { class: BAD.has(event.event) ? "died" : "" },
      event.at_ms !== undefined && h("time", { title: since }, at ? `${clock(event.at_ms)} ${since}` : moment(event.at_ms)),
      ` ${SAID[event.event]?.(event) ?? event.event}`);
  }));
}

/** Of one queue; its state lives as long as the view. */
export function lives(ctx, vhost, name) {
  let found = null;
  let opened = null;
  let id = "";

  async function look(more) {
    const query = new URLSearchParams({ limit: PAGE });
    if (id) query.set("message-id", id);
    if (more) query.set("before", found.next);
    const page = await attempt(() => get(`/api/queues/${path(vhost, name)}/trace?${query}`));
    if (!page) return;
    found = { ...page, messages: [...(more ? found.messages : []), ...page.messages] };
    ctx.redraw();
  }

  const search = later((text) => {
    id = text.trim();
    look(false);
  });

  function row(life) {
    const last = life.events.at(-1)?.event;
    return h("li", { key: `life ${life.number}` },
      h("button", { type: "button", class: "plain letter life", "aria-expanded": String(opened === life.number), onclick: () => { opened = opened === life.number ? null : life.number; ctx.redraw(); } },
        h("span", { class: "quiet number" }, `#${life.number}`), h("code", {}, life.message_id ?? life.routing_key), h("span", { class: `badge ${BAD.has(last) ? "warn" : ENDS.has(last) ? "good" : ""}` }, last ?? "–"), h("small", {}, bytes(life.payload_bytes))),
      opened === life.number && h("div", { class: "message" }, story(life),
        h("p", { class: "quiet" }, `Published to ${life.exchange || "the default exchange"} with the routing key ${life.routing_key}.`)));
  }

  /** Of a queue as the broker describes it; nothing where no lives are kept. */
  return (it) => {
    const kept = it.settings?.find((setting) => setting.name === "trace");
    if (!kept && !found) return null;
    return h("section", {},
      h("div", { class: "head" }, h("h2", {}, "What happened to the last messages", kept && h("small", {}, ` of ${whole(kept.value)} at most`)),
        h("div", { class: "acts" },
          h("input", { type: "text", "aria-label": "Message id", placeholder: "message id", spellcheck: "false", autocomplete: "off", value: id, oninput: (event) => search(event.target.value) }),
          h("button", { type: "button", onclick: () => look(false) }, found ? "Look again" : "Look"))),
      !found ? h("p", { class: "box quiet" }, "Who published each, whom it was delivered to, why it came back, where it went.")
        : !found.messages.length ? h("p", { class: "box quiet" }, id ? "None of them has this id." : "None yet.")
          : [h("ul", { class: "list letters" }, found.messages.map(row)),
            found.next !== null && h("p", {}, h("button", { type: "button", onclick: () => look(true) }, `Show ${PAGE} more`))]);
  };
}
