//! Placing, ending and asking about calls: <https://docs.plivo.com/docs/voice/api/call/make-a-call>.

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
    let caller = outbound.caller_id.as_deref().unwrap_or(&call.caller);
    let answer_url = outbound
        .answer_url
        .as_deref()
        .ok_or_else(|| Failure::internal("route-missing", "No address answers the call once it is picked up."))?;
    let dial = Dial {
        caller,
        callee: &call.callee,
        answer_url,
        ring_url: call.route(RING_CALLBACK)?,
        hangup_url: call.route(HANGUP_CALLBACK)?,
        ring_timeout_s: outbound.ring_timeout_s,
    };
    dial.perform(config, io)
}

/// A request for a call, be it to a callee or to the destination of a transfer.
pub(crate) struct Dial<'a> {
    pub(crate) caller: &'a str,
    pub(crate) callee: &'a str,
    pub(crate) answer_url: &'a str,
    pub(crate) ring_url: &'a str,
    pub(crate) hangup_url: &'a str,
    pub(crate) ring_timeout_s: u16,
}

impl Dial<'_> {
    pub(crate) fn perform(&self, config: &Config, io: &mut Io) -> Outcome<Placed> {
        #[derive(Deserialize)]
        struct Created {
            #[serde(default)]
            request_uuid: Value,
            #[serde(default)]
            call_uuid: Value,
            #[serde(default)]
            call_uuids: Value,
        }

        if !is_dialable(self.callee) {
            let message = "Plivo dials numbers with + and SIP addresses only.";
            return Err(Failure::request("callee-invalid", message).into());
        }
        if self.caller.is_empty() {
            return Err(Failure::caller_id_missing("Plivo").into());
        }
        let request = Request::post(api::url(config, &["Call"])?).json(&json!({
            "from": dialled(self.caller),
            "to": dialled(self.callee),
            "answer_url": self.answer_url,
            "answer_method": "POST",
            "ring_url": self.ring_url,
            "ring_method": "POST",
            "hangup_url": self.hangup_url,
            "hangup_method": "POST",
            "ring_timeout": self.ring_timeout_s,
        }));
        let response = io.http(api::authorised(config, request))?;
        let refused = "check that the number exists and that the caller id is a number of the account.";
        let created: Created = api::accept(response, refused)?.read_json()?;
        // What Plivo returns identifies the request; the call may get another identifier when it is answered.
        let id = [&created.request_uuid, &created.call_uuid, &created.call_uuids]
            .into_iter()
            .find_map(api::identifier)
            .ok_or_else(|| Failure::unexpected_answer("a call without an identifier"))?;
        Ok(Placed::new(id))
    }
}

/// Ends a leg, also one that has not been answered and is known by its request only.
pub(crate) fn hang_up(config: &Config, call_uuid: &str, io: &mut Io) -> Outcome<HangUpOutcome> {
    let request = Request::delete(api::url(config, &["Call", call_uuid])?);
    let response = io.http(api::authorised(config, request))?;
    if response.status == 404 {
        return Ok(HangUpOutcome::AlreadyEnded);
    }
    api::confirm(response, "look at the call in the Plivo console.")?;
    Ok(HangUpOutcome::Ended)
}

/// Plivo keeps calls in three places: live ones, queued ones, and the records of those that have ended.
pub(crate) fn fetch_status(config: &Config, call: &Call, io: &mut Io) -> Outcome<StatusReport> {
    #[derive(Deserialize)]
    struct Alive {
        call_status: String,
    }
    for place in ["live", "queued"] {
        if let Some(response) = fetch(config, call, Some(place), io)? {
            let alive: Alive = response.read_json()?;
            let status =
                call_status(&alive.call_status).ok_or_else(|| Failure::unexpected_answer("an unknown call status"))?;
            return Ok(StatusReport {
                status,
                duration_ms: None,
            });
        }
    }
    let response = fetch(config, call, None, io)?
        .ok_or_else(|| Failure::request("call-not-found", "Plivo does not know this call (any more)."))?;
    let record: Record = response.read_json()?;
    Ok(StatusReport {
        status: record.status(),
        duration_ms: record.call_duration.and_then(|seconds| seconds.checked_mul(1000)),
    })
}

pub(crate) fn fetch_cost(config: &Config, call: &Call, io: &mut Io) -> Outcome<Option<Cost>> {
    // There is no record before the call has ended.
    let Some(response) = fetch(config, call, None, io)? else {
        return Ok(None);
    };
    let record: Record = response.read_json()?;
    let Some(amount) = record.total_amount.as_ref().and_then(amount) else {
        return Ok(None);
    };
    if record.end_time.is_none() {
        return Ok(None);
    }
    // Plivo bills in US dollars.
    Ok(Some(Cost::new(&amount, "USD", record.billed_duration.unwrap_or(0))?))
}

/// The record of a call that has ended.
#[derive(Deserialize)]
struct Record {
    answer_time: Option<String>,
    end_time: Option<String>,
    call_status: Option<String>,
    call_duration: Option<u64>,
    billed_duration: Option<u32>,
    total_amount: Option<Value>,
    hangup_cause_code: Option<u32>,
}

impl Record {
    fn status(&self) -> CallStatus {
        if let Some(status) = self.call_status.as_deref().and_then(call_status) {
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
}

fn fetch(config: &Config, call: &Call, place: Option<&str>, io: &mut Io) -> Outcome<Option<Response>> {
    let mut request = Request::get(api::url(config, &["Call", call.carrier_id()?])?);
    if let Some(place) = place {
        request = request.query(&[("status", place)]);
    }
    let response = io.http(api::authorised(config, request))?;
    if response.status == 404 {
        return Ok(None);
    }
    Ok(Some(api::accept(response, "look at the call in the Plivo console.")?))
}

/// `<` separates several destinations in one request, each of which would be called.
fn is_dialable(address: &str) -> bool {
    is_e164(address)
        || is_sip_uri(address)
            && address
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"'))
}

fn amount(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_dialled_and_no_list() {
        for address in ["+14155550199", "sip:a@phone.plivo.com", "SIPS:a@b;x=1"] {
            assert!(is_dialable(address), "{address}");
        }
        for address in [
            "",
            "14155550199",
            "8000",
            "+14155550199<+14155550100",
            "sip:a@b<14155550100",
            "sip:a b@c",
            "tel:1",
        ] {
            assert!(!is_dialable(address), "{address}");
        }
    }

    #[test]
    fn the_record_of_a_call_tells_how_it_ended() {
        let record = |answered: bool, code: u32| {
            let answer_time = answered.then_some("2022-06-28 19:39:05+05:30");
            let record = json!({
                "answer_time": answer_time, "end_time": "2022-06-28 19:39:15+05:30", "hangup_cause_code": code,
            });
            serde_json::from_value::<Record>(record).unwrap().status()
        };
        assert_eq!(record(true, 4010), CallStatus::Completed);
        assert_eq!(record(true, 6000), CallStatus::Completed);
        assert_eq!(record(false, 3010), CallStatus::Busy);
        assert_eq!(record(false, 3000), CallStatus::NoAnswer);
        assert_eq!(record(false, 1000), CallStatus::Canceled);
        assert_eq!(record(false, 4000), CallStatus::Failed);
        assert_eq!(record(false, 0), CallStatus::Failed);
    }
}
