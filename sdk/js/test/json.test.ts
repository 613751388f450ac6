import { deepEqual, equal } from "node:assert/strict";
import test from "node:test";

import { asCount, parseJson, parseObject, utf8 } from "../src/index.ts";

test("what is not JSON is nothing", () => {
  for (const other of ["", "{", "{} x", "NaN", "'a'", "[1,]", "\ufeff{}"]) equal(parseJson(other), undefined, other);
  equal(parseJson(Uint8Array.from([0x22, 0xff, 0x22])), undefined);
  deepEqual(parseJson(utf8('{"a":["é",null]}')), { a: ["é", null] });
  equal(parseJson("null"), null);
  equal(parseObject("[]"), undefined);
});

test("half of a character makes a document unreadable", () => {
  for (const other of ['"\\ud800"', '{"\\uDC00":1}', '[["\\ud83d"]]']) equal(parseJson(other), undefined, other);
  equal(parseJson('"\\ud83d\\ude00"'), "\u{1f600}");
  equal(parseJson('"\\\\ud800"'), "\\ud800");
});

test("documents are as deep as they may be and no deeper", () => {
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  equal(Array.isArray(parseJson(nested(127))), true);
  equal(parseJson(nested(128)), undefined);
  equal(parseJson('{"a":'.repeat(128) + "1" + "}".repeat(128)), undefined);
  equal(parseJson("[".repeat(200_000)), undefined);
  // Wide is not deep, and brackets in texts are text.
  equal((parseJson(`[${"[],".repeat(1000)}1]`) as unknown[]).length, 1001);
  equal((parseJson(`[${'"[{\\"\\\\",'.repeat(200)}1]`) as unknown[]).length, 201);
});

test("only what counts is a count", () => {
  equal(asCount(7), 7);
  equal(asCount(0xffff_ffff, 0xffff_ffff), 0xffff_ffff);
  for (const other of [-1, 7.5, "7", true, null, undefined, 2 ** 53, NaN]) equal(asCount(other), undefined);
  equal(asCount(8, 7), undefined);
});
