//! The account's numbers, and where their calls go.

use serde_json::{Value, json};
use strowger_sdk::{Failure, Io, Outcome, Ownership, Synchronisation};

use crate::Config;
use crate::api;

pub(crate) fn validate(config: &Config, address: &str, io: &mut Io) -> Outcome<Ownership> {
    if !address.starts_with('+') {
        return Ok(Ownership::NotApplicable);
    }
    let answer = api::send(config, io, "GET", &["numbers", address], api::NO_BODY)?;
    match answer.status {
        200 => Ok(Ownership::Owned),
        404 => Ok(Ownership::NotOwned),
        _ => Err(api::refusal(&answer)),
    }
}

pub(crate) fn configure(
    config: &Config,
    address: &str,
    webhook_url: &str,
    attach: bool,
    io: &mut Io,
) -> Outcome<Synchronisation> {
    if !address.starts_with('+') {
        return Ok(Synchronisation::LeftAlone(
            "Only E.164 numbers are set at the carrier.".to_owned(),
        ));
    }
    // What is not there points nowhere, so detaching it is done already.
    let not_found = || match attach {
        true => Err(Failure::request("number-not-found", "The account does not own this number.").into()),
        false => Ok(Synchronisation::Unchanged),
    };
    let answer = api::send(config, io, "GET", &["numbers", address], api::NO_BODY)?;
    match answer.status {
        200 => {}
        404 => return not_found(),
        _ => return Err(api::refusal(&answer)),
    }
    let body = api::read(&answer)?;
    let points_here = match body.get("webhook_url") {
        None | Some(Value::Null) => false,
        Some(Value::String(url)) => url == webhook_url,
        Some(_) => return Err(api::unusable(&answer).into()),
    };
    if points_here == attach {
        return Ok(Synchronisation::Unchanged);
    }
    let target = json!({ "webhook_url": attach.then_some(webhook_url) });
    let answer = api::send(config, io, "PUT", &["numbers", address], Some(&target))?;
    match answer.status {
        200..=299 => Ok(Synchronisation::Done),
        404 => not_found(),
        _ => Err(api::refusal(&answer)),
    }
}
