"""What the carrier posts: whose it is, whether it is genuine, what it says."""

import re
from typing import Any

from strowger_sdk import (
    Call,
    CallbackOutcome,
    CallEvent,
    CallEvent_Identified,
    CallEvent_Status,
    CallReference,
    CallStatus,
    InboundCall,
    Proof,
    Recognition,
    Recognition_Event,
    Recognition_InboundCall,
    Rejection,
    Response,
    Sealed,
    StatusEvent,
    Webhook,
    read_hex,
)

# How far the carrier's clock and ours may differ, and how long a signature is remembered.
AGE_MS_MAX = 300_000
SIGNATURE_TTL_MS = 600_000

TIMESTAMP = re.compile("[0-9]{1,12}")
SIGNATURE = re.compile("[0-9A-Fa-f]{64}")

STATUSES = {
    "queued": CallStatus.INITIATED,
    "ringing": CallStatus.RINGING,
    "in-progress": CallStatus.IN_PROGRESS,
    "completed": CallStatus.COMPLETED,
    "busy": CallStatus.BUSY,
    "no-answer": CallStatus.NO_ANSWER,
    "failed": CallStatus.FAILED,
    "canceled": CallStatus.CANCELED,
}


def recognise(webhook: Webhook) -> Recognition | None:
    body = read(webhook)
    if body is None or webhook.header("x-example-signature") is None:
        return None
    match body:
        case {"event": "call.incoming", "account": str(account), "call": str(call), "from": str(caller), "to": str(callee)}:
            countries = text(body, "from_country"), text(body, "to_country")
            return Recognition_InboundCall(InboundCall(call, caller, callee, *countries, account))
        case {"event": "call.incoming"}:
            return None
        case {"event": str(event), "account": str(account), "call": str(call)} if event.startswith("call."):
            return Recognition_Event(CallReference(call, account))
    return None


def proof(secret: Sealed, webhook: Webhook) -> Proof:
    """The signature is an HMAC over the time, the URL and the body, and holds once."""
    timestamp = webhook.header("x-example-timestamp")
    signature = webhook.header("x-example-signature")
    if timestamp is None or signature is None:
        raise Rejection("signature-missing", "The webhook has no signature.")
    if not TIMESTAMP.fullmatch(timestamp) or abs(webhook.received_at - int(timestamp) * 1000) > AGE_MS_MAX:
        raise Rejection("timestamp-expired", "The webhook is older than five minutes, or from the future.")
    if not SIGNATURE.fullmatch(signature):
        raise Rejection("signature-malformed", "The signature is not 64 hexadecimal digits.")
    message = [f"{timestamp}.{webhook.url}.".encode(), webhook.body]
    return Proof("hmac").hmac_sha256(secret, message, read_hex(signature)).once(signature.lower(), SIGNATURE_TTL_MS)


def read_status(webhook: Webhook) -> CallbackOutcome:
    body = read(webhook)
    if body is None:
        return CallbackOutcome([], Response.empty(400))
    status = call_status(body.get("status"))
    events: list[CallEvent] = []
    if status is not None:
        event = StatusEvent(status, milliseconds(body.get("duration_s")), text(body, "cause"))
        events.append(CallEvent_Status(event))
    return CallbackOutcome(events, Response.empty(204))


def identified(call: Call, webhook: Webhook) -> list[CallEvent]:
    """The carrier's identifier of the call, when it is news."""
    call_id = text(read(webhook) or {}, "call")
    return [CallEvent_Identified(call_id)] if call_id and call_id != call.provider_call_id else []


def read(webhook: Webhook) -> dict[str, Any] | None:
    """The JSON object in a webhook."""
    try:
        body = webhook.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) else None


def call_status(word: Any) -> CallStatus | None:
    return STATUSES.get(word) if isinstance(word, str) else None


def milliseconds(seconds: Any) -> int | None:
    return seconds * 1000 if is_whole(seconds) else None


def is_whole(number: Any) -> bool:
    """An integer of 32 bits; for Python, true is a number too."""
    return type(number) is int and 0 <= number < 1 << 32
