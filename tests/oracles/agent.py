"""A voice agent after the documentation of Media Streams, on a WebSocket library that has nothing to do with ours.

    agent.py

Listens on loopback, says where (`{"port": …}`), serves one stream and prints a line of JSON for what happens: `start`,
`mark`, `stop`. The last line is the report.

It sends each utterance of the caller back as one burst with a mark behind it, and clears what is being played when a
key is pressed. Everything that does not follow the documentation goes into the report's `problems`:
https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

import asyncio
import base64
import json
import time

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

FRAME_BYTES = 160
FRAME_MS = 20
# A frame with a sample beyond this is speech; so many frames without one end an utterance.
SPEECH_MIN = 500
PAUSE_FRAMES = 30

# The keys of each message, and of the object that is named like its event.
KEYS = {
    "connected": ({"event", "protocol", "version"}, None),
    "start": (
        {"event", "sequenceNumber", "start", "streamSid"},
        {"streamSid", "accountSid", "callSid", "tracks", "customParameters", "mediaFormat"},
    ),
    "media": ({"event", "sequenceNumber", "media", "streamSid"}, {"track", "chunk", "timestamp", "payload"}),
    "dtmf": ({"event", "sequenceNumber", "dtmf", "streamSid"}, {"track", "digit"}),
    "mark": ({"event", "sequenceNumber", "mark", "streamSid"}, {"name"}),
    "stop": ({"event", "sequenceNumber", "stop", "streamSid"}, {"accountSid", "callSid"}),
}


def mulaw(code):
    """G.711, after the formula of Recommendation G.711 and not from a table of ours."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    return (0x84 - magnitude) if code & 0x80 else (magnitude - 0x84)


LOUD = frozenset(code for code in range(256) if abs(mulaw(code)) > SPEECH_MIN)


def say(event):
    print(json.dumps(event), flush=True)


class Stream:
    def __init__(self, socket):
        self.socket = socket
        self.sid = None
        self.sequence = 0
        self.chunk = 0
        self.problems = []
        self.events = []
        self.start = None
        self.audio = bytearray()
        self.utterance = bytearray()
        self.quiet = 0
        self.echoes = []
        self.digits = ""

    def check(self, holds, problem):
        if not holds and len(self.problems) < 20:
            self.problems.append(problem)

    async def send(self, event, **fields):
        await self.socket.send(json.dumps({"event": event, "streamSid": self.sid} | fields))

    def check_shape(self, message):
        event = message.get("event")
        if event not in KEYS:
            self.check(False, f"{event} is not an event")
            return False
        outer, inner = KEYS[event]
        self.check(set(message) == outer, f"{event} has {sorted(message)}")
        if inner is not None:
            self.check(set(message[event]) == inner, f"{event}.{event} has {sorted(message[event])}")
            self.sequence += 1
            self.check(
                message["sequenceNumber"] == str(self.sequence),
                f"{event} has the number {message['sequenceNumber']!r} and not {self.sequence}",
            )
            if event != "start":
                self.check(message["streamSid"] == self.sid, f"{event} is of another stream")
        if event != "media":
            self.events.append(event)
        return True

    async def handle(self, message):
        if not self.check_shape(message):
            return
        event = message["event"]
        begun = {"connected": [], "start": ["connected"]}.get(event)
        if begun is not None:
            self.check(self.events[:-1] == begun, f"{event} after {self.events[:-1]}")
        else:
            self.check(self.start is not None, f"{event} before start")
        if event == "connected":
            self.check(message == {"event": "connected", "protocol": "Call", "version": "1.0.0"}, f"{message}")
        elif event == "start":
            self.start = message["start"]
            self.sid = message["streamSid"]
            self.check(self.start["streamSid"] == self.sid, "start has two streams")
            self.check(self.start["tracks"] == ["inbound"], f"tracks are {self.start['tracks']}")
            media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
            self.check(self.start["mediaFormat"] == media_format, f"the format is {self.start['mediaFormat']}")
            parameters = self.start["customParameters"]
            self.check(all(isinstance(value, str) for value in parameters.values()), "a parameter is not a text")
            say({"event": "start"})
        elif event == "media":
            await self.handle_media(message["media"])
        elif event == "dtmf":
            self.check(message["dtmf"]["track"] == "inbound_track", f"the key is on {message['dtmf']['track']}")
            self.digits += message["dtmf"]["digit"]
            await self.send("clear")
        elif event == "mark":
            self.returned(message["mark"]["name"])
        elif event == "stop":
            ids = {name: self.start[name] for name in ("accountSid", "callSid")} if self.start else None
            self.check(message["stop"] == ids, "stop is of another call")
            say({"event": "stop"})

    async def handle_media(self, media):
        self.chunk += 1
        self.check(media["track"] == "inbound", f"audio is on {media['track']!r}")
        self.check(media["chunk"] == str(self.chunk), f"the chunk is {media['chunk']!r} and not {self.chunk}")
        timestamp = FRAME_MS * (self.chunk - 1)
        self.check(media["timestamp"] == str(timestamp), f"the timestamp is {media['timestamp']!r} and not {timestamp}")
        payload = base64.b64decode(media["payload"], validate=True)
        self.check(len(payload) == FRAME_BYTES, f"a payload has {len(payload)} bytes")
        self.check("stop" not in self.events, "audio after stop")
        self.audio += payload
        if LOUD.intersection(payload):
            self.quiet = 0
        elif self.utterance:
            self.quiet += 1
        else:
            return
        self.utterance += payload
        if self.quiet == PAUSE_FRAMES:
            await self.echo(bytes(self.utterance))
            self.utterance.clear()
            self.quiet = 0

    async def echo(self, utterance):
        name = f"echo-{len(self.echoes) + 1}"
        self.echoes.append(
            {
                "mark": name,
                "audio": base64.b64encode(utterance).decode(),
                "duration_ms": len(utterance) // 8,
                "sent_at": time.monotonic(),
                "returned_after_ms": None,
                "digits_before": None,
            }
        )
        # Messages of any length are allowed: not the frames that came in.
        for at in range(0, len(utterance), 1000):
            await self.send("media", media={"payload": base64.b64encode(utterance[at : at + 1000]).decode()})
        await self.send("mark", mark={"name": name})

    def returned(self, name):
        waiting = [echo for echo in self.echoes if echo["returned_after_ms"] is None]
        self.check(waiting and waiting[0]["mark"] == name, f"the mark {name!r} is not the one that is next")
        for echo in waiting[:1]:
            echo["returned_after_ms"] = round(1000 * (time.monotonic() - echo["sent_at"]))
            echo["digits_before"] = self.digits
        say({"event": "mark", "name": name})

    def report(self):
        for echo in self.echoes:
            del echo["sent_at"]
        return {
            "events": self.events,
            "start": self.start,
            "frames": self.chunk,
            "audio": base64.b64encode(self.audio).decode(),
            "digits": self.digits,
            "echoes": self.echoes,
            "close_code": self.socket.close_code,
            "problems": self.problems,
        }


async def main():
    served = asyncio.get_running_loop().create_future()

    async def handler(socket):
        stream = Stream(socket)
        try:
            async for message in socket:
                stream.check(isinstance(message, str), "a binary message")
                await stream.handle(json.loads(message))
        except ConnectionClosed as closed:
            stream.check(False, f"the socket broke: {closed}")
        except Exception as error:
            # A message that cannot be read ends the agent's part, and the report says why.
            stream.check(False, f"{type(error).__name__}: {error}")
        await socket.close()
        if not served.done():
            served.set_result(stream.report())

    async with serve(handler, "127.0.0.1", 0) as server:
        say({"port": server.sockets[0].getsockname()[1]})
        report = await served
    say(report)


asyncio.run(main())
