//! What a carrier wrote down about a call. All times are of [`crate::clock`].

use std::{fmt, path::Path, time::Duration};

use serde::Serialize;

use crate::{
    playout::{Arrival, Playout},
    speech::duration_of,
};

/// Direction of the call, as the gateway sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Inbound,
    Outbound,
}

/// Where a call is in its life, in the words of the field; a carrier translates into its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    Queued,
    Initiated,
    Ringing,
    InProgress,
    Completed,
    Busy,
    NoAnswer,
    Failed,
    Canceled,
    /// The person called declined.
    Rejected,
}

impl CallStatus {
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Busy | Self::NoAnswer | Self::Failed | Self::Canceled | Self::Rejected
        )
    }
}

/// Who ended the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HangUp {
    /// The person on the line, by script or by losing patience.
    Person,
    /// The gateway, through the REST API.
    Rest,
    /// The gateway, by markup: a hang-up or rejection, or the end of the document.
    Markup,
    /// The carrier: no usable answer from the gateway.
    Fault,
    /// The person called was busy, did not answer or could not be reached.
    Unanswered,
    /// The conference ended.
    Conference,
    /// The gateway, on the media socket.
    Media,
}

/// One thing that happened in a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallEvent {
    Status(CallStatus),
    /// An instruction of the gateway is carried out, in short.
    Instruction(String),
    StreamOpened,
    StreamRefused(String),
    StreamClosed,
    DigitSent(char),
    MarkReceived(String),
    MarkSent(String),
    ClearReceived,
    /// The gateway had the person hear a key.
    DigitHeard(char),
    /// The gateway was asked to send no more audio, or may go on.
    FlowStopped,
    FlowResumed,
    ConferenceJoined(String),
    ConferenceLeft(String),
    /// This call is here too.
    Met(String),
    /// This call is not here any more.
    Parted(String),
    HungUp(HangUp),
    /// A second socket with the address of the first was tried.
    SecondSocket {
        accepted: bool,
        detail: String,
    },
    /// Something unexpected or worth knowing; tests of good behaviour assert that there is none.
    Note(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimedEvent {
    pub at: Duration,
    pub event: CallEvent,
}

/// One attempt to deliver a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookAttempt {
    pub at: Duration,
    /// What it told: `incoming`, `answered`, `redirected`, `status completed`, `stream stream-started` and so on.
    pub kind: String,
    pub url: String,
    /// 1 for the first.
    pub attempt: u32,
    /// 0 for the original, more for the copies of a carrier that repeats itself.
    pub copy: u32,
    /// The carrier's idempotency token: the same for retries and copies. Empty when it has none.
    pub token: String,
    pub latency: Duration,
    /// `None` when there was no response.
    pub status: Option<u16>,
    pub error: Option<String>,
    pub content_type: String,
    pub response: String,
}

/// One audio message from the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReceivedAudio {
    pub at: Duration,
    pub samples: u32,
    #[serde(flatten)]
    pub arrival: Arrival,
}

/// One audio frame to the gateway; its samples are in [`StreamReport::sent_samples`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SentAudio {
    pub at: Duration,
    pub first_sample: u64,
    pub samples: u32,
    /// False for frames that the carrier lost on purpose.
    pub sent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MarkReport {
    pub name: String,
    pub received_at: Duration,
    pub echoed_at: Option<Duration>,
    /// Echoed because of a clear and not because it was reached.
    pub cleared: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClearReport {
    pub at: Duration,
    pub dropped_ms: f64,
    pub marks: Vec<String>,
}

/// How a media socket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamEnd {
    ClosedByGateway,
    /// The gateway's end of the connection vanished without a closing handshake.
    LostByGateway,
    ClosedByCarrier,
    DroppedByCarrier,
    /// Never opened: see the event.
    Refused,
}

/// One media socket.
#[derive(Clone, Serialize)]
pub struct StreamReport {
    pub stream_id: String,
    pub url: String,
    pub parameters: Vec<(String, String)>,
    /// When the socket was open; zero of the timelines in samples.
    pub opened_at: Duration,
    pub ended_at: Option<Duration>,
    pub end: Option<StreamEnd>,
    pub close_code: Option<u16>,
    pub rate_hz: u32,
    #[serde(skip)]
    pub sent: Vec<SentAudio>,
    /// What the person said, silence included, from sample 0 on.
    #[serde(skip)]
    pub sent_samples: Vec<i16>,
    #[serde(skip)]
    pub received: Vec<ReceivedAudio>,
    pub marks: Vec<MarkReport>,
    pub clears: Vec<ClearReport>,
    pub digits_sent: String,
    /// Samples that came when the buffer was full.
    pub discarded_samples: u64,
    /// Messages that a carrier could not have understood, each with the reason.
    pub unreadable: Vec<String>,
    #[serde(skip)]
    pub playout: Playout,
}

impl fmt::Debug for StreamReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReport")
            .field("stream_id", &self.stream_id)
            .field("end", &self.end)
            .field("close_code", &self.close_code)
            .field("sent_frames", &self.sent.len())
            .field("received_messages", &self.received.len())
            .field("marks", &self.marks)
            .field("clears", &self.clears)
            .field("digits_sent", &self.digits_sent)
            .field("unreadable", &self.unreadable)
            .finish_non_exhaustive()
    }
}

/// How evenly audio came from the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pacing {
    pub messages: usize,
    /// Messages that followed another one without a pause, which the next three fields are about.
    pub steady_messages: usize,
    /// Distance of the time between two messages from the first one's duration.
    pub jitter_p50_ms: f64,
    pub jitter_p99_ms: f64,
    pub jitter_max_ms: f64,
    /// Most audio that was ever queued at the carrier when a message came.
    pub ahead_max_ms: f64,
    /// Interruptions of up to half a second, which a listener hears as choppy speech (longer ones are pauses).
    pub gaps: usize,
    pub gap_total_ms: f64,
    pub gap_max_ms: f64,
}

/// Longer silences between two messages are pauses in speech, not late audio.
const PAUSE_MS_MIN: f64 = 500.0;

impl StreamReport {
    pub(crate) fn new(
        stream_id: &str,
        url: &str,
        parameters: &[(String, String)],
        rate_hz: u32,
        opened_at: Duration,
    ) -> Self {
        Self {
            stream_id: stream_id.to_owned(),
            url: url.to_owned(),
            parameters: parameters.to_vec(),
            opened_at,
            ended_at: None,
            end: None,
            close_code: None,
            rate_hz,
            sent: Vec::new(),
            sent_samples: Vec::new(),
            received: Vec::new(),
            marks: Vec::new(),
            clears: Vec::new(),
            digits_sent: String::new(),
            discarded_samples: 0,
            unreadable: Vec::new(),
            playout: Playout::new(rate_hz),
        }
    }

    /// A time of the report's clock on the timelines of this stream.
    #[must_use]
    pub fn sample_at(&self, at: Duration) -> u64 {
        crate::speech::samples_in(at.saturating_sub(self.opened_at), self.rate_hz) as u64
    }

    /// When sample `position` of this stream's timelines is played or spoken.
    #[must_use]
    pub fn time_of(&self, position: u64) -> Duration {
        self.opened_at + duration_of(usize::try_from(position).unwrap_or(usize::MAX), self.rate_hz)
    }

    /// What the person on the line heard up to the end of the stream, gaps as silence; from sample 0 on.
    #[must_use]
    pub fn heard(&self) -> Vec<i16> {
        self.playout
            .rendered(self.ended_at.map_or(u64::MAX, |at| self.sample_at(at)))
    }

    /// Audio heard, silence not counted.
    #[must_use]
    pub fn heard_duration(&self) -> Duration {
        let until = self.ended_at.map_or(u64::MAX, |at| self.sample_at(at));
        duration_of(
            usize::try_from(self.playout.heard_samples(until)).unwrap_or(usize::MAX),
            self.rate_hz,
        )
    }

    #[must_use]
    pub fn received_samples(&self) -> u64 {
        self.received.iter().map(|audio| u64::from(audio.samples)).sum()
    }

    #[must_use]
    pub fn pacing(&self) -> Pacing {
        let ms = |samples: u64| samples as f64 * 1000.0 / f64::from(self.rate_hz);
        let mut jitter: Vec<f64> = self
            .received
            .windows(2)
            .filter_map(|pair| {
                let between_ms = pair[1].at.saturating_sub(pair[0].at).as_secs_f64() * 1000.0;
                let duration_ms = ms(pair[0].samples.into());
                (between_ms < duration_ms + PAUSE_MS_MIN).then(|| (between_ms - duration_ms).abs())
            })
            .collect();
        jitter.sort_by(f64::total_cmp);
        let gaps: Vec<f64> = self
            .received
            .iter()
            .filter_map(|audio| audio.arrival.gap_samples)
            .map(ms)
            .filter(|&gap| gap > 0.0 && gap < PAUSE_MS_MIN)
            .collect();
        Pacing {
            messages: self.received.len(),
            steady_messages: jitter.len(),
            jitter_p50_ms: quantile(&jitter, 0.5),
            jitter_p99_ms: quantile(&jitter, 0.99),
            jitter_max_ms: jitter.last().copied().unwrap_or(0.0),
            ahead_max_ms: ms(self
                .received
                .iter()
                .map(|audio| audio.arrival.ahead_samples)
                .max()
                .unwrap_or(0)),
            gaps: gaps.len(),
            gap_total_ms: gaps.iter().sum(),
            gap_max_ms: gaps.iter().copied().fold(0.0, f64::max),
        }
    }

    /// Writes a stereo WAV file: the person left, the gateway right.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_wav(&self, path: &Path) -> Result<(), hound::Error> {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: self.rate_hz,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec)?;
        let heard = self.heard();
        for position in 0..heard.len().max(self.sent_samples.len()) {
            writer.write_sample(self.sent_samples.get(position).copied().unwrap_or(0))?;
            writer.write_sample(heard.get(position).copied().unwrap_or(0))?;
        }
        writer.finalize()
    }
}

/// A stay in a conference or bridge.
#[derive(Clone, Serialize)]
pub struct RoomReport {
    pub name: String,
    /// Zero of the timelines in samples.
    pub joined_at: Duration,
    pub left_at: Option<Duration>,
    /// The calls of other people that were there at the same time, in the order in which they were met.
    pub met: Vec<String>,
    pub rate_hz: u32,
    /// What the person said, silence included, from sample 0 on.
    #[serde(skip)]
    pub said: Vec<i16>,
    #[serde(skip)]
    pub playout: Playout,
}

impl fmt::Debug for RoomReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomReport")
            .field("name", &self.name)
            .field("met", &self.met)
            .field("said", &self.said.len())
            .field("left_at", &self.left_at)
            .finish_non_exhaustive()
    }
}

impl RoomReport {
    pub(crate) fn new(name: &str, rate_hz: u32, joined_at: Duration) -> Self {
        Self {
            name: name.to_owned(),
            joined_at,
            left_at: None,
            met: Vec::new(),
            rate_hz,
            said: Vec::new(),
            playout: Playout::new(rate_hz),
        }
    }

    pub(crate) fn sample_at(&self, at: Duration) -> u64 {
        crate::speech::samples_in(at.saturating_sub(self.joined_at), self.rate_hz) as u64
    }

    /// What the person heard of the others, silence between them included.
    #[must_use]
    pub fn heard(&self) -> Vec<i16> {
        self.playout
            .rendered(self.left_at.map_or(u64::MAX, |at| self.sample_at(at)))
    }
}

/// Value at quantile `q` of sorted values; 0 for none.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * q).ceil() as usize).copied().unwrap_or(0.0)
}

/// Everything about one call.
#[derive(Debug, Clone, Serialize)]
pub struct CallReport {
    pub carrier: String,
    pub call_id: String,
    pub direction: Direction,
    pub from: String,
    pub to: String,
    pub status: CallStatus,
    pub placed_at: Duration,
    pub answered_at: Option<Duration>,
    pub ended_at: Option<Duration>,
    pub hang_up: Option<HangUp>,
    pub events: Vec<TimedEvent>,
    pub webhooks: Vec<WebhookAttempt>,
    pub streams: Vec<StreamReport>,
    /// Conferences and bridges that the call was in.
    pub rooms: Vec<RoomReport>,
    /// Keys that the gateway had the person hear.
    pub digits_heard: String,
    /// Nothing more will happen: the call has ended and all its webhooks are delivered or given up.
    pub finished: bool,
}

impl CallReport {
    /// The media socket of a call that has had only one, or the latest.
    #[must_use]
    pub fn stream(&self) -> Option<&StreamReport> {
        self.streams.last()
    }

    /// Whether the person was connected with the person on the call of this id.
    #[must_use]
    pub fn met(&self, call_id: &str) -> bool {
        self.rooms.iter().any(|room| room.met.iter().any(|met| met == call_id))
    }

    /// Remarks of the carrier; empty when all went well.
    #[must_use]
    pub fn notes(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|timed| match &timed.event {
                CallEvent::Note(note) | CallEvent::StreamRefused(note) => Some(note.as_str()),
                _ => None,
            })
            .collect()
    }

    #[must_use]
    pub fn happened(&self, event: &CallEvent) -> bool {
        self.events.iter().any(|timed| timed.event == *event)
    }

    /// From answer to end.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        Some(self.ended_at?.saturating_sub(self.answered_at?))
    }
}
