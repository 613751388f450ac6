//! Rooms: conferences and bridges, in which calls hear each other.
//!
//! Whoever is in a room has a seat. A seat hears everybody else's frames; they are mixed when there is one from each, so that
//! with two in a room nothing waits. All calls of a carrier work at one rate.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;

use super::{Call, lock};

/// Frames that wait for those of a member who has none: a fifth of a second. More are mixed without that one.
const WAITING_FRAMES_MAX: usize = 10;

#[derive(Debug, Default)]
pub(super) struct Rooms {
    members: Mutex<BTreeMap<String, Vec<Member>>>,
    seats: AtomicU64,
}

#[derive(Debug)]
struct Member {
    seat: u64,
    call: Arc<Call>,
    tell: mpsc::UnboundedSender<Heard>,
}

/// What comes to a seat.
#[derive(Debug)]
pub(super) enum Heard {
    Frame(u64, Vec<i16>),
    Digit(char),
    Met(u64, Arc<Call>),
    Parted(u64),
    /// The conference has ended.
    Over,
}

impl Rooms {
    /// Takes a seat in the room of this name, which exists as long as somebody is in it.
    pub(super) fn enter(self: &Arc<Self>, name: &str, call: &Arc<Call>, ends_on_exit: bool) -> Seat {
        let id = self.seats.fetch_add(1, Ordering::Relaxed);
        let (tell, heard) = mpsc::unbounded_channel();
        let mut rooms = lock(&self.members);
        let members = rooms.entry(name.to_owned()).or_default();
        for member in members.iter() {
            // Whoever does not listen any more is about to leave.
            let _ = member.tell.send(Heard::Met(id, Arc::clone(call)));
            let _ = tell.send(Heard::Met(member.seat, Arc::clone(&member.call)));
        }
        members.push(Member {
            seat: id,
            call: Arc::clone(call),
            tell,
        });
        Seat {
            rooms: Arc::clone(self),
            name: name.to_owned(),
            id,
            ends_on_exit,
            heard,
            others: BTreeMap::new(),
        }
    }

    pub(super) fn end(&self, name: &str) {
        for member in lock(&self.members).get(name).into_iter().flatten() {
            let _ = member.tell.send(Heard::Over);
        }
    }

    fn tell_others(&self, name: &str, seat: u64, what: impl Fn() -> Heard) {
        let rooms = lock(&self.members);
        let members = rooms.get(name).into_iter().flatten();
        for member in members.filter(|member| member.seat != seat) {
            let _ = member.tell.send(what());
        }
    }
}

#[derive(Debug)]
struct Other {
    call: Arc<Call>,
    frames: VecDeque<Vec<i16>>,
}

/// A place in a room; dropping it leaves.
#[derive(Debug)]
pub(super) struct Seat {
    rooms: Arc<Rooms>,
    name: String,
    id: u64,
    ends_on_exit: bool,
    heard: mpsc::UnboundedReceiver<Heard>,
    others: BTreeMap<u64, Other>,
}

/// What a member makes of something heard.
#[derive(Debug)]
pub(super) enum News {
    Met(Arc<Call>),
    Parted(Arc<Call>),
    Digit(char),
    /// There may be something to [`Seat::mix`].
    Sound,
    Over,
}

impl Seat {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_alone(&self) -> bool {
        self.others.is_empty()
    }

    /// Whether another person is there, and not only media channels.
    pub(super) fn has_company(&self) -> bool {
        self.others.values().any(|other| !other.call.is_media)
    }

    pub(super) fn say(&self, samples: &[i16]) {
        self.rooms
            .tell_others(&self.name, self.id, || Heard::Frame(self.id, samples.to_vec()));
    }

    pub(super) fn press(&self, digit: char) {
        self.rooms.tell_others(&self.name, self.id, || Heard::Digit(digit));
    }

    /// The next thing that happens in the room.
    pub(super) async fn news(&mut self) -> News {
        loop {
            match self.heard.recv().await {
                Some(Heard::Met(seat, call)) => {
                    let other = Other {
                        call: Arc::clone(&call),
                        frames: VecDeque::new(),
                    };
                    self.others.insert(seat, other);
                    return News::Met(call);
                }
                Some(Heard::Parted(seat)) => {
                    if let Some(other) = self.others.remove(&seat) {
                        return News::Parted(other.call);
                    }
                }
                Some(Heard::Frame(seat, samples)) => {
                    if let Some(other) = self.others.get_mut(&seat) {
                        other.frames.push_back(samples);
                        return News::Sound;
                    }
                }
                Some(Heard::Digit(digit)) => return News::Digit(digit),
                // The room keeps the other end for as long as this seat is taken.
                Some(Heard::Over) | None => return News::Over,
            }
        }
    }

    /// One frame of all others together, when it is complete.
    pub(super) fn mix(&mut self) -> Option<Vec<i16>> {
        let complete = self.others.values().all(|other| !other.frames.is_empty());
        let overdue = self
            .others
            .values()
            .any(|other| other.frames.len() > WAITING_FRAMES_MAX);
        if self.others.is_empty() || !(complete || overdue) {
            return None;
        }
        let mut mixed: Vec<i16> = Vec::new();
        for frame in self.others.values_mut().filter_map(|other| other.frames.pop_front()) {
            mixed.resize(mixed.len().max(frame.len()), 0);
            for (sum, sample) in mixed.iter_mut().zip(frame) {
                *sum = sum.saturating_add(sample);
            }
        }
        Some(mixed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        {
            let mut rooms = lock(&self.rooms.members);
            if let Some(members) = rooms.get_mut(&self.name) {
                members.retain(|member| member.seat != self.id);
                if members.is_empty() {
                    rooms.remove(&self.name);
                }
            }
        }
        self.rooms.tell_others(&self.name, self.id, || Heard::Parted(self.id));
        if self.ends_on_exit {
            self.rooms.end(&self.name);
        }
    }
}
