//! A recording as a picture shows it: how far each side swings, and what happened when, on the recording's own time line.
//!
//! Reading a recording of hours takes a second, so it is read once, in a thread for blocking work, few at a time; what was found
//! lies beside it, in more pieces than any page can show, and is merged for whoever asks for fewer.

mod marks;
mod pieces;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use strowger_call::timeline::Timeline;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

pub use self::marks::{Happening, Latency, Mark, Turn, Who};
use self::pieces::Pieces;

/// Recordings that are read at once.
const READ_AT_ONCE: usize = 2;
/// The fewest and the most points that may be asked for.
pub const POINTS: std::ops::RangeInclusive<u64> = 16..=4_000;

/// A recording, ready to be drawn.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Waveform {
    /// How long it is, in milliseconds.
    #[schema(minimum = 0)]
    pub duration_ms: u64,
    /// Of the file.
    #[schema(minimum = 0)]
    pub sample_rate_hz: u32,
    /// When it begins, in milliseconds from the beginning of the call.
    #[schema(minimum = 0)]
    pub starts_at_ms: u64,
    /// The two sides.
    #[schema(value_type = Vec<Channel>)]
    pub channels: [Channel; 2],
    /// Points in time.
    pub marks: Vec<Mark>,
    /// Who spoke when.
    pub turns: Vec<Turn>,
    /// What took how long.
    pub latencies: Vec<Latency>,
}

/// One side. The values are in 1/128 of full scale, -128 to 127, one pair for each point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WaveformChannel)]
pub struct Channel {
    /// Whose voice it is.
    pub name: Who,
    /// The lowest samples.
    #[schema(value_type = Vec<i32>)]
    pub min: Vec<i8>,
    /// The highest samples.
    #[schema(value_type = Vec<i32>)]
    pub max: Vec<i8>,
}

/// Makes them. Cloning shares how many are made at once.
#[derive(Debug, Clone)]
pub struct Waveforms {
    turns: Arc<Semaphore>,
}

impl Default for Waveforms {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(READ_AT_ONCE)),
        }
    }
}

impl Waveforms {
    /// The waveform of a finished recording in at most so many points; none when there is no such file. Without a timeline
    /// nothing is known but the sound.
    ///
    /// # Errors
    /// The recording cannot be read.
    pub async fn of(&self, recording: PathBuf, timeline: PathBuf, points: usize) -> io::Result<Option<Waveform>> {
        let turn = self.turns.clone().acquire_owned().await.map_err(io::Error::other)?;
        let read = move || {
            let _turn = turn;
            let pieces = match Pieces::of(&recording) {
                Ok(pieces) => pieces,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let timeline = read_timeline(&timeline).unwrap_or_default();
            Ok(Some(assemble(&pieces, &timeline, points)))
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }
}

fn read_timeline(path: &Path) -> Option<Timeline> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn assemble(pieces: &Pieces, timeline: &Timeline, points: usize) -> Waveform {
    let [caller, agent] = pieces.merged(points);
    let channel = |name, (min, max)| Channel { name, min, max };
    let seen = marks::read(timeline, pieces.duration_ms());
    Waveform {
        duration_ms: pieces.duration_ms(),
        sample_rate_hz: pieces.sample_rate_hz,
        starts_at_ms: timeline.levels.start_ms,
        channels: [channel(Who::Caller, caller), channel(Who::Agent, agent)],
        marks: seen.marks,
        turns: seen.turns,
        latencies: seen.latencies,
    }
}

#[cfg(test)]
mod tests {
    use strowger_call::timeline::{Entry, Kind};

    use super::*;

    /// A second in which the caller is loud for the first half and the agent for the last quarter.
    fn record(path: &Path) {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        for at in 0..8_000_i16 {
            let sign = if at % 2 == 0 { 1 } else { -1 };
            writer.write_sample(if at < 4_000 { sign * 16_384 } else { 0 }).unwrap();
            writer.write_sample(if at >= 6_000 { sign * 8_192 } else { 0 }).unwrap();
        }
        writer.finalize().unwrap();
    }

    async fn waveform(folder: &Path, points: usize) -> Waveform {
        let (recording, timeline) = (folder.join("a.wav"), folder.join("a.timeline.json"));
        Waveforms::default()
            .of(recording, timeline, points)
            .await
            .unwrap()
            .unwrap()
    }

    #[tokio::test]
    async fn both_sides_are_in_their_places_whatever_the_number_of_points() {
        let folder = tempfile::tempdir().unwrap();
        record(&folder.path().join("a.wav"));
        for points in [16, 100, 4_000] {
            let waveform = waveform(folder.path(), points).await;
            assert_eq!((waveform.duration_ms, waveform.sample_rate_hz), (1_000, 8_000));
            let [caller, agent] = &waveform.channels;
            assert_eq!((caller.name, agent.name), (Who::Caller, Who::Agent));
            assert_eq!((caller.min.len(), agent.max.len()), (points, points));
            let at = |permille: usize| points * permille / 1_000;
            assert_eq!((caller.min[at(100)], caller.max[at(100)]), (-64, 64));
            assert_eq!((caller.min[at(900)], caller.max[at(900)]), (0, 0));
            assert_eq!((agent.min[at(100)], agent.max[at(100)]), (0, 0));
            assert_eq!((agent.min[at(900)], agent.max[at(900)]), (-32, 32));
        }
    }

    #[tokio::test]
    async fn what_was_found_is_kept_until_the_recording_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let recording = folder.path().join("a.wav");
        record(&recording);
        let first = waveform(folder.path(), 50).await;
        let kept = folder.path().join("a.waveform");
        let before = std::fs::read(&kept).unwrap();
        // Changed in its place, it would not be noticed: so it is what is read.
        let mut changed = before.clone();
        *changed.last_mut().unwrap() = 99;
        std::fs::write(&kept, &changed).unwrap();
        assert_eq!(waveform(folder.path(), 50).await.channels[1].max[49], 99);
        for broken in [
            &b""[..],
            b"x",
            &before[..before.len() - 1],
            &[&before[..], b"x"].concat(),
        ] {
            std::fs::write(&kept, broken).unwrap();
            assert_eq!(waveform(folder.path(), 50).await, first, "it is made again");
        }
        let longer = [std::fs::read(&recording).unwrap(), vec![0; 4]].concat();
        std::fs::write(&kept, &changed).unwrap();
        std::fs::write(&recording, longer).unwrap();
        assert_eq!(waveform(folder.path(), 50).await.channels[1].max[49], 32);
    }

    #[tokio::test]
    async fn what_is_no_recording_is_none_or_told() {
        let folder = tempfile::tempdir().unwrap();
        let of = async || {
            let (recording, timeline) = (folder.path().join("a.wav"), folder.path().join("a.timeline.json"));
            Waveforms::default().of(recording, timeline, 16).await
        };
        assert_eq!(of().await.unwrap(), None);
        std::fs::write(folder.path().join("a.wav"), "RIFF").unwrap();
        assert!(of().await.is_err());
    }

    #[tokio::test]
    async fn what_happened_is_on_the_recordings_time_line() {
        let folder = tempfile::tempdir().unwrap();
        record(&folder.path().join("a.wav"));
        let mut timeline = Timeline {
            duration_ms: 1_500,
            entries: vec![
                Entry::point(Kind::Mark, 700, "mark greeting"),
                Entry::point(Kind::Dtmf, 100, "DTMF"),
                Entry::point(Kind::Dtmf, 900, "DTMF"),
                Entry::point(Kind::BargeIn, 9_000, "barge-in · 5 ms heard"),
            ],
            ..Timeline::default()
        };
        timeline.levels.start_ms = 200;
        std::fs::write(
            folder.path().join("a.timeline.json"),
            serde_json::to_vec(&timeline).unwrap(),
        )
        .unwrap();
        let waveform = waveform(folder.path(), 16).await;
        assert_eq!(waveform.starts_at_ms, 200);
        let marks: Vec<_> = waveform.marks.iter().map(|mark| (mark.kind, mark.at_ms)).collect();
        assert_eq!(
            marks,
            [(Happening::Mark, 500), (Happening::Dtmf, 700)],
            "what lies outside is left out"
        );
    }
}
