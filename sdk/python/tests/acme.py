"""A provider for the tests: every ability, little sense."""

import json
from dataclasses import dataclass
from typing import Any

from strowger_sdk import (
    Answered,
    CallbackOutcome,
    Encoding,
    Leg,
    MediaProfile,
    Proof,
    Provider,
    ProviderSpec,
    Request,
    Response,
    Sealed,
    WireFormat,
    join_path,
)
from strowger_sdk.calling import Calling, HangUpOutcome, Placed
from strowger_sdk.detection import Detection, DetectionMode
from strowger_sdk.events import Events, Socket
from strowger_sdk.numbers import Numbers, Ownership, Synchronisation_LeftAlone
from strowger_sdk.setup import DetailGroup, Setup, Step
from strowger_sdk.transfer import Transfer
from strowger_sdk.trunks import Applied, Trunks


@dataclass
class Config:
    account: str
    token: Sealed


class AcmeLeg(Leg):
    def __init__(self, config: Config, call: Any) -> None:
        self.call = call

    def deserialize_frame(self, message: Any) -> Any:
        return [] if not message.value else json.loads(message.value)

    def serialize_frame(self, frame: Any) -> Any:
        return []


class Acme(Provider, Calling, Detection, Numbers, Transfer, Setup, Trunks, Events):
    config_type = Config
    leg_type = AcmeLeg

    def spec(self) -> Any:
        return ProviderSpec("acme", "Acme", "1.0.0", MediaProfile([WireFormat(Encoding.PCMU, 8000)]))

    def config_loader(self, credentials: Any) -> Any:
        credentials["account"].strip()
        return super().config_loader(credentials)

    def recognise(self, webhook: Any) -> Any:
        return None

    def verify_signature(self, config: Config, webhook: Any) -> Any:
        if webhook.url == "defect":
            raise KeyError(config.token)
        return [Proof("all").hmac_sha256(config.token, [b"a", config.token], b"b").equals(config.token, "c").once("d", 1)]

    def handle_callback(self, config: Any, route: Any, call: Any, webhook: Any, io: Any) -> Any:
        return CallbackOutcome([], Response.empty(204))

    def answer_markup(self, config: Any, call: Any, media: Any, webhook: Any, io: Any) -> Any:
        return Answered(Response.text(media.url))

    def rejection_markup(self, reason: Any) -> Any:
        return Response.text(reason.name)

    def place_call(self, config: Any, call: Any, outbound: Any, io: Any) -> Any:
        return Placed("C1")

    def hang_up(self, config: Any, call: Any, io: Any) -> Any:
        if io.load("greeting") is not None:
            return HangUpOutcome.ALREADY_ENDED
        io.claim("turn", 1000)
        url = join_path("https://api.example.com", "calls", call.carrier_id())
        answer = io.http(Request.delete(url).bearer(config.token)).require([200])
        io.save("greeting", answer.read_json(), 1000)
        return HangUpOutcome.ENDED

    def fetch_status(self, config: Any, call: Any, io: Any) -> Any:
        try:
            io.load("x")
        except Exception:
            raise AssertionError("nothing has failed") from None

    def fetch_cost(self, config: Any, call: Any, io: Any) -> Any:
        return {}[config.token]

    def detection_modes(self, config: Any) -> Any:
        return [DetectionMode.END_OF_GREETING]

    def detection_result(self, config: Any, webhook: Any) -> Any:
        return None

    def validate_number(self, config: Any, address: Any, io: Any) -> Any:
        return Ownership.NOT_APPLICABLE

    def configure_inbound(self, config: Any, address: Any, webhook_url: Any, attach: Any, io: Any) -> Any:
        return Synchronisation_LeftAlone("no")

    def dial_destination(self, config: Any, call: Any, leg: Any, io: Any) -> Any:
        return Placed(leg.route("leg"), '{"a":1}')

    def connect(self, config: Any, call: Any, leg: Any, io: Any) -> None:
        return None

    def cancel(self, config: Any, call: Any, leg: Any, io: Any) -> Any:
        return HangUpOutcome.ENDED

    def handle_transfer_callback(self, config: Any, route: Any, call: Any, leg: Any, webhook: Any, io: Any) -> Any:
        return CallbackOutcome([], Response.json(leg.attached()))

    def checklist(self, config: Any, facts: Any) -> Any:
        return [Step("a", "b", "c", facts.active_numbers > 0)]

    def connectivity_details(self, config: Any, urls: Any) -> Any:
        return [DetailGroup("a").detail("b", urls.media)]

    def trunk_fields(self) -> Any:
        return []

    def apply_trunk(self, config: Any, trunk: Any, io: Any) -> Any:
        return Applied("T1", trunk.settings)

    def remove_trunk(self, config: Any, trunk: Any, io: Any) -> None:
        return None

    def endpoint(self, config: Any) -> Any:
        return Socket("wss://a")

    def handle_event(self, config: Any, message: Any, received_at: Any, io: Any) -> Any:
        return []
