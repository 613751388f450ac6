// The envelopes of the media socket.

import type * as contract from "./contract.ts";
import { type JsonObject, parseObject } from "./json.ts";
import { base64 } from "./text.ts";

/** The media of one call. The runtime may drop it and open it again; it then hands in the messages up to the start. */
export interface Leg {
  /** What a message of the carrier means; at most 64 events. */
  deserializeFrame(message: contract.Message): contract.MediaEvent[];
  /** Messages to send, in order; at most 4. Throws `frameProblem(…)` for a frame that cannot be sent. */
  serializeFrame(frame: contract.MediaFrame): contract.Message[];
}

/** What a message of the carrier means. */
export const mediaEvent = {
  started(stream: Partial<contract.Started> = {}): contract.MediaEvent {
    return { tag: "started", val: { parameters: [], ...stream } };
  },
  /** Audio in the receive format, with its place in the stream where the carrier says it. */
  audio(payload: Uint8Array, place: Omit<contract.AudioFrame, "payload"> = {}): contract.MediaEvent {
    return { tag: "audio", val: { payload, ...place } };
  },
  /** One of 0-9, *, #, A-D. */
  dtmf(digit: string): contract.MediaEvent {
    return { tag: "dtmf", val: digit };
  },
  /** The audio before this mark has been played, or was cleared. */
  mark(name: string): contract.MediaEvent {
    return { tag: "mark", val: name };
  },
  /** The carrier's buffer is full (`false`) or takes audio again (`true`). */
  flow(open: boolean): contract.MediaEvent {
    return { tag: "flow", val: open };
  },
  stopped(reason: string | null = null): contract.MediaEvent {
    return { tag: "stopped", val: reason };
  },
  /** A message that could not be read: what was wrong, at most 100 characters, never its content. */
  malformed(what: string): contract.MediaEvent {
    return { tag: "malformed", val: what };
  },
};

/** A text message. */
export function textMessage(text: string): contract.Message {
  return { tag: "text", val: text };
}

/** A text message with JSON, its members in the order in which they stand. */
export function jsonMessage(value: unknown): contract.Message {
  return { tag: "text", val: JSON.stringify(value) };
}

/** A message of bytes. */
export function binaryMessage(bytes: Uint8Array): contract.Message {
  return { tag: "binary", val: bytes };
}

/** A message as the JSON object that most carriers send; undefined for bytes and for any other text. */
export function readObject(message: contract.Message): JsonObject | undefined {
  return message.tag === "text" ? parseObject(message.val) : undefined;
}

/** A key of a telephone: 0-9, *, #, A-D. */
export function isDigit(text: string): boolean {
  return /^[0-9*#A-D]$/.test(text);
}

/** Outgoing JSON with audio: what stands before and after the payload does not change during a stream. */
export class AudioEnvelope {
  /** For example `{"event":"media","payload":"` and `"}`. */
  constructor(
    readonly before: string,
    readonly after: string,
  ) {}

  /** The message with this payload in base64. */
  wrap(payload: Uint8Array): contract.Message {
    return textMessage(this.before + base64(payload) + this.after);
  }
}

