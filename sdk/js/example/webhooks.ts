// What Example Telecom posts: whose it is, whether it is genuine, what it says.

import {
  type Call,
  type JsonObject,
  type JsonValue,
  Proof,
  Response,
  type Webhook,
  asCount,
  asText,
  callEvent,
  type contract,
  fromHex,
  rejection,
  sealed,
} from "@strowger/sdk";

import type { Config } from "./api.ts";

const SIGNATURE = "x-example-signature";
const TIMESTAMP = "x-example-timestamp";
/** How old a webhook may be, or how far ahead the carrier's clock. */
const AGE_MAX_MS = 300_000;
/** A signature is claimed for longer than its webhook may be believed. */
const CLAIMED_FOR_MS = 600_000;
/** The contract's bound on the cause of a status. */
const CAUSE_CHARS_MAX = 100;

/** A webhook is ours when it is signed in our way and its body names an account and a call. */
export function recognise(webhook: Webhook): contract.Recognition | null {
  if (webhook.header(SIGNATURE) === undefined) return null;
  const { event, account, call, from, to, from_country, to_country } = webhook.object() ?? {};
  if (typeof event !== "string" || typeof account !== "string" || typeof call !== "string") return null;
  const claims = { providerCallId: call, accountId: account };
  if (event !== "call.incoming") return event.startsWith("call.") ? { tag: "event", val: claims } : null;
  if (typeof from !== "string" || typeof to !== "string") return null;
  const countries = { callerCountry: asText(from_country), calleeCountry: asText(to_country) };
  return { tag: "inbound-call", val: { ...claims, caller: from, callee: to, ...countries } };
}

/**
 * The carrier signs the time, the URL and the body. What can be told without the secret is told here; the runtime computes
 * the rest.
 */
export function proofs(config: Config, webhook: Webhook): Proof[] {
  const timestamp = webhook.header(TIMESTAMP);
  const signature = webhook.header(SIGNATURE);
  if (timestamp === undefined || signature === undefined) {
    throw rejection("signature-missing", "The webhook has no signature.");
  }
  if (!isRecent(timestamp, webhook.receivedAt)) {
    throw rejection("timestamp-expired", "The webhook is older than five minutes, or from the future.");
  }
  const expected = fromHex(signature);
  if (expected?.length !== 32) {
    throw rejection("signature-malformed", "The signature is not 64 hexadecimal digits.");
  }
  return [
    new Proof("hmac")
      .hmac("sha256", sealed(config.signing_secret), [`${timestamp}.${webhook.url}.`, webhook.body], expected)
      .once(signature.toLowerCase(), CLAIMED_FOR_MS),
  ];
}

/** `timestamp` is in seconds, `nowMs` in milliseconds, both of Unix time. Twelve digits last for 30 000 years. */
export function isRecent(timestamp: string, nowMs: number): boolean {
  return /^[0-9]{1,12}$/.test(timestamp) && Math.abs(nowMs - Number(timestamp) * 1000) <= AGE_MAX_MS;
}

/** What a webhook tells about a call. One that cannot be read is answered so that the carrier notices. */
export function readStatus(webhook: Webhook): contract.CallbackOutcome {
  const body = webhook.object();
  if (body === undefined) return { events: [], response: Response.empty(400) };
  const status = statusOf(body["status"]);
  const cause = [...(asText(body["cause"]) ?? "")].slice(0, CAUSE_CHARS_MAX).join("");
  const events =
    status === undefined ? [] : [callEvent.status(status, { durationMs: duration(body), cause: cause || null })];
  return { events, response: Response.empty(204) };
}

/** The carrier's identifier of an outbound call becomes known for good when it is answered. */
export function identify(call: Call, webhook: Webhook | null): contract.CallEvent[] {
  const id = asText(webhook?.object()?.["call"]);
  return id === undefined || id === "" || id === call.providerCallId ? [] : [callEvent.identified(id)];
}

const STATUSES = new Map<JsonValue | undefined, contract.CallStatus>([
  ["queued", "initiated"],
  ["ringing", "ringing"],
  ["in-progress", "in-progress"],
  ["completed", "completed"],
  ["busy", "busy"],
  ["no-answer", "no-answer"],
  ["failed", "failed"],
  ["canceled", "canceled"],
]);

/** The carrier's words for what a call is doing. */
export function statusOf(word: JsonValue | undefined): contract.CallStatus | undefined {
  return STATUSES.get(word);
}

/** How long a call was, in milliseconds; the carrier counts seconds in 32 bits. */
export function duration(body: JsonObject): number | undefined {
  const seconds = asCount(body["duration_s"], 0xffff_ffff);
  return seconds === undefined ? undefined : seconds * 1000;
}
