"""Asks the official package of Standard Webhooks whether requests are genuine.

Reads from standard input one JSON document a line: `{"secret", "headers", "body"}`, the body as text. Prints for each
`{"genuine", "type"}`, the type as the package has parsed it out of the body.
"""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError


def main():
    for line in sys.stdin:
        case = json.loads(line)
        try:
            event = Webhook(case["secret"]).verify(case["body"], case["headers"])
            print(json.dumps({"genuine": True, "type": event["type"]}))
        except WebhookVerificationError as error:
            print(json.dumps({"genuine": False, "type": None, "why": str(error)}))


main()
