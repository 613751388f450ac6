"""Reading what the carrier posted, and describing how it may be genuine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl

from wit_world.exports import webhook as wit
from wit_world.exports.webhook import Hash, KeyEncoding
from wit_world.imports import types

from .http import first_header
from .sealed import Sealed
from .text import read_json

Message = bytes | Sequence[bytes | Sealed]
"""What is signed: bytes, or pieces of it in order; a sealed reference among them stands for its secret."""


class Form:
    """Parameters as a form or a query string has them: in order, names possibly repeated."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    @classmethod
    def parse(cls, encoded: str) -> Self:
        return cls(parse_qsl(encoded, keep_blank_values=True))

    def get(self, name: str) -> str | None:
        """The first value of this name."""
        return next((value for key, value in self.pairs if key == name), None)


@dataclass
class Webhook(types.Webhook):
    """One HTTP request from the carrier, exactly as it arrived."""

    headers: list[types.Header] = field(default_factory=list)
    body: bytes = b""
    received_at: int = 0

    def header(self, name: str) -> str | None:
        """The first header of this name, whatever its case."""
        return first_header(self.headers, name)

    def json(self) -> Any:
        """The body's JSON; raises ValueError when it has none."""
        return read_json(self.body)

    def form(self) -> Form:
        """The body read as a form. Bytes that are not UTF-8 become U+FFFD."""
        return Form.parse(self.body.decode(errors="replace"))

    def query(self) -> Form:
        """The parameters of the URL."""
        _, _, query = self.url.partition("#")[0].partition("?")
        return Form.parse(query)


@dataclass
class InboundCall(types.InboundCall):
    """Somebody calls: the claims of a webhook or of an event about a new call."""

    caller_country: str | None = None
    callee_country: str | None = None
    account_id: str | None = None


@dataclass
class CallReference(wit.CallReference):
    """The claims of a webhook about a call that should exist already."""

    account_id: str | None = None


class Rejection(Exception):
    """Why a webhook cannot be genuine, found without any secret. Raised by ``verify_signature``.

    ``code`` in kebab case; ``message`` says what is missing and where to look, never a value.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    def record(self) -> wit.Rejection:
        """As the contract has it."""
        return wit.Rejection(self.code, self.message)


@dataclass
class Proof(wit.Proof):
    """A way in which a webhook may be genuine: all of its checks hold. The runtime evaluates them; no secret comes here.

    The label tells a user which way of signing this is: ``sha1, url with port``.
    """

    checks: list[wit.Check] = field(default_factory=list)

    def check(self, check: wit.Check) -> Self:
        self.checks.append(check)
        return self

    def hmac(
        self,
        hash: Hash,
        key: Sealed,
        message: Message,
        expected: bytes,
        encoding: KeyEncoding = KeyEncoding.UTF8,
    ) -> Self:
        """RFC 2104; ``expected`` is the decoded signature, ``encoding`` how the key's bytes are written down."""
        sealed = wit.SealedKey(key, encoding)
        return self.check(wit.Check_Hmac(wit.HmacCheck(hash, sealed, _segments(message), expected)))

    def hmac_sha1(self, key: Sealed, message: Message, expected: bytes) -> Self:
        return self.hmac(Hash.SHA1, key, message, expected)

    def hmac_sha256(self, key: Sealed, message: Message, expected: bytes) -> Self:
        return self.hmac(Hash.SHA256, key, message, expected)

    def digest(self, hash: Hash, message: Message, expected: bytes) -> Self:
        """A plain digest: proves nothing alone, only ties a part of the webhook to what another check signs."""
        return self.check(wit.Check_Digest(wit.DigestCheck(hash, _segments(message), expected)))

    def ed25519(self, public_key: bytes, message: bytes, signature: bytes) -> Self:
        """RFC 8032: 32 bytes of public key, 64 bytes of signature."""
        return self.check(wit.Check_Ed25519(wit.Ed25519Check(public_key, message, signature)))

    def equals(self, sealed: Sealed, presented: str | bytes) -> Self:
        """The carrier presents the secret itself."""
        presented = presented.encode() if isinstance(presented, str) else presented
        return self.check(wit.Check_Equals(wit.EqualsCheck(sealed, presented)))

    def once(self, key: str, ttl_ms: int) -> Self:
        """Holds for the first webhook with this key, 1 to 128 characters; at most 24 hours."""
        return self.check(wit.Check_Once(wit.OnceCheck(key, ttl_ms)))


def _segments(message: Message) -> list[wit.Segment]:
    pieces = [message] if isinstance(message, bytes) else message
    return [wit.Segment_Sealed(piece) if isinstance(piece, Sealed) else wit.Segment_Bytes(piece) for piece in pieces]
