// Bytes and text. The interpreter inside a component has neither TextEncoder nor URL, so what a provider needs is here.

/** The UTF-8 bytes of a text. */
export function utf8(text: string): Uint8Array {
  // One character for each byte: `unescape` undoes the percent signs that `encodeURIComponent` made of the bytes.
  return bytesOf(isAscii(text) ? text : unescape(encodeURIComponent(text.toWellFormed())));
}

/** The text of UTF-8 bytes; null when they are not UTF-8. */
export function fromUtf8(bytes: Uint8Array): string | null {
  const binary = binaryOf(bytes);
  if (isAscii(binary)) return binary;
  try {
    return decodeURIComponent(escape(binary));
  } catch {
    return null;
  }
}

/** Bytes one after another. */
export function concat(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// In a component these are the interpreter's own; a Node.js that runs tests may be too old to have them.
interface NativeCodecs {
  fromBase64?(text: string, options: { lastChunkHandling: "strict" }): Uint8Array;
}
const native = Uint8Array as unknown as NativeCodecs;

/** Base64 with padding (RFC 4648 §4). */
export function base64(bytes: Uint8Array): string {
  const { toBase64 } = bytes as Uint8Array & { toBase64?(): string };
  return toBase64 === undefined ? btoa(binaryOf(bytes)) : toBase64.call(bytes);
}

/** The bytes of base64 with padding and nothing besides; null when it is something else. */
export function fromBase64(text: string): Uint8Array | null {
  try {
    if (native.fromBase64 !== undefined) {
      return /\s/.test(text) ? null : native.fromBase64(text, { lastChunkHandling: "strict" });
    }
    const binary = atob(text);
    // `atob` forgives white space, missing padding and stray bits.
    return btoa(binary) === text ? bytesOf(binary) : null;
  } catch {
    return null;
  }
}

/** Lower-case hexadecimal digits. */
export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** The bytes of hexadecimal digits in either case; null when they are something else. */
export function fromHex(text: string): Uint8Array | null {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return null;
  const bytes = new Uint8Array(text.length / 2);
  for (let at = 0; at < bytes.length; at++) bytes[at] = parseInt(text.slice(2 * at, 2 * at + 2), 16);
  return bytes;
}

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };

/** A text for an XML element or attribute. */
export function xmlEscape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

/** A text for one segment of a path, or one value of a query: all but `A-Z a-z 0-9 - . _ ~` is percent-encoded. */
export function percentEncode(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function isAscii(text: string): boolean {
  return !/[^\0-\x7f]/.test(text);
}

function bytesOf(binary: string): Uint8Array {
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** Arguments of one call; the interpreter's stack bounds their number. */
const ARGUMENTS_MAX = 4096;

/** One character for each byte. */
export function binaryOf(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += ARGUMENTS_MAX) {
    binary += String.fromCharCode.apply(null, bytes.subarray(at, at + ARGUMENTS_MAX) as unknown as number[]);
  }
  return binary;
}
