// Signs with Plivo's official package for Node.js what its package for Python has signed.
//
//     node plivo_sign.mjs FOLDER
//
// FOLDER has the `node_modules`. Reads one JSON document a line: `{method, url, parameters, nonce, token, signature}`.
// Prints for each `{signature, accepts}`: what this package computes (null where it fails), and whether it accepts what
// was given.

import crypto from "node:crypto";
import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";

const require = createRequire(path.join(process.argv[2], "package.json"));
const { validateV3Signature } = require("plivo");

// The package only validates. What it compares with is what it has from here.
let computed = null;
const createHmac = crypto.createHmac;
crypto.createHmac = (...settings) => {
  const hmac = createHmac(...settings);
  const digest = hmac.digest.bind(hmac);
  hmac.digest = (encoding) => (computed = digest(encoding));
  return hmac;
};

const copied = (parameters) => JSON.parse(JSON.stringify(parameters));

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { method, url, parameters, nonce, token, signature } = JSON.parse(line);
  computed = null;
  let accepts = false;
  try {
    accepts = validateV3Signature(method, url, nonce, token, signature ?? "", copied(parameters));
  } catch {
    computed = null;
  }
  process.stdout.write(`${JSON.stringify({ signature: computed, accepts })}\n`);
}
