//! Concealment of lost frames: the last pitch period goes on and fades out.
//!
//! Silence in place of a lost frame is heard as a click at both ends and costs speech recognition more than the missing
//! 20 ms. Repeating the last period of the voice at its own pitch is heard as the voice; this is the idea of ITU-T G.711
//! Appendix I, without that algorithm's delay.

use crate::wire::SampleRate;

/// The shortest and longest pitch period looked for: 400 Hz to 66 Hz, the range of voices.
const PITCH_US_MIN: usize = 2_500;
const PITCH_US_MAX: usize = 15_000;
/// How much of the recent past is compared with what lies one period before.
const TEMPLATE_MS: u32 = 10;
/// Past that is kept: the longest period before the whole template, rounded up.
const HISTORY_MS: u32 = 25;
/// The concealment keeps its level for so long, ...
const HOLD_MS: u32 = 10;
/// ... and is silent after so long. A voice that goes on for longer without change is heard as a buzz.
const FADE_END_MS: u32 = 60;
/// The first good samples after a loss are blended with the concealment for so long.
const BLEND_MS: u32 = 4;

/// Watches a stream of samples at one rate and stands in when some are missing.
#[derive(Clone, Debug)]
pub(crate) struct Concealer {
    rate: SampleRate,
    /// The last [`HISTORY_MS`] of what was delivered, oldest first.
    history: Vec<i16>,
    lost: Option<Loss>,
}

#[derive(Clone, Copy, Debug)]
struct Loss {
    /// Pitch period in samples.
    period: usize,
    /// Samples made up so far.
    made: usize,
}

impl Concealer {
    pub(crate) fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            history: vec![0; rate.samples_in_ms(HISTORY_MS)],
            lost: None,
        }
    }

    /// Takes samples that did arrive. The first ones after a loss are changed to make the seam inaudible.
    pub(crate) fn handle_received(&mut self, samples: &mut [i16]) {
        if let Some(mut loss) = self.lost.take() {
            let blend = self.rate.samples_in_ms(BLEND_MS).min(samples.len());
            for (n, sample) in samples[..blend].iter_mut().enumerate() {
                let made_up = i32::from(self.make_up(&mut loss));
                let (new, all) = (n as i32 + 1, blend as i32 + 1);
                *sample = ((i32::from(*sample) * new + made_up * (all - new)) / all) as i16;
            }
        }
        self.remember(samples);
    }

    /// Appends `count` samples in place of lost ones.
    pub(crate) fn conceal(&mut self, count: usize, output: &mut Vec<i16>) {
        let mut loss = self.lost.unwrap_or_else(|| Loss {
            period: self.pitch_period(),
            made: 0,
        });
        output.extend((0..count).map(|_| self.make_up(&mut loss)));
        self.lost = Some(loss);
    }

    fn make_up(&self, loss: &mut Loss) -> i16 {
        let hold = self.rate.samples_in_ms(HOLD_MS);
        let end = self.rate.samples_in_ms(FADE_END_MS);
        let made = loss.made;
        if made >= end {
            return 0;
        }
        loss.made += 1;
        let sample = i32::from(self.history[self.history.len() - loss.period + made % loss.period]);
        if made < hold {
            sample as i16
        } else {
            (sample * (end - made) as i32 / (end - hold) as i32) as i16
        }
    }

    fn remember(&mut self, samples: &[i16]) {
        let keep = self.history.len();
        if let Some(recent) = samples.len().checked_sub(keep) {
            self.history.copy_from_slice(&samples[recent..]);
        } else {
            self.history.copy_within(samples.len().., 0);
            self.history[keep - samples.len()..].copy_from_slice(samples);
        }
    }

    /// The lag at which the recent past resembles itself most, in samples.
    fn pitch_period(&self) -> usize {
        // At the higher rates every second, third or sixth sample shows the pitch as well.
        let stride = self.rate.samples_in_ms(1) / 8;
        let (min, max) = (8 * stride * PITCH_US_MIN / 1_000, 8 * stride * PITCH_US_MAX / 1_000);
        let template = self.rate.samples_in_ms(TEMPLATE_MS);
        let now = &self.history[self.history.len() - template..];
        let mut best = (f64::MIN, max);
        for period in (min..=max).step_by(stride) {
            let before = &self.history[self.history.len() - template - period..][..template];
            let (mut product, mut energy) = (0_i64, 0_i64);
            for (a, b) in now.iter().step_by(stride).zip(before.iter().step_by(stride)) {
                product += i64::from(*a) * i64::from(*b);
                energy += i64::from(*b) * i64::from(*b);
            }
            // An anti-phase match scores below everything that is in phase, and silence below any sound.
            let score = product as f64 / (energy as f64 + 1.0).sqrt();
            if score > best.0 {
                best = (score, period);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buzz of 125 Hz with harmonics, roughly what a vowel looks like.
    fn vowel(rate: SampleRate, from: usize, count: usize) -> Vec<i16> {
        (from..from + count)
            .map(|n| {
                let t = n as f64 / f64::from(rate.hz()) * std::f64::consts::TAU * 125.0;
                (3_000.0 * (t.sin() + 0.6 * (2.0 * t).sin() + 0.8 * (5.0 * t + 0.4).sin())) as i16
            })
            .collect()
    }

    fn energy(samples: impl Iterator<Item = i32>) -> f64 {
        samples.map(|sample| f64::from(sample).powi(2)).sum()
    }

    #[test]
    fn a_vowel_goes_on_at_its_pitch() {
        for rate in SampleRate::ALL {
            let frame = rate.samples_in_ms(20);
            let mut concealer = Concealer::new(rate);
            concealer.handle_received(&mut vowel(rate, 0, 3 * frame));
            let mut made_up = Vec::new();
            concealer.conceal(rate.samples_in_ms(HOLD_MS), &mut made_up);
            let truth = vowel(rate, 3 * frame, made_up.len());
            let error = energy(truth.iter().zip(&made_up).map(|(a, b)| i32::from(*a) - i32::from(*b)));
            let signal = energy(truth.iter().map(|sample| i32::from(*sample)));
            assert!(
                error < signal / 100.0,
                "{rate:?}: {:.1} dB",
                10.0 * (error / signal).log10()
            );
        }
    }

    #[test]
    fn a_long_loss_fades_to_silence_and_the_voice_comes_back_softly() {
        let rate = SampleRate::Hz8000;
        let mut concealer = Concealer::new(rate);
        concealer.handle_received(&mut vowel(rate, 0, 480));
        let mut made_up = Vec::new();
        concealer.conceal(160, &mut made_up);
        concealer.conceal(640, &mut made_up);
        assert!(made_up[480..].iter().all(|sample| *sample == 0));
        assert!(made_up[300..400].iter().any(|sample| *sample != 0));
        let mut back = vec![10_000; 160];
        concealer.handle_received(&mut back);
        assert!(back[0] < 1_000 && back[..32].is_sorted() && back[32..].iter().all(|sample| *sample == 10_000));
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        let mut concealer = Concealer::new(SampleRate::Hz8000);
        let mut made_up = Vec::new();
        concealer.conceal(320, &mut made_up);
        assert_eq!(made_up, [0; 320]);
    }
}
