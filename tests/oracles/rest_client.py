"""Drives a simulated REST API with the official client.

    rest_client.py BASE ACCOUNT_SID AUTH_TOKEN OWN_NUMBER PATIENT BUSY

BASE is where the API really is. OWN_NUMBER belongs to the account, with others; PATIENT answers a call and stays; BUSY
rings and does not answer. Prints one JSON document with what the client saw.
"""

import json
import sys
import time

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

OFFICIAL = "https://api.twilio.com/"
DEADLINE_S = 60


class Redirected(TwilioHttpClient):
    """Sends what is for the official host to another one, and refuses everything else."""

    def __init__(self, base):
        super().__init__(timeout=30)
        self.base = base
        # No proxy and no stored credentials of whoever runs the tests.
        self.session.trust_env = False

    def request(self, method, url, *args, **kwargs):
        if not url.startswith(OFFICIAL):
            raise ValueError(f"{url} is not for {OFFICIAL}")
        return super().request(method, self.base + "/" + url[len(OFFICIAL) :], *args, **kwargs)


def refusal(attempt):
    try:
        attempt()
    except TwilioRestException as error:
        return {"status": error.status, "code": error.code, "message": error.msg}
    return None


def fetched(call, status):
    """The call once it has this status."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        now = call.fetch()
        if now.status == status:
            return now
        time.sleep(0.02)
    raise TimeoutError(f"the call is {now.status}, and not {status}")


def priced(call):
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        now = call.fetch()
        if now.price is not None:
            return now
        time.sleep(0.02)
    raise TimeoutError("the call has no price")


def shown(call):
    moments = {name: getattr(call, name) for name in ("date_created", "start_time", "end_time")}
    fields = {
        name: getattr(call, name)
        for name in (
            "sid",
            "account_sid",
            "status",
            "direction",
            "to",
            "from_formatted",
            "duration",
            "price",
            "price_unit",
        )
    }
    # A date that the client cannot read stays a text.
    return fields | {
        name: moment if moment is None or isinstance(moment, str) else moment.timestamp()
        for name, moment in moments.items()
    }


def main():
    base, account, token, own, patient, busy = sys.argv[1:]
    client = Client(account, token, http_client=Redirected(base))
    stranger = Client(account, token[::-1] + "x", http_client=Redirected(base))
    seen = {}

    document = '<?xml version="1.0" encoding="UTF-8"?><Response><Pause length="120"/></Response>'
    created = client.calls.create(to=patient, from_=own, twiml=document)
    seen["created"] = shown(created)
    call = client.calls(created.sid)
    seen["answered"] = shown(fetched(call, "in-progress"))
    seen["hung_up"] = shown(call.update(status="completed"))
    seen["completed"] = shown(fetched(call, "completed"))
    seen["priced"] = shown(priced(call))
    seen["hung_up_again"] = refusal(lambda: call.update(status="completed"))

    ringing = client.calls.create(to=busy, from_=own, twiml=document, timeout=600)
    call = client.calls(ringing.sid)
    fetched(call, "ringing")
    call.update(status="canceled")
    seen["canceled"] = shown(fetched(call, "canceled"))

    seen["unknown_call"] = refusal(lambda: client.calls("CA" + 32 * "0").fetch())
    seen["unauthorised"] = refusal(lambda: stranger.calls(created.sid).fetch())
    seen["without_url"] = refusal(lambda: client.calls.create(to=patient, from_=own))
    seen["foreign_caller_id"] = refusal(lambda: client.calls.create(to=patient, from_="+15005550999", twiml=document))
    seen["not_a_number"] = refusal(lambda: client.calls.create(to="abc", from_=own, twiml=document))

    seen["all_numbers"] = [number.phone_number for number in client.incoming_phone_numbers.list(page_size=1)]
    found = client.incoming_phone_numbers.list(phone_number=own)
    seen["found_numbers"] = [number.phone_number for number in found]
    url = "https://gateway.example/voice?a=1&b=ä ö"
    updated = client.incoming_phone_numbers(found[0].sid).update(
        voice_url=url, voice_method="POST", status_callback=url + "#end"
    )
    seen["voice_url"] = [updated.voice_url, updated.voice_method, updated.status_callback]
    again = client.incoming_phone_numbers(found[0].sid).fetch()
    seen["voice_url_kept"] = [again.voice_url, again.voice_method, again.status_callback]
    seen["unknown_number"] = refusal(lambda: client.incoming_phone_numbers("PN" + 32 * "0").update(voice_url=url))
    seen["account"] = client.api.accounts(account).fetch().status
    print(json.dumps(seen))


main()
