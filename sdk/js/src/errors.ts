// What the contract calls an error is thrown. Each of these carries the value that the runtime gets.

import type * as contract from "./contract.ts";

/** Why an operation has no answer yet, or has none at all. */
export abstract class Interrupted extends Error {
  abstract readonly interruption: contract.Interruption;
}

/** The operation goes on when this has been done. Thrown by `Io`; let it pass. */
export class Perform extends Interrupted {
  constructor(readonly effect: contract.Effect) {
    super(`perform ${effect.tag}`);
  }

  get interruption(): contract.Interruption {
    return { tag: "perform", val: this.effect };
  }
}

/** Whether a failure may pass by itself, and who can mend it, where that differs from what its kind usually means. */
export interface FailureOptions {
  retryable?: boolean;
  owner?: contract.FailureOwner;
}

/** An operation that cannot succeed, with whose fault it is. Made by `failure`. */
export class Failure extends Interrupted {
  readonly kind: contract.FailureKind;
  readonly code: string;
  readonly retryable: boolean;
  readonly owner: contract.FailureOwner;

  constructor(kind: contract.FailureKind, code: string, message: string, options: FailureOptions = {}) {
    super(message);
    this.kind = kind;
    this.code = code;
    this.retryable = options.retryable ?? kind === "carrier";
    this.owner = options.owner ?? (kind === "carrier" || kind === "internal" ? "operator" : "user");
  }

  get failure(): contract.Failure {
    const { kind, code, message, retryable, owner } = this;
    return { kind, code, message, retryable, owner };
  }

  get interruption(): contract.Interruption {
    return { tag: "failed", val: this.failure };
  }
}

/**
 * An error to throw from an operation.
 *
 * The code is stable, short and in kebab case, without the provider's name. The message is one sentence for the user: what
 * happened and what helps, without secrets and without phone numbers. A failure of kind `carrier` is retryable unless it is
 * said otherwise, and one of kind `carrier` or `internal` concerns the operator.
 */
export function failure(
  kind: contract.FailureKind,
  code: string,
  message: string,
  options?: FailureOptions,
): Failure {
  return new Failure(kind, code, message, options);
}

/** The failure that an HTTP status stands for, when it is not the success that the carrier documents. */
export function failureOfStatus(status: number): Failure {
  if (status === 401 || status === 403) {
    return failure(
      "configuration",
      "credentials-refused",
      `The carrier refused the credentials (HTTP ${status}); check them in the configuration.`,
    );
  }
  if (status === 402) {
    return failure("quota", "no-balance", "The carrier asks for payment (HTTP 402); check the account's balance.");
  }
  if (status === 429) {
    return failure("quota", "rate-limited", "The carrier limits the rate of requests (HTTP 429); try again later.", {
      retryable: true,
    });
  }
  if (status === 408 || (status >= 500 && status <= 599)) {
    return failure(
      "carrier",
      "carrier-error",
      `The carrier could not process the request (HTTP ${status}); try again later.`,
    );
  }
  if (status >= 400 && status <= 499) {
    return failure(
      "request",
      "request-refused",
      `The carrier refused the request (HTTP ${status}); check the number and the settings that it is about.`,
    );
  }
  if (status >= 300 && status <= 399) {
    return failure(
      "configuration",
      "redirected",
      `The carrier answered with a redirect (HTTP ${status}); check the configured address.`,
    );
  }
  return unexpectedAnswer(`HTTP ${status}`);
}

/** The carrier answered something that its documentation does not have. */
export function unexpectedAnswer(what: string): Failure {
  return failure("carrier", "unexpected-answer", `The carrier's answer was not understood (${what}); try again later.`);
}

/** Why a webhook cannot be genuine. Made by `rejection`. */
export class Rejection extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** An error to throw from `verifySignature`: a code in kebab case, and what is missing and where to look, never a value. */
export function rejection(code: string, message: string): Rejection {
  return new Rejection(code, message);
}

/** What is wrong with the fields of a configuration. Made by `problem`. */
export class FieldProblems extends Error {
  constructor(readonly problems: contract.FieldProblem[]) {
    super(problems.map(({ field, problem }) => `${field}: ${problem}`).join("\n"));
  }
}

/** An error to throw from `configLoader`: what is wrong with a field, and what to enter, never its value. */
export function problem(field: string, text: string): FieldProblems {
  return new FieldProblems([{ field, problem: text }]);
}

/** Why a frame cannot be sent. Made by `frameProblem`. */
export class FrameError extends Error {
  constructor(readonly problem: contract.FrameProblem) {
    super(problem);
  }
}

/** An error to throw from `serializeFrame`. */
export function frameProblem(what: contract.FrameProblem): FrameError {
  return new FrameError(what);
}
