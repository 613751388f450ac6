"""Runs a provider's recorded cases without a runtime: what goes into an export, and what comes out of it.

Cases are JSON files in the provider's ``cases/``, one case or an array of cases in each. The runtime runs the same files
against the built component, so they hold for a provider in any language::

    {
      "name": "a call that has ended already",
      "export": "calling.hang-up",
      "config": { "account": "A1", "token": "sealed:token" },
      "input": { "call": { "id": "7", "provider-call-id": "C1", "direction": "inbound", "caller": "", "callee": "" } },
      "replies": [{ "http": { "status": 404, "headers": [], "body": "" } }],
      "expect": { "ok": "already-ended" }
    }

``config`` is what the export gets; with ``credentials`` in its place it is made by ``config-loader`` first. ``replies`` is
the history of an operation, ``input`` has the other arguments by name. For ``media.leg`` these are ``call`` and ``script``,
an array of ``{"deserialize": message}`` and ``{"serialize": frame}``; it gives an array with the result of each. How a value
is spelled is said in :mod:`strowger_sdk.testing_json`.
"""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from componentize_py_types import Err
from wit_world import exports as protocols
from wit_world.exports import media

from .export import exports
from .provider import Provider
from .testing_json import Misfit, differences, read, write

_CASE_KEYS = {"name", "export", "config", "credentials", "input", "replies", "expect"}

#: Exports whose contract has no result: what they return stands alone.
_WITHOUT_RESULT = {
    "descriptor.spec",
    "webhook.recognise",
    "answer.rejection-markup",
    "detection.detection-modes",
    "detection.detection-result",
    "setup.checklist",
    "setup.connectivity-details",
    "trunks.trunk-fields",
    "media.deserialize-frame",
}

Case = dict[str, Any]


def check_cases(provider: type[Provider], folder: str | Path) -> None:
    """Runs every case in the ``*.json`` files of a folder; raises AssertionError with those that do not hold."""
    cases = [(file, case) for file in sorted(Path(folder).glob("*.json")) for case in read_cases(file)]
    failures = []
    for file, case in cases:
        try:
            run_case(provider, case)
        except AssertionError as problem:
            failures.append(f"{file.name}: {case.get('name')}\n{problem}")
    if failures:
        raise AssertionError(f"{len(failures)} of {len(cases)} cases do not hold\n\n" + "\n\n".join(failures))
    if not cases:
        raise AssertionError(f"there are no cases in {folder}")


def read_cases(file: Path) -> list[Case]:
    """The cases of a file."""
    cases = json.loads(file.read_text())
    return cases if isinstance(cases, list) else [cases]


def run_case(provider: type[Provider], case: Case) -> None:
    """Runs one case; raises AssertionError with what is different."""
    if unknown := case.keys() - _CASE_KEYS:
        raise AssertionError(f"  a case has no member {', '.join(sorted(unknown))}")
    arguments = dict(case.get("input") or {})
    if "config" in case and "credentials" in case:
        raise AssertionError("  a case has `config` or `credentials`, not both")
    if "config" in case:
        arguments["config"] = case["config"]
    elif "credentials" in case:
        credentials = {"credentials": case["credentials"]}
        if case["export"] == "descriptor.config-loader":
            arguments.update(credentials)
        else:
            loaded = invoke(provider, "descriptor.config-loader", credentials)
            if "ok" not in loaded:
                raise AssertionError(f"  config-loader refuses the credentials of this case: {loaded}")
            arguments["config"] = loaded["ok"]
    if case.get("replies") is not None:
        arguments["replies"] = case["replies"]
    actual = invoke(provider, case["export"], arguments)
    if found := differences(case["expect"], actual):
        raise AssertionError("\n".join(f"  {difference}" for difference in found))


def invoke(provider: type[Provider], export: str, arguments: dict[str, Any]) -> Any:
    """Runs an export once on JSON. ``export`` is ``interface.function`` as the contract spells it."""
    interface, _, function = export.partition(".")
    found = exports(provider)
    try:
        if interface == "media":
            return _invoke_leg(found["Leg"], function, arguments)
        name, method = interface.capitalize(), function.replace("-", "_")
        if name not in found or not hasattr(getattr(protocols, name), method):
            raise Misfit(f"there is no export {export}")
        protocol = getattr(getattr(protocols, name), method)
        implementation = getattr(found[name](), method)
        return _call(export, implementation, _arguments(protocol, arguments))
    except Misfit as misfit:
        raise AssertionError(f"  {misfit}") from None


def _call(export: str, implementation: Callable[..., Any], arguments: list[Any]) -> Any:
    if export in _WITHOUT_RESULT:
        return write(implementation(*arguments))
    try:
        return {"ok": write(implementation(*arguments))}
    except Err as error:
        return {"err": write(error.value)}


def _arguments(protocol: Callable[..., Any], given: dict[str, Any]) -> list[Any]:
    """The arguments of a function in order, read as its annotations say."""
    hints = get_type_hints(protocol)
    names = [name for name in inspect.signature(protocol).parameters if name != "self"]
    if unknown := given.keys() - {name.replace("_", "-") for name in names}:
        raise Misfit(f"input.{sorted(unknown)[0]} is not a parameter")
    return [read(f"input.{name}", hints[name], given.get(name.replace("_", "-"))) for name in names]


def _invoke_leg(kind: Any, function: str, given: dict[str, Any]) -> Any:
    """The resource, run on a script; or one of its methods, after the messages that the leg was given before."""
    given = dict(given)
    if function == "leg":
        script = given.pop("script", [])
    else:
        parameter = {"deserialize-frame": "message", "serialize-frame": "frame"}[function]
        script = [{"deserialize-frame": message} for message in given.pop("messages", None) or []]
        script.append({function: given.pop(parameter, None)})
    leg = kind(*_arguments(media.Leg.__init__, given))
    results = []
    for line in script:
        [(verb, value)] = line.items()
        method = f"{verb.split('-')[0]}_frame"
        [argument] = _arguments(getattr(media.Leg, method), {"message" if verb.startswith("d") else "frame": value})
        results.append(_call(f"media.{method.replace('_', '-')}", getattr(leg, method), [argument]))
    return results if function == "leg" else results[-1]
