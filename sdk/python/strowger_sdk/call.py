"""What an operation knows about its call, and what it says about it."""

from dataclasses import dataclass, field
from typing import Any

from wit_world.exports import answer
from wit_world.imports import types

from .failure import Failure
from .text import read_json

# The contract's bound on the cause of a status, in characters.
_CAUSE_CHARS_MAX = 100


def route_url(routes: list[types.RouteUrl], name: str) -> str:
    """The URL of one of the provider's own routes. Its absence is a mistake in the specification."""
    for route in routes:
        if route.name == name:
            return route.url
    raise Failure.internal("route-missing", f"The gateway gave no URL for the route {name}.")


@dataclass
class Call(types.Call):
    """The call that an operation serves."""

    def route(self, name: str) -> str:
        """The URL of one of the provider's own routes for this call."""
        return route_url(self.routes, name)

    def carrier_id(self) -> str:
        """The carrier's identifier, for operations that only make sense when the carrier knows the call."""
        if self.provider_call_id is None:
            raise Failure.internal("call-id-missing", "The carrier's identifier of the call is not known.")
        return self.provider_call_id

    def attached(self) -> Any:
        """What the provider attached to the call so far, if anything."""
        return None if self.attachment is None else read_json(self.attachment)


@dataclass
class StatusEvent(types.StatusEvent):
    """A call's new status. A cause that exceeds the contract's bound is cut."""

    duration_ms: int | None = None
    cause: str | None = None

    def __post_init__(self) -> None:
        self.cause = self.cause[:_CAUSE_CHARS_MAX] if self.cause else None


@dataclass
class CallbackOutcome(types.CallbackOutcome):
    """What a callback means, and what to answer the carrier."""


@dataclass
class Answered(answer.Answered):
    """How a call is answered, and what its webhook told on the way."""

    events: list[types.CallEvent] = field(default_factory=list)


@dataclass
class Placed(types.Placed):
    """A leg that the carrier agreed to dial. ``attachment`` is JSON text."""

    attachment: str | None = None
