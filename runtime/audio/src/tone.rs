//! Test signals: a sine, and the two-tone signals of ITU-T Q.23 that telephone keys send.

use crate::wire::SampleRate;

/// How long a tone takes to reach its level, and to fall silent. Without a ramp its ends click.
const RAMP_MS: u32 = 5;
/// The level of each of the two tones of a digit, in dB below full scale: together they stay 3 dB clear of clipping, and well
/// above what Q.24 asks a receiver to detect.
const DTMF_DBFS: f64 = -9.0;

/// A sine that starts softly and goes on for as long as it is asked for.
#[derive(Clone, Debug)]
pub struct Tone {
    /// Radians per sample.
    step: f64,
    phase: f64,
    amplitude: f64,
    ramp_samples: usize,
    /// Position on the ramp: 0 is silent, `ramp_samples` the full level.
    ramp: usize,
    stopping: bool,
}

impl Tone {
    /// A sine of `hz` with its peaks at `dbfs` decibels relative to full scale (so at most 0).
    #[must_use]
    pub fn new(rate: SampleRate, hz: f64, dbfs: f64) -> Self {
        Self {
            step: std::f64::consts::TAU * hz / f64::from(rate.hz()),
            phase: 0.0,
            amplitude: f64::from(i16::MAX) * 10_f64.powf(dbfs.min(0.0) / 20.0),
            ramp_samples: rate.samples_in_ms(RAMP_MS),
            ramp: 0,
            stopping: false,
        }
    }

    /// Lets the tone fall silent within the next 5 ms of output.
    pub const fn stop(&mut self) {
        self.stopping = true;
    }

    /// Overwrites `samples` with the next part of the tone.
    pub fn fill(&mut self, samples: &mut [i16]) {
        for sample in samples {
            *sample = self.next().round() as i16;
        }
    }

    fn next(&mut self) -> f64 {
        if self.stopping {
            self.ramp = self.ramp.saturating_sub(1);
        } else {
            self.ramp = (self.ramp + 1).min(self.ramp_samples);
        }
        let value = self.phase.sin() * self.amplitude * self.ramp as f64 / self.ramp_samples as f64;
        self.phase = (self.phase + self.step) % std::f64::consts::TAU;
        value
    }
}

/// What a caller hears while somebody else is rung: 425 Hz for one second, then four of silence (ITU-T E.180, the
/// recommended ringing tone).
#[derive(Clone, Debug)]
pub struct Ringback {
    tone: Tone,
    rate: SampleRate,
    /// Samples since the beginning of the cadence.
    at: usize,
}

impl Ringback {
    const HZ: f64 = 425.0;
    /// Quieter than speech: it is heard for a long time.
    const DBFS: f64 = -20.0;
    const ON_MS: u32 = 1_000;
    const CADENCE_MS: u32 = 5_000;

    /// Begins with the tone.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        Self {
            tone: Tone::new(rate, Self::HZ, Self::DBFS),
            rate,
            at: 0,
        }
    }

    /// Overwrites `samples` with the next part.
    pub fn fill(&mut self, samples: &mut [i16]) {
        for sample in samples {
            if self.at == 0 {
                self.tone = Tone::new(self.rate, Self::HZ, Self::DBFS);
            } else if self.at == self.rate.samples_in_ms(Self::ON_MS) {
                self.tone.stop();
            }
            *sample = self.tone.next().round() as i16;
            self.at = (self.at + 1) % self.rate.samples_in_ms(Self::CADENCE_MS);
        }
    }
}

/// A key of a telephone: 0 to 9, A to D, star and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DtmfDigit(char);

/// A character that is on no telephone key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a DTMF digit: use 0-9, A-D, * or #")]
pub struct UnknownDigit(pub char);

impl DtmfDigit {
    /// The keys as they lie on the pad, row by row.
    const PAD: [char; 16] = [
        '1', '2', '3', 'A', '4', '5', '6', 'B', '7', '8', '9', 'C', '*', '0', '#', 'D',
    ];
    const ROWS_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
    const COLUMNS_HZ: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

    /// The key as a character.
    #[must_use]
    pub const fn as_char(self) -> char {
        self.0
    }

    /// The low and the high frequency of the key, in hertz.
    #[must_use]
    pub fn frequencies_hz(self) -> (f64, f64) {
        let place = Self::PAD.iter().position(|key| *key == self.0).unwrap_or_default();
        (Self::ROWS_HZ[place / 4], Self::COLUMNS_HZ[place % 4])
    }
}

impl TryFrom<char> for DtmfDigit {
    type Error = UnknownDigit;

    fn try_from(key: char) -> Result<Self, Self::Error> {
        let upper = key.to_ascii_uppercase();
        if Self::PAD.contains(&upper) {
            Ok(Self(upper))
        } else {
            Err(UnknownDigit(key))
        }
    }
}

/// Renders digits as sound, for carriers that have no other way to send them.
#[derive(Clone, Copy, Debug)]
pub struct DtmfTone {
    rate: SampleRate,
    on_ms: u32,
    off_ms: u32,
}

impl DtmfTone {
    /// Digits that sound for `on_ms` and are followed by `off_ms` of silence. Receivers need at least 40 ms of each (Q.24).
    #[must_use]
    pub const fn new(rate: SampleRate, on_ms: u32, off_ms: u32) -> Self {
        Self { rate, on_ms, off_ms }
    }

    /// Appends the sound of `digit` and the silence after it.
    pub fn render(self, digit: DtmfDigit, output: &mut Vec<i16>) {
        let (low_hz, high_hz) = digit.frequencies_hz();
        let mut low = Tone::new(self.rate, low_hz, DTMF_DBFS);
        let mut high = Tone::new(self.rate, high_hz, DTMF_DBFS);
        let sounding = self.rate.samples_in_ms(self.on_ms);
        let ramp_from = sounding.saturating_sub(self.rate.samples_in_ms(RAMP_MS));
        output.extend((0..sounding).map(|n| {
            if n == ramp_from {
                low.stop();
                high.stop();
            }
            (low.next() + high.next()).round() as i16
        }));
        output.resize(output.len() + self.rate.samples_in_ms(self.off_ms), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Amplitude of one frequency, relative to full scale, by correlation.
    fn amplitude(samples: &[i16], rate: SampleRate, hz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let (sin, cos) = (std::f64::consts::TAU * hz * n as f64 / f64::from(rate.hz())).sin_cos();
            re += f64::from(*sample) * cos;
            im += f64::from(*sample) * sin;
        }
        2.0 * re.hypot(im) / samples.len() as f64 / 32_768.0
    }

    #[test]
    fn a_ringing_tone_sounds_for_one_second_in_five() {
        for rate in SampleRate::ALL {
            let mut ringback = Ringback::new(rate);
            // In pieces that do not fit the cadence.
            let mut samples = vec![0; rate.samples_in_ms(10_000)];
            for piece in samples.chunks_mut(rate.samples_in_ms(7)) {
                ringback.fill(piece);
            }
            for second in 0..10 {
                let sound = &samples[second * rate.samples_in_ms(1_000)..][..rate.samples_in_ms(900)];
                let heard = amplitude(sound, rate, 425.0);
                let expected = if second % 5 == 0 { 0.1 } else { 0.0 };
                assert!((heard - expected).abs() < 0.005, "{heard} in second {second}");
            }
        }
    }

    #[test]
    fn a_tone_has_its_frequency_and_level_and_soft_ends() {
        for rate in SampleRate::ALL {
            let mut tone = Tone::new(rate, 1_000.0, -6.0);
            let mut samples = vec![0; rate.samples_in_ms(200)];
            tone.fill(&mut samples);
            let level = 20.0 * amplitude(&samples[rate.samples_in_ms(100)..], rate, 1_000.0).log10();
            assert!((level + 6.0).abs() < 0.05, "{rate:?}: {level} dB");
            assert!(
                samples[..rate.samples_in_ms(1)]
                    .iter()
                    .all(|sample| sample.abs() < 4_000)
            );
            tone.stop();
            tone.fill(&mut samples);
            assert!(samples[rate.samples_in_ms(5)..].iter().all(|sample| *sample == 0));
        }
    }

    #[test]
    fn a_digit_has_its_two_frequencies_and_no_other() {
        let rate = SampleRate::Hz8000;
        for key in DtmfDigit::PAD {
            let digit = DtmfDigit::try_from(key).unwrap();
            let mut samples = Vec::new();
            DtmfTone::new(rate, 110, 50).render(digit, &mut samples);
            assert_eq!(samples.len(), 160 * 8);
            let steady = &samples[40..840];
            let (low, high) = digit.frequencies_hz();
            for hz in DtmfDigit::ROWS_HZ.into_iter().chain(DtmfDigit::COLUMNS_HZ) {
                let amplitude = amplitude(steady, rate, hz);
                assert_eq!(
                    amplitude > 0.3,
                    hz == low || hz == high,
                    "{key}: {amplitude} at {hz} Hz"
                );
            }
        }
        assert_eq!(DtmfDigit::try_from('d').map(DtmfDigit::as_char), Ok('D'));
        assert_eq!(DtmfDigit::try_from('E'), Err(UnknownDigit('E')));
    }
}
