//! What a carrier gets wrong on demand. Each field is off by default; combinations are allowed.

use std::time::Duration;

use serde::Serialize;

/// How webhooks and socket upgrades are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    #[default]
    Right,
    /// With a key that is not the account's.
    Wrong,
    /// Not at all.
    Missing,
}

/// How a request to the REST API fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RestFault {
    /// With this status, in the carrier's own words.
    Status(u16),
    /// There is no response, and the connection stays open.
    Timeout,
    /// The connection ends in the middle of the body.
    HalfBody,
    /// Status 200 and a page for people, as a proxy in between would send.
    Html,
    /// A redirection to this address.
    Redirect(String),
}

/// The faults of one call, or (through [`crate::Options`]) of a whole carrier.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Misbehaviour {
    /// Every n-th media frame is sent after its successor; 0 = never.
    pub reorder_every: u32,
    /// Every n-th media frame is sent twice; 0 = never.
    pub duplicate_every: u32,
    /// Every n-th media frame is not sent; 0 = never.
    pub lose_every: u32,
    /// After this many frames, one message that is not JSON.
    pub malformed_after: Option<u32>,
    /// After this many frames, one frame whose audio cannot be decoded.
    pub bad_payload_after: Option<u32>,
    /// So many media frames come before the stream's opening messages.
    pub media_before_start: u32,
    /// The socket is dropped at the end, without a stop message or a closing handshake.
    pub no_stop: bool,
    /// After this many frames the socket is neither read, nor written, nor closed.
    pub half_open_after: Option<u32>,
    /// A second socket is opened with the same address while the first one lives.
    pub second_socket: bool,
    /// The webhook that announces a call, or asks for an answer, is sent so many times more, at the same moment.
    pub webhook_copies: u32,
    /// Every status callback is sent so many times more, one after the other.
    pub status_copies: u32,
    /// Status callbacks are kept until the call has ended and then sent last first.
    pub statuses_reversed: bool,
    /// Of two status callbacks, the second comes first.
    pub statuses_swapped: bool,
    /// The request that places a call, or opens a media channel, is answered only when the call has been answered, or has ended, and all that was to be
    /// told of it has been told.
    pub callbacks_before_response: bool,
    /// Calls ring on when their time is up, so that they may be answered too late.
    pub ignores_ring_timeout: bool,
    /// Upgrades to an event socket are answered with this status.
    pub event_socket_refused: Option<u16>,
    /// The body of every webhook takes this long to arrive.
    pub slow_webhook: Duration,
    pub signing: Signing,
    /// Webhooks carry one more parameter with so many bytes.
    pub padding_bytes: usize,
    /// Webhooks carry one more parameter with bytes that are not UTF-8.
    pub invalid_utf8: bool,
    /// The REST API thinks this long before it answers.
    pub rest_delay: Duration,
    /// The REST API answers with this status only.
    pub rest_error: Option<u16>,
    /// Every request to the REST API fails like this, without being carried out. For single requests there is
    /// [`crate::RunningCarrier::fail_rest`].
    pub rest_fault: Option<RestFault>,
}

/// Where no carrier has any business: the metadata service of cloud machines.
pub const PRIVATE_ADDRESS: &str = "http://169.254.169.254/latest/meta-data/";

type Fault = (&'static str, fn(&mut Misbehaviour));

const NAMED: &[Fault] = &[
    ("reordered-media", |m| m.reorder_every = 5),
    ("duplicated-media", |m| m.duplicate_every = 10),
    ("lost-media", |m| m.lose_every = 25),
    ("malformed-json", |m| m.malformed_after = Some(20)),
    ("bad-base64", |m| m.bad_payload_after = Some(20)),
    ("media-before-start", |m| m.media_before_start = 3),
    ("no-stop", |m| m.no_stop = true),
    ("half-open", |m| m.half_open_after = Some(50)),
    ("second-socket", |m| m.second_socket = true),
    ("repeated-webhooks", |m| {
        m.webhook_copies = 2;
        m.status_copies = 2;
    }),
    ("statuses-reversed", |m| m.statuses_reversed = true),
    ("slow-webhook", |m| m.slow_webhook = Duration::from_secs(5)),
    ("wrong-signature", |m| m.signing = Signing::Wrong),
    ("missing-signature", |m| m.signing = Signing::Missing),
    ("huge-webhook", |m| m.padding_bytes = 10_000_000),
    ("non-utf8-webhook", |m| m.invalid_utf8 = true),
    ("slow-rest", |m| m.rest_delay = Duration::from_secs(5)),
    ("statuses-swapped", |m| m.statuses_swapped = true),
    ("callbacks-before-response", |m| m.callbacks_before_response = true),
    ("ignored-ring-timeout", |m| m.ignores_ring_timeout = true),
    ("event-socket-401", |m| m.event_socket_refused = Some(401)),
    ("event-socket-404", |m| m.event_socket_refused = Some(404)),
    ("event-socket-503", |m| m.event_socket_refused = Some(503)),
    ("rest-401", |m| m.rest_error = Some(401)),
    ("rest-403", |m| m.rest_error = Some(403)),
    ("rest-404", |m| m.rest_error = Some(404)),
    ("rest-409", |m| m.rest_error = Some(409)),
    ("rest-429", |m| m.rest_error = Some(429)),
    ("rest-500", |m| m.rest_error = Some(500)),
    ("rest-timeout", |m| m.rest_fault = Some(RestFault::Timeout)),
    ("rest-half-body", |m| m.rest_fault = Some(RestFault::HalfBody)),
    ("rest-html", |m| m.rest_fault = Some(RestFault::Html)),
    ("rest-redirect", |m| {
        m.rest_fault = Some(RestFault::Redirect(PRIVATE_ADDRESS.to_owned()))
    }),
];

impl Misbehaviour {
    /// The names that [`Self::named`] knows, for a command line and for tests over all of them.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name)
    }

    /// One fault with typical values.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (_, fault) = NAMED.iter().find(|(known, _)| *known == name)?;
        let mut misbehaviour = Self::default();
        fault(&mut misbehaviour);
        Some(misbehaviour)
    }
}

/// Whether event number `count` (from 1) is an n-th one.
pub(crate) fn is_nth(count: u64, every: u32) -> bool {
    every > 0 && count.is_multiple_of(u64::from(every))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_fault() {
        for name in Misbehaviour::names() {
            assert_ne!(Misbehaviour::named(name).unwrap(), Misbehaviour::default(), "{name}");
        }
        assert_eq!(Misbehaviour::named("perfect"), None);
    }
}
