"""Replay, failures and defects, through the wrappers that a component exports."""

import unittest
from typing import Any

from acme import Acme, AcmeLeg
from strowger_sdk import Failure, FailureKind, Io, Request, Response, join_path
from strowger_sdk.testing import invoke

CONFIG = {"account": "A1", "token": "sealed:token"}
CALL = {"id": "1", "provider-call-id": "C 1", "direction": "inbound", "caller": "", "callee": ""}


def hang_up(replies: list[Any], config: Any = CONFIG) -> Any:
    return invoke(Acme, "calling.hang-up", {"config": config, "call": CALL, "replies": replies})


class OperationsTest(unittest.TestCase):
    def test_each_round_goes_one_effect_further(self) -> None:
        replies: list[Any] = []
        self.assertEqual(hang_up(replies), {"err": {"perform": {"load": "greeting"}}})
        replies.append({"value": None})
        self.assertEqual(hang_up(replies), {"err": {"perform": {"claim": {"key": "turn", "ttl-ms": 1000}}}})
        replies.append({"claimed": True})
        asked = hang_up(replies)["err"]["perform"]["http"]
        self.assertEqual((asked["method"], asked["url"]), ("DELETE", "https://api.example.com/calls/C%201"))
        self.assertEqual(asked["authorization"], {"bearer": "sealed:token"})
        replies.append({"http": {"status": 200, "headers": [], "body": "[1]"}})
        saved = {"save": {"key": "greeting", "value": [1], "ttl-ms": 1000}}
        self.assertEqual(hang_up(replies), {"err": {"perform": saved}})
        replies.append("saved")
        self.assertEqual(hang_up(replies), {"ok": "ended"})
        self.assertEqual(hang_up([{"value": {"kept": 1}}]), {"ok": "already-ended"})

    def test_replies_out_of_step_are_a_defect(self) -> None:
        for replies in (["saved"], [{"value": {}}, "saved"], [{"value": None}, {"value": None}]):
            self.assertEqual(hang_up(replies)["err"]["failed"]["code"], "replay", replies)

    def test_an_unreachable_carrier_may_be_tried_again(self) -> None:
        failed = hang_up([{"value": None}, {"claimed": True}, {"unreachable": "refused"}])["err"]["failed"]
        self.assertEqual((failed["kind"], failed["code"], failed["retryable"]), ("carrier", "unreachable", True))

    def test_an_effect_is_not_held_up_by_an_except(self) -> None:
        given = {"config": CONFIG, "call": CALL, "replies": []}
        self.assertIn("perform", invoke(Acme, "calling.fetch-status", given)["err"])

    def test_a_defect_is_told_by_its_place_alone(self) -> None:
        failed = invoke(Acme, "calling.fetch-cost", {"config": CONFIG, "call": CALL})["err"]["failed"]
        self.assertEqual((failed["kind"], failed["code"], failed["owner"]), ("internal", "defect", "operator"))
        self.assertRegex(failed["message"], r"^The provider has a defect: KeyError at acme\.py:\d+\.$")
        refused = invoke(Acme, "webhook.verify-signature", {"config": CONFIG, "webhook": webhook("defect")})["err"]
        self.assertEqual(refused["code"], "defect")
        problem = invoke(Acme, "descriptor.config-loader", {"credentials": {"account": 7}})["err"]
        self.assertRegex(problem[0]["problem"], "AttributeError at acme.py")

    def test_a_configuration_has_its_shape(self) -> None:
        self.assertEqual(invoke(Acme, "descriptor.config-loader", {"credentials": CONFIG}), {"ok": CONFIG})
        problems = invoke(Acme, "descriptor.config-loader", {"credentials": {"account": "A1"}})["err"]
        self.assertEqual([problem["field"] for problem in problems], ["token"])
        for config in ({"account": "A1"}, [], "x"):
            self.assertEqual(hang_up([], config)["err"]["failed"]["code"], "config-unreadable", config)

    def test_a_leg_that_cannot_be_made_hears_nothing(self) -> None:
        given = {"config": {}, "call": CALL, "script": [{"deserialize": {"text": "{}"}}, {"serialize": "stop"}]}
        heard, said = invoke(Acme, "media.leg", given)
        self.assertIn("config-unreadable", heard[0]["malformed"])
        self.assertEqual(said, {"err": "not-started"})
        self.assertLessEqual(len(heard[0]["malformed"]), 100)

    def test_a_leg_with_a_defect_goes_on(self) -> None:
        given = {"config": CONFIG, "call": CALL, "message": {"text": "?"}, "messages": [{"binary": ""}]}
        [event] = invoke(Acme, "media.deserialize-frame", given)
        self.assertRegex(event["malformed"], r"^JSONDecodeError at acme\.py:\d+$")
        self.assertIs(Acme.leg_type, AcmeLeg)


def webhook(url: str) -> dict[str, Any]:
    return {"method": "POST", "url": url, "headers": [{"name": "X-A", "value": "1"}], "body": "", "received-at": 0}


class HttpTest(unittest.TestCase):
    def test_an_identifier_cannot_leave_its_segment(self) -> None:
        self.assertEqual(join_path("https://a/", "b/../c?d", "é~"), "https://a/b%2F..%2Fc%3Fd/%C3%A9~")
        for segment in ("", ".", ".."):
            with self.assertRaises(Failure):
                join_path("https://a", segment)

    def test_requests_are_built(self) -> None:
        request = Request.post("https://a?b=1").query([("c", "d e")]).form([("f", "g&h")]).credential_header("x", "y")
        self.assertEqual((request.url, request.body), ("https://a?b=1&c=d+e", b"f=g%26h"))
        self.assertEqual(request.headers[0].value, "application/x-www-form-urlencoded")

    def test_a_status_tells_whose_fault_it_is(self) -> None:
        for status, kind, retryable in (
            (401, FailureKind.CONFIGURATION, False),
            (302, FailureKind.CONFIGURATION, False),
            (402, FailureKind.QUOTA, False),
            (429, FailureKind.QUOTA, True),
            (408, FailureKind.CARRIER, True),
            (503, FailureKind.CARRIER, True),
            (404, FailureKind.REQUEST, False),
            (204, FailureKind.CARRIER, True),
        ):
            with self.assertRaises(Failure) as raised:
                Response.empty(status).require([200])
            failure = raised.exception
            self.assertEqual((failure.kind, failure.retryable), (kind, retryable), status)

    def test_a_response_is_read(self) -> None:
        response = Response.json({"a": 1}).require(range(200, 300))
        self.assertEqual((response.header("Content-Type"), response.read_json()), ("application/json", {"a": 1}))
        with self.assertRaises(Failure):
            Response.text("<html>").read_json()

    def test_an_operation_without_effects_finishes(self) -> None:
        Io([]).finish()
