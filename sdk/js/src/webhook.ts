// Reading what the carrier posted.

import type * as contract from "./contract.ts";
import { findHeader } from "./http.ts";
import { type JsonObject, type JsonValue, isObject, parseJson } from "./json.ts";
import { binaryOf, fromUtf8, utf8 } from "./text.ts";

/**
 * Bytes of a body that are read as JSON. Nobody has proved anything yet, and a mebibyte of brackets takes an interpreter
 * longer than a call of it may last; the webhooks of carriers have a few kilobytes.
 */
const JSON_BYTES_MAX = 128 * 1024;

/** One request of the carrier, exactly as it arrived. */
export class Webhook implements contract.Webhook {
  readonly method: string;
  readonly url: string;
  readonly headers: contract.Header[];
  readonly body: Uint8Array;
  /** Unix time in milliseconds; the only clock that a provider has. */
  readonly receivedAt: number;

  constructor(webhook: contract.Webhook) {
    this.method = webhook.method;
    this.url = webhook.url;
    this.headers = webhook.headers;
    this.body = webhook.body;
    this.receivedAt = webhook.receivedAt;
  }

  /** The first header of this name, whatever its case. */
  header(name: string): string | undefined {
    return findHeader(this.headers, name);
  }

  /** The body as text; undefined when it is not UTF-8. */
  text(): string | undefined {
    return fromUtf8(this.body) ?? undefined;
  }

  /** The body as JSON; undefined when it is something else, or has more than 128 KiB. */
  json(): JsonValue | undefined {
    return this.body.length > JSON_BYTES_MAX ? undefined : parseJson(this.body);
  }

  /** The body as a JSON object; undefined when it is something else, or has more than 128 KiB. */
  object(): JsonObject | undefined {
    const value = this.json();
    return isObject(value) ? value : undefined;
  }

  /** The body read as a form. */
  form(): Form {
    return Form.parse(binaryOf(this.body));
  }

  /** The parameters of the URL. */
  query(): Form {
    const [beforeFragment] = this.url.split("#");
    const at = beforeFragment!.indexOf("?");
    return Form.parse(at < 0 ? "" : binaryOf(utf8(beforeFragment!.slice(at + 1))));
  }
}

/** Parameters as a form or a query string has them: names and values in order, names possibly repeated. */
export class Form {
  constructor(readonly pairs: (readonly [string, string])[]) {}

  /** Reads `a=1&b=2`. Total, as browsers do it: what is no percent-encoding stays, what is no UTF-8 becomes U+FFFD. */
  static parse(encoded: string): Form {
    const pairs = encoded.split("&").filter((pair) => pair !== "");
    return new Form(
      pairs.map((pair) => {
        const at = pair.indexOf("=");
        return at < 0 ? [decode(pair), ""] : [decode(pair.slice(0, at)), decode(pair.slice(at + 1))];
      }),
    );
  }

  /** The first value of this name. */
  get(name: string): string | undefined {
    return this.pairs.find(([candidate]) => candidate === name)?.[1];
  }
}

function decode(text: string): string {
  const plain = text.replaceAll("+", " ");
  if (/^[^%\x80-\xff]*$/.test(plain)) return plain;
  const bytes = plain.replace(/%([0-9a-fA-F]{2})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)));
  return fromUtf8Lossy(bytes);
}

/** Well-formed sequences of UTF-8 (Unicode §3.9, table 3-7), and the longest beginnings of such, which become U+FFFD. */
const SEQUENCES =
  /[\0-\x7f]+|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|(\xe0[\xa0-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]|\xed[\x80-\x9f]|\xf0[\x90-\xbf][\x80-\xbf]?|[\xf1-\xf3][\x80-\xbf]{1,2}|\xf4[\x80-\x8f][\x80-\xbf]?|[^])/g;

function fromUtf8Lossy(bytes: string): string {
  return bytes.replace(SEQUENCES, (sequence: string, broken: string | undefined) =>
    broken === undefined ? decodeURIComponent(escape(sequence)) : "\ufffd",
  );
}
