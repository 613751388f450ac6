// Numbers over the REST API.

import { type Io, type contract, failure } from "@strowger/sdk";

import { type Config, read, refusal, send, unusable } from "./api.ts";

export function validateNumber(config: Config, address: string, io: Io): contract.Ownership {
  if (!address.startsWith("+")) return "not-applicable";
  const answer = send(config, io, "GET", ["numbers", address]);
  if (answer.status === 200) return "owned";
  if (answer.status === 404) return "not-owned";
  throw refusal(answer);
}

export function configureInbound(
  config: Config,
  address: string,
  webhookUrl: string,
  attach: boolean,
  io: Io,
): contract.Synchronisation {
  if (!address.startsWith("+")) {
    return { tag: "left-alone", val: "Only E.164 numbers are set at the carrier." };
  }
  const answer = send(config, io, "GET", ["numbers", address]);
  if (answer.status === 404) return notFound(attach);
  if (answer.status !== 200) throw refusal(answer);
  const target = read(answer)["webhook_url"] ?? null;
  if (target !== null && typeof target !== "string") throw unusable(answer);
  if ((target === webhookUrl) === attach) return { tag: "unchanged" };

  const changed = send(config, io, "PUT", ["numbers", address], { webhook_url: attach ? webhookUrl : null });
  if (changed.ok) return { tag: "done" };
  if (changed.status === 404) return notFound(attach);
  throw refusal(changed);
}

/** What is not there points nowhere, so detaching it is done already. */
function notFound(attach: boolean): contract.Synchronisation {
  if (attach) throw failure("request", "number-not-found", "The account does not own this number.");
  return { tag: "unchanged" };
}
