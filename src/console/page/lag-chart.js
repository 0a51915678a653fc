// Lag over time with what is normal: live for ten minutes, from the broker's history for days.

import { get } from "./api.js";
import { chart } from "./chart.js";
import { h } from "./dom.js";
import { clock, count } from "./format.js";

const SPANS = [{ label: "10 min", days: 0 }, { label: "1 day", days: 1 }, { label: "1 week", days: 7 }, { label: "5 weeks", days: 35 }];
// A history grows by a point in a quarter of an hour.
const RENEW_MS = 60_000;

const DAY = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });

/** Of the queue at this path; its state lives as long as the view. */
export function lagChart(ctx, at) {
  let days = 0;
  let past = null;
  let refusal = null;

  async function ask() {
    const wanted = days;
    try {
      const answer = await get(`/api/forebay/lag/${at}?days=${wanted}`);
      if (wanted !== days) return;
      past = answer;
      refusal = null;
    } catch (error) {
      refusal = error.message;
    }
    ctx.redraw();
  }

  const timer = setInterval(() => days && !document.hidden && ask(), RENEW_MS);

  function choose(wanted) {
    days = wanted;
    past = null;
    refusal = null;
    if (days) ask();
    ctx.redraw();
  }

  const acts = () => h("span", { class: "spans", role: "group", "aria-label": "Time shown" }, SPANS.map((span) =>
    h("button", { type: "button", "aria-pressed": String(span.days === days), onclick: () => choose(span.days) }, span.label)));

  return {
    close: () => clearInterval(timer),
    /** `live`: lines, marks and band of the last minutes. */
    draw(live) {
      const common = { id: "queue-lag", title: "Lag", write: count, redraw: ctx.redraw, acts: acts() };
      if (!days) return chart({ ...common, ...live });
      const points = (field) => (past?.parts ?? []).map((part) => ({ t: part.at, v: part[field] }));
      const empty = refusal ?? (past ? "Nothing is known of that time." : "Asking the broker…");
      return chart({
        ...common,
        lines: [{ name: "highest lag", kind: "lag", fill: true, points: points("peak") }],
        marks: [{ name: "alert line", kind: "bad", points: points("alert_line") }],
        band: { name: "normal up to", points: points("normal_peak") },
        when: days > 1 ? (ms) => DAY.format(ms) : clock,
        empty,
      });
    },
  };
}
