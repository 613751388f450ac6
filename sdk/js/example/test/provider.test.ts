// What is easier to say in code than in recorded cases.

import { deepEqual, equal } from "node:assert/strict";
import test from "node:test";

import { isDigit } from "@strowger/sdk";
import { run } from "@strowger/sdk/testing";

import { stream } from "../markup.ts";
import provider from "../provider.ts";
import { isRecent } from "../webhooks.ts";

test("five minutes are recent in both directions", () => {
  const table: [string, boolean][] = [
    ["1000", true],
    ["1300", true],
    ["700", true],
    ["1301", false],
    ["699", false],
    ["", false],
    ["+1000", false],
    ["1e3", false],
    ["0000000001000", false],
  ];
  for (const [timestamp, recent] of table) equal(isRecent(timestamp, 1_000_000), recent, timestamp);
});

test("a URL cannot leave its attribute", () => {
  equal(
    stream(`wss://a/?x="><Reject/>&y='1'`).text(),
    '<?xml version="1.0" encoding="UTF-8"?><Response><Stream url="wss://a/?x=&quot;&gt;&lt;Reject/&gt;&amp;y=&apos;1&apos;"/></Response>',
  );
});

test("the keys of a telephone are those of the contract", () => {
  deepEqual([..."09*#ADEad "].filter(isDigit), [..."09*#AD"]);
});

test("a call is ended in two rounds", () => {
  const call = { id: "1", "provider-call-id": "ET-1", direction: "inbound", caller: "", callee: "" };
  const credentials = { account: "ACME01", api_key: "sealed:1", signing_secret: "sealed:2" };
  const round = (...replies: unknown[]): unknown =>
    run(provider, { export: "calling.hang-up", credentials, input: { call }, replies });
  deepEqual(round(), {
    err: {
      perform: {
        http: {
          method: "DELETE",
          url: "https://api.example-telecom.example/v1/accounts/ACME01/calls/ET-1",
          headers: [],
          body: "",
          authorization: { bearer: "sealed:1" },
        },
      },
    },
  });
  deepEqual(round({ http: { status: 404 } }), { ok: "already-ended" });
});
