"""What Schemathesis is told about this API: why a request that fits the document may be refused all the same."""

import schemathesis
from schemathesis import CheckContext, Response

# Bytes as they are.
schemathesis.serializer("application/wasm")(lambda ctx, value: value if isinstance(value, bytes) else str(value).encode())
for media_type in ("application/jsonl", "audio/wav"):
    schemathesis.deserializer(media_type)(lambda ctx, response: response.content.decode("latin-1"))

# Beside the settings: which operation was answered how.
ANSWERS = "answers"
# What no request of a run gets done, and why. Tests of the runtime and the black-box suite do it.
SESSION = "wants a session, and is asked with a key"
TALK = "wants a caller who talks"
TRUNKS = "wants a provider with trunks, which asks its carrier"
COMPONENT = "wants a component"
OWN = "wants a provider of the organisation's own"
CALL = "/api/v1/calls/{call}"
TRUNK = "/api/v1/organizations/telephony-configs/{configuration}/trunks"
PROVIDERS = "/api/v1/organizations/telephony-providers"
NEVER_DONE = {
    "GET /api/v1/session": SESSION,
    "DELETE /api/v1/session": SESSION,
    f"POST {CALL}/transfer": TALK,
    f"DELETE {CALL}/transfer": TALK,
    f"GET {CALL}/recording": TALK,
    f"GET {CALL}/waveform": TALK,
    f"GET {TRUNK}": TRUNKS,
    f"POST {TRUNK}": TRUNKS,
    **{f"{method} {TRUNK}/{{trunk}}": TRUNKS for method in ("GET", "PUT", "DELETE")},
    f"POST {PROVIDERS}": COMPONENT,
    "POST /api/v1/operator/telephony-providers": COMPONENT,
    "POST /api/v1/operator/telephony-providers/{provider}/rollback": "wants a version before",
    f"POST {PROVIDERS}/{{provider}}/rollback": OWN,
    f"DELETE {PROVIDERS}/{{provider}}/versions/{{digest}}": OWN,
    f"POST {PROVIDERS}/{{provider}}/versions/{{digest}}/adopt": OWN,
    f"POST {PROVIDERS}/{{provider}}/versions/{{digest}}/canary": OWN,
    "POST /api/v1/webhook-endpoints/{endpoint}/deliveries/{delivery}/resend": "wants an event that was given up",
}


@schemathesis.hook
def after_call(ctx, case: schemathesis.Case, response: Response) -> None:
    with open(ANSWERS, "a", encoding="utf-8") as answers:
        answers.write(f"{response.status_code} {case.operation.label}\n")


# Not to be sent again as it is, and nothing that a schema could say. The status alone would excuse anything.
CODES = {
    "stale": "the entity tag in If-Match is one, but not that of the row",
    "idempotency_key_reused": "the key was used for another request before",
    "not_a_provider": "the bytes are no component",
    "not_conformant": "the bytes are a component that is no provider",
    "digest": "the component has another digest than the one that pins it",
    "invalid_signature": "the signature is not in base64",
    "signature": "the signature is not one of the component's",
    "undeclared_hosts": "the component does not ask for these hosts",
    "unconfirmed_hosts": "the component asks for other hosts",
    "share": "two versions cannot share calls with themselves",
    "trunks_unsupported": "the configuration's provider has no trunks",
    "calling_unsupported": "the configuration's provider cannot place calls",
    "detection_unsupported": "the configuration's provider cannot tell answering machines",
    "transfer_unsupported": "the call's provider cannot transfer calls",
    "not_ready": "the configuration is not ready for calls",
    "no_configuration": "no configuration is ready for calls",
    "inactive": "the configuration is parked",
    "caller_id_missing": "the configuration has no number that the call could show",
}
# A provider's own verdict, for a call that it cannot place or a number that it does not own.
OF_PROVIDERS = "https://strowger.dev/problems/provider/"
# Fields about which there is more to say than a schema can, and what that is.
FIELDS = {
    "address": "is a number of a country, a SIP URI or an extension",
    "caller_id": "is such an address, and one of the configuration's",
    "clear_inbound_agent": "contradicts inbound_agent_id",
    "clear_trunk": "contradicts telephony_trunk_id",
    "config": "has the fields that the provider's component says",
    "country_code": "is a country's",
    "cursor": "comes from the page before",
    "destination": "is such an address",
    "destination_caps": "has a prefix once",
    "digest": "is in hexadecimal, after its algorithm",
    "event_types": "are known types, or all of them",
    "headers": "are no headers of the handshake",
    "phone_number": "is such an address, and not one of the emergency services",
    "protocol": "decides whether there is a URL",
    "sample_rate_hz": "is 8000 with the protocol media-streams",
    "settings": "has the fields that the provider's component says",
    "url": "is a URL, where the protocol has one",
    "hosts": "are those that the component declares",
}


@schemathesis.check
def right_requests_are_refused_for_a_reason(ctx: CheckContext, response: Response, case: schemathesis.Case) -> None:
    """Stands for `positive_data_acceptance`, which knows statuses and no reasons."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code < 400:
        return
    # Who may, what there is, and how much of it: no schema says that. Failures of ours are another check's.
    if response.status_code in (401, 403, 404, 405, 409, 429) or response.status_code >= 500:
        return
    problem = response.json()
    if problem["code"] in CODES or problem["type"].startswith(OF_PROVIDERS):
        return
    fields = [error["field"].split(".")[0] for error in problem["errors"]]
    unknown = [field for field in fields if field not in FIELDS]
    if problem["code"] == "invalid_fields" and fields and not unknown:
        return
    raise AssertionError(f"a request that fits the document was refused: {problem['code']} {problem['detail']} {problem['errors']}")
