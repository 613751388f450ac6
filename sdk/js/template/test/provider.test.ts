// Runs with `npm test`; no runtime is needed.

import { deepEqual } from "node:assert/strict";
import test from "node:test";

import { recordedCases, run } from "@strowger/sdk/testing";

import provider from "../provider.ts";

recordedCases(provider, "cases");

test("a word that is not documented tells nothing", () => {
  const webhook = {
    method: "POST",
    url: "https://gateway.example/api/v1/telephony/{{name}}/status/1",
    body: '{"status":"dreaming"}',
    "received-at": 0,
  };
  const call = { id: "1", direction: "inbound", caller: "+14155550100", callee: "+14155550199" };
  deepEqual(
    run(provider, {
      export: "webhook.handle-callback",
      config: { account: "A1", signing_secret: "sealed:1" },
      input: { route: "status", call, webhook },
    }),
    { ok: { events: [], response: { status: 204, headers: [], body: "" } } },
  );
});
