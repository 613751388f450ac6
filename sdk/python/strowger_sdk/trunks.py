"""SIP trunks that a configuration keeps at the carrier."""

from abc import ABC, abstractmethod
from typing import Any

from wit_world.exports.trunks import Applied, Trunk

from .io import Io
from .spec import Field


class Trunks(ABC):
    """The ability to keep trunks."""

    @abstractmethod
    def trunk_fields(self) -> list[Field]:
        """The settings of a trunk. Static: read once when the component is loaded."""

    @abstractmethod
    def apply_trunk(self, config: Any, trunk: Trunk, io: Io) -> Applied:
        """Makes the carrier's trunk as described: new, changed, renamed or switched off. Settings are JSON text."""

    @abstractmethod
    def remove_trunk(self, config: Any, trunk: Trunk, io: Io) -> None:
        """Takes the trunk out of service. That it is not there is a success."""


__all__ = ["Applied", "Trunk", "Trunks"]
