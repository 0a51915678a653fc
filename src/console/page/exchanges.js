// Exchanges, what is bound to them, and where a message would go.

import { get, post, remove } from "./api.js";
import { h } from "./dom.js";
import { path, rate, some, whole } from "./format.js";
import { listing } from "./listing.js";
import { object } from "./queue.js";
import { confirm, later, notice } from "./ui.js";

const COLUMNS = [
  { label: "Exchange", column: "name" },
  { label: "Type", column: "type" },
  { label: "Kept" },
  { label: "In/s", kind: "number" },
  { label: "Out/s", kind: "number" },
];

export function exchanges(ctx) {
  return listing(ctx, {
    title: "Exchanges",
    path: () => `/api/exchanges${ctx.vhost ? `/${path(ctx.vhost)}` : ""}`,
    first: "name",
    search: "Search by name",
    none: "There are no exchanges in a virtual host that you see.",
    unmatched: "No exchange has such a name.",
    columns: COLUMNS,
    row(it) {
      const href = `#/exchanges/${path(it.vhost, it.name || "amq.default")}`;
      return h("tr", { key: `${it.vhost}/${it.name}`, "data-href": href, tabindex: -1 },
        h("td", { class: "name" }, h("a", { href }, it.name || "(default)"), ctx.session.vhosts.length > 1 && !ctx.vhost && h("small", { class: "vhost" }, it.vhost)),
        h("td", {}, it.type),
        h("td", { class: "quiet" }, [it.durable ? "durable" : "transient", it.internal && "internal", it.auto_delete && "auto-delete"].filter(Boolean).join(", ")),
        h("td", { class: "number" }, rate(it.message_stats?.publish_in_details?.rate)),
        h("td", { class: "number" }, rate(it.message_stats?.publish_out_details?.rate)));
    },
  });
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
