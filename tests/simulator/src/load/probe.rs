//! Tones that can be told apart after companding and resampling, and the times at which they were said and heard.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    carrier::FRAME,
    clock,
    speech::{duration_of, samples_in, sine},
};

/// One tone in so many frames: 200 ms apart, so that the four of them tell latencies up to 800 ms.
const PERIOD_FRAMES: u64 = 10;
const FREQUENCIES_HZ: [f64; 4] = [400.0, 800.0, 1200.0, 1600.0];
const PEAK: i16 = 8000;
/// Clear of quantisation noise and of a filter's ripples, and passed a fraction of a millisecond into a tone.
const ONSET_MIN: u16 = 2000;
/// How much of a tone is looked at to recognise it; less than a frame, because filters smear its end.
const LOOK: Duration = Duration::from_millis(15);
const QUIET_MIN: Duration = Duration::from_millis(5);

/// The frames that one end says, prepared: silence and the four tones.
#[derive(Debug)]
pub(super) struct Tones<P> {
    silence: P,
    tones: [P; 4],
}

impl<P> Tones<P> {
    pub(super) fn new(rate_hz: u32, encode: impl Fn(&[i16]) -> P) -> Self {
        let count = samples_in(FRAME, rate_hz);
        let tone = |frequency_hz: f64| -> Vec<i16> {
            (0..count)
                .map(|n| sine(frequency_hz, n as f64 / f64::from(rate_hz), PEAK))
                .collect()
        };
        Self {
            silence: encode(&vec![0; count]),
            tones: FREQUENCIES_HZ.map(|frequency_hz| encode(&tone(frequency_hz))),
        }
    }

    /// Frame number `number`, and which tone it is.
    pub(super) fn frame(&self, number: u64) -> (&P, Option<usize>) {
        if number % PERIOD_FRAMES != PERIOD_FRAMES - 1 {
            return (&self.silence, None);
        }
        let tone = (number / PERIOD_FRAMES % 4) as usize;
        (&self.tones[tone], Some(tone))
    }
}

/// A tone that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tone {
    pub(super) index: usize,
    /// When its first sample was heard, if messages are heard to their end at the moment that they arrive.
    pub(super) began_at: Duration,
}

/// Finds tones in audio that comes in messages of any length.
#[derive(Debug)]
pub(super) struct Detector {
    rate_hz: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between tones; so many samples of quiet.
    Quiet(usize),
    Tone {
        began_at: Duration,
        samples: Vec<i16>,
    },
    /// After a tone was recognised, until it ends.
    Fading,
}

impl Detector {
    pub(super) fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz,
            state: State::Quiet(0),
        }
    }

    /// Takes in a message that arrived at `at`.
    pub(super) fn hear(&mut self, at: Duration, message: &[i16]) -> Option<Tone> {
        let mut heard = None;
        let quiet_min = samples_in(QUIET_MIN, self.rate_hz);
        let look = samples_in(LOOK, self.rate_hz);
        for (index, &sample) in message.iter().enumerate() {
            let loud = sample.unsigned_abs() >= ONSET_MIN;
            match &mut self.state {
                State::Quiet(quiet) if loud && *quiet >= quiet_min => {
                    let began_at = (at + duration_of(index, self.rate_hz))
                        .saturating_sub(duration_of(message.len(), self.rate_hz));
                    self.state = State::Tone {
                        began_at,
                        samples: vec![sample],
                    };
                }
                State::Quiet(quiet) => *quiet = if loud { 0 } else { *quiet + 1 },
                State::Tone { began_at, samples } => {
                    samples.push(sample);
                    if samples.len() >= look {
                        heard = recognise(samples, self.rate_hz).map(|index| Tone {
                            index,
                            began_at: *began_at,
                        });
                        self.state = State::Fading;
                    }
                }
                State::Fading if !loud => self.state = State::Quiet(1),
                State::Fading => {}
            }
        }
        heard
    }
}

/// Which of the frequencies it is, by zero crossings.
fn recognise(samples: &[i16], rate_hz: u32) -> Option<usize> {
    let crossings = samples.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
    let frequency_hz = crossings as f64 * f64::from(rate_hz) / (2.0 * samples.len() as f64);
    FREQUENCIES_HZ
        .iter()
        .position(|known| (known - frequency_hz).abs() < 150.0)
}

/// Tones on their way in one direction of one call. Zero stands for a tone that is not under way.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Nanoseconds of the report's clock at which the frame of each tone was complete.
    said_at_ns: [AtomicU64; 4],
    tones_said: AtomicU64,
    tones_heard: AtomicU64,
    said_us: AtomicU64,
    heard_us: AtomicU64,
    live: AtomicBool,
}

impl Flight {
    /// From now on somebody listens at the other end, and tones count.
    pub(super) fn go_live(&self) {
        self.live.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

    /// A frame is sent now. Its audio counts even if nobody listens yet: a gateway may keep it for later.
    pub(super) fn said(&self, tone: Option<usize>, duration: Duration) {
        self.said_us.fetch_add(duration.as_micros() as u64, Ordering::Relaxed);
        if let Some(tone) = tone.filter(|_| self.is_live()) {
            self.said_at_ns[tone].store(clock::now().as_nanos() as u64, Ordering::Relaxed);
            self.tones_said.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn heard(&self, duration: Duration) {
        self.heard_us.fetch_add(duration.as_micros() as u64, Ordering::Relaxed);
    }

    /// How long a tone was under way, from its first sample said to its first sample heard; `None` for a tone nobody said.
    pub(super) fn arrived(&self, tone: Tone) -> Option<Duration> {
        let said_at_ns = self.said_at_ns[tone.index].swap(0, Ordering::Relaxed);
        if said_at_ns == 0 {
            return None;
        }
        self.tones_heard.fetch_add(1, Ordering::Relaxed);
        let began = Duration::from_nanos(said_at_ns).saturating_sub(FRAME);
        Some(tone.began_at.saturating_sub(began))
    }

    /// Tones that never arrived. The last one may still have been under way when the call ended.
    pub(super) fn lost(&self) -> u64 {
        let under_way = self
            .said_at_ns
            .iter()
            .filter(|at| at.load(Ordering::Relaxed) != 0)
            .count() as u64;
        let missing = self
            .tones_said
            .load(Ordering::Relaxed)
            .saturating_sub(self.tones_heard.load(Ordering::Relaxed));
        missing.saturating_sub(under_way.min(1))
    }

    pub(super) fn said_us(&self) -> u64 {
        self.said_us.load(Ordering::Relaxed)
    }

    pub(super) fn heard_us(&self) -> u64 {
        self.heard_us.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{carrier::WireAudio, speech::Speech};

    /// One tone in silence, as it arrives in messages of `message` samples, the last one at the time of its end.
    fn heard(samples: &[i16], rate_hz: u32, message: usize) -> Vec<Tone> {
        let mut detector = Detector::new(rate_hz);
        samples
            .chunks(message)
            .enumerate()
            .filter_map(|(index, chunk)| {
                let end = index * message + chunk.len();
                detector.hear(duration_of(end, rate_hz), chunk)
            })
            .collect()
    }

    #[test]
    fn tones_are_told_apart_and_timed_after_companding_and_resampling() {
        let tones = Tones::new(8000, <[i16]>::to_vec);
        for index in 0..4 {
            let mut samples = vec![0; 320];
            samples.extend_from_slice(&tones.tones[index]);
            samples.resize(1600, 0);
            let companded = WireAudio::Mulaw.decode(&WireAudio::Mulaw.encode(&samples));
            for rate_hz in [8000, 16_000, 24_000] {
                let resampled = Speech::from_samples(8000, companded.clone()).at_rate(rate_hz);
                for message in [rate_hz as usize / 50, rate_hz as usize / 100, 999] {
                    let found = heard(resampled.samples(), rate_hz, message);
                    assert_eq!(found.len(), 1, "tone {index} at {rate_hz} Hz in messages of {message}");
                    assert_eq!(found[0].index, index);
                    let error = found[0].began_at.abs_diff(Duration::from_millis(40));
                    assert!(error < Duration::from_micros(500), "off by {error:?}");
                }
            }
        }
    }

    #[test]
    fn a_flight_counts_from_sample_to_sample() {
        let flight = Flight::default();
        flight.said(Some(1), FRAME);
        assert_eq!(flight.tones_said.load(Ordering::Relaxed), 0, "nobody listened yet");
        flight.go_live();
        flight.said(Some(1), FRAME);
        let said_at = Duration::from_nanos(flight.said_at_ns[1].load(Ordering::Relaxed));
        // The whole frame arrives 3 ms after it was complete: so does its first sample.
        let tone = Tone {
            index: 1,
            began_at: (said_at + Duration::from_millis(3)).saturating_sub(FRAME),
        };
        assert_eq!(flight.arrived(tone), Some(Duration::from_millis(3)));
        assert_eq!(flight.arrived(tone), None);
        assert_eq!(flight.lost(), 0);
    }
}
