//! Answering, placing and ending calls:
//! <https://docs.asterisk.org/Latest_API/API_Documentation/Asterisk_REST_Interface/Channels_REST_API/>.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use strowger_sdk::{
    Answered, Call, Direction, Failure, HangUpOutcome, Io, MediaAddress, Outbound, Outcome, Placed, RejectionReason,
    Request, Response, StatusReport,
};

use crate::api::{self, Reason};
use crate::spec::Config;
use crate::{causes, destination, ids};

/// Asterisk refuses media parameters with any other character, the tilde included.
const PARAMETER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// No call lasts longer; the runtime's own bound.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Answers a caller, or takes a callee who has answered, and opens the media socket. The media channel joins the bridge
/// when the event socket says that it is there (see [`crate::events`]).
pub(crate) fn answer(config: &Config, call: &Call, media: &MediaAddress, io: &mut Io) -> Outcome<Answered> {
    let channel = call.carrier_id()?;
    let bridge = ids::bridge(channel);
    // Asterisk 22 does not survive a second media channel of the same name, so it is asked for one only once.
    if !io.claim(&format!("media {}", call.id), DAY)? {
        return Ok(acknowledgement());
    }
    if call.direction == Direction::Inbound {
        let answered = api::attempt(io, api::post(config, &["channels", channel, "answer"])?)?;
        answered.map_err(caller_gone)?;
    }
    let bridging = api::post(config, &["bridges", &bridge])?.json(&Bridge {
        kind: "mixing",
        name: &bridge,
    });
    api::attempt(io, bridging)??;

    // The caller waits in the bridge, so that nothing is lost between the media channel's first frame and the bridge.
    let joined = api::attempt(io, join(config, &bridge, channel)?)?.map_err(caller_gone);
    let opened = match joined {
        Ok(_) => open_media(config, channel, media, io)?,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = opened {
        api::tidy(io, api::delete_bridge(config, &bridge)?)?;
        return Err(failure.into());
    }
    Ok(acknowledgement())
}

/// Puts a channel into a bridge.
pub(crate) fn join(config: &Config, bridge: &str, channel: &str) -> Result<Request, Failure> {
    let request = api::post(config, &["bridges", bridge, "addChannel"])?;
    Ok(request.json(&Join { channel: [channel] }))
}

pub(crate) fn place(config: &Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed> {
    dial(
        config,
        &Dialled {
            channel: ids::outbound_channel(&call.id),
            arguments: format!("call,{}", call.id),
            destination: &call.callee,
            caller_id: outbound.caller_id.as_deref(),
            ring_timeout_s: outbound.ring_timeout_s,
        },
        io,
    )
}

/// A channel to originate.
pub(crate) struct Dialled<'a> {
    pub(crate) channel: String,
    /// What the Stasis application gets, for people who read Asterisk's log.
    pub(crate) arguments: String,
    pub(crate) destination: &'a str,
    pub(crate) caller_id: Option<&'a str>,
    pub(crate) ring_timeout_s: u16,
}

pub(crate) fn dial(config: &Config, dialled: &Dialled<'_>, io: &mut Io) -> Outcome<Placed> {
    if config.stasis_app.is_empty() {
        return Err(stasis_app_missing().into());
    }
    let endpoint = destination::dial_string(&config.dial_string, dialled.destination)?;
    let request = api::post(config, &["channels", &dialled.channel])?.json(&Originate {
        endpoint: &endpoint,
        app: &config.stasis_app,
        app_args: &dialled.arguments,
        timeout: dialled.ring_timeout_s,
        caller_id: dialled.caller_id.filter(|caller_id| !caller_id.is_empty()),
    });
    let response = api::attempt(io, request)?.map_err(|failure| match failure.code.as_str() {
        api::ALLOCATION_FAILED => Failure::request(
            "callee-unreachable",
            "Asterisk has no way to dial this (HTTP 500): check that the endpoint exists and is registered, and the Outbound Dial String.",
        ),
        _ => failure,
    })?;
    expect_channel(&response, &dialled.channel)?;
    Ok(Placed::new(&dialled.channel))
}

pub(crate) fn hang_up(config: &Config, call: &Call, io: &mut Io) -> Outcome<HangUpOutcome> {
    let channel = channel_of(call)?;
    let outcome = api::hang_up(config, &channel, Reason::Normal, io)?;
    // The event socket may be down just now, and nobody else would take the bridge away.
    api::tidy(io, api::delete_bridge(config, &ids::bridge(&channel))?)?;
    Ok(outcome)
}

pub(crate) fn fetch_status(config: &Config, call: &Call, io: &mut Io) -> Outcome<StatusReport> {
    #[derive(Deserialize)]
    struct Channel {
        state: String,
    }
    let response = api::attempt(io, api::get(config, &["channels", &channel_of(call)?])?)?;
    let response = response.map_err(|failure| match failure.code.as_str() {
        // Asterisk forgets a channel with its end, and with it how it ended.
        "not-found" => Failure::request("call-not-found", "Asterisk does not know this call (any more)."),
        _ => failure,
    })?;
    let channel: Channel = response.read_json()?;
    let status =
        causes::channel_state(&channel.state).ok_or_else(|| Failure::unexpected_answer("an unknown channel state"))?;
    Ok(StatusReport {
        status,
        duration_ms: None,
    })
}

pub(crate) fn reject(config: &Config, call: &Call, reason: RejectionReason, io: &mut Io) -> Outcome<Response> {
    api::hang_up(config, &channel_of(call)?, hang_up_reason(reason), io)?;
    Ok(refusal(reason))
}

#[derive(Serialize)]
struct Refusal {
    reason: &'static str,
}

/// The form of a refusal; nobody reads it, because there are no webhooks.
pub(crate) fn refusal(reason: RejectionReason) -> Response {
    Response::json(&Refusal {
        reason: hang_up_reason(reason).as_str(),
    })
}

pub(crate) fn stasis_app_missing() -> Failure {
    Failure::configuration(
        "stasis-app-missing",
        "The configuration has no Stasis application; create it anew.",
    )
}

/// What the caller's network is told. A stranger does not learn more than that it does not work.
const fn hang_up_reason(reason: RejectionReason) -> Reason {
    match reason {
        RejectionReason::UnknownNumber => Reason::Unallocated,
        RejectionReason::NoAgent => Reason::NormalUnspecified,
        RejectionReason::AtCapacity => Reason::Busy,
        RejectionReason::Quota | RejectionReason::Unavailable => Reason::Congestion,
        RejectionReason::AccountMismatch | RejectionReason::Signature | RejectionReason::ProviderMismatch => {
            Reason::Rejected
        }
    }
}

/// Makes the media channel, which connects to the media socket.
fn open_media(config: &Config, channel: &str, media: &MediaAddress, io: &mut Io) -> Outcome<Result<(), Failure>> {
    let media_channel = ids::media_channel(channel);
    // Asterisk adds the parameters to the address in websocket_client.conf. It keeps those of an earlier call for one that
    // has none.
    let token = utf8_percent_encode(&media.token, PARAMETER);
    let request = api::post(config, &["channels", "externalMedia"])?.json(&ExternalMedia {
        app: &config.stasis_app,
        channel_id: &media_channel,
        external_host: &config.media_client,
        transport: "websocket",
        encapsulation: "none",
        connection_type: "client",
        direction: "both",
        format: config.media_format.name(),
        transport_data: format!("v(token={token})"),
    });
    Ok(api::attempt(io, request)?
        .map_err(media_refused)
        .and_then(|response| expect_channel(&response, &media_channel)))
}

#[derive(Serialize)]
struct Bridge<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Join<'a> {
    /// As a list: a string would be split at commas.
    channel: [&'a str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Originate<'a> {
    endpoint: &'a str,
    app: &'a str,
    app_args: &'a str,
    timeout: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_id: Option<&'a str>,
}

#[derive(Serialize)]
struct ExternalMedia<'a> {
    app: &'a str,
    #[serde(rename = "channelId")]
    channel_id: &'a str,
    external_host: &'a str,
    transport: &'a str,
    encapsulation: &'a str,
    connection_type: &'a str,
    direction: &'a str,
    format: &'a str,
    transport_data: String,
}

/// Asterisk made the channel under the name that was asked for, or it was not Asterisk who answered.
fn expect_channel(response: &Response, channel: &str) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Channel {
        id: String,
    }
    if response.read_json::<Channel>()?.id == channel {
        Ok(())
    } else {
        Err(Failure::unexpected_answer("another channel than the one asked for"))
    }
}

fn caller_gone(failure: Failure) -> Failure {
    match failure.code.as_str() {
        // Not found; not in Stasis any more; not to be answered any more; on its way out.
        "not-found" | "request-refused" | api::CONFLICT | api::NOT_ANSWERED => {
            Failure::request("call-not-found", "The other side hung up before the call was set up.")
        }
        _ => failure,
    }
}

fn media_refused(failure: Failure) -> Failure {
    match failure.code.as_str() {
        api::ALLOCATION_FAILED | "request-refused" => Failure::configuration(
            "media-channel-refused",
            "Asterisk made no media channel; check that it has chan_websocket (22.6 or later) and the section of websocket_client.conf that the configuration names.",
        ),
        _ => failure,
    }
}

fn channel_of(call: &Call) -> Result<String, Failure> {
    match (&call.provider_call_id, call.direction) {
        (Some(channel), _) => Ok(channel.clone()),
        // Dialled, but the answer to the request has not arrived.
        (None, Direction::Outbound) => Ok(ids::outbound_channel(&call.id)),
        (None, Direction::Inbound) => call.carrier_id().map(str::to_owned),
    }
}

fn acknowledgement() -> Answered {
    Answered::with(Response::empty(204))
}
