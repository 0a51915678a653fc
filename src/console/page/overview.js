// Everything at once: what flows, what waits, what needs a person now.

import { chart, sparkline } from "./chart.js";
import { h } from "./dom.js";
import { bytes, count, duration, path, rate, some, whole } from "./format.js";
import { badge, kind, lag, sentence } from "./attention.js";
import { note, remember, trail } from "./trail.js";

const COLUMNS = "name,vhost,messages_ready,messages_unacknowledged,consumers,oldest_message_age_ms,attention,damage,lag,message_stats.publish_details.rate,message_stats.ack_details.rate,message_stats.deliver_get_details.rate";

export function overview(ctx) {
  let all = null;
  let worst = null;
  let busy = null;
  let node = null;
  const stat = (name) => all?.message_stats?.[`${name}_details`]?.rate ?? 0;
  return {
    title: () => "Overview",
    watch: () => {
      const list = (sort, size) => `/api/queues${ctx.vhost ? `/${path(ctx.vhost)}` : ""}?page=1&page_size=${size}&sort=${sort}&sort_reverse=true&columns=${COLUMNS}`;
      return ["/api/overview", list("attention", 12), list("message_stats.publish_details.rate", 6), ...(ctx.has("administrator", "monitoring") ? ["/api/nodes"] : [])];
    },
    told(at, body, status) {
      if (status !== 200) return;
      if (at === 0) {
        all = body;
        note("in", stat("publish"));
        note("out", stat("deliver_get"));
        note("done", stat("ack"));
        note("lag", all.queue_totals.messages ?? 0);
        remember([]).then(ctx.redraw);
        note("unacked", all.queue_totals.messages_unacknowledged ?? 0);
      } else if (at === 1) {
        worst = body;
      } else if (at === 2) {
        busy = body;
      } else {
        [node] = body;
      }
    },
    draw() {
      if (!all) return h("p", { class: "quiet" }, "Asking the broker…");
      const totals = all.queue_totals;
      const needing = (worst?.items ?? []).filter((it) => it.attention?.level >= 2);
      const alarms = [
        node?.mem_alarm && ["Memory is short", `${bytes(node.mem_used)} of ${bytes(node.mem_limit)} are used. Publishers wait until consumers have taken messages.`],
        node?.disk_free_alarm && ["The disk is short", `${bytes(node.disk_free)} are free, ${bytes(node.disk_free_limit)} must be. Publishers wait until there is space.`],
      ].filter(Boolean);
      return [
        h("h1", { class: "hidden" }, "Overview"),
        h("section", { class: "figures", "aria-label": "Now" },
          figure("In", `${rate(stat("publish"))}`, "/s", "in", "published a second", "in"),
          figure("Out", `${rate(stat("deliver_get"))}`, "/s", "out", "delivered a second", "out"),
          figure("Done", `${rate(stat("ack"))}`, "/s", "done", "acknowledged a second", "done"),
          figure("Lag", count(totals.messages ?? 0), "", "lag", `${whole(totals.messages_ready ?? 0)} ready, ${whole(totals.messages_unacknowledged ?? 0)} unacknowledged`, "lag"),
          h("div", { class: "figure tally" },
            tally(all.object_totals.queues, "queue", "#/queues"),
            tally(all.object_totals.consumers, "consumer", "#/connections"),
            tally(all.object_totals.connections, "connection", "#/connections"),
            tally(all.object_totals.channels, "channel", "#/connections"))),
        h("section", { class: "needs", "aria-labelledby": "needs" },
          h("h2", { id: "needs" }, "Needs a person now"),
          !alarms.length && !needing.length
            ? h("p", { class: "calm" }, h("span", { class: "dot good" }), "Nothing. Every queue is worked off.")
            : h("ul", { class: "list" },
              alarms.map(([title, text]) => h("li", { key: title, class: "bad" }, h("span", { class: "dot bad" }), h("div", {}, h("b", {}, title), ". ", text))),
              needing.map((it) => h("li", { key: `${it.vhost}/${it.name}` },
                h("span", { class: `dot ${kind(it)}` }),
                h("div", {}, h("a", { href: `#/queues/${path(it.vhost, it.name)}` }, it.name), ctx.session.vhosts.length > 1 && h("small", { class: "vhost" }, it.vhost), " ", sentence(it)),
                h("b", { class: "number" }, count(lag(it))))),
              worst?.filtered_count > worst?.item_count && needing.length === worst.item_count && h("li", {}, h("a", { href: "#/queues" }, "More in the list of queues")))),
        h("div", { class: "columns" },
          chart({ id: "rates", title: "Messages a second", write: rate, redraw: ctx.redraw, lines: [{ name: "in", kind: "in", points: trail("in") }, { name: "out", kind: "out", points: trail("out") }, { name: "done", kind: "done", points: trail("done") }] }),
          chart({ id: "lag", title: "Lag of all queues", write: count, redraw: ctx.redraw, lines: [{ name: "messages", kind: "lag", fill: true, points: trail("lag") }] })),
        h("div", { class: "columns" },
          h("section", {}, h("h2", {}, "Busiest queues"), busiest(ctx, busy)),
          node && h("section", {}, h("h2", {}, "This broker"), machine(node, all))),
      ];
    },
  };
}

function figure(label, value, unit, name, title, kind) {
  return h("div", { class: `figure ${kind}`, title }, h("span", { class: "label" }, label), h("span", { class: "value" }, value, unit && h("small", {}, unit)), sparkline(trail(name), { label: `${label} in the last minutes`, kind, height: 30 }));
}

function tally(number, what, href) {
  return h("a", { href }, h("b", {}, count(number)), ` ${what}${number === 1 ? "" : "s"}`);
}

function busiest(ctx, list) {
  const rows = (list?.items ?? []).filter((it) => (it.message_stats?.publish_details?.rate ?? 0) + (it.message_stats?.deliver_get_details?.rate ?? 0) > 0);
  if (!rows.length) return h("p", { class: "quiet" }, "Nothing flows at present.");
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Queue"), h("th", { scope: "col", class: "number" }, "In/s"), h("th", { scope: "col", class: "number" }, "Out/s"), h("th", { scope: "col", class: "number" }, "Lag"))),
    h("tbody", {}, rows.map((it) => h("tr", { key: `${it.vhost}/${it.name}`, "data-href": `#/queues/${path(it.vhost, it.name)}`, tabindex: -1 },
      h("td", {}, h("a", { href: `#/queues/${path(it.vhost, it.name)}` }, it.name), badge(it)),
      h("td", { class: "number" }, rate(it.message_stats?.publish_details?.rate)),
      h("td", { class: "number" }, rate(it.message_stats?.deliver_get_details?.rate)),
      h("td", { class: "number" }, count(lag(it))))))));
}

function machine(node, all) {
  const bar = (used, most, isAlarm) => h("meter", { min: 0, max: most || 1, value: used ?? 0, high: most * 0.85, optimum: 0, class: isAlarm ? "bad" : "" });
  return h("dl", { class: "facts" },
    h("dt", {}, "Memory"), h("dd", {}, bar(node.mem_used, node.mem_limit, node.mem_alarm), ` ${bytes(node.mem_used)}`, h("small", {}, ` publishers wait above ${bytes(node.mem_limit)}`)),
    h("dt", {}, "Disk"), h("dd", {}, `${bytes(node.disk_free)} free`, h("small", {}, ` publishers wait below ${bytes(node.disk_free_limit)}`)),
    h("dt", {}, "Files"), h("dd", {}, `${whole(node.fd_used)} of ${whole(node.fd_total)} open`),
    h("dt", {}, "Up for"), h("dd", {}, duration(node.uptime)),
    h("dt", {}, "Version"), h("dd", {}, `${all.product_name} ${all.product_version}`),
    h("dt", {}, "Listens"), h("dd", {}, (all.listeners ?? []).map((it) => h("div", {}, `${it.protocol} `, h("code", {}, `${it.ip_address}:${it.port}`)))));
}
