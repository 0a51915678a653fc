// Parts that several views are made of.

import { h, render } from "./dom.js";
import { whole } from "./format.js";

/** A window over the page. `draw(close, redraw)` describes it; resolves with what `close` is given. */
export function dialog(title, draw, { wide = false } = {}) {
  return new Promise((resolve) => {
    const node = document.createElement("dialog");
    if (wide) node.className = "wide";
    node.setAttribute("aria-label", title);
    let result;
    const close = (value) => {
      result = value;
      node.close();
    };
    const redraw = () => render(node, [
      h("header", {}, h("h2", {}, title), h("button", { class: "plain close", "aria-label": "Close", onclick: () => close(), type: "button" }, "×")),
      draw(close, redraw),
    ]);
    node.addEventListener("close", () => {
      node.remove();
      resolve(result);
    });
    node.addEventListener("click", (event) => event.target === node && node.dataset.down === "true" && close());
    node.addEventListener("pointerdown", (event) => (node.dataset.down = String(event.target === node)));
    document.body.append(node);
    redraw();
    node.showModal();
    node.querySelector("[autofocus]")?.focus();
  });
}

/** Says what an act will do, and asks. `work` does it; its refusal is shown where it was asked for. */
export async function confirm({ title, text, verb, work, danger = true, word }) {
  let busy = false;
  let refusal = null;
  let typed = "";
  return dialog(title, (close, redraw) => {
    const act = async (event) => {
      event.preventDefault();
      if (busy || (word && typed !== word)) return;
      [busy, refusal] = [true, null];
      redraw();
      try {
        await work();
        close(true);
      } catch (error) {
        [busy, refusal] = [false, error.message];
        redraw();
      }
    };
    return h("form", { onsubmit: act },
      h("div", { class: "prose" }, text),
      word && h("label", { class: "field" }, h("span", {}, "Type ", h("code", {}, word), " to go on"),
        h("input", { type: "text", autocomplete: "off", spellcheck: "false", autofocus: true, oninput: (event) => { typed = event.target.value; redraw(); } })),
      refusal && h("p", { class: "refusal", role: "alert" }, refusal),
      h("footer", {},
        h("button", { type: "button", onclick: () => close(false) }, "Cancel"),
        h("button", { type: "submit", class: danger ? "danger" : "primary", disabled: busy || (word && typed !== word) || false, autofocus: !word }, busy ? "…" : verb)));
  });
}

const notices = document.createElement("div");
notices.className = "notices";
notices.setAttribute("role", "status");

/** A short word about what was done. */
export function notice(text, kind = "good") {
  if (!notices.isConnected) document.body.append(notices);
  const node = document.createElement("p");
  node.className = kind;
  node.textContent = text;
  notices.append(node);
  setTimeout(() => node.remove(), kind === "bad" ? 9_000 : 4_500);
}

/** Does something and says when it was refused. */
export async function attempt(work, done) {
  try {
    const result = await work();
    if (done) notice(done);
    return result ?? true;
  } catch (error) {
    notice(error.message, "bad");
    return undefined;
  }
}

/**
 * A form in a window. `fields`: `{name, label, type, value, hint, required, options, test}`; `save(values)`
 * does it. `extra(values)` is shown below and may change with what is typed.
 */
export function form({ title, fields, verb, save, extra, text, wide }) {
  const values = Object.fromEntries(fields.map((field) => [field.name, field.value ?? ""]));
  let [busy, refusal] = [false, null];
  return dialog(title, (close, redraw) => {
    const submit = async (event) => {
      event.preventDefault();
      if (busy) return;
      [busy, refusal] = [true, null];
      redraw();
      try {
        const result = await save(values);
        close(result ?? true);
      } catch (error) {
        [busy, refusal] = [false, error.message];
        redraw();
      }
    };
    const change = (field) => (event) => {
      values[field.name] = field.type === "checkbox" ? event.target.checked : event.target.value;
      field.changed?.(values, redraw);
      redraw();
    };
    return h("form", { onsubmit: submit },
      text && h("div", { class: "prose" }, text),
      fields.map((field, at) => !field.hidden?.(values) && input(field, values, change(field), at === 0)),
      extra?.(values, redraw),
      refusal && h("p", { class: "refusal", role: "alert" }, refusal),
      h("footer", {},
        h("button", { type: "button", onclick: () => close() }, "Cancel"),
        h("button", { type: "submit", class: "primary", disabled: busy }, busy ? "…" : verb)));
  }, { wide });
}

function input(field, values, change, isFirst) {
  const common = { name: field.name, id: `field-${field.name}`, required: field.required, autofocus: isFirst, "aria-describedby": field.hint ? `hint-${field.name}` : undefined };
  let node;
  if (field.type === "select") {
    node = h("select", { ...common, value: values[field.name], onchange: change }, field.options.map((it) => h("option", { value: it.value ?? it }, it.label ?? it)));
  } else if (field.type === "textarea") {
    node = h("textarea", { ...common, rows: field.rows ?? 4, spellcheck: "false", value: values[field.name], oninput: change });
  } else if (field.type === "checkbox") {
    return h("label", { key: field.name, class: "field check" }, h("input", { ...common, type: "checkbox", checked: !!values[field.name], onchange: change }), h("span", {}, field.label));
  } else {
    node = h("input", { ...common, type: field.type ?? "text", autocomplete: field.type === "password" ? "new-password" : "off", spellcheck: "false", value: values[field.name], readonly: field.readonly, oninput: change, list: field.suggest ? `list-${field.name}` : undefined });
  }
  return h("div", { key: field.name, class: "field" },
    h("label", { for: `field-${field.name}` }, field.label),
    node,
    field.suggest && h("datalist", { id: `list-${field.name}` }, field.suggest.map((it) => h("option", { value: it }))),
    field.hint && h("small", { id: `hint-${field.name}` }, field.hint),
    field.below?.(values));
}

/** A head of a column that sorts: on the server, when there may be many rows. */
export function sorter(label, column, state, change, kind = "") {
  const isOn = state.sort === column;
  const order = isOn ? (state.reverse ? "descending" : "ascending") : "none";
  return h("th", { scope: "col", class: kind, "aria-sort": order },
    h("button", { class: "plain sort", type: "button", onclick: () => change(column, isOn ? !state.reverse : kind.includes("number")) },
      label, isOn && h("span", { class: "arrow", "aria-hidden": "true" }, state.reverse ? "↓" : "↑")));
}

export function pager(page, go) {
  if (!page || page.page_count <= 1) return null;
  const first = (page.page - 1) * page.page_size + 1;
  return h("nav", { class: "pager", "aria-label": "Pages" },
    h("button", { type: "button", disabled: page.page <= 1, onclick: () => go(page.page - 1) }, "‹ Previous"),
    h("span", {}, `${first}–${first + page.item_count - 1} of ${whole(page.filtered_count)}`),
    h("button", { type: "button", disabled: page.page >= page.page_count, onclick: () => go(page.page + 1) }, "Next ›"));
}

/** Waits for the end of typing. */
export function later(work, ms = 250) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), ms);
  };
}

export function copy(text) {
  return h("button", { class: "plain copy", type: "button", title: "Copy", "aria-label": `Copy ${text}`, onclick: () => attempt(() => navigator.clipboard.writeText(text), "Copied.") }, h("svg", { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" }, h("path", { d: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z", fill: "none", stroke: "currentColor", "stroke-width": 1.3, "stroke-linejoin": "round" })));
}
