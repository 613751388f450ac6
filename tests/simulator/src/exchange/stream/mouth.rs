//! The carrier's end of a media socket: what it says, and what it makes of what it hears.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use tokio_tungstenite::tungstenite::Message;

use super::{
    super::{
        Call, Control,
        line::{Flow, Line},
        rooms::{News, Seat},
    },
    event, raw,
};
use crate::{
    carrier::{FromGateway, MediaDialect, QueueStatus, WireAudio, WireMessage, convert},
    clock,
    misbehaviour::{Misbehaviour, is_nth},
    report::{CallEvent, ClearReport, HangUp, MarkReport, ReceivedAudio, SentAudio, StreamReport},
    script::{self, Behaviour, Runner},
};

/// The carrier's end of a stream: script or room, faults and the frames already said.
pub(super) struct Mouth<'a> {
    pub(super) line: &'a Line,
    /// The call in whose report the stream is: this one, or that of the person whom a media channel serves.
    pub(super) home: Arc<Call>,
    pub(super) faults: Misbehaviour,
    /// `None` on a media channel.
    pub(super) person: Option<Runner>,
    /// The room that a media channel is in.
    pub(super) seat: Option<Seat>,
    /// The rate of the person and of the room.
    pub(super) rate_hz: u32,
    pub(super) sends: WireAudio,
    pub(super) reads: WireAudio,
    pub(super) outbox: mpsc::Sender<Message>,
    /// Frames said so far, lost ones included.
    pub(super) frames: u64,
    /// Frames' times passed so far.
    pub(super) ticks: u64,
    /// A frame that waits to be sent after its successor.
    pub(super) held: Option<Message>,
    pub(super) overflowed: bool,
    /// The gateway has been asked to send no more.
    pub(super) stopped: bool,
}

impl Mouth<'_> {
    fn event(&self, happened: CallEvent) {
        event(&self.home, happened);
    }

    pub(super) fn note(&self, note: impl Into<String>) {
        self.event(CallEvent::Note(note.into()));
    }

    pub(super) fn send(&mut self, message: WireMessage) {
        self.send_raw(raw(message));
    }

    pub(super) fn send_raw(&mut self, message: Message) {
        if self.outbox.try_send(message).is_err() && !self.overflowed {
            self.overflowed = true;
            self.note("the gateway does not read its media socket");
        }
    }

    fn frame_samples(&self) -> u64 {
        u64::from(self.rate_hz / 50)
    }

    /// One frame's time has passed. True when the person hangs up.
    pub(super) fn tick(&mut self, dialect: &mut dyn MediaDialect) -> bool {
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
    pub(super) fn sit(&mut self, room: Option<&str>) {
        self.seat = room.map(|room| self.line.exchange.rooms.enter(room, &self.line.call, false));
    }

    /// Something happens in the room of a media channel.
    pub(super) fn take_in(&mut self, dialect: &mut dyn MediaDialect, news: News) {
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

    pub(super) fn update(&self, change: impl FnOnce(&mut StreamReport)) {
        self.home.report.update(|report| {
            if let Some(stream) = report.streams.last_mut() {
                change(stream);
            }
        });
    }
}

pub(super) async fn room_news(seat: &mut Option<Seat>) -> News {
    match seat {
        Some(seat) => seat.news().await,
        None => std::future::pending().await,
    }
}

/// What a command makes of the stream; `None` when it goes on.
pub(super) fn obey(mouth: &mut Mouth<'_>, command: Option<Control>) -> Option<Flow> {
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

pub(super) fn next_mark(mouth: &Mouth<'_>, start: Instant) -> Instant {
    mouth.look(|stream| match stream.playout.next_wake() {
        // One sample late rather than early: the clock counts whole microseconds.
        Some(due) => clock::instant(stream.time_of(due + 1)),
        None => start + Duration::from_secs(86_400),
    })
}

/// Takes in what the gateway says; what becomes of the call if that is not to go on.
pub(super) fn hear(mouth: &mut Mouth<'_>, dialect: &mut dyn MediaDialect, heard: FromGateway) -> Option<Flow> {
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

pub(super) fn echo_marks(mouth: &mut Mouth<'_>, dialect: &mut dyn MediaDialect) {
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
