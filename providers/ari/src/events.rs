//! The event socket:
//! <https://docs.asterisk.org/Latest_API/API_Documentation/Asterisk_REST_Interface/_Asterisk_REST_Data_Models/>.
//!
//! Asterisk tells a Stasis application of the channels that are in it, and of those that were originated for it until they
//! are destroyed. That is enough; subscribing to everything would bring every event of the PBX.

use std::borrow::Cow;

use serde::Deserialize;
use strowger_sdk::{
    Authorization, CallEvent, CallStatus, Directive, EventSocket, Failure, InboundCall, Io, KnownCall, KnownTransfer,
    Outcome, Request, StatusEvent,
};

use crate::api::{self, Reason};
use crate::ids::{self, Owner};
use crate::spec::Config;
use crate::{calls, causes};

/// The contract's bound on the identifier of a call.
const CALL_ID_CHARS_MAX: usize = 255;

pub(crate) fn endpoint(config: &Config) -> Result<EventSocket, Failure> {
    if config.media_client.is_empty() {
        return Err(Failure::configuration(
            "ws-client-missing",
            "The configuration names no section of websocket_client.conf, so no call could have media.",
        ));
    }
    if config.stasis_app.is_empty() {
        return Err(calls::stasis_app_missing());
    }
    // `http` becomes `ws`, `https` becomes `wss`.
    let base = config.endpoint.strip_prefix("http").ok_or_else(|| {
        Failure::configuration("endpoint-invalid", "The ARI endpoint begins with http:// or https://.")
    })?;
    Ok(EventSocket {
        url: Request::get(format!("ws{base}/ari/events"))
            .query(&[("app", &config.stasis_app)])
            .url,
        authorization: Authorization::Basic((config.user.clone(), (&config.password).into())),
        subprotocol: None,
    })
}

pub(crate) fn handle(config: &Config, message: &str, io: &mut Io) -> Outcome<Vec<Directive>> {
    let event: Event<'_> =
        serde_json::from_str(message).map_err(|_| Failure::unexpected_answer("a message that is no event"))?;
    if event.kind == "ApplicationReplaced" {
        return Err(Failure::configuration(
            "application-replaced",
            "Another program took over the Stasis application, so calls do not arrive here any more; find out who uses its name.",
        )
        .into());
    }
    let Some(channel) = &event.channel else {
        return Ok(Vec::new());
    };
    match (&*event.kind, ids::owner(&channel.id)) {
        ("StasisStart", Owner::Media(of)) => join_media(config, of, &channel.id, io),
        ("StasisStart", Owner::Outbound) => Ok(vec![Directive::Answered(channel.id.to_string())]),
        ("StasisStart", Owner::Transfer(id)) => Ok(vec![transfer(id, StatusEvent::new(CallStatus::InProgress))]),
        ("StasisStart", Owner::Caller) => Ok(announce(&event, channel)),

        ("ChannelStateChange", Owner::Outbound) if channel.state == "Ringing" => {
            Ok(vec![known(&channel.id, StatusEvent::new(CallStatus::Ringing))])
        }
        ("ChannelStateChange", Owner::Transfer(id)) if channel.state == "Ringing" => {
            Ok(vec![transfer(id, StatusEvent::new(CallStatus::Ringing))])
        }

        ("StasisEnd", Owner::Caller | Owner::Outbound) => {
            // The media channel ends with its socket, which the runtime closes; nobody else takes the bridge away.
            api::tidy(io, api::delete_bridge(config, &ids::bridge(&channel.id))?)?;
            Ok(vec![known(&channel.id, causes::end_of_caller(&channel.state))])
        }
        ("StasisEnd", Owner::Transfer(id)) => Ok(vec![transfer(id, causes::end_of_caller(&channel.state))]),

        ("ChannelDestroyed", Owner::Outbound) => Ok(vec![known(&channel.id, event.end(channel))]),
        ("ChannelDestroyed", Owner::Transfer(id)) => Ok(vec![transfer(id, event.end(channel))]),
        ("ChannelDestroyed", Owner::Media(of)) if channel.state != "Up" => give_up(config, of, &event, io),
        // A caller's `ChannelDestroyed` does not come, keys arrive on the media socket, and what is new must not disturb.
        _ => Ok(Vec::new()),
    }
}

/// Somebody calls; in state `Up` when the dialplan has answered already.
fn announce(event: &Event<'_>, channel: &Channel<'_>) -> Vec<Directive> {
    // An attended transfer inside Asterisk puts another channel in the place of one that is known.
    if let Some(replaced) = &event.replace_channel {
        return vec![call(&replaced.id, CallEvent::Identified(channel.id.to_string()))];
    }
    if channel.id.is_empty() || channel.id.chars().count() > CALL_ID_CHARS_MAX {
        return Vec::new();
    }
    // `Stasis(app,${EXTEN})` says whom the caller wants, whatever extension the dialplan has come to.
    let callee = match event.args.first() {
        Some(argument) if !argument.is_empty() => argument.as_str(),
        _ => &channel.dialplan.exten,
    };
    vec![Directive::InboundCall(InboundCall {
        provider_call_id: channel.id.to_string(),
        caller: channel.caller.number.to_string(),
        callee: callee.to_owned(),
        caller_country: None,
        callee_country: None,
        account_id: None,
    })]
}

/// The media channel has opened its socket: now both hear each other.
fn join_media(config: &Config, of: &str, media: &str, io: &mut Io) -> Outcome<Vec<Directive>> {
    let joined = api::attempt(io, calls::join(config, &ids::bridge(of), media)?)?;
    // The caller is gone, and the bridge with it. The runtime ends the call when the socket closes, should it not know.
    if joined.is_err() {
        api::tidy(io, api::delete_channel(config, media, Reason::Normal)?)?;
    }
    Ok(Vec::new())
}

/// The media channel ended before its socket was open: nobody would ever speak to the caller.
fn give_up(config: &Config, of: &str, event: &Event<'_>, io: &mut Io) -> Outcome<Vec<Directive>> {
    api::tidy(io, api::delete_channel(config, of, Reason::Congestion)?)?;
    let why = event.describe();
    let failed = StatusEvent::new(CallStatus::Failed)
        .because(Some(format!("no media socket, see websocket_client.conf: {why}")));
    Ok(vec![known(of, failed)])
}

fn call(channel: &str, event: CallEvent) -> Directive {
    Directive::Call(KnownCall {
        provider_call_id: channel.to_owned(),
        events: vec![event],
    })
}

fn known(channel: &str, status: StatusEvent) -> Directive {
    call(channel, CallEvent::Status(status))
}

fn transfer(id: &str, status: StatusEvent) -> Directive {
    Directive::Transfer(KnownTransfer {
        id: id.to_owned(),
        events: vec![CallEvent::Status(status)],
    })
}

/// What is read of an event. Asterisk writes `type` anywhere in the object.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    channel: Option<Channel<'a>>,
    #[serde(borrow)]
    replace_channel: Option<Channel<'a>>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    cause: i64,
    #[serde(borrow, default)]
    cause_txt: Cow<'a, str>,
    tech_cause: Option<i64>,
}

impl Event<'_> {
    fn end(&self, channel: &Channel<'_>) -> StatusEvent {
        causes::end_of_dialled(&channel.state, self.cause, &self.cause_txt, self.tech_cause)
    }

    fn describe(&self) -> String {
        causes::describe(self.cause, &self.cause_txt, self.tech_cause)
    }
}

#[derive(Deserialize)]
struct Channel<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    state: Cow<'a, str>,
    #[serde(borrow, default)]
    caller: Party<'a>,
    #[serde(borrow, default)]
    dialplan: Dialplan<'a>,
}

#[derive(Default, Deserialize)]
struct Party<'a> {
    #[serde(borrow, default)]
    number: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
struct Dialplan<'a> {
    #[serde(borrow, default)]
    exten: Cow<'a, str>,
}
