"""Placing calls, steering them and asking about them over the carrier's API."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from wit_world.exports import calling as wit
from wit_world.exports.calling import Cost, Outbound
from wit_world.imports.types import HangUpOutcome

from .call import Call, Placed
from .io import Io


@dataclass
class StatusReport(wit.StatusReport):
    """What the carrier thinks of a call."""

    duration_ms: int | None = None


class Calling(ABC):
    """The ability to place calls. ``call-not-found`` is the code of a failure that counts as a call's end."""

    @abstractmethod
    def place_call(self, config: Any, call: Call, outbound: Outbound, io: Io) -> Placed:
        """Dials ``call.callee``."""

    @abstractmethod
    def hang_up(self, config: Any, call: Call, io: Io) -> HangUpOutcome:
        """Ends the call at the carrier. That it had ended already is a success."""

    @abstractmethod
    def fetch_status(self, config: Any, call: Call, io: Io) -> StatusReport:
        """What the carrier thinks of the call."""

    @abstractmethod
    def fetch_cost(self, config: Any, call: Call, io: Io) -> Cost | None:
        """What the call cost; None while the carrier has not rated it."""


__all__ = ["Calling", "Cost", "HangUpOutcome", "Outbound", "Placed", "StatusReport"]
