"""Connecting a caller with somebody else. The runtime keeps the state of a transfer and counts its time."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from wit_world.exports import transfer as wit
from wit_world.exports.transfer import TransferState
from wit_world.imports.types import HangUpOutcome

from .call import Call, CallbackOutcome, Placed, route_url
from .failure import Failure
from .io import Io
from .text import read_json
from .webhook import Webhook


@dataclass
class TransferLeg(wit.TransferLeg):
    """The second leg of a transfer."""

    def route(self, name: str) -> str:
        """The URL of one of the provider's own routes for this transfer."""
        return route_url(self.routes, name)

    def carrier_id(self) -> str:
        """The carrier's identifier of this leg, for operations that only make sense when the carrier knows it."""
        if self.provider_call_id is None:
            raise Failure.internal("leg-id-missing", "The carrier's identifier of the leg is not known.")
        return self.provider_call_id

    def attached(self) -> Any:
        """What the provider attached to the leg so far, if anything."""
        return None if self.attachment is None else read_json(self.attachment)


class Transfer(ABC):
    """The ability to transfer calls: these functions say how the carrier does it."""

    @abstractmethod
    def dial_destination(self, config: Any, call: Call, leg: TransferLeg, io: Io) -> Placed:
        """Dials the destination. The leg may answer before the carrier has answered this request."""

    @abstractmethod
    def connect(self, config: Any, call: Call, leg: TransferLeg, io: Io) -> None:
        """The destination answered: joins the caller to it, away from the media socket."""

    @abstractmethod
    def cancel(self, config: Any, call: Call, leg: TransferLeg, io: Io) -> HangUpOutcome:
        """Ends the second leg. That it had ended already is a success."""

    @abstractmethod
    def handle_transfer_callback(
        self, config: Any, route: str, call: Call, leg: TransferLeg, webhook: Webhook, io: Io
    ) -> CallbackOutcome:
        """What a genuine webhook at a route of purpose ``transfer`` means for the second leg."""


__all__ = ["HangUpOutcome", "Placed", "Transfer", "TransferLeg", "TransferState"]
