"""The envelopes of the media socket: WebSocket messages into events, frames into WebSocket messages."""

from dataclasses import dataclass, field

from wit_world.exports import media as wit
from wit_world.exports.media import FrameProblem, MediaEvent, MediaEvent_Malformed, Message, Message_Text

from .text import to_base64


@dataclass
class Started(wit.Started):
    """The stream is set up; in the first format of the profile each way, unless it says otherwise."""

    provider_call_id: str | None = None
    stream_id: str | None = None
    receive_format: int | None = None
    send_format: int | None = None
    parameters: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class AudioFrame(wit.AudioFrame):
    """A piece of the caller's audio, in the receive format."""

    sequence: int | None = None
    timestamp_ms: int | None = None


class FrameRefused(Exception):
    """A frame for which there is no message. Raised by ``serialize_frame``."""

    def __init__(self, problem: FrameProblem) -> None:
        super().__init__(problem.name)
        self.problem = problem


class AudioEnvelope:
    """An outgoing message with audio: what stands before and after the base64 does not change during a stream.

    For example ``{"event":"media","payload":"`` and ``"}``.
    """

    def __init__(self, before: str, after: str) -> None:
        self._before = before
        self._after = after

    def wrap(self, payload: bytes) -> Message:
        """The message with this payload."""
        return Message_Text(self._before + to_base64(payload) + self._after)


def malformed(what: str) -> list[MediaEvent]:
    """A message that could not be read: what was wrong, at most 100 characters, never its content."""
    return [MediaEvent_Malformed(what)]
