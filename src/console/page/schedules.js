// Messages that the broker publishes again and again, when their times are due.

import { post, put, remove } from "./api.js";
import { h } from "./dom.js";
import { duration, moment, path, some, whole } from "./format.js";
import { listing } from "./listing.js";
import { object } from "./queue.js";
import { attempt, confirm, form, notice } from "./ui.js";

const COLUMNS = [
  { label: "Schedule", column: "name" },
  { label: "State", column: "state" },
  { label: "When", column: "cron" },
  { label: "Goes to", column: "routing_key" },
  { label: "Next", column: "next_due_at", kind: "number" },
  { label: "Last", column: "last_fired_at", kind: "number" },
  { label: "Sent", column: "fired", kind: "number" },
  { label: "Missed", column: "missed", kind: "number optional" },
  { label: "Failed", column: "failed", kind: "number" },
  { label: "Acts", hidden: true },
];

const STATES = { active: ["active", "good"], paused: ["paused", "warn"], broken: ["broken", "bad"] };
const CATCH_UP = [{ value: "last", label: "the latest due time that was missed" }, { value: "none", label: "none" }, { value: "all", label: "all, up to 100" }];

const at = (it) => `/api/schedules/${path(it.vhost, it.name)}`;
const zones = () => Intl.supportedValuesOf?.("timeZone") ?? [];

export function schedules(ctx) {
  const may = () => ctx.has("administrator", "policymaker");
  const many = () => ctx.session.vhosts.length > 1 && !ctx.vhost;
  return listing(ctx, {
    title: "Schedules",
    path: () => `/api/schedules${ctx.vhost ? `/${path(ctx.vhost)}` : ""}`,
    first: "name",
    search: "Search by name",
    none: "There are no schedules. One publishes a message again and again, when a cron expression is due.",
    unmatched: "No schedule has such a name.",
    columns: COLUMNS,
    acts: () => may() && h("button", { type: "button", onclick: () => edit(ctx) }, "New…"),
    row: (it) => row(ctx, it, may(), many()),
  });
}

function row(ctx, it, may, many) {
  const [label, kind] = STATES[it.state] ?? [it.state, ""];
  const wait = it.next_due_at ? it.next_due_at - Date.now() : null;
  return h("tr", { key: `${it.vhost}/${it.name}` },
    h("td", { class: "name" }, h("b", {}, it.name), many && h("small", { class: "vhost" }, it.vhost)),
    h("td", {}, h("span", { class: `badge ${kind}`, title: it.problem ?? undefined }, label), it.problem && h("small", {}, ` ${it.problem}`)),
    h("td", {}, h("code", {}, it.cron), h("small", { class: "vhost" }, it.time_zone)),
    h("td", { class: "name" }, it.exchange ? h("a", { href: `#/exchanges/${path(it.vhost, it.exchange)}` }, it.exchange) : h("a", { href: `#/queues/${path(it.vhost, it.routing_key)}` }, it.routing_key), it.exchange && h("small", { class: "vhost" }, it.routing_key)),
    h("td", { class: "number", title: it.next_due_at ? moment(it.next_due_at) : undefined }, wait === null ? "–" : wait > 0 ? `in ${duration(wait)}` : "now"),
    h("td", { class: "number", title: it.last_fired_at ? moment(it.last_fired_at) : undefined }, it.last_fired_at ? [`${duration(Math.max(0, Date.now() - it.last_fired_at))} ago`, it.last_result !== "delivered" && h("span", { class: "badge warn" }, it.last_result)] : "–"),
    h("td", { class: "number" }, whole(it.fired)),
    h("td", { class: "number optional" }, whole(it.missed)),
    h("td", { class: `number ${it.failed ? "strong" : "quiet"}` }, whole(it.failed)),
    h("td", { class: "acts" }, may && [
      h("button", { type: "button", disabled: it.state === "broken", onclick: () => run(it) }, "Run now…"),
      h("button", { type: "button", disabled: it.state === "broken", onclick: () => turn(it) }, it.state === "paused" ? "Resume" : "Pause"),
      h("button", { type: "button", onclick: () => edit(ctx, it) }, "Change…"),
      h("button", { type: "button", class: "warns", onclick: () => erase(it) }, "Delete…")]));
}

async function run(it) {
  let outcome = null;
  const was = await confirm({
    title: `Run ${it.name} now?`,
    text: h("p", {}, "Its message is published once, whenever it is due. Its due times stay as they are."),
    verb: "Publish the message",
    danger: false,
    work: async () => { outcome = await post(`${at(it)}/run`); },
  });
  if (!was) return;
  if (outcome?.result === "delivered") notice(`${some(outcome.queues, "queue")} ${outcome.queues === 1 ? "has" : "have"} the message.`);
  else notice(`The message reached nobody: ${outcome?.result}.`, "bad");
}

function turn(it) {
  const isPaused = it.state === "paused";
  return attempt(() => post(`${at(it)}/${isPaused ? "resume" : "pause"}`), isPaused ? `${it.name} goes on from now.` : `${it.name} is paused.`);
}

function erase(it) {
  return confirm({
    title: `Delete the schedule ${it.name}?`,
    text: h("p", {}, "It publishes nothing any more. What it has published stays where it is."),
    verb: "Delete the schedule",
    work: () => remove(at(it)),
  }).then((was) => was && notice(`The schedule ${it.name} was deleted.`));
}

function edit(ctx, it) {
  const isBytes = it?.payload_encoding === "base64";
  return form({
    title: it ? `Change the schedule ${it.name}` : "New schedule",
    wide: true,
    fields: [
      { name: "name", label: "Name", value: it?.name, required: true, readonly: !!it },
      { name: "vhost", label: "Virtual host", type: "select", options: it ? [it.vhost] : ctx.session.vhosts, value: it?.vhost ?? (ctx.vhost || ctx.session.vhosts[0]) },
      { name: "cron", label: "When", value: it?.cron, required: true, hint: "A cron expression: minute, hour, day of month, month, day of week, as 0 2 * * MON-FRI; or @hourly, @daily." },
      { name: "time_zone", label: "Time zone", value: it?.time_zone ?? "UTC", required: true, suggest: zones() },
      { name: "exchange", label: "Exchange", value: it?.exchange, hint: "Empty: the default exchange, where the routing key is the name of a queue." },
      { name: "routing_key", label: "Routing key", value: it?.routing_key },
      { name: "payload", label: isBytes ? "Body, in base64" : "Body", type: "textarea", rows: 5, value: it?.payload },
      { name: "properties", label: "Properties", type: "textarea", rows: 3, value: JSON.stringify(it?.properties ?? {}, null, 2), hint: "A JSON object, as {\"content_type\": \"application/json\", \"headers\": {}}." },
      { name: "catch_up", label: "Of due times while the broker was down, make good", type: "select", value: it?.catch_up ?? "last", options: CATCH_UP },
    ],
    verb: it ? "Change" : "Make the schedule",
    save: (values) => put(at(values), {
      cron: values.cron, time_zone: values.time_zone, exchange: values.exchange, routing_key: values.routing_key, catch_up: values.catch_up,
      payload: values.payload, payload_encoding: isBytes ? "base64" : "string", properties: object(values.properties || "{}", "Properties"),
    }).then(() => values.name),
  }).then((name) => name && notice(`The schedule ${name} holds from now on.`));
}
