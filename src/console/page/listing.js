// A list that the broker searches, sorts and pages: there may be ten thousand.

import { h } from "./dom.js";
import { whole } from "./format.js";
import { later, pager, sorter } from "./ui.js";

const SIZE = 50;

/**
 * A view that is one list. `path()` is what it is asked by, `fields` the columns that are asked for, `first` the
 * column that it is sorted by unless somebody says otherwise, `falling` whether the highest comes first then, `acts`
 * what stands beside the search.
 * `columns`: `{label, column, kind}`; without `column` it does not sort. `row(it)` describes one, `seen(items)` is
 * told what came.
 */
export function listing(ctx, { title, path, fields, first, falling = false, search, pattern = false, hint, acts, none, unmatched, columns, kind, row, seen }) {
  let page = null;
  let refusal = null;
  const order = () => ({ sort: ctx.query.sort ?? first, reverse: falling !== (ctx.query.up !== undefined) });
  const find = later((name) => ctx.set({ name, page: undefined }));
  const sort = (column, reverse) => ctx.set({ sort: column === first ? undefined : column, up: reverse === falling ? undefined : "1", page: undefined });
  const total = () => (page.filtered_count === page.total_count ? whole(page.total_count) : `${whole(page.filtered_count)} of ${whole(page.total_count)}`);
  const head = (it) => (it.column ? sorter(it.label, it.column, order(), sort, it.kind ?? "")
    : h("th", { scope: "col", class: it.kind }, it.hidden ? h("span", { class: "hidden" }, it.label) : it.label));
  return {
    title: () => title,
    watch() {
      const { sort, reverse } = order();
      const query = new URLSearchParams({ page: ctx.query.page ?? 1, page_size: SIZE, sort, sort_reverse: reverse });
      if (fields) query.set("columns", fields);
      if (ctx.query.name) query.set("name", ctx.query.name);
      if (pattern && ctx.query.regex) query.set("use_regex", "true");
      return [`${path()}?${query}`];
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
      seen?.(page.items);
    },
    draw: () => [
      h("div", { class: "head" },
        h("h1", {}, title, page && h("small", {}, total())),
        h("form", { class: "search", role: "search", onsubmit: (event) => event.preventDefault() },
          h("input", { type: "search", "aria-label": search, placeholder: `${search}   /`, value: ctx.query.name ?? "", oninput: (event) => find(event.target.value) }),
          acts?.(),
          pattern && h("label", {}, h("input", { type: "checkbox", checked: !!ctx.query.regex, onchange: (event) => ctx.set({ regex: event.target.checked ? "1" : undefined, page: undefined }) }), "regular expression"))),
      hint?.(),
      refusal && h("p", { class: "refusal", role: "alert" }, refusal),
      !page ? h("p", { class: "quiet" }, "Asking the broker…")
        : !page.items.length ? h("p", { class: "empty" }, ctx.query.name ? unmatched : none)
          : h("div", { class: "scroll" }, h("table", { class: kind },
            h("thead", {}, h("tr", {}, columns.map(head))),
            h("tbody", {}, page.items.map(row)))),
      pager(page, (to) => ctx.set({ page: to })),
    ],
  };
}
