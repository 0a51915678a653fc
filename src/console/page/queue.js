// One queue: how it stands, who works on it, what is in it, why it behaves so.

import { get, post, remove } from "./api.js";
import { badge, kind, lag, sentence } from "./attention.js";
import { chart } from "./chart.js";
import { h } from "./dom.js";
import { bytes, count, duration, path, rate, some, whole } from "./format.js";
import { lagChart } from "./lag-chart.js";
import { lives } from "./lives.js";
import * as messages from "./message.js";
import { note, remember, trail } from "./trail.js";
import { attempt, confirm, copy, form, notice } from "./ui.js";
import { waiting } from "./waiting.js";

const PEEK = 20;
const PEEK_BYTES = 16_384;

export function queue(ctx, vhost, name) {
  const at = path(vhost, name);
  const trailName = (what) => `${what} ${vhost}/${name}`;
  let it = null;
  let gone = false;
  let bindings = null;
  let may = null;
  let looked = null;
  let opened = null;
  const lagOverTime = lagChart(ctx, at);
  const waits = waiting(ctx, vhost, name);
  const traced = lives(ctx, vhost, name);
  get(`/api/forebay/access/${path(vhost)}/queue/${path(name)}`).then((found) => { may = found; ctx.redraw(); }, () => {});
  const stat = (key) => it?.message_stats?.[`${key}_details`]?.rate ?? 0;
  const done = () => stat("ack") + stat("deliver_no_ack") + stat("get_no_ack");

  async function look(more) {
    const answer = await attempt(() => post(`/api/forebay/dead-letters/${at}/peek`, { count: PEEK, truncate: PEEK_BYTES, ...(more ? { runs: looked.rest } : {}) }));
    if (!answer) return;
    for (const message of answer.messages) message.vhost = vhost;
    looked = { messages: [...(more ? looked.messages : []), ...answer.messages], rest: answer.rest, since: Date.now() };
    ctx.redraw();
  }

  /** What is asked before an act must be as things are now. */
  async function renew() {
    const found = await attempt(() => get(`/api/queues/${at}`));
    if (found) it = found;
    return found;
  }

  async function accept() {
    const was = await confirm({
      title: `Is this normal for ${name}?`,
      text: h("p", {}, `Its lag of ${whole(lag(it))} counts as normal from now on: the alert ends, and the alert line rises above it.`),
      verb: "It is normal",
      danger: false,
      work: () => post(`/api/queues/${at}/accept-normal`, {}),
    });
    if (was) notice("The alert line rises with the next look, in some seconds.");
  }

  async function pause() {
    const was = await confirm({
      title: `Pause ${name}?`,
      text: [
        h("p", {}, it.consumers ? `Its ${some(it.consumers, "consumer")} will be given nothing` : "Nothing will be delivered from it", " until somebody resumes it, also after a restart of the broker."),
        h("p", {}, "Messages still come in and wait. What consumers hold they can still settle.")],
      verb: "Pause the queue",
      work: () => post(`/api/queues/${at}/pause`, {}),
    });
    if (was) notice(`${name} is paused.`);
  }

  const resume = () => attempt(() => post(`/api/queues/${at}/resume`, {}), `${name} delivers again.`);

  async function purge() {
    if (!await renew()) return;
    const was = await confirm({
      title: `Purge ${name}?`,
      text: [
        h("p", {}, h("b", {}, some(it.messages_ready, "ready message")), " will be deleted. They can't be brought back."),
        it.messages_unacknowledged > 0 && h("p", {}, `${some(it.messages_unacknowledged, "message")} that consumers hold ${it.messages_unacknowledged === 1 ? "stays" : "stay"}.`)],
      verb: `Delete ${some(it.messages_ready, "message")}`,
      work: () => remove(`/api/queues/${at}/contents`),
    });
    if (!was) return;
    notice(`${name} was purged.`);
    looked = null;
    ctx.redraw();
  }

  async function erase() {
    if (!await renew()) return;
    const own = (bindings ?? []).filter((binding) => binding.source);
    const was = await confirm({
      title: `Delete ${name}?`,
      text: [
        h("p", {}, lag(it) ? [h("b", {}, some(lag(it), "message")), " will be deleted with the queue. They can't be brought back."] : "The queue is empty."),
        h("p", {}, [it.consumers ? `${some(it.consumers, "consumer")} will be cancelled.` : "It has no consumers.", own.length ? ` ${some(own.length, "binding")} will be gone: what is published for ${own.length === 1 ? "it" : "them"} will not come here any more.` : ""].join(""))],
      word: lag(it) ? name : undefined,
      verb: "Delete the queue",
      work: () => remove(`/api/queues/${at}`),
    });
    if (!was) return;
    notice(`${name} was deleted.`);
    ctx.go("#/queues");
  }

  function publish() {
    return form({
      title: `Publish to ${name}`,
      wide: true,
      text: h("p", {}, "One message, through the default exchange. Consumers will take it like any other."),
      fields: [
        { name: "payload", label: "Body", type: "textarea", rows: 8 },
        { name: "content_type", label: "Content type", suggest: ["application/json", "text/plain"] },
        { name: "headers", label: "Headers", type: "textarea", rows: 3, hint: "A JSON object, as {\"tries\": 1}. Empty: none." },
        { name: "persistent", label: "Persistent: it survives a restart of the broker", type: "checkbox", value: true },
      ],
      verb: "Publish",
      save: async (values) => {
        const properties = { delivery_mode: values.persistent ? 2 : 1 };
        if (values.content_type) properties.content_type = values.content_type;
        if (values.headers.trim()) properties.headers = object(values.headers, "Headers");
        const answer = await post(`/api/exchanges/${path(vhost)}/amq.default/publish`, { routing_key: name, payload: values.payload, payload_encoding: "string", properties });
        if (!answer.routed) throw new Error("The queue did not take the message.");
        return true;
      },
    }).then((was) => was && notice("The message is in the queue."));
  }

  return {
    title: () => name,
    close: lagOverTime.close,
    watch: () => [`/api/queues/${at}`, `/api/queues/${at}/bindings`],
    told(index, body, status) {
      if (index === 1) {
        if (status === 200) bindings = body;
        return;
      }
      gone = status === 404;
      if (status !== 200) return;
      it = body;
      note(trailName("queue"), lag(it));
      remember([it], () => trailName("queue")).then(ctx.redraw);
      note(trailName("unacked"), it.messages_unacknowledged);
      note(trailName("in"), stat("publish"));
      note(trailName("done"), done());
    },
    draw() {
      if (gone) return h("div", { class: "empty" }, h("p", {}, "There is no queue ", h("b", {}, name), " in ", h("b", {}, vhost), " (any more)."), h("a", { href: "#/queues" }, "To the list of queues"));
      if (!it) return h("p", { class: "quiet" }, "Asking the broker…");
      return [
        h("div", { class: "head" },
          h("h1", {}, h("a", { class: "up", href: "#/queues", "aria-label": "To the list of queues" }, "Queues"), h("span", { class: "slash" }, "/"), name, copy(name),
            ctx.session.vhosts.length > 1 && h("small", {}, vhost), " ", badge(it),
            h("small", {}, [it.durable ? "durable" : "transient", it.exclusive && "exclusive", it.auto_delete && "auto-delete", it.type === "quorum" && "quorum"].filter(Boolean).join(", "))),
          h("div", { class: "acts" },
            may?.configure && it.lag?.symptoms.includes("above-line") && h("button", { type: "button", onclick: accept }, "This is normal…"),
            may?.configure && (it.paused ? h("button", { type: "button", class: "primary", onclick: resume }, "Resume") : !it.exclusive && h("button", { type: "button", onclick: pause }, "Pause…")),
            may?.publish_to_queues && h("button", { type: "button", onclick: publish }, "Publish…"),
            may?.read && h("button", { type: "button", class: "warns", disabled: !it.messages_ready, onclick: purge }, "Purge…"),
            may?.configure && h("button", { type: "button", class: "warns", onclick: erase }, "Delete…"))),
        sentence(it) && h("p", { class: `say ${kind(it)}` }, h("span", { class: `dot ${kind(it)}` }), h("span", {}, h("b", {}, name), " ", sentence(it))),
        h("dl", { class: "strip" },
          fact("Lag", count(lag(it)), whole(lag(it))),
          fact("Ready", count(it.messages_ready), whole(it.messages_ready)),
          fact("Unacked", count(it.messages_unacknowledged), whole(it.messages_unacknowledged)),
          fact("Oldest", lag(it) ? duration(it.oldest_message_age_ms) : "–"),
          fact("In", rate(stat("publish")), "published a second", "/s"),
          fact("Done", rate(done()), "acknowledged a second, or delivered without acknowledgement", "/s"),
          fact("Empty in", drain(it, stat("publish"), done()), "at the rates of now"),
          fact("Consumers", whole(it.consumers)),
          fact("Size", bytes(it.message_bytes), "bodies of all messages")),
        h("div", { class: "columns" },
          lagOverTime.draw({ lines: [{ name: "messages", kind: "lag", fill: true, points: trail(trailName("queue")) }, { name: "held by consumers", kind: "unacked", points: trail(trailName("unacked")) }], ...normal(it) }),
          chart({ id: "queue-rates", title: "Messages a second", write: rate, redraw: ctx.redraw, lines: [{ name: "in", kind: "in", points: trail(trailName("in")) }, { name: "done", kind: "done", points: trail(trailName("done")) }] })),
        h("div", { class: "columns uneven" },
          h("div", { class: "stack" }, consumers(it), may?.read && waits(it), may?.read && contents(it, looked, opened, look, (which) => { opened = opened === which ? null : which; ctx.redraw(); }), may?.read && traced(it)),
          h("div", { class: "stack" }, settings(it), bound(ctx, vhost, name, bindings))),
      ];
    },
  };
}

export function object(text, what) {
  let found;
  try {
    found = JSON.parse(text);
  } catch (error) {
    throw new Error(`${what}: no JSON: ${error.message}`);
  }
  if (!found || typeof found !== "object" || Array.isArray(found)) throw new Error(`${what}: expected a JSON object, as {"name": "value"}`);
  return found;
}

/** What is normal, and where it is no more. */
function normal(it) {
  const { alert_line: line, normal_peak: peak } = it.lag ?? {};
  return {
    marks: line > 0 ? [{ name: "alert line", v: line, kind: "bad" }] : [],
    band: peak > 0 ? { name: "normal up to", v: peak } : undefined,
  };
}

function fact(label, value, title, unit) {
  return h("div", { title }, h("dt", {}, label), h("dd", {}, value, unit && h("small", {}, unit)));
}

function drain(it, comes, goes) {
  if (!lag(it)) return "–";
  if (goes <= 0) return "never";
  // What is done in a moment comes and goes.
  if (lag(it) < goes) return "<1 s";
  if (comes >= goes) return "growing";
  return duration((lag(it) / (goes - comes)) * 1000);
}

function consumers(it) {
  const list = it.consumer_details ?? [];
  return h("section", {}, h("h2", {}, "Consumers"),
    !list.length ? h("p", { class: "box quiet" }, it.paused ? "None." : "None. Messages wait until one comes.")
      : h("div", { class: "scroll" }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Consumer"), h("th", { scope: "col" }, "From"), h("th", { scope: "col", class: "number" }, "Holds"), h("th", { scope: "col", class: "number" }, "For"), h("th", { scope: "col", class: "number" }, "Prefetch"), h("th", { scope: "col" }, "State"))),
        h("tbody", {}, list.slice(0, 200).map((consumer) => {
          const from = consumer.channel_details;
          return h("tr", { key: `${from.name} ${consumer.consumer_tag}` },
            h("td", { class: "name" }, h("code", {}, consumer.consumer_tag)),
            h("td", {}, from.connection_name ? h("a", { href: `#/connections/${path(from.connection_name)}` }, `${from.peer_host}:${from.peer_port}`) : "–", h("small", { class: "vhost" }, `channel ${from.number ?? "?"}`)),
            h("td", { class: "number" }, consumer.unacknowledged === undefined ? "–" : whole(consumer.unacknowledged)),
            h("td", { class: "number" }, consumer.holding_ms ? duration(consumer.holding_ms) : h("span", { class: "quiet" }, "–")),
            h("td", { class: "number" }, consumer.prefetch_count || "no limit"),
            h("td", {}, state(consumer, it.paused)));
        }))),
      list.length > 200 && h("p", { class: "quiet" }, `${list.length - 200} more.`)));
}

function state(consumer, isPaused) {
  if (isPaused) return h("span", { class: "badge warn", title: "The queue is paused" }, "gets nothing");
  if (consumer.activity_status === "waiting") return h("span", { class: "badge" }, "waits its turn");
  if (consumer.prefetch_count && consumer.unacknowledged >= consumer.prefetch_count) return h("span", { class: "badge warn", title: "It gets no more before it acknowledges" }, "prefetch is full");
  if (!consumer.ack_required) return h("span", { class: "badge" }, "no acknowledgements");
  return h("span", { class: "badge good" }, consumer.activity_status === "single_active" ? "active one" : "takes messages");
}

const TIMES = new Set(["consumer-timeout", "dedup-window", "message-ttl", "expires"]);

function said({ name, value }) {
  if (typeof value === "number") return TIMES.has(name) ? duration(value) : name === "max-length-bytes" ? bytes(value) : whole(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

const NAMES = { argument: "argument", policy: "policy", operator_policy: "operator policy", default: "default" };

function settings(it) {
  const rows = it.settings ?? [];
  return h("section", {}, h("h2", {}, "Settings, and where each comes from"),
    h("dl", { class: "facts settings" },
      rows.map((row) => [h("dt", {}, row.name), h("dd", {}, h("b", {}, said(row)), h("small", {}, ` ${NAMES[row.source] ?? row.source}${row.policy ? ` ${row.policy}` : ""}`))]),
      !rows.length && h("dd", { class: "quiet" }, "–")));
}

function bound(ctx, vhost, name, bindings) {
  const own = (bindings ?? []).filter((binding) => binding.source);
  return h("section", {}, h("h2", {}, "What comes here"),
    h("div", { class: "box flow" },
      h("div", { class: "way" }, h("span", { class: "node" }, "default exchange"), h("span", { class: "key" }, name), h("span", { class: "node here" }, name)),
      own.slice(0, 100).map((binding) => h("div", { class: "way", key: binding.properties_key + binding.source },
        h("a", { class: "node", href: `#/exchanges/${path(vhost, binding.source)}` }, binding.source),
        h("span", { class: "key" }, Object.keys(binding.arguments).length ? JSON.stringify(binding.arguments) : binding.routing_key || "\u00a0"),
        h("span", { class: "node here" }, name))),
      own.length > 100 && h("p", { class: "quiet" }, `${own.length - 100} more.`)));
}

function contents(it, looked, opened, look, toggle) {
  return h("section", {},
    h("div", { class: "head" }, h("h2", {}, "Messages"), h("button", { type: "button", onclick: () => look(false) }, looked ? "Look again" : "Look at the first messages")),
    !looked ? h("p", { class: "box quiet" }, "Looking takes nothing out, and counts as no delivery.")
      : !looked.messages.length ? h("p", { class: "box quiet" }, "No ready message was found.")
        : [h("ul", { class: "list letters" }, looked.messages.map((message) => {
          const key = message.position.join("/");
          return h("li", { key },
            h("button", { type: "button", class: "plain letter", "aria-expanded": String(opened === key), onclick: () => toggle(key) },
              h("span", { class: "quiet number" }, message.position[1]), h("code", {}, messages.preview(message)), h("small", {}, bytes(message.payload_bytes))),
            opened === key && messages.whole(message));
        })),
        looked.rest.length > 0 && h("p", {}, h("button", { type: "button", onclick: () => look(true) }, `Show ${PEEK} more`))]);
}
