// What the page asks of the broker. Every request carries the session's second secret, which pages of
// others can't know.

let secret = "none";

export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

export function useSecret(csrf) {
  secret = csrf ?? "none";
}

async function send(method, path, body, signal) {
  const headers = { "x-forebay-csrf": secret };
  let sent = body;
  if (body !== undefined && !(body instanceof Blob)) {
    headers["content-type"] = "application/json";
    sent = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, { method, headers, body: sent, signal, credentials: "same-origin" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(0, "The broker can't be reached.");
  }
  if (response.ok) return response;
  const text = await response.text();
  let reason = text;
  try {
    reason = JSON.parse(text).reason ?? text;
  } catch {
    // As it came.
  }
  if (response.status === 401 && path !== "/api/forebay/session") window.dispatchEvent(new Event("unauthorised"));
  throw new Refused(response.status, reason || `The broker answered ${response.status}.`);
}

export async function ask(method, path, body) {
  const response = await send(method, path, body);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

export const get = (path) => ask("GET", path);
export const post = (path, body) => ask("POST", path, body);
export const put = (path, body) => ask("PUT", path, body);
export const remove = (path) => ask("DELETE", path);

export async function download(path, name) {
  const response = await send("GET", path);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/**
 * Calls `tell(at, body, status)` for each path now and whenever it changes, and `link(state)` with "live",
 * "lost" or "ended". Returns what ends it. A page that nobody sees holds no connection: the browser has
 * six for all pages of a broker.
 */
export function watch(paths, tell, link) {
  const over = new AbortController();
  let round = null;
  let pause = 500;
  const wake = () => {
    if (document.hidden) round?.abort();
    else if (!round) run();
  };
  async function run() {
    round = new AbortController();
    const mine = round;
    let silence = 0;
    try {
      const query = encodeURIComponent(JSON.stringify(paths));
      const response = await send("GET", `/api/forebay/live?watch=${query}`, undefined, mine.signal);
      const reader = response.body.getReader();
      const text = new TextDecoder();
      let rest = "";
      // The broker says something at least every few seconds.
      const listen = () => {
        clearTimeout(silence);
        silence = setTimeout(() => mine.abort(), 20_000);
      };
      for (;;) {
        listen();
        const { done, value } = await reader.read();
        if (done || over.signal.aborted) break;
        pause = 500;
        link("live");
        rest += text.decode(value, { stream: true });
        const events = rest.split("\n\n");
        rest = events.pop();
        for (const event of events) {
          if (!event.startsWith("data: ")) continue;
          const { at, body, status } = JSON.parse(event.slice(6));
          if (status === 401 && !over.signal.aborted) {
            const there = await get("/api/forebay/session").catch((error) => error);
            if (there.status === 401) {
              over.abort();
              window.dispatchEvent(new Event("ended"));
              return;
            }
          }
          if (!over.signal.aborted) tell(at, body, status);
        }
      }
    } catch (error) {
      if (error.status === 401) {
        over.abort();
        return;
      }
      if (!over.signal.aborted && !document.hidden) link("lost", error.status === 503 ? error.message : undefined);
    } finally {
      clearTimeout(silence);
      if (round === mine) round = null;
    }
    if (over.signal.aborted || document.hidden) return;
    setTimeout(() => !over.signal.aborted && !round && !document.hidden && run(), pause);
    pause = Math.min(pause * 2, 5_000);
  }
  document.addEventListener("visibilitychange", wake);
  over.signal.addEventListener("abort", () => {
    document.removeEventListener("visibilitychange", wake);
    round?.abort();
  });
  if (!document.hidden) run();
  return () => over.abort();
}
