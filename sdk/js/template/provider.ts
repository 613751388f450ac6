// {{display_name}} as a Strowger provider.
//
// A carrier that is made up, small and whole: JSON webhooks that an HMAC signs, XML that opens the media socket, JSON
// messages with base64 audio. Put your carrier's words in the place of its words, one function after the other; `cases/`
// says what each of them does, and `README.md` how to try that out.

import {
  AudioEnvelope,
  type Leg,
  Proof,
  Response,
  callEvent,
  type contract,
  frameProblem,
  fromBase64,
  fromHex,
  jsonMessage,
  mediaEvent,
  provider,
  readObject,
  rejection,
  sealed,
  xmlEscape,
} from "@strowger/sdk";

/** What every operation gets. A secret is a reference that stands for it. */
interface Config {
  account: string;
  signing_secret: string;
}

// To place calls, give it `calling`. The other abilities are `detection`, `numbers`, `transfer`, `setup`, `trunks` and
// `events`; what is not given is not exported.
export default provider<Config>({
  spec: {
    name: "{{name}}",
    displayName: "{{display_name}}",
    version: "0.1.0",
    fields: [
      { name: "account", label: "Account", required: true },
      { name: "signing_secret", label: "Signing secret", kind: "password", required: true, sensitive: true },
    ],
    accountIdField: "account",
    media: { formats: [{ encoding: "pcmu", sampleRateHz: 8000 }] },
    routes: [{ name: "status", purpose: "callback" }],
  },

  recognise(webhook) {
    if (webhook.header("x-signature") === undefined) return null;
    const { event, account, call, from, to } = webhook.object() ?? {};
    if (typeof account !== "string" || typeof call !== "string") return null;
    if (event === "incoming" && typeof from === "string" && typeof to === "string") {
      return { tag: "inbound-call", val: { providerCallId: call, caller: from, callee: to, accountId: account } };
    }
    return event === "status" ? { tag: "event", val: { providerCallId: call, accountId: account } } : null;
  },

  verifySignature(config, webhook) {
    const signature = fromHex(webhook.header("x-signature") ?? "");
    if (signature?.length !== 32) {
      throw rejection("signature-missing", "The webhook has no x-signature of 64 hexadecimal digits.");
    }
    return [new Proof("hmac").hmac("sha256", sealed(config.signing_secret), [webhook.body], signature)];
  },

  handleCallback(_config, _route, _call, webhook) {
    const status = STATUSES.get(webhook.object()?.["status"]);
    return { events: status === undefined ? [] : [callEvent.status(status)], response: Response.empty(204) };
  },

  answerMarkup: (_config, _call, media) => ({ response: markup(`<Stream url="${xmlEscape(media.url)}"/>`), events: [] }),
  rejectionMarkup: (reason) => markup(`<Reject reason="${reason === "at-capacity" ? "busy" : "rejected"}"/>`),

  leg: () => new MediaStream(),
});

const STATUSES = new Map<unknown, contract.CallStatus>([
  ["ringing", "ringing"],
  ["answered", "in-progress"],
  ["ended", "completed"],
  ["failed", "failed"],
]);

/** The carrier's XML. */
function markup(instruction: string): Response {
  return Response.xml(`<?xml version="1.0" encoding="UTF-8"?><Response>${instruction}</Response>`);
}

const AUDIO = new AudioEnvelope('{"event":"media","payload":"', '"}');

/** The media of one call. */
class MediaStream implements Leg {
  started = false;

  deserializeFrame(message: contract.Message): contract.MediaEvent[] {
    if (message.tag === "binary") return [mediaEvent.malformed("a binary message")];
    const read = readObject(message);
    if (read === undefined) return [mediaEvent.malformed("not JSON")];
    switch (read["event"]) {
      case "start":
        if (typeof read["call"] !== "string") break;
        this.started = true;
        return [mediaEvent.started({ providerCallId: read["call"] })];
      case "media": {
        if (typeof read["payload"] !== "string") break;
        const payload = fromBase64(read["payload"]);
        return [payload === null ? mediaEvent.malformed("the payload is not base64") : mediaEvent.audio(payload)];
      }
      case "stop":
        return [mediaEvent.stopped()];
      default:
        return [];
    }
    return [mediaEvent.malformed("a field is missing or wrong")];
  }

  serializeFrame(frame: contract.MediaFrame): contract.Message[] {
    if (!this.started) throw frameProblem("not-started");
    if (frame.tag === "audio") return [AUDIO.wrap(frame.val)];
    if (frame.tag === "clear") return [jsonMessage({ event: "clear" })];
    throw frameProblem("unsupported");
  }
}
