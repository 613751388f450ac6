//! The media of one call: the carrier's socket, the component's envelopes, and the audio path between them.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{self, CloseFrame, WebSocket};
use serde_json::{Value, json};
use strowger_audio::{
    Cleared, Encoding, Framer, Inbound, Level, Levels, MarkMode, Playout, PlayoutConfig, PlayoutEvent, Recorder,
    Resampler, Ringback, SampleRate, Side, WireFormat,
};
use strowger_call::{Event, Monotonic};
use strowger_host::media::{FrameProblem, Started};
use strowger_host::{GuestFault, InvokeError, MediaEvent, MediaFrame, MediaLeg, Message, spec};
use tokio::time::timeout;

use super::lane::Lane;
use crate::exchange::CallContext;
use crate::recording::Recording;

/// Caller audio kept for an agent that is not ready yet. More would only make it late.
const PRE_ROLL_FRAMES_MAX: usize = 100;
/// Faults of the component in one call, after each of which it was built again, before the call is given up.
const STRIKES_MAX: u32 = 3;
/// A carrier that does not take a message within this time is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);
/// Silence on the socket until we ask whether anybody is there, and until we no longer believe it.
const PING_AFTER: Duration = Duration::from_secs(4);
const LOST_AFTER: Duration = Duration::from_secs(10);
/// The longest name of a mark that the contract allows.
const MARK_BYTES_MAX: usize = 64;
/// How much of the ringing tone waits behind what is being sent: little, because it cannot be taken back.
const RINGBACK_QUEUE_MS: u64 = 40;
const RINGBACK_CHUNK_MS: u32 = 40;
/// How long the recorder waits for the side that is late.
const RECORDER_LAG_MS: u32 = 1_000;
/// How much of the tape is passed on at once: to the disk in large pieces, to the meters alone in small ones, which the call
/// has to hold.
const ROLL_RECORDED_MS: u32 = 1_000;
const ROLL_UNRECORDED_MS: u32 = 100;

/// What came over the carrier's socket.
pub(super) enum Carried {
    Message(ws::Message),
    Broken(String),
}

/// The next thing from the carrier's socket; never, while there is none.
pub(super) async fn next(media: &mut Option<MediaPath>) -> Carried {
    let Some(socket) = media.as_mut().and_then(|media| media.socket.as_mut()) else {
        return std::future::pending().await;
    };
    match socket.recv().await {
        Some(Ok(message)) => Carried::Message(message),
        Some(Err(error)) => Carried::Broken(error.to_string()),
        None => Carried::Broken("the connection ended without a close frame".to_owned()),
    }
}

/// What a message of the carrier led to.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) started: bool,
    pub(super) provider_call_id: Option<String>,
    /// The caller's audio for the agent, in frames of 20 ms.
    pub(super) frames: Vec<Vec<i16>>,
    pub(super) digits: Vec<char>,
    pub(super) ended: Option<Event>,
}

/// What playing led to.
#[derive(Default)]
pub(super) struct Played {
    /// Marks that were reached, with the milliseconds heard so far.
    pub(super) marks: Vec<(String, u64)>,
    pub(super) speaking: bool,
    pub(super) fault: Option<Event>,
}

/// What is left of a call's media.
pub(super) struct ClosedMedia {
    pub(super) recording: Option<PathBuf>,
    pub(super) levels: strowger_call::timeline::Levels,
    pub(super) statistics: Value,
    pub(super) started_us: u64,
}

pub(super) struct MediaPath {
    context: Arc<CallContext>,
    socket: Option<WebSocket>,
    lane: Lane,
    agent_rate: SampleRate,
    frame_ms: u32,
    echoes_marks: bool,
    recording: Option<(crate::recording::RecordingWriter, PathBuf)>,
    stream: Option<Stream>,
    /// Played to a caller who waits for somebody else.
    ringback: Option<Ringback>,
    pre_roll: VecDeque<Vec<i16>>,
    /// The agent's names of the marks that have one of ours.
    marks: HashMap<String, String>,
    marks_named: u64,
    outgoing: Vec<u8>,
    strikes: u32,
    malformed: u64,
    early: u64,
    stopped: bool,
    last_heard: Duration,
    pinged: bool,
}

/// What exists once the carrier has said what it sends.
struct Stream {
    started_us: u64,
    inbound: Inbound,
    playout: Playout,
    framer: Framer,
    pcm: Vec<i16>,
    tape: Tape,
    frames_sent: u64,
}

impl MediaPath {
    pub(super) fn new(context: &Arc<CallContext>, leg: MediaLeg, socket: WebSocket, now: Monotonic) -> Self {
        let profile = &context.provider.spec().media;
        Self {
            context: context.clone(),
            socket: Some(socket),
            lane: Lane::new(
                leg,
                &context.scope.organization,
                context.provider.digest(),
                context.slow_lane.clone(),
            ),
            agent_rate: context.agent.effective_sample_rate(),
            frame_ms: u32::from(profile.frame_ms),
            echoes_marks: profile.echoes_marks,
            recording: context.recording_path().map(|path| (context.recordings.clone(), path)),
            stream: None,
            ringback: None,
            pre_roll: VecDeque::new(),
            marks: HashMap::new(),
            marks_named: 0,
            outgoing: Vec::new(),
            strikes: 0,
            malformed: 0,
            early: 0,
            stopped: false,
            last_heard: Duration::from_micros(now.as_micros()),
            pinged: false,
        }
    }

    /// When something is due: a frame, a mark, or a look at a silent socket.
    pub(super) fn next_wake(&self) -> Option<Monotonic> {
        self.socket.as_ref()?;
        let watch = self.last_heard + if self.pinged { LOST_AFTER } else { PING_AFTER };
        let watch = Monotonic::from_micros(u64::try_from(watch.as_micros()).unwrap_or(u64::MAX));
        let playout = self.stream.as_ref().and_then(|stream| stream.playout.next_wake());
        Some(playout.map_or(watch, |at| watch.min(Monotonic::from_micros(at.as_micros()))))
    }

    /// Whether the caller has heard all that the agent said.
    pub(super) fn is_silent(&self) -> bool {
        self.socket.is_none()
            || self.ringback.is_some()
            || self.stream.as_ref().is_none_or(|stream| {
                stream.playout.is_idle(strowger_audio::Monotonic::from_micros(
                    // Idle as of the last poll: the session polls before it asks.
                    stream.tape.now_us,
                ))
            })
    }

    /// Takes what came from the carrier.
    pub(super) async fn hear(&mut self, carried: Carried, now_us: u64) -> Heard {
        self.last_heard = Duration::from_micros(now_us);
        self.pinged = false;
        let message = match carried {
            Carried::Message(ws::Message::Text(text)) => Message::Text(text.as_str().to_owned()),
            Carried::Message(ws::Message::Binary(bytes)) => Message::Binary(bytes.to_vec()),
            Carried::Message(ws::Message::Ping(_) | ws::Message::Pong(_)) => return Heard::default(),
            // A close frame is a way to say that the stream has ended; some carriers know no other.
            Carried::Message(ws::Message::Close(_)) => return self.gone(Event::MediaStopped),
            Carried::Broken(reason) => {
                return self.gone(Event::MediaLost {
                    reason: reason.chars().take(200).collect(),
                });
            }
        };
        let events = match self.lane.deserialize(message).await {
            Ok(events) => events,
            Err(error) => {
                return Heard {
                    ended: self.strike(&error),
                    ..Heard::default()
                };
            }
        };
        let mut heard = Heard::default();
        for event in events {
            self.handle(event, now_us, &mut heard);
        }
        heard
    }

    fn gone(&mut self, event: Event) -> Heard {
        self.socket = None;
        Heard {
            ended: (!std::mem::replace(&mut self.stopped, true)).then_some(event),
            ..Heard::default()
        }
    }

    fn handle(&mut self, event: MediaEvent, now_us: u64, heard: &mut Heard) {
        let now = strowger_audio::Monotonic::from_micros(now_us);
        match event {
            MediaEvent::Started(started) if self.stream.is_none() => {
                self.stream = Some(self.start(&started, now_us));
                heard.started = true;
                heard.provider_call_id = started.provider_call_id;
            }
            MediaEvent::Audio {
                payload,
                sequence,
                timestamp_ms,
            } => match &mut self.stream {
                Some(stream) => stream.hear(&payload, sequence, timestamp_ms, now_us, &mut heard.frames),
                None => self.early += 1,
            },
            MediaEvent::Dtmf(digit) => heard.digits.push(digit),
            MediaEvent::Mark(name) => {
                if let Some(stream) = &mut self.stream {
                    stream.playout.handle_mark_echo(&name, now);
                }
            }
            MediaEvent::Flow(open) => {
                if let Some(stream) = &mut self.stream {
                    if open {
                        stream.playout.resume()
                    } else {
                        stream.playout.pause()
                    }
                }
            }
            MediaEvent::Stopped(_) => {
                if !std::mem::replace(&mut self.stopped, true) {
                    heard.ended = Some(Event::MediaStopped);
                }
            }
            MediaEvent::Malformed(what) => {
                if self.malformed == 0 {
                    tracing::warn!(
                        what,
                        "the carrier sent something that cannot be read; further ones are only counted"
                    );
                }
                self.malformed += 1;
            }
            MediaEvent::Started(_) => self.malformed += 1,
        }
    }

    fn start(&mut self, started: &Started, now_us: u64) -> Stream {
        let receive = wire_format(started.receive);
        let send = wire_format(started.send);
        let config = PlayoutConfig {
            frame_ms: self.frame_ms,
            marks: if self.echoes_marks {
                MarkMode::CarrierEchoes
            } else {
                MarkMode::HostTimed
            },
            ..PlayoutConfig::new(send, self.agent_rate)
        };
        let recording = self
            .recording
            .take()
            .map(|(writer, path)| writer.open(path, receive.rate.hz()));
        Stream {
            started_us: now_us,
            inbound: Inbound::new(receive, self.agent_rate, self.frame_ms),
            playout: Playout::new(config, strowger_audio::Monotonic::from_micros(now_us)),
            framer: Framer::new(self.agent_rate.samples_in_ms(20)),
            pcm: Vec::new(),
            tape: Tape::new(receive.rate, send.rate, recording, now_us),
            frames_sent: 0,
        }
    }

    /// One more fault of the component; the event that ends the call when it was one too many.
    fn strike(&mut self, error: &InvokeError) -> Option<Event> {
        self.strikes += 1;
        if matches!(error, InvokeError::Guest(GuestFault::Deadline { .. })) {
            self.lane.condemn();
        }
        self.context.note_invocation(error);
        tracing::warn!(%error, strikes = self.strikes, "the provider failed on the media path");
        (self.strikes > STRIKES_MAX).then(|| Event::MediaFailed {
            reason: error.to_string().chars().take(200).collect(),
        })
    }

    /// Begins or ends to play a ringing tone behind what the agent has said.
    pub(super) fn hold(&mut self, on: bool) {
        match (on, &self.ringback) {
            (true, None) => self.ringback = Some(Ringback::new(self.agent_rate)),
            (false, Some(_)) => self.ringback = None,
            _ => {}
        }
    }

    pub(super) fn is_holding(&self) -> bool {
        self.ringback.is_some()
    }

    fn ring(&mut self) {
        let (Some(ringback), Some(stream)) = (&mut self.ringback, &mut self.stream) else {
            return;
        };
        while stream.playout.queued_ms() < RINGBACK_QUEUE_MS {
            let mut chunk = vec![0; self.agent_rate.samples_in_ms(RINGBACK_CHUNK_MS)];
            ringback.fill(&mut chunk);
            if stream.playout.push_audio(&chunk).is_err() {
                return;
            }
        }
    }

    pub(super) fn keep_pre_roll(&mut self, frames: Vec<Vec<i16>>) {
        for frame in frames {
            if self.pre_roll.len() == PRE_ROLL_FRAMES_MAX {
                self.pre_roll.pop_front();
            }
            self.pre_roll.push_back(frame);
        }
    }

    pub(super) fn take_pre_roll(&mut self) -> VecDeque<Vec<i16>> {
        std::mem::take(&mut self.pre_roll)
    }

    /// Takes what the agent says. What does not fit into two minutes of queue is dropped: no agent waits that long for itself.
    pub(super) fn say(&mut self, pcm: &[i16]) {
        if let Some(stream) = &mut self.stream
            && let Err(full) = stream.playout.push_audio(pcm)
        {
            tracing::warn!(%full, "the agent is too far ahead; its audio is dropped");
        }
    }

    /// Takes a mark of the agent's. One that the contract has no room for gets a name of ours on its way to the carrier.
    pub(super) fn mark(&mut self, name: String) {
        let Some(stream) = &mut self.stream else { return };
        let fits = !name.is_empty() && name.len() <= MARK_BYTES_MAX && !name.chars().any(char::is_control);
        let id = if fits {
            name
        } else {
            self.marks_named += 1;
            let id = format!("strowger-mark-{}", self.marks_named);
            self.marks.insert(id.clone(), name);
            id
        };
        if let Err(full) = stream.playout.push_mark(id.clone()) {
            self.marks.remove(&id);
            tracing::warn!(%full, "the agent set too many marks; one is dropped");
        }
    }

    /// Drops what has not been heard, here and at the carrier. Nothing when there is no stream.
    pub(super) async fn clear(&mut self, now_us: u64) -> Option<(Cleared, Option<Event>)> {
        let stream = self.stream.as_mut()?;
        let mut cleared = stream.playout.clear(strowger_audio::Monotonic::from_micros(now_us));
        stream.tape.cut(cleared.position);
        cleared.marks = cleared
            .marks
            .into_iter()
            .map(|id| self.marks.remove(&id).unwrap_or(id))
            .collect();
        Some((cleared, self.send(&MediaFrame::Clear).await.fault))
    }

    pub(super) async fn send_dtmf(&mut self, digits: &str) -> Option<Event> {
        for digit in digits
            .chars()
            .filter(|digit| matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D'))
        {
            let sent = self.send(&MediaFrame::Dtmf(digit.to_string())).await;
            if sent.problem == Some(FrameProblem::Unsupported) {
                tracing::warn!("this carrier cannot send DTMF over its media socket");
                return None;
            }
            if sent.fault.is_some() {
                return sent.fault;
            }
        }
        None
    }

    /// Sends the frames and marks that are due.
    pub(super) async fn play(&mut self, now_us: u64) -> Played {
        let now = strowger_audio::Monotonic::from_micros(now_us);
        let mut played = Played::default();
        if self.socket.is_none() {
            return played;
        }
        self.ring();
        while let Some(stream) = &mut self.stream {
            stream.tape.now_us = now_us;
            let present = stream.playout.position(now);
            let frame = match stream.playout.poll(now) {
                None => break,
                Some(PlayoutEvent::MarkPlayed(name)) => {
                    let heard_ms = stream.playout.played_ms(now);
                    played.marks.push((self.marks.remove(&name).unwrap_or(name), heard_ms));
                    continue;
                }
                Some(PlayoutEvent::Mark(name)) => MediaFrame::Mark(name),
                Some(PlayoutEvent::Frame(frame)) => {
                    stream.tape.agent(present, frame.position, frame.pcm);
                    stream.frames_sent += 1;
                    let mut payload = std::mem::take(&mut self.outgoing);
                    payload.clear();
                    payload.extend_from_slice(frame.payload);
                    MediaFrame::Audio(payload)
                }
            };
            let sent = self.send(&frame).await;
            if let MediaFrame::Audio(payload) = frame {
                self.outgoing = payload;
            }
            if sent.fault.is_some() {
                played.fault = sent.fault;
                break;
            }
        }
        played.speaking = self.stream.as_ref().is_some_and(|stream| !stream.playout.is_idle(now));
        played
    }

    async fn send(&mut self, frame: &MediaFrame) -> Sent {
        let messages = match self.lane.serialize(frame).await {
            Ok(Ok(messages)) => messages,
            Ok(Err(FrameProblem::NotStarted)) if self.stream.is_some() => {
                let what = "it says that the stream has not started, after it said that it had".to_owned();
                let fault = GuestFault::MalformedOutput {
                    export: "media.serialize-frame",
                    what,
                };
                return Sent {
                    problem: None,
                    fault: self.strike(&fault.into()),
                };
            }
            Ok(Err(problem)) => {
                return Sent {
                    problem: Some(problem),
                    fault: None,
                };
            }
            Err(error) => {
                return Sent {
                    problem: None,
                    fault: self.strike(&error),
                };
            }
        };
        let Some(socket) = &mut self.socket else {
            return Sent::default();
        };
        for message in messages {
            let message = match message {
                Message::Text(text) => ws::Message::Text(text.into()),
                Message::Binary(bytes) => ws::Message::Binary(bytes.into()),
            };
            let reason = match timeout(SEND_TIMEOUT, socket.send(message)).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the carrier does not read".to_owned(),
            };
            self.socket = None;
            let first = !std::mem::replace(&mut self.stopped, true);
            return Sent {
                problem: None,
                fault: first.then_some(Event::MediaLost { reason }),
            };
        }
        Sent::default()
    }

    /// Looks after a socket that has been silent.
    pub(super) async fn watch(&mut self, now_us: u64) -> Option<Event> {
        let silent = Duration::from_micros(now_us).saturating_sub(self.last_heard);
        let socket = self.socket.as_mut()?;
        if silent >= LOST_AFTER {
            self.socket = None;
            let first = !std::mem::replace(&mut self.stopped, true);
            return first.then(|| Event::MediaLost {
                reason: "nothing came over the media socket for 10 s".to_owned(),
            });
        }
        if silent >= PING_AFTER && !self.pinged {
            self.pinged = true;
            // A socket that cannot be written to is found out by the next frame, or by its silence.
            drop(timeout(SEND_TIMEOUT, socket.send(ws::Message::Ping(Vec::new().into()))).await);
        }
        None
    }

    /// Ends the stream from our side.
    pub(super) async fn close(&mut self, now_us: u64) {
        if self.stopped && self.socket.is_none() {
            return;
        }
        self.stopped = true;
        if let Some(stream) = &mut self.stream {
            stream.tape.now_us = now_us;
        }
        drop(self.send(&MediaFrame::Stop).await);
        if let Some(mut socket) = self.socket.take() {
            let frame = CloseFrame {
                code: ws::close_code::NORMAL,
                reason: "".into(),
            };
            drop(timeout(SEND_TIMEOUT, socket.send(ws::Message::Close(Some(frame)))).await);
        }
    }

    /// Closes the recording, and tells what there was.
    pub(super) async fn finish(mut self) -> ClosedMedia {
        let Some(mut stream) = self.stream.take() else {
            return ClosedMedia {
                recording: None,
                levels: strowger_call::timeline::Levels::default(),
                statistics: json!({ "malformed_messages": self.malformed, "audio_before_start": self.early }),
                started_us: 0,
            };
        };
        stream.pcm.clear();
        stream.inbound.flush(&mut stream.pcm);
        let position = stream
            .playout
            .position(strowger_audio::Monotonic::from_micros(stream.tape.now_us));
        stream.tape.caller(position, stream.inbound.wire_pcm());
        let stats = stream.inbound.stats();
        let statistics = json!({
            "caller_frames": stats.frames,
            "caller_frames_lost": stats.lost,
            "caller_frames_reordered": stats.reordered,
            "caller_frames_late": stats.late,
            "caller_frames_repeated": stats.duplicates,
            "agent_frames": stream.frames_sent,
            "malformed_messages": self.malformed,
            "audio_before_start": self.early,
            "provider_faults": self.strikes,
        });
        let started_us = stream.started_us;
        let (recording, levels) = stream.tape.finish().await;
        ClosedMedia {
            recording,
            levels,
            statistics,
            started_us,
        }
    }
}

#[derive(Default)]
struct Sent {
    problem: Option<FrameProblem>,
    fault: Option<Event>,
}

impl Stream {
    fn hear(
        &mut self,
        payload: &[u8],
        sequence: Option<u64>,
        timestamp_ms: Option<u64>,
        now_us: u64,
        frames: &mut Vec<Vec<i16>>,
    ) {
        self.pcm.clear();
        self.inbound.push(payload, sequence, timestamp_ms, &mut self.pcm);
        self.tape.now_us = now_us;
        let position = self.playout.position(strowger_audio::Monotonic::from_micros(now_us));
        self.tape.caller(position, self.inbound.wire_pcm());
        self.framer.push(&self.pcm);
        while let Some(frame) = self.framer.pop() {
            frames.push(frame.to_vec());
        }
    }
}

/// Listens to both sides: the recording, and how loud they are. Everything on it is at the rate of the caller's audio.
struct Tape {
    now_us: u64,
    rate: SampleRate,
    agent_rate: SampleRate,
    /// Only when the two directions have different rates.
    resampler: Option<Resampler>,
    resampled: Vec<i16>,
    recorder: Recorder,
    stereo: Vec<i16>,
    side: Vec<i16>,
    caller_levels: Levels,
    agent_levels: Levels,
    caller: Vec<Level>,
    agent: Vec<Level>,
    recording: Option<Recording>,
}

impl Tape {
    fn new(rate: SampleRate, agent_rate: SampleRate, recording: Option<Recording>, now_us: u64) -> Self {
        Self {
            now_us,
            rate,
            agent_rate,
            resampler: (rate != agent_rate).then(|| Resampler::new(agent_rate, rate)),
            resampled: Vec::new(),
            recorder: Recorder::new(rate, RECORDER_LAG_MS),
            stereo: Vec::new(),
            side: Vec::new(),
            caller_levels: Levels::new(rate),
            agent_levels: Levels::new(rate),
            caller: Vec::new(),
            agent: Vec::new(),
            recording,
        }
    }

    /// A position on the agent's time line, on the tape's.
    fn position(&self, position: u64) -> u64 {
        position * u64::from(self.rate.hz()) / u64::from(self.agent_rate.hz())
    }

    fn caller(&mut self, arrival: u64, pcm: &[i16]) {
        let arrival = self.position(arrival);
        self.recorder.push_arrived(Side::Caller, arrival, pcm);
        self.advance(arrival);
    }

    /// The present has come to `position`: what both sides have passed, or one is too late for, is settled.
    fn advance(&mut self, position: u64) {
        self.recorder.drain(position, &mut self.stereo);
        let roll_ms = if self.recording.is_some() {
            ROLL_RECORDED_MS
        } else {
            ROLL_UNRECORDED_MS
        };
        if self.stereo.len() >= 2 * self.rate.samples_in_ms(roll_ms) {
            self.roll();
        }
    }

    fn agent(&mut self, present: u64, position: u64, pcm: &[i16]) {
        // A carrier that sends nothing while its side is silent must not hold the agent's side up.
        let present = self.position(present);
        self.advance(present);
        let position = self.position(position);
        match &mut self.resampler {
            None => self.recorder.push(Side::Agent, position, pcm),
            Some(resampler) => {
                self.resampled.clear();
                resampler.process(pcm, &mut self.resampled);
                self.recorder.push(Side::Agent, position, &self.resampled);
            }
        }
    }

    fn cut(&mut self, position: u64) {
        self.recorder.truncate(Side::Agent, self.position(position));
    }

    /// Passes on what has been drained.
    fn roll(&mut self) {
        for (channel, meter, levels) in [
            (0, &mut self.caller_levels, &mut self.caller),
            (1, &mut self.agent_levels, &mut self.agent),
        ] {
            self.side.clear();
            self.side.extend(self.stereo.iter().skip(channel).step_by(2));
            meter.push(&self.side, levels);
        }
        match &mut self.recording {
            Some(recording) => recording.push(std::mem::take(&mut self.stereo)),
            None => self.stereo.clear(),
        }
    }

    async fn finish(mut self) -> (Option<PathBuf>, strowger_call::timeline::Levels) {
        self.recorder.finish(&mut self.stereo);
        self.roll();
        let levels = strowger_call::timeline::Levels {
            window_ms: 50,
            start_ms: 0,
            caller: self.caller.iter().copied().map(bar).collect(),
            agent: self.agent.iter().copied().map(bar).collect(),
        };
        let recording = match self.recording {
            Some(recording) => recording.close().await,
            None => None,
        };
        (recording, levels)
    }
}

/// The height of a level in a waveform: linear in decibels, from silence at -60 dBov.
fn bar(level: Level) -> u8 {
    60_u8.saturating_sub(level.rms).saturating_mul(4)
}

fn wire_format(format: spec::WireFormat) -> WireFormat {
    let encoding = match format.encoding {
        spec::Encoding::Pcmu => Encoding::Pcmu,
        spec::Encoding::Pcma => Encoding::Pcma,
        spec::Encoding::L16Le => Encoding::L16Le,
        spec::Encoding::L16Be => Encoding::L16Be,
    };
    // A frozen spec has only rates that the audio path carries.
    let rate = SampleRate::try_from(format.sample_rate_hz).unwrap_or(SampleRate::Hz8000);
    WireFormat { encoding, rate }
}
