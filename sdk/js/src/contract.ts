// Written from the contract in wit/ by `just js-contract`; do not edit.
//
// A record is an object, a variant `{ tag, val }`, an enumeration its word, an option the value or null; bytes are a
// Uint8Array, and integers of 64 bits are numbers, exact up to 2^53. What the contract calls an error is thrown.

/** A JSON document as UTF-8 text. */
export type Json = string;

/** One HTTP header. Names compare without regard to case; a header that occurs twice is two entries. */
export interface Header {
  name: string;
  value: string;
}

/** One HTTP request from the carrier, exactly as it arrived. */
export interface Webhook {
  /** Upper case, for example `POST`. */
  method: string;
  /**
   * The absolute URL as the carrier addressed it: the configured public base, then the path and the query as they
   * arrived, byte for byte. Never built from forwarded headers.
   */
  url: string;
  /** In order of arrival. A value that is not UTF-8 arrives with U+FFFD in place of what could not be read. */
  headers: Header[];
  /** Raw bytes, before any decoding. At most 1 MiB. */
  body: Uint8Array;
  /** Unix time in milliseconds; the only clock that a provider has. */
  receivedAt: number;
}

/** What to answer the carrier, and what a carrier answered. */
export interface Response {
  status: number;
  headers: Header[];
  body: Uint8Array;
}

export type JwtAlgorithm = "hs256" | "rs256";

export interface Jwt {
  algorithm: JwtAlgorithm;
  /** A sealed reference: the shared secret for HS256, a PEM private key (PKCS#8 or PKCS#1) for RS256. */
  key: string;
  /** A JSON object. The runtime adds `iat`, `exp` and a unique `jti`. */
  claims: Json;
  /** Seconds from `iat` to `exp`; 1 to 3600. */
  lifetimeS: number;
}

/** How a request to the carrier proves who sends it. Every string may be, or contain, a sealed reference. */
export type Authorization =
  | { tag: "none" }
  /** RFC 7617: user, password. */
  | { tag: "basic"; val: [string, string] }
  /** RFC 6750. */
  | { tag: "bearer"; val: string }
  /** Any number of headers that carry credentials, for carriers with a scheme of their own. */
  | { tag: "headers"; val: Header[] }
  /** A bearer token (RFC 7519) that the runtime signs: a private key never enters a component. */
  | { tag: "jwt"; val: Jwt };

/**
 * A request to the carrier's API. It is sent only to a host that the provider declared in `provider-spec.egress-hosts`
 * and the operator granted; redirects are returned, not followed.
 */
export interface Request {
  /** GET, POST, PUT, PATCH or DELETE. */
  method: string;
  url: string;
  headers: Header[];
  body: Uint8Array;
  authorization: Authorization;
}

/** A value that the runtime keeps for this provider and this configuration. */
export interface Entry {
  /** 1 to 128 characters. The runtime scopes it to organisation, provider and configuration. */
  key: string;
  /** At most 16 KiB. */
  value: Json;
  /** Milliseconds until the runtime forgets it; at most 24 hours. */
  ttlMs: number;
}

export interface Claim {
  /** 1 to 128 characters, scoped like `entry.key`. */
  key: string;
  /** Milliseconds; at most 24 hours. */
  ttlMs: number;
}

/**
 * What a provider may ask the runtime to do in the course of an operation. The runtime does it, then calls the same
 * export again, in a fresh instance, with the reply appended to `replies`. An operation has at most 16 rounds.
 */
export type Effect =
  | { tag: "http"; val: Request }
  /** Read what was kept under a key. */
  | { tag: "load"; val: string }
  /** Keep a value, replacing the one before. */
  | { tag: "save"; val: Entry }
  /** Succeeds for the first who asks, once per key and time to live, across all nodes. */
  | { tag: "claim"; val: Claim };

/** What came of an effect, in the order in which the effects were asked for. */
export type Reply =
  | { tag: "http"; val: Response }
  /** No response arrived: not reachable, timed out, refused. The text is for the log, at most 200 characters. */
  | { tag: "unreachable"; val: string }
  | { tag: "value"; val: Json | null }
  | { tag: "saved" }
  | { tag: "claimed"; val: boolean };

/** Who or what an operation failed for. */
export type FailureKind =
  /** The stored credentials or settings cannot work until somebody changes them. */
  | "configuration"
  /** The account has no balance, or a rate limit was hit. */
  | "quota"
  /** The carrier is down or answered something that it does not document. */
  | "carrier"
  /** What was asked cannot be done: a bad number, a call that does not exist. */
  | "request"
  /** This carrier cannot do that. */
  | "unsupported"
  /** A defect of the provider itself. */
  | "internal";

/** Who can do something about a failure. */
export type FailureOwner = "user" | "operator";

export interface Failure {
  kind: FailureKind;
  /** Stable and short, in kebab case, without the provider's name: `call-not-found`. 1 to 64 characters. */
  code: string;
  /** One sentence for the user: what happened and what helps. At most 500 characters, no secrets, no phone numbers. */
  message: string;
  /** Whether the same request may succeed later without anybody changing anything. */
  retryable: boolean;
  owner: FailureOwner;
}

/**
 * How an operation that did not finish ends. A language's own error path carries it, so that an author writes
 * straight-line code.
 */
export type Interruption =
  /** Do this, then call again. */
  | { tag: "perform"; val: Effect }
  | { tag: "failed"; val: Failure };

/** Seen from the gateway: `inbound` calls come from the carrier. */
export type Direction = "inbound" | "outbound";

/** A callback URL of this call, built by the runtime from a route of the frozen spec. */
export interface RouteUrl {
  /** `route.name`. */
  name: string;
  url: string;
}

/** What an operation knows about the call that it serves. */
export interface Call {
  /** The runtime's identifier of the call: a UUID. */
  id: string;
  /** The carrier's identifier, once known. */
  providerCallId?: string | null;
  direction: Direction;
  /** Who calls: an E.164 number with `+`, a SIP URI or an extension. Empty when withheld. */
  caller: string;
  /** Who is called, in the same forms. */
  callee: string;
  /** One entry for each route of the spec whose path names the call. */
  routes: RouteUrl[];
  /** What the provider itself has attached to the call so far (`call-event.attach`, `placed.attachment`). */
  attachment?: Json | null;
}

/** What to ask of the carrier's answering-machine detection. */
export type DetectionMode =
  /** Tell human and machine apart as early as possible. */
  | "human-or-machine"
  /** On a machine, wait for the end of its greeting. */
  | "end-of-greeting";

/** Where the carrier opens the media socket of a call. */
export interface MediaAddress {
  /** `wss://…/{token}`: the whole URL, the single-use token in its path. */
  url: string;
  /** The same endpoint without the token, for carriers that only pass query parameters: append `?token={token}`. */
  baseUrl: string;
  /** 43 characters, URL-safe. It opens one socket of one call, once, before it expires. */
  token: string;
}

/** The states of a call in the field's common terms. */
export type CallStatus =
  | "initiated"
  | "ringing"
  | "in-progress"
  | "completed"
  | "failed"
  | "busy"
  | "no-answer"
  | "canceled";

export interface StatusEvent {
  status: CallStatus;
  /** The duration that the carrier counted, in milliseconds. */
  durationMs?: number | null;
  /** The carrier's own reason, for the record: a hang-up cause, an error code. At most 100 characters. */
  cause?: string | null;
}

/** What a callback tells about a call, or about the second leg of a transfer, in the words that all carriers share. */
export type CallEvent =
  | { tag: "status"; val: StatusEvent }
  /** The carrier now knows the call by this identifier. */
  | { tag: "identified"; val: string }
  /** Replaces the attachment. At most 4 KiB. */
  | { tag: "attach"; val: Json };

/** What a callback means, and what to answer the carrier. At most 16 events. */
export interface CallbackOutcome {
  events: CallEvent[];
  response: Response;
}

/**
 * The claims of a message about a new call. Of a webhook nothing is verified yet: the runtime uses it to find the
 * configuration whose credentials then verify it.
 */
export interface InboundCall {
  /** 1 to 255 characters. */
  providerCallId: string;
  caller: string;
  callee: string;
  /** ISO 3166-1 alpha-2, when the carrier says so; a hint for numbers in national form. */
  callerCountry?: string | null;
  calleeCountry?: string | null;
  /** The value that must equal the configuration's account-id field. */
  accountId?: string | null;
}

/** A leg that the carrier agreed to dial. */
export interface Placed {
  /** What identifies the leg at the carrier for now. */
  providerCallId: string;
  /** At most 4 KiB. */
  attachment?: Json | null;
}

export type HangUpOutcome = "ended" | "already-ended";

/**
 * How a credential field is entered. Its value in JSON is a string, except `string-array` (array of strings), `number`
 * and `boolean`. `readonly` fields are shown and never submitted.
 */
export type FieldType =
  | "text"
  | "password"
  | "textarea"
  | "string-array"
  | "number"
  | "boolean"
  | "select"
  | "readonly";

/** One choice of a `select` field. */
export interface Choice {
  value: string;
  label: string;
}

/** Shown and validated only when another field has this value. */
export interface Condition {
  field: string;
  /** The other field's value, as JSON text. */
  equals: Json;
}

/** One credential or setting of a configuration, or one setting of a trunk. */
export interface Field {
  /** snake_case, 1 to 64 characters, unique within its list. */
  name: string;
  label: string;
  kind: FieldType;
  required: boolean;
  /**
   * Masked whenever it is shown. A sensitive field reaches the provider as a sealed reference, unless it is the
   * account-id field.
   */
  sensitive: boolean;
  /** Set by the provider's own save hook (`setup.prepare-credentials`), never by a user, never shown. */
  serverManaged: boolean;
  /** Discarded when the account id changes. */
  accountScoped: boolean;
  description?: string | null;
  placeholder?: string | null;
  /** For `select`: at least one. */
  options: Choice[];
  visibleWhen?: Condition | null;
  /** Heading under which the form shows the field. */
  section?: string | null;
}

export interface Answered {
  /**
   * What the carrier gets as the response to its webhook: markup that opens the media socket, or an acknowledgement
   * when the answer itself was an effect.
   */
  response: Response;
  /** What the webhook told on the way, for example the carrier's final identifier of an outbound call. */
  events: CallEvent[];
}

/** Why a call is refused. */
export type RejectionReason =
  /** No active number of ours. */
  | "unknown-number"
  /** The number has no agent. */
  | "no-agent"
  /** The account in the webhook is not the configured one. */
  | "account-mismatch"
  /** The webhook did not prove that the carrier sent it. */
  | "signature"
  /** The number belongs to another provider. */
  | "provider-mismatch"
  /** All lines are taken. */
  | "at-capacity"
  /** The organisation's usage limit is reached. */
  | "quota"
  /** Something of ours is broken or shutting down. */
  | "unavailable";

/** How a call is answered, and how it is refused. */
export interface AnswerExports {
  /**
   * Answers an inbound call, or connects an outbound call that was answered, to the media socket. Called again with
   * the same arguments when the carrier retries its webhook. `webhook` is none when the call was announced over
   * `events`; nobody reads the response then. A failure of kind `request` with the code `call-not-found` says that the
   * other side hung up first, which is the end of the call and no fault.
   */
  answerMarkup(config: Json, call: Call, media: MediaAddress, webhook: Webhook | null, replies: Reply[]): Answered;
  /**
   * A refusal that needs no configuration: rendered for every reason when the component is loaded, so that a broken
   * provider can still refuse politely. The words must not tell a stranger how the gateway is set up.
   */
  rejectionMarkup(reason: RejectionReason): Response;
  /**
   * Refuses a call whose webhook was genuine. For most carriers the same as `rejection-markup`; a carrier that is
   * commanded over its API does it there.
   */
  rejectCall(config: Json, call: Call, reason: RejectionReason, replies: Reply[]): Response;
}

export interface Outbound {
  /** The number of ours that the callee sees; `call.caller` is the same when it is set. */
  callerId?: string | null;
  /** URL of the first route whose purpose is `answer`; none when the spec has none. */
  answerUrl?: string | null;
  /** For carriers that take the media socket with the request that places the call. */
  media: MediaAddress;
  /** How long it may ring, in seconds: 5 to 120. */
  ringTimeoutS: number;
  /** Ask the carrier whether a machine answered; only for components that export `detection`. */
  detectMachine?: DetectionMode | null;
  /** Name of the trunk that the caller id belongs to; only for components that export `trunks`. */
  trunk?: string | null;
}

export interface StatusReport {
  status: CallStatus;
  durationMs?: number | null;
}

export interface Cost {
  /** A decimal number without sign: `0.0085`. */
  amount: string;
  /** ISO 4217, upper case. */
  currency: string;
  /** Billed seconds. */
  durationS: number;
}

/** Placing calls, and steering and asking about calls over the carrier's API. */
export interface CallingExports {
  /** Dials `call.callee`. */
  placeCall(config: Json, call: Call, outbound: Outbound, replies: Reply[]): Placed;
  /** Ends the call at the carrier. That it had ended already is a success. */
  hangUp(config: Json, call: Call, replies: Reply[]): HangUpOutcome;
  /**
   * What the carrier thinks of the call. A failure of kind `request` with the code `call-not-found` says that the carrier
   * does not know it any more, which counts as its end.
   */
  fetchStatus(config: Json, call: Call, replies: Reply[]): StatusReport;
  /** What the call cost; none while the carrier has not rated it, and always for carriers that do not tell. */
  fetchCost(config: Json, call: Call, replies: Reply[]): Cost | null;
}

/** How calls reach the carrier: over its API, or over SIP trunks that the user connects. */
export type Connectivity = "api" | "sip";

/** Audio encodings on the wire, by their RTP names (RFC 3551); `l16-le` is L16 with little-endian samples. */
export type Encoding = "pcmu" | "pcma" | "l16-le" | "l16-be";

export interface WireFormat {
  encoding: Encoding;
  /** 8000, 16000, 24000 or 48000; PCMU and PCMA are 8000. */
  sampleRateHz: number;
}

/** How the carrier's media socket behaves. */
export interface MediaProfile {
  /** The formats this provider can meet, the usual one first; at least one. */
  formats: WireFormat[];
  /**
   * Duration of one frame in each direction, in milliseconds: 10, 20, 30, 40 or 60. Every outgoing frame is exactly
   * that long.
   */
  frameMs: number;
  /** WebSocket subprotocol (RFC 6455 §1.9) to accept, when the carrier asks for one. */
  subprotocol?: string | null;
  /** The carrier echoes a mark when the audio before it has been played (`media-event.mark`). */
  echoesMarks: boolean;
}

/** What a route is for. */
export type RoutePurpose =
  /** An outbound call was answered: the runtime verifies, then calls `answer-markup`. */
  | "answer"
  /** Something happened to a call: the runtime verifies, then calls `handle-callback`. */
  | "callback"
  /**
   * Something happened to the second leg of a transfer: the runtime verifies, then calls
   * `transfer.handle-transfer-callback`. Only for components that export `transfer`.
   */
  | "transfer";

/** A webhook endpoint that the runtime mounts at `/api/v1/telephony/{provider}/{path}`. */
export interface Route {
  /** kebab-case, 1 to 64 characters, unique within the spec. */
  name: string;
  purpose: RoutePurpose;
  /** GET or POST. */
  method: string;
  /**
   * Relative, without a leading slash: segments of unreserved characters, and at most one `{call}` for the call's
   * identifier. A route without `{call}` finds its call through `webhook.recognise`. A route whose purpose is
   * `transfer` has exactly one `{transfer}` instead, for the identifier of the transfer.
   */
  path: string;
}

/** How webhooks of this provider prove that they come from the carrier. */
export type ProofPolicy =
  /** `verify-signature` describes at least one proof, or the webhook is refused. */
  | "required"
  /** The carrier sends no webhooks; whatever arrives is refused. Its calls come over `events`. */
  | "no-webhooks";

export interface ProviderSpec {
  /** The provider's name in URLs and in stored rows: lower-case letters, digits and hyphens, 1 to 32 characters. */
  name: string;
  displayName: string;
  /** Semantic version of the component (semver.org). */
  version: string;
  /** Where a user reads how to set this carrier up. */
  docsUrl?: string | null;
  connectivity: Connectivity;
  /** Whether an outbound call needs a number of ours as its caller id. */
  requiresCallerId: boolean;
  /** At most 64. */
  fields: Field[];
  /**
   * Name of the field that identifies the account in webhooks; empty when the carrier has none. Its value is an
   * identifier: it stays readable to the provider even when it is marked sensitive.
   */
  accountIdField: string;
  media: MediaProfile;
  /** At most 32. */
  routes: Route[];
  /**
   * Hosts that requests may go to: `api.example.com`, `api.example.com:8443`, or `http://pbx.example.com` where the
   * carrier has no TLS. `{field}` stands for the value of a credential field; a host whose field is empty is not
   * granted. At most 16.
   */
  egressHosts: string[];
  webhookProof: ProofPolicy;
}

/** What is wrong with one field of a configuration. */
export interface FieldProblem {
  field: string;
  /** One sentence: what is wrong with its shape, and what to enter. Never its value. */
  problem: string;
}

/** What a provider is, and how its configuration is shaped. */
export interface DescriptorExports {
  /** Static: read once when the component is loaded, then frozen. */
  spec(): ProviderSpec;
  /**
   * Turns validated credentials into the `config` that every other export receives. A pure reshape. Sensitive values
   * arrive as sealed references and stay that in `config`.
   */
  configLoader(credentials: Json): Json;
}

/** Who answered. */
export type AnsweredBy =
  | "human"
  | "machine-start"
  | "machine-end-beep"
  | "machine-end-silence"
  | "machine-end-other"
  | "fax"
  | "unknown";

/** Answering-machine detection: what can be asked of the carrier, and how its verdict reads. */
export interface DetectionExports {
  /**
   * What this configuration may use, the preferred one first; empty when it is switched off. The runtime passes one of
   * them to `place-call`.
   */
  detectionModes(config: Json): DetectionMode[];
  /** The verdict that a genuine webhook of a call carries, if any. The runtime asks for the webhooks of every route. */
  detectionResult(config: Json, webhook: Webhook): AnsweredBy | null;
}

export interface Socket {
  /**
   * `ws://…` or `wss://…` at a host of `egress-hosts`, without credentials. Two configurations with the same URL
   * exclude each other.
   */
  url: string;
  authorization: Authorization;
  /** WebSocket subprotocol to ask for. */
  subprotocol?: string | null;
}

export interface KnownCall {
  /** The carrier's identifier. */
  providerCallId: string;
  /** At most 16. */
  events: CallEvent[];
}

export interface KnownTransfer {
  /** `transfer-leg.id`. */
  id: string;
  /** At most 16; as for `transfer.handle-transfer-callback`. */
  events: CallEvent[];
}

/** What a message of the carrier asks of the gateway. */
export type Directive =
  /** Somebody calls: the runtime looks the number up in this configuration and calls `answer-markup` or `reject-call`. */
  | { tag: "inbound-call"; val: InboundCall }
  /** An outbound call was answered: the runtime calls `answer-markup`. The carrier's identifier of the call. */
  | { tag: "answered"; val: string }
  /** Something happened to a call. */
  | { tag: "call"; val: KnownCall }
  /** Something happened to the second leg of a transfer. */
  | { tag: "transfer"; val: KnownTransfer };

/**
 * For carriers that tell what happens over a socket that the gateway opens and keeps. The runtime owns the socket: one
 * for each configuration whatever the number of nodes, opened again when it breaks.
 */
export interface EventsExports {
  /** The socket to keep open. A failure that is not retryable parks the configuration until somebody reactivates it. */
  endpoint(config: Json): Socket;
  /**
   * What a text message of the socket means; the requests that follow from it and concern the carrier only are effects.
   * Messages are handled in order, one at a time. At most 16 directives; none for what concerns nobody here. A failure of
   * kind `configuration` says that the socket is no good any more: the runtime closes it, and counts that as a failure. After
   * any other failure, or a fault, it goes on with the next message.
   * `received-at` is Unix time in milliseconds.
   */
  handleEvent(config: Json, message: string, receivedAt: number, replies: Reply[]): Directive[];
}

/** One WebSocket message (RFC 6455 §5.6). At most 64 KiB. */
export type Message =
  | { tag: "text"; val: string }
  | { tag: "binary"; val: Uint8Array };

/** The stream is set up. */
export interface Started {
  providerCallId?: string | null;
  streamId?: string | null;
  /** What the carrier sends: an index into `media-profile.formats`; the first when absent. */
  receiveFormat?: number | null;
  /** What the carrier expects: an index into `media-profile.formats`; the first when absent. */
  sendFormat?: number | null;
  /** Parameters that came back with the stream, such as those set in the answer markup. At most 64. */
  parameters: [string, string][];
}

/** A piece of the caller's audio. */
export interface AudioFrame {
  /** In the receive format. Any length; usually one frame. */
  payload: Uint8Array;
  /** Counts frames, when the carrier numbers them: the runtime puts frames in order and conceals missing ones. */
  sequence?: number | null;
  /** Milliseconds since the stream began, when the carrier says so. */
  timestampMs?: number | null;
}

/** What a message of the carrier means. */
export type MediaEvent =
  | { tag: "started"; val: Started }
  | { tag: "audio"; val: AudioFrame }
  /** One of 0-9, *, #, A-D. */
  | { tag: "dtmf"; val: string }
  /** The audio before this mark has been played, or was cleared. */
  | { tag: "mark"; val: string }
  /** The carrier's buffer is full (`false`) or takes audio again (`true`). */
  | { tag: "flow"; val: boolean }
  /** The stream ends; the text is the carrier's reason, if any. */
  | { tag: "stopped"; val: string | null }
  /** The message could not be read: dropped and counted. What was wrong, at most 100 characters, never its content. */
  | { tag: "malformed"; val: string };

/** What the runtime sends to the carrier. */
export type MediaFrame =
  /** Exactly one frame in the send format. */
  | { tag: "audio"; val: Uint8Array }
  /** Drop what has not been played yet. */
  | { tag: "clear" }
  /** Echo this name when the audio before it has been played. 1 to 64 characters. */
  | { tag: "mark"; val: string }
  /** One of 0-9, *, #, A-D. */
  | { tag: "dtmf"; val: string }
  /** End the stream from our side. */
  | { tag: "stop" };

export type FrameProblem =
  /** The carrier has no such message. */
  | "unsupported"
  /** The stream has not started, so its identifiers are not known. */
  | "not-started";

/**
 * The media of one call. The runtime may drop it and build it again at any time: it calls the constructor and hands in
 * the carrier's messages up to the one that yielded `started`.
 */
export interface LegExport {
  /** At most 64 events. */
  deserializeFrame(message: Message): MediaEvent[];
  /** Messages to send, in order; at most 4. None: the carrier needs nothing for this frame. */
  serializeFrame(frame: MediaFrame): Message[];
}

/**
 * The envelopes of the media socket. Codecs, resampling, pacing and buffering are the runtime's; a provider turns
 * WebSocket messages into events and frames into WebSocket messages.
 *
 * A later version adds a frame plan: a declarative description of the envelope that the runtime executes natively,
 * checked against these functions.
 */
export interface MediaExports {
  Leg: new (config: Json, call: Call) => LegExport;
}

export type Ownership =
  | "owned"
  | "not-owned"
  /** This kind of address is not looked up at the carrier. */
  | "not-applicable";

export type Provisioning =
  | "provisioned"
  /** It was there before. */
  | "present"
  /** This carrier's numbers are ordered at the carrier; `validate-number` decides. */
  | "not-offered";

export type Synchronisation =
  /** The carrier now sends this number's calls where it was told. */
  | { tag: "done" }
  /** Nothing had to be changed. */
  | { tag: "unchanged" }
  /** Nothing was changed, and why: for example because other numbers share the setting. At most 300 characters. */
  | { tag: "left-alone"; val: string };

/** The phone numbers of an account. Addresses are E.164 with `+`, SIP URIs or extensions. */
export interface NumbersExports {
  /** Whether the account owns the number. */
  validateNumber(config: Json, address: string, replies: Reply[]): Ownership;
  /** Adds the number to the account, for carriers where that is a matter of registration. */
  provisionNumber(config: Json, address: string, replies: Reply[]): Provisioning;
  /**
   * Points the number's inbound calls at `webhook-url`, or, when `attach` is false, away from it. Detaching changes only
   * what points at `webhook-url`: a number that somebody has pointed elsewhere, or that is not there, is `unchanged`.
   */
  configureInbound(config: Json, address: string, webhookUrl: string, attach: boolean, replies: Reply[]): Synchronisation;
}

export type Occasion =
  /** The configuration is new. */
  | "create"
  /**
   * It exists: what the provider set before is still in `config`, save the account-scoped fields when the account id
   * has changed.
   */
  | "update";

/** Where this gateway is reached from outside. */
export interface PublicUrls {
  /** The common dispatcher for new calls: `https://…/inbound/run`. */
  dispatcher: string;
  /** Base of this provider's routes, without a trailing slash: `https://…/{provider}`. */
  routes: string;
  /** `media-address.base-url`: `wss://…`. */
  media: string;
}

export interface Saving {
  occasion: Occasion;
  urls: PublicUrls;
  /** 12 lower-case hexadecimal digits that no other saving has: for names of things made at the carrier. */
  unique: string;
}

/** A field of the configuration that the provider sets: any that the spec has and that is not sensitive. */
export interface FieldValue {
  name: string;
  value: Json;
}

/** What the gateway knows about a configuration. */
export interface Facts {
  /** Numbers that are switched on. */
  activeNumbers: number;
  /** Those of them that have an agent for inbound calls. */
  inboundNumbers: number;
  enabledTrunks: number;
  /** Active numbers that belong to no trunk. */
  numbersWithoutTrunk: number;
}

/** One step towards calls that work. */
export interface Step {
  /** snake_case, unique within the checklist. */
  key: string;
  title: string;
  /** One sentence: what to do and where. */
  description: string;
  complete: boolean;
  /** No outbound call is placed before this step is complete. */
  blocksOutbound: boolean;
}

/** Something to be copied to the carrier or to a telephone system. */
export interface Detail {
  label: string;
  value: string;
}

export interface DetailGroup {
  title: string;
  description?: string | null;
  details: Detail[];
}

/** What happens around a configuration: when it is saved, what is left to do, and what a person must enter elsewhere. */
export interface SetupExports {
  /**
   * Called before a configuration is stored, when its fields are valid: makes at the carrier what the configuration needs
   * and is not there. The values are stored with it. A failure stores nothing.
   */
  prepareCredentials(config: Json, saving: Saving, replies: Reply[]): FieldValue[];
  /** The steps in order; at most 32. A pure function of what is known. */
  checklist(config: Json, facts: Facts): Step[];
  /**
   * What a person must know or enter elsewhere, such as the addresses of a SIP domain; at most 16 groups of 32. Empty
   * while there is nothing to tell.
   */
  connectivityDetails(config: Json, urls: PublicUrls): DetailGroup[];
}

export type TransferState =
  /** The second leg is being dialled, or rings. An answer is welcome. */
  | "dialing"
  /** The second leg answered, and is to be connected. */
  | "answered"
  /** Both legs talk to each other, without the gateway. */
  | "connected"
  /**
   * Given up, failed or finished. A leg that answers now is to be let go: what the carrier asks is answered with a
   * hang-up.
   */
  | "over";

/** The second leg of a transfer. */
export interface TransferLeg {
  /** The runtime's identifier of the transfer: a UUID. Fit for the name of a conference: nobody can guess it. */
  id: string;
  state: TransferState;
  /** Who is called: an E.164 number with `+`, a SIP URI or an extension. */
  destination: string;
  /** The number of ours that the destination sees. */
  callerId?: string | null;
  /** Name of the trunk that the caller id belongs to. */
  trunk?: string | null;
  /** How long it may ring, in seconds: 5 to 120. */
  ringTimeoutS: number;
  /** Said to the destination before the caller is there. At most 500 characters. */
  announcement?: string | null;
  /** The carrier's identifier of this leg, once known. */
  providerCallId?: string | null;
  /** One entry for each route of the spec whose purpose is `transfer`. */
  routes: RouteUrl[];
  /** What the provider itself has attached to this leg so far. */
  attachment?: Json | null;
}

/**
 * Connecting a caller with somebody else. The runtime owns the transfer: it keeps the record before anything is dialled,
 * plays to the caller meanwhile, counts the time, takes the first answer only, and takes down whatever is left over. A
 * provider says how this carrier dials the second leg, joins the two and lets go.
 */
export interface TransferExports {
  /** Dials the destination. The leg may answer before the carrier has answered this request. */
  dialDestination(config: Json, call: Call, leg: TransferLeg, replies: Reply[]): Placed;
  /**
   * The destination answered: joins the caller to it, away from the media socket, so that the end of either leg ends the
   * other as far as the carrier can do that.
   */
  connect(config: Json, call: Call, leg: TransferLeg, replies: Reply[]): void;
  /**
   * Ends the second leg, whether it rings, has answered or talks. That it had ended already is a success. It may be called
   * more than once, beside `connect`, and before `provider-call-id` is known.
   */
  cancel(config: Json, call: Call, leg: TransferLeg, replies: Reply[]): HangUpOutcome;
  /**
   * What a genuine webhook at a route of purpose `transfer` means for the second leg, in the words for calls: `ringing`;
   * `in-progress` when it answered; `busy`, `no-answer`, `canceled`, `failed` when it did not; `completed` when it ended
   * after an answer; `identified` when the carrier now knows the leg by another name; `attach` for the leg's attachment.
   */
  handleTransferCallback(config: Json, route: string, call: Call, leg: TransferLeg, webhook: Webhook, replies: Reply[]): CallbackOutcome;
}

export interface Trunk {
  /** Letters, digits and hyphens, 1 to 64; unique within the configuration. */
  name: string;
  enabled: boolean;
  /** Values of the fields of `trunk-fields`. */
  settings: Json;
  /** The carrier's identifier, once it has the trunk. 1 to 255 characters. */
  externalId?: string | null;
}

export interface Applied {
  externalId?: string | null;
  /** The settings as the carrier now has them, in their usual spelling. */
  settings: Json;
}

/** SIP trunks that a configuration keeps at the carrier. */
export interface TrunksExports {
  /** The settings of a trunk. Static: read once when the component is loaded, then frozen. No sensitive ones; at most 32. */
  trunkFields(): Field[];
  /** Makes the carrier's trunk as described: new, changed, renamed or switched off. Called before the trunk is stored. */
  applyTrunk(config: Json, trunk: Trunk, replies: Reply[]): Applied;
  /** Takes the trunk out of service. That it is not there is a success. */
  removeTrunk(config: Json, trunk: Trunk, replies: Reply[]): void;
}

/** The claims of a webhook about a call that should exist already. */
export interface CallReference {
  providerCallId: string;
  accountId?: string | null;
}

export type Recognition =
  /** Somebody calls. */
  | { tag: "inbound-call"; val: InboundCall }
  /** An event of a call: the runtime finds the call, verifies, and calls `handle-callback`. */
  | { tag: "event"; val: CallReference };

export type Hash = "sha1" | "sha256" | "sha512";

/** How the bytes of a key are written down in a credential. */
export type KeyEncoding = "utf8" | "base64" | "hex";

/** A key that the component never sees. */
export interface SealedKey {
  /** A sealed reference, exactly as found in `config`. */
  reference: string;
  encoding: KeyEncoding;
}

/** A piece of a signed message. */
export type Segment =
  | { tag: "bytes"; val: Uint8Array }
  /** The secret behind a sealed reference. */
  | { tag: "sealed"; val: string };

/** RFC 2104 over the segments in order. */
export interface HmacCheck {
  hash: Hash;
  key: SealedKey;
  message: Segment[];
  expected: Uint8Array;
}

/** A plain digest, for carriers that put the body's hash into what they sign. */
export interface DigestCheck {
  hash: Hash;
  message: Segment[];
  expected: Uint8Array;
}

/** RFC 8032; 32 bytes of public key, 64 bytes of signature. */
export interface Ed25519Check {
  publicKey: Uint8Array;
  message: Uint8Array;
  signature: Uint8Array;
}

/** The carrier presents a shared secret itself. */
export interface EqualsCheck {
  sealed: string;
  presented: Uint8Array;
}

/**
 * Holds for the first webhook with this key, and for its exact repetitions (method, URL and body), which are a carrier's
 * retries; evaluated last, and only when every other check of the proof holds. For carriers whose signature a nonce or a
 * timestamp makes unique.
 */
export interface OnceCheck {
  /** 1 to 128 characters, scoped to the configuration. */
  key: string;
  /** Milliseconds; at most 24 hours. */
  ttlMs: number;
}

/** One condition, evaluated by the runtime in constant time. */
export type Check =
  | { tag: "hmac"; val: HmacCheck }
  | { tag: "digest"; val: DigestCheck }
  | { tag: "ed25519"; val: Ed25519Check }
  | { tag: "equals"; val: EqualsCheck }
  | { tag: "once"; val: OnceCheck };

/**
 * A way in which the webhook may be genuine: all of its checks hold. Without an `hmac`, `ed25519` or `equals` check a
 * proof proves nothing and is refused. At most 16 checks.
 */
export interface Proof {
  /** For the user who looks for the reason of a refusal: which way this is, for example `sha1, url with port`. */
  label: string;
  checks: Check[];
}

/** Why a webhook cannot be genuine, found without any secret. */
export interface Rejection {
  /** kebab-case, for example `signature-missing`. */
  code: string;
  /** What is missing and where to look; never a value. */
  message: string;
}

/** What the carrier posts to us: whose it is, whether it is genuine, what it says. */
export interface WebhookExports {
  /**
   * Whether a webhook at the common dispatcher, or at a route without `{call}`, is this carrier's. The runtime asks the
   * providers in order of their names. `none`: not ours, or not readable.
   */
  recognise(webhook: Webhook): Recognition | null;
  /** Describes what must hold for the webhook to be genuine: one of the proofs. An empty list is a refusal. At most 16. */
  verifySignature(config: Json, webhook: Webhook): Proof[];
  /** Called after the proof held. `route` is the name of a route, or `inbound` for the common dispatcher. */
  handleCallback(config: Json, route: string, call: Call, webhook: Webhook, replies: Reply[]): CallbackOutcome;
}
