//! From the agent to the carrier: bursts in, whole frames out on a steady grid, and the truth about what was heard.
//!
//! Agents deliver speech faster than it can be heard. What the carrier already has cannot be trusted to be taken back, so it
//! gets only a little ahead of what it plays; the rest waits here, where a barge-in drops it at once. The same bookkeeping
//! tells how much of the speech the caller heard, which an agent must know to go on with the conversation.

use std::collections::VecDeque;
use std::time::Duration;

use crate::monotonic::Monotonic;
use crate::resampler::Resampler;
use crate::wire::{SampleRate, WireFormat};

/// Marks that wait, in the queue and at the carrier. Agents use one per sentence; hundreds mean that nobody plays them.
const MARKS_MAX: usize = 256;
/// A carrier that has not echoed a mark so long after the audio before it must have been played will not do so any more, and
/// the agent should not wait for ever.
const ECHO_WAIT: Duration = Duration::from_secs(2);
/// The largest delay between sending and hearing that echoes are believed to show. More is a carrier that echoes late.
const LAG_MAX: Duration = Duration::from_secs(1);
/// A chunk of audio longer than this does not tell when the next one comes: speech synthesis sends in bursts.
const CADENCE_MS_MAX: u32 = 100;
/// Queue memory that is kept between utterances.
const KEPT_MS: u32 = 1_000;

/// Who knows when the audio before a mark was played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkMode {
    /// The carrier takes marks and echoes them when it has played what came before. An echo that comes before the audio can
    /// have been played only says that the mark was received, and is believed no earlier than the pacing clock allows.
    CarrierEchoes,
    /// The carrier knows no marks; the pacing clock tells.
    HostTimed,
}

/// What a [`Playout`] is made for.
#[derive(Clone, Copy, Debug)]
pub struct PlayoutConfig {
    /// What the carrier takes.
    pub wire: WireFormat,
    /// The rate of the PCM that the agent delivers.
    pub agent_rate: SampleRate,
    /// Length of a frame in milliseconds: all frames have it exactly.
    pub frame_ms: u32,
    /// The most audio in milliseconds that the carrier has without having played it (at least one frame). It rides out the
    /// jitter of the network, and is what a carrier that cannot clear says after a barge-in.
    pub ahead_ms_max: u32,
    /// The most audio in milliseconds that waits here.
    pub queue_ms_max: u32,
    /// Where the time of marks comes from.
    pub marks: MarkMode,
    /// Whether the carrier drops audio that it has not played when it is told to.
    pub carrier_clears: bool,
}

impl PlayoutConfig {
    /// Frames of 20 ms, 100 ms ahead, two minutes of queue, for a carrier that clears and echoes marks.
    #[must_use]
    pub const fn new(wire: WireFormat, agent_rate: SampleRate) -> Self {
        Self {
            wire,
            agent_rate,
            frame_ms: 20,
            ahead_ms_max: 100,
            queue_ms_max: 120_000,
            marks: MarkMode::CarrierEchoes,
            carrier_clears: true,
        }
    }
}

/// The queue has no room. Nothing of what was pushed was taken: the agent is far ahead and has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueFull {
    /// Too much audio.
    #[error("{queued_ms} ms of agent audio are waiting, and {queue_ms_max} ms are allowed")]
    Audio {
        /// Milliseconds that wait to be sent.
        queued_ms: u64,
        /// Milliseconds that may.
        queue_ms_max: u32,
    },
    /// Too many marks.
    #[error("{MARKS_MAX} marks are waiting to be played")]
    Marks,
}

/// What a driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlayoutEvent<'a> {
    /// Send this audio to the carrier now.
    Frame(PlayoutFrame<'a>),
    /// Send this mark to the carrier, after the frames before it and before those after it.
    Mark(String),
    /// Tell the agent that everything before this mark was played.
    MarkPlayed(String),
}

/// One frame on its way to the carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayoutFrame<'a> {
    /// The frame as the carrier takes it.
    pub payload: &'a [u8],
    /// Where it is played: samples at the wire's rate since the start of the media. Frames never overlap; there is a gap
    /// where the agent said nothing.
    pub position: u64,
    /// The same audio as PCM at the wire's rate, for a recorder.
    pub pcm: &'a [i16],
}

/// What a barge-in cut off.
///
/// *Utterance* is what the agent pushed since the last time that all before it had been heard to the end, since the last
/// clear, or since [`begin_utterance`](Playout::begin_utterance), whichever is latest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Milliseconds of the utterance that the caller had heard: audio of the agent only, without pauses and padding, counted
    /// at the moment of the clear and rounded down. The time of hearing is that of the pacing clock, put off by the delay that
    /// mark echoes have shown.
    pub heard_ms: u64,
    /// Milliseconds of the utterance that the caller will not hear, rounded up.
    pub dropped_ms: u64,
    /// Marks that the agent was not told about yet, in order. Carriers that echo marks echo these on a clear.
    pub marks: Vec<String>,
    /// Position in samples at the wire's rate since the start of the media where the agent falls silent: what a recorder
    /// truncates at.
    pub position: u64,
}

/// One call's audio from the agent towards the carrier.
///
/// The driver obeys one rule: after `push_*`, `handle_*`, [`resume`](Self::resume) and at [`next_wake`](Self::next_wake), call
/// [`poll`](Self::poll) with the present time until it gives nothing. A late poll catches up, but never lets the carrier have
/// more than the allowed audio ahead. Time that goes backwards is taken to stand still.
#[derive(Debug)]
pub struct Playout {
    config: PlayoutConfig,
    frame_samples: usize,
    frame: Duration,
    ahead_max: Duration,
    resampler: Resampler,
    /// The resampler's delay: this much after the wire sample of the same count is an agent's sample heard.
    delay: Duration,
    start: Monotonic,
    now: Monotonic,

    /// PCM at the wire's rate. What lies before `head` was sent.
    queue: Vec<i16>,
    head: usize,
    payload: Vec<u8>,
    /// The resampler holds the end of what was pushed.
    unflushed: bool,
    /// Length of the last push, until the next poll says when that was.
    fresh: Option<Duration>,
    /// When audio that does not fill a frame is sent all the same, unless more comes first.
    tail_due: Monotonic,
    paused: bool,

    /// When the carrier will have played all it got.
    play_end: Monotonic,
    /// The frames that may not have been heard yet.
    sent_frames: VecDeque<SentFrame>,
    /// How much later than the pacing clock says the carrier plays, as its echoes show.
    lag: Duration,

    // Counts of agent audio in samples at the wire's rate, since the start of the media, without pauses and padding.
    pushed: u64,
    sent: u64,
    /// Heard by all reckoning: no longer in `sent_frames`, or before an echoed mark.
    heard_min: u64,
    /// Dropped by clears before they were heard.
    dropped: u64,
    utterance: u64,
    /// Where the next utterance begins if all before it has been heard by the next poll.
    utterance_next: Option<u64>,

    /// Marks not passed yet, with the count of agent audio before them.
    marks: VecDeque<(String, u64)>,
    /// Marks passed, whose audio may not have been played yet.
    marks_passed: VecDeque<PassedMark>,
}

#[derive(Clone, Copy, Debug)]
struct SentFrame {
    start: Monotonic,
    /// Agent audio sent before this frame.
    before: u64,
    /// Agent audio in this frame, from its beginning.
    audio: u64,
}

#[derive(Debug)]
struct PassedMark {
    name: String,
    before: u64,
    /// When the audio before it has been played, by the pacing clock.
    due: Monotonic,
    echoed: bool,
}

impl Playout {
    /// A playout with nothing to say. `start` is the start of the media, the origin of all positions.
    #[must_use]
    pub fn new(config: PlayoutConfig, start: Monotonic) -> Self {
        let frame_ms = config.frame_ms.max(1);
        let resampler = Resampler::new(config.agent_rate, config.wire.rate);
        Self {
            config,
            frame_samples: config.wire.frame_samples(frame_ms),
            frame: Duration::from_millis(u64::from(frame_ms)),
            ahead_max: Duration::from_millis(u64::from(config.ahead_ms_max.max(frame_ms))),
            delay: resampler.delay(),
            resampler,
            start,
            now: start,
            queue: Vec::new(),
            head: 0,
            payload: Vec::with_capacity(config.wire.frame_bytes(frame_ms)),
            unflushed: false,
            fresh: None,
            tail_due: start,
            paused: false,
            play_end: start,
            sent_frames: VecDeque::new(),
            lag: Duration::ZERO,
            pushed: 0,
            sent: 0,
            heard_min: 0,
            dropped: 0,
            utterance: 0,
            utterance_next: None,
            marks: VecDeque::new(),
            marks_passed: VecDeque::new(),
        }
    }

    /// Takes PCM of the agent, all of it or none.
    pub fn push_audio(&mut self, pcm: &[i16]) -> Result<(), QueueFull> {
        let pushed_ms = self.config.agent_rate.ms_of_samples(pcm.len() as u64);
        let queued_ms = self.queued_ms();
        if queued_ms + pushed_ms > u64::from(self.config.queue_ms_max) {
            return Err(QueueFull::Audio {
                queued_ms,
                queue_ms_max: self.config.queue_ms_max,
            });
        }
        if pcm.is_empty() {
            return Ok(());
        }
        if self.sent == self.pushed {
            self.utterance_next.get_or_insert(self.pushed);
        }
        self.compact();
        let before = self.queue.len();
        self.resampler.process(pcm, &mut self.queue);
        self.pushed += (self.queue.len() - before) as u64;
        self.unflushed = !self.delay.is_zero();
        self.fresh = Some(Duration::from_millis(pushed_ms));
        Ok(())
    }

    /// Takes a mark: it is passed when all audio pushed before it has been sent, and played when it has been heard.
    pub fn push_mark(&mut self, name: impl Into<String>) -> Result<(), QueueFull> {
        if self.marks.len() + self.marks_passed.len() >= MARKS_MAX {
            return Err(QueueFull::Marks);
        }
        self.marks.push_back((name.into(), self.pushed));
        Ok(())
    }

    /// Begins an utterance with what is pushed next, for agents that say where their answers begin.
    pub const fn begin_utterance(&mut self) {
        self.utterance = self.pushed;
        self.utterance_next = None;
    }

    /// Takes note that the carrier echoed a mark. An echo that nobody waits for is ignored: carriers send those of cleared
    /// marks, too. An echo also vouches for the marks before its own.
    pub fn handle_mark_echo(&mut self, name: &str, now: Monotonic) {
        self.set_now(now);
        let Some(place) = self
            .marks_passed
            .iter()
            .position(|mark| mark.name == name && !mark.echoed)
        else {
            return;
        };
        for mark in self.marks_passed.range_mut(..=place) {
            mark.echoed = true;
        }
        let mark = &self.marks_passed[place];
        if self.now >= mark.due {
            self.heard_min = self.heard_min.max(mark.before);
            let lag = self.now.saturating_since(mark.due).min(LAG_MAX);
            // A quarter of each new observation: one late echo is jitter of the way back, several are the carrier.
            self.lag = if self.lag.is_zero() {
                lag
            } else {
                (self.lag * 3 + lag) / 4
            };
        }
    }

    /// Drops everything that was not heard yet and says what that was. The driver tells the carrier to do the same.
    ///
    /// A carrier that cannot clear plays what it has; that counts as heard.
    pub fn clear(&mut self, now: Monotonic) -> Cleared {
        self.set_now(now);
        let heard = if self.config.carrier_clears {
            self.play_end = self.play_end.min(self.now);
            self.heard(self.now)
        } else {
            self.sent
        };
        let rate = self.config.wire.rate;
        // The utterance may have been begun while the one before it was still being heard.
        let heard_of_utterance = heard.saturating_sub(self.utterance);
        let dropped_of_utterance = self.pushed - self.utterance - heard_of_utterance;
        let marks = self.marks_passed.drain(..).map(|mark| mark.name);
        let cleared = Cleared {
            heard_ms: rate.ms_of_samples(heard_of_utterance),
            dropped_ms: dropped_of_utterance.div_ceil(rate.samples_in_ms(1) as u64),
            marks: marks.chain(self.marks.drain(..).map(|(name, _)| name)).collect(),
            position: self.position_of(self.play_end.max(self.now)),
        };
        self.dropped += self.pushed - heard;
        self.sent = self.pushed;
        self.heard_min = self.pushed;
        self.utterance = self.pushed;
        self.utterance_next = None;
        self.sent_frames.clear();
        self.resampler.reset();
        self.unflushed = false;
        self.fresh = None;
        self.head = self.queue.len();
        self.compact();
        cleared
    }

    /// Stops sending, because the carrier says that it has enough.
    pub const fn pause(&mut self) {
        self.paused = true;
    }

    /// Sends again.
    pub const fn resume(&mut self) {
        self.paused = false;
    }

    /// What to do next, if anything.
    pub fn poll(&mut self, now: Monotonic) -> Option<PlayoutEvent<'_>> {
        self.set_now(now);
        if let Some(name) = self.pass_marks() {
            return Some(PlayoutEvent::Mark(name));
        }
        if self
            .marks_passed
            .front()
            .is_some_and(|mark| self.played_at(mark) <= self.now)
        {
            return self
                .marks_passed
                .pop_front()
                .map(|mark| PlayoutEvent::MarkPlayed(mark.name));
        }
        if self.frame_due().is_some_and(|due| due <= self.now) {
            return Some(PlayoutEvent::Frame(self.send_frame()));
        }
        self.compact();
        None
    }

    /// When to poll next, if nothing is pushed before. It may lie in the past: then poll now.
    #[must_use]
    pub fn next_wake(&self) -> Option<Monotonic> {
        let mark = self.marks_passed.front().map(|mark| self.played_at(mark));
        // A mark to pass, or a push whose time is not known yet, is for the poll that the driver owes.
        let owed = (self.fresh.is_some() || self.mark_to_pass()).then_some(self.now);
        [mark, owed, self.frame_due()].into_iter().flatten().min()
    }

    /// Milliseconds of agent audio heard since the start of the media, without pauses and padding.
    #[must_use]
    pub fn played_ms(&self, now: Monotonic) -> u64 {
        self.config
            .wire
            .rate
            .ms_of_samples(self.heard(now.max(self.now)).saturating_sub(self.dropped))
    }

    /// Milliseconds of agent audio pushed and not sent yet.
    #[must_use]
    pub const fn queued_ms(&self) -> u64 {
        self.config.wire.rate.ms_of_samples(self.pushed - self.sent)
    }

    /// Whether there is nothing to send, nothing being played by the pacing clock, and no mark open.
    #[must_use]
    pub fn is_idle(&self, now: Monotonic) -> bool {
        self.pending() == 0
            && !self.unflushed
            && self.play_end <= now.max(self.now)
            && self.marks.is_empty()
            && self.marks_passed.is_empty()
    }

    /// The present on the time line of frame positions: samples at the wire's rate since the start of the media.
    #[must_use]
    pub fn position(&self, now: Monotonic) -> u64 {
        self.position_of(now)
    }

    fn set_now(&mut self, now: Monotonic) {
        self.now = self.now.max(now);
        if let Some(length) = self.fresh.take() {
            // One that speaks in real time speaks again when this chunk has been played. A frame time later it is missed.
            let cadence = length.min(Duration::from_millis(u64::from(CADENCE_MS_MAX)));
            self.tail_due = self.now + cadence + self.frame;
        }
        if let Some(start) = self.utterance_next.take()
            && self.play_end + self.delay <= self.now
        {
            self.utterance = start;
        }
        while let Some(oldest) = self.sent_frames.front()
            && oldest.start + self.frame + self.delay + LAG_MAX <= self.now
        {
            self.heard_min = self.heard_min.max(oldest.before + oldest.audio);
            self.sent_frames.pop_front();
        }
    }

    /// Passes the marks whose audio was sent, and gives the first that the carrier is to get.
    fn pass_marks(&mut self) -> Option<String> {
        while self.mark_to_pass() {
            let (name, before) = self.marks.pop_front()?;
            let to_carrier = (self.config.marks == MarkMode::CarrierEchoes).then(|| name.clone());
            self.marks_passed.push_back(PassedMark {
                name,
                before,
                due: self.play_time(before),
                echoed: false,
            });
            if to_carrier.is_some() {
                return to_carrier;
            }
        }
        None
    }

    fn mark_to_pass(&self) -> bool {
        let held_back = self.paused && self.config.marks == MarkMode::CarrierEchoes;
        !held_back && self.marks.front().is_some_and(|(_, before)| *before <= self.sent)
    }

    /// When the agent is to be told of a mark.
    fn played_at(&self, mark: &PassedMark) -> Monotonic {
        match self.config.marks {
            MarkMode::HostTimed => mark.due,
            MarkMode::CarrierEchoes if mark.echoed => mark.due,
            MarkMode::CarrierEchoes => mark.due + ECHO_WAIT,
        }
    }

    /// When the carrier may get the next frame, if there is audio for one.
    fn frame_due(&self) -> Option<Monotonic> {
        if self.paused {
            return None;
        }
        let allowed = (self.play_end + self.frame).saturating_sub(self.ahead_max);
        if self.pending() >= self.frame_samples {
            Some(allowed)
        } else if self.unflushed || self.pending() > 0 {
            // While the carrier has more than a frame to play there is time to wait for the rest of this one. When the rest
            // has been flushed out of the resampler there is nothing to wait for.
            let hungry = self.play_end.saturating_sub(self.frame);
            let flushed = self.sent == self.pushed && !self.unflushed;
            Some(if flushed {
                allowed
            } else {
                allowed.max(hungry).max(self.tail_due)
            })
        } else {
            None
        }
    }

    fn send_frame(&mut self) -> PlayoutFrame<'_> {
        if self.pending() < self.frame_samples && self.unflushed {
            self.resampler.flush(&mut self.queue);
            self.unflushed = false;
        }
        let from = self.head;
        if self.pending() < self.frame_samples {
            self.queue.resize(from + self.frame_samples, 0);
        }
        self.head = from + self.frame_samples;

        let start = self.play_end.max(self.now);
        self.play_end = start + self.frame;
        let audio = (self.pushed - self.sent).min(self.frame_samples as u64);
        self.sent_frames.push_back(SentFrame {
            start,
            before: self.sent,
            audio,
        });
        self.sent += audio;

        let position = self.position_of(start);
        let pcm = &self.queue[from..self.head];
        self.payload.clear();
        self.config.wire.encode(pcm, &mut self.payload);
        PlayoutFrame {
            payload: &self.payload,
            position,
            pcm,
        }
    }

    /// Samples at the wire's rate that wait to be sent, those from the resampler's tail included.
    const fn pending(&self) -> usize {
        self.queue.len() - self.head
    }

    /// Removes what was sent from the queue once that is most of it, so that the cost of moving the rest stays in proportion.
    fn compact(&mut self) {
        if self.head == self.queue.len() {
            self.queue.clear();
            self.head = 0;
            self.queue.shrink_to(self.config.wire.rate.samples_in_ms(KEPT_MS));
        } else if self.head > self.queue.len() / 2 {
            self.queue.drain(..self.head);
            self.head = 0;
        }
    }

    /// How much agent audio was heard at `now`, as a count from the start of the media.
    fn heard(&self, now: Monotonic) -> u64 {
        let playing = now.saturating_sub(self.lag + self.delay);
        let mut heard = self.heard_min;
        for frame in self.sent_frames.iter().take_while(|frame| frame.start < playing) {
            let samples = self.samples_in(playing.saturating_since(frame.start));
            heard = heard.max(frame.before + samples.min(frame.audio));
        }
        heard.min(self.sent)
    }

    /// When the first `count` samples of agent audio, all of them sent, have been played by the pacing clock.
    fn play_time(&self, count: u64) -> Monotonic {
        let frame = self
            .sent_frames
            .iter()
            .find(|frame| frame.before < count && count <= frame.before + frame.audio);
        frame.map_or(self.now, |frame| {
            let micros = (count - frame.before) * 1_000_000 / u64::from(self.config.wire.rate.hz());
            frame.start + Duration::from_micros(micros) + self.delay
        })
    }

    fn position_of(&self, time: Monotonic) -> u64 {
        self.samples_in(time.saturating_since(self.start))
    }

    fn samples_in(&self, duration: Duration) -> u64 {
        // Microseconds times a rate in kilohertz: 64 bit hold ten thousand years of it.
        duration.as_micros() as u64 * self.config.wire.rate.samples_in_ms(1) as u64 / 1_000
    }
}

#[cfg(test)]
mod tests;
