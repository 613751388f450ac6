"""The media socket: JSON messages, the audio in base64."""

from typing import Any

from strowger_sdk import (
    AudioEnvelope,
    AudioFrame,
    Call,
    FrameProblem,
    FrameRefused,
    Leg,
    MediaEvent,
    MediaEvent_Audio,
    MediaEvent_Dtmf,
    MediaEvent_Mark,
    MediaEvent_Started,
    MediaEvent_Stopped,
    MediaFrame,
    MediaFrame_Audio,
    MediaFrame_Clear,
    MediaFrame_Dtmf,
    MediaFrame_Mark,
    MediaFrame_Stop,
    Message,
    Message_Text,
    Started,
    malformed,
    read_base64,
    read_json,
    to_json,
)

KEYS = set("0123456789*#ABCD")
# Indices into the formats of the media profile.
FORMATS = {"pcmu": 0, "l16": 1}
# Larger numbers are not exact in JSON as many languages read it.
SEQUENCE_MAX = (1 << 53) - 1


class MediaStream(Leg):
    """The media stream of one call."""

    def __init__(self, config: Any, call: Call) -> None:
        self.stream: str | None = None
        self.audio = AudioEnvelope("", "")

    def deserialize_frame(self, message: Message) -> list[MediaEvent]:
        if not isinstance(message, Message_Text):
            return malformed("a binary message")
        try:
            document = read_json(message.value)
        except ValueError:
            document = None
        match document:
            case {"event": "media", "payload": str(payload)} if is_sequence(document.get("seq")):
                try:
                    return [MediaEvent_Audio(AudioFrame(read_base64(payload), document.get("seq")))]
                except ValueError:
                    return malformed("media: the payload is not base64")
            case {"event": "dtmf", "digit": str(digit)} if digit in KEYS:
                return [MediaEvent_Dtmf(digit)]
            case {"event": "mark", "name": str(name)}:
                return [MediaEvent_Mark(name)]
            case {"event": "stop"} if isinstance(document.get("reason"), str | None):
                return [MediaEvent_Stopped(document.get("reason"))]
            case {"event": "start", "stream": str(stream), "call": str(call), "format": str(format)}:
                return self.start(stream, call, format)
            case {"event": "start" | "media" | "dtmf" | "mark" | "stop" as event}:
                return malformed(f"{event}: a field is missing or wrong")
            # What is added to the protocol later must not break calls.
            case {"event": str()}:
                return []
        return malformed("not a JSON object with an event")

    def start(self, stream: str, call: str, format: str) -> list[MediaEvent]:
        index = FORMATS.get(format)
        if index is None:
            return malformed("start: unknown format")
        self.stream = stream
        # All but the payload of an audio message stays the same.
        self.audio = AudioEnvelope(f'{{"event":"media","stream":{to_json(stream)},"payload":"', '"}')
        return [MediaEvent_Started(Started(call, stream, index, index))]

    def serialize_frame(self, frame: MediaFrame) -> list[Message]:
        if self.stream is None:
            raise FrameRefused(FrameProblem.NOT_STARTED)
        match frame:
            case MediaFrame_Audio(payload):
                return [self.audio.wrap(payload)]
            case MediaFrame_Clear():
                return self.message("clear")
            case MediaFrame_Mark(name):
                return self.message("mark", name=name)
            case MediaFrame_Dtmf(digit):
                return self.message("dtmf", digit=digit)
            case MediaFrame_Stop():
                return self.message("stop")

    def message(self, event: str, **members: str) -> list[Message]:
        return [Message_Text(to_json({"event": event, "stream": self.stream, **members}))]


def is_sequence(number: Any) -> bool:
    return number is None or (type(number) is int and 0 <= number <= SEQUENCE_MAX)
