"""Checks the tokens that authorise requests to Vonage, with PyJWT and against those of Vonage's official package.

    vonage_tokens.py keys
    vonage_tokens.py check

`keys` prints a private RSA key in both forms of PEM, and its public key. `check` reads one JSON document a line,
`{"token", "public", "private", "application_id"}`, and prints for each `{"header", "claims"}` of a token that verifies,
or `{"error"}`, and the same of the official package's token for the same application as `official`.
"""

import json
import sys

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from vonage_jwt import JwtClient


def keys():
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def pem(form):
        return private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()

    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {
        "pkcs8": pem(serialization.PrivateFormat.PKCS8),
        "pkcs1": pem(serialization.PrivateFormat.TraditionalOpenSSL),
        "public": public.decode(),
    }


def verified(token, public):
    try:
        # The algorithm is pinned, as it is for whoever follows PyJWT's documentation; dates are checked.
        required = {"require": ["iat", "exp", "jti", "application_id"]}
        claims = jwt.decode(token, public, algorithms=["RS256"], options=required)
    except jwt.PyJWTError as error:
        return {"error": repr(error)}
    return {"header": jwt.get_unverified_header(token), "claims": claims}


def main():
    if sys.argv[1] == "keys":
        print(json.dumps(keys()))
        return
    for line in sys.stdin:
        case = json.loads(line)
        theirs = JwtClient(case["application_id"], case["private"]).generate_application_jwt().decode()
        official = verified(theirs, case["public"])
        print(json.dumps(verified(case["token"], case["public"]) | {"official": official}))


main()
