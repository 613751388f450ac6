//! The description of a carrier: what differs between them, and nothing that does not.
//!
//! The lines, the sockets, the people and the clock are the exchange's ([`crate::RunningCarrier`]); a [`Carrier`] translates
//! between its events and one carrier's interfaces. It has no I/O and keeps no state of its own: calls, numbers and whatever
//! else a REST API remembers are in the [`Ledger`], the state of a media socket in its [`MediaDialect`].

mod ari;
mod cloudonix;
mod example_telecom;
mod instruction;
mod ledger;
mod media;
mod notice;
mod parameters;
mod plivo;
mod rest;
mod telnyx;
mod twilio;
mod vobiz;
mod vonage;

use std::{fmt, net::SocketAddr, time::SystemTime};

use serde_json::Value;

pub(crate) use media::convert;
pub use {
    crate::webhook::{RetryPolicy, WebhookRequest, WebhookResponse},
    instruction::{ConferenceChange, ConferenceInstruction, Directive, Instruction, StreamInstruction, WebhookTarget},
    ledger::{CallRecord, InboundRoute, Ledger, NumberRecord, Subscription},
    media::{FRAME, Framer, FromGateway, MediaDialect, QueueLimits, QueueStatus, WireAudio, WireMessage},
    notice::{Notice, Tamper, WebhookKind},
    rest::{EventSocket, Form, RateLimit, RestAnswer, RestRequest, RestResponse},
};

use crate::report::CallStatus;

/// All carriers that have a provider here, by name. The carrier of the samples, which exists on paper only, is not among
/// them; [`by_name`] finds it as well.
#[must_use]
pub fn carriers() -> &'static [&'static dyn Carrier] {
    &[
        &ari::Ari,
        &cloudonix::Cloudonix,
        &plivo::Plivo,
        &telnyx::Telnyx,
        &twilio::Twilio,
        &vobiz::Vobiz,
        &vonage::Vonage,
    ]
}

/// The carrier that is played when nobody names one.
#[must_use]
pub fn usual() -> &'static dyn Carrier {
    &twilio::Twilio
}

/// The carrier of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Carrier> {
    let sample: &'static dyn Carrier = &example_telecom::ExampleTelecom;
    carriers()
        .iter()
        .copied()
        .chain([sample])
        .find(|carrier| carrier.name() == name)
}

/// One carrier's interfaces.
pub trait Carrier: fmt::Debug + Send + Sync + 'static {
    /// The provider's name at the gateway.
    fn name(&self) -> &'static str;

    /// The host of the REST API, which the gateway must be told to find at the simulator.
    fn rest_host(&self) -> &'static str;

    /// All hosts of the REST API, when there is more than one.
    fn rest_hosts(&self) -> Vec<&'static str> {
        vec![self.rest_host()]
    }

    /// Made-up credentials that this carrier accepts, in the fields of the gateway's configuration.
    fn credentials(&self) -> Value;

    /// The same for a REST API that listens at `rest`, where the configuration names the API's address.
    fn credentials_at(&self, rest: SocketAddr) -> Value {
        let _ = rest;
        self.credentials()
    }

    /// A number that the account owns, in E.164.
    fn own_number(&self) -> &'static str;

    /// The account as a customer has set it up before the gateway comes: applications, domains, numbers.
    /// [`Self::own_number`] is in the ledger already.
    fn open_account(&self, ledger: &mut Ledger) {
        let _ = ledger;
    }

    /// The person's end of the line: what its microphone and loudspeaker work with. A media socket in another format is
    /// converted.
    fn audio(&self) -> WireAudio {
        WireAudio::Mulaw
    }

    /// An unused id for a call.
    fn new_call_id(&self) -> String;

    /// Answers a request to the REST API.
    fn handle_rest(&self, ledger: &mut Ledger, request: &RestRequest) -> RestAnswer;

    /// The response of an API that fails with this status.
    fn rest_error(&self, status: u16) -> RestResponse;

    fn rate_limit(&self) -> Option<RateLimit> {
        None
    }

    /// Whether this upgrade of a connection to the REST API's port opens an event socket: `None` when there is no such
    /// resource, an error response when it may not.
    fn event_socket(&self, ledger: &Ledger, request: &RestRequest) -> Option<Result<EventSocket, RestResponse>> {
        let _ = (ledger, request);
        None
    }

    /// Where a call to the own number `to` is announced and told of.
    fn inbound_route(&self, ledger: &Ledger, to: &str) -> InboundRoute {
        let number = ledger.number(to);
        let status = number.and_then(|number| number.status.clone());
        InboundRoute {
            voice: Some(number.map_or_else(WebhookTarget::default, |number| number.voice.clone())),
            // A number's callback tells the end of a call and nothing else.
            callbacks: status
                .map(|target| Subscription::new(target, [CallStatus::Completed]))
                .into_iter()
                .collect(),
            extra: Value::Null,
        }
    }

    /// The webhook that tells the gateway of `kind`, signed for `url` as the carrier sees it. Not needed by a carrier without
    /// webhooks.
    fn webhook(
        &self,
        call: &CallRecord,
        kind: &WebhookKind,
        target: &WebhookTarget,
        tamper: &Tamper,
    ) -> WebhookRequest {
        let _ = (call, kind, tamper);
        WebhookRequest {
            method: target.method.clone(),
            url: target.url.clone(),
            headers: Vec::new(),
            body: Vec::new(),
            token: String::new(),
        }
    }

    /// When a webhook to `url` is tried again.
    fn retry_policy(&self, url: &str) -> RetryPolicy {
        let _ = url;
        RetryPolicy::never()
    }

    /// What the gateway wants done with a call, from the response to a webhook that asked. A carrier that ignores the body
    /// says [`Instruction::Await`].
    ///
    /// # Errors
    /// What this carrier would log for an answer that it does not understand.
    fn read_answer(&self, response: &WebhookResponse) -> Result<Vec<Instruction>, String> {
        let _ = response;
        Ok(vec![Instruction::Await])
    }

    /// What is told of something that has just happened to `call`, and in which order. `given` is the address that came with
    /// the instruction which it is about (of a stream or a conference). Also the place to keep the ledger's objects up to
    /// date.
    fn notices(
        &self,
        ledger: &mut Ledger,
        call: &CallRecord,
        what: &WebhookKind,
        given: Option<&WebhookTarget>,
    ) -> Vec<Notice> {
        let _ = ledger;
        subscribed(call, what, given)
    }

    /// Headers of the media socket's upgrade, the signature among them. With `sec-websocket-protocol` here, the socket is
    /// refused unless the gateway echoes it.
    fn upgrade_headers(&self, url: &str, tamper: &Tamper) -> Vec<(String, String)> {
        let _ = (url, tamper);
        Vec::new()
    }

    /// Why the carrier would not open this media address, if so.
    fn refuses_media_url(&self, url: &str) -> Option<String> {
        (!url.starts_with("wss://") && !is_plain_loopback(url)).then(|| format!("`{url}` is not a wss address"))
    }

    /// The language of one media socket.
    fn open_stream(&self, call: &CallRecord, stream: &StreamInstruction) -> Box<dyn MediaDialect>;
}

/// One notice for each subscription to a status, and one for the address that came with an instruction.
#[must_use]
pub fn subscribed(call: &CallRecord, what: &WebhookKind, given: Option<&WebhookTarget>) -> Vec<Notice> {
    let targets: Vec<&WebhookTarget> = match what {
        WebhookKind::Status(status) => call
            .callbacks
            .iter()
            .filter(|subscription| subscription.covers(*status))
            .map(|subscription| &subscription.target)
            .collect(),
        _ => given.into_iter().collect(),
    };
    let notice = |target: &WebhookTarget| Notice::Webhook {
        kind: what.clone(),
        target: target.clone(),
    };
    targets.into_iter().map(notice).collect()
}

/// Carriers take TLS only; loopback is our own exception, for gateways without a proxy.
#[must_use]
pub fn is_plain_loopback(url: &str) -> bool {
    ["ws://127.0.0.1", "ws://localhost", "ws://[::1]"]
        .iter()
        .any(|prefix| url.starts_with(prefix))
}

/// `count` random hexadecimal digits.
pub(crate) fn random_hex(count: usize) -> String {
    let mut bytes = vec![0; count.div_ceil(2)];
    getrandom::fill(&mut bytes).expect("the system has a source of randomness");
    let mut digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.truncate(count);
    digits
}

/// RFC 2822, in UTC, as `Tue, 10 Aug 2010 08:02:17 +0000`.
pub(crate) fn rfc2822(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a date of the proleptic Gregorian calendar, with years that begin in March.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} +0000",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_in_rfc_2822() {
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (1_281_427_337, "Tue, 10 Aug 2010 08:02:17 +0000"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 +0000"),
            (1_767_225_599, "Wed, 31 Dec 2025 23:59:59 +0000"),
        ] {
            assert_eq!(rfc2822(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), date);
        }
    }

    #[test]
    fn carriers_are_found_by_their_own_names() {
        for carrier in carriers() {
            assert_eq!(by_name(carrier.name()).map(Carrier::name), Some(carrier.name()));
            assert!(carrier.own_number().starts_with('+'));
        }
        assert!(by_name("example-telecom").is_some());
        assert!(by_name("nobody").is_none());
    }
}
