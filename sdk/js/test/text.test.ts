import { deepEqual, equal } from "node:assert/strict";
import test from "node:test";

import {
  Form,
  Request,
  base64,
  concat,
  fromBase64,
  fromHex,
  fromUtf8,
  hex,
  joinPath,
  percentEncode,
  utf8,
  xmlEscape,
} from "../src/index.ts";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

test("text becomes bytes and text again", () => {
  for (const text of ["", "abc", "é", "日本", "\u{1f600}", "a\0é"]) {
    deepEqual(utf8(text), Uint8Array.from(Buffer.from(text)), text);
    equal(fromUtf8(utf8(text)), text);
  }
  equal(fromUtf8(bytes(0xff)), null);
  equal(fromUtf8(bytes(0xed, 0xa0, 0x80)), null);
  deepEqual(utf8("\ud800"), utf8("\ufffd"));
  const long = "é".repeat(10_000);
  equal(fromUtf8(utf8(long)), long);
});

test("base64 is padded, and nothing else is taken for it", () => {
  equal(base64(bytes(0, 255, 16)), "AP8Q");
  equal(base64(bytes(255)), "/w==");
  deepEqual(fromBase64("/w=="), bytes(255));
  deepEqual(fromBase64(""), bytes());
  for (const other of ["/w", "/w=", "/x==", " /w==", "/w==\n", "_w==", "a", "é"]) equal(fromBase64(other), null, other);
});

test("hexadecimal digits come in pairs and in either case", () => {
  equal(hex(bytes(0, 10, 255)), "000aff");
  deepEqual(fromHex("00AafF"), bytes(0, 170, 255));
  for (const other of ["0", "0g", "+1", " 0", "0x"]) equal(fromHex(other), null, other);
});

test("markup and addresses cannot be left", () => {
  equal(xmlEscape(`<a b="c" d='e'>&`), "&lt;a b=&quot;c&quot; d=&apos;e&apos;&gt;&amp;");
  equal(percentEncode("+1 (415)/*'!~._-é"), "%2B1%20%28415%29%2F%2A%27%21~._-%C3%A9");
  equal(
    joinPath("https://api.example.com/", "v1", "a/../b?x=1#y"),
    "https://api.example.com/v1/a%2F..%2Fb%3Fx%3D1%23y",
  );
});

test("forms are written and read as browsers do it", () => {
  const pairs: [string, string][] = [
    ["a b", "1+1=2"],
    ["é", "*~"],
  ];
  const request = Request.post("https://a").form(pairs);
  equal(fromUtf8(request.body), new URLSearchParams(pairs).toString());
  for (const encoded of ["b=1&a=+%FF&b=2&", "a", "=", "%zz=%", "%E0%A0=%F0%9F%98%80%F0%9F", "é=%C3%A9", "x=%ED%A0%80"]) {
    const binary = Buffer.from(encoded).toString("latin1");
    deepEqual(Form.parse(binary).pairs, [...new URLSearchParams(encoded)], encoded);
  }
});

test("bytes are joined", () => {
  deepEqual(concat(bytes(1), bytes(), bytes(2, 3)), bytes(1, 2, 3));
});
