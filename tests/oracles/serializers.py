"""Drives the serializers of pipecat-ai, which put a voice agent's audio into the carriers' messages and take it out of
them.

Reads from standard input one JSON document a line and prints one for each. `{"serializer", "settings"}` opens a stream
of a carrier and prints `{}`; what follows passes through it: `{"hear": {"text"}}` or `{"hear": {"binary"}}` prints
`{"audio", "rate"}`, `{"digit"}` or `{}`; `{"say": {"audio", "rate"}}` and `{"clear": true}` print `{"text"}`,
`{"binary"}` or `{}`. Audio is 16 bit linear, low byte first; all bytes are in base64. Nothing is resampled: each stream
runs at its carrier's rate.
"""

import asyncio
import base64
import json
import sys

from loguru import logger
from pipecat.frames.frames import InputAudioRawFrame, InputDTMFFrame, InterruptionFrame, OutputAudioRawFrame
from pipecat.serializers.plivo import PlivoFrameSerializer
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.serializers.vonage import VonageFrameSerializer

SERIALIZERS = {
    "twilio": TwilioFrameSerializer,
    "plivo": PlivoFrameSerializer,
    "telnyx": TelnyxFrameSerializer,
    "vonage": VonageFrameSerializer,
}


class Setup:
    """All that the serializers read of a pipeline's set-up."""

    def __init__(self, rate):
        self.audio_in_sample_rate = rate


async def opened(name, settings):
    kind = SERIALIZERS[name]
    rate = 16_000 if name == "vonage" else 8_000
    parameters = kind.InputParams(**({} if name == "vonage" else {"auto_hang_up": False}))
    serializer = kind(params=parameters, **settings)
    await serializer.setup(Setup(rate))
    return serializer


def encoded(data):
    return base64.b64encode(data).decode()


def shown(message):
    if message is None:
        return {}
    return {"binary": encoded(message)} if isinstance(message, bytes) else {"text": message}


async def heard(serializer, message):
    data = base64.b64decode(message["binary"]) if "binary" in message else message["text"]
    frame = await serializer.deserialize(data)
    if isinstance(frame, InputAudioRawFrame):
        return {"audio": encoded(frame.audio), "rate": frame.sample_rate}
    if isinstance(frame, InputDTMFFrame):
        return {"digit": frame.button.value}
    assert frame is None, frame
    return {}


async def main():
    logger.remove()
    serializer = None
    for line in sys.stdin:
        command = json.loads(line)
        answer = {}
        if "serializer" in command:
            serializer = await opened(command["serializer"], command["settings"])
        elif "hear" in command:
            try:
                answer = await heard(serializer, command["hear"])
            except Exception as error:
                answer = {"error": type(error).__name__}
        elif "say" in command:
            said = command["say"]
            frame = OutputAudioRawFrame(audio=base64.b64decode(said["audio"]), sample_rate=said["rate"], num_channels=1)
            answer = shown(await serializer.serialize(frame))
        elif "clear" in command:
            answer = shown(await serializer.serialize(InterruptionFrame()))
        print(json.dumps(answer))


asyncio.run(main())
