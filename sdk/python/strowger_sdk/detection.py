"""Answering-machine detection."""

from abc import ABC, abstractmethod
from typing import Any

from wit_world.exports.detection import AnsweredBy
from wit_world.imports.types import DetectionMode

from .webhook import Webhook


class Detection(ABC):
    """The ability to tell humans from answering machines."""

    @abstractmethod
    def detection_modes(self, config: Any) -> list[DetectionMode]:
        """What this configuration may use, the preferred one first; empty when it is switched off."""

    @abstractmethod
    def detection_result(self, config: Any, webhook: Webhook) -> AnsweredBy | None:
        """The verdict that a genuine webhook carries, if any."""


__all__ = ["AnsweredBy", "Detection", "DetectionMode"]
