// The REST API: requests of one account, and whose fault an answer is.

import {
  type Call,
  type Failure,
  type Io,
  type JsonObject,
  Request,
  type Response,
  failure,
  joinPath,
  parseObject,
} from "@strowger/sdk";

/** What every operation gets. The two secrets are references that stand for them. */
export interface Config {
  account: string;
  api_key: string;
  signing_secret: string;
}

const BASE = "https://api.example-telecom.example/v1/accounts";

/** Sends a request below the account and gives the answer, whatever its status. */
export function send(config: Config, io: Io, method: string, path: string[], body?: object): Response {
  const request = new Request(method, joinPath(BASE, config.account, ...path)).bearer(config.api_key);
  const answer = io.tryHttp(body === undefined ? request : request.json(body));
  if (answer === null) throw failure("carrier", "unreachable", "The carrier cannot be reached.");
  return answer;
}

/** The carrier's identifier of a call, which a path can hold. */
export function callId(call: Call): string {
  const id = call.providerCallId;
  if (id === null || id === "" || id === "." || id === "..") throw callNotFound();
  return id;
}

export function callNotFound(): Failure {
  return failure("request", "call-not-found", "The carrier does not know this call.");
}

/** The body of an answer. */
export function read(answer: Response): JsonObject {
  const body = parseObject(answer.body);
  if (body === undefined) throw unusable(answer);
  return body;
}

/** The failure that an answer's status stands for, unless an operation knows better. */
export function refusal(answer: Response): Failure {
  const { status } = answer;
  if (status === 401 || status === 403) {
    return failure("configuration", "unauthorized", "The carrier refuses the API key.");
  }
  if (status === 402) return failure("quota", "balance", "The account has no credit.");
  if (status === 429) {
    const options = { retryable: true, owner: "operator" } as const;
    return failure("quota", "rate-limited", "The carrier asks to slow down.", options);
  }
  if (status >= 400 && status <= 499) {
    return failure("request", "refused", `The carrier refused the request (HTTP ${status}).`);
  }
  return unusable(answer);
}

/** The carrier answered with what it does not document. */
export function unusable(answer: Response): Failure {
  return failure("carrier", "unexpected-answer", `The carrier's answer cannot be used (HTTP ${answer.status}).`);
}
