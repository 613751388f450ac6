// The XML that answers a call, or refuses it.

import { Response, type contract, xmlEscape } from "@strowger/sdk";

/** Connects the call to the media socket. */
export function stream(url: string): Response {
  return xml(`<Stream url="${xmlEscape(url)}"/>`);
}

/** Strangers learn nothing but whether to try again. */
export function reject(reason: contract.RejectionReason): Response {
  return xml(`<Reject reason="${wordFor(reason)}"/>`);
}

function wordFor(reason: contract.RejectionReason): string {
  switch (reason) {
    case "unknown-number":
      return "unallocated";
    case "at-capacity":
      return "busy";
    case "quota":
    case "unavailable":
      return "unavailable";
    default:
      return "rejected";
  }
}

function xml(element: string): Response {
  return Response.xml(`<?xml version="1.0" encoding="UTF-8"?><Response>${element}</Response>`);
}
