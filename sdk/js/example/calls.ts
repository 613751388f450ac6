// Calls over the REST API.

import { type Call, type Io, type JsonObject, type Response, asCount, type contract, failure, isObject } from "@strowger/sdk";

import { type Config, callId, callNotFound, read, refusal, send, unusable } from "./api.ts";
import { duration, statusOf } from "./webhooks.ts";

export function placeCall(config: Config, call: Call, outbound: contract.Outbound, io: Io): contract.Placed {
  const { callerId, answerUrl, ringTimeoutS } = outbound;
  if (callerId == null) throw failure("request", "caller-id-missing", "A call needs a number to call from.");
  const statusUrl = call.routes.find((route) => route.name === "status")?.url;
  if (answerUrl == null || statusUrl === undefined) {
    throw failure("internal", "route-missing", "The gateway gave no URL for a route.");
  }
  const answer = send(config, io, "POST", ["calls"], {
    from: callerId,
    to: call.callee,
    answer_url: answerUrl,
    status_url: statusUrl,
    ring_timeout_s: ringTimeoutS,
  });
  if (answer.status !== 201) throw refusal(answer);
  const id = read(answer)["call"];
  if (typeof id !== "string" || id === "") throw unusable(answer);
  return { providerCallId: id };
}

export function hangUp(config: Config, call: Call, io: Io): contract.HangUpOutcome {
  const answer = send(config, io, "DELETE", ["calls", callId(call)]);
  if (answer.ok) return "ended";
  if (answer.status === 404 || answer.status === 409) return "already-ended";
  throw refusal(answer);
}

export function fetchStatus(config: Config, call: Call, io: Io): contract.StatusReport {
  const { answer, body } = fetchCall(config, call, io);
  const status = statusOf(body["status"]);
  if (status === undefined) throw unusable(answer);
  return { status, durationMs: duration(body) };
}

export function fetchCost(config: Config, call: Call, io: Io): contract.Cost | null {
  const { answer, body } = fetchCall(config, call, io);
  const cost = body["cost"];
  if (cost == null) return null;
  if (!isObject(cost)) throw unusable(answer);
  const { amount, currency } = cost;
  const seconds = asCount(cost["seconds"], 0xffff_ffff);
  const isAmount = typeof amount === "string" && /^[0-9]+(\.[0-9]+)?$/.test(amount);
  const isCurrency = typeof currency === "string" && /^[A-Z]{3}$/.test(currency);
  if (!isAmount || !isCurrency || seconds === undefined) throw unusable(answer);
  return { amount, currency, durationS: seconds };
}

/** What the carrier knows about a call. */
function fetchCall(config: Config, call: Call, io: Io): { answer: Response; body: JsonObject } {
  const answer = send(config, io, "GET", ["calls", callId(call)]);
  if (answer.status === 200) return { answer, body: read(answer) };
  throw answer.status === 404 ? callNotFound() : refusal(answer);
}
