"""Signs random webhooks with the official package, for the verifier of ours.

    sign.py SEED COUNT

Prints one JSON document a line: a webhook, the credentials that it is signed under, the verdict of the package's own
validator, and copies with one thing changed, each again with that verdict. `why` is empty where the official validator
agrees with the official signer; where it does not, it names a reason that is known here (`KNOWN`).
"""

import base64
import json
import random
import string
import sys
from urllib.parse import parse_qsl, quote, quote_plus, urlparse

from multidict import MultiDict
from twilio.request_validator import (
    HMAC_SHA1,
    HMAC_SHA256,
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    add_port,
    get_signature_algorithm,
    remove_port,
)

# Where the validator refuses what the signer of the same package has signed (twilio 9.13.0).
KNOWN = {
    # remove_port() cuts at the first colon, which is inside the brackets of an IPv6 literal …
    "ipv6-port-removed",
    # … and behind the user's name in user information.
    "user-information-port-removed",
    # Carriers differ in whether user information is signed; the package only knows of it being signed.
    "user-information-left-out",
    # geturl() drops a question mark or a semicolon that nothing follows.
    "empty-query-kept",
    # Hexadecimal digits are compared as text.
    "body-digest-upper-case",
}

FORM_TYPES = [
    "application/x-www-form-urlencoded; charset=UTF-8",
    "application/x-www-form-urlencoded",
    "Application/X-WWW-Form-Urlencoded;charset=utf-8",
]
NAMES = [
    "CallSid",
    "AccountSid",
    "From",
    "To",
    "CallStatus",
    "Direction",
    "Digits",
    "callsid",
    "Called",
    "Caller",
    "A",
    "a",
    "AA",
]
HOSTS = [
    "gateway.example",
    "voice.gateway.example",
    "xn--bcher-kva.example",
    "192.0.2.7",
    "GATEWAY.example",
    "münchen.example",
]
# No U+FFFD: it is what a broken escape decodes to, so that a change might not change anything.
NASTY = "äöüß€語🎧\u00a0\u0301\u2028 +&=%?#/\\:;,'\"<>@!$*()[]{}|^`~\t\n\r\0\x7f\ufeff"


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, probability):
        return self.random.random() < probability

    def text(self, longest):
        plain = string.ascii_letters + string.digits + "-_."
        letters = plain + NASTY if self.chance(0.6) else plain
        return "".join(self.random.choice(letters) for _ in range(self.random.randint(0, longest)))

    def secret(self):
        letters = string.ascii_letters + string.digits + ("äß語🎧 +/=" if self.chance(0.1) else "")
        return "".join(self.random.choice(letters) for _ in range(self.random.randint(1, 64)))

    def escaped(self, text):
        style = self.random.randrange(4)
        if style == 0:
            return quote_plus(text)
        if style == 1:
            return quote(text, safe="")
        if style == 2:
            # Escapes in lower case are as valid, and are signed as they are in a URL.
            return "".join(
                part.lower() if part.startswith("%") else part for part in pieces(quote(text, safe="~*!'()"))
            )
        # Everything as it is that does not end a value.
        return "".join(
            quote(letter, safe="") if letter in "&=%+#?;\t\n\r\0 \x7f[]\\\ufeff\u2028\u00a0" else letter
            for letter in text
        )

    def parameters(self):
        pairs = []
        for _ in range(self.random.randint(0, 12)):
            name = self.random.choice(NAMES) if self.chance(0.8) else self.text(8)
            pairs.append((name, "" if self.chance(0.1) else self.text(24)))
        # The same name with other values, and the very same pair again.
        for _ in range(self.random.randint(0, 3)):
            if pairs:
                name, value = self.random.choice(pairs)
                pairs.append((name, value if self.chance(0.3) else self.text(6)))
        self.random.shuffle(pairs)
        return pairs

    def form(self, pairs):
        return "&".join(self.escaped(name) + "=" + self.escaped(value) for name, value in pairs)

    def tail(self, digest=None, empty_query=False):
        """Path and query."""
        path = "".join("/" + self.escaped(self.text(10)).replace("+", "%2B") for _ in range(self.random.randint(0, 4)))
        if self.chance(0.2):
            path += "/"
        if self.chance(0.1) and path.endswith(tuple(string.ascii_letters)):
            path += ";v=1"
        if empty_query:
            return (path.removesuffix(";v=1") or "/") + self.random.choice("?;")
        query = [self.form([pair]) for pair in self.parameters()[:4]]
        if digest is not None:
            query.insert(self.random.randint(0, len(query)), f"bodySHA256={digest}")
        # A query string cannot be empty here: see KNOWN.
        return path + ("?" + "&".join(query) if any(query) else "")

    def authorities(self):
        """Spellings of one authority: as the gateway sees it, and as it is signed."""
        scheme = self.random.choice(["https", "https", "https", "http"])
        port = self.random.choice(["443" if scheme == "https" else "80", "8443", "1", "65535"])
        host = self.random.choice(HOSTS)
        why = ""
        kind = self.random.random()
        if kind < 0.05:
            host = "[2001:db8::1]"
        elif kind < 0.10:
            host = self.random.choice(["user:secret@", "user@"]) + host
        own = "443" if scheme == "https" else "80"
        seen = f"{host}:{port}" if self.chance(0.5) else host
        spelled = {"as seen": seen, "without": host, "with": seen if seen != host else f"{host}:{own}"}
        spelling = self.random.choice(list(spelled))
        signed = spelled[spelling]
        if signed != seen and signed == host:
            if host.startswith("["):
                why = "ipv6-port-removed"
            elif ":" in host:
                why = "user-information-port-removed"
            elif "@" in host:
                # `user@host:8443`, cut at the first colon, is right by luck.
                why = ""
        if "@" in host and self.chance(0.3):
            signed = signed.split("@")[1]
            why = "user-information-left-out"
        return f"{scheme}://{seen}", f"{scheme}://{signed}", why

    def webhook(self):
        key = {"auth_token": self.secret()}
        headers = []
        algorithm = HMAC_SHA1
        used = "auth_token"
        if self.chance(0.5):
            key["webhook_shared_key"] = self.secret()
            if self.chance(0.8):
                used = "webhook_shared_key"
                algorithm = HMAC_SHA256 if self.chance(0.9) else HMAC_SHA1
                parts = [
                    "key=webhooks_sharedkey_01h",
                    "algorithm=" + (algorithm if self.chance(0.7) else algorithm.lower()),
                ]
                self.random.shuffle(parts)
                separator = self.random.choice([",", ", "])
                headers.append(
                    [
                        self.random.choice([SIGNATURE_SETTINGS_HEADER, SIGNATURE_SETTINGS_HEADER.lower()]),
                        separator.join(parts),
                    ]
                )
        validator = RequestValidator(key[used])
        seen, signed, why = self.authorities()

        kind = self.random.choices(["form", "get", "json", "form-with-digest", "empty"], [60, 10, 20, 5, 5])[0]
        body, parameters, digest, empty_query = "", MultiDict(), None, False
        if kind in ("form", "form-with-digest"):
            pairs = self.parameters()
            body = self.form(pairs)
            parameters = MultiDict(pairs)
            headers.append(["Content-Type", self.random.choice(FORM_TYPES)])
            # A form is signed by its parameters, whatever the URL says of a digest.
            digest = "00" * 32 if kind == "form-with-digest" else None
        elif kind == "json":
            body = json.dumps(
                {self.text(8): self.text(40) for _ in range(self.random.randint(0, 6))}, ensure_ascii=self.chance(0.5)
            )
            headers.append(
                ["content-type", self.random.choice(["application/json", "application/json; charset=utf-8"])]
            )
            digest = validator.compute_hash(body)
            if not why and self.chance(0.05):
                digest = digest.upper()
                why = "body-digest-upper-case"
        elif kind == "empty":
            headers.append(["content-type", "application/json"])
        if not why and digest is None and self.chance(0.02):
            empty_query = True
            why = "empty-query-kept"
        tail = self.tail(digest, empty_query)
        seen, signed = seen + tail, signed + tail

        signature = validator.compute_signature(signed, parameters, algorithm)
        headers.append(
            [self.random.choice([SIGNATURE_HEADER, SIGNATURE_HEADER.lower(), SIGNATURE_HEADER.upper()]), signature]
        )
        self.random.shuffle(headers)
        return {
            "kind": kind,
            "method": "GET" if kind == "get" else "POST",
            "url": seen,
            "headers": headers,
            "body": body,
            "credentials": key,
            "used": used,
            "why": why,
        }

    def changed(self, text, first=0, otherwise="x"):
        """One letter or digit replaced by another, from `first` on; something appended where there is none."""
        places = [at for at in range(first, len(text)) if text[at] in string.ascii_letters + string.digits]
        if not places:
            return text + otherwise
        at = self.random.choice(places)
        others = [letter for letter in string.ascii_letters + string.digits if letter.lower() != text[at].lower()]
        return text[:at] + self.random.choice(others) + text[at + 1 :]

    def changes(self, webhook):
        """Copies with one byte changed, without the header that names the algorithm, and with another port or order."""
        url = webhook["url"]
        # Ports are not always signed, and user information neither: what is changed is behind them.
        host = url.index("//") + 2
        end = min((url.find(mark, host) for mark in "/?;" if url.find(mark, host) >= 0), default=len(url))
        yield "url", webhook | {"url": self.changed(url, end, "/x")}
        if webhook["body"]:
            yield "body", webhook | {"body": self.changed(webhook["body"])}
        yield "body", webhook | {"body": webhook["body"] + "&x=y"}
        headers = [
            [name, self.changed(value) if name.lower() == SIGNATURE_HEADER.lower() else value]
            for name, value in webhook["headers"]
        ]
        yield "signature", webhook | {"headers": headers}
        key = webhook["credentials"]
        yield "key", webhook | {"credentials": key | {webhook["used"]: self.changed(key[webhook["used"]])}}
        plain = [
            [name, value] for name, value in webhook["headers"] if name.lower() != SIGNATURE_SETTINGS_HEADER.lower()
        ]
        if plain != webhook["headers"]:
            yield "settings", webhook | {"headers": plain}
        if webhook["why"]:
            return
        if not set("@[").intersection(url[:end]):
            bare = url[:end].rpartition(":")[0] if url[host:end].count(":") else url[:end]
            yield "port", webhook | {"url": bare + self.random.choice(["", ":443", ":8443", ":80"]) + url[end:]}
        if webhook["kind"].startswith("form"):
            pairs = parse_qsl(webhook["body"], keep_blank_values=True)
            pairs += self.random.sample(pairs, min(len(pairs), 1))
            self.random.shuffle(pairs)
            yield "order", webhook | {"body": self.form(pairs)}


def pieces(quoted):
    """Splits at escapes: `a%2Fb` is `a`, `%2F`, `b`."""
    at = 0
    while at < len(quoted):
        length = 3 if quoted[at] == "%" else 1
        yield quoted[at : at + length]
        at += length


def official(webhook):
    """What an application that follows the package's documentation finds."""
    headers = {name.lower(): value for name, value in webhook["headers"]}
    settings = headers.get(SIGNATURE_SETTINGS_HEADER.lower())
    validator = RequestValidator(webhook["credentials"]["webhook_shared_key" if settings else "auth_token"])
    parameters = webhook["body"]
    if webhook["method"] == "POST" and headers.get("content-type", "").lower().startswith(
        "application/x-www-form-urlencoded"
    ):
        parameters = MultiDict(parse_qsl(webhook["body"], keep_blank_values=True))
    signature = headers[SIGNATURE_HEADER.lower()]
    try:
        return validator.validate(webhook["url"], parameters, signature, get_signature_algorithm(settings))
    except TypeError:
        # A body that is no form and has no digest: the package takes its letters for parameters, and fails.
        return False


def shown(webhook):
    fields = {name: webhook[name] for name in ("method", "url", "headers", "credentials")}
    return fields | {"body": base64.b64encode(webhook["body"].encode()).decode(), "official": official(webhook)}


def main():
    seed, count = map(int, sys.argv[1:])
    maker = Maker(seed)
    # The official spellings of a URL are those that are signed here.
    assert remove_port(urlparse("https://a.example:8443/x")) == "https://a.example/x"
    assert add_port(urlparse("https://a.example/x")) == "https://a.example:443/x"
    for _ in range(count):
        webhook = maker.webhook()
        assert not webhook["why"] or webhook["why"] in KNOWN
        changes = [{"what": what} | shown(change) for what, change in maker.changes(webhook)]
        document = {"kind": webhook["kind"], "why": webhook["why"]} | shown(webhook) | {"changes": changes}
        print(json.dumps(document))


main()
