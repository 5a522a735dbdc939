// The monitor's API. Every failure becomes a Problem, in the house's four parts.

/** What failed, where, what was expected, what to do next; `status` is 0 where no answer came. */
export class Problem extends Error {
  constructor(status, { what, where = "", expected = "", next = "" }) {
    super(what);
    Object.assign(this, { status, what, where, expected, next });
  }

  /** One sentence or two for a person. */
  get text() {
    return [`${this.what}.`, this.next && `Next: ${this.next}.`].filter(Boolean).join(" "); // `expected` is for programs
  }
}

const ROOT = "api/annotate/";
const WRITES = new Set(["POST", "PUT", "DELETE"]);
let csrf = "";

/** Who is signed in: {name, open}; remembers what every writing call must carry. */
export async function session() {
  const found = await call("GET", "api/session");
  csrf = found.csrf;
  return found;
}

export const signOut = () => call("DELETE", "api/session");

/** An answer's JSON (null without one), or its bytes. A superseded call rejects with the browser's AbortError. */
async function call(method, path, { body, open, signal, bytes = false, keepalive = false } = {}) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (open) { // a name may have letters that no header takes
    headers["X-Lease"] = open.lease.token;
    headers["X-Annotator"] = encodeURIComponent(open.annotator);
  }
  if (WRITES.has(method)) headers["X-CSRF-Token"] = csrf;
  const sent = body === undefined ? undefined : JSON.stringify(body);
  let reply;
  try {
    reply = await fetch(path, { method, headers, body: sent, signal, keepalive, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { what: "the monitor does not answer", next: "nothing is lost; try again when it is back" });
  }
  if (!reply.ok) throw new Problem(reply.status, await reason(reply));
  if (bytes) return reply.blob();
  const text = await reply.text();
  return text ? JSON.parse(text) : null;
}

async function reason(reply) {
  try {
    const { error } = await reply.json();
    if (error?.what) return error;
  } catch { /* no JSON: a proxy's page */ }
  return { what: `the monitor answered ${reply.status}`, next: "try again" };
}

const at = (open, what) => `${ROOT}cases/${encodeURIComponent(open.case)}/${what}`;

export const queue = () => call("GET", `${ROOT}queue`);
export const next = (instrument, annotator) => call("POST", `${ROOT}next`, { body: { instrument, annotator } });

/** Of a case that `next` has opened: {case, lease: {token}}. */
export const image = (open) => call("GET", at(open, "image"), { open, bytes: true });
export const proposal = (open) => call("GET", at(open, "proposal"), { open });
export const refine = (open, body, signal) => call("POST", at(open, "refine"), { body, open, signal });
export const saveDraft = (open, body, keepalive) => call("PUT", at(open, "draft"), { body, open, keepalive });
export const accept = (open, body) => call("POST", at(open, "accept"), { body, open });

/** @param how "skip", "reject", "unreadable" or "release" */
export const leave = (open, how, reason) => call("POST", at(open, how), { body: { reason }, open });
