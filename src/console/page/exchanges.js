// Exchanges, what is bound to them, and where a message would go.

import { get, post, remove } from "./api.js";
import { h } from "./dom.js";
import { path, rate, some, whole } from "./format.js";
import { object } from "./queue.js";
import { confirm, later, notice, pager, sorter } from "./ui.js";

const SIZE = 50;

export function exchanges(ctx) {
  let page = null;
  let refusal = null;
  const order = () => ({ sort: ctx.query.sort ?? "name", reverse: ctx.query.up !== undefined });
  const search = later((name) => ctx.set({ name, page: undefined }));
  const sort = (column, reverse) => ctx.set({ sort: column, up: reverse ? "1" : undefined, page: undefined });
  return {
    title: () => "Exchanges",
    watch() {
      const { sort, reverse } = order();
      const query = new URLSearchParams({ page: ctx.query.page ?? 1, page_size: SIZE, sort, sort_reverse: reverse });
      if (ctx.query.name) query.set("name", ctx.query.name);
      return [`/api/exchanges${ctx.vhost ? `/${path(ctx.vhost)}` : ""}?${query}`];
    },
    told(at, body, status) {
      if (status === 400 && Number(ctx.query.page) > 1) return ctx.set({ page: undefined });
      refusal = status === 200 ? null : body?.reason;
      if (status === 200) page = body;
    },
    draw: () => [
      h("div", { class: "head" },
        h("h1", {}, "Exchanges", page && h("small", {}, whole(page.filtered_count))),
        h("form", { class: "search", role: "search", onsubmit: (event) => event.preventDefault() },
          h("input", { type: "search", "aria-label": "Search by name", placeholder: "Search by name   /", value: ctx.query.name ?? "", oninput: (event) => search(event.target.value) }))),
      refusal && h("p", { class: "refusal", role: "alert" }, refusal),
      !page ? h("p", { class: "quiet" }, "Asking the broker…")
        : h("div", { class: "scroll" }, h("table", {},
          h("thead", {}, h("tr", {},
            sorter("Exchange", "name", order(), sort),
            sorter("Type", "type", order(), sort),
            h("th", { scope: "col" }, "Kept"),
            h("th", { scope: "col", class: "number" }, "In/s"),
            h("th", { scope: "col", class: "number" }, "Out/s"))),
          h("tbody", {}, page.items.map((it) => {
            const href = `#/exchanges/${path(it.vhost, it.name || "amq.default")}`;
            return h("tr", { key: `${it.vhost}/${it.name}`, "data-href": href, tabindex: -1 },
              h("td", { class: "name" }, h("a", { href }, it.name || "(default)"), ctx.session.vhosts.length > 1 && !ctx.vhost && h("small", { class: "vhost" }, it.vhost)),
              h("td", {}, it.type),
              h("td", { class: "quiet" }, [it.durable ? "durable" : "transient", it.internal && "internal", it.auto_delete && "auto-delete"].filter(Boolean).join(", ")),
              h("td", { class: "number" }, rate(it.message_stats?.publish_in_details?.rate)),
              h("td", { class: "number" }, rate(it.message_stats?.publish_out_details?.rate)));
          })))),
      pager(page, (to) => ctx.set({ page: to })),
    ],
  };
}

export function exchange(ctx, vhost, name) {
  const at = path(vhost, name);
  const isDefault = name === "amq.default";
  let it = null;
  let gone = false;
  let bindings = null;
  let may = null;
  const wanted = { routing_key: "", headers: "" };
  let found = null;
  get(`/api/forebay/access/${path(vhost)}/exchange/${path(name)}`).then((access) => { may = access; ctx.redraw(); }, () => {});
  const find = later(async () => {
    try {
      const headers = wanted.headers.trim() ? object(wanted.headers, "Headers") : {};
      found = await post(`/api/forebay/route/${at}`, { routing_key: wanted.routing_key, headers });
    } catch (error) {
      found = { refusal: error.message };
    }
    ctx.redraw();
  }, 200);
  find();
  const erase = () => confirm({
    title: `Delete ${name}?`,
    text: h("p", {}, `${some((bindings ?? []).length, "binding")} will be gone with it. Whoever publishes to it after that gets an error.`),
    verb: "Delete the exchange",
    work: () => remove(`/api/exchanges/${at}`),
  }).then((was) => {
    if (!was) return;
    notice(`${name} was deleted.`);
    ctx.go("#/exchanges");
  });
  return {
    title: () => (isDefault ? "Default exchange" : name),
    watch: () => [`/api/exchanges/${at}`, `/api/exchanges/${at}/bindings/source`],
    told(index, body, status) {
      if (index === 0) gone = status === 404;
      if (status !== 200) return;
      if (index === 0) it = body;
      else {
        bindings = body;
        find();
      }
    },
    draw() {
      if (gone) return h("div", { class: "empty" }, h("p", {}, "There is no exchange ", h("b", {}, name), " (any more)."), h("a", { href: "#/exchanges" }, "To the list of exchanges"));
      if (!it) return h("p", { class: "quiet" }, "Asking the broker…");
      const to = new Set((found?.queues ?? []));
      return [
        h("div", { class: "head" },
          h("h1", {}, h("a", { class: "up", href: "#/exchanges" }, "Exchanges"), h("span", { class: "slash" }, "/"), isDefault ? "(default)" : name, h("small", {}, it.type, it.policy && `, policy ${it.policy}`)),
          h("div", { class: "acts" }, may?.configure && !isDefault && !name.startsWith("amq.") && h("button", { type: "button", class: "warns", onclick: erase }, "Delete…"))),
        h("section", { class: "box" }, h("h2", {}, "Where would this message go?"),
          h("div", { class: "ask" },
            h("div", { class: "field" }, h("label", { for: "routing-key" }, "Routing key"), h("input", { id: "routing-key", type: "text", spellcheck: "false", autocomplete: "off", value: wanted.routing_key, oninput: (event) => { wanted.routing_key = event.target.value; find(); } })),
            h("div", { class: "field" }, h("label", { for: "headers" }, "Headers (JSON)"), h("input", { id: "headers", type: "text", spellcheck: "false", autocomplete: "off", placeholder: "{}", value: wanted.headers, oninput: (event) => { wanted.headers = event.target.value; find(); } }))),
          h("div", { class: "answer", role: "status" },
            !found ? null : found.refusal ? h("p", { class: "refusal" }, found.refusal)
              : to.size ? h("p", {}, "To ", some(to.size, "queue"), ": ", [...to].slice(0, 50).map((queue, at) => [at ? ", " : "", h("a", { href: `#/queues/${path(vhost, queue)}` }, queue)]), to.size > 50 && " …")
                : h("p", {}, h("span", { class: "badge warn" }, "nowhere"), " It would be dropped, or returned to a publisher that asks for that (mandatory)."))),
        h("section", {}, h("h2", {}, "What is bound to it"),
          isDefault ? h("p", { class: "box quiet" }, "Every queue, by its name as the routing key.")
            : !bindings?.length ? h("p", { class: "box quiet" }, "Nothing. Messages that are published to it go nowhere", it.arguments?.["alternate-exchange"] ? ` but to ${it.arguments["alternate-exchange"]}.` : ".")
              : h("div", { class: "box flow" }, bindings.slice(0, 200).map((binding) => h("div", { key: `${binding.destination_type} ${binding.destination} ${binding.properties_key}`, class: `way ${to.has(binding.destination) && binding.destination_type === "queue" ? "taken" : ""}` },
                h("span", { class: "node" }, name),
                h("span", { class: "key" }, Object.keys(binding.arguments).length ? JSON.stringify(binding.arguments) : binding.routing_key || "\u00a0"),
                h("a", { class: "node", href: `#/${binding.destination_type === "queue" ? "queues" : "exchanges"}/${path(vhost, binding.destination)}` }, binding.destination_type === "exchange" ? `exchange ${binding.destination}` : binding.destination))),
              bindings.length > 200 && h("p", { class: "quiet" }, `${bindings.length - 200} more.`))),
      ];
    },
  };
}
