// Figures as people read them. The whole figure stands in the title.

const WHOLE = new Intl.NumberFormat("en");

/** 9,412 stays; 94,120 is 94.1k. */
export function count(number) {
  if (number === undefined || number === null || Number.isNaN(number)) return "–";
  const size = Math.abs(number);
  if (size < 10_000) return WHOLE.format(Math.round(number));
  const [value, unit] = size < 1e6 ? [number / 1e3, "k"] : size < 1e9 ? [number / 1e6, "M"] : [number / 1e9, "G"];
  return three(value) + unit;
}

export function whole(number) {
  return number === undefined || number === null ? "–" : WHOLE.format(number);
}

function three(value) {
  const size = Math.abs(value);
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Per second. */
export function rate(number) {
  if (!number) return "0";
  const size = Math.abs(number);
  if (size < 0.05) return "<0.1";
  return size < 10 ? number.toFixed(1) : count(number);
}

export function bytes(number) {
  if (number === undefined || number === null || Number.isNaN(number)) return "–";
  if (number < 1024) return `${Math.round(number)} B`;
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = number / 1024;
  let unit = 0;
  while (value >= 1024 && unit + 1 < units.length) [value, unit] = [value / 1024, unit + 1];
  return `${three(value)} ${units[unit]}`;
}

/** Milliseconds, in at most two units. */
export function duration(ms) {
  if (ms === undefined || ms === null || Number.isNaN(ms)) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const units = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, length]) => seconds >= length);
  const [name, length] = units[first];
  const many = Math.floor(seconds / length);
  const next = units[first + 1];
  const rest = next && many < 10 ? Math.floor((seconds - many * length) / next[1]) : 0;
  return rest ? `${many} ${name} ${rest} ${next[0]}` : `${many} ${name}`;
}

/** "1 message", "2 messages". */
export function some(number, one, more = `${one}s`) {
  return `${whole(number)} ${number === 1 ? one : more}`;
}

export function clock(ms) {
  return new Date(ms).toLocaleTimeString([], { hour12: false });
}

/** With the date when it was not today. */
export function moment(ms) {
  const date = new Date(ms);
  const today = new Date().toDateString() === date.toDateString();
  return today ? clock(ms) : `${date.toISOString().slice(0, 10)} ${clock(ms)}`;
}

export function path(...parts) {
  return parts.map(encodeURIComponent).join("/");
}
