// Definitions: everything but messages, as a file.

import { ask, download } from "./api.js";
import { h } from "./dom.js";
import { path, some } from "./format.js";
import { attempt, confirm, notice } from "./ui.js";

const PARTS = ["vhosts", "users", "permissions", "policies", "operator_policies", "exchanges", "queues", "bindings", "parameters", "vhost_limits", "user_limits"];

export function definitions(ctx) {
  let chosen = "";
  const at = () => (chosen ? `/api/definitions/${path(chosen)}` : "/api/definitions");
  async function take(event) {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    let found;
    try {
      found = JSON.parse(await file.text());
      if (!found || typeof found !== "object" || Array.isArray(found)) throw new Error("it is no JSON object");
    } catch (error) {
      notice(`${file.name} is no file of definitions: ${error.message}.`, "bad");
      return;
    }
    const parts = PARTS.filter((part) => found[part]?.length).map((part) => h("li", {}, some(found[part].length, part.replaceAll("_", " ").replace(/s$/, "").replace(/ie$/, "y"), part.replaceAll("_", " "))));
    const was = await confirm({
      title: `Import ${file.name}?`,
      text: [h("p", {}, chosen ? ["Into the virtual host ", h("b", {}, chosen), ":"] : "Into this broker:"), h("ul", {}, parts.length ? parts : h("li", {}, "nothing that is known")),
        h("p", {}, "Queues and exchanges that exist stay as they are. Users, permissions and policies of the same names are replaced. A file with an error changes nothing.")],
      verb: "Import",
      danger: false,
      work: () => ask("POST", at(), file),
    });
    if (was) {
      notice(`${file.name} was imported.`);
      ctx.renewSession();
    }
  }
  return {
    title: () => "Definitions",
    watch: () => ["/api/whoami"],
    told() {},
    draw: () => [
      h("div", { class: "head" }, h("h1", {}, "Definitions"), h("p", { class: "quiet side" }, "Virtual hosts, users, permissions, policies, exchanges, queues and bindings, as RabbitMQ writes them. Messages are not among them.")),
      h("section", { class: "box narrow" },
        h("div", { class: "field" }, h("label", { for: "scope" }, "Of"),
          h("select", { id: "scope", value: chosen, onchange: (event) => { chosen = event.target.value; ctx.redraw(); } }, h("option", { value: "" }, "the whole broker"), ctx.session.vhosts.map((vhost) => h("option", { value: vhost }, `the virtual host ${vhost}`)))),
        h("div", { class: "acts" },
          h("button", { type: "button", class: "primary", onclick: () => attempt(() => download(at(), `definitions${chosen ? `-${chosen.replace(/\W+/g, "_")}` : ""}-${new Date().toISOString().slice(0, 10)}.json`)) }, "Download"),
          h("label", { class: "button" }, "Import a file…", h("input", { class: "hidden", type: "file", accept: ".json,application/json", onchange: take }))),
        h("p", { class: "quiet" }, "The file has password hashes of users: keep it as you keep secrets.")),
    ],
  };
}
