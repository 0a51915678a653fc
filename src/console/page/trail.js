// What was seen since the page was opened, so that there is a line to draw. Bounded: a page may stay
// open for days.

const POINTS_MAX = 300;
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
}
