"""That every function of the contract is exported, and what is not implemented is not."""

import unittest
from typing import Any

from acme import Acme
from strowger_sdk.export import ABILITIES, abilities, exports
from strowger_sdk.testing import invoke
from strowger_sdk.testing_json import differences
from wit_world import exports as protocols

CONFIG = {"account": "A1", "token": "sealed:token"}
CALL = {"id": "1", "direction": "outbound", "caller": "", "callee": ""}
LEG = {
    "id": "T",
    "state": "answered",
    "destination": "+14155550100",
    "ring-timeout-s": 30,
    "routes": [{"name": "leg", "url": "https://a"}],
    "attachment": {"a": 1},
}
URLS = {"dispatcher": "https://a", "routes": "https://b", "media": "wss://c"}
TRUNK = {"name": "t", "enabled": True, "settings": {"host": "a"}}


class ExportsTest(unittest.TestCase):
    def test_every_function_is_there(self) -> None:
        found = exports(Acme)
        for interface, protocol in vars(protocols).items():
            if interface[0].isupper() and getattr(protocol, "_is_protocol", False):
                for function in (name for name in vars(protocol) if not name.startswith("_")):
                    self.assertTrue(hasattr(found[interface], function), f"{interface}.{function}")

    def test_abilities_are_what_a_provider_extends(self) -> None:
        self.assertEqual(abilities(Acme), list(ABILITIES))
        bare = type("Bare", Acme.__mro__[1:2], dict(vars(Acme)))
        self.assertEqual(abilities(bare), [])
        self.assertNotIn("Calling", exports(bare))

    def test_values_are_spelled_as_the_runtime_spells_them(self) -> None:
        given: list[tuple[str, dict[str, Any], Any]] = [
            ("answer.rejection-markup", {"reason": "at-capacity"}, text("AT_CAPACITY")),
            (
                "webhook.verify-signature",
                {"webhook": {"method": "POST", "url": "u", "headers": [], "body": "", "received-at": 1}},
                {"ok": [{"label": "all", "checks": CHECKS}]},
            ),
            ("detection.detection-modes", {}, ["end-of-greeting"]),
            ("numbers.validate-number", {"address": "1"}, {"ok": "not-applicable"}),
            ("numbers.provision-number", {"address": "1"}, {"ok": "not-offered"}),
            (
                "numbers.configure-inbound",
                {"address": "1", "webhook-url": "u", "attach": True},
                {"ok": {"left-alone": "no"}},
            ),
            (
                "transfer.dial-destination",
                {"call": CALL, "leg": LEG},
                {"ok": {"provider-call-id": "https://a", "attachment": {"a": 1}}},
            ),
            ("transfer.connect", {"call": CALL, "leg": LEG}, "ok"),
            ("setup.prepare-credentials", {"saving": {"occasion": "create", "urls": URLS, "unique": "0"}}, {"ok": []}),
            (
                "setup.connectivity-details",
                {"urls": URLS},
                [{"title": "a", "details": [{"label": "b", "value": "wss://c"}]}],
            ),
            ("trunks.apply-trunk", {"trunk": TRUNK}, {"ok": {"external-id": "T1", "settings": {"host": "a"}}}),
            ("events.endpoint", {}, {"ok": {"url": "wss://a", "authorization": "none"}}),
            ("events.handle-event", {"message": {"a": 1}, "received-at": 1}, {"ok": []}),
        ]
        for export, arguments, expected in given:
            if export != "answer.rejection-markup":
                arguments["config"] = CONFIG
            self.assertEqual(differences(expected, invoke(Acme, export, arguments)), [], export)

    def test_what_does_not_fit_is_said(self) -> None:
        for export, arguments, problem in (
            ("webhook.frobnicate", {}, "there is no export"),
            ("answer.rejection-markup", {"reason": "boredom"}, "must be one of unknown-number"),
            ("trunks.apply-trunk", {"config": "{}", "trunk": {**TRUNK, "colour": "red"}}, r"trunk\.colour is not a field"),
            ("trunks.apply-trunk", {"config": "{}", "trunk": {**TRUNK, "enabled": 1}}, "must be of type bool"),
            ("trunks.trunk-fields", {"config": "{}"}, "is not a parameter"),
        ):
            with self.assertRaisesRegex(AssertionError, problem):
                invoke(Acme, export, arguments)


def text(body: str) -> dict[str, Any]:
    headers = [{"name": "content-type", "value": "text/plain; charset=utf-8"}]
    return {"status": 200, "headers": headers, "body": body}


CHECKS = [
    {
        "hmac": {
            "hash": "sha256",
            "key": {"reference": "sealed:token", "encoding": "utf8"},
            "message": [{"bytes": "a"}, {"sealed": "sealed:token"}],
            "expected": "b",
        }
    },
    {"equals": {"sealed": "sealed:token", "presented": "c"}},
    {"once": {"key": "d", "ttl-ms": 1}},
]


class DifferencesTest(unittest.TestCase):
    def test_spellings_of_one_value_are_equal(self) -> None:
        for left, right in (
            ({"a": {"b": [1]}}, {"a": '{ "b": [1] }'}),
            ({"a": None}, {}),
            ({"base64": "aGk="}, "hi"),
            ({"equals": True}, {"equals": "true"}),
            ('{"a":1,"b":2}', '{"b": 2, "a": 1}'),
            ({"ok": None}, "ok"),
            ({"value": "u1"}, {"value": '"u1"'}),
        ):
            self.assertEqual(differences(left, right), [])

    def test_a_difference_names_its_place(self) -> None:
        for left, right, path in (
            ({"ok": [{"a": 1}]}, {"ok": [{"a": 2}]}, "expect.ok[0].a"),
            ([1], [1, 2], "expect[1]"),
            ({"body": {"a": 1}}, {"body": '{"a":2}'}, "expect.body.a"),
            ({"base64": "aGk="}, "ho", "expect"),
            ({"a": True}, {"a": 1}, "expect.a"),
        ):
            [found] = differences(left, right)
            self.assertTrue(found.startswith(path + "\n"), found)
