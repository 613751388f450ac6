//! One media socket of a call: the person's voice in frames on a steady clock, the gateway's audio through the playback buffer.

mod dial;
mod mouth;

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{
    Call,
    line::{Flow, Line, maybe_until},
};
use crate::{
    carrier::{FRAME, MediaDialect, StreamInstruction, WebhookKind, WireMessage},
    clock,
    report::{CallEvent, HangUp, StreamEnd, StreamReport, TimedEvent},
    script::Runner,
};
use dial::{MediaSocket, try_second_socket};
pub(crate) use dial::{dial_media, socket_config};
use mouth::{Mouth, echo_marks, hear, next_mark, obey, room_news};

/// How long a closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages that wait for a gateway which does not read: ten seconds of audio.
const UNSENT_MAX: usize = 500;
/// When a second socket with the same address is tried: after a fifth of a second of audio.
const SECOND_SOCKET_AFTER_FRAMES: u64 = 10;

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
