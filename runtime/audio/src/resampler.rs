//! Conversion between the four sample rates with one streaming polyphase filter.
//!
//! The rates are small integer ratios of one another, so the signal is, in thought, raised to the lowest common multiple of
//! both rates by inserting zeros, filtered there once, and lowered to the target rate by dropping samples. The polyphase form
//! computes only the products that matter. The filter is a Kaiser-windowed sinc, symmetric, hence of constant delay.
//!
//! Its numbers, for 8 kHz on either side: flat to 3.4 kHz, stopped from 4.6 kHz, with 1.2 kHz between and a delay of 2.4 ms.
//! Between higher rates the same shape is scaled by the lower of them, which shortens the delay in proportion. The figures are
//! asserted, over all pairs of rates, by `tests/resampler.rs`.

use std::time::Duration;

use crate::wire::SampleRate;

/// Half the filter's length in periods of the lower rate. The delay is this long: 19.5 periods of 8 kHz are 2.4375 ms, the
/// longest that stays clear of 2.5 ms; 1.2 kHz of transition band then leave 91 dB of attenuation.
const HALF_LENGTH_PERIODS: f64 = 19.5;
/// The Kaiser window's shape for 91 dB: 0.1102 (A - 8.7).
const KAISER_BETA: f64 = 9.07;
/// Outputs of one phase that are summed side by side. Each has a sum of its own, taken in the order of the coefficients, so
/// the result is the same for any grouping, and the compiler turns the group into vector operations. 32 sums are what the
/// registers of the oldest 64 bit processors hold beside the operands.
const BATCH_ROUNDS: usize = 32;

/// Converts one stream from one rate to another. The output depends only on the samples, not on how they were cut into
/// chunks, down to the last bit. Full-scale input that overshoots in the filter saturates; it never wraps.
///
/// Between equal rates samples pass unchanged and undelayed.
#[derive(Clone, Debug)]
pub struct Resampler {
    from: SampleRate,
    to: SampleRate,
    /// The ratio of the rates: a *round* of `down` input samples makes `up` output samples, each with a phase of its own.
    up: usize,
    down: usize,
    /// Half the filter's length, in samples of the common multiple of both rates.
    half: usize,
    /// What each output of a round sums. Empty between equal rates.
    phases: Vec<Vec<Tap>>,
    /// The input, dealt out to `down` rows: the rounds' first samples, their second ones, and so on. So the samples that one
    /// coefficient meets in successive rounds lie side by side. A row has `history` past rounds, then the batch at work.
    rows: Vec<f32>,
    history: usize,
    /// Samples in the batch at work.
    filled: usize,
}

/// A coefficient, and where in the rows the sample lies that it meets in the first round of the batch.
#[derive(Clone, Copy, Debug)]
struct Tap {
    coefficient: f32,
    place: usize,
}

impl Resampler {
    /// A resampler at the start of a stream, as if silence had come before.
    #[must_use]
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        let divisor = gcd(from.hz(), to.hz());
        let mut resampler = Self {
            from,
            to,
            up: (to.hz() / divisor) as usize,
            down: (from.hz() / divisor) as usize,
            half: 0,
            phases: Vec::new(),
            rows: Vec::new(),
            history: 0,
            filled: 0,
        };
        if from != to {
            resampler.design();
        }
        resampler
    }

    /// The rate of the input.
    #[must_use]
    pub const fn from_rate(&self) -> SampleRate {
        self.from
    }

    /// The rate of the output.
    #[must_use]
    pub const fn to_rate(&self) -> SampleRate {
        self.to
    }

    /// How much later a sound is in the output than in the input, counting both from the first sample: 2.4 ms when the lower
    /// rate is 8 kHz, 1.2 ms for 16, 0.8 ms for 24, nothing between equal rates. It is the same at all frequencies.
    #[must_use]
    pub fn delay(&self) -> Duration {
        let common_hz = u64::from(self.from.hz()) * self.up as u64;
        Duration::from_nanos(self.half as u64 * 1_000_000_000 / common_hz)
    }

    /// Appends to `output` what `input` completes. A whole number of milliseconds in is the same time out; of other lengths
    /// up to five samples wait for the next chunk, because the rates meet only every sixth sample in the worst case.
    pub fn process(&mut self, input: &[i16], output: &mut Vec<i16>) {
        if self.phases.is_empty() {
            output.extend_from_slice(input);
            return;
        }
        let mut rest = input;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(rest.len().min(BATCH_ROUNDS * self.down - self.filled));
            rest = after;
            self.deal_out(batch);
            self.sum_up(output);
        }
    }

    /// Ends the stream: appends what the filter still holds (as much as [`delay`](Self::delay) says) and starts anew.
    pub fn flush(&mut self, output: &mut Vec<i16>) {
        // Enough silence for the last sample to reach the middle of the filter, in whole rounds.
        let samples = (self.filled + self.half.div_ceil(self.up)).next_multiple_of(self.down) - self.filled;
        for _ in 0..samples {
            self.process(&[0], output);
        }
        self.reset();
    }

    /// Forgets the stream, as if silence had come before.
    pub fn reset(&mut self) {
        self.rows.fill(0.0);
        self.filled = 0;
    }

    /// Appends samples to the batch at work, which has room for them.
    fn deal_out(&mut self, samples: &[i16]) {
        for first in 0..self.down.min(samples.len()) {
            let at = self.filled + first;
            let place = self.place(at % self.down, at / self.down);
            for (slot, sample) in self.rows[place..]
                .iter_mut()
                .zip(samples[first..].iter().step_by(self.down))
            {
                *slot = f32::from(*sample);
            }
        }
        self.filled += samples.len();
    }

    /// Computes the outputs of all whole rounds in the batch, and makes the batch history.
    fn sum_up(&mut self, output: &mut Vec<i16>) {
        let rounds = self.filled / self.down;
        if rounds == 0 {
            return;
        }
        let from = output.len();
        output.resize(from + rounds * self.up, 0);
        for (phase, taps) in self.phases.iter().enumerate() {
            let mut sums = [0.0_f32; BATCH_ROUNDS];
            for tap in taps {
                let samples = &self.rows[tap.place..tap.place + BATCH_ROUNDS];
                for (sum, sample) in sums.iter_mut().zip(samples) {
                    *sum += tap.coefficient * sample;
                }
            }
            // Rounds that are not whole yet have sums of no meaning; the zip leaves them out.
            let samples = sums.map(quantise);
            for (slot, sample) in output[from + phase..].iter_mut().step_by(self.up).zip(samples) {
                *slot = sample;
            }
        }
        let row = self.row();
        for row in self.rows.chunks_exact_mut(row) {
            // One round more than the history: it may have begun already.
            row.copy_within(rounds..(rounds + self.history + 1).min(row.len()), 0);
        }
        self.filled -= rounds * self.down;
    }

    fn design(&mut self) {
        let common_hz = f64::from(self.from.hz()) * self.up as f64;
        let lower_hz = f64::from(self.from.hz().min(self.to.hz()));
        self.half = (HALF_LENGTH_PERIODS * common_hz / lower_hz) as usize;
        let length = 2 * self.half + 1;
        self.history = length.div_ceil(self.up * self.down);
        self.rows = vec![0.0; self.row() * self.down];
        for output in 0..self.up {
            // In the common multiple of the rates, the output lies `phase` samples after the input sample `newest`.
            let (newest, phase) = (output * self.down / self.up, output * self.down % self.up);
            let coefficients: Vec<f64> = (phase..length)
                .step_by(self.up)
                .map(|tap| {
                    let offset = tap as f64 - self.half as f64;
                    // The cut-off lies in the middle of the transition band, at half the lower rate.
                    sinc(offset * lower_hz / common_hz) * kaiser(offset / (self.half as f64 + 1.0))
                })
                .collect();
            // Each phase gets a gain of exactly one at 0 Hz. Otherwise a constant input would come out with a ripple at the
            // lower rate, which no stop band removes because it is part of the design.
            let gain: f64 = coefficients.iter().sum();
            let taps = coefficients.iter().enumerate().map(|(age, coefficient)| {
                // Counted from the beginning of the history, so that the age can be taken off.
                let at = self.history * self.down + newest - age;
                let place = at % self.down * self.row() + at / self.down;
                Tap {
                    coefficient: (coefficient / gain) as f32,
                    place,
                }
            });
            self.phases.push(taps.collect());
        }
    }

    /// Where sample `row` of round `round` of the batch lies.
    const fn place(&self, row: usize, round: usize) -> usize {
        row * self.row() + self.history + round
    }

    /// The length of a row.
    const fn row(&self) -> usize {
        self.history + BATCH_ROUNDS
    }
}

/// The nearest 16 bit sample, saturating.
#[inline]
fn quantise(sample: f32) -> i16 {
    // Adding 1.5 * 2^23 leaves no room for a fraction, so the addition itself rounds; `round` would be a call into the
    // mathematics library on processors without an instruction for it.
    const ROUNDING: f32 = 12_582_912.0;
    let clamped = sample.clamp(f32::from(i16::MIN), f32::from(i16::MAX));
    ((clamped + ROUNDING) - ROUNDING) as i16
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        1.0
    } else {
        (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x)
    }
}

/// The Kaiser window from -1 to 1, without its constant factor, which the normalisation of the phases takes out anyway.
fn kaiser(x: f64) -> f64 {
    bessel_i0(KAISER_BETA * (1.0 - x * x).max(0.0).sqrt())
}

/// The modified Bessel function of the first kind and order zero, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut sum, mut term, mut n) = (1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        term *= quarter / (n * n);
        sum += term;
        n += 1.0;
    }
    sum
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_and_saturates() {
        for (sample, expected) in [
            (0.4, 0),
            (0.6, 1),
            (-0.6, -1),
            (32_766.6, 32_767),
            (40_000.0, i16::MAX),
            (-1e9, i16::MIN),
        ] {
            assert_eq!(quantise(sample), expected, "{sample}");
        }
    }

    #[test]
    fn equal_rates_pass_samples_unchanged() {
        for rate in SampleRate::ALL {
            let mut resampler = Resampler::new(rate, rate);
            let mut out = Vec::new();
            resampler.process(&[1, -2, i16::MIN], &mut out);
            resampler.flush(&mut out);
            assert_eq!(out, [1, -2, i16::MIN]);
            assert_eq!(resampler.delay(), Duration::ZERO);
        }
    }

    #[test]
    fn every_pair_keeps_time_and_the_delay_is_short() {
        for from in SampleRate::ALL {
            for to in SampleRate::ALL {
                let mut resampler = Resampler::new(from, to);
                let mut out = Vec::new();
                resampler.process(&vec![0; from.samples_in_ms(20)], &mut out);
                assert_eq!(out.len(), to.samples_in_ms(20), "{from:?} to {to:?}");
                assert!(resampler.delay() <= Duration::from_micros(2_500));
            }
        }
    }
}
