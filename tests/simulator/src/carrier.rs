//! The description of a carrier: what differs between them, and nothing that does not.
//!
//! The lines, the sockets, the people and the clock are the exchange's ([`crate::RunningCarrier`]); a [`Carrier`] translates
//! between its events and one carrier's interfaces. It has no I/O and keeps no state of its own: calls and numbers are in the
//! [`Ledger`], the state of a media socket's numbering in its [`MediaDialect`].

mod twilio;

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use serde_json::Value;

pub use crate::webhook::{RetryPolicy, WebhookRequest, WebhookResponse};
use crate::{
    g711,
    misbehaviour::Signing,
    report::{CallStatus, Direction},
};

/// All carriers that can be played, by name.
#[must_use]
pub fn carriers() -> &'static [&'static dyn Carrier] {
    &[&twilio::Twilio]
}

/// The carrier of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Carrier> {
    carriers().iter().copied().find(|carrier| carrier.name() == name)
}

/// One carrier's interfaces.
pub trait Carrier: fmt::Debug + Send + Sync + 'static {
    /// The provider's name at the gateway.
    fn name(&self) -> &'static str;

    /// The host of the REST API, which the gateway must be told to find at the simulator.
    fn rest_host(&self) -> &'static str;

    /// Made-up credentials that this carrier accepts, in the fields of the gateway's configuration.
    fn credentials(&self) -> Value;

    /// A number that the account owns, in E.164.
    fn own_number(&self) -> &'static str;

    /// The audio on the media socket.
    fn audio(&self) -> WireAudio;

    /// An unused id for a call.
    fn new_call_id(&self) -> String;

    /// Answers a request to the REST API.
    fn handle_rest(&self, ledger: &mut Ledger, request: &RestRequest) -> RestAnswer;

    /// The response of an API that fails with this status.
    fn rest_error(&self, status: u16) -> RestResponse;

    /// The webhook that tells the gateway of `kind`, signed for `url` as the carrier sees it.
    fn webhook(&self, call: &CallRecord, kind: &WebhookKind, target: &WebhookTarget, tamper: &Tamper)
    -> WebhookRequest;

    /// When a webhook to `url` is tried again.
    fn retry_policy(&self, url: &str) -> RetryPolicy;

    /// What the gateway wants done with a call.
    ///
    /// # Errors
    /// What this carrier would log for an answer that it does not understand.
    fn read_answer(&self, response: &WebhookResponse) -> Result<Vec<Instruction>, String>;

    /// Headers of the media socket's upgrade, the signature among them.
    fn upgrade_headers(&self, url: &str, tamper: &Tamper) -> Vec<(String, String)>;

    /// Why the carrier would not open this media address, if so. `secure` is whether it is TLS as the carrier sees it.
    fn refuses_media_url(&self, url: &str) -> Option<String>;

    /// The language of one media socket.
    fn open_stream(&self, call: &CallRecord, stream: &StreamInstruction) -> Box<dyn MediaDialect>;
}

/// One end of a media socket: envelopes only, audio is in the carrier's wire encoding.
pub trait MediaDialect: fmt::Debug + Send {
    fn stream_id(&self) -> &str;
    /// What is sent before any audio.
    fn opening(&mut self) -> Vec<WireMessage>;
    fn audio(&mut self, payload: &[u8]) -> WireMessage;
    /// An audio message whose payload cannot be decoded.
    fn unreadable_audio(&mut self) -> WireMessage;
    /// A message that is not even a message.
    fn malformed(&mut self) -> WireMessage;
    /// `None` when keys do not travel on this socket.
    fn dtmf(&mut self, digit: char) -> Option<WireMessage>;
    /// The gateway's mark was reached, or cleared.
    fn mark_played(&mut self, name: &str) -> Option<WireMessage>;
    /// The buffer was cleared.
    fn cleared(&mut self) -> Option<WireMessage>;
    /// What is sent before the carrier closes.
    fn closing(&mut self) -> Vec<WireMessage>;
    /// A message of the gateway.
    ///
    /// # Errors
    /// Why a carrier would not understand it.
    fn read(&mut self, message: &WireMessage) -> Result<FromGateway, String>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireMessage {
    Text(String),
    Binary(Vec<u8>),
}

/// A gateway's message on a media socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromGateway {
    /// In the carrier's wire encoding, any length.
    Audio(Vec<u8>),
    Mark(String),
    Clear,
    Other,
}

/// Audio on a media socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireAudio {
    /// G.711 mu-law at 8 kHz.
    Mulaw,
    /// Linear 16 bit, little endian.
    Linear { rate_hz: u32 },
}

/// Duration of the frames that carriers send.
pub const FRAME: Duration = Duration::from_millis(20);

impl WireAudio {
    #[must_use]
    pub fn rate_hz(self) -> u32 {
        match self {
            Self::Mulaw => 8000,
            Self::Linear { rate_hz } => rate_hz,
        }
    }

    /// Samples in one [`FRAME`].
    #[must_use]
    pub fn frame_samples(self) -> usize {
        self.rate_hz() as usize / 50
    }

    #[must_use]
    pub fn encode(self, samples: &[i16]) -> Vec<u8> {
        match self {
            Self::Mulaw => samples.iter().map(|&sample| g711::encode_mulaw(sample)).collect(),
            Self::Linear { .. } => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
        }
    }

    #[must_use]
    pub fn decode(self, payload: &[u8]) -> Vec<i16> {
        match self {
            Self::Mulaw => payload.iter().map(|&code| g711::decode_mulaw(code)).collect(),
            Self::Linear { .. } => payload
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                .collect(),
        }
    }
}

/// What a webhook tells or asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookKind {
    /// Somebody calls: what shall be done?
    Incoming,
    /// The person called has answered: what shall be done?
    Answered,
    /// A call was sent to this address: what shall be done?
    Redirected,
    Status(CallStatus),
    Stream {
        stream_id: String,
        name: String,
        event: &'static str,
        error: String,
    },
}

impl fmt::Display for WebhookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incoming => f.write_str("incoming"),
            Self::Answered => f.write_str("answered"),
            Self::Redirected => f.write_str("redirected"),
            Self::Status(status) => write!(f, "status {status:?}"),
            Self::Stream { event, .. } => write!(f, "stream {event}"),
        }
    }
}

/// An address that the gateway gave for webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookTarget {
    pub url: String,
    pub method: String,
}

impl WebhookTarget {
    #[must_use]
    pub fn post(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: "POST".to_owned(),
        }
    }
}

/// What is wrong with a webhook or an upgrade on purpose, and which of its ways to sign a carrier uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tamper {
    pub signing: Signing,
    /// The carrier's newer way to sign, if it has two.
    pub newer_signature: bool,
    pub padding_bytes: usize,
    pub invalid_utf8: bool,
}

/// What the gateway wants done with a call, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    Stream(StreamInstruction),
    Pause(Duration),
    Say(String),
    Play(String),
    HangUp,
    /// Refuse the call before answering it.
    Reject {
        busy: bool,
    },
    Redirect(WebhookTarget),
    Conference {
        name: String,
        ends_on_exit: bool,
    },
    /// Something that this simulator does not do; it goes on with the next instruction.
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamInstruction {
    pub url: String,
    pub name: String,
    pub parameters: Vec<(String, String)>,
    pub status: Option<WebhookTarget>,
}

/// A number of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberRecord {
    pub id: String,
    /// E.164.
    pub number: String,
    /// Where calls to it are announced; the gateway's usual address when empty.
    pub voice: WebhookTarget,
    pub status: Option<WebhookTarget>,
    pub updated: SystemTime,
}

/// What the carrier's API knows about a call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRecord {
    pub id: String,
    pub from: String,
    pub to: String,
    pub direction: Direction,
    pub status: CallStatus,
    pub created: SystemTime,
    pub answered: Option<SystemTime>,
    pub ended: Option<SystemTime>,
    /// Where to ask what to do, for an outbound call.
    pub answer: Option<WebhookTarget>,
    /// What to do, when the gateway said so with the request.
    pub answer_document: Option<Vec<u8>>,
    pub status_target: Option<WebhookTarget>,
    /// Which changes of status are told.
    pub status_events: Vec<CallStatus>,
    /// Number of the next status callback.
    pub status_sequence: u32,
    /// Who answered, in the carrier's word, when it was asked to find out.
    pub answered_by: Option<String>,
    pub detect_machine: bool,
    /// How often the finished call has been looked up: prices appear late.
    pub lookups_after_end: u32,
}

impl CallRecord {
    #[must_use]
    pub fn new(id: String, direction: Direction, from: &str, to: &str) -> Self {
        Self {
            id,
            from: from.to_owned(),
            to: to.to_owned(),
            direction,
            status: match direction {
                Direction::Inbound => CallStatus::Ringing,
                Direction::Outbound => CallStatus::Queued,
            },
            created: SystemTime::now(),
            answered: None,
            ended: None,
            answer: None,
            answer_document: None,
            status_target: None,
            status_events: Vec::new(),
            status_sequence: 0,
            answered_by: None,
            detect_machine: false,
            lookups_after_end: 0,
        }
    }

    /// Whole seconds from answer to end, rounded up as carriers bill; 0 when never answered.
    #[must_use]
    pub fn duration_s(&self) -> u64 {
        let (Some(answered), Some(ended)) = (self.answered, self.ended) else {
            return 0;
        };
        let duration = ended.duration_since(answered).unwrap_or_default();
        duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
    }
}

/// The state behind a carrier's REST API.
#[derive(Debug, Default)]
pub struct Ledger {
    pub numbers: Vec<NumberRecord>,
    pub calls: BTreeMap<String, CallRecord>,
}

/// A request to a carrier's REST API.
#[derive(Debug, Clone)]
pub struct RestRequest {
    pub method: String,
    pub path: String,
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl RestRequest {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestResponse {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

impl RestResponse {
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            content_type: "application/json",
            body: body.to_string().into_bytes(),
        }
    }
}

/// A response, and what it sets going.
#[derive(Debug)]
pub struct RestAnswer {
    pub response: RestResponse,
    pub directive: Option<Directive>,
}

impl From<RestResponse> for RestAnswer {
    fn from(response: RestResponse) -> Self {
        Self {
            response,
            directive: None,
        }
    }
}

/// What a REST request does to the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// Dial the call of this id, which is in the ledger.
    Dial(String),
    HangUp(String),
    /// The call gets new instructions.
    Instruct(String, Vec<Instruction>),
    /// The call gets its instructions from there.
    Redirect(String, WebhookTarget),
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
        assert!(by_name("nobody").is_none());
    }
}
