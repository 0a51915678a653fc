// Lines over time. Drawn as SVG that stretches; words stand beside it, so that they don't.

import { h } from "./dom.js";
import { clock } from "./format.js";

const WIDTH = 1000;

function line(points, from, to, top, height) {
  const x = (t) => (((t - from) / (to - from || 1)) * WIDTH).toFixed(1);
  const y = (v) => (height - (Math.min(v, top) / (top || 1)) * (height - 2) - 1).toFixed(1);
  return points.map((point, at) => `${at ? "L" : "M"}${x(point.t)} ${y(point.v)}`).join("");
}

const isKnown = (point) => point.v !== null && point.v !== undefined;

/** Where a figure is not known, the line has a gap. */
function runs(points) {
  const found = [];
  let run = null;
  for (const point of points) {
    if (!isKnown(point)) run = null;
    else if (run) run.push(point);
    else found.push(run = [point]);
  }
  return found;
}

function area(points, from, to, top, height) {
  const x = (t) => (((t - from) / (to - from || 1)) * WIDTH).toFixed(1);
  return `${line(points, from, to, top, height)}L${x(points.at(-1).t)} ${height}L${x(points[0].t)} ${height}Z`;
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
 * A chart with its words. `lines`: `{name, points, kind}`, whose points may have no figure; `marks`: horizontal lines
 * `{name, v, kind}`, or dashed ones `{name, points, kind}`; `band`: what is shaded from 0 up, `{name, v}` or
 * `{name, points}`. `write` makes text of a value, `when` of a time; `redraw` is called when the pointer moves.
 * `acts` stand beside the title.
 */
export function chart({ id, title, lines, marks = [], band, write, when = clock, redraw, height = 150, empty, acts }) {
  const all = lines.flatMap((it) => it.points).filter(isKnown);
  const times = lines.flatMap((it) => it.points).map((it) => it.t);
  const from = times.length ? Math.min(...times) : 0;
  const to = times.length ? Math.max(...times) : 0;
  const level = (v) => [{ t: from, v }, { t: to, v }];
  const highest = Math.max(0, ...all.map((it) => it.v));
  const limits = marks.map((it) => ({ ...it, points: it.points ?? level(it.v) }));
  const peak = (points) => Math.max(0, ...points.filter(isKnown).map((it) => it.v));
  // A line far above what is drawn would flatten it.
  const near = limits.filter((it) => peak(it.points) <= Math.max(highest, 1) * 4);
  const top = ceiling(Math.max(highest, ...near.map((it) => peak(it.points))) * 1.02);
  const y = (v) => height - (Math.min(v, top) / top) * (height - 2) - 1;
  const isPointed = pointed.chart === id && all.length > 1;
  const at = from + pointed.share * (to - from);
  const known = (points) => points.filter(isKnown);
  const nearest = (points) => points.reduce((best, it) => (Math.abs(it.t - at) < Math.abs(best.t - at) ? it : best), points[0]);
  const now = (points) => (isPointed ? nearest(known(points)) : known(points).at(-1));
  const told = lines.filter((it) => known(it.points).length).map((it) => ({ ...it, now: now(it.points) }));
  const beside = [...limits, ...(band ? [{ ...band, kind: "band", points: band.points ?? level(band.v) }] : [])]
    .map((it) => ({ ...it, now: now(it.points) })).filter((it) => it.now);
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
  const words = told.map((it) => `${it.name} ${write(known(it.points).at(-1).v)}`).join(", ");
  return h("figure", { class: "chart" },
    h("figcaption", {},
      h("span", { class: "chart-title" }, title, acts),
      h("span", { class: "legend" },
        told.map((it) => h("span", { class: `key ${it.kind}` }, h("i", {}), it.name, h("b", {}, write(it.now.v)))),
        beside.map((it) => h("span", { class: it.kind === "band" ? "key band" : `key mark ${it.kind}` }, h("i", {}), it.name, h("b", {}, write(it.now.v)))),
        isPointed && told.length ? h("span", { class: "at" }, when(told[0].now.t)) : null)),
    h("div", { class: "plot" },
      h("div", { class: "scale", "aria-hidden": "true" }, h("span", {}, write(top)), h("span", {}, write(top / 2)), h("span", {}, "0")),
      h("div", { class: "canvas", onpointermove: point, onpointerleave: leave },
        h("svg", { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${words || "no figures yet"}`, height },
          [0, 0.5, 1].map((share) => h("line", { class: "grid", x1: 0, x2: WIDTH, y1: y(top * share), y2: y(top * share), "vector-effect": "non-scaling-stroke" })),
          band && runs(band.points ?? level(band.v)).map((run) => h("path", { class: "normal", d: area(run, from, to, top, height) })),
          near.map((it) => runs(it.points).map((run) => h("path", { class: `mark ${it.kind}`, d: line(run, from, to, top, height), "vector-effect": "non-scaling-stroke" }))),
          lines.map((it) => all.length > 1 && h("g", { class: it.kind }, runs(it.points).map((run) => [
            it.fill && h("path", { class: "area", d: area(run, from, to, top, height) }),
            // One figure alone is a dot: a line without length with round ends.
            h("path", { class: "line", d: line(run.length > 1 ? run : [run[0], run[0]], from, to, top, height), "vector-effect": "non-scaling-stroke" })]))),
          isPointed && h("line", { class: "pointer", x1: x, x2: x, y1: 0, y2: height, "vector-effect": "non-scaling-stroke" })),
        all.length < 2 && h("p", { class: "quiet over" }, empty ?? "Drawn from when the page was opened."))),
    h("div", { class: "axis", "aria-hidden": "true" }, h("span", {}, all.length > 1 ? when(from) : ""), h("span", {}, all.length > 1 ? "now" : "")));
}
