"""{{display_name}} as a Strowger provider.

A carrier that is made up, small and whole: JSON webhooks that an HMAC signs, XML that opens the media socket, JSON messages
with base64 audio. Put your carrier's words in the place of its words, one function after the other; `cases/` says what each
of them does, and `README.md` how to try that out.
"""

from dataclasses import dataclass
from typing import Any

from strowger_sdk import (
    Answered,
    AudioFrame,
    Call,
    CallbackOutcome,
    CallEvent,
    CallEvent_Status,
    CallReference,
    CallStatus,
    Encoding,
    Field,
    FrameProblem,
    FrameRefused,
    InboundCall,
    Io,
    Leg,
    MediaAddress,
    MediaEvent,
    MediaEvent_Audio,
    MediaEvent_Started,
    MediaEvent_Stopped,
    MediaFrame,
    MediaFrame_Audio,
    MediaFrame_Clear,
    MediaProfile,
    Message,
    Message_Text,
    Proof,
    Provider,
    ProviderSpec,
    Recognition,
    Recognition_Event,
    Recognition_InboundCall,
    Rejection,
    RejectionReason,
    Response,
    Route,
    Sealed,
    Started,
    StatusEvent,
    Webhook,
    WireFormat,
    malformed,
    read_base64,
    read_hex,
    read_json,
    to_base64,
    to_json,
    xml_escape,
)


@dataclass
class Config:
    """What every operation gets. A secret is a reference that stands for it."""

    account: str
    signing_secret: Sealed


class MediaStream(Leg):
    """The media of one call."""

    def __init__(self, config: Config, call: Call) -> None:
        self.started = False

    def deserialize_frame(self, message: Message) -> list[MediaEvent]:
        if not isinstance(message, Message_Text):
            return malformed("a binary message")
        try:
            document = read_json(message.value)
        except ValueError:
            return malformed("not JSON")
        match document:
            case {"event": "start", "call": str(call)}:
                self.started = True
                return [MediaEvent_Started(Started(provider_call_id=call))]
            case {"event": "media", "payload": str(payload)}:
                try:
                    return [MediaEvent_Audio(AudioFrame(read_base64(payload)))]
                except ValueError:
                    return malformed("the payload is not base64")
            case {"event": "stop"}:
                return [MediaEvent_Stopped(None)]
            case {"event": "start" | "media"}:
                return malformed("a field is missing or wrong")
        return []

    def serialize_frame(self, frame: MediaFrame) -> list[Message]:
        if not self.started:
            raise FrameRefused(FrameProblem.NOT_STARTED)
        match frame:
            case MediaFrame_Audio(payload):
                return [Message_Text(to_json({"event": "media", "payload": to_base64(payload)}))]
            case MediaFrame_Clear():
                return [Message_Text(to_json({"event": "clear"}))]
        raise FrameRefused(FrameProblem.UNSUPPORTED)


# To place calls, extend `Calling` of `strowger_sdk.calling` as well. The other abilities are `Detection`, `Numbers`,
# `Transfer`, `Setup`, `Trunks` and `Events`, each in a module of its name.
class NewProvider(Provider):
    config_type = Config
    leg_type = MediaStream

    def spec(self) -> ProviderSpec:
        return ProviderSpec(
            "{{name}}",
            "{{display_name}}",
            "0.1.0",
            fields=[
                Field.text("account", "Account", required=True),
                Field.password("signing_secret", "Signing secret", required=True, sensitive=True),
            ],
            account_id_field="account",
            media=MediaProfile([WireFormat(Encoding.PCMU, 8000)]),
            routes=[Route.callback("status")],
        )

    def recognise(self, webhook: Webhook) -> Recognition | None:
        if webhook.header("x-signature") is None:
            return None
        match read(webhook):
            case {"event": "incoming", "account": str(account), "call": str(call), "from": str(caller), "to": str(callee)}:
                return Recognition_InboundCall(InboundCall(call, caller, callee, account_id=account))
            case {"event": "status", "account": str(account), "call": str(call)}:
                return Recognition_Event(CallReference(call, account))
        return None

    def verify_signature(self, config: Config, webhook: Webhook) -> list[Proof]:
        try:
            signature = read_hex(webhook.header("x-signature") or "")
        except ValueError:
            signature = b""
        if len(signature) != 32:
            raise Rejection("signature-missing", "The webhook has no x-signature of 64 hexadecimal digits.")
        return [Proof("hmac").hmac_sha256(config.signing_secret, webhook.body, signature)]

    def handle_callback(self, config: Config, route: str, call: Call, webhook: Webhook, io: Io) -> CallbackOutcome:
        events: list[CallEvent] = []
        match read(webhook):
            case {"status": str(word)} if word in STATUSES:
                events.append(CallEvent_Status(StatusEvent(STATUSES[word])))
        return CallbackOutcome(events, Response.empty(204))

    def answer_markup(self, config: Config, call: Call, media: MediaAddress, webhook: Webhook | None, io: Io) -> Answered:
        return Answered(markup(f'<Stream url="{xml_escape(media.url)}"/>'))

    def rejection_markup(self, reason: RejectionReason) -> Response:
        word = "busy" if reason is RejectionReason.AT_CAPACITY else "rejected"
        return markup(f'<Reject reason="{word}"/>')


STATUSES = {
    "ringing": CallStatus.RINGING,
    "answered": CallStatus.IN_PROGRESS,
    "ended": CallStatus.COMPLETED,
    "failed": CallStatus.FAILED,
}


def read(webhook: Webhook) -> Any:
    """The JSON in a webhook, or None."""
    try:
        return webhook.json()
    except ValueError:
        return None


def markup(instruction: str) -> Response:
    """The carrier's XML."""
    return Response.xml(f'<?xml version="1.0" encoding="UTF-8"?><Response>{instruction}</Response>')
