// Documents from strangers. What is accepted here is what the other languages' readers accept, so that a message means the
// same to a provider in any of them.

import { fromUtf8 } from "./text.ts";

/** Arrays and objects inside each other: deep documents are somebody's attack on a reader's stack. */
const DEPTH_MAX = 127;

/** What JSON can say. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;

/** A member may be absent, and must be looked at before it is believed. */
export interface JsonObject {
  [name: string]: JsonValue | undefined;
}

/** Reads JSON; undefined when it is something else, nested too deep, or has text that Unicode cannot write. */
export function parseJson(document: string | Uint8Array): JsonValue | undefined {
  const text = typeof document === "string" ? document : fromUtf8(document);
  if (text === null) return undefined;
  const openings = text.split("[").length + text.split("{").length - 2;
  if (openings > DEPTH_MAX && isTooDeep(text)) return undefined;
  try {
    const value = JSON.parse(text) as JsonValue;
    return /\\u[dD][89a-fA-F]/.test(text) && !isWellFormed(value) ? undefined : value;
  } catch {
    return undefined;
  }
}

/** Reads JSON that is an object; undefined when it is something else. */
export function parseObject(document: string | Uint8Array): JsonObject | undefined {
  const value = parseJson(document);
  return isObject(value) ? value : undefined;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The text if it is one. */
export function asText(value: JsonValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** The number if it is one that counts something: whole, not negative, at most `max`, which is exact. */
export function asCount(value: JsonValue | undefined, max: number = Number.MAX_SAFE_INTEGER): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max ? value : undefined;
}

/** Before a document is parsed: a parser that recurses would be at the end of its stack, which no exception tells. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: // A quotation mark.
        at = endOfString(text, at);
        break;
      case 0x5b: // An opening bracket or brace.
      case 0x7b:
        depth += 1;
        if (depth > DEPTH_MAX) return true;
        break;
      case 0x5d: // A closing one.
      case 0x7d:
        depth -= 1;
    }
  }
  return false;
}

/** Where the string that begins at `start` has its closing quotation mark. */
function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let escapes = at;
    while (text[escapes - 1] === "\\") escapes -= 1;
    if ((at - escapes) % 2 === 0) return at;
  }
  return text.length;
}

function isWellFormed(value: JsonValue | undefined): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (Array.isArray(value)) return value.every(isWellFormed);
  if (isObject(value)) return Object.entries(value).every(([name, member]) => name.isWellFormed() && isWellFormed(member));
  return true;
}
