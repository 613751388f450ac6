"""What the recorded cases do not say: that straight-line code asks for one thing after the other, for example.

The cases themselves are the same for the samples of all languages; the runtime runs them against the built component.
"""

import unittest
from pathlib import Path
from typing import Any

from provider import ExampleTelecom
from strowger_sdk.testing import check_cases, invoke

CASES = Path(__file__).parents[2] / "example-telecom" / "cases"
CONFIG = {"account": "ACME01", "api_key": "sealed:key", "signing_secret": "sealed:secret"}


class ExampleTelecomTest(unittest.TestCase):
    def test_the_recorded_cases_hold(self) -> None:
        check_cases(ExampleTelecom, CASES)

    def test_pointing_a_number_here_takes_two_requests(self) -> None:
        arguments = {
            "config": CONFIG,
            "address": "+14155550100",
            "webhook-url": "https://gateway.example/inbound",
            "attach": True,
        }
        replies: list[Any] = []

        def configure() -> Any:
            return invoke(ExampleTelecom, "numbers.configure-inbound", {**arguments, "replies": replies})

        asked = configure()["err"]["perform"]["http"]
        self.assertEqual(asked["method"], "GET")
        self.assertTrue(asked["url"].endswith("/ACME01/numbers/%2B14155550100"))
        self.assertEqual(asked["authorization"], {"bearer": "sealed:key"})
        replies.append({"http": {"status": 200, "headers": [], "body": '{"webhook_url":null}'}})
        set_to = configure()["err"]["perform"]["http"]
        self.assertEqual((set_to["method"], set_to["body"]), ("PUT", '{"webhook_url":"https://gateway.example/inbound"}'))
        replies.append({"http": {"status": 204, "headers": [], "body": ""}})
        self.assertEqual(configure(), {"ok": "done"})

    def test_a_url_cannot_leave_its_attribute(self) -> None:
        url = "wss://a/?x=\"><Reject/>&y='1'"
        arguments = {
            "config": CONFIG,
            "call": {"id": "1", "direction": "inbound", "caller": "", "callee": ""},
            "media": {"url": url, "base-url": "wss://a", "token": "t"},
        }
        answered = invoke(ExampleTelecom, "answer.answer-markup", arguments)["ok"]
        self.assertEqual(
            answered["response"]["body"],
            '<?xml version="1.0" encoding="UTF-8"?><Response>'
            '<Stream url="wss://a/?x=&quot;&gt;&lt;Reject/&gt;&amp;y=&apos;1&apos;"/></Response>',
        )


if __name__ == "__main__":
    unittest.main()
