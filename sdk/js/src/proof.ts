// Describing how a webhook may be genuine. The runtime evaluates it; no secret comes here.

import type * as contract from "./contract.ts";
import { utf8 } from "./text.ts";

/** A piece of a signed message: bytes, text that stands for its UTF-8 bytes, or `secret(reference)`. */
export type Piece = Uint8Array | string | contract.Segment;

/**
 * The key behind a sealed reference. `encoding` says how the secret writes down the key's bytes: as they are (`utf8`), in
 * `base64` or in `hex`.
 */
export function sealed(reference: string, encoding: contract.KeyEncoding = "utf8"): contract.SealedKey {
  return { reference, encoding };
}

/** The secret behind a sealed reference, as a piece of a signed message. */
export function secret(reference: string): contract.Segment {
  return { tag: "sealed", val: reference };
}

/** A way in which a webhook may be genuine: all of its checks hold. */
export class Proof implements contract.Proof {
  readonly checks: contract.Check[] = [];

  /** The label tells a user which way of signing this is: `sha1, url with port`. */
  constructor(readonly label: string) {}

  check(check: contract.Check): this {
    this.checks.push(check);
    return this;
  }

  /** RFC 2104 over the pieces in order; `expected` is the decoded signature. */
  hmac(hash: contract.Hash, key: contract.SealedKey, message: Piece[], expected: Uint8Array): this {
    return this.check({ tag: "hmac", val: { hash, key, message: message.map(segment), expected } });
  }

  /** A plain digest: proves nothing alone, only ties a part of the webhook to what another check signs. */
  digest(hash: contract.Hash, message: Piece[], expected: Uint8Array): this {
    return this.check({ tag: "digest", val: { hash, message: message.map(segment), expected } });
  }

  /** RFC 8032: 32 bytes of public key, 64 bytes of signature. */
  ed25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): this {
    return this.check({ tag: "ed25519", val: { publicKey, message, signature } });
  }

  /** The carrier presents the secret itself. */
  equals(reference: string, presented: string | Uint8Array): this {
    return this.check({ tag: "equals", val: { sealed: reference, presented: bytes(presented) } });
  }

  /** Holds for the first webhook with this key, and for its exact repetitions, for so many milliseconds. */
  once(key: string, ttlMs: number): this {
    return this.check({ tag: "once", val: { key, ttlMs } });
  }
}

function segment(piece: Piece): contract.Segment {
  return typeof piece === "object" && "tag" in piece ? piece : { tag: "bytes", val: bytes(piece) };
}

function bytes(piece: string | Uint8Array): Uint8Array {
  return typeof piece === "string" ? utf8(piece) : piece;
}
