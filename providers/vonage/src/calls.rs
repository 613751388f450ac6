//! The Voice API: <https://developer.vonage.com/en/api/voice>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strowger_sdk::{
    Call, Cost, Failure, HangUpOutcome, Io, Outbound, Outcome, Placed, Request, Response, StatusReport, is_sip_uri,
};

use crate::api;
use crate::callbacks::call_status;
use crate::numbers::digits;
use crate::spec::{Config, EVENTS};

/// Prices are in euros, whatever the account pays in.
const CURRENCY: &str = "EUR";

/// What is dialled, and what the callee sees.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Endpoint<'a> {
    Phone { number: &'a str },
    Sip { uri: &'a str },
}

pub(crate) fn place(config: &Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed> {
    #[derive(Serialize)]
    struct NewCall<'a> {
        to: [Endpoint<'a>; 1],
        from: Endpoint<'a>,
        answer_url: [&'a str; 1],
        answer_method: &'static str,
        event_url: [&'a str; 1],
        event_method: &'static str,
        ringing_timer: u16,
    }
    #[derive(Deserialize)]
    struct Created {
        uuid: String,
    }

    let to = endpoint(&call.callee)
        .ok_or_else(|| Failure::request("callee-invalid", "Vonage dials numbers with + and SIP addresses only."))?;
    let caller = outbound.caller_id.as_deref().unwrap_or(&call.caller);
    if caller.is_empty() {
        return Err(Failure::caller_id_missing("Vonage").into());
    }
    let from = digits(caller).map(|number| Endpoint::Phone { number }).ok_or_else(|| {
        Failure::request(
            "caller-id-invalid",
            "A call over Vonage comes from a number with +, such as one of the account.",
        )
    })?;
    let answer_url = outbound
        .answer_url
        .as_deref()
        .ok_or_else(|| Failure::internal("route-missing", "No address answers the call once it is picked up."))?;
    let new = NewCall {
        to: [to],
        from,
        answer_url: [answer_url],
        answer_method: "GET",
        event_url: [call.route(EVENTS)?],
        event_method: "POST",
        ringing_timer: outbound.ring_timeout_s.clamp(1, 120),
    };
    let request = Request::post(api::calls_url()).json(&new);
    let response = io.http(api::as_application(config, request))?;
    let created: Created = api::accept(response, api::APPLICATION)?.read_json()?;
    Ok(Placed::new(created.uuid))
}

pub(crate) fn hang_up(config: &Config, call: &Call, io: &mut Io) -> Outcome<HangUpOutcome> {
    let request = Request::put(api::call_url(call)?).json(&json!({ "action": "hangup" }));
    let response = io.http(api::as_application(config, request))?;
    if response.status == 404 {
        return Ok(HangUpOutcome::AlreadyEnded);
    }
    api::accept(response, api::APPLICATION)?.confirmed()?;
    Ok(HangUpOutcome::Ended)
}

pub(crate) fn fetch_status(config: &Config, call: &Call, io: &mut Io) -> Outcome<StatusReport> {
    #[derive(Deserialize)]
    struct Resource {
        status: String,
        duration: Option<Value>,
    }
    let resource: Resource = fetch(config, call, io)?.read_json()?;
    let status = call_status(&resource.status).ok_or_else(|| Failure::unexpected_answer("an unknown call status"))?;
    Ok(StatusReport {
        status,
        duration_ms: resource
            .duration
            .as_ref()
            .and_then(seconds)
            .map(|s| u64::from(s) * 1000),
    })
}

pub(crate) fn fetch_cost(config: &Config, call: &Call, io: &mut Io) -> Outcome<Option<Cost>> {
    #[derive(Deserialize)]
    struct Resource {
        price: Option<Value>,
        duration: Option<Value>,
    }
    let resource: Resource = fetch(config, call, io)?.read_json()?;
    let price = match resource.price {
        Some(Value::String(price)) => price,
        Some(price @ Value::Number(_)) => price.to_string(),
        _ => String::new(),
    };
    // The price is sent only once the call is completed.
    if price.is_empty() {
        return Ok(None);
    }
    let duration_s = resource.duration.as_ref().and_then(seconds).unwrap_or(0);
    Ok(Some(Cost::new(&price, CURRENCY, duration_s)?))
}

fn fetch(config: &Config, call: &Call, io: &mut Io) -> Outcome<Response> {
    let response = io.http(api::as_application(config, Request::get(api::call_url(call)?)))?;
    if response.status == 404 {
        return Err(Failure::request("call-not-found", "Vonage does not know this call (any more).").into());
    }
    Ok(api::accept(response, api::APPLICATION)?)
}

fn endpoint(address: &str) -> Option<Endpoint<'_>> {
    if is_sip_uri(address) {
        return Some(Endpoint::Sip { uri: address });
    }
    digits(address).map(|number| Endpoint::Phone { number })
}

/// Vonage writes numbers as texts.
fn seconds(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64().and_then(|seconds| u32::try_from(seconds).ok()),
    }
}
