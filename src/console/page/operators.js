// What operators set: policies, users and their permissions, virtual hosts, limits.

import { get, put, remove } from "./api.js";
import { h } from "./dom.js";
import { count, path, some, whole } from "./format.js";
import { object } from "./queue.js";
import { confirm, form, later, notice } from "./ui.js";

const EXAMPLES = 6;

/** Asks the broker which names a pattern matches, as it is typed: its own regular expressions count. */
function tester(redraw, kinds) {
  const state = { pattern: null, results: null, refusal: null };
  const look = later(async (vhost, pattern, appliesTo) => {
    const mine = `${vhost} ${pattern} ${appliesTo}`;
    state.pattern = mine;
    try {
      const asked = kinds(appliesTo).map(async (kind) => {
        const query = new URLSearchParams({ page: 1, page_size: EXAMPLES, name: pattern, use_regex: "true", columns: "name" });
        return { kind, page: pattern ? await get(`/api/${kind}/${path(vhost)}?${query}`) : null };
      });
      const results = await Promise.all(asked);
      if (state.pattern === mine) Object.assign(state, { results, refusal: null });
    } catch (error) {
      if (state.pattern === mine) Object.assign(state, { results: null, refusal: error.message });
    }
    redraw();
  }, 200);
  return { state, look };
}

function tested({ state }, empty) {
  if (state.refusal) return h("p", { class: "refusal", role: "alert" }, state.refusal);
  if (!state.results) return null;
  return h("div", { class: "tested", role: "status" }, state.results.map(({ kind, page }) => h("p", {},
    page === null ? empty : page.filtered_count === 0 ? `Matches none of ${some(page.total_count, kind.slice(0, -1))}.`
      : ["Matches ", h("b", {}, whole(page.filtered_count)), ` of ${some(page.total_count, kind.slice(0, -1))}: `, h("span", { class: "mono" }, page.items.map((it) => it.name || "(default)").join(", ")), page.filtered_count > page.items.length && ", …"])));
}

function table(heads, rows, empty) {
  if (!rows.length) return h("p", { class: "box quiet" }, empty);
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col", class: head.startsWith("#") ? "number" : "" }, head.replace("#", ""))), h("th", {}, h("span", { class: "hidden" }, "Acts")))),
    h("tbody", {}, rows)));
}

// Policies

const KINDS = { queues: ["queues"], classic_queues: ["queues"], quorum_queues: ["queues"], exchanges: ["exchanges"], all: ["queues", "exchanges"] };

export function policies(ctx) {
  const lists = { policies: null, "operator-policies": null };
  const names = Object.keys(lists);
  return {
    title: () => "Policies",
    watch: () => names.map((name) => `/api/${name}${ctx.vhost ? `/${path(ctx.vhost)}` : ""}`),
    told(at, body, status) {
      if (status === 200) lists[names[at]] = body;
    },
    draw: () => [
      h("div", { class: "head" }, h("h1", {}, "Policies"), h("p", { class: "quiet side" }, "A policy sets what a queue or exchange does not say itself, for all whose names match its pattern. Of several that match the one with the highest priority counts.")),
      section(ctx, "policies", "Policies", lists.policies, ctx.has("administrator", "policymaker"), ctx.redraw),
      section(ctx, "operator-policies", "Operator policies", lists["operator-policies"], ctx.has("administrator"), ctx.redraw, "They set limits that users' policies and arguments can't exceed."),
    ],
  };
}

function section(ctx, kind, title, list, may, redraw, text) {
  return h("section", {},
    h("div", { class: "head" }, h("h2", {}, title, text && h("small", {}, ` ${text}`)), may && h("button", { type: "button", onclick: () => edit(ctx, kind) }, "New…")),
    !list ? h("p", { class: "quiet" }, "Asking the broker…") : table(["Name", "Virtual host", "Pattern", "Applies to", "#Priority", "Sets"], list.map((it) => h("tr", { key: `${it.vhost}/${it.name}` },
      h("td", { class: "name" }, h("b", {}, it.name)), h("td", {}, it.vhost), h("td", { class: "wrap" }, h("code", {}, it.pattern)), h("td", {}, it["apply-to"].replace("_", " ")), h("td", { class: "number" }, it.priority),
      h("td", { class: "wrap" }, Object.entries(it.definition).map(([key, value]) => h("div", {}, h("code", {}, `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`)))),
      h("td", { class: "acts" }, may && [h("button", { type: "button", onclick: () => edit(ctx, kind, it) }, "Change…"), h("button", { type: "button", class: "warns", onclick: () => drop(kind, it) }, "Delete…")]))), "None."));
}

function drop(kind, it) {
  return confirm({ title: `Delete the policy ${it.name}?`, text: h("p", {}, "What it sets holds no more, at once, for all that it applies to: another policy or the defaults take its place."), verb: "Delete the policy", work: () => remove(`/api/${kind}/${path(it.vhost, it.name)}`) }).then((was) => was && notice(`The policy ${it.name} was deleted.`));
}

function edit(ctx, kind, it) {
  let test = null;
  const look = (values, redraw) => {
    test ??= tester(redraw, (to) => KINDS[to] ?? KINDS.all);
    test.look(values.vhost, values.pattern, values["apply-to"]);
  };
  return form({
    title: it ? `Change the policy ${it.name}` : "New policy",
    wide: true,
    fields: [
      { name: "name", label: "Name", value: it?.name, required: true, readonly: !!it },
      { name: "vhost", label: "Virtual host", type: "select", options: it ? [it.vhost] : ctx.session.vhosts, value: it?.vhost ?? (ctx.vhost || ctx.session.vhosts[0]), changed: look },
      { name: "apply-to", label: "Applies to", type: "select", value: it?.["apply-to"] ?? "queues", options: (kind === "policies" ? ["queues", "classic_queues", "quorum_queues", "exchanges", "all"] : ["queues", "classic_queues", "quorum_queues"]).map((value) => ({ value, label: value.replace("_", " ") })), changed: look },
      { name: "pattern", label: "Pattern", value: it?.pattern, required: true, hint: "A regular expression over names, as ^orders\\.", changed: look, below: () => test && tested(test, "") },
      { name: "priority", label: "Priority", type: "number", value: it?.priority ?? 0 },
      { name: "definition", label: "Sets", type: "textarea", rows: 5, value: JSON.stringify(it?.definition ?? { "delivery-limit": 5 }, null, 2), hint: "A JSON object: delivery-limit, message-ttl, max-length, overflow, dead-letter-exchange, consumer-timeout and others." },
    ],
    verb: it ? "Change" : "Make the policy",
    save: (values) => put(`/api/${kind}/${path(values.vhost, values.name)}`, { pattern: values.pattern, "apply-to": values["apply-to"], priority: Number(values.priority || 0), definition: object(values.definition, "Sets") }).then(() => values.name),
  }).then((name) => name && notice(`The policy ${name} holds from now on.`));
}

// Users

const TAGS = [["administrator", "may do everything"], ["monitoring", "sees everything"], ["policymaker", "sets policies in its virtual hosts"], ["management", "sees its virtual hosts"]];
const USER_LIMITS = ["max-connections", "max-channels", "max-publish-rate"];
const VHOST_LIMITS = ["max-connections", "max-queues", "max-publish-rate"];

function limitsOf(value) {
  const shown = Object.entries(value ?? {});
  return shown.length ? shown.map(([name, most]) => h("div", {}, `${name.replace("max-", "")} ≤ ${whole(most)}`)) : h("span", { class: "quiet" }, "–");
}

function editLimits(kind, name, limits, value) {
  return form({
    title: `Limits of ${name}`,
    text: h("p", {}, "Empty: no limit. A limit counts at once."),
    fields: limits.map((limit) => ({ name: limit, label: limit === "max-publish-rate" ? "max-publish-rate (messages a second)" : limit, type: "number", value: value?.[limit] ?? "" })),
    verb: "Set",
    save: async (values) => {
      for (const limit of limits) {
        const at = `/api/${kind}/${path(name)}/${limit}`;
        const before = value?.[limit] ?? "";
        if (String(before) === String(values[limit])) continue;
        if (values[limit] === "") await remove(at);
        else await put(at, { value: Number(values[limit]) });
      }
      return true;
    },
  }).then((was) => was && notice(`The limits of ${name} are set.`));
}

export function users(ctx) {
  let list = null;
  let permissions = null;
  let limits = null;
  return {
    title: () => "Users",
    watch: () => ["/api/users", "/api/permissions", "/api/user-limits"],
    told(at, body, status) {
      if (status !== 200) return;
      if (at === 0) list = body;
      else if (at === 1) permissions = body;
      else limits = Object.fromEntries(body.map((it) => [it.user, it.value]));
    },
    draw: () => [
      h("div", { class: "head" }, h("h1", {}, "Users", list && h("small", {}, whole(list.length))), h("button", { type: "button", onclick: () => editUser() }, "New…")),
      !list ? h("p", { class: "quiet" }, "Asking the broker…") : table(["Name", "Tags", "May, in each virtual host: configure, write, read", "Limits"], list.map((it) => {
        const own = (permissions ?? []).filter((permission) => permission.user === it.name);
        return h("tr", { key: it.name },
          h("td", { class: "name" }, h("b", {}, it.name), it.name === ctx.session.name && h("span", { class: "badge good" }, "you"), !it.password_hash && it.hashing_algorithm !== "argon2id" && h("span", { class: "badge" }, "no password")),
          h("td", {}, (it.tags ?? []).map((tag) => h("span", { class: "badge" }, tag))),
          h("td", { class: "wrap" }, own.map((permission) => h("div", { key: permission.vhost, class: "permission" },
            h("b", {}, permission.vhost), ...["configure", "write", "read"].map((kind) => h("code", { title: kind }, permission[kind] || "nothing")),
            h("button", { type: "button", class: "plain", "aria-label": `Change the permission of ${it.name} in ${permission.vhost}`, onclick: () => permit(ctx, it.name, permission) }, "change"))),
          !own.length && h("span", { class: "quiet" }, "may enter none")),
          h("td", {}, limitsOf(limits?.[it.name])),
          h("td", { class: "acts" },
            h("button", { type: "button", onclick: () => permit(ctx, it.name) }, "Permit…"),
            h("button", { type: "button", onclick: () => editLimits("user-limits", it.name, USER_LIMITS, limits?.[it.name]) }, "Limits…"),
            h("button", { type: "button", onclick: () => editUser(it) }, "Change…"),
            h("button", { type: "button", class: "warns", onclick: () => dropUser(ctx, it) }, "Delete…")));
      }), "None."),
    ],
  };
}

function editUser(it) {
  return form({
    title: it ? `Change ${it.name}` : "New user",
    fields: [
      { name: "name", label: "Name", value: it?.name, required: true, readonly: !!it },
      { name: "password", label: it ? "New password" : "Password", type: "password", required: !it, hint: it ? "Empty: it stays as it is. With a new one its sessions on this page end; its AMQP connections stay." : undefined },
      ...TAGS.map(([tag, meaning]) => ({ name: tag, label: `${tag}: ${meaning}`, type: "checkbox", value: (it?.tags ?? []).includes(tag) })),
    ],
    verb: it ? "Change" : "Make the user",
    save: (values) => {
      const others = (it?.tags ?? []).filter((tag) => !TAGS.some(([known]) => known === tag));
      return put(`/api/users/${path(values.name)}`, { ...(it && !values.password ? { password_hash: it.password_hash, hashing_algorithm: it.hashing_algorithm } : { password: values.password }), tags: [...TAGS.filter(([tag]) => values[tag]).map(([tag]) => tag), ...others] }).then(() => values.name);
    },
  }).then((name) => name && notice(it ? `${name} was changed.` : `${name} was made. Permit it something.`));
}

function permit(ctx, user, permission) {
  const tests = {};
  const look = (kind) => (values, redraw) => {
    tests[kind] ??= tester(redraw, () => ["queues", "exchanges"]);
    tests[kind].look(values.vhost, values[kind]);
  };
  const field = (kind, hint) => ({ name: kind, label: kind, value: permission?.[kind] ?? "", hint, changed: look(kind), below: () => tests[kind] && tested(tests[kind], "Matches nothing.") });
  return form({
    title: `What ${user} may do`,
    wide: true,
    text: h("p", {}, "Three regular expressions over names of queues and exchanges. An empty one allows nothing, .* everything."),
    fields: [
      { name: "vhost", label: "Virtual host", type: "select", options: permission ? [permission.vhost] : ctx.session.vhosts, value: permission?.vhost ?? (ctx.vhost || ctx.session.vhosts[0]) },
      field("configure", "to declare and delete"),
      field("write", "to publish, and to bind a queue; the default exchange is called amq.default"),
      field("read", "to consume, get and purge, and to bind to an exchange"),
    ],
    extra: () => permission && h("p", {}, h("button", { type: "button", class: "warns", onclick: async () => {
      if (await confirm({ title: `Take the permission from ${user}?`, text: h("p", {}, h("b", {}, user), ` can't enter ${permission.vhost} any more.`), verb: "Take it", work: () => remove(`/api/permissions/${path(permission.vhost, user)}`) })) {
        notice(`${user} may not enter ${permission.vhost} any more.`);
        for (const node of document.querySelectorAll("dialog")) node.close();
      }
    } }, "Take the permission…")),
    verb: "Permit",
    save: (values) => put(`/api/permissions/${path(values.vhost, user)}`, { configure: values.configure, write: values.write, read: values.read }),
  }).then((was) => was && notice(`What ${user} may do has changed.`));
}

function dropUser(ctx, it) {
  return confirm({
    title: `Delete ${it.name}?`,
    text: [h("p", {}, "Its connections are closed. Queues, exchanges and messages stay."), it.name === ctx.session.name && h("p", {}, h("b", {}, "This is you:"), " the page logs you out.")],
    word: it.tags?.includes("administrator") ? it.name : undefined,
    verb: "Delete the user",
    work: () => remove(`/api/users/${path(it.name)}`),
  }).then((was) => was && notice(`${it.name} was deleted.`));
}

// Virtual hosts

export function vhosts(ctx) {
  let list = null;
  let limits = null;
  const isAdministrator = ctx.has("administrator");
  return {
    title: () => "Virtual hosts",
    watch: () => ["/api/vhosts", "/api/vhost-limits"],
    told(at, body, status) {
      if (status !== 200) return;
      if (at === 0) list = body;
      else limits = Object.fromEntries(body.map((it) => [it.vhost, it.value]));
    },
    draw: () => [
      h("div", { class: "head" }, h("h1", {}, "Virtual hosts", list && h("small", {}, whole(list.length))), isAdministrator && h("button", { type: "button", onclick: () => editVhost(ctx) }, "New…")),
      !list ? h("p", { class: "quiet" }, "Asking the broker…") : table(["Name", "Description", "#Messages", "Limits"], list.map((it) => h("tr", { key: it.name },
        h("td", { class: "name" }, h("b", {}, it.name)),
        h("td", { class: "wrap" }, it.description || h("span", { class: "quiet" }, "–")),
        h("td", { class: "number", title: whole(it.messages) }, count(it.messages)),
        h("td", {}, limitsOf(limits?.[it.name])),
        h("td", { class: "acts" }, isAdministrator && [
          h("button", { type: "button", onclick: () => editLimits("vhost-limits", it.name, VHOST_LIMITS, limits?.[it.name]) }, "Limits…"),
          h("button", { type: "button", class: "warns", onclick: () => dropVhost(ctx, it) }, "Delete…")]))), "None that you may see."),
    ],
  };
}

async function editVhost(ctx) {
  const name = await form({
    title: "New virtual host",
    text: h("p", {}, "A name space of its own for queues and exchanges. You get every permission in it."),
    fields: [{ name: "name", label: "Name", required: true }, { name: "description", label: "Description" }],
    verb: "Make it",
    save: (values) => put(`/api/vhosts/${path(values.name)}`, { description: values.description }).then(() => values.name),
  });
  if (!name) return;
  notice(`${name} was made.`);
  ctx.renewSession();
}

async function dropVhost(ctx, it) {
  const queues = await get(`/api/queues/${path(it.name)}?page=1&page_size=1&columns=name`).catch(() => null);
  const was = await confirm({
    title: `Delete the virtual host ${it.name}?`,
    text: [h("p", {}, h("b", {}, `${queues ? some(queues.total_count, "queue") : "Its queues"}, ${some(it.messages ?? 0, "message")}`), ", its exchanges, policies and permissions will be deleted, and its connections closed. They can't be brought back.")],
    word: it.name,
    verb: "Delete all of it",
    work: () => remove(`/api/vhosts/${path(it.name)}`),
  });
  if (!was) return;
  notice(`${it.name} was deleted.`);
  ctx.renewSession();
}

