"""Signs random webhooks as Telnyx documents it, and asks Telnyx's official package whether they are genuine.

    telnyx_sign.py SEED COUNT NOW

NOW is what the package takes for the time, in Unix seconds. Prints one JSON document a line: a webhook (`headers`,
`body` in base64), the `public_key` that it is signed for, the official verdict, and copies with one thing changed, each
again with that verdict. `kind` names what is peculiar about the webhook. The first keys are those of RFC 8032 §7.1.
"""

import base64
import json
import random
import sys
import time
from unittest import mock

from nacl.signing import SigningKey
from telnyx.lib.webhook_verification import verify_webhook_signature

# RFC 8032 §7.1: secret key and public key of tests 1, 2, 3, 1024 and SHA(abc).
PUBLISHED = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ),
    (
        "f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5",
        "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
    ),
]
# RFC 8032 §5.1: the order of the group.
ORDER = 2**252 + 27742317777372353535851937790883648493
WINDOW_S = 300

PECULIAR = ["not utf-8", "timestamp with a sign", "timestamp with a space", "signature with rubbish", "no body"]


def key(maker, number):
    if number < len(PUBLISHED):
        secret, public = map(bytes.fromhex, PUBLISHED[number])
        signing = SigningKey(secret)
        assert signing.verify_key.encode() == public
        return signing
    return SigningKey(maker.randbytes(32))


def webhook(maker, signing, kind, now):
    state = "".join(maker.choice("aä語🎧 \"\\\n|") for _ in range(maker.randint(0, 9)))
    payload = {"from": f"+1202555{maker.randint(1000, 9999)}", "client_state": state}
    said = {"data": {"event_type": "call.initiated", "payload": payload}}
    body = json.dumps(said, ensure_ascii=maker.random() < 0.5, indent=maker.choice([None, 2])).encode()
    timestamp = str(now + maker.choice([0, maker.randint(-WINDOW_S, WINDOW_S), -WINDOW_S, WINDOW_S]))
    if kind == "not utf-8":
        body += b" \xff"
    elif kind == "timestamp with a sign":
        timestamp = "+" + timestamp
    elif kind == "timestamp with a space":
        timestamp += " "
    elif kind == "no body":
        body = b""
    signature = base64.b64encode(signing.sign(timestamp.encode() + b"|" + body).signature).decode()
    if kind == "signature with rubbish":
        signature = signature[:10] + "!" + signature[10:]
    return {
        "public_key": base64.b64encode(signing.verify_key.encode()).decode(),
        "timestamp": timestamp,
        "signature": signature,
        "body": body,
    }


def flipped(maker, data):
    at = maker.randrange(len(data) * 8)
    return bytes(byte ^ ((1 << at % 8) if index == at // 8 else 0) for index, byte in enumerate(data))


def with_signature(case, signature):
    return case | {"signature": base64.b64encode(signature).decode()}


def changes(maker, signing, case, now):
    if case["body"]:
        yield "body", case | {"body": flipped(maker, case["body"])}
    yield "body", case | {"body": case["body"] + b" "}
    yield "timestamp", case | {"timestamp": str(now + maker.choice([-299, 299]))}
    # The bar is part of what is signed: nothing can be moved from one side of it to the other.
    moved = case["timestamp"][-1:].encode() + case["body"]
    yield "timestamp", case | {"timestamp": case["timestamp"][:-1], "body": moved}
    signature = base64.b64decode(case["signature"])
    yield "signature", with_signature(case, flipped(maker, signature))
    # The same signature as a number, were it not for the rule of RFC 8032 §5.1.7 that it must be below the order.
    malleable = int.from_bytes(signature[32:], "little") + ORDER
    yield "signature plus the order", with_signature(case, signature[:32] + malleable.to_bytes(32, "little"))
    yield "signature cut", with_signature(case, signature[:63])
    yield "key", case | {"public_key": base64.b64encode(SigningKey(maker.randbytes(32)).verify_key.encode()).decode()}
    yield "no timestamp", case | {"timestamp": None}
    yield "no signature", case | {"signature": None}
    for offset in (-WINDOW_S - 1, WINDOW_S + 1):
        timestamp = str(now + offset)
        signed = signing.sign(timestamp.encode() + b"|" + case["body"]).signature
        yield "outside the window", with_signature(case | {"timestamp": timestamp}, signed)


def headers(case):
    named = {"Telnyx-Signature-Ed25519": case["signature"], "Telnyx-Timestamp": case["timestamp"]}
    return {name: value for name, value in named.items() if value is not None}


def official(case, now):
    try:
        with mock.patch.object(time, "time", return_value=float(now)):
            verify_webhook_signature(case["body"], headers(case), case["public_key"])
        return True
    except Exception:
        # Among them those that it does not foresee, of a body that is not text.
        return False


def shown(case, now):
    return {
        "method": "POST",
        "url": "https://gateway.example/api/v1/telephony/inbound/run",
        "headers": list(headers(case).items()),
        "body": base64.b64encode(case["body"]).decode(),
        "public_key": case["public_key"],
        "official": official(case, now),
    }


def main():
    seed, count, now = map(int, sys.argv[1:])
    maker = random.Random(seed)
    for number in range(count):
        signing = key(maker, number)
        kind = PECULIAR[number // 4 % len(PECULIAR)] if number % 4 == 3 else "plain"
        case = webhook(maker, signing, kind, now)
        copies = [{"what": what} | shown(change, now) for what, change in changes(maker, signing, case, now)]
        print(json.dumps({"kind": kind} | shown(case, now) | {"changes": copies}))


main()
