"""What componentize-py makes a component of: the author's module ``provider``, exported.

Only the author's build runs this; unit tests import ``provider`` itself.
"""

import gc
import io
import sys
from types import ModuleType

from .export import exports
from .find import provider_type


class _Nowhere(io.TextIOBase):
    """A component has no output: a forgotten ``print`` must not end a call."""

    def write(self, text: str) -> int:
        return len(text)


_exports = exports(provider_type())

# A resource is looked up in a module with the name of its interface.
_media = ModuleType("media")
_media.Leg = _exports.pop("Leg")  # type: ignore[attr-defined]
sys.modules["media"] = _media
globals().update(_exports)

sys.stdout = sys.stderr = _Nowhere()

# What is here now stays: the collector need not look at it again, which would touch, and so copy, every page in each instance.
gc.collect()
gc.freeze()
