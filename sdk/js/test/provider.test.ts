import { deepEqual, equal, match } from "node:assert/strict";
import test from "node:test";

import { type Io, Request, Response, failure, mediaEvent, provider } from "../src/index.ts";
import { run } from "../src/testing.ts";

/** A provider whose one operation is given. */
function operation(body: (io: Io) => unknown): (...replies: unknown[]) => unknown {
  const exports = provider({
    spec: { name: "a", displayName: "A", version: "0.1.0", media: { formats: [] } },
    recognise: () => null,
    verifySignature: () => [],
    handleCallback: () => ({ events: [], response: Response.empty(204) }),
    answerMarkup: () => ({ response: Response.empty(204), events: [] }),
    rejectionMarkup: () => Response.empty(204),
    leg: () => ({ deserializeFrame: () => [mediaEvent.flow(true)], serializeFrame: () => [] }),
    numbers: { validateNumber: (_config, _address, io) => body(io) as "owned", configureInbound: () => ({ tag: "done" }) },
  });
  return (...replies) =>
    run(exports, { export: "numbers.validate-number", config: {}, input: { address: "+1" }, replies });
}

const effect = (outcome: unknown): unknown => (outcome as { err: { perform: unknown } }).err.perform;
const failed = (outcome: unknown): Record<string, unknown> =>
  (outcome as { err: { failed: Record<string, unknown> } }).err.failed;

test("each round goes one effect further", () => {
  const round = operation((io) => {
    if (io.load("greeting") !== undefined) return "owned";
    if (!io.claim("turn", 1000)) return "not-owned";
    const greeting = io.http(Request.get("https://api.example.com/greeting")).require().json();
    io.save("greeting", greeting, 1000);
    return "not-applicable";
  });
  const replies: unknown[] = [];
  deepEqual(effect(round(...replies)), { load: "greeting" });
  replies.push({ value: null });
  deepEqual(effect(round(...replies)), { claim: { key: "turn", "ttl-ms": 1000 } });
  replies.push({ claimed: true });
  const request = { method: "GET", url: "https://api.example.com/greeting", headers: [], body: "", authorization: "none" };
  deepEqual(effect(round(...replies)), { http: request });
  replies.push({ http: { status: 200, body: '"hello"' } });
  deepEqual(effect(round(...replies)), { save: { key: "greeting", value: '"hello"', "ttl-ms": 1000 } });
  replies.push("saved");
  deepEqual(round(...replies), { ok: "not-applicable" });
  deepEqual(round({ value: "1" }), { ok: "owned" });
});

test("an operation that catches its interruption is interrupted all the same", () => {
  const round = operation((io) => {
    try {
      io.load("a");
    } catch {
      // Wrong, and without consequences.
    }
    return "owned";
  });
  deepEqual(effect(round()), { load: "a" });
  deepEqual(round({ value: null }), { ok: "owned" });

  const further = operation((io) => {
    try {
      io.load("a");
    } finally {
      io.load("b");
    }
    return "owned";
  });
  deepEqual(effect(further()), { load: "a" });
});

test("an unreachable carrier is a failure that may be retried", () => {
  const round = operation((io) => io.http(Request.get("https://a")) && "owned");
  const { kind, code, retryable, owner } = failed(round({ unreachable: "refused" }));
  deepEqual([kind, code, retryable, owner], ["carrier", "unreachable", true, "operator"]);
});

test("replies that do not fit are a defect", () => {
  const round = operation((io) => (io.claim("a", 1) ? "owned" : "not-owned"));
  equal(failed(round("saved"))["code"], "replay");
  equal(failed(round({ claimed: true }, "saved"))["code"], "replay");
});

test("a defect tells its kind and place, and not its text", () => {
  const round = operation(() => (undefined as unknown as { number: string }).number);
  const { kind, code, message } = failed(round());
  deepEqual([kind, code], ["internal", "exception"]);
  match(message as string, /^The provider has a defect: TypeError at .*provider\.test/);
  equal(failed(operation(() => Promise.resolve("owned"))())["code"], "promise");
});

test("a status tells whose fault it is", () => {
  const table: [number, string, boolean, string][] = [
    [401, "configuration", false, "user"],
    [302, "configuration", false, "user"],
    [402, "quota", false, "user"],
    [429, "quota", true, "user"],
    [408, "carrier", true, "operator"],
    [503, "carrier", true, "operator"],
    [404, "request", false, "user"],
    [199, "carrier", true, "operator"],
  ];
  for (const [status, ...expected] of table) {
    const round = operation((io) => io.http(Request.get("https://a")).require() && "owned");
    const { kind, retryable, owner } = failed(round({ http: { status } }));
    deepEqual([kind, retryable, owner], expected, String(status));
  }
  equal(failed(operation(() => { throw failure("quota", "full", "Full."); })())["message"], "Full.");
});
