//! A caller and a destination meet in a conference: <https://www.twilio.com/docs/voice/twiml/conference>.
//!
//! The destination is dialled with markup of its own, that puts it into a conference which has the transfer's name. When it
//! has answered, the caller is taken from its media socket to the same conference.

use strowger_sdk::{
    Call, CallEvent, CallbackOutcome, Failure, HangUpOutcome, Io, Outcome, Placed, Request, Response, TransferLeg,
    Webhook,
};

use crate::spec::{Config, TRANSFER_RESULT};
use crate::{api, callbacks, calls, markup};

pub(crate) fn dial(config: &Config, leg: &TransferLeg, io: &mut Io) -> Outcome<Placed> {
    if !calls::is_dialable(&leg.destination) {
        return Err(Failure::request(
            "destination-invalid",
            "Twilio dials numbers with + and SIP addresses only.",
        )
        .into());
    }
    let caller_id = leg
        .caller_id
        .as_deref()
        .ok_or_else(|| Failure::caller_id_missing("Twilio"))?;
    let ring_timeout_s = leg.ring_timeout_s.to_string();
    let markup = markup::join_conference(&leg.id, leg.announcement.as_deref());
    let form = [
        ("To", leg.destination.as_str()),
        ("From", caller_id),
        ("Twiml", &markup),
        ("Timeout", &ring_timeout_s),
        ("StatusCallback", leg.route(TRANSFER_RESULT)?),
        ("StatusCallbackMethod", "POST"),
        // A leg that is busy, or that nobody answers, is reported as completed.
        ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "answered"),
        ("StatusCallbackEvent", "completed"),
    ];
    let request = Request::post(api::url(config, &["Calls.json"])?).form(&form);
    calls::create(config, request, io)
}

pub(crate) fn connect(config: &Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<()> {
    let markup = markup::join_conference(&leg.id, None);
    let request = Request::post(calls::call_url(config, call.carrier_id()?)?).form(&[("Twiml", markup.as_str())]);
    api::accept(io.http(api::authorised(config, request))?)?.confirmed()?;
    Ok(())
}

pub(crate) fn cancel(config: &Config, leg: &TransferLeg, io: &mut Io) -> Outcome<HangUpOutcome> {
    calls::end(config, leg.carrier_id()?, io)
}

pub(crate) fn callback(webhook: &Webhook) -> CallbackOutcome {
    let mut events: Vec<CallEvent> = callbacks::call_sid(webhook)
        .map(CallEvent::Identified)
        .into_iter()
        .collect();
    events.extend(callbacks::status_event(webhook));
    CallbackOutcome {
        events,
        response: Response::empty(204),
    }
}
