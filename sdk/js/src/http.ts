// Requests to the carrier's API, its responses, and the responses to its webhooks.

import type * as contract from "./contract.ts";
import { Failure, failure, failureOfStatus, unexpectedAnswer } from "./errors.ts";
import { type JsonValue, parseJson } from "./json.ts";
import { fromUtf8, percentEncode, utf8 } from "./text.ts";

/** A request to the carrier: make it with the verb, and hand it to `io.http`. */
export class Request implements contract.Request {
  headers: contract.Header[] = [];
  body = new Uint8Array(0) as Uint8Array;
  authorization: contract.Authorization = { tag: "none" };

  constructor(
    readonly method: string,
    public url: string,
  ) {}

  static get(url: string): Request {
    return new Request("GET", url);
  }

  static post(url: string): Request {
    return new Request("POST", url);
  }

  static put(url: string): Request {
    return new Request("PUT", url);
  }

  static patch(url: string): Request {
    return new Request("PATCH", url);
  }

  static delete(url: string): Request {
    return new Request("DELETE", url);
  }

  /** RFC 7617; either may be a sealed reference. */
  basic(user: string, password: string): this {
    this.authorization = { tag: "basic", val: [user, password] };
    return this;
  }

  /** RFC 6750; a sealed reference. */
  bearer(token: string): this {
    this.authorization = { tag: "bearer", val: token };
    return this;
  }

  /** A header that carries a credential; may be called more than once. */
  credentialHeader(name: string, value: string): this {
    const before = this.authorization.tag === "headers" ? this.authorization.val : [];
    this.authorization = { tag: "headers", val: [...before, { name, value }] };
    return this;
  }

  /** A token that the runtime signs with a sealed key; it adds `iat`, `exp` and `jti` to the claims. */
  jwt(algorithm: contract.JwtAlgorithm, key: string, claims: unknown, lifetimeS: number): this {
    this.authorization = { tag: "jwt", val: { algorithm, key, claims: JSON.stringify(claims), lifetimeS } };
    return this;
  }

  header(name: string, value: string): this {
    this.headers.push({ name, value });
    return this;
  }

  /** Adds parameters to the URL. */
  query(parameters: Iterable<readonly [string, string]> | Record<string, string>): this {
    this.url += (this.url.includes("?") ? "&" : "?") + encodeForm(parameters);
    return this;
  }

  /** A form as the body, with its content type. */
  form(parameters: Iterable<readonly [string, string]> | Record<string, string>): this {
    this.body = utf8(encodeForm(parameters));
    return this.header("content-type", "application/x-www-form-urlencoded");
  }

  /** JSON as the body, with its content type. Members are written in the order in which they stand. */
  json(value: unknown): this {
    this.body = utf8(JSON.stringify(value));
    return this.header("content-type", "application/json");
  }
}

/** What a carrier answered, and what a webhook is answered with. */
export class Response implements contract.Response {
  constructor(
    readonly status: number,
    readonly headers: contract.Header[] = [],
    readonly body: Uint8Array = new Uint8Array(0),
  ) {}

  /** A status and nothing else. */
  static empty(status: number): Response {
    return new Response(status);
  }

  /** Status 200 with an XML document. */
  static xml(document: string): Response {
    return withBody("application/xml", document);
  }

  /** Status 200 with JSON. */
  static json(value: unknown): Response {
    return withBody("application/json", JSON.stringify(value));
  }

  /** Status 200 with plain text. */
  static text(text: string): Response {
    return withBody("text/plain; charset=utf-8", text);
  }

  /** A status from 200 to 299. */
  get ok(): boolean {
    return this.status >= 200 && this.status <= 299;
  }

  /** The first header of this name, whatever its case. */
  header(name: string): string | undefined {
    return findHeader(this.headers, name);
  }

  /** The body as text; undefined when it is not UTF-8. */
  text(): string | undefined {
    return fromUtf8(this.body) ?? undefined;
  }

  /** The body as JSON; undefined when it is something else. Look at what you got before you use it. */
  json(): JsonValue | undefined {
    return parseJson(this.body);
  }

  /** This response when it is a success, and the failure that its status stands for otherwise. */
  require(): this {
    if (this.ok) return this;
    throw failureOfStatus(this.status);
  }

  /** The body as JSON that `is` what was expected, and a failure of the carrier otherwise. */
  read<T extends JsonValue>(is: (value: JsonValue | undefined) => value is T): T {
    const value = this.json();
    if (is(value)) return value;
    throw unexpectedAnswer("the body has another shape");
  }
}

function withBody(contentType: string, body: string): Response {
  return new Response(200, [{ name: "content-type", value: contentType }], utf8(body));
}

export function findHeader(headers: contract.Header[], name: string): string | undefined {
  const wanted = name.toLowerCase();
  return headers.find((header) => header.name.toLowerCase() === wanted)?.value;
}

/**
 * A URL with identifiers as segments of its path, each of them percent-encoded.
 *
 * Throws a failure when a segment is empty or made of dots, which would lead elsewhere.
 */
export function joinPath(base: string, ...segments: string[]): string {
  return segments.reduce(
    (url, segment) => {
      if (segment === "" || segment === "." || segment === "..") throw unusable();
      return `${url}/${percentEncode(segment)}`;
    },
    base.replace(/\/+$/, ""),
  );
}

function unusable(): Failure {
  return failure("request", "identifier-unusable", "An identifier cannot be part of a web address.");
}

/** `application/x-www-form-urlencoded` as browsers write it: blanks are plus signs, and `*` stays. */
function encodeForm(parameters: Iterable<readonly [string, string]> | Record<string, string>): string {
  const pairs = Symbol.iterator in parameters ? parameters : Object.entries(parameters);
  const encode = (text: string): string =>
    percentEncode(text).replaceAll("%20", "+").replaceAll("%2A", "*").replaceAll("~", "%7E");
  return [...pairs].map(([name, value]) => `${encode(name)}=${encode(value)}`).join("&");
}
