"""Signs random webhooks with Plivo's official package, for the verifier of ours and for the same package on Node.js.

    plivo_sign.py SEED COUNT

Prints one JSON document a line: a webhook (`method`, `url`, `body` in base64), the `request` as both official packages
take it, the `signature` of this one (null where it fails), and copies with one thing changed, each with the verdict of
the official validator. `kind` names what is peculiar about the webhook.
"""

import base64
import json
import random
import string
import sys
from urllib.parse import parse_qsl, quote, quote_plus

from plivo.utils.signature_v3 import (
    construct_get_url,
    construct_post_url,
    get_signature_v3,
    validate_v3_signature,
)

LETTERS = string.ascii_letters + string.digits
# Between these, both packages sort alike.
BEYOND_ASCII = "äöüßéñ語日本"
NASTY = " +&=%?#/\\:;,'\"<>@!$*()[]{}|^`~."
NAMES = ["CallUUID", "From", "To", "CallStatus", "Direction", "Digits", "Event", "SIP-H-To", "a", "A", "aa", "1", "02"]
HOSTS = ["gateway.example", "voice.gateway.example", "GATEWAY.example", "192.0.2.7", "localhost"]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, probability):
        return self.random.random() < probability

    def text(self, longest, letters=LETTERS + NASTY):
        return "".join(self.random.choice(letters) for _ in range(self.random.randint(0, longest)))

    def escaped(self, text):
        return self.random.choice([quote_plus, lambda text: quote(text, safe="")])(text)

    def form(self, pairs):
        return "&".join(f"{self.escaped(name)}={self.escaped(value)}" for name, value in pairs)

    def pairs(self, least, most, letters=LETTERS + NASTY):
        names = self.random.sample(NAMES, self.random.randint(least, most))
        return [(name, "" if self.chance(0.15) else self.text(16, letters)) for name in names]

    def webhook(self, kind):
        method = self.random.choice(["POST", "POST", "POST", "GET"])
        scheme = self.random.choice(["https", "https", "http"])
        host = self.random.choice(HOSTS) + self.random.choice(["", "", ":443", ":8443", ":80"])
        path = "".join(
            "/" + quote(self.text(8, LETTERS + "-._~ %&=+"), safe="") for _ in range(self.random.randint(0, 4))
        )
        path += "/" if self.chance(0.2) else ""
        query = self.pairs(0, 3) if self.chance(0.6) else []
        form = self.pairs(1, 9) if method == "POST" else []

        if kind == "bare":
            query, form = [], []
        elif kind == "list":
            pairs = form if method == "POST" else query
            pairs += self.pairs(1, 3)
            pairs += [(self.random.choice(pairs)[0], self.text(6)) for _ in range(self.random.randint(1, 4))]
            self.random.shuffle(pairs)
        elif kind == "beyond-ascii form":
            method = "POST"
            form = self.pairs(1, 6, LETTERS + BEYOND_ASCII) + [("Text", self.text(6, BEYOND_ASCII) + "é")]
        elif kind == "looks encoded twice":
            # Read as Latin-1, the UTF-8 of some other text.
            method = "POST"
            form = self.pairs(1, 6) + [("Text", (self.text(6, BEYOND_ASCII) + "é").encode().decode("latin-1"))]
        elif kind == "beyond-ascii query":
            query += [("Text", self.text(6, BEYOND_ASCII) + "é")]
        elif kind == "order beyond the basic plane":
            method, form = "POST", [("\uffe6", "won"), ("\U0001f600", "smile")]
        elif kind == "user information":
            host = "user:secret@" + host
        elif kind == "path parameters":
            path += "/x;v=1"
        elif kind == "ipv6":
            host = "[2001:db8::1]:8443"
        elif kind == "prototype":
            query = [("__proto__", "1"), ("a", "2")]

        written = self.form(query)
        if kind == "broken utf-8 query":
            written = "Text=%ff"
        elif written and self.chance(0.2):
            written = self.random.choice([written + "&", "&" + written, written + "&bare", written + "&odd=%zz"])
        url = f"{scheme}://{host}{path}" + (f"?{written}" if written else "") + ("#top" if self.chance(0.05) else "")
        return {
            "method": method,
            "url": url,
            "body": self.form(form),
            "nonce": "".join(self.random.choice(string.digits) for _ in range(20)),
            "token": "".join(self.random.choice(LETTERS) for _ in range(self.random.randint(1, 48))),
        }

    def letter(self, text, first=0):
        """One letter or digit replaced by another; none where there is none."""
        places = [at for at in range(first, len(text)) if text[at] in LETTERS and "%" not in text[max(at - 2, 0) : at]]
        if not places:
            return None
        at = self.random.choice(places)
        return text[:at] + self.random.choice(LETTERS.replace(text[at], "")) + text[at + 1 :]

    def changes(self, kind, webhook):
        url, body = webhook["url"].split("#")[0], webhook["body"]
        base, question_mark, query = url.partition("?")
        path = base.index("/", base.index("//") + 2) if base.count("/") > 2 else len(base)
        elsewhere = self.letter(base, path)
        for name, value in [
            ("path", elsewhere and elsewhere + question_mark + query),
            ("host", url.replace("://", "://x", 1)),
            ("scheme", "ftp" + url[url.index(":") :]),
            ("query", self.letter(url, url.index("?")) if "?" in url else url + "?x=y"),
            ("query", url + ("&" if "?" in url else "?") + "added=1"),
        ]:
            if value and value != url and not (name == "scheme" and kind):
                yield name, webhook | {"url": value}
        yield "nonce", webhook | {"nonce": self.letter(webhook["nonce"])}
        yield "token", webhook | {"token": self.letter(webhook["token"])}
        yield "signature", webhook | {"signature": self.letter(webhook["signature"])}
        if webhook["method"] == "POST":
            for changed in [self.letter(body), body + ("&" if body else "") + "added=1", "" if body else None]:
                if changed is not None:
                    yield "body", webhook | {"body": changed}
            if body:
                # The signature does not say where a name ends, nor in which order parameters came.
                yield "boundary", webhook | {"body": boundary_moved(body)}
                pairs = parse_qsl(body, keep_blank_values=True)
                self.random.shuffle(pairs)
                yield "order", webhook | {"body": self.form(pairs)}
            yield "method", webhook | {"method": "GET", "body": ""}
        else:
            # The method itself is not signed, only what it does to the parameters.
            yield "method", webhook | {"method": "POST"}
        if kind == "looks encoded twice":
            pairs = parse_qsl(body, keep_blank_values=True)
            pairs[-1] = ("Text", pairs[-1][1].encode("latin-1").decode())
            yield "body", webhook | {"body": self.form(pairs)}


def boundary_moved(body):
    """`a=bc` as `ab=c`, of the last parameter; the same where it has no value."""
    rest, separator, last = body.rpartition("&")
    name, _, value = last.partition("=")
    if not value or value[0] not in LETTERS:
        return body
    return f"{rest}{separator}{name}{value[0]}={value[1:]}"


def single_or_list(pairs):
    """As web frameworks hand parameters over: a list where a name repeats."""
    together = {}
    for name, value in pairs:
        together.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in together.items()}


def request(webhook):
    pairs = parse_qsl(webhook["body"], keep_blank_values=True)
    return {"method": webhook["method"], "url": webhook["url"], "parameters": single_or_list(pairs)} | {
        name: webhook[name] for name in ("nonce", "token")
    }


def signature(webhook):
    asked = request(webhook)
    construct = construct_get_url if asked["method"] == "GET" else construct_post_url
    try:
        message = construct(asked["url"], asked["parameters"]).decode()
    except UnicodeError:
        return None
    return get_signature_v3(asked["token"].encode(), message, asked["nonce"].encode()).decode()


def official(webhook):
    asked = request(webhook)
    try:
        return validate_v3_signature(
            asked["method"],
            asked["url"],
            asked["nonce"],
            asked["token"],
            webhook["signature"],
            params=asked["parameters"],
        )
    except Exception:
        # What it cannot read it does not accept either.
        return False


def shown(webhook):
    fields = {name: webhook[name] for name in ("method", "url", "nonce", "token", "signature")}
    return fields | {"body": base64.b64encode(webhook["body"].encode()).decode()}


PECULIAR = [
    "bare",
    "list",
    "beyond-ascii form",
    "looks encoded twice",
    "beyond-ascii query",
    "broken utf-8 query",
    "order beyond the basic plane",
    "user information",
    "path parameters",
    "ipv6",
    "prototype",
]


def main():
    seed, count = map(int, sys.argv[1:])
    maker = Maker(seed)
    for number in range(count):
        kind = PECULIAR[number % len(PECULIAR)] if number % 2 else ""
        webhook = maker.webhook(kind)
        webhook["signature"] = signature(webhook)
        document = {"kind": kind or "plain", "request": request(webhook)} | shown(webhook)
        changes = maker.changes(kind, webhook) if webhook["signature"] else []
        document["changes"] = [
            {"what": what, "official": official(change), "request": request(change)} | shown(change)
            for what, change in changes
        ]
        document["official"] = bool(webhook["signature"]) and official(webhook)
        print(json.dumps(document))


main()
