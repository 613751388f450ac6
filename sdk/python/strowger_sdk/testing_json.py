"""How a value of the contract is spelled in JSON.

===============  =====================================================================================================
contract         JSON
===============  =====================================================================================================
record           object with the names of the contract; null and absent are the same
option           the value, or null
variant          ``{"case": payload}``; ``"case"`` without payload
enum             ``"case"``
result           ``{"ok": value}`` or ``{"err": value}``
tuple, list      array; a list that is absent is empty
list of bytes    text, standing for its UTF-8 bytes, or ``{"base64": "…"}``
string           text; anything else that JSON knows stands for its own JSON text, which is how documents are embedded
===============  =====================================================================================================
"""

import base64
import dataclasses
import json
import types
import unicodedata
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from .text import to_json


class Misfit(Exception):
    """A value of a case does not fit the contract."""


def read(at: str, kind: Any, value: Any) -> Any:
    """The value of a type of the bindings that JSON spells."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        # An optional variant is one union, of its cases and None.
        some = tuple(part for part in parts if part is not types.NoneType)
        if value is None and len(some) < len(parts):
            return None
        return read(at, some[0], value) if len(some) == 1 else _read_case(at, some, value)
    if origin is list:
        items = [] if value is None else _expect(at, value, list)
        return [read(f"{at}[{n}]", parts[0], item) for n, item in enumerate(items)]
    if origin is tuple:
        return tuple(read(f"{at}[{n}]", part, item) for n, (part, item) in enumerate(zip(parts, value, strict=True)))
    if kind is str:
        if value is None:
            raise Misfit(f"{at} is missing; it is a text")
        return value if isinstance(value, str) else to_json(value)
    if kind is bytes:
        return _read_bytes(at, value)
    if kind in (int, bool):
        return _expect(at, value, kind)
    if issubclass(kind, Enum):
        names = {_kebab(member.name): member for member in kind}
        if value not in names:
            raise Misfit(f"{at} must be one of {', '.join(names)}, not {value!r}")
        return names[value]
    return _read_record(at, kind, value)


def _read_record(at: str, kind: Any, value: Any) -> Any:
    hints = get_type_hints(kind)
    given = _expect(at, value, dict)
    if unknown := given.keys() - {name.replace("_", "-") for name in hints}:
        raise Misfit(f"{at}.{sorted(unknown)[0]} is not a field")
    return kind(*(read(f"{at}.{name}", hint, given.get(name.replace("_", "-"))) for name, hint in hints.items()))


def _read_case(at: str, cases: tuple[Any, ...], value: Any) -> Any:
    if isinstance(value, str):
        name, payload = value, None
    elif isinstance(value, dict) and len(value) == 1:
        [(name, payload)] = value.items()
    else:
        raise Misfit(f"{at} must be one case, not {value!r}")
    found = next((case for case in cases if _case_name(case) == name), None)
    if found is None:
        names = ", ".join(map(_case_name, cases))
        raise Misfit(f"{at} must be one of {names}, not {name}")
    hints = get_type_hints(found)
    return found(read(f"{at}.{name}", hints["value"], payload)) if hints else found()


def _read_bytes(at: str, value: Any) -> bytes:
    match value:
        case str():
            return value.encode()
        case {"base64": str(text)} if len(value) == 1:
            return base64.b64decode(text, validate=True)
        case None:
            return b""
        case _:
            raise Misfit(f'{at} must be a text or {{"base64": "…"}}')


def _expect(at: str, value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise Misfit(f"{at} must be of type {kind.__name__}, not {value!r}")
    return value


def write(value: Any) -> Any:
    """The JSON that spells a value."""
    match value:
        case Enum():
            return _kebab(value.name)
        case bytes():
            return _write_bytes(value)
        case str():
            return _embedded(value)
        case list() | tuple():
            return [write(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            members = {field.name: write(getattr(value, field.name)) for field in dataclasses.fields(value)}
            if "_" not in _bound_name(type(value)):
                return {name.replace("_", "-"): member for name, member in members.items()}
            name = _case_name(type(value))
            return {name: members["value"]} if members else name
        case _:
            return value


def _bound_name(kind: type) -> str:
    """The name of the class of the bindings that this one is, or extends: `Union_Case`, or a record's."""
    return next(base.__name__ for base in kind.__mro__ if base.__module__.startswith("wit_world."))


def _case_name(kind: type) -> str:
    """`LeftAlone` of `Synchronisation_LeftAlone`; a case that is a word of Python has an underscore behind it."""
    name = _bound_name(kind).split("_")[1]
    return "".join("-" + letter.lower() if letter.isupper() and n > 0 else letter.lower() for n, letter in enumerate(name))


def _kebab(name: str) -> str:
    return name.rstrip("_").lower().replace("_", "-")


def _write_bytes(data: bytes) -> Any:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if any(unicodedata.category(letter) == "Cc" and letter not in "\n\r\t" for letter in text):
        return {"base64": base64.b64encode(data).decode()}
    return text


def _embedded(text: str) -> Any:
    """The document in a text that is a JSON object or array. A scalar stays text: most texts that look like one are none."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict | list) else text


def differences(expected: Any, actual: Any, path: str = "expect") -> list[str]:
    """Where two results differ. A document that is embedded as text equals the same document embedded as JSON, bytes equal
    their base64, and null equals nothing."""
    if _same(expected, actual):
        return []
    if isinstance(expected, dict) and isinstance(actual, dict) and _bytes(expected) is None and _bytes(actual) is None:
        names = [*expected, *(name for name in actual if name not in expected)]
        return [found for name in names for found in differences(expected.get(name), actual.get(name), f"{path}.{name}")]
    if isinstance(expected, list) and isinstance(actual, list):
        length = max(len(expected), len(actual))
        pad = [None] * length
        pairs = list(zip((expected + pad)[:length], (actual + pad)[:length], strict=True))
        return [found for n, (left, right) in enumerate(pairs) for found in differences(left, right, f"{path}[{n}]")]
    left, right = _document(expected), _document(actual)
    if left is not None and right is not None and not (_same(left, expected) and _same(right, actual)):
        return differences(left, right, path)
    if _bytes(expected) is not None and _bytes(expected) == _bytes(actual):
        return []
    # A text that holds JSON, where that JSON is a text itself.
    if right is not None and _same(right, expected):
        return []
    if _bare_case(expected) is not None and _bare_case(expected) == _bare_case(actual):
        return []
    return [f"{path}\n    expected {_shown(expected)}\n    returned {_shown(actual)}"]


def _same(left: Any, right: Any) -> bool:
    """Equal as JSON: for Python, true is 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return type(left) is type(right) and left == right


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _document(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def _bytes(value: Any) -> bytes | None:
    match value:
        case str():
            return value.encode()
        case {"base64": str(text)} if len(value) == 1:
            return base64.b64decode(text)
        case _:
            return None


def _bare_case(value: Any) -> str | None:
    """The name of a case without payload, in either of its spellings: ``"ok"`` or ``{"ok": null}``."""
    match value:
        case str():
            return value
        case dict() if len(value) == 1:
            [(name, payload)] = value.items()
            return name if payload is None else None
        case _:
            return None
