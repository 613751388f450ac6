// Example Telecom as a Strowger provider: the sample of the JavaScript SDK.
//
// The carrier exists on paper only (`sdk/README.md`); the samples of the other languages integrate the same one and give the
// same bytes. The modules follow a call: `webhooks` recognises and proves what the carrier posts and reads what it tells,
// `markup` writes its XML, `media` wraps audio for its media socket, `calls` and `numbers` use its REST API through `api`.

import { problem, provider } from "@strowger/sdk";

import type { Config } from "./api.ts";
import { fetchCost, fetchStatus, hangUp, placeCall } from "./calls.ts";
import { reject, stream } from "./markup.ts";
import { MediaStream } from "./media.ts";
import { configureInbound, validateNumber } from "./numbers.ts";
import { identify, proofs, readStatus, recognise } from "./webhooks.ts";

export default provider<Config>({
  spec: {
    name: "example-telecom",
    displayName: "Example Telecom",
    version: "0.1.0",
    fields: [
      { name: "account", label: "Account", required: true },
      { name: "api_key", label: "API key", kind: "password", required: true, sensitive: true },
      { name: "signing_secret", label: "Signing secret", kind: "password", required: true, sensitive: true },
    ],
    accountIdField: "account",
    media: {
      formats: [
        { encoding: "pcmu", sampleRateHz: 8000 },
        { encoding: "l16-le", sampleRateHz: 16000 },
      ],
      echoesMarks: true,
    },
    routes: [
      { name: "answer", purpose: "answer" },
      { name: "status", purpose: "callback" },
    ],
    egressHosts: ["api.example-telecom.example"],
  },

  configLoader(credentials) {
    const { account, api_key, signing_secret } = credentials;
    if (typeof account !== "string" || !/^[A-Z0-9]{4,32}$/.test(account)) {
      throw problem("account", "An account is 4 to 32 capital letters and digits, as shown in the portal.");
    }
    // That the others are there is validated before this is called. They are references that stand for secrets.
    return { account, api_key: api_key as string, signing_secret: signing_secret as string };
  },

  recognise,
  verifySignature: proofs,
  handleCallback: (_config, _route, _call, webhook) => readStatus(webhook),

  answerMarkup: (_config, call, media, webhook) => ({ response: stream(media.url), events: identify(call, webhook) }),
  rejectionMarkup: reject,

  leg: () => new MediaStream(),

  calling: { placeCall, hangUp, fetchStatus, fetchCost },
  numbers: { validateNumber, configureInbound },
});
