"""JSON, XML and base64 as carriers are strict about them: what is read comes from strangers."""

import binascii
import json
import re
from itertools import accumulate
from typing import Any

# Deeper documents are refused, as by the other SDKs: the interpreter's parser recurses, and a trap is no answer.
JSON_DEPTH_MAX = 127

_NO_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[^][}{"]+')
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1, '"': 0}


def read_json(text: str | bytes) -> Any:
    """The value of a JSON document (RFC 8259) and nothing else. Raises ValueError, which quotes nothing of the document."""
    try:
        if isinstance(text, bytes):
            text = text.decode()
        if _depth(text) > JSON_DEPTH_MAX:
            raise ValueError
        value = json.loads(text, parse_constant=_no_constant)
        if "\\u" in text:
            # Half a surrogate pair is a string for Python, and for nobody else.
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except ValueError:
        raise ValueError("not a JSON document") from None


def _depth(text: str) -> int:
    if text.count("[") + text.count("{") <= JSON_DEPTH_MAX:
        return 0
    brackets = _NO_BRACKET.sub("", text)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def to_json(value: Any) -> str:
    """Compact, keys in their order, text as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def xml_escape(text: str) -> str:
    """Text for an XML document, between tags and in attributes."""
    for character, entity in _ENTITIES:
        text = text.replace(character, entity)
    return text


_ENTITIES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&apos;"))


def to_base64(data: bytes) -> str:
    """RFC 4648 §4, with padding."""
    return binascii.b2a_base64(data, newline=False).decode()


def read_base64(text: str) -> bytes:
    """The bytes that a text spells in the one way that :func:`to_base64` spells them; raises ValueError for any other."""
    data = binascii.a2b_base64(text, strict_mode=True)
    if binascii.b2a_base64(data, newline=False) != text.encode():
        raise ValueError("not base64")
    return data


def read_hex(text: str) -> bytes:
    """The bytes of hexadecimal digits in either case; raises ValueError for anything else."""
    return binascii.a2b_hex(text)
