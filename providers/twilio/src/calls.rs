//! The Calls resource: <https://www.twilio.com/docs/voice/api/call-resource>.

use serde::Deserialize;
use strowger_sdk::{
    Call, Cost, DetectionMode, Failure, HangUpOutcome, Io, Outbound, Outcome, Placed, Request, Response, StatusReport,
    is_e164, is_sip_uri, seconds_to_ms,
};

use crate::api;
use crate::callbacks::call_status;
use crate::spec::{Config, STATUS_CALLBACK};

/// "Unable to update record: call is not in progress"; the call ended before we said so.
const CALL_NOT_IN_PROGRESS: u32 = 21220;

pub(crate) fn place(config: &Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed> {
    if !is_dialable(&call.callee) {
        return Err(Failure::request("callee-invalid", "Twilio dials numbers with + and SIP addresses only.").into());
    }
    let caller = outbound.caller_id.as_deref().unwrap_or(&call.caller);
    if caller.is_empty() {
        return Err(Failure::caller_id_missing("Twilio").into());
    }
    let answer_url = outbound
        .answer_url
        .as_deref()
        .ok_or_else(|| Failure::internal("route-missing", "No address answers the call once it is picked up."))?;
    let ring_timeout_s = outbound.ring_timeout_s.to_string();
    let mut form = vec![
        ("To", call.callee.as_str()),
        ("From", caller),
        ("Url", answer_url),
        ("Method", "POST"),
        ("Timeout", &ring_timeout_s),
        ("StatusCallback", call.route(STATUS_CALLBACK)?),
        ("StatusCallbackMethod", "POST"),
        ("StatusCallbackEvent", "initiated"),
        ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "answered"),
        ("StatusCallbackEvent", "completed"),
    ];
    // Without the account's consent the wish is ignored: detection is billed.
    match outbound.detect_machine.filter(|_| config.detect_machines) {
        Some(DetectionMode::HumanOrMachine) => form.push(("MachineDetection", "Enable")),
        Some(DetectionMode::EndOfGreeting) => form.push(("MachineDetection", "DetectMessageEnd")),
        None => {}
    }
    let request = Request::post(api::url(config, &["Calls.json"])?).form(&form);
    create(config, request, io)
}

/// Carries out a request that makes a call.
pub(crate) fn create(config: &Config, request: Request, io: &mut Io) -> Outcome<Placed> {
    #[derive(Deserialize)]
    struct Created {
        sid: String,
    }
    let created: Created = api::accept(io.http(api::authorised(config, request))?)?.read_json()?;
    Ok(Placed::new(created.sid))
}

pub(crate) fn hang_up(config: &Config, call: &Call, io: &mut Io) -> Outcome<HangUpOutcome> {
    end(config, call.carrier_id()?, io)
}

/// Ends a call, or a leg that rings.
pub(crate) fn end(config: &Config, sid: &str, io: &mut Io) -> Outcome<HangUpOutcome> {
    let request = Request::post(call_url(config, sid)?).form(&[("Status", "completed")]);
    let response = io.http(api::authorised(config, request))?;
    if response.status == 404 || api::error_code(&response) == Some(CALL_NOT_IN_PROGRESS) {
        return Ok(HangUpOutcome::AlreadyEnded);
    }
    api::accept(response)?.confirmed()?;
    Ok(HangUpOutcome::Ended)
}

pub(crate) fn fetch_status(config: &Config, call: &Call, io: &mut Io) -> Outcome<StatusReport> {
    #[derive(Deserialize)]
    struct Resource {
        status: String,
        duration: Option<String>,
    }
    let resource: Resource = fetch(config, call, io)?.read_json()?;
    let status = call_status(&resource.status).ok_or_else(|| Failure::unexpected_answer("an unknown call status"))?;
    Ok(StatusReport {
        status,
        duration_ms: resource.duration.as_deref().and_then(seconds_to_ms),
    })
}

pub(crate) fn fetch_cost(config: &Config, call: &Call, io: &mut Io) -> Outcome<Option<Cost>> {
    #[derive(Deserialize)]
    struct Resource {
        price: Option<String>,
        price_unit: Option<String>,
        duration: Option<String>,
    }
    let resource: Resource = fetch(config, call, io)?.read_json()?;
    // Twilio rates a call minutes after its end; until then the price is null.
    let Some(price) = resource.price.filter(|price| !price.is_empty()) else {
        return Ok(None);
    };
    // What the account pays is negative.
    let amount = price.strip_prefix('-').unwrap_or(&price);
    let duration_s = resource
        .duration
        .and_then(|seconds| seconds.trim().parse().ok())
        .unwrap_or(0);
    let currency = resource.price_unit.as_deref().unwrap_or("USD");
    Ok(Some(Cost::new(amount, currency, duration_s)?))
}

fn fetch(config: &Config, call: &Call, io: &mut Io) -> Outcome<Response> {
    let response = io.http(api::authorised(
        config,
        Request::get(call_url(config, call.carrier_id()?)?),
    ))?;
    if response.status == 404 {
        return Err(Failure::request("call-not-found", "Twilio does not know this call (any more).").into());
    }
    Ok(api::accept(response)?)
}

pub(crate) fn call_url(config: &Config, sid: &str) -> Result<String, Failure> {
    api::url(config, &["Calls", &format!("{sid}.json")])
}

pub(crate) fn is_dialable(address: &str) -> bool {
    is_sip_uri(address) || is_e164(address)
}
