//! Placing, ending and asking about calls: <https://docs.vobiz.ai/call/make-call>.

use serde::Deserialize;
use serde_json::{Value, json};
use strowger_sdk::{
    Call, CallStatus, Cost, Failure, HangUpOutcome, Io, Outbound, Outcome, Placed, Request, Response, StatusReport,
    is_e164, is_sip_uri,
};

use crate::api::{self, dialled};
use crate::callbacks::{call_status, status_of_cause};
use crate::spec::{Config, HANGUP_CALLBACK, RING_CALLBACK};

pub(crate) fn place(config: &Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed> {
    if !is_dialable(&call.callee) {
        let message = "Vobiz dials numbers with + and SIP addresses only.";
        return Err(Failure::request("callee-invalid", message).into());
    }
    let caller = outbound.caller_id.as_deref().unwrap_or(&call.caller);
    if caller.is_empty() {
        return Err(Failure::caller_id_missing("Vobiz").into());
    }
    let answer_url = outbound
        .answer_url
        .as_deref()
        .ok_or_else(|| Failure::internal("route-missing", "No address answers the call once it is picked up."))?;
    let request = Request::post(api::url_slash(config, &["Call"])?).json(&json!({
        "from": dialled(caller),
        "to": dialled(&call.callee),
        "answer_url": answer_url,
        "answer_method": "POST",
        "ring_url": call.route(RING_CALLBACK)?,
        "ring_method": "POST",
        "hangup_url": call.route(HANGUP_CALLBACK)?,
        "hangup_method": "POST",
        "ring_timeout": outbound.ring_timeout_s,
    }));
    let response = io.http(api::authorised(config, request))?;
    let refused = "check that the number exists and that the caller id is a number of the account.";
    let created: Value = api::accept(response, refused)?.read_json()?;
    let id = ["call_uuid", "CallUUID", "request_uuid", "RequestUUID"]
        .into_iter()
        .find_map(|name| created.get(name).and_then(api::text))
        .ok_or_else(|| Failure::unexpected_answer("a call without an identifier"))?;
    Ok(Placed::new(id))
}

pub(crate) fn hang_up(config: &Config, call: &Call, io: &mut Io) -> Outcome<HangUpOutcome> {
    let request = Request::delete(api::url_slash(config, &["Call", call.carrier_id()?])?);
    let response = io.http(api::authorised(config, request))?;
    if response.status == 404 {
        return Ok(HangUpOutcome::AlreadyEnded);
    }
    api::confirm(response, "look at the call in the Vobiz console.")?;
    Ok(HangUpOutcome::Ended)
}

/// Vobiz keeps calls in three places: live ones, queued ones, and the records of those that have ended.
pub(crate) fn fetch_status(config: &Config, call: &Call, io: &mut Io) -> Outcome<StatusReport> {
    for place in [Some("live"), Some("queued"), None] {
        let Some(response) = fetch(config, call, place, io)? else {
            continue;
        };
        let record = Record::read(&response)?;
        let status = match place {
            Some(_) => record.told(),
            None => Some(record.status()),
        };
        return Ok(StatusReport {
            status: status.ok_or_else(|| Failure::unexpected_answer("an unknown call status"))?,
            duration_ms: match place {
                Some(_) => None,
                None => record.duration_s().and_then(|seconds| seconds.checked_mul(1000)),
            },
        });
    }
    Err(Failure::request("call-not-found", "Vobiz does not know this call (any more).").into())
}

pub(crate) fn fetch_cost(config: &Config, call: &Call, io: &mut Io) -> Outcome<Option<Cost>> {
    // There is no record before the call has ended.
    let Some(response) = fetch(config, call, None, io)? else {
        return Ok(None);
    };
    let record = Record::read(&response)?;
    let alive = matches!(
        record.status(),
        CallStatus::Initiated | CallStatus::Ringing | CallStatus::InProgress
    );
    let amount = record
        .total_cost
        .as_ref()
        .or(record.total_amount.as_ref())
        .and_then(api::text);
    let Some(amount) = amount.filter(|_| !alive) else {
        return Ok(None);
    };
    let currency = record
        .currency
        .filter(|code| code.len() == 3 && code.bytes().all(|b| b.is_ascii_alphabetic()));
    // Vobiz bills in Indian rupees unless it says otherwise.
    let currency = currency.as_deref().unwrap_or("INR");
    Ok(Some(Cost::new(&amount, currency, record.billed_duration.unwrap_or(0))?))
}

/// A call, live or ended. Vobiz's pages show two vocabularies for it, and both are read.
#[derive(Deserialize)]
struct Record {
    #[serde(alias = "status")]
    call_status: Option<String>,
    call_state: Option<String>,
    #[serde(alias = "answered_at")]
    answer_time: Option<String>,
    end_time: Option<String>,
    #[serde(alias = "duration")]
    call_duration: Option<u64>,
    billed_duration: Option<u32>,
    total_cost: Option<Value>,
    total_amount: Option<Value>,
    currency: Option<String>,
    hangup_cause_code: Option<u32>,
}

impl Record {
    /// The record itself, or the one inside `call` or `calls`.
    fn read(response: &Response) -> Result<Self, Failure> {
        let body: Value = response.read_json()?;
        let wrapped = body.get("call").filter(|call| call.is_object());
        let wrapped = wrapped.or_else(|| body.get("calls").and_then(|calls| calls.get(0)));
        let inner = wrapped.unwrap_or(&body).clone();
        serde_json::from_value(inner).map_err(|_| Failure::unexpected_answer("the body has another shape"))
    }

    fn told(&self) -> Option<CallStatus> {
        let told = self.call_status.as_deref().or(self.call_state.as_deref());
        told.and_then(call_status)
    }

    fn status(&self) -> CallStatus {
        if let Some(status) = self.told() {
            return status;
        }
        match (&self.answer_time, &self.end_time) {
            (Some(_), None) => CallStatus::InProgress,
            (Some(_), Some(_)) => CallStatus::Completed,
            (None, None) => CallStatus::Initiated,
            (None, Some(_)) => match self.hangup_cause_code.and_then(status_of_cause) {
                None | Some(CallStatus::Completed) => CallStatus::Failed,
                Some(status) => status,
            },
        }
    }

    fn duration_s(&self) -> Option<u64> {
        self.call_duration
    }
}

fn fetch(config: &Config, call: &Call, place: Option<&str>, io: &mut Io) -> Outcome<Option<Response>> {
    let mut request = Request::get(api::url_slash(config, &["Call", call.carrier_id()?])?);
    if let Some(place) = place {
        request = request.query(&[("status", place)]);
    }
    let response = io.http(api::authorised(config, request))?;
    if response.status == 404 {
        return Ok(None);
    }
    Ok(Some(api::accept(response, "look at the call in the Vobiz console.")?))
}

/// `<` separates several destinations in one request, each of which would be called.
fn is_dialable(address: &str) -> bool {
    is_e164(address)
        || is_sip_uri(address)
            && address
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_dialled_and_no_list() {
        for address in ["+14155550199", "sip:a@app.vobiz.ai", "SIPS:a@b;x=1"] {
            assert!(is_dialable(address), "{address}");
        }
        for address in [
            "",
            "14155550199",
            "8000",
            "+14155550199<+14155550100",
            "sip:a@b<14155550100",
            "sip:a b@c",
        ] {
            assert!(!is_dialable(address), "{address}");
        }
    }

    #[test]
    fn both_vocabularies_of_a_record_are_read() {
        let status = |body: Value| Record::read(&Response::json(&body)).unwrap().status();
        assert_eq!(
            status(json!({ "status": "in-progress", "duration": 120 })),
            CallStatus::InProgress
        );
        assert_eq!(status(json!({ "call": { "status": "busy" } })), CallStatus::Busy);
        assert_eq!(
            status(json!({ "calls": [{ "call_state": "ACTIVE" }] })),
            CallStatus::InProgress
        );
        let ended = |code: u32| json!({ "answer_time": null, "end_time": "x", "hangup_cause_code": code });
        assert_eq!(status(ended(17)), CallStatus::Busy);
        assert_eq!(status(ended(3000)), CallStatus::NoAnswer);
        assert_eq!(status(ended(16)), CallStatus::Failed);
        assert_eq!(
            status(json!({ "answer_time": "x", "end_time": "y" })),
            CallStatus::Completed
        );
    }
}
