// Values of the contract as recorded cases spell them, in both directions.

import { base64, fromBase64, fromUtf8, utf8 } from "../text.ts";
import { types } from "./shapes.ts";

/** How a type is made: the name of a primitive or of another type, or its parts. */
export type Shape =
  | string
  | { list: Shape }
  | { option: Shape }
  | { tuple: Shape[] }
  | { result: [Shape | null, Shape | null] }
  | { record: [string, Shape][] }
  | { variant: [string, Shape | null][] }
  | { enum: string[] };

/** What a function takes and gives. */
export interface FunctionShape {
  parameters: [string, Shape][];
  result: Shape | null;
}

type Members = Record<string, unknown>;

/** The value that a case spells. Errors say where it does not fit. */
export function read(shape: Shape, spelled: unknown, at: string): unknown {
  const misfit = (expected: string): Error =>
    new Error(`${at}: must be ${expected}, not ${JSON.stringify(spelled) ?? "absent"}`);
  if (typeof shape === "string") {
    switch (shape) {
      case "bool":
        if (typeof spelled !== "boolean") throw misfit("true or false");
        return spelled;
      case "integer":
        if (!Number.isSafeInteger(spelled)) throw misfit("an integer");
        return spelled;
      case "string":
      case "json":
        if (spelled === undefined || spelled === null) throw misfit("a text, or JSON to embed");
        return typeof spelled === "string" ? spelled : JSON.stringify(spelled);
      case "bytes": {
        if (spelled === undefined || spelled === null) return new Uint8Array(0);
        if (typeof spelled === "string") return utf8(spelled);
        const bytes = bytesOf(spelled);
        if (bytes === undefined) throw misfit('a text or {"base64": "…"}');
        return bytes;
      }
      default:
        return read(named(shape), spelled, at);
    }
  }
  if ("option" in shape) return spelled === undefined || spelled === null ? null : read(shape.option, spelled, at);
  if ("list" in shape) {
    if (spelled === undefined || spelled === null) return [];
    if (!Array.isArray(spelled)) throw misfit("an array");
    return spelled.map((item, n) => read(shape.list, item, `${at}[${n}]`));
  }
  if ("tuple" in shape) {
    if (!Array.isArray(spelled) || spelled.length !== shape.tuple.length) throw misfit("an array");
    return shape.tuple.map((item, n) => read(item, spelled[n], `${at}[${n}]`));
  }
  if ("record" in shape) {
    if (!isMembers(spelled)) throw misfit("an object");
    const known = shape.record.map(([name]) => name);
    const other = Object.keys(spelled).find((name) => !known.includes(name));
    if (other !== undefined) throw new Error(`${at}.${other}: is not a field; there are ${known.join(", ")}`);
    return Object.fromEntries(
      shape.record.map(([name, field]) => [camel(name), read(field, spelled[name], `${at}.${name}`)]),
    );
  }
  if ("enum" in shape) {
    if (typeof spelled !== "string" || !shape.enum.includes(spelled)) throw misfit(`one of ${shape.enum.join(", ")}`);
    return spelled;
  }
  const cases = "variant" in shape ? shape.variant : ([["ok", shape.result[0]], ["err", shape.result[1]]] as const);
  const [tag, payload] = isMembers(spelled) ? (Object.entries(spelled)[0] ?? []) : [spelled, null];
  const found = cases.find(([name]) => name === tag);
  if (found === undefined) throw misfit(`one of ${cases.map(([name]) => name).join(", ")}`);
  return found[1] === null ? { tag } : { tag, val: read(found[1], payload, `${at}.${tag as string}`) };
}

/** How a case spells a value. */
export function write(shape: Shape, value: unknown): unknown {
  if (typeof shape === "string") {
    switch (shape) {
      case "bool":
      case "integer":
        return value;
      case "string":
      case "json":
        return embedded(value as string);
      case "bytes":
        return shownBytes(value as Uint8Array);
      default:
        return write(named(shape), value);
    }
  }
  if ("option" in shape) return value === undefined || value === null ? null : write(shape.option, value);
  if ("list" in shape) return (value as unknown[]).map((item) => write(shape.list, item));
  if ("tuple" in shape) return shape.tuple.map((item, n) => write(item, (value as unknown[])[n]));
  if ("record" in shape) {
    const members = value as Members;
    return Object.fromEntries(shape.record.map(([name, field]) => [name, write(field, members[camel(name)])]));
  }
  if ("enum" in shape) {
    if (!shape.enum.includes(value as string)) throw new Error(`${String(value)} is not one of ${shape.enum.join(", ")}`);
    return value;
  }
  const cases = "variant" in shape ? shape.variant : ([["ok", shape.result[0]], ["err", shape.result[1]]] as const);
  const { tag, val } = value as { tag: string; val?: unknown };
  const found = cases.find(([name]) => name === tag);
  if (found === undefined) throw new Error(`${tag} is not one of ${cases.map(([name]) => name).join(", ")}`);
  return found[1] === null ? tag : { [tag]: write(found[1], val) };
}

/**
 * Where a result differs from what was expected. A document that is embedded as text equals the same document embedded as
 * JSON, bytes equal their base64, and null equals nothing.
 */
export function differences(expected: unknown, actual: unknown, at = "expect"): string[] {
  if (Object.is(expected ?? null, actual ?? null)) return [];
  if (isMembers(expected) && isMembers(actual) && !bytesOf(expected) && !bytesOf(actual)) {
    const names = new Set([...Object.keys(expected), ...Object.keys(actual)]);
    return [...names].flatMap((name) => differences(expected[name], actual[name], `${at}.${name}`));
  }
  if (Array.isArray(expected) && Array.isArray(actual)) {
    const length = Math.max(expected.length, actual.length);
    return Array.from({ length }, (_, n) => differences(expected[n], actual[n], `${at}[${n}]`)).flat();
  }
  const [left, right] = [document(expected), document(actual)];
  if (left !== undefined && right !== undefined && (left !== expected || right !== actual)) {
    return differences(left, right, at);
  }
  const [before, after] = [rawBytes(expected), rawBytes(actual)];
  if (before !== undefined && after !== undefined && base64(before) === base64(after)) return [];
  if (right !== undefined && right === expected) return [];
  if (bareCase(expected) !== undefined && bareCase(expected) === bareCase(actual)) return [];
  const show = (value: unknown): string => (value == null ? "nothing" : JSON.stringify(value));
  return [`${at}\n  expected ${show(expected)}\n  returned ${show(actual)}`];
}

function named(name: string): Shape {
  const shape = types[name];
  if (shape === undefined) throw new Error(`the contract has no type ${name}`);
  return shape;
}

/** `provider-call-id` as `providerCallId`. */
export function camel(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}

function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The bytes of `{"base64": "…"}`; undefined when it is something else. */
function bytesOf(value: unknown): Uint8Array | undefined {
  if (!isMembers(value) || Object.keys(value).length !== 1 || typeof value["base64"] !== "string") return undefined;
  return fromBase64(value["base64"]) ?? undefined;
}

function rawBytes(value: unknown): Uint8Array | undefined {
  return typeof value === "string" ? utf8(value) : bytesOf(value);
}

/** The document that a value is, or that its text contains. */
function document(value: unknown): unknown {
  if (value === null || typeof value !== "string") return value ?? undefined;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return undefined;
  }
}

/** The document in a text that is a JSON object or array; a scalar stays text. */
function embedded(text: string): unknown {
  const held = document(text);
  return typeof held === "object" && held !== null ? held : text;
}

function shownBytes(bytes: Uint8Array): unknown {
  const text = fromUtf8(bytes);
  return text === null || /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/.test(text) ? { base64: base64(bytes) } : text;
}

/** The name of a case without payload, in either of its spellings: `"ok"` or `{"ok": null}`. */
function bareCase(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!isMembers(value)) return undefined;
  const [entry, ...more] = Object.entries(value);
  return entry !== undefined && more.length === 0 && entry[1] === null ? entry[0] : undefined;
}
