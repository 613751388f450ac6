//! What people and agents say: recordings of this repository, tones and silence.

use std::{
    collections::BTreeMap,
    fmt,
    io::Cursor,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

/// Mono audio at a known rate; cheap to clone.
#[derive(Clone)]
pub struct Speech {
    rate_hz: u32,
    samples: Arc<[i16]>,
    /// The same at other rates, shared by all clones: resampling costs more than a frame's time.
    others: Arc<Mutex<BTreeMap<u32, Arc<[i16]>>>>,
}

impl PartialEq for Speech {
    fn eq(&self, other: &Self) -> bool {
        self.rate_hz == other.rate_hz && self.samples == other.samples
    }
}

impl Eq for Speech {}

impl fmt::Debug for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Speech({:?} at {} Hz)", self.duration(), self.rate_hz)
    }
}

static CALLER: LazyLock<Speech> = LazyLock::new(|| Speech::recorded(include_bytes!("../../speech/caller.wav")));
static AGENT: LazyLock<Speech> = LazyLock::new(|| Speech::recorded(include_bytes!("../../speech/agent.wav")));
static AGENT_REPLY: LazyLock<Speech> =
    LazyLock::new(|| Speech::recorded(include_bytes!("../../speech/agent-reply.wav")));

/// A caller's two sentences with a pause between them; 8 kHz, about 6.5 s.
#[must_use]
pub fn caller() -> Speech {
    CALLER.clone()
}

/// An agent's greeting; 16 kHz, about 5 s.
#[must_use]
pub fn agent() -> Speech {
    AGENT.clone()
}

/// An agent's second utterance; 16 kHz, about 5 s.
#[must_use]
pub fn agent_reply() -> Speech {
    AGENT_REPLY.clone()
}

impl Speech {
    #[must_use]
    pub fn from_samples(rate_hz: u32, samples: impl Into<Arc<[i16]>>) -> Self {
        Self {
            rate_hz,
            samples: samples.into(),
            others: Arc::default(),
        }
    }

    /// A 16-bit mono WAV file.
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_wav(bytes: &[u8]) -> Result<Self, hound::Error> {
        let reader = hound::WavReader::new(Cursor::new(bytes))?;
        let spec = reader.spec();
        if spec.channels != 1 || spec.bits_per_sample != 16 {
            return Err(hound::Error::Unsupported);
        }
        let samples = reader.into_samples::<i16>().collect::<Result<Vec<_>, _>>()?;
        Ok(Self::from_samples(spec.sample_rate, samples))
    }

    fn recorded(bytes: &'static [u8]) -> Self {
        Self::from_wav(bytes).expect("the recordings in the repository are 16-bit mono WAV files")
    }

    /// A sine at `peak` (full scale is 32767); 8 kHz.
    #[must_use]
    pub fn tone(frequency_hz: f64, duration: Duration, peak: i16) -> Self {
        let rate_hz = 8000;
        let samples: Vec<i16> = (0..samples_in(duration, rate_hz))
            .map(|n| sine(frequency_hz, n as f64 / f64::from(rate_hz), peak))
            .collect();
        Self::from_samples(rate_hz, samples)
    }

    #[must_use]
    pub fn silence(duration: Duration) -> Self {
        Self::from_samples(8000, vec![0; samples_in(duration, 8000)])
    }

    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    #[must_use]
    pub fn duration(&self) -> Duration {
        duration_of(self.samples.len(), self.rate_hz)
    }

    /// The first `duration` of it.
    #[must_use]
    pub fn first(&self, duration: Duration) -> Self {
        let count = samples_in(duration, self.rate_hz).min(self.samples.len());
        Self::from_samples(self.rate_hz, &self.samples[..count])
    }

    /// The same speech at another rate, exact in time and free of aliases. Worked out once for all clones.
    #[must_use]
    pub fn at_rate(&self, rate_hz: u32) -> Self {
        if rate_hz == self.rate_hz || rate_hz == 0 {
            return self.clone();
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = others
            .entry(rate_hz)
            .or_insert_with(|| resample(&self.samples, self.rate_hz, rate_hz).into());
        Self::from_samples(rate_hz, Arc::clone(samples))
    }
}

/// A windowed sinc, as a table of one filter for each phase between two input samples.
fn resample(samples: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    const HALF_WIDTH: f64 = 24.0;
    let divisor = greatest_common_divisor(from_hz, to_hz);
    let (up, down) = ((to_hz / divisor) as usize, (from_hz / divisor) as usize);
    // Below half of the lower rate, with room for the transition band.
    let cutoff = 0.92 * (up as f64 / down as f64).min(1.0);
    let half = (HALF_WIDTH / cutoff).ceil() as usize;
    let filters: Vec<Vec<f32>> = (0..up)
        .map(|phase| {
            // Tap `t` belongs to the input sample that is `t + 1 - half` after the one at or before the output's time.
            (0..2 * half)
                .map(|tap| {
                    let x = (tap as f64 + 1.0 - half as f64) - phase as f64 / up as f64;
                    let window = 0.5 + 0.5 * (std::f64::consts::PI * x / half as f64).cos();
                    (cutoff * sinc(cutoff * x) * window) as f32
                })
                .collect()
        })
        .collect();
    let mut padded = vec![0.0_f32; half - 1];
    padded.extend(samples.iter().map(|&sample| f32::from(sample)));
    padded.resize(padded.len() + half + 1, 0.0);
    (0..samples.len() * up / down)
        .map(|n| {
            let (first, phase) = (n * down / up, n * down % up);
            let sum: f32 = padded[first..first + 2 * half]
                .iter()
                .zip(&filters[phase])
                .map(|(x, h)| x * h)
                .sum();
            // A float beyond the range becomes the nearest sample.
            sum.round() as i16
        })
        .collect()
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Root mean square of the samples; 0 for none.
#[must_use]
pub fn energy(samples: &[i16]) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let sum: f64 = samples
        .iter()
        .map(|&sample| f64::from(sample) * f64::from(sample))
        .sum();
    (sum / samples.len() as f64).sqrt()
}

pub(crate) fn samples_in(duration: Duration, rate_hz: u32) -> usize {
    usize::try_from(duration.as_micros() * u128::from(rate_hz) / 1_000_000).unwrap_or(usize::MAX)
}

pub(crate) fn duration_of(samples: usize, rate_hz: u32) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / u64::from(rate_hz.max(1)))
}

pub(crate) fn sine(frequency_hz: f64, at_s: f64, peak: i16) -> i16 {
    (f64::from(peak) * (2.0 * std::f64::consts::PI * frequency_hz * at_s).sin()).round() as i16
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 {
        1.0
    } else {
        (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recordings_load() {
        assert_eq!(caller().rate_hz(), 8000);
        assert!(caller().duration() > Duration::from_secs(5));
        assert_eq!(agent().rate_hz(), 16_000);
        assert!(energy(agent_reply().samples()) > 1000.0);
    }

    #[test]
    fn a_tone_keeps_its_length_and_level_at_another_rate() {
        let tone = Speech::tone(440.0, Duration::from_millis(200), 10_000);
        for rate_hz in [16_000, 24_000, 48_000] {
            let other = tone.at_rate(rate_hz);
            assert_eq!(other.duration(), tone.duration());
            let (a, b) = (energy(tone.samples()), energy(other.samples()));
            assert!((a - b).abs() < a * 0.02, "{a} became {b} at {rate_hz} Hz");
        }
    }
}
