"""Requests to the carrier's API, its responses, and the responses to its webhooks."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, urlencode

from wit_world.imports import types
from wit_world.imports.types import Header, Jwt, JwtAlgorithm

from .failure import Failure
from .sealed import Sealed
from .text import read_json, to_json


def percent_encode(text: str) -> str:
    """Everything but the unreserved characters of RFC 3986 §2.3 is escaped."""
    return quote(text, safe="")


def join_path(base: str, *segments: str) -> str:
    """Appends path segments to a base such as ``https://api.example.com``, each escaped, so that an identifier cannot reach
    another resource. Fails for a segment that no escaping makes a name of something: an empty one, ``.`` and ``..``."""
    url = base.rstrip("/")
    for segment in segments:
        if segment in ("", ".", ".."):
            raise Failure.request("identifier-unusable", "An identifier cannot be part of a web address.")
        url += "/" + percent_encode(segment)
    return url


def first_header(headers: list[Header], name: str) -> str | None:
    """The first header of this name, whatever its case."""
    name = name.lower()
    return next((header.value for header in headers if header.name.lower() == name), None)


Pairs = Iterable[tuple[str, str]]


@dataclass
class Request(types.Request):
    """A request to the carrier's API, to be given to ``io.http``. It reaches only hosts that the spec declares."""

    headers: list[Header] = field(default_factory=list)
    body: bytes = b""
    authorization: types.Authorization = field(default_factory=types.Authorization_None_)

    @classmethod
    def get(cls, url: str) -> Self:
        return cls("GET", url)

    @classmethod
    def post(cls, url: str) -> Self:
        return cls("POST", url)

    @classmethod
    def put(cls, url: str) -> Self:
        return cls("PUT", url)

    @classmethod
    def patch(cls, url: str) -> Self:
        return cls("PATCH", url)

    @classmethod
    def delete(cls, url: str) -> Self:
        return cls("DELETE", url)

    def basic(self, user: str, password: str) -> Self:
        """RFC 7617."""
        self.authorization = types.Authorization_Basic((user, password))
        return self

    def bearer(self, token: str) -> Self:
        """RFC 6750."""
        self.authorization = types.Authorization_Bearer(token)
        return self

    def credential_header(self, name: str, value: str) -> Self:
        """A header that carries a credential. May be repeated."""
        if not isinstance(self.authorization, types.Authorization_Headers):
            self.authorization = types.Authorization_Headers([])
        self.authorization.value.append(Header(name, value))
        return self

    def jwt(self, algorithm: JwtAlgorithm, key: Sealed, claims: dict[str, Any], lifetime_s: int) -> Self:
        """A bearer token that the runtime signs (RFC 7519); it adds ``iat``, ``exp`` and ``jti``. 1 to 3600 seconds."""
        self.authorization = types.Authorization_Jwt(Jwt(algorithm, key, to_json(claims), lifetime_s))
        return self

    def header(self, name: str, value: str) -> Self:
        self.headers.append(Header(name, value))
        return self

    def query(self, pairs: Pairs) -> Self:
        """Adds query parameters to the URL, escaped."""
        self.url += ("&" if "?" in self.url else "?") + urlencode(list(pairs))
        return self

    def form(self, pairs: Pairs) -> Self:
        """A body as an HTML form sends it. Names may repeat."""
        self.body = urlencode(list(pairs)).encode()
        return self.header("content-type", "application/x-www-form-urlencoded")

    def json(self, value: Any) -> Self:
        self.body = to_json(value).encode()
        return self.header("content-type", "application/json")


@dataclass
class Response(types.Response):
    """What a carrier answered, and what it is answered."""

    headers: list[Header] = field(default_factory=list)
    body: bytes = b""

    @classmethod
    def adopt(cls, record: types.Response) -> Self:
        """The same response, with the methods of this class."""
        record.__class__ = cls
        return record  # type: ignore[return-value]

    @classmethod
    def empty(cls, status: int) -> Self:
        """A response without a body."""
        return cls(status)

    @classmethod
    def xml(cls, document: str) -> Self:
        """200 with an XML document."""
        return cls._with_body("application/xml", document)

    @classmethod
    def json(cls, value: Any) -> Self:
        """200 with a JSON document; see :meth:`read_json` for the way back."""
        return cls._with_body("application/json", to_json(value))

    @classmethod
    def text(cls, text: str) -> Self:
        """200 with plain text."""
        return cls._with_body("text/plain; charset=utf-8", text)

    def header(self, name: str) -> str | None:
        """The first header of this name, whatever its case."""
        return first_header(self.headers, name)

    def require(self, accepted: Container[int]) -> Self:
        """The response itself if its status is one of those accepted, for example ``range(200, 300)``; raises the failure
        that the status stands for otherwise."""
        if self.status not in accepted:
            raise Failure.from_status(self.status)
        return self

    def read_json(self) -> Any:
        """The body's JSON. That it has none is the carrier's failure."""
        try:
            return read_json(self.body)
        except ValueError:
            raise Failure.unexpected_answer(f"no JSON, HTTP {self.status}") from None

    @classmethod
    def _with_body(cls, content_type: str, text: str) -> Self:
        return cls(200, [Header("content-type", content_type)], text.encode())
