"""Effects as straight-line code.

An operation runs from its beginning each time, with the replies to the effects that it asked for so far. :class:`Io` hands
them out in that order; the first effect without a reply interrupts the operation. That works because a provider is
deterministic: the same arguments and the same replies lead to the same effects.
"""

from typing import Any

from wit_world.imports import types

from .failure import Failure, Interruption, Unreachable
from .http import Request, Response
from .text import read_json, to_json


class Io:
    """The effects of one operation: replies of earlier rounds first, then the effect to perform next."""

    def __init__(self, replies: list[types.Reply]) -> None:
        self._replies = iter(replies)

    def http(self, request: Request) -> Response:
        """Sends a request to the carrier and gives its response, whatever its status; see :meth:`Response.require`.

        Raises :class:`Unreachable`, a failure that may be retried, when no response arrived.
        """
        match self._next(types.Effect_Http(request)):
            case types.Reply_Http(response):
                return Response.adopt(response)
            case types.Reply_Unreachable(reason):
                raise Unreachable(reason)
            case _:
                raise _out_of_step()

    def load(self, key: str) -> Any:
        """The value that was kept under a key; None when there is none, or it is forgotten by now."""
        match self._next(types.Effect_Load(key)):
            case types.Reply_Value(None):
                return None
            case types.Reply_Value(str(value)):
                return read_json(value)
            case _:
                raise _out_of_step()

    def save(self, key: str, value: Any, ttl_ms: int) -> None:
        """Keeps a JSON value under a key, 1 to 128 characters, replacing the one before; for at most 24 hours."""
        match self._next(types.Effect_Save(types.Entry(key, to_json(value), ttl_ms))):
            case types.Reply_Saved():
                return
            case _:
                raise _out_of_step()

    def claim(self, key: str, ttl_ms: int) -> bool:
        """True for the first who asks, once per key and time to live, across all nodes."""
        match self._next(types.Effect_Claim(types.Claim(key, ttl_ms))):
            case types.Reply_Claimed(won):
                return won
            case _:
                raise _out_of_step()

    def finish(self) -> None:
        """An answer must have used up the history: replies that nobody asked for mean that the operation is not
        deterministic."""
        for _ in self._replies:
            raise _out_of_step()

    def _next(self, effect: types.Effect) -> types.Reply:
        for reply in self._replies:
            return reply
        raise Interruption(effect)


def _out_of_step() -> Failure:
    return Failure.internal("replay", "The provider asked for other effects than in the round before.")
