"""Builds Plivo XML with the official package and compares it with ours in canonical form (C14N 2.0).

Reads from standard input one JSON document a line: `{"name", "markup", "verbs": [[verb, argument …] …]}`. Prints for
each `{"name", "ours", "official"}`, both canonical; `ours` is an error's text where the markup is not well-formed XML.
"""

import io
import json
import sys
from xml.etree import ElementTree

from plivo import plivoxml

ELEMENTS = {
    "stream": plivoxml.StreamElement,
    "conference": plivoxml.ConferenceElement,
    "speak": plivoxml.SpeakElement,
}


def build(verbs):
    response = plivoxml.ResponseElement()
    for verb, *arguments in verbs:
        if verb == "hangup":
            response.add(plivoxml.HangupElement(**arguments[0]))
        else:
            content, attributes = arguments
            response.add(ELEMENTS[verb](content, **attributes))
    return response.to_string(pretty=False)


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
