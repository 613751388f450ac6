"""A provider's configuration between JSON and the type that its author gave it."""

import dataclasses
from typing import Any, get_type_hints

from .sealed import Sealed
from .text import to_json


def read_config(kind: type, value: Any) -> Any:
    """A dict as it is, or a dataclass of its members. Raises ValueError when it has another shape."""
    if not isinstance(value, dict):
        raise ValueError("not an object")
    if not dataclasses.is_dataclass(kind):
        return value
    hints = get_type_hints(kind)
    members = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            member = value[field.name]
            # `Sealed`, or `Sealed | None`.
            sealed = hints[field.name] == Sealed or hints[field.name] == Sealed | None
            members[field.name] = Sealed(member) if sealed and isinstance(member, str) else member
    try:
        return kind(**members)
    except TypeError:
        raise ValueError("a member is missing") from None


def write_config(config: Any) -> str:
    """The JSON of a configuration, its members in their order."""
    return to_json(config if isinstance(config, dict) else dataclasses.asdict(config))
