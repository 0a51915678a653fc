// Lines over time. Drawn as SVG that stretches; words stand beside it, so that they don't.

import { h } from "./dom.js";
import { clock } from "./format.js";

const WIDTH = 1000;

function line(points, from, to, top, height) {
  const x = (t) => (((t - from) / (to - from || 1)) * WIDTH).toFixed(1);
  const y = (v) => (height - (Math.min(v, top) / (top || 1)) * (height - 2) - 1).toFixed(1);
  return points.map((point, at) => `${at ? "L" : "M"}${x(point.t)} ${y(point.v)}`).join("");
}

/** A small line without words, of the points `{t, v}`. */
export function sparkline(points, { label, height = 22, kind = "" } = {}) {
  const latest = points?.at(-1)?.t ?? 0;
  const near = (points ?? []).filter((point) => point.t > latest - 600_000);
  // More than can be seen would only cost time.
  const step = Math.ceil(near.length / 120);
  const shown = near.filter((_, at) => (near.length - 1 - at) % step === 0);
  const span = Math.min(600_000, Math.max(20_000, (shown.at(-1)?.t ?? 0) - (shown[0]?.t ?? 0)));
  const to = shown.at(-1)?.t ?? 0;
  const from = to - span;
  // Some messages more or less are no mountain.
  const top = Math.max(10, ...shown.map((point) => point.v)) * 1.08;
  const d = shown.length > 1 ? line(shown, from, to, top, height) : "";
  const first = shown.length ? (((shown[0].t - from) / span) * WIDTH).toFixed(1) : 0;
  return h("svg", { class: `spark ${kind}`, viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", height, role: "img", "aria-label": label ?? "" },
    d && h("path", { class: "area", d: `${d}L${WIDTH} ${height}L${first} ${height}Z` }),
    d && h("path", { class: "line", d, "vector-effect": "non-scaling-stroke" }));
}

function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value) ?? value;
}

const pointed = { chart: null, share: 0 };

/**
 * A chart with its words. `lines`: `{name, points, kind}`; `marks`: horizontal lines `{name, v, kind}`;
 * `band`: what is shaded from 0 up, `{name, v}`. `write` makes text of a value; `redraw` is called when
 * the pointer moves.
 */
export function chart({ id, title, lines, marks = [], band, write, redraw, height = 150, empty }) {
  const all = lines.flatMap((it) => it.points);
  const from = all.length ? Math.min(...all.map((it) => it.t)) : 0;
  const to = all.length ? Math.max(...all.map((it) => it.t)) : 0;
  const highest = Math.max(0, ...all.map((it) => it.v));
  // A line far above what is drawn would flatten it.
  const near = marks.filter((it) => it.v <= Math.max(highest, 1) * 4);
  const top = ceiling(Math.max(highest, ...near.map((it) => it.v)) * 1.02);
  const y = (v) => height - (Math.min(v, top) / top) * (height - 2) - 1;
  const isPointed = pointed.chart === id && all.length > 1;
  const at = from + pointed.share * (to - from);
  const nearest = (points) => points.reduce((best, it) => (Math.abs(it.t - at) < Math.abs(best.t - at) ? it : best), points[0]);
  const told = lines.filter((it) => it.points.length).map((it) => ({ ...it, now: isPointed ? nearest(it.points) : it.points.at(-1) }));
  const x = isPointed && told.length ? ((told[0].now.t - from) / (to - from || 1)) * WIDTH : 0;
  const point = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    pointed.chart = id;
    pointed.share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    redraw();
  };
  const leave = () => {
    pointed.chart = null;
    redraw();
  };
  const words = told.map((it) => `${it.name} ${write(it.points.at(-1).v)}`).join(", ");
  return h("figure", { class: "chart" },
    h("figcaption", {},
      h("span", { class: "chart-title" }, title),
      h("span", { class: "legend" },
        told.map((it) => h("span", { class: `key ${it.kind}` }, h("i", {}), it.name, h("b", {}, write(it.now.v)))),
        marks.map((it) => h("span", { class: `key mark ${it.kind}` }, h("i", {}), it.name, h("b", {}, write(it.v)))),
        band && h("span", { class: "key band" }, h("i", {}), band.name, h("b", {}, write(band.v))),
        isPointed && told.length ? h("span", { class: "at" }, clock(told[0].now.t)) : null)),
    h("div", { class: "plot" },
      h("div", { class: "scale", "aria-hidden": "true" }, h("span", {}, write(top)), h("span", {}, write(top / 2)), h("span", {}, "0")),
      h("div", { class: "canvas", onpointermove: point, onpointerleave: leave },
        h("svg", { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${words || "no figures yet"}`, height },
          [0, 0.5, 1].map((share) => h("line", { class: "grid", x1: 0, x2: WIDTH, y1: y(top * share), y2: y(top * share), "vector-effect": "non-scaling-stroke" })),
          band && h("rect", { class: "normal", x: 0, width: WIDTH, y: y(band.v), height: Math.max(0, height - y(band.v)) }),
          near.map((it) => h("line", { class: `mark ${it.kind}`, x1: 0, x2: WIDTH, y1: y(it.v), y2: y(it.v), "vector-effect": "non-scaling-stroke" })),
          lines.map((it) => it.points.length > 1 && h("g", { class: it.kind },
            it.fill && h("path", { class: "area", d: `${line(it.points, from, to, top, height)}L${WIDTH} ${height}L0 ${height}Z` }),
            h("path", { class: "line", d: line(it.points, from, to, top, height), "vector-effect": "non-scaling-stroke" }))),
          isPointed && h("line", { class: "pointer", x1: x, x2: x, y1: 0, y2: height, "vector-effect": "non-scaling-stroke" })),
        all.length < 2 && h("p", { class: "quiet over" }, empty ?? "Drawn from when the page was opened."))),
    h("div", { class: "axis", "aria-hidden": "true" }, h("span", {}, all.length > 1 ? clock(from) : ""), h("span", {}, all.length > 1 ? "now" : "")));
}
