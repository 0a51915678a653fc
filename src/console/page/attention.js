// What is wrong with a queue, in words. The broker says which of them holds.

import { h } from "./dom.js";
import { count, duration, some } from "./format.js";

const LABELS = {
  damaged: ["damaged", "bad"],
  no_consumers: ["no consumers", "bad"],
  paused: ["paused", "warn"],
  stalled: ["stalled", "bad"],
  above_line: ["above normal", "bad"],
  too_old: ["too old", "bad"],
  slow_drain: ["slow", "warn"],
  growing: ["growing", "warn"],
  dead_letters: ["dead letters", "warn"],
  falling_behind: ["falling behind", "warn"],
};

export const lag = (queue) => (queue.messages_ready ?? 0) + (queue.messages_unacknowledged ?? 0);

export function badge(queue) {
  const [label] = LABELS[queue.attention?.reason] ?? [];
  return label ? h("span", { class: `badge ${kind(queue)}` }, label) : null;
}

export function kind(queue) {
  if (queue.attention?.reason === "paused" && queue.attention.level > 2) return "bad";
  return LABELS[queue.attention?.reason]?.[1] ?? "";
}

/** A sentence for people, and what to do. */
export function sentence(queue) {
  const waiting = lag(queue);
  const oldest = queue.oldest_message_age_ms ? `, the oldest for ${duration(queue.oldest_message_age_ms)}` : "";
  const wait = waiting === 1 ? "waits" : "wait";
  switch (queue.attention?.reason) {
    case "damaged":
      return `can't be served: ${queue.damage ?? "its files are damaged"}.`;
    case "no_consumers":
      return `has no consumers; ${some(waiting, "message")} ${wait}${oldest}.`;
    case "paused": {
      const by = queue.paused_since ? ` by ${queue.paused_by} for ${duration(Date.now() - queue.paused_since)}` : "";
      return `has been paused${by}: it delivers nothing. ${waiting ? `${some(waiting, "message")} ${wait}${oldest}.` : "It is empty."}`;
    }
    case "stalled":
      return `has ${queue.consumers === 1 ? "a consumer that acknowledges" : `${some(queue.consumers, "consumer")} that acknowledge`} nothing; ${some(waiting, "message")} ${wait}${oldest}.`;
    case "above_line":
      return `has ${some(waiting, "message")}${oldest}. Up to ${count(queue.lag.normal_peak)} are normal at this time of day; it has been above its alert line of ${count(queue.lag.alert_line)} for ${duration(1000 * (queue.lag.above_line_seconds ?? 0))}.`;
    case "too_old":
      return `has ${some(waiting, "message")}${oldest}: older than ${duration(1000 * queue.lag.oldest_age_line_seconds)} is not normal.`;
    case "slow_drain":
      return `has ${some(waiting, "message")} that take ${duration(1000 * queue.lag.drain_seconds)} at the present rate: longer than ${duration(1000 * queue.lag.drain_line_seconds)} is not normal.`;
    case "growing":
      return `is never empty, and has become longer for two weeks: ${some(waiting, "message")} ${wait}${oldest}.`;
    case "dead_letters":
      return `has ${some(waiting, "dead letter")}${oldest}.`;
    case "falling_behind":
      return `falls behind: ${count(queue.message_stats?.publish_details?.rate)} a second come, ${count(queue.message_stats?.ack_details?.rate)} are done; ${some(waiting, "message")} ${wait}${oldest}.`;
    default:
      return "";
  }
}
