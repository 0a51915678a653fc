// How figures came to be what they are: what the broker remembers of the last minutes, and what was seen since
// the page was opened. Bounded: a page may stay open for days.

import { post } from "./api.js";

const POINTS_MAX = 900;
const TRAILS_MAX = 2_000;
const trails = new Map();

/** Adds a figure; two within half a second are one. */
export function note(name, value, t = Date.now()) {
  if (value === undefined || value === null) return;
  let points = trails.get(name);
  if (!points) {
    if (trails.size >= TRAILS_MAX) trails.delete(trails.keys().next().value);
    points = [];
  } else {
    trails.delete(name);
  }
  // The one that was not noted for longest stands first.
  trails.set(name, points);
  const last = points.at(-1);
  if (last && t - last.t < 500) last.v = value;
  else points.push({ t, v: value });
  if (points.length > POINTS_MAX) points.shift();
}

/** Puts what was before `[time, value]` in front of what was noted. */
function precede(name, past) {
  const points = trails.get(name) ?? [];
  const first = points[0]?.t ?? Infinity;
  trails.set(name, [...past.filter(([t]) => t < first - 500).map(([t, v]) => ({ t, v })), ...points].slice(-POINTS_MAX));
}

const asked = new Set();

/** Asks the broker for the past of queues `{vhost, name}` and of the whole, once for each. */
export async function remember(queues, nameOf) {
  const wanted = queues.filter((it) => !asked.has(nameOf(it))).slice(0, 100);
  if (queues.length ? !wanted.length : asked.has("")) return;
  for (const it of wanted) asked.add(nameOf(it));
  if (!queues.length) asked.add("");
  const past = await post("/api/forebay/past", { queues: wanted.map((it) => [it.vhost, it.name]) }).catch(() => null);
  if (!past) return;
  wanted.forEach((it, at) => precede(nameOf(it), past.queues[at]));
  if (queues.length) return;
  ["lag", "in", "out", "done"].forEach((name, at) => precede(name, past.total.map((point) => [point[0], point[at + 1]])));
}

/** What was noted, up to now: a figure that does not change is not told again. */
export function trail(name, since = 0) {
  const points = trails.get(name) ?? [];
  const shown = since ? points.filter((point) => point.t >= since) : points.slice();
  const last = points.at(-1);
  if (last && Date.now() - last.t > 1_000) shown.push({ t: Date.now(), v: last.v });
  return shown;
}

export function forget() {
  trails.clear();
  asked.clear();
}
