"""Finds the provider that an author wrote."""

import importlib
import inspect

from .provider import Provider

#: The author's module.
MODULE = "provider"


class NoProvider(Exception):
    """The author's module has no provider that can be exported; the text says how to mend it."""


def provider_type() -> type[Provider]:
    """The one class in the author's module ``provider`` that extends :class:`Provider`."""
    module = importlib.import_module(MODULE)
    found = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Provider) and kind.__module__ == MODULE
    ]
    match found:
        case []:
            raise NoProvider(
                "provider.py has no provider\n  Write a class that extends `Provider` and the abilities that the carrier "
                "has:\n\n      class Acme(Provider, Calling):"
            )
        case [only]:
            _check(only)
            return only
        case _:
            names = ", ".join(kind.__name__ for kind in found)
            raise NoProvider(
                f"provider.py has {len(found)} providers: {names}\n  A component is one provider; keep one of them in "
                "provider.py, and the others in modules of their own."
            )


def _check(kind: type[Provider]) -> None:
    missing = sorted(kind.__abstractmethods__)
    if missing:
        lines = "\n".join(f"      {_signature(kind, name)} ..." for name in missing)
        raise NoProvider(
            f"`{kind.__name__}` lacks {len(missing)} of the functions that its base classes ask for\n  Write "
            f"them, or do not extend the ability that they belong to:\n\n{lines}"
        )
    leg = getattr(kind, "leg_type", None)
    if leg is None:
        raise NoProvider(
            f"`{kind.__name__}` does not say how its media is wrapped\n  Write a class that extends `Leg`, and name it in "
            f"the provider:\n\n      class {kind.__name__}(...):\n          leg_type = MyLeg"
        )
    if missing := sorted(getattr(leg, "__abstractmethods__", ())):
        raise NoProvider(f"`{leg.__name__}` lacks {', '.join(missing)}\n  Write what `Leg` asks for.")


def _signature(kind: type[Provider], name: str) -> str:
    """The head of a function that a base class asks for, as it stands there."""
    source = inspect.getsource(getattr(kind, name))
    head = source[source.index("def ") : source.index('"""')]
    return " ".join(head.split())
