"""What a provider says about itself."""

from dataclasses import dataclass, field
from typing import Any, Self

from wit_world.exports import descriptor as wit
from wit_world.exports.descriptor import Connectivity, Encoding, FieldProblem, ProofPolicy, RoutePurpose, WireFormat
from wit_world.imports import types
from wit_world.imports.types import Choice, Condition, FieldType

from .text import to_json


@dataclass
class Field(types.Field):
    """One credential or setting. ``name`` in snake_case; optional and readable unless it says otherwise."""

    kind: FieldType = FieldType.TEXT
    required: bool = False
    sensitive: bool = False
    server_managed: bool = False
    account_scoped: bool = False
    description: str | None = None
    placeholder: str | None = None
    options: list[Choice] = field(default_factory=list)
    visible_when: Condition | None = None
    section: str | None = None

    @classmethod
    def text(cls, name: str, label: str, **rest: Any) -> Self:
        return cls(name, label, FieldType.TEXT, **rest)

    @classmethod
    def password(cls, name: str, label: str, **rest: Any) -> Self:
        return cls(name, label, FieldType.PASSWORD, **rest)

    @classmethod
    def select(cls, name: str, label: str, choices: dict[str, str], **rest: Any) -> Self:
        """One of ``choices``, each a value and its label."""
        options = [Choice(value, text) for value, text in choices.items()]
        return cls(name, label, FieldType.SELECT, options=options, **rest)


def when(name: str, equals: Any) -> Condition:
    """For ``Field.visible_when``: another field has this value."""
    return Condition(name, to_json(equals))


@dataclass
class Route(wit.Route):
    """A webhook endpoint; see the class methods. POST at ``{name}/{call}`` unless it says otherwise."""

    @classmethod
    def answer(cls, name: str, path: str | None = None, method: str = "POST") -> Self:
        """An outbound call was answered."""
        return cls(name, RoutePurpose.ANSWER, method, path or f"{name}/{{call}}")

    @classmethod
    def callback(cls, name: str, path: str | None = None, method: str = "POST") -> Self:
        """Something happened to a call. Without ``{call}`` in its path the call is found through ``recognise``."""
        return cls(name, RoutePurpose.CALLBACK, method, path or f"{name}/{{call}}")

    @classmethod
    def transfer(cls, name: str, path: str | None = None, method: str = "POST") -> Self:
        """Something happened to the second leg of a transfer."""
        return cls(name, RoutePurpose.TRANSFER, method, path or f"{name}/{{transfer}}")


@dataclass
class MediaProfile(wit.MediaProfile):
    """How the carrier's media socket behaves: the formats that the provider can meet, the usual one first."""

    frame_ms: int = 20
    subprotocol: str | None = None
    echoes_marks: bool = False


@dataclass
class ProviderSpec(wit.ProviderSpec):
    """A carrier with an API and signed webhooks, whose outbound calls need a caller id, unless it says otherwise."""

    # Named arguments only: what stands between others cannot be left out otherwise.
    docs_url: str | None = field(default=None, kw_only=True)
    connectivity: Connectivity = field(default=Connectivity.API, kw_only=True)
    requires_caller_id: bool = field(default=True, kw_only=True)
    fields: list[types.Field] = field(default_factory=list, kw_only=True)
    account_id_field: str = field(default="", kw_only=True)
    routes: list[wit.Route] = field(default_factory=list, kw_only=True)
    egress_hosts: list[str] = field(default_factory=list, kw_only=True)
    webhook_proof: ProofPolicy = field(default=ProofPolicy.REQUIRED, kw_only=True)


class InvalidCredentials(Exception):
    """What is wrong with the shape of a configuration. Raised by ``config_loader``."""

    def __init__(self, *problems: FieldProblem) -> None:
        super().__init__(", ".join(f"{problem.field}: {problem.problem}" for problem in problems))
        self.problems = list(problems)


__all__ = [
    "Choice",
    "Condition",
    "Connectivity",
    "Encoding",
    "Field",
    "FieldProblem",
    "FieldType",
    "InvalidCredentials",
    "MediaProfile",
    "ProofPolicy",
    "ProviderSpec",
    "Route",
    "RoutePurpose",
    "WireFormat",
    "when",
]
