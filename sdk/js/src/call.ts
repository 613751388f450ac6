// The call that an operation serves, and what can be said about one.

import type * as contract from "./contract.ts";
import { failure } from "./errors.ts";
import { type JsonValue, parseJson } from "./json.ts";

/** What a call and the second leg of a transfer have in common. */
abstract class Leg {
  abstract readonly providerCallId?: string | null;
  abstract readonly routes: contract.RouteUrl[];
  abstract readonly attachment?: contract.Json | null;

  /** The URL of one of the provider's own routes. Its absence is a mistake in the specification. */
  route(name: string): string {
    const found = this.routes.find((route) => route.name === name);
    if (found !== undefined) return found.url;
    throw failure("internal", "route-missing", `The specification has no route ${name} of this kind.`);
  }

  /** What the provider attached; undefined when there is nothing. */
  attached(): JsonValue | undefined {
    return this.attachment == null ? undefined : parseJson(this.attachment);
  }
}

/** What an operation knows about the call that it serves. */
export class Call extends Leg implements contract.Call {
  readonly id: string;
  readonly providerCallId: string | null;
  readonly direction: contract.Direction;
  readonly caller: string;
  readonly callee: string;
  readonly routes: contract.RouteUrl[];
  readonly attachment: contract.Json | null;

  constructor(call: contract.Call) {
    super();
    this.id = call.id;
    this.providerCallId = call.providerCallId ?? null;
    this.direction = call.direction;
    this.caller = call.caller;
    this.callee = call.callee;
    this.routes = call.routes;
    this.attachment = call.attachment ?? null;
  }
}

/** The second leg of a transfer. */
export class TransferLeg extends Leg implements contract.TransferLeg {
  readonly id: string;
  readonly state: contract.TransferState;
  readonly destination: string;
  readonly callerId: string | null;
  readonly trunk: string | null;
  readonly ringTimeoutS: number;
  readonly announcement: string | null;
  readonly providerCallId: string | null;
  readonly routes: contract.RouteUrl[];
  readonly attachment: contract.Json | null;

  constructor(leg: contract.TransferLeg) {
    super();
    this.id = leg.id;
    this.state = leg.state;
    this.destination = leg.destination;
    this.callerId = leg.callerId ?? null;
    this.trunk = leg.trunk ?? null;
    this.ringTimeoutS = leg.ringTimeoutS;
    this.announcement = leg.announcement ?? null;
    this.providerCallId = leg.providerCallId ?? null;
    this.routes = leg.routes;
    this.attachment = leg.attachment ?? null;
  }
}

/** What a callback tells about a call. */
export const callEvent = {
  /** The call has this status now. */
  status(status: contract.CallStatus, more: Omit<contract.StatusEvent, "status"> = {}): contract.CallEvent {
    return { tag: "status", val: { status, ...more } };
  },
  /** The carrier now knows the call by this identifier. */
  identified(providerCallId: string): contract.CallEvent {
    return { tag: "identified", val: providerCallId };
  },
  /** Replaces what is attached to the call; at most 4 KiB of JSON. */
  attach(value: unknown): contract.CallEvent {
    return { tag: "attach", val: JSON.stringify(value) };
  },
};
