"""Makes the tokens that come with Vonage's webhooks, good and bad, and asks Vonage's official package about them.

    vonage_sign.py APPLICATION_ID API_KEY SIGNATURE_SECRET

Prints one JSON document a line: `what` it is, a webhook (`method`, `url`, `headers`, `body` in base64, `received_at` in
Unix milliseconds), and whether the official package takes the token for genuine. That package looks at the signature
and the dates only; what the claims say is for its user to check. Tokens are signed with PyJWT, and by hand where PyJWT
refuses to.
"""

import base64
import hashlib
import hmac
import json
import sys
import time
import uuid
from urllib.parse import quote

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from vonage_jwt import VonageVerifyJwtError, verify_signature

APPLICATION_ID, API_KEY, SECRET = sys.argv[1:]
NOW = int(time.time())
EVENT = {"uuid": "63f61863-4a51-4f6b-86e1-46edebcf9356", "status": "answered", "name": "Zoë 語🎧"}
QUERY = {"to": "442079460000", "from": "447700900000", "conversation_uuid": "CON-1", "name": "Zoë & \"co\""}
URL = "https://gateway.example/api/v1/telephony/vonage/events/1"


def compact(value):
    """As Vonage writes JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


BODY = compact(EVENT)


def claims(**changed):
    whole = {
        "iat": NOW,
        "jti": str(uuid.uuid4()),
        "iss": "Vonage",
        "api_key": API_KEY,
        "application_id": APPLICATION_ID,
        "payload_hash": hashlib.sha256(BODY).hexdigest(),
    } | changed
    return {name: value for name, value in whole.items() if value is not None}


def hs256(key=SECRET, headers=None, **changed):
    return jwt.encode(claims(**changed), key, algorithm="HS256", headers=headers)


def part(data):
    """A part of a token."""
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header, key=SECRET, digest="sha256", **changed):
    """What no library signs."""
    signed = f"{part(header)}.{part(claims(**changed))}"
    return f"{signed}.{part(hmac.new(key.encode(), signed.encode(), digest).digest())}"


def flipped(token, which):
    parts = token.split(".")
    data = bytearray(base64.urlsafe_b64decode(parts[which] + "=="))
    # A place where the text stays JSON.
    data[-4] ^= 1
    parts[which] = part(bytes(data))
    return ".".join(parts)


def tokens():
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    yield "genuine", hs256()
    yield "genuine, with an end", hs256(exp=NOW + 900, nbf=NOW - 1)
    yield "genuine, of the account", hs256(application_id=None)
    yield "genuine, with a key's name", hs256(headers={"kid": "1"})
    # Accepted by the official package, which knows neither the account nor the webhook.
    yield "other api key", hs256(api_key="ffffffff")
    yield "no api key", hs256(api_key=None)
    yield "other application", hs256(application_id=str(uuid.uuid4()))
    yield "other issuer", hs256(iss="Someone")
    yield "no issuer", hs256(iss=None)
    yield "other payload hash", hs256(payload_hash=hashlib.sha256(BODY + b" ").hexdigest())
    yield "payload hash of nothing", hs256(payload_hash=hashlib.sha256(b"").hexdigest())
    yield "no payload hash", hs256(payload_hash=None)
    yield "no date", hs256(iat=None)
    # Vonage sets no end to its tokens, so the official package takes them for ever.
    yield "issued long ago", hs256(iat=NOW - 400)
    yield "issued in 1970", hs256(iat=0)
    # Clocks that differ a little: the official package allows for nothing.
    yield "issued in half a minute", hs256(iat=NOW + 30)
    yield "ended half a minute ago", hs256(exp=NOW - 30)
    # Refused by both.
    yield "issued in the future", hs256(iat=NOW + 3600)
    yield "not yet valid", hs256(nbf=NOW + 3600)
    yield "expired", hs256(exp=NOW - 3600)
    yield "other secret", hs256(key=SECRET + "x")
    yield "empty secret", by_hand({"alg": "HS256", "typ": "JWT"}, key="")
    yield "no algorithm, unsigned", jwt.encode(claims(), None, algorithm="none")
    yield "no algorithm, signed", by_hand({"alg": "none"})
    yield "no algorithm in other letters", by_hand({"alg": "nOnE"})
    yield "algorithm in small letters", by_hand({"alg": "hs256"})
    yield "no algorithm named", by_hand({"typ": "JWT"})
    yield "HS384 with the secret", jwt.encode(claims(), SECRET, algorithm="HS384")
    yield "HS512 with the secret", jwt.encode(claims(), SECRET, algorithm="HS512")
    yield "RS256 in the header, the secret as key", by_hand({"alg": "RS256", "typ": "JWT"})
    yield "RS256 of a key of somebody's", jwt.encode(claims(), private, algorithm="RS256")
    yield "HS256 with the public key as secret", by_hand({"alg": "HS256", "typ": "JWT"}, key=public.decode())
    yield "its own key in the header", by_hand(
        {"alg": "HS256", "jwk": {"kty": "oct", "k": part(b"own")}, "jku": "https://other.example/keys"}, key="own"
    )
    yield "a critical extension", by_hand({"alg": "HS256", "crit": ["b64"], "b64": False})
    yield "a bit of the header", flipped(hs256(), 0)
    yield "a bit of the claims", flipped(hs256(), 1)
    yield "a bit of the signature", flipped(hs256(), 2)
    whole = hs256()
    yield "signature left out", whole[: whole.rindex(".") + 1]
    yield "two parts", whole[: whole.rindex(".")]
    yield "four parts", whole + ".AAAA"
    header, _, signature = whole.split(".")
    yield "claims of another token", f"{header}.{hs256(iat=NOW - 1).split('.')[1]}.{signature}"
    yield "claims that are no object", f"{header}.{part([])}.{signature}"
    yield "garbage", "garbage"
    yield "empty", ""
    yield "not base64", "%%%.%%%.%%%"


def get(what, payload, query=QUERY):
    """The digest of a GET is documented as that of a JSON object of the query's parameters."""
    parameters = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    token = hs256(payload_hash=payload and hashlib.sha256(payload).hexdigest())
    return what, token, "GET", f"{URL}?{parameters}", b""


def webhooks():
    for what, token in tokens():
        yield what, token, "POST", URL, BODY
    yield "genuine, another body", hs256(), "POST", URL, BODY.replace(b"answered", b"rejected")
    # The URL is not signed: that is why a call's route carries an identifier that nobody can guess.
    yield "genuine, another URL", hs256(), "POST", URL + "2", BODY
    yield get("genuine get", compact(QUERY))
    yield get("genuine get, by name", compact(dict(sorted(QUERY.items()))))
    yield get("get with another query", compact(QUERY), QUERY | {"to": "442079460001"})
    yield get("get with more in the query", compact(QUERY), QUERY | {"more": "1"})
    yield get("get without a payload hash", None)


def official(token):
    try:
        return verify_signature(token, SECRET)
    except VonageVerifyJwtError:
        return False


def main():
    for what, token, method, url, body in webhooks():
        case = {
            "what": what,
            "method": method,
            "url": url,
            "headers": [["Authorization", f"Bearer {token}"]],
            "body": base64.b64encode(body).decode(),
            "received_at": NOW * 1000 + 500,
            "official": official(token),
        }
        print(json.dumps(case))


main()
