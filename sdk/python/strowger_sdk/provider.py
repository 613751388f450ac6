"""What an author implements. The functions are those of the contract, with ``config`` read and effects behind ``io``."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from wit_world.exports.answer import RejectionReason
from wit_world.exports.media import MediaEvent, MediaFrame, Message
from wit_world.exports.webhook import Recognition
from wit_world.imports.types import MediaAddress

from .call import Answered, Call, CallbackOutcome
from .config import missing, read_config
from .http import Response
from .io import Io
from .spec import FieldProblem, InvalidCredentials, ProviderSpec
from .webhook import Proof, Webhook


class Leg(ABC):
    """The media of one call: envelopes only.

    It may be dropped and made again at any time, and then gets the carrier's messages up to the one that yielded
    ``started``.
    """

    @abstractmethod
    def __init__(self, config: Any, call: Call) -> None: ...

    @abstractmethod
    def deserialize_frame(self, message: Message) -> list[MediaEvent]:
        """What a message of the carrier means; at most 64 events."""

    @abstractmethod
    def serialize_frame(self, frame: MediaFrame) -> list[Message]:
        """Messages to send, in order; at most 4. Raises :class:`FrameRefused`."""


class Provider(ABC):
    """A telephone carrier. Every function is pure: the same arguments and replies give the same answer."""

    #: What ``config`` is: a dataclass, or a dict.
    config_type: ClassVar[type] = dict
    #: The media of one call.
    leg_type: ClassVar[type[Leg]]

    @abstractmethod
    def spec(self) -> ProviderSpec:
        """Static: read once when the component is loaded."""

    def config_loader(self, credentials: dict[str, Any]) -> Any:
        """Turns validated credentials into the configuration; raises :class:`InvalidCredentials`."""
        if names := missing(self.config_type, credentials):
            raise InvalidCredentials(*(FieldProblem(name, "This is needed.") for name in names))
        return read_config(self.config_type, credentials)

    @abstractmethod
    def recognise(self, webhook: Webhook) -> Recognition | None:
        """Whether a webhook at the common dispatcher is this carrier's, and what it claims. Nothing is verified yet."""

    @abstractmethod
    def verify_signature(self, config: Any, webhook: Webhook) -> list[Proof]:
        """Describes what must hold for the webhook to be genuine: one of the proofs. Raises :class:`Rejection`."""

    @abstractmethod
    def handle_callback(self, config: Any, route: str, call: Call, webhook: Webhook, io: Io) -> CallbackOutcome:
        """What a genuine webhook means for its call. ``route`` is a route's name, or ``inbound`` for the dispatcher."""

    @abstractmethod
    def answer_markup(self, config: Any, call: Call, media: MediaAddress, webhook: Webhook | None, io: Io) -> Answered:
        """Connects an inbound call, or an answered outbound call, to the media socket."""

    @abstractmethod
    def rejection_markup(self, reason: RejectionReason) -> Response:
        """A refusal that needs no configuration. Its words must not tell a stranger how the gateway is set up."""

    def reject_call(self, config: Any, call: Call, reason: RejectionReason, io: Io) -> Response:
        """Refuses a call whose webhook was genuine."""
        return self.rejection_markup(reason)
