//! One media socket of a call: the person's voice in frames on a steady clock, the gateway's audio through the playback buffer.

use std::{sync::Arc, time::Duration};

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

use super::{
    Call, Control,
    line::{Flow, Line, maybe_until},
    rooms::{News, Seat},
};
use crate::{
    carrier::{
        FRAME, FromGateway, MediaDialect, QueueStatus, StreamInstruction, WebhookKind, WireAudio, WireMessage, convert,
    },
    clock,
    gateway::Gateway,
    misbehaviour::{Misbehaviour, is_nth},
    report::{
        CallEvent, ClearReport, HangUp, MarkReport, ReceivedAudio, SentAudio, StreamEnd, StreamReport, TimedEvent,
    },
    script::{self, Behaviour, Runner},
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

/// A media socket that is open, and on which nothing has been said but perhaps a first word.
#[derive(Debug)]
pub(super) struct Open {
    instruction: StreamInstruction,
    dialect: Box<dyn MediaDialect>,
    headers: Vec<(String, String)>,
    socket: MediaSocket,
}

/// Opens the socket of a stream; `None` when the carrier or the gateway would not.
pub(super) async fn open(line: &Line, instruction: &StreamInstruction) -> Option<Open> {
    line.event(CallEvent::Instruction(format!("stream {}", instruction.url)));
    let carrier = line.exchange.carrier;
    let mut dialect = carrier.open_stream(&line.record(), instruction);
    let headers = carrier.upgrade_headers(&instruction.url, &line.exchange.tamper(&line.call.misbehaviour));
    let opened = match carrier.refuses_media_url(&instruction.url) {
        Some(reason) => Err(reason),
        None => dial_media(&line.courier.gateway, &instruction.url, &headers).await,
    };
    let mut socket = match opened {
        Ok(socket) => socket,
        Err(reason) => {
            tell(line, dialect.stream_id(), instruction, "stream-error", &reason);
            line.event(CallEvent::StreamRefused(reason));
            return None;
        }
    };
    for message in dialect.connected() {
        // A gateway that has closed already shows when the conversation begins.
        let _ = socket.send(raw(message)).await;
    }
    let rate_hz = carrier.audio().rate_hz();
    let report = StreamReport::new(
        dialect.stream_id(),
        &instruction.url,
        &instruction.parameters,
        rate_hz,
        clock::now(),
    );
    line.call.report.update(|call| call.streams.push(report));
    line.event(CallEvent::StreamOpened);
    Some(Open {
        instruction: instruction.clone(),
        dialect,
        headers,
        socket,
    })
}

impl Open {
    /// The call was never answered: the socket is closed without a word about it.
    pub(super) async fn abandon(self, line: &Line) {
        let Self { mut socket, .. } = self;
        let close = async move {
            // Whether the gateway still listens makes no difference.
            let _ = socket.close(None).await;
            while socket.next().await.is_some_and(|message| message.is_ok()) {}
        };
        let _ = timeout(CLOSE_TIMEOUT, close).await;
        line.call.report.update(|report| {
            if let Some(stream) = report.streams.last_mut() {
                stream.end = Some(StreamEnd::ClosedByCarrier);
                stream.ended_at = Some(clock::now());
            }
        });
        line.event(CallEvent::StreamClosed);
    }
}

fn tell(line: &Line, stream_id: &str, instruction: &StreamInstruction, event: &'static str, error: &str) {
    let kind = WebhookKind::Stream {
        stream_id: stream_id.to_owned(),
        name: instruction.name.clone(),
        event,
        error: error.to_owned(),
    };
    line.tell(&kind, instruction.status.as_ref());
}

/// Runs a stream until one side ends it.
pub(super) async fn run(line: &mut Line, mut open: Open) -> Flow {
    // For a socket that was opened early, time begins with the answer.
    let opened_at = clock::now();
    line.call.report.update(|call| {
        if let Some(stream) = call.streams.last_mut() {
            stream.opened_at = opened_at;
        }
    });
    let stream_id = open.dialect.stream_id().to_owned();
    tell(line, &stream_id, &open.instruction, "stream-started", "");
    let instruction = open.instruction.clone();
    let (flow, home) = converse(
        line,
        &mut *open.dialect,
        open.socket,
        &instruction,
        &open.headers,
        opened_at,
    )
    .await;
    home.report.update(|call| {
        if let Some(stream) = call.streams.last_mut() {
            stream.ended_at = Some(clock::now());
        }
    });
    event(&home, CallEvent::StreamClosed);
    tell(line, &stream_id, &instruction, "stream-stopped", "");
    flow
}

fn event(call: &Call, event: CallEvent) {
    let at = clock::now();
    call.report
        .update(|report| report.events.push(TimedEvent { at, event }));
}

/// The carrier's end of a stream: script or room, faults and the frames already said.
struct Mouth<'a> {
    line: &'a Line,
    /// The call in whose report the stream is: this one, or that of the person whom a media channel serves.
    home: Arc<Call>,
    faults: Misbehaviour,
    /// `None` on a media channel.
    person: Option<Runner>,
    /// The room that a media channel is in.
    seat: Option<Seat>,
    /// The rate of the person and of the room.
    rate_hz: u32,
    sends: WireAudio,
    reads: WireAudio,
    outbox: mpsc::Sender<Message>,
    /// Frames said so far, lost ones included.
    frames: u64,
    /// Frames' times passed so far.
    ticks: u64,
    /// A frame that waits to be sent after its successor.
    held: Option<Message>,
    overflowed: bool,
    /// The gateway has been asked to send no more.
    stopped: bool,
}

impl Mouth<'_> {
    fn event(&self, happened: CallEvent) {
        event(&self.home, happened);
    }

    fn note(&self, note: impl Into<String>) {
        self.event(CallEvent::Note(note.into()));
    }

    fn send(&mut self, message: WireMessage) {
        self.send_raw(raw(message));
    }

    fn send_raw(&mut self, message: Message) {
        if self.outbox.try_send(message).is_err() && !self.overflowed {
            self.overflowed = true;
            self.note("the gateway does not read its media socket");
        }
    }

    fn frame_samples(&self) -> u64 {
        u64::from(self.rate_hz / 50)
    }

    /// One frame's time has passed. True when the person hangs up.
    fn tick(&mut self, dialect: &mut dyn MediaDialect) -> bool {
        self.ticks += 1;
        self.watch_queue(dialect);
        if let Some(mut person) = self.person.take() {
            let leaves = self.listen_to(&mut person, dialect);
            self.person = Some(person);
            return leaves;
        }
        if let Some(seat) = &self.seat {
            // What was played in the frame's time that has just passed.
            let end = self.ticks * self.frame_samples();
            let heard = self.look(|stream| stream.playout.window(end - self.frame_samples(), end));
            seat.say(&heard);
        }
        false
    }

    /// What the person does in this frame. True when the person hangs up.
    fn listen_to(&mut self, person: &mut Runner, dialect: &mut dyn MediaDialect) -> bool {
        loop {
            // The line's own count of samples, so that a late tick does not shift the script.
            let now = (self.frames + 1) * self.frame_samples();
            let behaviour = self.look(|stream| {
                let playout = &stream.playout;
                person.poll(
                    now,
                    script::Line {
                        playout,
                        company: false,
                    },
                )
            });
            match behaviour {
                Behaviour::Sound(samples) => {
                    self.say(dialect, &samples);
                    return false;
                }
                Behaviour::Press(digit) => self.press(dialect, digit),
                Behaviour::GaveUp(reason) => self.note(format!("the person gave up: {reason}")),
                Behaviour::HangUp => return true,
            }
        }
    }

    fn press(&mut self, dialect: &mut dyn MediaDialect, digit: char) {
        match dialect.dtmf(digit) {
            Some(message) => {
                self.send(message);
                if self.person.is_some() || self.seat.is_none() {
                    self.event(CallEvent::DigitSent(digit));
                }
                self.update(|stream| stream.digits_sent.push(digit));
            }
            None => self.note(format!("the key {digit} does not travel on this socket")),
        }
    }

    fn say(&mut self, dialect: &mut dyn MediaDialect, samples: &[i16]) {
        self.frames += 1;
        let at_frame = |after: Option<u32>| after.is_some_and(|after| self.frames == u64::from(after));
        let lost = is_nth(self.frames, self.faults.lose_every);
        let twice = is_nth(self.frames, self.faults.duplicate_every);
        let hold = is_nth(self.frames, self.faults.reorder_every);
        let malformed = at_frame(self.faults.malformed_after);
        let bad_payload = at_frame(self.faults.bad_payload_after);
        if malformed {
            let message = dialect.malformed();
            self.send(message);
        }
        if bad_payload {
            let message = dialect.unreadable_audio();
            self.send(message);
        }
        let wire = convert(samples.to_vec(), self.rate_hz, self.sends.rate_hz());
        let message = raw(dialect.audio(&self.sends.encode(&wire)));
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

    /// Moves a media channel to another room, or to none.
    fn sit(&mut self, room: Option<&str>) {
        self.seat = room.map(|room| self.line.exchange.rooms.enter(room, &self.line.call, false));
    }

    /// Something happens in the room of a media channel.
    fn take_in(&mut self, dialect: &mut dyn MediaDialect, news: News) {
        match news {
            News::Met(call) if Arc::ptr_eq(&self.home, &self.line.call) && !call.is_media => self.serve(call),
            News::Met(_) | News::Parted(_) => {}
            News::Digit(digit) => self.press(dialect, digit),
            News::Sound => {
                while let Some(frame) = self.seat.as_mut().and_then(Seat::mix) {
                    self.say(dialect, &frame);
                }
            }
            News::Over => self.seat = None,
        }
    }

    /// From now on the stream is in the report of the person whom it serves, and has the faults of that call.
    fn serve(&mut self, person: Arc<Call>) {
        let stream = self.home.report.update(|report| report.streams.pop());
        person.report.update(|report| report.streams.extend(stream));
        self.faults = person.misbehaviour.clone();
        self.home = person;
        self.event(CallEvent::StreamOpened);
    }

    fn queued_frames(&self) -> u32 {
        let at = clock::now();
        let queued = self.look(|stream| stream.playout.queued_samples(stream.sample_at(at)));
        u32::try_from(queued.div_ceil(self.frame_samples())).unwrap_or(u32::MAX)
    }

    /// Asks the gateway to stop, or to go on, when that is due.
    fn watch_queue(&mut self, dialect: &mut dyn MediaDialect) {
        let Some(limits) = dialect.limits() else { return };
        let queued = self.queued_frames();
        let stop = if self.stopped {
            queued >= limits.resume_below
        } else {
            queued >= limits.stop_at
        };
        if stop != self.stopped {
            self.stopped = stop;
            if let Some(message) = dialect.flow(stop) {
                self.send(message);
            }
            self.event(if stop {
                CallEvent::FlowStopped
            } else {
                CallEvent::FlowResumed
            });
        }
    }

    fn look<R>(&self, look: impl FnOnce(&StreamReport) -> R) -> R {
        self.home
            .report
            .read(|report| look(report.streams.last().expect("the stream that runs is in the report")))
    }

    fn update(&self, change: impl FnOnce(&mut StreamReport)) {
        self.home.report.update(|report| {
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
) -> (Flow, Arc<Call>) {
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
    // The receiver of commands and the person are taken out of the line, so that the rest of it can be shared below.
    let (_, nobody) = mpsc::unbounded_channel();
    let mut control = std::mem::replace(&mut line.control, nobody);
    let audio = line.exchange.carrier.audio();
    line.runner.move_on();
    let nobody = Runner::new(&crate::CallerScript::new(), audio.rate_hz(), audio.frame_samples());
    let runner = std::mem::replace(&mut line.runner, nobody);
    let seat_wanted = line.seat_wanted.take();
    let mut mouth = Mouth {
        line: &*line,
        home: Arc::clone(&line.call),
        faults: line.call.misbehaviour.clone(),
        person: (!line.call.is_media).then_some(runner),
        seat: None,
        rate_hz: audio.rate_hz(),
        sends: dialect.sends(),
        reads: dialect.reads(),
        outbox,
        frames: 0,
        ticks: 0,
        held: None,
        overflowed: false,
        stopped: false,
    };
    if seat_wanted.is_some() {
        mouth.sit(seat_wanted.as_deref());
    }
    let sends = mouth.sends;
    let too_early: Vec<WireMessage> = (0..mouth.faults.media_before_start)
        .map(|_| dialect.audio(&sends.encode(&vec![0; sends.frame_samples()])))
        .collect();
    for message in too_early.into_iter().chain(dialect.opening()) {
        mouth.send(message);
    }
    let start = clock::instant(opened_at);
    let mut ticks = interval_at(start + FRAME, FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let leaves_at = mouth.line.leaves_at;
    let mut second_socket = false;

    let ended = loop {
        if mouth
            .faults
            .half_open_after
            .is_some_and(|after| mouth.frames >= u64::from(after))
        {
            mouth.note("the carrier falls silent with its socket open");
            break Ended::Silently(loop {
                if let Some(flow) = obey(&mut mouth, control.recv().await) {
                    break flow;
                }
            });
        }
        if mouth.frames >= SECOND_SOCKET_AFTER_FRAMES && mouth.faults.second_socket && !second_socket {
            second_socket = true;
            try_second_socket(mouth.line, &mouth.home, instruction, headers);
        }
        let wake = next_mark(&mouth, start);
        tokio::select! {
            biased;
            message = source.next() => {
                let message = match message {
                    Some(Ok(Message::Text(text))) => WireMessage::Text(text.to_string()),
                    Some(Ok(Message::Binary(bytes))) => WireMessage::Binary(bytes.to_vec()),
                    Some(Ok(Message::Close(frame))) => {
                        break Ended::ByGateway(StreamEnd::ClosedByGateway, frame.map(|frame| frame.code.into()));
                    }
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => break Ended::ByGateway(StreamEnd::LostByGateway, None),
                };
                let heard = match dialect.read(&message) {
                    Ok(heard) => hear(&mut mouth, dialect, heard),
                    Err(reason) => {
                        mouth.update(|stream| stream.unreadable.push(reason));
                        None
                    }
                };
                if let Some(flow) = heard {
                    break Ended::ByCarrier(flow);
                }
            }
            () = sleep_until(wake) => echo_marks(&mut mouth, dialect),
            () = maybe_until(leaves_at) => break Ended::ByCarrier(Flow::Ended(HangUp::Person)),
            news = room_news(&mut mouth.seat) => mouth.take_in(dialect, news),
            _ = ticks.tick() => {
                if mouth.tick(dialect) {
                    break Ended::ByCarrier(Flow::Ended(HangUp::Person));
                }
            }
            command = control.recv() => if let Some(flow) = obey(&mut mouth, command) {
                break Ended::ByCarrier(flow);
            },
        }
    };

    let home = Arc::clone(&mouth.home);
    let person = mouth.person.take();
    let no_stop = mouth.faults.no_stop;
    let (flow, end, code) = match ended {
        Ended::ByCarrier(flow) if !no_stop => {
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
    if let Some(person) = person {
        line.runner = person;
    }
    home.report.update(|report| {
        if let Some(stream) = report.streams.last_mut() {
            stream.end = Some(end);
            stream.close_code = code;
        }
    });
    (flow, home)
}

async fn room_news(seat: &mut Option<Seat>) -> News {
    match seat {
        Some(seat) => seat.news().await,
        None => std::future::pending().await,
    }
}

/// What a command makes of the stream; `None` when it goes on.
fn obey(mouth: &mut Mouth<'_>, command: Option<Control>) -> Option<Flow> {
    match command {
        Some(Control::RestHangsUp) => Some(Flow::Ended(HangUp::Rest)),
        Some(Control::PersonHangsUp) | None => Some(Flow::Ended(HangUp::Person)),
        Some(Control::Instruct(instructions)) => Some(Flow::Replace(instructions)),
        Some(Control::Redirect(target)) => Some(Flow::Redirect(target)),
        Some(Control::Seat(room)) => {
            if mouth.seat.as_ref().map(Seat::name) != room.as_deref() {
                mouth.sit(room.as_deref());
            }
            None
        }
        Some(Control::Digits(digits)) => {
            digits.chars().for_each(|digit| mouth.line.hear_digit(digit));
            None
        }
    }
}

fn next_mark(mouth: &Mouth<'_>, start: Instant) -> Instant {
    mouth.look(|stream| match stream.playout.next_wake() {
        // One sample late rather than early: the clock counts whole microseconds.
        Some(due) => clock::instant(stream.time_of(due + 1)),
        None => start + Duration::from_secs(86_400),
    })
}

/// Takes in what the gateway says; what becomes of the call if that is not to go on.
fn hear(mouth: &mut Mouth<'_>, dialect: &mut dyn MediaDialect, heard: FromGateway) -> Option<Flow> {
    let at = clock::now();
    match heard {
        FromGateway::Audio(payload) => play(mouth, dialect, &payload, at),
        FromGateway::Mark(name) => {
            mouth.update(|stream| {
                stream.playout.handle_mark(stream.sample_at(at), &name);
                stream.marks.push(MarkReport {
                    name: name.clone(),
                    received_at: at,
                    echoed_at: None,
                    cleared: false,
                });
            });
            mouth.event(CallEvent::MarkReceived(name));
            echo_marks(mouth, dialect);
        }
        FromGateway::Clear => clear(mouth, dialect, at),
        FromGateway::Digits(digits) => {
            for digit in digits.chars() {
                match &mouth.seat {
                    Some(seat) => seat.press(digit),
                    None => mouth.line.hear_digit(digit),
                }
            }
        }
        FromGateway::AskStatus => {
            let status = QueueStatus {
                frames: mouth.queued_frames(),
                stopped: mouth.stopped,
            };
            if let Some(message) = dialect.status(status) {
                mouth.send(message);
            }
        }
        FromGateway::Reply(message) => mouth.send(message),
        FromGateway::Dropped(reason) => mouth.update(|stream| stream.unreadable.push(reason)),
        FromGateway::Several(all) => {
            return all.into_iter().find_map(|one| hear(mouth, dialect, one));
        }
        FromGateway::Stop => return Some(Flow::Next),
        FromGateway::HangUp => return Some(Flow::Ended(HangUp::Media)),
        FromGateway::Other => {}
    }
    None
}

fn play(mouth: &mut Mouth<'_>, dialect: &mut dyn MediaDialect, payload: &[u8], at: Duration) {
    let samples = convert(mouth.reads.decode(payload), mouth.reads.rate_hz(), mouth.rate_hz);
    if samples.is_empty() {
        return;
    }
    let full = dialect
        .limits()
        .is_some_and(|limits| mouth.queued_frames() >= limits.frames_max);
    mouth.update(|stream| {
        if full {
            stream.discarded_samples += samples.len() as u64;
            return;
        }
        let arrival = stream.playout.handle_audio(stream.sample_at(at), &samples);
        stream.received.push(ReceivedAudio {
            at,
            samples: samples.len() as u32,
            arrival,
        });
    });
    mouth.watch_queue(dialect);
}

fn clear(mouth: &mut Mouth<'_>, dialect: &mut dyn MediaDialect, at: Duration) {
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
    mouth.event(CallEvent::ClearReceived);
    if let Some(message) = dialect.cleared() {
        mouth.send(message);
    }
    for name in owed {
        echo_mark(mouth, dialect, &name, true);
    }
    mouth.watch_queue(dialect);
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
    mouth.event(CallEvent::MarkSent(name.to_owned()));
}

/// Opens the same address once more and notes what the gateway makes of it.
fn try_second_socket(line: &Line, home: &Arc<Call>, instruction: &StreamInstruction, headers: &[(String, String)]) {
    let (call, gateway, url, headers) = (
        Arc::clone(home),
        line.courier.gateway.clone(),
        instruction.url.clone(),
        headers.to_vec(),
    );
    let mut dialect = line.exchange.carrier.open_stream(&line.record(), instruction);
    let opening: Vec<WireMessage> = dialect.connected().into_iter().chain(dialect.opening()).collect();
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
        event(&call, CallEvent::SecondSocket { accepted, detail });
    });
    line.exchange.track(task.abort_handle());
}
