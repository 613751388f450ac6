"""A provider's configuration between JSON and the type that its author gave it."""

import dataclasses
from functools import cache
from typing import Any, get_type_hints

from .sealed import Sealed
from .text import to_json


def missing(kind: type, value: Any) -> list[str]:
    """The members that a dataclass needs and a JSON value does not have."""
    given = value if isinstance(value, dict) else {}
    needed = [field for field in dataclasses.fields(kind) if _is_needed(field)] if dataclasses.is_dataclass(kind) else []
    return [field.name for field in needed if field.name not in given]


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def read_config(kind: type, value: Any) -> Any:
    """A dict as it is, or a dataclass of its members. Raises ValueError when it has another shape."""
    if not isinstance(value, dict) or missing(kind, value):
        raise ValueError("not the configuration's shape")
    if not dataclasses.is_dataclass(kind):
        return value
    sealed = sealed_members(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.name in value]
    return kind(**{name: _sealed(value[name]) if name in sealed else value[name] for name in names})


@cache
def sealed_members(kind: type) -> frozenset[str]:
    """The members that are annotated as `Sealed`, or `Sealed | None`."""
    return frozenset(name for name, hint in get_type_hints(kind).items() if hint in (Sealed, Sealed | None))


def _sealed(member: Any) -> Any:
    return Sealed(member) if isinstance(member, str) else member


def write_config(config: Any) -> str:
    """The JSON of a configuration, its members in their order."""
    return to_json(config if isinstance(config, dict) else dataclasses.asdict(config))
