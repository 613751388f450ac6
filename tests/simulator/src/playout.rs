//! The carrier's playback buffer: what the person on the line hears, and when.
//!
//! Pure: time is a parameter, in samples since the stream began. Audio that arrives is played at once or after what is
//! already queued; there is no jitter buffer, so that every late frame is heard as a gap and shows in the report. A mark is
//! due when all audio before it has been played; clearing the buffer makes all waiting marks due (media-stream semantics).

use std::collections::VecDeque;

use serde::Serialize;

/// Audio that was or will be played without interruption.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    start: u64,
    samples: Vec<i16>,
}

/// How a piece of audio fits what was queued before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Arrival {
    /// Position of its first sample on the timeline of what is heard.
    pub plays_at_sample: u64,
    /// What was queued when it came, in samples: how far the sender is ahead.
    pub ahead_samples: u64,
    /// Silence that the listener heard before it, in samples; `None` for the first audio of a stream.
    pub gap_samples: Option<u64>,
}

/// What a clear threw away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cleared {
    pub dropped_samples: u64,
    pub marks: Vec<String>,
}

/// See the module's description. `handle_*` take what the gateway sent; `poll_mark` gives the marks that are due.
#[derive(Debug, Clone)]
pub struct Playout {
    rate_hz: u32,
    /// End of the last queued sample.
    end: u64,
    segments: Vec<Segment>,
    marks: VecDeque<(String, u64)>,
}

impl Playout {
    #[must_use]
    pub fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz,
            end: 0,
            segments: Vec::new(),
            marks: VecDeque::new(),
        }
    }

    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    pub fn handle_audio(&mut self, now: u64, samples: &[i16]) -> Arrival {
        let first = self.segments.is_empty();
        let start = self.end.max(now);
        let gap_samples = (!first).then_some(start - self.end);
        let ahead_samples = self.end.saturating_sub(now);
        match self.segments.last_mut() {
            Some(last) if start == self.end => last.samples.extend_from_slice(samples),
            _ => self.segments.push(Segment {
                start,
                samples: samples.to_vec(),
            }),
        }
        self.end = start + samples.len() as u64;
        Arrival {
            plays_at_sample: start,
            ahead_samples,
            gap_samples,
        }
    }

    pub fn handle_mark(&mut self, now: u64, name: &str) {
        self.marks.push_back((name.to_owned(), self.end.max(now)));
    }

    /// Empties the buffer; the marks are owed to the sender at once.
    pub fn handle_clear(&mut self, now: u64) -> Cleared {
        let dropped_samples = self.end.saturating_sub(now);
        while let Some(last) = self.segments.last_mut() {
            let last_end = last.start + last.samples.len() as u64;
            if last_end <= now {
                break;
            }
            if last.start >= now {
                self.segments.pop();
                continue;
            }
            last.samples
                .truncate(usize::try_from(now - last.start).unwrap_or(usize::MAX));
        }
        self.end = self.end.min(now);
        Cleared {
            dropped_samples,
            marks: self.marks.drain(..).map(|(name, _)| name).collect(),
        }
    }

    /// The next mark whose audio has been played by `now`.
    pub fn poll_mark(&mut self, now: u64) -> Option<String> {
        if self.marks.front()?.1 > now {
            return None;
        }
        self.marks.pop_front().map(|(name, _)| name)
    }

    /// When [`Self::poll_mark`] has something to say.
    #[must_use]
    pub fn next_wake(&self) -> Option<u64> {
        self.marks.front().map(|(_, due)| *due)
    }

    /// Samples of audio that have been heard by `now`, silence between them not counted.
    #[must_use]
    pub fn heard_samples(&self, now: u64) -> u64 {
        self.segments
            .iter()
            .map(|segment| now.saturating_sub(segment.start).min(segment.samples.len() as u64))
            .sum()
    }

    /// How long the line has been quiet at `now`, in samples; since the beginning when nothing was ever played.
    #[must_use]
    pub fn quiet_samples(&self, now: u64) -> u64 {
        now.saturating_sub(self.end)
    }

    /// What waits to be played at `now`, in samples.
    #[must_use]
    pub fn queued_samples(&self, now: u64) -> u64 {
        self.end.saturating_sub(now)
    }

    /// What is heard from `start` to `end`, gaps as silence.
    #[must_use]
    pub fn window(&self, start: u64, end: u64) -> Vec<i16> {
        let mut heard = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
        // Later ones first: the window is near the end of what is usually a long list.
        for segment in self.segments.iter().rev() {
            let segment_end = segment.start + segment.samples.len() as u64;
            if segment_end <= start {
                break;
            }
            let (from, to) = (segment.start.max(start), segment_end.min(end));
            if from < to {
                let place = |position: u64, origin: u64| usize::try_from(position - origin).unwrap_or(usize::MAX);
                heard[place(from, start)..place(to, start)]
                    .copy_from_slice(&segment.samples[place(from, segment.start)..place(to, segment.start)]);
            }
        }
        heard
    }

    /// What was heard until `now` (or everything queued, when that is later and `now` is `u64::MAX`), gaps as silence.
    #[must_use]
    pub fn rendered(&self, now: u64) -> Vec<i16> {
        let length = usize::try_from(self.end.min(now)).unwrap_or(usize::MAX);
        let mut heard = vec![0; length];
        for segment in &self.segments {
            let start = usize::try_from(segment.start).unwrap_or(usize::MAX).min(length);
            let end = (start + segment.samples.len()).min(length);
            heard[start..end].copy_from_slice(&segment.samples[..end - start]);
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_due_when_what_came_before_it_has_been_played() {
        let mut playout = Playout::new(8000);
        playout.handle_audio(100, &[1; 800]);
        playout.handle_mark(110, "a");
        playout.handle_audio(120, &[2; 80]);
        playout.handle_mark(120, "b");
        assert_eq!(playout.next_wake(), Some(900));
        assert_eq!(playout.poll_mark(899), None);
        assert_eq!(playout.poll_mark(900).as_deref(), Some("a"));
        assert_eq!(playout.poll_mark(979), None);
        assert_eq!(playout.poll_mark(980).as_deref(), Some("b"));
        // With nothing queued a mark is due at once.
        playout.handle_mark(2000, "c");
        assert_eq!(playout.poll_mark(2000).as_deref(), Some("c"));
    }

    #[test]
    fn clear_drops_what_was_not_heard_and_owes_all_marks() {
        let mut playout = Playout::new(8000);
        playout.handle_audio(0, &[1; 1600]);
        playout.handle_mark(0, "a");
        playout.handle_audio(0, &[2; 1600]);
        playout.handle_mark(0, "b");
        let cleared = playout.handle_clear(400);
        assert_eq!(
            cleared,
            Cleared {
                dropped_samples: 2800,
                marks: vec!["a".into(), "b".into()]
            }
        );
        assert_eq!(playout.poll_mark(10_000), None);
        assert_eq!(playout.rendered(u64::MAX), vec![1; 400]);
        let next = playout.handle_audio(500, &[3; 10]);
        assert_eq!(
            next,
            Arrival {
                plays_at_sample: 500,
                ahead_samples: 0,
                gap_samples: Some(100)
            }
        );
        assert_eq!(playout.heard_samples(505), 405);
    }

    #[test]
    fn a_window_shows_a_part_with_its_gaps() {
        let mut playout = Playout::new(8000);
        playout.handle_audio(10, &[1; 10]);
        playout.handle_audio(30, &[2; 10]);
        assert_eq!(
            playout.window(5, 35),
            [[0; 5].as_slice(), &[1; 10], &[0; 10], &[2; 5]].concat()
        );
        assert_eq!((playout.window(100, 103), playout.queued_samples(35)), (vec![0; 3], 5));
    }

    #[test]
    fn late_audio_is_a_gap_and_early_audio_is_ahead() {
        let mut playout = Playout::new(8000);
        assert_eq!(playout.handle_audio(0, &[1; 160]).gap_samples, None);
        assert_eq!(playout.handle_audio(40, &[1; 160]).ahead_samples, 120);
        assert_eq!(playout.handle_audio(400, &[1; 160]).gap_samples, Some(80));
        assert_eq!(
            playout.rendered(u64::MAX)[319..401],
            [[1].as_slice(), &[0; 80], &[1]].concat()
        );
    }
}
