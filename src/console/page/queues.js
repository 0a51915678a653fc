// The list of queues, the worst first.

import { badge, kind, lag } from "./attention.js";
import { sparkline } from "./chart.js";
import { h } from "./dom.js";
import { count, duration, path, rate, whole } from "./format.js";
import { listing } from "./listing.js";
import { note, remember, trail } from "./trail.js";

const FIELDS = "name,vhost,messages_ready,messages_unacknowledged,consumers,oldest_message_age_ms,attention,policy,exclusive,message_stats.publish_details.rate,message_stats.ack_details.rate,message_stats.deliver_get_details.rate,message_stats.deliver_no_ack_details.rate";

const COLUMNS = [
  { label: "Queue", column: "name" },
  { label: "State", column: "attention", kind: "number-first" },
  { label: "Lag", column: "messages", kind: "number" },
  { label: "Lag over time", kind: "spark-head", hidden: true },
  { label: "Ready", column: "messages_ready", kind: "number optional" },
  { label: "Unacked", column: "messages_unacknowledged", kind: "number optional" },
  { label: "Oldest", column: "oldest_message_age_ms", kind: "number" },
  { label: "In/s", column: "message_stats.publish_details.rate", kind: "number" },
  { label: "Done/s", column: "message_stats.ack_details.rate", kind: "number" },
  { label: "Consumers", column: "consumers", kind: "number" },
];

export const trailOf = (queue) => `queue ${queue.vhost}/${queue.name}`;

export function queues(ctx) {
  return listing(ctx, {
    title: "Queues",
    path: () => `/api/queues${ctx.vhost ? `/${path(ctx.vhost)}` : ""}`,
    fields: FIELDS,
    first: "attention",
    falling: true,
    search: "Search by name",
    pattern: true,
    none: "There are no queues yet. They appear here when a client declares one.",
    unmatched: "No queue has such a name.",
    columns: COLUMNS,
    kind: "queues",
    seen(items) {
      for (const it of items) note(trailOf(it), lag(it));
      remember(items, trailOf).then(ctx.redraw);
    },
    row: (it) => row(it, ctx.session.vhosts.length > 1 && !ctx.vhost),
  });
}

function row(it, many) {
  const stats = it.message_stats ?? {};
  const done = (stats.ack_details?.rate ?? 0) + (stats.deliver_no_ack_details?.rate ?? 0);
  const href = `#/queues/${path(it.vhost, it.name)}`;
  return h("tr", { key: `${it.vhost}/${it.name}`, "data-href": href, tabindex: -1 },
    h("td", { class: "name" }, h("a", { href }, it.name), many && h("small", { class: "vhost" }, it.vhost)),
    h("td", {}, badge(it) ?? h("span", { class: "quiet" }, it.attention?.level ? "working" : "empty")),
    h("td", { class: "number strong", title: whole(lag(it)) }, count(lag(it))),
    h("td", { class: "spark-cell" }, sparkline(trail(trailOf(it)), { label: "Lag in the last minutes", kind: kind(it) || "lag" })),
    h("td", { class: "number optional", title: whole(it.messages_ready) }, count(it.messages_ready)),
    h("td", { class: "number optional", title: whole(it.messages_unacknowledged) }, count(it.messages_unacknowledged)),
    h("td", { class: "number" }, lag(it) ? duration(it.oldest_message_age_ms) : h("span", { class: "quiet" }, "–")),
    h("td", { class: "number" }, rate(stats.publish_details?.rate)),
    h("td", { class: "number" }, rate(done)),
    h("td", { class: `number ${it.consumers ? "" : "quiet"}` }, whole(it.consumers)));
}
