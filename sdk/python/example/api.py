"""The carrier's REST API: requests of one account, and whose fault an answer is."""

from typing import Any

from strowger_sdk import Call, Failure, Io, Request, Response, Unreachable, join_path

BASE = "https://api.example-telecom.example/v1/accounts"


def send(config: Any, io: Io, method: str, path: list[str], body: dict[str, Any] | None = None) -> Response:
    """Sends a request below the account and gives the answer, whatever its status."""
    request = Request(method, join_path(BASE, config.account, *path)).bearer(config.api_key)
    if body is not None:
        request.json(body)
    try:
        return io.http(request)
    except Unreachable:
        raise Failure.carrier("unreachable", "The carrier cannot be reached.") from None


def call_id(call: Call) -> str:
    """The carrier's identifier of a call, which a path can hold."""
    if call.provider_call_id in (None, "", ".", ".."):
        raise call_not_found()
    return call.provider_call_id


def fetch_call(config: Any, call: Call, io: Io) -> tuple[Response, dict[str, Any]]:
    """What the carrier knows about a call: its answer, and what that has in it."""
    answer = send(config, io, "GET", ["calls", call_id(call)])
    match answer.status:
        case 200:
            return answer, read(answer)
        case 404:
            raise call_not_found()
    raise refusal(answer)


def read(answer: Response) -> dict[str, Any]:
    """The JSON object in an answer."""
    try:
        body = answer.read_json()
    except Failure:
        raise unusable(answer) from None
    if not isinstance(body, dict):
        raise unusable(answer)
    return body


def refusal(answer: Response) -> Failure:
    """What an answer's status stands for, unless an operation knows better."""
    match answer.status:
        case 401 | 403:
            return Failure.configuration("unauthorized", "The carrier refuses the API key.")
        case 402:
            return Failure.quota("balance", "The account has no credit.")
        case 429:
            return Failure.rate_limit("rate-limited", "The carrier asks to slow down.")
        case status if 400 <= status < 500:
            return Failure.request("refused", f"The carrier refused the request (HTTP {status}).")
    return unusable(answer)


def number_refusal(answer: Response) -> Failure:
    """The same about a number, which the account may not own."""
    if answer.status == 404:
        return Failure.request("number-not-found", "The account does not own this number.")
    return refusal(answer)


def unusable(answer: Response) -> Failure:
    """The carrier answered with what it does not document."""
    return Failure.carrier("unexpected-answer", f"The carrier's answer cannot be used (HTTP {answer.status}).")


def call_not_found() -> Failure:
    return Failure.request("call-not-found", "The carrier does not know this call.")
