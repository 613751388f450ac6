//! A person's stay in a room: the script goes on as long as somebody else is there.

use std::sync::Arc;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{
    line::{Flow, Line, maybe_until},
    rooms::{News, Seat},
};
use crate::{
    carrier::{ConferenceChange, ConferenceInstruction, FRAME, WebhookKind},
    clock,
    report::{CallEvent, HangUp, RoomReport},
    script::{self, Behaviour},
};

/// Stays until the conference ends ([`Flow::Next`]), the person leaves, or the gateway wants something else.
pub(super) async fn run(line: &mut Line, instruction: &ConferenceInstruction) -> Flow {
    let rate_hz = line.exchange.carrier.audio().rate_hz();
    let joined_at = clock::now();
    let room = RoomReport::new(&instruction.name, rate_hz, joined_at);
    line.call.report.update(|report| report.rooms.push(room));
    line.event(CallEvent::ConferenceJoined(instruction.name.clone()));
    let mut seat = line
        .exchange
        .rooms
        .enter(&instruction.name, &line.call, instruction.ends_on_exit);
    tell(line, instruction, ConferenceChange::Joined);
    let flow = stay(line, &mut seat, joined_at).await;
    drop(seat);
    update(line, |room| room.left_at = Some(clock::now()));
    line.event(CallEvent::ConferenceLeft(instruction.name.clone()));
    tell(line, instruction, ConferenceChange::Left);
    flow
}

fn tell(line: &Line, instruction: &ConferenceInstruction, change: ConferenceChange) {
    let given = instruction
        .status
        .as_ref()
        .filter(|_| instruction.events.contains(&change));
    let name = instruction.name.clone();
    line.tell(&WebhookKind::Conference { name, change }, given);
}

fn update(line: &Line, change: impl FnOnce(&mut RoomReport)) {
    line.call.report.update(|report| {
        change(
            report
                .rooms
                .last_mut()
                .expect("the room that the call is in is in the report"),
        );
    });
}

async fn stay(line: &mut Line, seat: &mut Seat, joined_at: std::time::Duration) -> Flow {
    let frame_samples = line.exchange.carrier.audio().frame_samples();
    line.runner.move_on();
    let start = clock::instant(joined_at);
    let mut ticks = interval_at(start + FRAME, FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut frames = 0_u64;
    let patience = line.script.patience_or_default();
    let mut bored_at = Some(Instant::now() + patience);
    loop {
        let leaves_at = line.leaves_at;
        tokio::select! {
            biased;
            flow = line.order() => return flow,
            () = maybe_until(leaves_at) => return Flow::Ended(HangUp::Person),
            () = maybe_until(bored_at) => return Flow::Ended(HangUp::Person),
            news = seat.news() => match news {
                News::Met(call) => {
                    bored_at = None;
                    line.event(CallEvent::Met(call.id.clone()));
                    if !call.is_media {
                        update(line, |room| room.met.push(call.id.clone()));
                    }
                }
                News::Parted(call) => {
                    line.event(CallEvent::Parted(call.id.clone()));
                    if seat.is_alone() {
                        bored_at = Some(Instant::now() + patience);
                    }
                }
                News::Digit(digit) => line.hear_digit(digit),
                News::Sound => while let Some(mixed) = seat.mix() {
                    // Silence is what is heard when nothing is, so that a script can wait for somebody to speak or to stop.
                    if mixed.iter().any(|&sample| sample != 0) {
                        let at = clock::now();
                        update(line, |room| {
                            let now = room.sample_at(at);
                            room.playout.handle_audio(now, &mixed);
                        });
                    }
                },
                News::Over => return Flow::Next,
            },
            _ = ticks.tick() => {
                frames += 1;
                if let Some(flow) = speak(line, seat, frames * frame_samples as u64, frame_samples) {
                    return flow;
                }
            }
        }
    }
}

/// What the person does in the frame that ends at `now`.
fn speak(line: &mut Line, seat: &Seat, now: u64, frame_samples: usize) -> Option<Flow> {
    if seat.is_alone() {
        line.runner.rest(frame_samples as u64);
        update(line, |room| room.said.resize(room.said.len() + frame_samples, 0));
        return None;
    }
    loop {
        let company = seat.has_company();
        let call = Arc::clone(&line.call);
        let behaviour = call.report.read(|report| {
            let room = report
                .rooms
                .last()
                .expect("the room that the call is in is in the report");
            let playout = &room.playout;
            line.runner.poll(now, script::Line { playout, company })
        });
        match behaviour {
            Behaviour::Sound(samples) => {
                seat.say(&samples);
                update(line, |room| room.said.extend_from_slice(&samples));
                return None;
            }
            Behaviour::Press(digit) => {
                seat.press(digit);
                line.event(CallEvent::DigitSent(digit));
                line.tell(&WebhookKind::Digit(digit), None);
            }
            Behaviour::GaveUp(reason) => line.note(format!("the person gave up: {reason}")),
            Behaviour::HangUp => return Some(Flow::Ended(HangUp::Person)),
        }
    }
}
