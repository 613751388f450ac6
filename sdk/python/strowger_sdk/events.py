"""A carrier that tells what happens over a socket which the gateway keeps open."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from wit_world.exports import events as wit
from wit_world.exports.events import (
    Directive,
    Directive_Answered,
    Directive_Call,
    Directive_InboundCall,
    Directive_Transfer,
    KnownCall,
    KnownTransfer,
)
from wit_world.imports import types

from .io import Io


@dataclass
class Socket(wit.Socket):
    """The socket to keep open, ``ws://`` or ``wss://`` at a host of ``egress_hosts``."""

    authorization: types.Authorization = field(default_factory=types.Authorization_None_)
    subprotocol: str | None = None


class Events(ABC):
    """The ability to hear of calls over a socket instead of webhooks."""

    @abstractmethod
    def endpoint(self, config: Any) -> Socket:
        """The socket. A failure that is not retryable parks the configuration until somebody reactivates it."""

    @abstractmethod
    def handle_event(self, config: Any, message: str, received_at: int, io: Io) -> list[Directive]:
        """What a message means. ``received_at`` is Unix time in milliseconds."""


__all__ = [
    "Directive",
    "Directive_Answered",
    "Directive_Call",
    "Directive_InboundCall",
    "Directive_Transfer",
    "Events",
    "KnownCall",
    "KnownTransfer",
    "Socket",
]
