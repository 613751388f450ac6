// Effects as straight-line code.
//
// An operation runs from its beginning each time, with the replies to the effects that it asked for so far. `Io` hands them
// out in that order; the first effect without a reply interrupts the operation by an exception. That works because a
// provider is deterministic: the same arguments and the same replies lead to the same effects.

import type * as contract from "./contract.ts";
import { Failure, Perform, failure } from "./errors.ts";
import { Response } from "./http.ts";
import { type JsonValue, parseJson } from "./json.ts";

/** What an operation may ask of the runtime. There is nothing to await. */
export class Io {
  #replies: contract.Reply[];
  #next = 0;
  #interrupted: Perform | undefined;

  constructor(replies: contract.Reply[]) {
    this.#replies = replies;
  }

  /** Sends a request to the carrier. Not reaching it is a retryable failure of the carrier. */
  http(request: contract.Request): Response {
    const response = this.tryHttp(request);
    if (response !== null) return response;
    throw failure("carrier", "unreachable", "The carrier could not be reached; try again later.");
  }

  /** As `http`, with null when the carrier could not be reached. */
  tryHttp(request: contract.Request): Response | null {
    const reply = this.#reply({ tag: "http", val: request });
    if (reply.tag === "http") return new Response(reply.val.status, reply.val.headers, reply.val.body);
    if (reply.tag === "unreachable") return null;
    throw outOfStep();
  }

  /** What was kept under a key of this configuration; undefined when there is nothing. */
  load(key: string): JsonValue | undefined {
    const reply = this.#reply({ tag: "load", val: key });
    if (reply.tag !== "value") throw outOfStep();
    return reply.val == null ? undefined : parseJson(reply.val);
  }

  /** Keeps a value for so many milliseconds, at most 24 hours. */
  save(key: string, value: unknown, ttlMs: number): void {
    const reply = this.#reply({ tag: "save", val: { key, value: JSON.stringify(value), ttlMs } });
    if (reply.tag !== "saved") throw outOfStep();
  }

  /** Whether this is the first claim to the key within its time to live in milliseconds, across all gateways. */
  claim(key: string, ttlMs: number): boolean {
    const reply = this.#reply({ tag: "claim", val: { key, ttlMs } });
    if (reply.tag !== "claimed") throw outOfStep();
    return reply.val;
  }

  #reply(effect: contract.Effect): contract.Reply {
    // An operation that caught the interruption and went on must not get further than that.
    if (this.#interrupted !== undefined) throw this.#interrupted;
    const reply = this.#replies[this.#next++];
    if (reply !== undefined) return reply;
    this.#interrupted = new Perform(effect);
    throw this.#interrupted;
  }

  /** What an operation has come to: throws what is to be done first, even if the operation has swallowed it. */
  finish<T>(outcome: T): T {
    if (this.#interrupted !== undefined) throw this.#interrupted;
    if (this.#next < this.#replies.length) throw outOfStep();
    return outcome;
  }
}

function outOfStep(): Failure {
  return failure("internal", "replay", "The provider asked for other effects than in the round before.");
}
