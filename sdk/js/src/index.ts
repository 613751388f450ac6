// Write a Strowger provider in TypeScript or JavaScript.
//
// A provider is a pure function: it gets what happened and returns what should be done. There is no HTTP client, no clock
// and no secret in it, and nothing to await. Start with `provider`.

export { Call, TransferLeg, callEvent } from "./call.ts";
export {
  Failure,
  FieldProblems,
  FrameError,
  Rejection,
  failure,
  failureOfStatus,
  frameProblem,
  problem,
  rejection,
  unexpectedAnswer,
} from "./errors.ts";
export type { FailureOptions } from "./errors.ts";
export { Request, Response, joinPath } from "./http.ts";
export { Io } from "./io.ts";
export { asCount, asText, isObject, parseJson, parseObject } from "./json.ts";
export type { JsonObject, JsonValue } from "./json.ts";
export { AudioEnvelope, binaryMessage, isDigit, jsonMessage, mediaEvent, readObject, textMessage } from "./media.ts";
export type { Leg } from "./media.ts";
export { Proof, sealed, secret } from "./proof.ts";
export type { Piece } from "./proof.ts";
export { provider } from "./provider.ts";
export type {
  Calling,
  Detection,
  Events,
  Exports,
  Numbers,
  Provider,
  Setup,
  Transfer,
  Trunks,
} from "./provider.ts";
export { fieldOf } from "./spec.ts";
export type { FieldInput, MediaInput, RouteInput, SpecInput } from "./spec.ts";
export { base64, concat, fromBase64, fromHex, fromUtf8, hex, percentEncode, utf8, xmlEscape } from "./text.ts";
export { Form, Webhook } from "./webhook.ts";

// The values of the contract, for annotations.
export type * as contract from "./contract.ts";
