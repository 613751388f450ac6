"""Builds TwiML with the official package and compares it with ours in canonical form (C14N 2.0).

Reads from standard input one JSON document a line: `{"name", "markup", "verbs": [[verb, argument …] …]}`. Prints for
each `{"name", "ours", "official"}`, both canonical; `ours` is an error's text where the markup is not well-formed XML.
"""

import io
import json
import sys
from xml.etree import ElementTree

from twilio.twiml.voice_response import Connect, VoiceResponse


def build(verbs):
    response = VoiceResponse()
    for verb, *arguments in verbs:
        if verb == "connect-stream":
            url, attributes, parameters = arguments
            connect = Connect()
            stream = connect.stream(url=url, **attributes)
            for name, value in parameters:
                stream.parameter(name=name, value=value)
            response.append(connect)
        elif verb == "dial-conference":
            name, attributes = arguments
            response.dial().conference(name, **attributes)
        elif verb == "pause":
            response.pause(length=arguments[0])
        elif verb == "say":
            response.say(arguments[0])
        elif verb == "hangup":
            response.hangup()
        elif verb == "reject":
            response.reject(reason=arguments[0])
        else:
            raise ValueError(verb)
    return response.to_xml()


def canonical(markup):
    return ElementTree.canonicalize(from_file=io.BytesIO(markup.encode()))


def main():
    for line in sys.stdin:
        case = json.loads(line)
        try:
            ours = canonical(case["markup"])
        except ElementTree.ParseError as error:
            ours = f"not well-formed: {error}"
        print(json.dumps({"name": case["name"], "ours": ours, "official": canonical(build(case["verbs"]))}))


main()
