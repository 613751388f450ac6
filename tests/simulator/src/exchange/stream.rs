//! One media socket of a call: the person's voice in frames on a steady clock, the gateway's audio through the playback buffer.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue},
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::line::{Flow, Line};
use crate::{
    carrier::{FRAME, FromGateway, MediaDialect, StreamInstruction, WebhookKind, WireAudio, WireMessage},
    clock,
    gateway::Gateway,
    misbehaviour::is_nth,
    report::{CallEvent, ClearReport, HangUp, MarkReport, ReceivedAudio, SentAudio, StreamEnd, StreamReport},
    script::{Behaviour, Runner},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages that wait for a gateway which does not read: ten seconds of audio.
const UNSENT_MAX: usize = 500;
/// When a second socket with the same address is tried: after a fifth of a second of audio.
const SECOND_SOCKET_AFTER_FRAMES: u64 = 10;

pub(crate) type MediaSocket = WebSocketStream<TcpStream>;

/// For sockets with a small message every 20 ms. The library clears its whole read buffer, 128 KiB unless told otherwise, for
/// every message, which would be most of the work of a process with many calls.
pub(crate) fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(8 * 1024)
}

/// Opens a media socket as a carrier does.
pub(crate) async fn dial_media(
    gateway: &Gateway,
    url: &str,
    headers: &[(String, String)],
) -> Result<MediaSocket, String> {
    let route = gateway.route(url).map_err(|error| error.to_string())?;
    let scheme = if route.secure { "wss" } else { "ws" };
    let mut request = format!("{scheme}://{}{}", route.host, route.path_and_query)
        .into_client_request()
        .map_err(|error| error.to_string())?;
    for (name, value) in headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(format!("`{name}` is not a header that can be sent"));
        };
        request.headers_mut().insert(name, value);
    }
    let socket = async {
        let tcp = TcpStream::connect(&route.authority)
            .await
            .map_err(|error| format!("cannot connect: {error}"))?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        match client_async_with_config(request, tcp, Some(socket_config())).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => {
                Err(format!("the upgrade was answered with {}", response.status()))
            }
            Err(error) => Err(format!("the upgrade failed: {error}")),
        }
    };
    timeout(CONNECT_TIMEOUT, socket)
        .await
        .unwrap_or_else(|_| Err("the upgrade took too long".to_owned()))
}

/// Runs a stream until one side ends it.
pub(super) async fn run(line: &mut Line, instruction: &StreamInstruction) -> Flow {
    line.event(CallEvent::Instruction(format!("stream {}", instruction.url)));
    let carrier = line.exchange.carrier;
    let record = line.record();
    let mut dialect = carrier.open_stream(&record, instruction);
    let stream_id = dialect.stream_id().to_owned();
    let tell = |line: &Line, event: &'static str, error: &str| {
        if let Some(target) = &instruction.status {
            let (stream_id, name) = (stream_id.clone(), instruction.name.clone());
            line.queue_callback(
                &record,
                &WebhookKind::Stream {
                    stream_id,
                    name,
                    event,
                    error: error.to_owned(),
                },
                target,
            );
        }
    };
    let headers = carrier.upgrade_headers(&instruction.url, &line.exchange.tamper(&line.misbehaviour));
    let opened = match carrier.refuses_media_url(&instruction.url) {
        Some(reason) => Err(reason),
        None => dial_media(&line.courier.gateway, &instruction.url, &headers).await,
    };
    let socket = match opened {
        Ok(socket) => socket,
        Err(reason) => {
            tell(line, "stream-error", &reason);
            line.event(CallEvent::StreamRefused(reason));
            return Flow::Next;
        }
    };
    let opened_at = clock::now();
    let report = StreamReport::new(
        &stream_id,
        &instruction.url,
        &instruction.parameters,
        carrier.audio().rate_hz(),
        opened_at,
    );
    line.call.report.update(|call| call.streams.push(report));
    line.event(CallEvent::StreamOpened);
    tell(line, "stream-started", "");
    let flow = converse(line, &mut *dialect, socket, instruction, &headers, opened_at).await;
    line.call.report.update(|call| {
        if let Some(stream) = call.streams.last_mut() {
            stream.ended_at = Some(clock::now());
        }
    });
    line.event(CallEvent::StreamClosed);
    tell(line, "stream-stopped", "");
    flow
}

/// The person's side of a stream: script, faults and the frames already said.
struct Mouth<'a> {
    line: &'a Line,
    audio: WireAudio,
    runner: Runner,
    outbox: mpsc::Sender<Message>,
    /// Frames said so far, lost ones included.
    frames: u64,
    /// A frame that waits to be sent after its successor.
    held: Option<Message>,
    overflowed: bool,
}

impl Mouth<'_> {
    fn send(&mut self, message: WireMessage) {
        self.send_raw(raw(message));
    }

    fn send_raw(&mut self, message: Message) {
        if self.outbox.try_send(message).is_err() && !self.overflowed {
            self.overflowed = true;
            self.line.note("the gateway does not read its media socket");
        }
    }

    /// One frame's time has passed. True when the person hangs up.
    fn tick(&mut self, dialect: &mut dyn MediaDialect) -> bool {
        loop {
            // The line's own count of samples, so that a late tick does not shift the script.
            let now = (self.frames + 1) * self.audio.frame_samples() as u64;
            let behaviour = self.line.call.report.read(|report| {
                let playout = &report
                    .streams
                    .last()
                    .expect("the stream that runs is in the report")
                    .playout;
                self.runner.poll(now, playout)
            });
            match behaviour {
                Behaviour::Sound(samples) => {
                    self.say(dialect, &samples);
                    return false;
                }
                Behaviour::Press(digit) => match dialect.dtmf(digit) {
                    Some(message) => {
                        self.send(message);
                        self.line.event(CallEvent::DigitSent(digit));
                        self.update(|stream| stream.digits_sent.push(digit));
                    }
                    None => self
                        .line
                        .note(format!("the key {digit} does not travel on this socket")),
                },
                Behaviour::GaveUp(reason) => self.line.note(format!("the person gave up: {reason}")),
                Behaviour::HangUp => return true,
            }
        }
    }

    fn say(&mut self, dialect: &mut dyn MediaDialect, samples: &[i16]) {
        self.frames += 1;
        let faults = &self.line.misbehaviour;
        let (malformed, bad_payload) = (faults.malformed_after, faults.bad_payload_after);
        let at_frame = |after: Option<u32>| after.is_some_and(|after| self.frames == u64::from(after));
        let lost = is_nth(self.frames, faults.lose_every);
        let twice = is_nth(self.frames, faults.duplicate_every);
        let hold = is_nth(self.frames, faults.reorder_every);
        let (malformed, bad_payload) = (at_frame(malformed), at_frame(bad_payload));
        if malformed {
            let message = dialect.malformed();
            self.send(message);
        }
        if bad_payload {
            let message = dialect.unreadable_audio();
            self.send(message);
        }
        let message = raw(dialect.audio(&self.audio.encode(samples)));
        let at = clock::now();
        if !lost {
            if hold && self.held.is_none() {
                self.held = Some(message);
            } else {
                if twice {
                    self.send_raw(message.clone());
                }
                self.send_raw(message);
                if let Some(held) = self.held.take() {
                    self.send_raw(held);
                }
            }
        }
        self.update(|stream| {
            let first_sample = stream.sent_samples.len() as u64;
            stream.sent_samples.extend_from_slice(samples);
            stream.sent.push(SentAudio {
                at,
                first_sample,
                samples: samples.len() as u32,
                sent: !lost,
            });
        });
    }

    fn update(&self, change: impl FnOnce(&mut StreamReport)) {
        self.line.call.report.update(|report| {
            if let Some(stream) = report.streams.last_mut() {
                change(stream);
            }
        });
    }
}

fn raw(message: WireMessage) -> Message {
    match message {
        WireMessage::Text(text) => Message::text(text),
        WireMessage::Binary(bytes) => Message::binary(bytes),
    }
}

/// How the conversation on the socket came to its end.
enum Ended {
    /// The carrier ends the stream: the person hung up, or a command wants something else done.
    ByCarrier(Flow),
    /// The same, without a word to the gateway.
    Silently(Flow),
    ByGateway(StreamEnd, Option<u16>),
}

async fn converse(
    line: &mut Line,
    dialect: &mut dyn MediaDialect,
    socket: MediaSocket,
    instruction: &StreamInstruction,
    headers: &[(String, String)],
    opened_at: Duration,
) -> Flow {
    let (mut sink, mut source) = socket.split();
    let (outbox, mut unsent) = mpsc::channel::<Message>(UNSENT_MAX);
    let writer = tokio::spawn(async move {
        while let Some(message) = unsent.recv().await {
            if sink.send(message).await.is_err() {
                break;
            }
        }
        sink
    });
    // The receiver of commands is taken out of the line, so that the rest of it can be shared below.
    let (_, nobody) = mpsc::unbounded_channel();
    let mut control = std::mem::replace(&mut line.control, nobody);
    let audio = line.exchange.carrier.audio();
    let mut mouth = Mouth {
        line: &*line,
        audio,
        runner: Runner::new(&line.script, audio.rate_hz(), audio.frame_samples()),
        outbox,
        frames: 0,
        held: None,
        overflowed: false,
    };
    let too_early: Vec<WireMessage> = (0..mouth.line.misbehaviour.media_before_start)
        .map(|_| dialect.audio(&audio.encode(&vec![0; audio.frame_samples()])))
        .collect();
    for message in too_early.into_iter().chain(dialect.opening()) {
        mouth.send(message);
    }
    let start = clock::instant(opened_at);
    let mut ticks = interval_at(start + FRAME, FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);

    let ended = loop {
        if mouth
            .line
            .misbehaviour
            .half_open_after
            .is_some_and(|after| mouth.frames >= u64::from(after))
        {
            mouth.line.note("the carrier falls silent with its socket open");
            let command = control.recv().await;
            break Ended::Silently(command.into());
        }
        let wake = next_mark(&mouth, start);
        tokio::select! {
            biased;
            message = source.next() => match message {
                Some(Ok(Message::Text(text))) => hear(&mut mouth, dialect, &WireMessage::Text(text.to_string())),
                Some(Ok(Message::Binary(bytes))) => hear(&mut mouth, dialect, &WireMessage::Binary(bytes.to_vec())),
                Some(Ok(Message::Close(frame))) => {
                    break Ended::ByGateway(StreamEnd::ClosedByGateway, frame.map(|frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break Ended::ByGateway(StreamEnd::LostByGateway, None),
            },
            () = sleep_until(wake) => echo_marks(&mut mouth, dialect),
            _ = ticks.tick() => {
                if mouth.tick(dialect) {
                    break Ended::ByCarrier(Flow::Ended(HangUp::Person));
                }
                if mouth.frames == SECOND_SOCKET_AFTER_FRAMES && mouth.line.misbehaviour.second_socket {
                    try_second_socket(mouth.line, instruction, headers);
                }
            }
            command = control.recv() => break Ended::ByCarrier(command.into()),
        }
    };

    let (flow, end, code) = match ended {
        Ended::ByCarrier(flow) if !mouth.line.misbehaviour.no_stop => {
            for message in dialect.closing() {
                mouth.send(message);
            }
            mouth.send_raw(Message::Close(Some(CloseFrame {
                code: CloseCode::Normal,
                reason: "".into(),
            })));
            drop(mouth);
            let closing = async { while source.next().await.is_some_and(|message| message.is_ok()) {} };
            let _ = timeout(CLOSE_TIMEOUT, closing).await;
            (flow, StreamEnd::ClosedByCarrier, None)
        }
        Ended::ByCarrier(flow) | Ended::Silently(flow) => (flow, StreamEnd::DroppedByCarrier, None),
        Ended::ByGateway(end, code) => {
            drop(mouth);
            // Reading on lets the reply to the close out of the door.
            let closing = async { while source.next().await.is_some_and(|message| message.is_ok()) {} };
            let _ = timeout(CLOSE_TIMEOUT, closing).await;
            (Flow::Next, end, code)
        }
    };
    writer.abort();
    line.control = control;
    line.call.report.update(|report| {
        if let Some(stream) = report.streams.last_mut() {
            stream.end = Some(end);
            stream.close_code = code;
        }
    });
    flow
}

fn next_mark(mouth: &Mouth<'_>, start: Instant) -> Instant {
    mouth.line.call.report.read(|report| {
        let stream = report.streams.last().expect("the stream that runs is in the report");
        match stream.playout.next_wake() {
            // One sample late rather than early: the clock counts whole microseconds.
            Some(due) => clock::instant(stream.time_of(due + 1)),
            None => start + Duration::from_secs(86_400),
        }
    })
}

/// Takes in one message of the gateway.
fn hear(mouth: &mut Mouth<'_>, dialect: &mut dyn MediaDialect, message: &WireMessage) {
    let at = clock::now();
    match dialect.read(message) {
        Ok(FromGateway::Audio(payload)) => {
            let samples = mouth.audio.decode(&payload);
            mouth.update(|stream| {
                let arrival = stream.playout.handle_audio(stream.sample_at(at), &samples);
                stream.received.push(ReceivedAudio {
                    at,
                    samples: samples.len() as u32,
                    arrival,
                });
            });
        }
        Ok(FromGateway::Mark(name)) => {
            mouth.update(|stream| {
                stream.playout.handle_mark(stream.sample_at(at), &name);
                stream.marks.push(MarkReport {
                    name: name.clone(),
                    received_at: at,
                    echoed_at: None,
                    cleared: false,
                });
            });
            mouth.line.event(CallEvent::MarkReceived(name));
            echo_marks(mouth, dialect);
        }
        Ok(FromGateway::Clear) => {
            let mut owed = Vec::new();
            mouth.update(|stream| {
                let cleared = stream.playout.handle_clear(stream.sample_at(at));
                let dropped_ms = cleared.dropped_samples as f64 * 1000.0 / f64::from(stream.rate_hz);
                owed.clone_from(&cleared.marks);
                stream.clears.push(ClearReport {
                    at,
                    dropped_ms,
                    marks: cleared.marks,
                });
            });
            mouth.line.event(CallEvent::ClearReceived);
            if let Some(message) = dialect.cleared() {
                mouth.send(message);
            }
            for name in owed {
                echo_mark(mouth, dialect, &name, true);
            }
        }
        Ok(FromGateway::Other) => {}
        Err(reason) => mouth.update(|stream| stream.unreadable.push(reason)),
    }
}

fn echo_marks(mouth: &mut Mouth<'_>, dialect: &mut dyn MediaDialect) {
    loop {
        let mut due = None;
        let at = clock::now();
        mouth.update(|stream| due = stream.playout.poll_mark(stream.sample_at(at)));
        let Some(name) = due else { return };
        echo_mark(mouth, dialect, &name, false);
    }
}

fn echo_mark(mouth: &mut Mouth<'_>, dialect: &mut dyn MediaDialect, name: &str, cleared: bool) {
    if let Some(message) = dialect.mark_played(name) {
        mouth.send(message);
    }
    let at = clock::now();
    mouth.update(|stream| {
        if let Some(mark) = stream
            .marks
            .iter_mut()
            .find(|mark| mark.name == name && mark.echoed_at.is_none())
        {
            mark.echoed_at = Some(at);
            mark.cleared = cleared;
        }
    });
    mouth.line.event(CallEvent::MarkSent(name.to_owned()));
}

/// Opens the same address once more and notes what the gateway makes of it.
fn try_second_socket(line: &Line, instruction: &StreamInstruction, headers: &[(String, String)]) {
    let (call, gateway, url, headers) = (
        std::sync::Arc::clone(&line.call),
        line.courier.gateway.clone(),
        instruction.url.clone(),
        headers.to_vec(),
    );
    let opening = line.exchange.carrier.open_stream(&line.record(), instruction).opening();
    let task = tokio::spawn(async move {
        let (accepted, detail) = match dial_media(&gateway, &url, &headers).await {
            Err(reason) => (false, reason),
            Ok(mut socket) => {
                for message in opening {
                    // A gateway that closes at once makes this fail; reading on tells how.
                    let _ = socket.send(raw(message)).await;
                }
                let closed = async {
                    loop {
                        match socket.next().await {
                            Some(Ok(Message::Close(frame))) => {
                                break format!("closed with {}", frame.map_or(1005, |frame| frame.code.into()));
                            }
                            Some(Ok(_)) => {}
                            Some(Err(_)) | None => break "dropped".to_owned(),
                        }
                    }
                };
                match timeout(CLOSE_TIMEOUT, closed).await {
                    Ok(how) => (false, how),
                    Err(_) => (true, "stayed open".to_owned()),
                }
            }
        };
        call.report.update(|report| {
            let event = CallEvent::SecondSocket { accepted, detail };
            report.events.push(crate::report::TimedEvent {
                at: clock::now(),
                event,
            });
        });
    });
    line.exchange.track(task.abort_handle());
}
