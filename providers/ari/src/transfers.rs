//! Transfers by a bridge swap: the destination joins the caller's bridge, and the media channel leaves it.
//!
//! The announcement of a leg is not said: Asterisk has no speech of its own.

use strowger_sdk::{Call, Failure, HangUpOutcome, Io, Outcome, Placed, TransferLeg};

use crate::api::{self, Reason};
use crate::calls::{self, Dialled};
use crate::ids;
use crate::spec::Config;

pub(crate) fn dial(config: &Config, leg: &TransferLeg, io: &mut Io) -> Outcome<Placed> {
    calls::dial(
        config,
        &Dialled {
            channel: ids::transfer_channel(&leg.id),
            arguments: format!("transfer,{}", leg.id),
            destination: &leg.destination,
            caller_id: leg.caller_id.as_deref(),
            ring_timeout_s: leg.ring_timeout_s,
        },
        io,
    )
}

pub(crate) fn connect(config: &Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<()> {
    let caller = call.carrier_id()?;
    let joined = api::attempt(io, calls::join(config, &ids::bridge(caller), &channel_of(leg))?)?;
    joined.map_err(|failure| match failure.code.as_str() {
        "not-found" | "request-refused" | api::CONFLICT => {
            Failure::request("leg-gone", "One side hung up before the two were connected.")
        }
        _ => failure,
    })?;
    // Only now: without the destination the caller would be alone in the bridge. Nothing is lost when it fails, because the
    // channel ends with its socket, which the runtime closes.
    api::tidy(
        io,
        api::delete_channel(config, &ids::media_channel(caller), Reason::Normal)?,
    )
}

pub(crate) fn cancel(config: &Config, leg: &TransferLeg, io: &mut Io) -> Outcome<HangUpOutcome> {
    api::hang_up(config, &channel_of(leg), Reason::Normal, io)
}

fn channel_of(leg: &TransferLeg) -> String {
    leg.provider_call_id
        .clone()
        .unwrap_or_else(|| ids::transfer_channel(&leg.id))
}
