"""What happens around a configuration: when it is saved, what is left to do, what a person must enter elsewhere."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Self

from wit_world.exports import setup as wit
from wit_world.exports.setup import Detail, Facts, Occasion, PublicUrls, Saving

from .io import Io
from .text import to_json


@dataclass
class Step(wit.Step):
    """One step towards calls that work. ``key`` in snake_case; the description says what to do and where."""

    blocks_outbound: bool = False


@dataclass
class DetailGroup(wit.DetailGroup):
    """Something to be copied to the carrier or to a telephone system."""

    description: str | None = None
    details: list[Detail] = field(default_factory=list)

    def detail(self, label: str, value: str) -> Self:
        self.details.append(Detail(label, value))
        return self


def field_value(name: str, value: Any) -> wit.FieldValue:
    """A field of the configuration, and what is to be stored in it."""
    return wit.FieldValue(name, to_json(value))


class Setup(ABC):
    """The ability to help with a configuration."""

    def prepare_credentials(self, config: Any, saving: Saving, io: Io) -> list[wit.FieldValue]:
        """Makes at the carrier what the configuration needs and is not there; called before it is stored. The fields that
        are returned are stored with it."""
        return []

    @abstractmethod
    def checklist(self, config: Any, facts: Facts) -> list[Step]:
        """The steps towards calls that work, in order."""

    def connectivity_details(self, config: Any, urls: PublicUrls) -> list[DetailGroup]:
        """What a person must know or enter elsewhere."""
        return []


__all__ = [
    "Detail",
    "DetailGroup",
    "Facts",
    "Occasion",
    "PublicUrls",
    "Saving",
    "Setup",
    "Step",
    "field_value",
]
