//! Loudness over time, for drawing a waveform.

use crate::wire::SampleRate;

/// The length of a window in milliseconds: twenty bars a second are as many as a waveform on a page can show.
const WINDOW_MS: u32 = 50;
/// What stands for silence, and for everything quieter than it.
const SILENCE: u8 = 127;

/// The loudness of one 50 ms window in -dBov, as RFC 6464 writes audio levels: 0 is full scale, larger is quieter, 127 is
/// silence. A sine at full scale has an RMS level of 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The largest sample.
    pub peak: u8,
    /// The root of the mean square.
    pub rms: u8,
}

/// Measures a stream of samples in windows of 50 ms.
#[derive(Clone, Debug)]
pub struct Levels {
    window_samples: usize,
    taken: usize,
    peak: u16,
    energy: u64,
}

impl Levels {
    /// A measurement of a stream at `rate`.
    #[must_use]
    pub const fn new(rate: SampleRate) -> Self {
        Self {
            window_samples: rate.samples_in_ms(WINDOW_MS),
            taken: 0,
            peak: 0,
            energy: 0,
        }
    }

    /// Takes samples and appends one level to `levels` for each window that they complete.
    pub fn push(&mut self, samples: &[i16], levels: &mut Vec<Level>) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.window_samples - self.taken));
            rest = later;
            self.taken += now.len();
            for sample in now {
                let magnitude = sample.unsigned_abs();
                self.peak = self.peak.max(magnitude);
                self.energy += u64::from(magnitude) * u64::from(magnitude);
            }
            if self.taken == self.window_samples {
                levels.push(self.level());
                *self = Self {
                    taken: 0,
                    peak: 0,
                    energy: 0,
                    ..*self
                };
            }
        }
    }

    fn level(&self) -> Level {
        let full_scale = 32_768.0_f64;
        let rms = (self.energy as f64 / self.window_samples as f64).sqrt();
        Level {
            peak: dbov(f64::from(self.peak) / full_scale),
            rms: dbov(rms / full_scale),
        }
    }
}

fn dbov(ratio: f64) -> u8 {
    // The cast takes -20 log10(0), which is infinite, to the largest value.
    ((-20.0 * ratio.log10()).round() as u8).min(SILENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Tone;

    #[test]
    fn levels_are_those_of_the_signal_and_independent_of_chunks() {
        let mut samples = vec![0; 1_600];
        Tone::new(SampleRate::Hz8000, 1_000.0, -20.0).fill(&mut samples[400..1_200]);
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        Levels::new(SampleRate::Hz8000).push(&samples, &mut whole);
        let mut levels = Levels::new(SampleRate::Hz8000);
        for chunk in samples.chunks(77) {
            levels.push(chunk, &mut pieces);
        }
        assert_eq!(whole, pieces);
        let silence = Level {
            peak: SILENCE,
            rms: SILENCE,
        };
        // The second tone window is free of the ramp; a sine's RMS level lies 3 dB below its peak.
        assert_eq!(
            (whole.len(), whole[0], whole[2], whole[3]),
            (4, silence, Level { peak: 20, rms: 23 }, silence)
        );
    }

    #[test]
    fn full_scale_is_zero() {
        let mut levels = Vec::new();
        Levels::new(SampleRate::Hz8000).push(&[i16::MIN; 400], &mut levels);
        assert_eq!(levels, [Level { peak: 0, rms: 0 }]);
    }
}
