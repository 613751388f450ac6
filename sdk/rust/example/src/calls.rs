//! Calls over the REST API.

use serde::Serialize;
use strowger_sdk::{Call, Cost, Failure, HangUpOutcome, Io, Outbound, Outcome, Placed, Response, StatusReport};

use crate::Config;
use crate::api;
use crate::webhooks::{Body, call_status};

#[derive(Serialize)]
struct NewCall<'a> {
    from: &'a str,
    to: &'a str,
    answer_url: &'a str,
    status_url: &'a str,
    ring_timeout_s: u16,
}

pub(crate) fn place(config: &Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed> {
    let from = outbound
        .caller_id
        .as_deref()
        .ok_or_else(|| Failure::request("caller-id-missing", "A call needs a number to call from."))?;
    let no_route = || Failure::internal("route-missing", "The gateway gave no URL for a route.");
    let new = NewCall {
        from,
        to: &call.callee,
        answer_url: outbound.answer_url.as_deref().ok_or_else(no_route)?,
        status_url: call.route("status").map_err(|_| no_route())?,
        ring_timeout_s: outbound.ring_timeout_s,
    };
    let answer = api::send(config, io, "POST", &["calls"], Some(&new))?;
    if answer.status != 201 {
        return Err(api::refusal(&answer));
    }
    match api::read(&answer)?.text("call") {
        None | Some("") => Err(api::unusable(&answer).into()),
        Some(id) => Ok(Placed::new(id)),
    }
}

pub(crate) fn hang_up(config: &Config, call: &Call, io: &mut Io) -> Outcome<HangUpOutcome> {
    let answer = api::send(config, io, "DELETE", &["calls", api::call_id(call)?], api::NO_BODY)?;
    match answer.status {
        200..=299 => Ok(HangUpOutcome::Ended),
        404 | 409 => Ok(HangUpOutcome::AlreadyEnded),
        _ => Err(api::refusal(&answer)),
    }
}

pub(crate) fn status(config: &Config, call: &Call, io: &mut Io) -> Outcome<StatusReport> {
    let (answer, body) = fetch(config, call, io)?;
    let status = body
        .text("status")
        .and_then(call_status)
        .ok_or_else(|| api::unusable(&answer))?;
    Ok(StatusReport {
        status,
        duration_ms: body.whole("duration_s").map(|seconds| u64::from(seconds) * 1000),
    })
}

pub(crate) fn cost(config: &Config, call: &Call, io: &mut Io) -> Outcome<Option<Cost>> {
    let (answer, body) = fetch(config, call, io)?;
    if body.get("cost").is_none_or(serde_json::Value::is_null) {
        return Ok(None);
    }
    let cost = body.object("cost").and_then(|cost| {
        let currency = cost
            .text("currency")
            .filter(|c| c.len() == 3 && c.bytes().all(|b| b.is_ascii_uppercase()))?;
        Cost::new(cost.text("amount")?, currency, cost.whole("seconds")?).ok()
    });
    cost.map(Some).ok_or_else(|| api::unusable(&answer).into())
}

/// What the carrier knows about a call.
fn fetch(config: &Config, call: &Call, io: &mut Io) -> Outcome<(Response, Body)> {
    let answer = api::send(config, io, "GET", &["calls", api::call_id(call)?], api::NO_BODY)?;
    match answer.status {
        200 => {
            let body = api::read(&answer)?;
            Ok((answer, body))
        }
        404 => Err(api::call_not_found().into()),
        _ => Err(api::refusal(&answer)),
    }
}
