//! One call of an agent: a task that hears, follows the rules and speaks.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{MissedTickBehavior, interval_at, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderValue, StatusCode},
    },
};

use super::{
    AgentDo, AgentEnd, AgentOptions, AgentProtocol, AgentReport, AgentScript, AgentWhen, ClearDone, HeardAudio,
    MarkReached, Pace, SpokenAudio, TransferSeen,
    wire::{Heard, Wire},
};
use crate::{
    carrier::FRAME,
    clock,
    speech::{self, Speech, duration_of, samples_in},
    watched::Watched,
};

/// Root mean square above which a frame counts as speech: about -38 dB of full scale.
const SPEECH_ENERGY_MIN: f64 = 400.0;
/// A pause within speech, between words, is shorter than this.
const WORD_GAP: Duration = Duration::from_millis(200);
/// Long enough for the gateway to react to a hang-up that is a message, before the agent closes by itself.
const HANG_UP_TIMEOUT: Duration = Duration::from_secs(5);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages that wait for a gateway which does not read.
const UNSENT_MAX: usize = 8192;
const SUBPROTOCOL: &str = "strowger.v1";

pub(super) async fn run(
    tcp: TcpStream,
    options: AgentOptions,
    report: Arc<Watched<AgentReport>>,
    commands: mpsc::UnboundedReceiver<AgentDo>,
) {
    let end = match accept(tcp, &options, &report).await {
        Ok(socket) => converse(socket, &options, &report, commands).await,
        Err(end) => end,
    };
    report.update(|report| {
        report.ended_at = Some(clock::now());
        report.end = Some(end);
    });
}

async fn accept(
    tcp: TcpStream,
    options: &AgentOptions,
    report: &Watched<AgentReport>,
) -> Result<WebSocketStream<TcpStream>, AgentEnd> {
    // Audio in small messages must not wait for acknowledgements of earlier ones.
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
    }
    let mut refused = false;
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    let look = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let mut offered = false;
        report.update(|report| {
            report.path = request.uri().to_string();
            report.headers = request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect();
            let protocols = report.header("sec-websocket-protocol").unwrap_or_default();
            offered = protocols.split(',').any(|protocol| protocol.trim() == SUBPROTOCOL);
        });
        let status = match options.misbehaviour.refuse {
            Some(status) => StatusCode::from_u16(status).ok(),
            None => (options.protocol == AgentProtocol::Strowger && !offered).then_some(StatusCode::BAD_REQUEST),
        };
        if let Some(status) = status {
            refused = true;
            let mut response = ErrorResponse::new(Some("refused".to_owned()));
            *response.status_mut() = status;
            return Err(response);
        }
        if options.protocol == AgentProtocol::Strowger {
            response
                .headers_mut()
                .insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        }
        Ok(response)
    };
    let accepted = accept_hdr_async(tcp, look).await;
    accepted.map_err(|_| {
        if refused {
            AgentEnd::Refused
        } else {
            AgentEnd::LostByGateway
        }
    })
}

/// What waits to be said.
enum Utterance {
    Audio(Vec<i16>),
    Mark(String),
}

struct Mind<'a> {
    report: &'a Watched<AgentReport>,
    script: AgentScript,
    /// Which rules are used up.
    done: Vec<bool>,
    wire: Wire,
    pace: Pace,
    rate_hz: u32,
    queue: VecDeque<Utterance>,
    outbox: mpsc::Sender<Message>,
    echo: bool,
    /// Until when the agent's speech is heard at the other end, as far as it can know.
    speaks_until: Duration,
    ear: Ear,
    /// The agent wants to leave: how.
    leaving: Option<Leaving>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Close,
    /// The gateway was asked to hang up and will close.
    Asked,
}

/// Hears speech by its energy.
#[derive(Debug, Default)]
struct Ear {
    /// Speech without a pause so far.
    speech: Duration,
    silence: Duration,
    /// Something was said since the last turn.
    has_spoken: bool,
    /// What was already told of this utterance.
    told_speech: Duration,
    told_silence: Duration,
}

impl Ear {
    fn hear(&mut self, samples: &[i16], rate_hz: u32) {
        let duration = duration_of(samples.len(), rate_hz);
        if speech::energy(samples) >= SPEECH_ENERGY_MIN {
            self.speech += duration;
            self.silence = Duration::ZERO;
            self.told_silence = Duration::ZERO;
            self.has_spoken |= self.speech >= Duration::from_millis(100);
        } else {
            self.silence += duration;
            if self.silence >= WORD_GAP {
                self.speech = Duration::ZERO;
                self.told_speech = Duration::ZERO;
            }
        }
    }
}

impl Mind<'_> {
    fn send(&self, message: Message) {
        if self.outbox.try_send(message).is_err() {
            tracing::debug!("an agent's message is lost: the gateway does not read");
        }
    }

    fn is_speaking(&self) -> bool {
        !self.queue.is_empty() || clock::now() < self.speaks_until
    }

    /// Carries out the rules for what has just happened.
    fn happened(&mut self, is_it: impl Fn(&AgentWhen) -> bool) {
        for index in 0..self.script.rules.len() {
            let rule = &self.script.rules[index];
            if is_it(&rule.when) && !(rule.once && self.done[index]) {
                self.done[index] = true;
                for action in rule.then.clone() {
                    self.perform(action);
                }
            }
        }
    }

    fn perform(&mut self, action: AgentDo) {
        match action {
            AgentDo::Say(speech) => self.say(&speech),
            AgentDo::Mark(name) => self.queue.push_back(Utterance::Mark(name)),
            AgentDo::Clear => {
                self.queue.clear();
                self.speaks_until = clock::now();
                self.send(self.wire.clear());
                self.report.update(|report| report.clears.push(clock::now()));
            }
            AgentDo::HangUp => match self.wire.hang_up() {
                Some(message) => {
                    self.send(message);
                    self.leaving = Some(Leaving::Asked);
                }
                None => self.leaving = Some(Leaving::Close),
            },
            AgentDo::SendDtmf(digits) => {
                if let Some(message) = self.wire.send_dtmf(&digits) {
                    self.send(message);
                }
            }
            AgentDo::EchoBack => self.echo = true,
            AgentDo::Transfer(transfer) => {
                if let Some(message) = self.wire.transfer(&transfer) {
                    self.send(message);
                }
            }
            AgentDo::CancelTransfer => {
                if let Some(message) = self.wire.cancel_transfer() {
                    self.send(message);
                }
            }
        }
        if matches!(self.pace, Pace::AtOnce { .. }) {
            while self.utter() {}
        }
    }

    fn say(&mut self, speech: &Speech) {
        let message = match self.pace {
            Pace::RealTime => FRAME,
            Pace::AtOnce { message } => message.max(FRAME),
        };
        let speech = speech.at_rate(self.rate_hz);
        for chunk in speech.samples().chunks(samples_in(message, self.rate_hz).max(1)) {
            self.queue.push_back(Utterance::Audio(chunk.to_vec()));
        }
    }

    /// Says one piece and the marks that follow it; false when there is nothing more to say.
    fn utter(&mut self) -> bool {
        let mut said = false;
        while let Some(next) = self.queue.front() {
            match next {
                Utterance::Audio(_) if said => break,
                Utterance::Audio(samples) => {
                    self.speak(&samples.clone());
                    said = true;
                }
                Utterance::Mark(name) => self.send(self.wire.mark(name)),
            }
            self.queue.pop_front();
        }
        said
    }

    fn speak(&mut self, samples: &[i16]) {
        self.send(self.wire.audio(samples));
        let at = clock::now();
        self.speaks_until = self.speaks_until.max(at) + duration_of(samples.len(), self.rate_hz);
        self.report.update(|report| {
            report.spoken.push(SpokenAudio {
                at,
                samples: samples.len(),
            })
        });
    }

    /// Takes in a message. True when the gateway says that the call is over.
    fn hear(&mut self, message: &Message) -> bool {
        let at = clock::now();
        let heard = match self.wire.read(message) {
            Ok((heard, value)) => {
                if let Some(value) = value {
                    let is_start = matches!(heard, Heard::Started { .. });
                    self.report.update(|report| {
                        if is_start {
                            report.start = Some(value.clone());
                        }
                        report.messages.push((at, value));
                    });
                }
                heard
            }
            Err(reason) => {
                self.report.update(|report| report.unreadable.push(reason));
                return false;
            }
        };
        match heard {
            Heard::Started { rate_hz } => {
                self.rate_hz = rate_hz;
                self.report.update(|report| report.rate_hz = rate_hz);
                self.happened(|when| *when == AgentWhen::Start);
            }
            Heard::Audio(samples) => self.listen(at, &samples),
            Heard::Dtmf(digit) => {
                self.report.update(|report| report.digits.push(digit));
                self.happened(|when| *when == AgentWhen::Dtmf(digit));
            }
            Heard::Mark { name, heard_ms } => {
                self.report.update(|report| {
                    report.marks.push(MarkReached {
                        at,
                        name: name.clone(),
                        heard_ms,
                    })
                });
                self.happened(|when| matches!(when, AgentWhen::Mark(wanted) if *wanted == name));
            }
            Heard::Cleared { heard_ms, marks } => {
                self.report
                    .update(|report| report.cleared.push(ClearDone { at, heard_ms, marks }));
                self.happened(|when| *when == AgentWhen::Cleared);
            }
            Heard::Transfer(seen) => {
                let seen = TransferSeen { at, ..seen };
                self.report.update(|report| report.transfers.push(seen.clone()));
                self.happened(|when| matches!(when, AgentWhen::Transfer(state) if *state == seen.state));
            }
            Heard::Stopped(reason) => {
                self.report.update(|report| report.stop = Some(reason));
                return true;
            }
            Heard::Other => {}
        }
        false
    }

    fn listen(&mut self, at: Duration, samples: &[i16]) {
        self.report.update(|report| {
            report.heard.push(HeardAudio {
                at,
                first_sample: report.audio.len(),
                samples: samples.len(),
            });
            report.audio.extend_from_slice(samples);
        });
        if self.echo {
            self.speak(samples);
        }
        self.ear.hear(samples, self.rate_hz);
        let speaking = self.is_speaking();
        let Ear {
            speech,
            silence,
            has_spoken,
            told_speech,
            told_silence,
        } = self.ear;
        self.ear.told_speech = speech;
        self.ear.told_silence = silence;
        // A rule fires at the moment that its duration is passed, and not again before the next pause.
        let passed = |wanted: Duration, before: Duration, now: Duration| before < wanted && now >= wanted;
        self.happened(|when| match when {
            AgentWhen::Heard(wanted) => passed(*wanted, told_speech, speech),
            AgentWhen::HeardWhileSpeaking(wanted) => speaking && passed(*wanted, told_speech, speech),
            AgentWhen::Quiet(wanted) => has_spoken && passed(*wanted, told_silence, silence),
            _ => false,
        });
    }
}

async fn converse(
    socket: WebSocketStream<TcpStream>,
    options: &AgentOptions,
    report: &Watched<AgentReport>,
    mut commands: mpsc::UnboundedReceiver<AgentDo>,
) -> AgentEnd {
    let (mut sink, mut source) = socket.split();
    let (outbox, mut unsent) = mpsc::channel::<Message>(UNSENT_MAX);
    let writer = AbortOnDrop(tokio::spawn(async move {
        while let Some(message) = unsent.recv().await {
            if sink.send(message).await.is_err() {
                break;
            }
        }
    }));
    let opened_at = clock::now();
    report.update(|report| report.opened_at = opened_at);
    let mut script = options.script.clone();
    if let Some(burst) = options.misbehaviour.burst {
        script = script.once(AgentWhen::Start, [Speech::tone(440.0, burst, 8000).into()]);
    }
    let mut mind = Mind {
        report,
        done: vec![false; script.rules.len()],
        script,
        wire: Wire::new(options.protocol),
        pace: if options.misbehaviour.burst.is_some() {
            Pace::AtOnce { message: FRAME }
        } else {
            options.pace
        },
        rate_hz: 8000,
        queue: VecDeque::new(),
        outbox,
        echo: false,
        speaks_until: Duration::ZERO,
        ear: Ear::default(),
        leaving: None,
    };
    let faults = options.misbehaviour;
    let mut garbage_after = faults.garbage_after;
    let start = clock::instant(opened_at);
    let mut ticks = interval_at(start + FRAME, FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let due = |after: Option<Duration>| async move {
        match after {
            Some(after) => sleep_until(start + after).await,
            None => std::future::pending().await,
        }
    };

    let end = loop {
        match mind.leaving {
            Some(Leaving::Close) => break AgentEnd::ClosedByAgent,
            Some(Leaving::Asked) => {
                // The gateway has the word; audio that still comes is recorded like all other.
                let closing = async {
                    loop {
                        match source.next().await {
                            Some(Ok(Message::Close(frame))) => {
                                break AgentEnd::ClosedByGateway(frame.map(|frame| frame.code.into()));
                            }
                            Some(Ok(message)) => {
                                mind.hear(&message);
                            }
                            Some(Err(_)) | None => break AgentEnd::LostByGateway,
                        }
                    }
                };
                break timeout(HANG_UP_TIMEOUT, closing)
                    .await
                    .unwrap_or(AgentEnd::ClosedByAgent);
            }
            None => {}
        }
        tokio::select! {
            biased;
            () = due(faults.drop_after) => break AgentEnd::DroppedByAgent,
            () = due(faults.close_after) => break AgentEnd::ClosedByAgent,
            () = due(faults.stall_after) => {
                // Until the agent itself is dropped, or nobody can still be interested.
                sleep(Duration::from_secs(3600)).await;
                break AgentEnd::DroppedByAgent;
            }
            () = due(garbage_after) => {
                garbage_after = None;
                for message in mind.wire.garbage() {
                    mind.send(message);
                }
            }
            message = source.next() => match message {
                Some(Ok(Message::Close(frame))) => break AgentEnd::ClosedByGateway(frame.map(|frame| frame.code.into())),
                Some(Ok(message)) => {
                    // After a stop the gateway closes; what it still says is of no interest to the rules.
                    mind.hear(&message);
                }
                Some(Err(_)) | None => break AgentEnd::LostByGateway,
            },
            command = commands.recv() => match command {
                Some(action) => mind.perform(action),
                None => break AgentEnd::DroppedByAgent,
            },
            _ = ticks.tick() => {
                mind.utter();
            }
        }
    };
    match end {
        AgentEnd::ClosedByAgent => {
            mind.send(Message::Close(None));
            drop(mind);
            let closing = async { while source.next().await.is_some_and(|message| message.is_ok()) {} };
            let _ = timeout(CLOSE_TIMEOUT, closing).await;
        }
        AgentEnd::ClosedByGateway(_) => {
            // Reading on lets the reply to the close out of the door.
            let closing = async { while source.next().await.is_some_and(|message| message.is_ok()) {} };
            let _ = timeout(CLOSE_TIMEOUT, closing).await;
        }
        _ => {}
    }
    drop(writer);
    end
}

/// A task that does not outlive its owner, however that one ends.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ear_bridges_gaps_between_words_and_notices_pauses() {
        let mut ear = Ear::default();
        let loud = vec![3000; 160];
        let quiet = vec![0; 160];
        for _ in 0..10 {
            ear.hear(&loud, 8000);
        }
        for _ in 0..5 {
            ear.hear(&quiet, 8000);
        }
        assert_eq!(ear.speech, Duration::from_millis(200));
        for _ in 0..5 {
            ear.hear(&quiet, 8000);
        }
        assert_eq!((ear.speech, ear.silence), (Duration::ZERO, Duration::from_millis(200)));
        assert!(ear.has_spoken);
    }
}
