// What an author writes, and what a component exports of it.

import { Call, TransferLeg } from "./call.ts";
import type * as contract from "./contract.ts";
import { Failure, FieldProblems, FrameError, Interrupted, Rejection, failure } from "./errors.ts";
import { Io } from "./io.ts";
import { type JsonObject, type JsonValue, parseJson } from "./json.ts";
import type { Leg } from "./media.ts";
import { type SpecInput, specOf } from "./spec.ts";
import { Webhook } from "./webhook.ts";

/**
 * A telephone carrier. Every function is pure: the same arguments and replies give the same answer. `Config` is what
 * `configLoader` returns and every operation gets; it must survive JSON.
 */
export interface Provider<Config> {
  /** Static: read once when the component is loaded. */
  spec: SpecInput;
  /** Turns validated credentials into the configuration, or throws `problem(…)`. Without it they are the same. */
  configLoader?(credentials: JsonObject): Config;

  /** Whether a webhook at the common dispatcher is this carrier's, and what it claims. Nothing is verified yet. */
  recognise(webhook: Webhook): contract.Recognition | null;
  /** What must hold for the webhook to be genuine: one of the proofs. Throws `rejection(…)` where nothing can. */
  verifySignature(config: Config, webhook: Webhook): contract.Proof[];
  /** What a genuine webhook means for its call. `route` is the name of a route, or `inbound` for the dispatcher. */
  handleCallback(config: Config, route: string, call: Call, webhook: Webhook, io: Io): contract.CallbackOutcome;

  /**
   * Connects an inbound call, or an answered outbound call, to the media socket. There is no webhook when the call was
   * announced over `events`.
   */
  answerMarkup(
    config: Config,
    call: Call,
    media: contract.MediaAddress,
    webhook: Webhook | null,
    io: Io,
  ): contract.Answered;
  /** A refusal that needs no configuration. Its words must not tell a stranger how the gateway is set up. */
  rejectionMarkup(reason: contract.RejectionReason): contract.Response;
  /** Refuses a call whose webhook was genuine. Without it `rejectionMarkup` does. */
  rejectCall?(config: Config, call: Call, reason: contract.RejectionReason, io: Io): contract.Response;

  /** The media of one call. */
  leg(config: Config, call: Call): Leg;

  // The abilities: what is given here is exported.
  calling?: Calling<Config>;
  detection?: Detection<Config>;
  numbers?: Numbers<Config>;
  transfer?: Transfer<Config>;
  setup?: Setup<Config>;
  trunks?: Trunks<Config>;
  events?: Events<Config>;
}

/** Placing calls, and steering and asking about calls over the carrier's API. */
export interface Calling<Config> {
  placeCall(config: Config, call: Call, outbound: contract.Outbound, io: Io): contract.Placed;
  hangUp(config: Config, call: Call, io: Io): contract.HangUpOutcome;
  fetchStatus(config: Config, call: Call, io: Io): contract.StatusReport;
  /** Null while the carrier has not rated the call, and always for carriers that do not tell. */
  fetchCost(config: Config, call: Call, io: Io): contract.Cost | null;
}

/** Answering-machine detection. */
export interface Detection<Config> {
  detectionModes(config: Config): contract.DetectionMode[];
  detectionResult(config: Config, webhook: Webhook): contract.AnsweredBy | null;
}

/** The phone numbers of the account. */
export interface Numbers<Config> {
  validateNumber(config: Config, address: string, io: Io): contract.Ownership;
  /** Without it numbers are ordered at the carrier. */
  provisionNumber?(config: Config, address: string, io: Io): contract.Provisioning;
  configureInbound(
    config: Config,
    address: string,
    webhookUrl: string,
    attach: boolean,
    io: Io,
  ): contract.Synchronisation;
}

/** Connecting a caller with somebody else. */
export interface Transfer<Config> {
  dialDestination(config: Config, call: Call, leg: TransferLeg, io: Io): contract.Placed;
  connect(config: Config, call: Call, leg: TransferLeg, io: Io): void;
  cancel(config: Config, call: Call, leg: TransferLeg, io: Io): contract.HangUpOutcome;
  handleTransferCallback(
    config: Config,
    route: string,
    call: Call,
    leg: TransferLeg,
    webhook: Webhook,
    io: Io,
  ): contract.CallbackOutcome;
}

/** What happens around a configuration. */
export interface Setup<Config> {
  /** Without it nothing is made at the carrier. */
  prepareCredentials?(config: Config, saving: contract.Saving, io: Io): contract.FieldValue[];
  checklist(config: Config, facts: contract.Facts): contract.Step[];
  /** Without it there is nothing to tell. */
  connectivityDetails?(config: Config, urls: contract.PublicUrls): contract.DetailGroup[];
}

/** SIP trunks that a configuration keeps at the carrier. */
export interface Trunks<Config> {
  trunkFields(): contract.Field[];
  applyTrunk(config: Config, trunk: contract.Trunk, io: Io): contract.Applied;
  removeTrunk(config: Config, trunk: contract.Trunk, io: Io): void;
}

/** For carriers that tell what happens over a socket that the gateway opens and keeps. */
export interface Events<Config> {
  /** Throws `failure(…)` when the settings do not name a socket. */
  endpoint(config: Config): contract.Socket;
  /** `receivedAt` is Unix time in milliseconds. */
  handleEvent(config: Config, message: string, receivedAt: number, io: Io): contract.Directive[];
}

/** What a component exports, by interface. */
export interface Exports {
  descriptor: contract.DescriptorExports;
  webhook: contract.WebhookExports;
  answer: contract.AnswerExports;
  media: contract.MediaExports;
  calling?: contract.CallingExports;
  detection?: contract.DetectionExports;
  numbers?: contract.NumbersExports;
  transfer?: contract.TransferExports;
  setup?: contract.SetupExports;
  trunks?: contract.TrunksExports;
  events?: contract.EventsExports;
}

const UNREADABLE_CODE = "config-unreadable";
const UNREADABLE =
  "The stored configuration has a shape that this version of the provider does not know; save it again.";

/** Makes the exports of a component from what its author wrote: `export default provider({ … })`. */
export function provider<Config>(author: Provider<Config>): Exports {
  const spec = specOf(author.spec);

  /** Runs an operation, and lets out what ends it in the contract's words. */
  const operate = <T>(config: string, replies: contract.Reply[], operation: (config: Config, io: Io) => T): T => {
    try {
      const io = new Io(replies);
      const read = readConfig<Config>(config);
      if (read === undefined) throw failure("internal", UNREADABLE_CODE, UNREADABLE);
      return attempt(io, () => operation(read, io));
    } catch (error) {
      throw interruptionOf(error);
    }
  };

  const exports: Exports = {
    descriptor: {
      spec: () => spec,
      configLoader(credentials) {
        const given = parseJson(credentials) as JsonObject;
        return reporting(FieldProblems, ({ problems }) => problems, () =>
          JSON.stringify(author.configLoader?.(given) ?? given),
        );
      },
    },
    webhook: {
      recognise: (webhook) => author.recognise(new Webhook(webhook)),
      verifySignature(config, webhook) {
        const reported = ({ code, message }: Rejection): contract.Rejection => ({ code, message });
        return reporting(Rejection, reported, () => {
          const read = readConfig<Config>(config);
          if (read === undefined) throw new Rejection(UNREADABLE_CODE, UNREADABLE);
          return author.verifySignature(read, new Webhook(webhook));
        });
      },
      handleCallback: (config, route, call, webhook, replies) =>
        operate(config, replies, (config, io) =>
          author.handleCallback(config, route, new Call(call), new Webhook(webhook), io),
        ),
    },
    answer: {
      answerMarkup: (config, call, media, webhook, replies) =>
        operate(config, replies, (config, io) =>
          author.answerMarkup(config, new Call(call), media, webhook == null ? null : new Webhook(webhook), io),
        ),
      rejectionMarkup: (reason) => author.rejectionMarkup(reason),
      rejectCall: (config, call, reason, replies) =>
        operate(config, replies, (config, io) =>
          author.rejectCall === undefined
            ? author.rejectionMarkup(reason)
            : author.rejectCall(config, new Call(call), reason, io),
        ),
    },
    media: {
      Leg: class {
        // None when the configuration could not be read, which a constructor has no way to say.
        readonly leg: Leg | undefined;

        constructor(config: contract.Json, call: contract.Call) {
          const read = readConfig<Config>(config);
          this.leg = read === undefined ? undefined : author.leg(read, new Call(call));
        }

        deserializeFrame(message: contract.Message): contract.MediaEvent[] {
          return (
            this.leg?.deserializeFrame(message) ?? [{ tag: "malformed", val: "the configuration cannot be read" }]
          );
        }

        serializeFrame(frame: contract.MediaFrame): contract.Message[] {
          return reporting(FrameError, ({ problem }) => problem, () => {
            if (this.leg === undefined) throw new FrameError("not-started");
            return this.leg.serializeFrame(frame);
          });
        }
      },
    },
  };

  const { calling, detection, numbers, transfer, setup, trunks, events } = author;
  if (calling !== undefined) {
    exports.calling = {
      placeCall: (config, call, outbound, replies) =>
        operate(config, replies, (config, io) => calling.placeCall(config, new Call(call), outbound, io)),
      hangUp: (config, call, replies) =>
        operate(config, replies, (config, io) => calling.hangUp(config, new Call(call), io)),
      fetchStatus: (config, call, replies) =>
        operate(config, replies, (config, io) => calling.fetchStatus(config, new Call(call), io)),
      fetchCost: (config, call, replies) =>
        operate(config, replies, (config, io) => {
          const cost = calling.fetchCost(config, new Call(call), io);
          return cost === null ? null : { ...cost, durationS: u32(cost.durationS) };
        }),
    };
  }
  if (detection !== undefined) {
    exports.detection = {
      detectionModes(config) {
        const read = readConfig<Config>(config);
        return read === undefined ? [] : detection.detectionModes(read);
      },
      detectionResult(config, webhook) {
        const read = readConfig<Config>(config);
        return read === undefined ? null : detection.detectionResult(read, new Webhook(webhook));
      },
    };
  }
  if (numbers !== undefined) {
    exports.numbers = {
      validateNumber: (config, address, replies) =>
        operate(config, replies, (config, io) => numbers.validateNumber(config, address, io)),
      provisionNumber: (config, address, replies) =>
        operate(config, replies, (config, io) => numbers.provisionNumber?.(config, address, io) ?? "not-offered"),
      configureInbound: (config, address, webhookUrl, attach, replies) =>
        operate(config, replies, (config, io) => numbers.configureInbound(config, address, webhookUrl, attach, io)),
    };
  }
  if (transfer !== undefined) {
    exports.transfer = {
      dialDestination: (config, call, leg, replies) =>
        operate(config, replies, (config, io) =>
          transfer.dialDestination(config, new Call(call), new TransferLeg(leg), io),
        ),
      connect: (config, call, leg, replies) =>
        operate(config, replies, (config, io) => transfer.connect(config, new Call(call), new TransferLeg(leg), io)),
      cancel: (config, call, leg, replies) =>
        operate(config, replies, (config, io) => transfer.cancel(config, new Call(call), new TransferLeg(leg), io)),
      handleTransferCallback: (config, route, call, leg, webhook, replies) =>
        operate(config, replies, (config, io) =>
          transfer.handleTransferCallback(
            config,
            route,
            new Call(call),
            new TransferLeg(leg),
            new Webhook(webhook),
            io,
          ),
        ),
    };
  }
  if (setup !== undefined) {
    exports.setup = {
      prepareCredentials: (config, saving, replies) =>
        operate(config, replies, (config, io) => setup.prepareCredentials?.(config, saving, io) ?? []),
      checklist(config, facts) {
        const read = readConfig<Config>(config);
        return read === undefined ? [SAVE_AGAIN] : setup.checklist(read, facts);
      },
      connectivityDetails(config, urls) {
        const read = readConfig<Config>(config);
        return read === undefined ? [] : (setup.connectivityDetails?.(read, urls) ?? []);
      },
    };
  }
  if (trunks !== undefined) {
    exports.trunks = {
      trunkFields: () => trunks.trunkFields(),
      applyTrunk: (config, trunk, replies) =>
        operate(config, replies, (config, io) => trunks.applyTrunk(config, trunk, io)),
      removeTrunk: (config, trunk, replies) =>
        operate(config, replies, (config, io) => trunks.removeTrunk(config, trunk, io)),
    };
  }
  if (events !== undefined) {
    exports.events = {
      endpoint: (config) =>
        reporting(Failure, (error) => error.failure, () => {
          const read = readConfig<Config>(config);
          if (read === undefined) throw failure("internal", UNREADABLE_CODE, UNREADABLE);
          return events.endpoint(read);
        }),
      handleEvent: (config, message, receivedAt, replies) =>
        operate(config, replies, (config, io) => events.handleEvent(config, message, receivedAt, io)),
    };
  }
  return exports;
}

/**
 * A number of 32 bits for the component's boundary: componentize-qjs 0.4 takes what is above 2^31 for the largest signed
 * number, and gets its two's complement right.
 */
function u32(value: number): number {
  return "__cqjs" in globalThis ? value | 0 : value;
}

const SAVE_AGAIN: contract.Step = {
  key: "configuration",
  title: "Save the configuration again",
  description: UNREADABLE,
  complete: false,
  blocksOutbound: true,
};

function readConfig<Config>(config: string): Config | undefined {
  const read: JsonValue | undefined = parseJson(config);
  // Its shape is that which `configLoader` gave it.
  return read as Config | undefined;
}

/** Runs an operation to its end, where the effect that it waits for counts more than what it says. */
function attempt<T>(io: Io, operation: () => T): T {
  let outcome: T;
  try {
    outcome = operation();
  } catch (error) {
    // When the operation went on after its interruption, this throws the interruption.
    if (!(error instanceof Interrupted)) io.finish(undefined);
    throw error;
  }
  if (outcome instanceof Promise) {
    throw failure("internal", "promise", "The provider has an operation that is `async`; nothing waits in a component.");
  }
  return io.finish(outcome);
}

/** Lets errors of one kind out as the value that the contract has for them, and others as they are. */
function reporting<E extends Error, T>(
  kind: abstract new (...parameters: never[]) => E,
  value: (error: E) => unknown,
  body: () => T,
): T {
  try {
    return body();
  } catch (error) {
    throw error instanceof kind ? value(error) : error;
  }
}

/**
 * What ended an operation. Any other exception is a defect of the provider: its kind and its place are told, and not its
 * text, which may quote what nobody should read.
 */
function interruptionOf(error: unknown): contract.Interruption {
  if (error instanceof Interrupted) return error.interruption;
  const name = error instanceof Error ? error.name : typeof error;
  const place = error instanceof Error ? /\bat ([^\n]+)/.exec(error.stack ?? "")?.[1] : undefined;
  const where = place === undefined ? "" : ` at ${place.trim()}`;
  return failure("internal", "exception", `The provider has a defect: ${name}${where}.`.slice(0, MESSAGE_CHARS_MAX))
    .interruption;
}

/** The contract's bound on the message of a failure. */
const MESSAGE_CHARS_MAX = 500;
