// One message as people read it: its way, its properties, its body as text, JSON or bytes.

import { h } from "./dom.js";
import { bytes, moment, some } from "./format.js";
import { copy } from "./ui.js";

/** What a body is: `{kind: "json" | "text" | "bytes", text}`. */
export function body(message) {
  const isCut = message.payload_bytes > size(message);
  // Bytes that happen to be characters, but none that people write.
  const isText = message.payload_encoding !== "base64" && !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(message.payload);
  if (isText) {
    const text = message.payload;
    if (!isCut && /^\s*[[{]/.test(text)) {
      try {
        // Numbers that JavaScript can't hold stay as they came.
        const pretty = JSON.stringify(JSON.parse(text), null, 2);
        if (!/\d{16,}/.test(text)) return { kind: "JSON", text: pretty };
      } catch {
        // Looks like JSON and is none.
      }
    }
    return { kind: "text", text };
  }
  const raw = message.payload_encoding === "base64"
    ? Uint8Array.from(atob(message.payload), (letter) => letter.charCodeAt(0))
    : new TextEncoder().encode(message.payload);
  if (isCut) {
    // Text that was cut within a character.
    try {
      return { kind: "text", text: new TextDecoder("utf-8", { fatal: true }).decode(raw.subarray(0, raw.length - 4)) };
    } catch {
      // Bytes.
    }
  }
  return { kind: "bytes", text: hex(raw.subarray(0, 4096)), more: raw.length > 4096 };
}

function size(message) {
  if (message.payload_encoding === "base64") return Math.floor(message.payload.length / 4) * 3 - (message.payload.match(/=*$/)[0].length);
  return new TextEncoder().encode(message.payload).length;
}

export function hex(raw) {
  const lines = [];
  for (let at = 0; at < raw.length; at += 16) {
    const row = [...raw.subarray(at, at + 16)];
    const codes = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(47);
    const letters = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${codes}  ${letters}`);
  }
  return lines.join("\n");
}

/** A line of it, for lists. */
export function preview(message) {
  const shown = body(message);
  return shown.kind === "bytes" ? shown.text.slice(8, 55) : shown.text.replace(/\s+/g, " ").slice(0, 160);
}

const value = (it) => (typeof it === "string" ? it : JSON.stringify(it));
// The story tells them.
const HIDDEN = /^x-(death|first-death-.*|last-death-.*|delivery-count)$/;

/** All of it. `story` shows how it died. */
export function whole(message, acts) {
  const { headers = {}, ...properties } = message.properties;
  const shown = body(message);
  const rows = Object.entries(properties).map(([name, it]) => [name.replaceAll("_", " "), name === "timestamp" ? `${moment(it * 1000)}` : name === "delivery_mode" ? (it === 2 ? "persistent" : "transient") : value(it)]);
  const told = Object.entries(headers).filter(([name]) => !HIDDEN.test(name));
  return h("div", { class: "message" },
    story(message),
    h("dl", { class: "pairs" },
      h("dt", {}, "exchange"), h("dd", {}, message.exchange || "(default)"),
      h("dt", {}, "routing key"), h("dd", {}, h("code", {}, message.routing_key)),
      rows.map(([name, it]) => [h("dt", {}, name), h("dd", {}, it)])),
    told.length > 0 && h("details", { open: true }, h("summary", {}, some(told.length, "header")),
      h("dl", { class: "pairs" }, told.map(([name, it]) => [h("dt", {}, h("code", {}, name)), h("dd", {}, value(it))]))),
    h("div", { class: "body" },
      h("div", { class: "body-head" }, h("span", {}, `${shown.kind}, ${bytes(message.payload_bytes)}`, shown.more || size(message) < message.payload_bytes ? ", the beginning" : ""), copy(shown.text), acts),
      h("pre", { tabindex: 0 }, shown.text || "(empty)")));
}

const WHY = {
  rejected: "was rejected by its consumer",
  expired: "expired: its time to live was over",
  maxlen: "was dropped: the queue was full",
  delivery_limit: "failed in every delivery that it may have",
};

/** `x-death` as a story, the earliest first. */
export function story(message) {
  const deaths = message.properties.headers?.["x-death"];
  if (!Array.isArray(deaths) || !deaths.length) {
    return message.death ? h("ol", { class: "story" }, h("li", {}, "In ", h("b", {}, message.death.queue), ` it ${WHY[message.death.reason] ?? message.death.reason}.`)) : null;
  }
  const headers = message.properties.headers;
  const first = deaths.at(-1);
  return h("ol", { class: "story" },
    h("li", {}, "Published to ", h("b", {}, first.exchange || "the default exchange"), " with the routing key ", h("code", {}, (first["routing-keys"] ?? []).join(", ")), "."),
    deaths.toReversed().map((death) => h("li", { class: "died" },
      death.time ? h("time", {}, moment(death.time * 1000)) : null,
      " In ", h("a", { href: `#/queues/${encodeURIComponent(message.vhost ?? "/")}/${encodeURIComponent(death.queue)}` }, death.queue), ` it ${WHY[death.reason] ?? death.reason}`,
      death.count > 1 ? `, ${death.count} times.` : ".")),
    headers["x-delivery-count"] !== undefined && h("li", {}, `${some(headers["x-delivery-count"], "failed delivery", "failed deliveries")} in all.`),
    message.dead_since && h("li", {}, h("time", {}, moment(message.dead_since)), " Here since then."));
}
