"""Between the generated bindings and what authors implement: the interfaces that a component exports.

What an author raises becomes the error of the contract. So does a defect, wherever the contract has a place for it: it is
told by the name of its exception and the place in the source, never by its text, which may hold what must not be seen.
"""

import importlib
import os
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from componentize_py_types import Err
from wit_world.exports.media import FrameProblem
from wit_world.imports import types

from .call import Call
from .config import read_config, sealed_members, write_config
from .failure import Failure, Interruption
from .http import Response
from .io import Io
from .media import FrameRefused, malformed
from .provider import Provider
from .spec import FieldProblem, InvalidCredentials
from .text import read_json
from .webhook import Rejection, Webhook

#: The optional interfaces: what an author extends, and its functions by how they are called.
ABILITIES = {
    "calling": ("place_call", "hang_up", "fetch_status", "fetch_cost"),
    "detection": (),
    "numbers": ("validate_number", "provision_number", "configure_inbound"),
    "transfer": ("dial_destination", "connect", "cancel", "handle_transfer_callback"),
    "setup": ("prepare_credentials",),
    "trunks": ("apply_trunk", "remove_trunk"),
    "events": ("handle_event",),
}

# Longest text of a message that could not be read, in characters.
_MALFORMED_CHARS_MAX = 100

# This package, and the standard library.
_NOT_THE_AUTHORS = (PurePath(__file__).parent, PurePath(os.__file__).parent)

Exports = dict[str, Any]


def abilities(provider: type[Provider]) -> list[str]:
    """The abilities of a provider: those whose classes it extends."""
    names = {base.__module__ for base in provider.__mro__}
    return [ability for ability in ABILITIES if f"{__package__}.{ability}" in names]


def exports(provider_type: type[Provider]) -> Exports:
    """The classes that the bindings look for, each with the functions of one interface, and the resource ``Leg``."""
    provider = provider_type()
    config_type = provider_type.config_type
    # Found out once, before the component is frozen, and not by each of its instances.
    sealed_members(config_type)

    def config_of(text: str) -> Any:
        try:
            return read_config(config_type, read_json(text))
        except ValueError:
            raise Failure.internal(
                "config-unreadable",
                "The stored configuration has a shape that this version of the provider does not know; save it again.",
            ) from None

    def operation(name: str) -> Callable[..., Any]:
        implementation = getattr(provider, name)

        def export(_self: Any, config: str, *arguments: Any) -> Any:
            *rest, replies = arguments
            try:
                io = Io(replies)
                outcome = implementation(config_of(config), *map(_adopt, rest), io)
                io.finish()
                return outcome
            except Interruption as interruption:
                raise Err(types.Interruption_Perform(interruption.effect)) from None
            except Failure as failure:
                raise Err(types.Interruption_Failed(failure.record())) from None
            except Exception as defect:
                raise Err(types.Interruption_Failed(_defect(defect).record())) from None

        return export

    class Descriptor:
        def spec(self) -> Any:
            return provider.spec()

        def config_loader(self, credentials: str) -> str:
            try:
                return write_config(provider.config_loader(read_json(credentials)))
            except InvalidCredentials as invalid:
                raise Err(invalid.problems) from None
            except Exception as defect:
                # A form shows problems at fields only.
                field = next((field.name for field in provider.spec().fields), "")
                raise Err([FieldProblem(field, f"The provider has a defect: {_where(defect)}.")]) from None

    class WebhookExports:
        handle_callback = operation("handle_callback")

        def recognise(self, webhook: types.Webhook) -> Any:
            return provider.recognise(_adopt(webhook))

        def verify_signature(self, config: str, webhook: types.Webhook) -> Any:
            try:
                return provider.verify_signature(config_of(config), _adopt(webhook))
            except Rejection as rejection:
                raise Err(rejection.record()) from None
            except Failure as failure:
                raise Err(Rejection(failure.code, failure.message).record()) from None
            except Exception as defect:
                raise Err(Rejection("defect", f"The provider has a defect: {_where(defect)}.").record()) from None

    class Answer:
        answer_markup = operation("answer_markup")
        reject_call = operation("reject_call")

        def rejection_markup(self, reason: Any) -> Any:
            return provider.rejection_markup(reason)

    class Leg:
        def __init__(self, config: str, call: types.Call) -> None:
            # A constructor has no way to say that it failed.
            try:
                self._leg = provider_type.leg_type(config_of(config), _adopt(call))
                self._problem = ""
            except Exception as defect:
                self._problem = str(defect) if isinstance(defect, Failure) else _where(defect)

        def deserialize_frame(self, message: Any) -> Any:
            if self._problem:
                return malformed(self._problem[:_MALFORMED_CHARS_MAX])
            try:
                return self._leg.deserialize_frame(message)
            except Exception as defect:
                return malformed(_where(defect)[:_MALFORMED_CHARS_MAX])

        def serialize_frame(self, frame: Any) -> Any:
            if self._problem:
                raise Err(FrameProblem.NOT_STARTED)
            try:
                return self._leg.serialize_frame(frame)
            except FrameRefused as refused:
                raise Err(refused.problem) from None

    found: Exports = {"Descriptor": Descriptor, "Webhook": WebhookExports, "Answer": Answer, "Leg": Leg}
    for ability in abilities(provider_type):
        functions: dict[str, Any] = {name: operation(name) for name in ABILITIES[ability]}
        functions.update(_plain(ability, provider, config_of))
        found[ability.capitalize()] = type(ability.capitalize(), (), functions)
    return found


def _plain(ability: str, provider: Any, config_of: Callable[[str], Any]) -> dict[str, Any]:
    """The functions of an ability that perform no effects."""
    if ability == "detection":
        return {
            "detection_modes": lambda _self, config: provider.detection_modes(config_of(config)),
            "detection_result": lambda _self, config, webhook: provider.detection_result(config_of(config), _adopt(webhook)),
        }
    if ability == "setup":
        return {
            "checklist": lambda _self, config, facts: provider.checklist(config_of(config), facts),
            "connectivity_details": lambda _self, config, urls: provider.connectivity_details(config_of(config), urls),
        }
    if ability == "trunks":
        return {"trunk_fields": lambda _self: provider.trunk_fields()}
    if ability == "events":

        def endpoint(_self: Any, config: str) -> Any:
            try:
                return provider.endpoint(config_of(config))
            except Failure as failure:
                raise Err(failure.record()) from None
            except Exception as defect:
                raise Err(_defect(defect).record()) from None

        return {"endpoint": endpoint}
    return {}


_ADOPTED: dict[type, type] = {types.Webhook: Webhook, types.Call: Call, types.Response: Response}


def _adopt(argument: Any) -> Any:
    """The bindings make instances of their own classes; ours have the same fields, and methods."""
    ours = _ADOPTED.get(type(argument))
    if ours is None and type(argument).__name__ == "TransferLeg":
        # Of an interface that only providers with this ability have.
        ours = _ADOPTED[type(argument)] = importlib.import_module(f"{__package__}.transfer").TransferLeg
    if ours is not None:
        argument.__class__ = ours
    return argument


def _defect(defect: Exception) -> Failure:
    return Failure.internal("defect", f"The provider has a defect: {_where(defect)}.")


def _where(defect: Exception) -> str:
    """The kind of a defect and its innermost place in the author's own modules, without its text."""
    place = ""
    trace = defect.__traceback__
    while trace is not None:
        file = PurePath(trace.tb_frame.f_code.co_filename)
        if not any(file.is_relative_to(folder) for folder in _NOT_THE_AUTHORS):
            place = f" at {file.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return type(defect).__name__ + place
