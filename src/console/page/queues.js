// The list of queues, the worst first. Searching, sorting and paging are the broker's work: there may be
// ten thousand.

import { badge, kind, lag } from "./attention.js";
import { sparkline } from "./chart.js";
import { h } from "./dom.js";
import { count, duration, path, rate, whole } from "./format.js";
import { note, remember, trail } from "./trail.js";
import { later, pager, sorter } from "./ui.js";

const COLUMNS = "name,vhost,messages_ready,messages_unacknowledged,consumers,oldest_message_age_ms,attention,policy,exclusive,message_stats.publish_details.rate,message_stats.ack_details.rate,message_stats.deliver_get_details.rate,message_stats.deliver_no_ack_details.rate";
const SIZE = 50;

export const trailOf = (queue) => `queue ${queue.vhost}/${queue.name}`;

export function queues(ctx) {
  let page = null;
  let refusal = null;
  const state = () => ({ sort: ctx.query.sort ?? "attention", reverse: ctx.query.up === undefined });
  const search = later((name) => ctx.set({ name, page: undefined }));
  const sort = (column, reverse) => ctx.set({ sort: column === "attention" ? undefined : column, up: reverse ? undefined : "1", page: undefined });
  return {
    title: () => "Queues",
    watch() {
      const { sort, reverse } = state();
      const query = new URLSearchParams({ page: ctx.query.page ?? 1, page_size: SIZE, sort, sort_reverse: reverse, columns: COLUMNS });
      if (ctx.query.name) query.set("name", ctx.query.name);
      if (ctx.query.regex) query.set("use_regex", "true");
      return [`/api/queues${ctx.vhost ? `/${path(ctx.vhost)}` : ""}?${query}`];
    },
    told(at, body, status) {
      if (status === 400 && Number(ctx.query.page) > 1) {
        // There are fewer pages by now.
        ctx.set({ page: undefined });
        return;
      }
      refusal = status === 200 ? null : body?.reason;
      if (status !== 200) return;
      page = body;
      for (const it of page.items) note(trailOf(it), lag(it));
      remember(page.items, trailOf).then(ctx.redraw);
    },
    draw() {
      const many = ctx.session.vhosts.length > 1 && !ctx.vhost;
      return [
        h("div", { class: "head" },
          h("h1", {}, "Queues", page && h("small", {}, page.filtered_count === page.total_count ? whole(page.total_count) : `${whole(page.filtered_count)} of ${whole(page.total_count)}`)),
          h("form", { class: "search", role: "search", onsubmit: (event) => event.preventDefault() },
            h("input", { type: "search", "aria-label": "Search by name", placeholder: "Search by name   /", value: ctx.query.name ?? "", oninput: (event) => search(event.target.value) }),
            h("label", {}, h("input", { type: "checkbox", checked: !!ctx.query.regex, onchange: (event) => ctx.set({ regex: event.target.checked ? "1" : undefined, page: undefined }) }), "regular expression"))),
        refusal && h("p", { class: "refusal", role: "alert" }, refusal),
        !page ? h("p", { class: "quiet" }, "Asking the broker…")
          : !page.items.length ? h("p", { class: "empty" }, ctx.query.name ? "No queue has such a name." : "There are no queues yet. They appear here when a client declares one.")
          : h("div", { class: "scroll" }, h("table", { class: "queues" },
            h("thead", {}, h("tr", {},
              sorter("Queue", "name", state(), sort),
              sorter("State", "attention", state(), sort, "number-first"),
              sorter("Lag", "messages", state(), sort, "number"),
              h("th", { scope: "col", class: "spark-head" }, h("span", { class: "hidden" }, "Lag over time")),
              sorter("Ready", "messages_ready", state(), sort, "number optional"),
              sorter("Unacked", "messages_unacknowledged", state(), sort, "number optional"),
              sorter("Oldest", "oldest_message_age_ms", state(), sort, "number"),
              sorter("In/s", "message_stats.publish_details.rate", state(), sort, "number"),
              sorter("Done/s", "message_stats.ack_details.rate", state(), sort, "number"),
              sorter("Consumers", "consumers", state(), sort, "number"))),
            h("tbody", {}, page.items.map((it) => row(it, many))))),
        pager(page, (to) => ctx.set({ page: to })),
      ];
    },
  };
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
