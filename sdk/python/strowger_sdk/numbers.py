"""The phone numbers of the account. Addresses are E.164 with ``+``, SIP URIs or extensions."""

import re
from abc import ABC, abstractmethod
from typing import Any

from wit_world.exports.numbers import (
    Ownership,
    Provisioning,
    Synchronisation,
    Synchronisation_Done,
    Synchronisation_LeftAlone,
    Synchronisation_Unchanged,
)

from .io import Io

_E164 = re.compile(r"\+[0-9]{8,15}")


def is_e164(address: str) -> bool:
    """``+`` and 8 to 15 digits (ITU-T E.164 §6): a telephone number, and neither a SIP address nor an extension."""
    return _E164.fullmatch(address) is not None


class Numbers(ABC):
    """The ability to look after numbers."""

    @abstractmethod
    def validate_number(self, config: Any, address: str, io: Io) -> Ownership:
        """Whether the account owns the number."""

    def provision_number(self, config: Any, address: str, io: Io) -> Provisioning:
        """Adds the number to the account. Most carriers' numbers are ordered at the carrier."""
        return Provisioning.NOT_OFFERED

    @abstractmethod
    def configure_inbound(self, config: Any, address: str, webhook_url: str, attach: bool, io: Io) -> Synchronisation:
        """Points the number's inbound calls at ``webhook_url``, or, unless ``attach``, away from it. Detaching changes only
        what points there: a number that points elsewhere, or that is not there, is unchanged."""


__all__ = [
    "Numbers",
    "Ownership",
    "Provisioning",
    "Synchronisation",
    "Synchronisation_Done",
    "Synchronisation_LeftAlone",
    "Synchronisation_Unchanged",
    "is_e164",
]
