// Who is connected, what each channel does, and what holds it up.

import { remove } from "./api.js";
import { h } from "./dom.js";
import { bytes, duration, path, rate, some, whole } from "./format.js";
import { listing } from "./listing.js";
import { confirm, notice } from "./ui.js";

const FIELDS = "name,user,vhost,state,ssl,channels,connected_at,peer_host,peer_port,client_properties,user_provided_name,recv_oct_details.rate,send_oct_details.rate";

const COLUMNS = [
  { label: "From", column: "name" },
  { label: "Client" },
  { label: "User", column: "user" },
  { label: "State", column: "state" },
  { label: "Channels", column: "channels", kind: "number" },
  { label: "In/s", column: "recv_oct_details.rate", kind: "number" },
  { label: "Out/s", column: "send_oct_details.rate", kind: "number" },
  { label: "For", column: "connected_at", kind: "number" },
];

const STATES = {
  running: ["running", ""],
  flow: ["slowed", "warn", "It publishes as fast as its limit or the disk allows"],
  blocked: ["blocked", "bad", "It published while an alarm is raised, and waits until it is over"],
  blocking: ["will wait", "warn", "An alarm is raised: its next publish waits"],
};

function state(connection) {
  const [label, kind, title] = STATES[connection.state] ?? [connection.state, ""];
  return h("span", { class: `badge ${kind}`, title }, label);
}

function client(connection) {
  const it = connection.client_properties ?? {};
  return [connection.user_provided_name, [it.product, it.version].filter(Boolean).join(" ")].filter(Boolean).join(", ") || "unknown client";
}

export function connections(ctx) {
  return listing(ctx, {
    title: "Connections",
    path: () => `/api/${ctx.vhost ? `vhosts/${path(ctx.vhost)}/` : ""}connections`,
    fields: FIELDS,
    first: "connected_at",
    falling: true,
    search: "Search by address",
    hint: () => !ctx.has("administrator", "monitoring") && h("p", { class: "quiet" }, "You see your own. The tags administrator and monitoring see all."),
    none: "No client is connected.",
    unmatched: "No connection has such an address.",
    columns: COLUMNS,
    row(it) {
      const href = `#/connections/${path(it.name)}`;
      return h("tr", { key: it.name, "data-href": href, tabindex: -1 },
        h("td", { class: "name" }, h("a", { href }, `${it.peer_host}:${it.peer_port}`), it.ssl && h("span", { class: "badge" }, "TLS")),
        h("td", { class: "name" }, client(it)),
        h("td", {}, it.user, ctx.session.vhosts.length > 1 && h("small", { class: "vhost" }, it.vhost)),
        h("td", {}, state(it)),
        h("td", { class: "number" }, whole(it.channels)),
        h("td", { class: "number" }, bytes(it.recv_oct_details?.rate ?? 0)),
        h("td", { class: "number" }, bytes(it.send_oct_details?.rate ?? 0)),
        h("td", { class: "number" }, duration(Date.now() - it.connected_at)));
    },
  });
}

export function connection(ctx, name) {
  let it = null;
  let channels = null;
  let consumers = null;
  let gone = false;
  const close = () => confirm({
    title: "Close this connection?",
    text: [h("p", {}, h("b", {}, client(it)), ` at ${it.peer_host}:${it.peer_port} will be told that an operator closed its connection. Most clients connect again at once.`),
      channels && h("p", {}, `${some(channels.reduce((sum, channel) => sum + channel.messages_unacknowledged, 0), "unacknowledged message")} will go back to the queues.`)],
    verb: "Close the connection",
    work: () => remove(`/api/connections/${path(name)}`),
  }).then((was) => {
    if (!was) return;
    notice("The connection was closed.");
    ctx.go("#/connections");
  });
  return {
    title: () => "Connection",
    watch: () => [`/api/connections/${path(name)}`, `/api/connections/${path(name)}/channels`, `/api/consumers?columns=consumer_tag,queue,channel_details,prefetch_count,unacknowledged,holding_ms,ack_required,activity_status`],
    told(at, body, status) {
      if (at === 0) gone = status === 404;
      if (status !== 200) return;
      if (at === 0) it = body;
      else if (at === 1) channels = body.toSorted((left, right) => left.number - right.number);
      else consumers = body.filter((consumer) => consumer.channel_details.connection_name === name);
    },
    draw() {
      if (gone) return h("div", { class: "empty" }, h("p", {}, "This connection is closed."), h("a", { href: "#/connections" }, "To the list of connections"));
      if (!it) return h("p", { class: "quiet" }, "Asking the broker…");
      const properties = Object.entries(it.client_properties ?? {}).filter(([key]) => key !== "capabilities");
      return [
        h("div", { class: "head" },
          h("h1", {}, h("a", { class: "up", href: "#/connections" }, "Connections"), h("span", { class: "slash" }, "/"), `${it.peer_host}:${it.peer_port}`, h("small", {}, client(it)), " ", state(it)),
          h("div", { class: "acts" }, h("button", { type: "button", class: "warns", onclick: close }, "Close…"))),
        h("dl", { class: "strip" },
          [["User", it.user], ["Virtual host", it.vhost], ["In", `${bytes(it.recv_oct_details?.rate ?? 0)}/s`], ["Out", `${bytes(it.send_oct_details?.rate ?? 0)}/s`], ["Not read by the client", bytes(it.send_pend)], ["Heartbeat", it.timeout ? `${it.timeout} s` : "none"], ["Connected for", duration(Date.now() - it.connected_at)]]
            .map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, value)))),
        h("section", {}, h("h2", {}, "Channels"),
          !channels?.length ? h("p", { class: "box quiet" }, "None is open.")
            : h("div", { class: "scroll" }, h("table", {},
              h("thead", {}, h("tr", {}, ["Channel", "Mode"].map((label) => h("th", { scope: "col" }, label)), ["Consumers", "Holds", "Prefetch", "Unconfirmed"].map((label) => h("th", { scope: "col", class: "number" }, label)), h("th", { scope: "col" }, "What holds it up"))),
              h("tbody", {}, channels.map((channel) => h("tr", { key: channel.number },
                h("td", {}, whole(channel.number)),
                h("td", {}, channel.transactional ? "transactions" : channel.confirm ? "confirms" : "plain"),
                h("td", { class: "number" }, whole(channel.consumer_count)),
                h("td", { class: "number" }, whole(channel.messages_unacknowledged)),
                h("td", { class: "number" }, channel.global_prefetch_count || channel.prefetch_count || "no limit"),
                h("td", { class: "number" }, whole(channel.messages_unconfirmed)),
                h("td", {}, obstacle(it, channel, consumers ?? []))))))),
        ),
        consumers?.length > 0 && h("section", {}, h("h2", {}, "Consumers"),
          h("div", { class: "scroll" }, h("table", {},
            h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Queue"), h("th", { scope: "col" }, "Tag"), ["Channel", "Holds", "For", "Prefetch"].map((label) => h("th", { scope: "col", class: "number" }, label)))),
            h("tbody", {}, consumers.map((consumer) => h("tr", { key: `${consumer.channel_details.number} ${consumer.consumer_tag}` },
              h("td", { class: "name" }, h("a", { href: `#/queues/${path(consumer.queue.vhost, consumer.queue.name)}` }, consumer.queue.name)),
              h("td", { class: "name" }, h("code", {}, consumer.consumer_tag)),
              h("td", { class: "number" }, whole(consumer.channel_details.number)),
              h("td", { class: "number" }, whole(consumer.unacknowledged)),
              h("td", { class: "number" }, consumer.holding_ms ? duration(consumer.holding_ms) : "–"),
              h("td", { class: "number" }, consumer.prefetch_count || "no limit"))))))),
        h("section", {}, h("h2", {}, "What the client says of itself"),
          h("dl", { class: "facts" }, properties.map(([key, value]) => [h("dt", {}, key), h("dd", {}, typeof value === "string" ? value : JSON.stringify(value))]),
            it.ssl && [h("dt", {}, "TLS"), h("dd", {}, `${it.ssl_protocol ?? ""} ${it.ssl_cipher ?? ""} ${it.peer_cert_subject ?? ""}`)])),
      ];
    },
  };
}

function obstacle(connection, channel, consumers) {
  const [, kind, title] = STATES[connection.state] ?? [];
  if (title) return h("span", { class: `badge ${kind}` }, title);
  const own = consumers.filter((consumer) => consumer.channel_details.number === channel.number);
  const full = own.filter((consumer) => consumer.prefetch_count && consumer.unacknowledged >= consumer.prefetch_count);
  if (channel.global_prefetch_count && channel.messages_unacknowledged >= channel.global_prefetch_count) return h("span", { class: "badge warn" }, "its prefetch is full: it must acknowledge");
  if (full.length) return h("span", { class: "badge warn" }, `${full.length === 1 ? "a consumer's" : `${full.length} consumers'`} prefetch is full: it must acknowledge`);
  return h("span", { class: "quiet" }, "nothing");
}
