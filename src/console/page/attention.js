// What is wrong with a queue, in words. The broker says which of them holds.

import { h } from "./dom.js";
import { count, duration, some } from "./format.js";

const LABELS = {
  damaged: ["damaged", "bad"],
  no_consumers: ["no consumers", "bad"],
  stalled: ["stalled", "bad"],
  dead_letters: ["dead letters", "warn"],
  falling_behind: ["falling behind", "warn"],
};

export const lag = (queue) => (queue.messages_ready ?? 0) + (queue.messages_unacknowledged ?? 0);

export function badge(queue) {
  const [label, kind] = LABELS[queue.attention?.reason] ?? [];
  return label ? h("span", { class: `badge ${kind}` }, label) : null;
}

export function kind(queue) {
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
    case "stalled":
      return `has ${queue.consumers === 1 ? "a consumer that acknowledges" : `${some(queue.consumers, "consumer")} that acknowledge`} nothing; ${some(waiting, "message")} ${wait}${oldest}.`;
    case "dead_letters":
      return `has ${some(waiting, "dead letter")}${oldest}.`;
    case "falling_behind":
      return `falls behind: ${count(queue.message_stats?.publish_details?.rate)} a second come, ${count(queue.message_stats?.ack_details?.rate)} are done; ${some(waiting, "message")} ${wait}${oldest}.`;
    default:
      return "";
  }
}
