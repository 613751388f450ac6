"""Example Telecom as a Strowger provider: the sample of the Python SDK.

The carrier exists on paper only (``sdk/README.md``); the samples of the other languages integrate the same one and give the
same bytes. This module has the provider itself; ``webhooks`` reads what the carrier posts, ``stream`` wraps audio for its
media socket, ``api`` uses its REST API.
"""

import re
from dataclasses import dataclass
from typing import Any

import api
import webhooks
from stream import MediaStream
from strowger_sdk import (
    Answered,
    Call,
    CallbackOutcome,
    Encoding,
    Failure,
    Field,
    FieldProblem,
    InvalidCredentials,
    Io,
    MediaAddress,
    MediaProfile,
    Proof,
    Provider,
    ProviderSpec,
    Recognition,
    RejectionReason,
    Response,
    Route,
    Sealed,
    Webhook,
    WireFormat,
    xml_escape,
)
from strowger_sdk.calling import Calling, Cost, HangUpOutcome, Outbound, Placed, StatusReport
from strowger_sdk.numbers import (
    Numbers,
    Ownership,
    Synchronisation,
    Synchronisation_Done,
    Synchronisation_LeftAlone,
    Synchronisation_Unchanged,
)

# What is made while this module is imported is there in every instance, and costs no call anything.
ACCOUNT = re.compile("[A-Z0-9]{4,32}")
AMOUNT = re.compile(r"[0-9]+(\.[0-9]+)?")
CURRENCY = re.compile("[A-Z]{3}")


@dataclass
class Config:
    """What every operation gets. The two secrets are references that stand for them."""

    account: str
    api_key: Sealed
    signing_secret: Sealed


class ExampleTelecom(Provider, Calling, Numbers):
    config_type = Config
    leg_type = MediaStream

    def spec(self) -> ProviderSpec:
        return ProviderSpec(
            "example-telecom",
            "Example Telecom",
            "0.1.0",
            fields=[
                Field.text("account", "Account", required=True),
                Field.password("api_key", "API key", required=True, sensitive=True),
                Field.password("signing_secret", "Signing secret", required=True, sensitive=True),
            ],
            account_id_field="account",
            media=MediaProfile([WireFormat(Encoding.PCMU, 8000), WireFormat(Encoding.L16_LE, 16000)], echoes_marks=True),
            routes=[Route.answer("answer"), Route.callback("status")],
            egress_hosts=["api.example-telecom.example"],
        )

    def config_loader(self, credentials: dict[str, Any]) -> Config:
        account = credentials.get("account")
        if not isinstance(account, str) or not ACCOUNT.fullmatch(account):
            problem = "An account is 4 to 32 capital letters and digits, as shown in the portal."
            raise InvalidCredentials(FieldProblem("account", problem))
        config: Config = super().config_loader(credentials)
        return config

    def recognise(self, webhook: Webhook) -> Recognition | None:
        return webhooks.recognise(webhook)

    def verify_signature(self, config: Config, webhook: Webhook) -> list[Proof]:
        return [webhooks.proof(config.signing_secret, webhook)]

    def handle_callback(self, config: Config, route: str, call: Call, webhook: Webhook, io: Io) -> CallbackOutcome:
        return webhooks.read_status(webhook)

    def answer_markup(self, config: Config, call: Call, media: MediaAddress, webhook: Webhook | None, io: Io) -> Answered:
        response = markup(f'<Stream url="{xml_escape(media.url)}"/>')
        return Answered(response, webhooks.identified(call, webhook) if webhook else [])

    def rejection_markup(self, reason: RejectionReason) -> Response:
        word = REJECTIONS.get(reason, "rejected")
        return markup(f'<Reject reason="{word}"/>')

    # Calling

    def place_call(self, config: Config, call: Call, outbound: Outbound, io: Io) -> Placed:
        if outbound.caller_id is None:
            raise Failure.request("caller-id-missing", "A call needs a number to call from.")
        status_url = next((route.url for route in call.routes if route.name == "status"), None)
        if outbound.answer_url is None or status_url is None:
            raise Failure.internal("route-missing", "The gateway gave no URL for a route.")
        new_call = {
            "from": outbound.caller_id,
            "to": call.callee,
            "answer_url": outbound.answer_url,
            "status_url": status_url,
            "ring_timeout_s": outbound.ring_timeout_s,
        }
        answer = api.send(config, io, "POST", ["calls"], new_call)
        if answer.status != 201:
            raise api.refusal(answer)
        match api.read(answer):
            case {"call": str(call_id)} if call_id:
                return Placed(call_id)
        raise api.unusable(answer)

    def hang_up(self, config: Config, call: Call, io: Io) -> HangUpOutcome:
        answer = api.send(config, io, "DELETE", ["calls", api.call_id(call)])
        if answer.status in (404, 409):
            return HangUpOutcome.ALREADY_ENDED
        if not 200 <= answer.status < 300:
            raise api.refusal(answer)
        return HangUpOutcome.ENDED

    def fetch_status(self, config: Config, call: Call, io: Io) -> StatusReport:
        answer, body = api.fetch_call(config, call, io)
        status = webhooks.call_status(body.get("status"))
        if status is None:
            raise api.unusable(answer)
        return StatusReport(status, webhooks.milliseconds(body.get("duration_s")))

    def fetch_cost(self, config: Config, call: Call, io: Io) -> Cost | None:
        answer, body = api.fetch_call(config, call, io)
        match body.get("cost"):
            case None:
                return None
            case {"amount": str(amount), "currency": str(currency), "seconds": seconds}:
                price = AMOUNT.fullmatch(amount) and CURRENCY.fullmatch(currency)
                if price and webhooks.is_whole(seconds):
                    return Cost(amount, currency, seconds)
        raise api.unusable(answer)

    # Numbers

    def validate_number(self, config: Config, address: str, io: Io) -> Ownership:
        if not address.startswith("+"):
            return Ownership.NOT_APPLICABLE
        answer = api.send(config, io, "GET", ["numbers", address])
        match answer.status:
            case 200:
                return Ownership.OWNED
            case 404:
                return Ownership.NOT_OWNED
        raise api.refusal(answer)

    def configure_inbound(self, config: Config, address: str, webhook_url: str, attach: bool, io: Io) -> Synchronisation:
        if not address.startswith("+"):
            return Synchronisation_LeftAlone("Only E.164 numbers are set at the carrier.")
        answer = api.send(config, io, "GET", ["numbers", address])
        if answer.status == 404 and not attach:
            return Synchronisation_Unchanged()
        if answer.status != 200:
            raise api.number_refusal(answer)
        pointed_at = api.read(answer).get("webhook_url")
        if not isinstance(pointed_at, str | None):
            raise api.unusable(answer)
        # Attached already, or pointing elsewhere, which is for somebody else to change.
        if (pointed_at == webhook_url) == attach:
            return Synchronisation_Unchanged()
        setting = {"webhook_url": webhook_url if attach else None}
        answer = api.send(config, io, "PUT", ["numbers", address], setting)
        if answer.status == 404 and not attach:
            return Synchronisation_Unchanged()
        if not 200 <= answer.status < 300:
            raise api.number_refusal(answer)
        return Synchronisation_Done()


# Strangers learn nothing but whether to try again.
REJECTIONS = {
    RejectionReason.UNKNOWN_NUMBER: "unallocated",
    RejectionReason.AT_CAPACITY: "busy",
    RejectionReason.QUOTA: "unavailable",
    RejectionReason.UNAVAILABLE: "unavailable",
}


def markup(instruction: str) -> Response:
    """The carrier's XML."""
    return Response.xml(f'<?xml version="1.0" encoding="UTF-8"?><Response>{instruction}</Response>')
