"""Builds call control objects with Vonage's official models.

Reads from standard input one JSON document a line: `{"name", "actions": [[action, argument …] …]}`. Prints for each
`{"name", "official"}`, the list of actions as the official client would send it.
"""

import json
import sys

from vonage_voice.models import Connect, Talk, WebsocketEndpoint


def build(action, *arguments):
    if action == "talk":
        return Talk(text=arguments[0])
    if action == "connect-socket":
        uri, content_type, headers, event_url = arguments
        endpoint = WebsocketEndpoint(uri=uri, contentType=content_type, headers=headers)
        # The model wants a caller id, which Vonage's documentation does not ask for where a socket is called.
        return Connect(endpoint=[endpoint], eventUrl=[event_url], randomFromNumber=False)
    raise ValueError(action)


def sent(action):
    shown = action.model_dump(by_alias=True, exclude_none=True, mode="json")
    shown.pop("randomFromNumber", None)
    return shown


def main():
    for line in sys.stdin:
        case = json.loads(line)
        official = [sent(build(*action)) for action in case["actions"]]
        print(json.dumps({"name": case["name"], "official": official}))


main()
