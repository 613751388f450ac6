//! The resampler's published figures, measured and asserted. Run with `--nocapture` to see them.
//!
//! Tones are at -6 dBFS unless said otherwise. A level is found by fitting a sine of known frequency (least squares), and what
//! the fit leaves is noise and distortion.
#![expect(clippy::print_stdout, reason = "the figures are published from here")]

use proptest::prelude::*;
use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};
use strowger_audio::{Resampler, SampleRate};

/// The usual stand-in for 1 kHz: prime, so that quantisation noise is spread instead of locked to the tone.
const ONE_KHZ: f64 = 997.0;
const MINUS_6_DBFS: f64 = 16_384.0;

/// Every pair of different rates.
fn pairs() -> impl Iterator<Item = (SampleRate, SampleRate)> {
    SampleRate::ALL
        .into_iter()
        .flat_map(|from| SampleRate::ALL.map(|to| (from, to)))
        .filter(|(from, to)| from != to)
}

fn name((from, to): (SampleRate, SampleRate)) -> String {
    format!("{:>2}k to {:>2}k", from.hz() / 1_000, to.hz() / 1_000)
}

fn sine(rate: SampleRate, hz: f64, amplitude: f64, count: usize) -> Vec<i16> {
    let step = std::f64::consts::TAU * hz / f64::from(rate.hz());
    (0..count)
        .map(|n| ((n as f64 * step + 0.3).sin() * amplitude).round() as i16)
        .collect()
}

fn resample((from, to): (SampleRate, SampleRate), input: &[i16]) -> Vec<i16> {
    let mut output = Vec::new();
    Resampler::new(from, to).process(input, &mut output);
    output
}

/// A second of tone through the resampler, without the time that the filter takes to fill.
fn settled(pair: (SampleRate, SampleRate), hz: f64, amplitude: f64) -> Vec<i16> {
    let output = resample(pair, &sine(pair.0, hz, amplitude, pair.0.hz() as usize));
    output[pair.1.samples_in_ms(10)..].to_vec()
}

/// Amplitude of the tone of `hz` in `samples`, and RMS of what remains without it and without the constant part.
fn fit(samples: &[i16], rate: SampleRate, hz: f64) -> (f64, f64) {
    let count = samples.len() as f64;
    let basis = |n: usize| {
        let (sin, cos) = (std::f64::consts::TAU * hz * n as f64 / f64::from(rate.hz())).sin_cos();
        [sin, cos, 1.0]
    };
    // Normal equations of the three unknowns, solved by elimination.
    let mut rows = [[0.0_f64; 4]; 3];
    for (n, sample) in samples.iter().enumerate() {
        let b = basis(n);
        for (i, row) in rows.iter_mut().enumerate() {
            for (j, cell) in row.iter_mut().take(3).enumerate() {
                *cell += b[i] * b[j];
            }
            row[3] += b[i] * f64::from(*sample);
        }
    }
    for pivot in 0..3 {
        let pivot_row = rows[pivot];
        for (i, row) in rows.iter_mut().enumerate() {
            if i != pivot {
                let factor = row[pivot] / pivot_row[pivot];
                for (cell, above) in row.iter_mut().zip(pivot_row) {
                    *cell -= factor * above;
                }
            }
        }
    }
    let [a, b, c] = [0, 1, 2].map(|i| rows[i][3] / rows[i][i]);
    let residue: f64 = samples
        .iter()
        .enumerate()
        .map(|(n, sample)| {
            let [sin, cos, one] = basis(n);
            (f64::from(*sample) - a * sin - b * cos - c * one).powi(2)
        })
        .sum();
    (a.hypot(b), (residue / count).sqrt())
}

fn db(ratio: f64) -> f64 {
    20.0 * ratio.log10()
}

fn sinad(pair: (SampleRate, SampleRate), hz: f64) -> f64 {
    let (amplitude, residue) = fit(&settled(pair, hz, MINUS_6_DBFS), pair.1, hz);
    db(amplitude / 2_f64.sqrt() / residue)
}

#[test]
fn signal_to_noise_and_distortion() {
    for pair in pairs() {
        let (low, high) = (sinad(pair, ONE_KHZ), sinad(pair, 3_391.0));
        println!("{}: SINAD {low:.1} dB at 1 kHz, {high:.1} dB at 3.4 kHz", name(pair));
        assert!(low >= 85.0, "{}: {low}", name(pair));
        assert!(high >= 85.0, "{}: {high}", name(pair));
    }
}

#[test]
fn tones_above_the_band_do_not_fold_back_into_it() {
    for pair in pairs().filter(|(from, to)| from > to) {
        let (from, to) = (f64::from(pair.0.hz()), f64::from(pair.1.hz()));
        // 4.6 kHz for 8 kHz, and in proportion.
        let stop_hz = to * 0.575;
        let worst = (0..=150)
            .map(|n| stop_hz + (from / 2.0 - 20.0 - stop_hz) * f64::from(n) / 150.0)
            .map(|hz| {
                // Where the tone would appear, and everything else that it causes.
                let folded = (hz + to / 2.0).rem_euclid(to) - to / 2.0;
                let output = settled(pair, hz, MINUS_6_DBFS);
                db(fit(&output, pair.1, folded.abs()).0 / MINUS_6_DBFS)
            })
            .fold(f64::MIN, f64::max);
        println!("{}: alias at most {worst:.1} dB from {stop_hz:.0} Hz up", name(pair));
        assert!(worst <= -80.0, "{}: {worst}", name(pair));
    }
}

#[test]
fn tones_leave_no_images_above_the_band() {
    for pair in pairs().filter(|(from, to)| from < to) {
        let (from, to) = (f64::from(pair.0.hz()), f64::from(pair.1.hz()));
        let pass_hz = from * 0.425;
        let mut worst = f64::MIN;
        for n in 0..=40 {
            let hz = 103.0 + (pass_hz - 103.0) * f64::from(n) / 40.0;
            let output = settled(pair, hz, MINUS_6_DBFS);
            let images = (1..)
                .map(|k| f64::from(k) * from)
                .flat_map(|centre| [centre - hz, centre + hz]);
            for image in images.take_while(|image| *image < to / 2.0) {
                // The tone itself is in the output as well, so this takes the measurement that is blind to it.
                let (amplitude, _) = phasor(output.iter().map(|sample| f64::from(*sample)), pair.1, image);
                worst = worst.max(db(amplitude / MINUS_6_DBFS));
            }
        }
        println!("{}: images at most {worst:.1} dB up to {pass_hz:.0} Hz", name(pair));
        assert!(worst <= -80.0, "{}: {worst}", name(pair));
    }
}

#[test]
fn the_telephone_band_is_flat() {
    for pair in pairs() {
        let gains: Vec<f64> = (0..=64)
            .map(|n| 200.0 + 50.0 * f64::from(n))
            .map(|hz| db(fit(&settled(pair, hz, MINUS_6_DBFS), pair.1, hz).0 / MINUS_6_DBFS))
            .collect();
        let (min, max) = gains.iter().fold((f64::MAX, f64::MIN), |(min, max), gain| {
            (min.min(*gain), max.max(*gain))
        });
        println!("{}: gain {min:+.4} to {max:+.4} dB from 200 to 3400 Hz", name(pair));
        assert!(min >= -0.01 && max <= 0.01, "{}: {min} to {max}", name(pair));
    }
}

#[test]
fn a_constant_stays_constant() {
    for pair in pairs() {
        for level in [1, -1, 1_000, i16::MAX, i16::MIN] {
            let output = resample(pair, &vec![level; pair.0.samples_in_ms(50)]);
            let settled = &output[pair.1.samples_in_ms(10)..];
            assert!(settled.iter().all(|sample| *sample == level), "{}: {level}", name(pair));
        }
    }
}

#[test]
fn full_scale_saturates_and_never_wraps() {
    for pair in pairs() {
        // A square wave at full scale overshoots in any filter with a flat band.
        let half_period = pair.0.samples_in_ms(2);
        let input: Vec<i16> = (0..half_period * 50)
            .map(|n| if n / half_period % 2 == 0 { i16::MAX } else { i16::MIN })
            .collect();
        let output = resample(pair, &input);
        let delay = (Resampler::new(pair.0, pair.1).delay().as_secs_f64() * f64::from(pair.1.hz())).round() as usize;
        let half_period = pair.1.samples_in_ms(2);
        for (n, sample) in output[delay..].iter().enumerate() {
            let place = n % half_period;
            // Away from the edges the sign is the input's, and the level near it.
            if place > half_period / 4 && place < half_period * 3 / 4 {
                let high = n / half_period % 2 == 0;
                assert!(
                    if high { *sample > 26_000 } else { *sample < -26_000 },
                    "{}: {n}: {sample}",
                    name(pair)
                );
            }
        }
        assert!(output.contains(&i16::MAX) && output.contains(&i16::MIN));

        // A sine at full scale is hardly distorted: rounding may clip its tips by one step.
        let (amplitude, residue) = fit(&settled(pair, ONE_KHZ, 32_767.0), pair.1, ONE_KHZ);
        let sinad = db(amplitude / 2_f64.sqrt() / residue);
        assert!(sinad >= 85.0, "{}: {sinad}", name(pair));
    }
}

#[test]
fn the_delay_is_what_it_says() {
    for pair in pairs() {
        let delay = Resampler::new(pair.0, pair.1).delay();
        // The centre of gravity of the impulse response.
        let mut input = vec![0; pair.0.samples_in_ms(20)];
        input[0] = i16::MAX;
        let output = resample(pair, &input);
        let (moment, mass) = output
            .iter()
            .enumerate()
            .fold((0.0, 0.0), |(moment, mass), (n, sample)| {
                (moment + n as f64 * f64::from(*sample), mass + f64::from(*sample))
            });
        let measured_ms = moment / mass / f64::from(pair.1.hz()) * 1_000.0;
        println!("{}: delay {measured_ms:.3} ms", name(pair));
        assert!(
            (measured_ms - delay.as_secs_f64() * 1_000.0).abs() < 0.02,
            "{}: {measured_ms}",
            name(pair)
        );
        assert!(measured_ms <= 2.5);
    }
}

#[test]
fn every_chunk_size_gives_the_same_samples() {
    for pair in pairs() {
        let input = noise(4 * 960);
        let whole = resample(pair, &input);
        for size in 1..=960 {
            let mut resampler = Resampler::new(pair.0, pair.1);
            let mut output = Vec::with_capacity(whole.len());
            for chunk in input.chunks(size) {
                resampler.process(chunk, &mut output);
            }
            assert!(output == whole, "{} differs in chunks of {size}", name(pair));
        }
    }
}

#[test]
fn a_flushed_resampler_has_given_all_and_starts_anew() {
    for pair in pairs() {
        let input = noise(1_001);
        let mut resampler = Resampler::new(pair.0, pair.1);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        resampler.process(&input, &mut first);
        resampler.flush(&mut first);
        resampler.process(&input, &mut second);
        resampler.flush(&mut second);
        assert_eq!(first, second);
        let tail_ms = resampler.delay().as_secs_f64() * 1_000.0;
        let expected = 1_001.0 / f64::from(pair.0.hz()) * 1_000.0 + tail_ms;
        let given = first.len() as f64 / f64::from(pair.1.hz()) * 1_000.0;
        assert!(
            (given - expected).abs() < 0.2,
            "{}: {given} ms, {expected} expected",
            name(pair)
        );
    }
}

/// The same signal through an independent resampler: an FFT over the whole clip, with no bound on its delay.
#[test]
fn an_independent_resampler_agrees() {
    for pair in pairs() {
        // Nine tones of the telephone band; noise would show where the two filters end, and they end differently.
        let tones = [211.0, 397.0, 701.0, 997.0, 1_409.0, 1_811.0, 2_311.0, 2_803.0, 3_307.0];
        let mut input = vec![0_i16; pair.0.hz() as usize];
        for hz in tones {
            for (sum, sample) in input.iter_mut().zip(sine(pair.0, hz, 3_000.0, pair.0.hz() as usize)) {
                *sum += sample;
            }
        }
        let ours = resample(pair, &input);

        let (from, to) = (pair.0.hz() as usize, pair.1.hz() as usize);
        let clip = [input.iter().map(|sample| f64::from(*sample)).collect::<Vec<_>>()];
        let clip = SequentialSliceOfVecs::new(&clip, 1, from).expect("one channel of one second");
        // A block length whose half is a whole number of samples at every rate, so that its delay is trimmed exactly.
        let window = WindowFunction::BlackmanHarris2;
        let mut reference =
            Fft::<f64>::new_custom(from, to, 2_400, 1, 1, window, FixedSync::Both).expect("supported rates");
        let theirs = reference
            .process_all(&clip, from, None)
            .expect("a clip of one second")
            .take_data();

        // Every tone has the same level in both, and lies later in ours by the delay.
        let delay = Resampler::new(pair.0, pair.1).delay().as_secs_f64();
        let middle = pair.1.samples_in_ms(200)..pair.1.samples_in_ms(800);
        for hz in tones {
            let ours = phasor(ours[middle.clone()].iter().map(|sample| f64::from(*sample)), pair.1, hz);
            let theirs = phasor(theirs[middle.clone()].iter().copied(), pair.1, hz);
            let level = db(ours.0 / theirs.0);
            assert!(level.abs() < 0.02, "{} at {hz} Hz: {level} dB apart", name(pair));
            let turn = std::f64::consts::TAU;
            let angle = (ours.1 - theirs.1 + turn * hz * delay + turn / 2.0).rem_euclid(turn) - turn / 2.0;
            let micros = angle / turn / hz * 1e6;
            assert!(micros.abs() < 1.0, "{} at {hz} Hz: {micros} us apart", name(pair));
        }
    }
}

/// Amplitude and phase of one tone of several. The window keeps the others out.
fn phasor(samples: impl ExactSizeIterator<Item = f64>, rate: SampleRate, hz: f64) -> (f64, f64) {
    let count = samples.len() as f64;
    let (mut re, mut im, mut weight) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.enumerate() {
        let x = std::f64::consts::TAU * (n as f64 + 0.5) / count;
        let window = 0.358_75 - 0.488_29 * x.cos() + 0.141_28 * (2.0 * x).cos() - 0.011_68 * (3.0 * x).cos();
        let (sin, cos) = (std::f64::consts::TAU * hz * n as f64 / f64::from(rate.hz())).sin_cos();
        re += window * sample * cos;
        im -= window * sample * sin;
        weight += window;
    }
    (2.0 * re.hypot(im) / weight, im.atan2(re))
}

/// White noise at full scale from a small fixed generator.
fn noise(count: usize) -> Vec<i16> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 48) as i16
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_gives_the_same_samples(input: Vec<i16>, cuts: Vec<u8>, pair in 0..12_usize) {
        let pair = pairs().nth(pair).expect("twelve pairs");
        let mut resampler = Resampler::new(pair.0, pair.1);
        let (mut output, mut rest) = (Vec::new(), &input[..]);
        for cut in cuts {
            let (chunk, after) = rest.split_at(usize::from(cut).min(rest.len()));
            resampler.process(chunk, &mut output);
            rest = after;
        }
        resampler.process(rest, &mut output);
        prop_assert_eq!(output, resample(pair, &input));
    }
}
