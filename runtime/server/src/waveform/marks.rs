//! What a call's timeline says, on the time line of its recording.

use serde::Serialize;
use strowger_call::timeline::{Entry, Kind, Levels, Timeline};
use utoipa::ToSchema;

use crate::session::{AGENT_CONNECTED, MEDIA_SOCKET, MEDIA_STARTED};

/// Louder than this, on the timeline's scale of 0 to 255 over 60 dB, is speech: about -35 dBov.
const SPEECH: u8 = 100;
/// A breath is not the end of a turn.
const BREATH_MS: u64 = 300;
/// Shorter than this is a click.
const TURN_MS_MIN: u64 = 100;

/// Whose voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WaveformSide)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The person at the carrier's end, whoever called.
    Caller,
    /// The agent.
    Agent,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WaveformMarkKind)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// The agent was interrupted.
    BargeIn,
    /// A mark of the agent's was reached.
    Mark,
    /// A key was pressed; which one is not told.
    Dtmf,
}

/// A point in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WaveformMark)]
pub struct Mark {
    /// What happened.
    pub kind: Happening,
    /// From the beginning of the recording.
    #[schema(minimum = 0)]
    pub at_ms: u64,
    /// In words.
    pub label: String,
}

/// Somebody spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WaveformTurn)]
pub struct Turn {
    /// Who.
    pub who: Who,
    /// From the beginning of the recording.
    #[schema(minimum = 0)]
    pub from_ms: u64,
    /// From the beginning of the recording.
    #[schema(minimum = 0)]
    pub to_ms: u64,
}

/// Something took a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WaveformLatency)]
pub struct Latency {
    /// `webhook` (with its route), `media_socket`, `media_start`, `agent_connect`, `first_word`, `response`.
    pub stage: &'static str,
    /// Which, where there are several.
    pub label: Option<String>,
    /// When it began; before the recording began it is negative.
    pub at_ms: i64,
    /// How long it took.
    #[schema(minimum = 0)]
    pub duration_ms: u64,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) marks: Vec<Mark>,
    pub(super) turns: Vec<Turn>,
    pub(super) latencies: Vec<Latency>,
}

pub(super) fn read(timeline: &Timeline, duration_ms: u64) -> Seen {
    let start_ms = timeline.levels.start_ms;
    let within = |at_ms: u64| at_ms.checked_sub(start_ms).filter(|at_ms| *at_ms <= duration_ms);
    let mut marks: Vec<Mark> = timeline
        .entries
        .iter()
        .filter_map(|entry| {
            let kind = match entry.kind {
                Kind::BargeIn => Happening::BargeIn,
                Kind::Mark => Happening::Mark,
                Kind::Dtmf => Happening::Dtmf,
                _ => return None,
            };
            Some(Mark {
                kind,
                at_ms: within(entry.from_ms)?,
                label: entry.label.clone(),
            })
        })
        .collect();
    marks.sort_by_key(|mark| mark.at_ms);

    let mut turns = spoken(&timeline.levels, duration_ms);
    let agent = timeline
        .entries
        .iter()
        .filter(|entry| entry.kind == Kind::AgentSpeaking);
    turns.extend(agent.filter_map(|entry| {
        let to_ms = entry.to_ms?.saturating_sub(start_ms).min(duration_ms);
        let from_ms = entry.from_ms.saturating_sub(start_ms);
        (from_ms < to_ms).then_some(Turn {
            who: Who::Agent,
            from_ms,
            to_ms,
        })
    }));
    turns.sort_by_key(|turn| (turn.from_ms, turn.to_ms));

    let latencies = latencies(&timeline.entries, start_ms, &turns);
    Seen {
        marks,
        turns,
        latencies,
    }
}

/// When the caller spoke, from how loud they were.
fn spoken(levels: &Levels, duration_ms: u64) -> Vec<Turn> {
    let window_ms = u64::from(levels.window_ms);
    let mut turns: Vec<Turn> = Vec::new();
    for (at, _) in levels.caller.iter().enumerate().filter(|(_, level)| **level > SPEECH) {
        let from_ms = at as u64 * window_ms;
        let to_ms = (from_ms + window_ms).min(duration_ms);
        match turns.last_mut() {
            Some(last) if from_ms <= last.to_ms + BREATH_MS => last.to_ms = to_ms,
            _ => turns.push(Turn {
                who: Who::Caller,
                from_ms,
                to_ms,
            }),
        }
    }
    turns.retain(|turn| turn.to_ms >= turn.from_ms + TURN_MS_MIN);
    turns
}

fn latencies(entries: &[Entry], start_ms: u64, turns: &[Turn]) -> Vec<Latency> {
    let on_recording = |at_ms: u64| at_ms.cast_signed().saturating_sub(start_ms.cast_signed());
    let first = |kind: Kind, label: &str| {
        let found = entries.iter().find(|entry| entry.kind == kind && entry.label == label);
        found.map(|entry| entry.from_ms)
    };
    let mut latencies: Vec<Latency> = entries
        .iter()
        .filter(|entry| entry.kind == Kind::Webhook)
        .filter_map(|entry| {
            Some(Latency {
                stage: "webhook",
                label: entry.label.split(" · ").next().map(str::to_owned),
                at_ms: on_recording(entry.from_ms),
                duration_ms: entry.to_ms?.saturating_sub(entry.from_ms),
            })
        })
        .collect();
    let answered = entries.iter().find(|entry| entry.kind == Kind::Answered);
    let answered = answered.map(|entry| entry.from_ms);
    let socket = first(Kind::Media, MEDIA_SOCKET);
    let started = first(Kind::Media, MEDIA_STARTED);
    let connected = first(Kind::Agent, AGENT_CONNECTED);
    let word = entries
        .iter()
        .filter(|entry| entry.kind == Kind::AgentSpeaking)
        .map(|entry| entry.from_ms)
        .min();
    for (stage, from, to) in [
        ("media_socket", answered, socket),
        ("media_start", socket, started),
        ("agent_connect", socket, connected),
        ("first_word", started.max(connected), word),
    ] {
        if let (Some(from), Some(to)) = (from, to)
            && to >= from
        {
            latencies.push(Latency {
                stage,
                label: None,
                at_ms: on_recording(from),
                duration_ms: to - from,
            });
        }
    }
    // From the end of what the caller said to the agent's next word.
    for pair in turns.windows(2) {
        if let [caller, agent] = pair
            && (caller.who, agent.who) == (Who::Caller, Who::Agent)
            && agent.from_ms >= caller.to_ms
        {
            latencies.push(Latency {
                stage: "response",
                label: None,
                at_ms: caller.to_ms.cast_signed(),
                duration_ms: agent.from_ms - caller.to_ms,
            });
        }
    }
    latencies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline() -> Timeline {
        // From 1,000 ms on: 500 ms of speech, a breath, 200 ms of speech, silence, a click.
        let mut caller = vec![0; 60];
        caller[20..30].fill(200);
        caller[33..37].fill(150);
        caller[50] = 255;
        Timeline {
            duration_ms: 4_000,
            levels: Levels {
                window_ms: 50,
                start_ms: 500,
                caller,
                agent: Vec::new(),
            },
            entries: vec![
                Entry::webhook(10, 12, "answer"),
                Entry::point(Kind::Answered, 30, "answered"),
                Entry::point(Kind::Media, 130, MEDIA_SOCKET),
                Entry::point(Kind::Agent, 180, AGENT_CONNECTED),
                Entry::point(Kind::Media, 500, MEDIA_STARTED),
                Entry::span(Kind::AgentSpeaking, 600, 1_200, "agent speaks"),
                Entry::span(Kind::AgentSpeaking, 2_600, 9_000, "agent speaks"),
            ],
            ..Timeline::default()
        }
    }

    #[test]
    fn who_spoke_when() {
        let turns: Vec<_> = read(&timeline(), 3_000)
            .turns
            .iter()
            .map(|turn| (turn.who, turn.from_ms, turn.to_ms))
            .collect();
        assert_eq!(
            turns,
            [
                (Who::Agent, 100, 700),
                (Who::Caller, 1_000, 1_850),
                (Who::Agent, 2_100, 3_000)
            ]
        );
    }

    #[test]
    fn what_took_how_long() {
        let latencies: Vec<_> = read(&timeline(), 3_000)
            .latencies
            .into_iter()
            .map(|latency| (latency.stage, latency.label, latency.at_ms, latency.duration_ms))
            .collect();
        assert_eq!(
            latencies,
            [
                ("webhook", Some("answer".to_owned()), -490, 12),
                ("media_socket", None, -470, 100),
                ("media_start", None, -370, 370),
                ("agent_connect", None, -370, 50),
                ("first_word", None, 0, 100),
                ("response", None, 1_850, 250),
            ]
        );
    }

    #[test]
    fn a_call_without_a_timeline_has_none_of_it() {
        let seen = read(&Timeline::default(), 1_000);
        assert!(seen.marks.is_empty() && seen.turns.is_empty() && seen.latencies.is_empty());
    }
}
