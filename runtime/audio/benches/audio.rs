//! What one 20 ms frame costs: each codec, each resampler, and the whole path of a call in each direction.
//!
//! Times are per frame, so a core carries 20 ms divided by them.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use strowger_audio::{
    Encoding, Inbound, Monotonic, Playout, PlayoutConfig, PlayoutEvent, Resampler, SampleRate, Tone, WireFormat,
};

const FRAME_MS: u32 = 20;

fn frame(rate: SampleRate) -> Vec<i16> {
    let mut samples = vec![0; rate.samples_in_ms(FRAME_MS)];
    Tone::new(rate, 440.0, -6.0).fill(&mut samples);
    samples
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    for encoding in [Encoding::Pcmu, Encoding::Pcma, Encoding::L16Le, Encoding::L16Be] {
        let wire = WireFormat::new(encoding, SampleRate::Hz8000);
        let samples = frame(wire.rate);
        let (mut bytes, mut decoded) = (Vec::new(), Vec::new());
        group.bench_function(format!("encode {encoding:?} 8k"), |bencher| {
            bencher.iter(|| {
                bytes.clear();
                wire.encode(black_box(&samples), &mut bytes);
            });
        });
        group.bench_function(format!("decode {encoding:?} 8k"), |bencher| {
            bencher.iter(|| {
                decoded.clear();
                black_box(wire.decode(black_box(&bytes), &mut decoded))
            });
        });
    }
    group.finish();
}

fn resampler(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resampler");
    for from in SampleRate::ALL {
        for to in SampleRate::ALL.into_iter().filter(|to| *to != from) {
            let input = frame(from);
            let mut resampler = Resampler::new(from, to);
            let mut output = Vec::new();
            group.bench_function(format!("{}k to {}k", from.hz() / 1_000, to.hz() / 1_000), |bencher| {
                bencher.iter(|| {
                    output.clear();
                    resampler.process(black_box(&input), &mut output);
                });
            });
        }
    }
    group.bench_function("design 8k to 24k", |bencher| {
        bencher.iter(|| Resampler::new(SampleRate::Hz8000, SampleRate::Hz24000));
    });
    group.finish();
}

fn call(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("call");
    let wire = WireFormat::new(Encoding::Pcmu, SampleRate::Hz8000);
    for agent_rate in [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz24000] {
        let khz = agent_rate.hz() / 1_000;
        let mut payload = Vec::new();
        wire.encode(&frame(wire.rate), &mut payload);
        let mut inbound = Inbound::new(wire, agent_rate, FRAME_MS);
        let (mut output, mut sequence) = (Vec::new(), 0);
        group.bench_function(format!("inbound PCMU 8k to agent {khz}k"), |bencher| {
            bencher.iter(|| {
                output.clear();
                sequence += 1;
                inbound.push(black_box(&payload), Some(sequence), Some(sequence * 20), &mut output);
            });
        });

        let samples = frame(agent_rate);
        let mut now = Monotonic::default();
        let mut playout = Playout::new(PlayoutConfig::new(wire, agent_rate), now);
        group.bench_function(format!("playout agent {khz}k to PCMU 8k"), |bencher| {
            bencher.iter(|| {
                now = now + Duration::from_millis(u64::from(FRAME_MS));
                let taken = playout.push_audio(black_box(&samples));
                while let Some(event) = playout.poll(now) {
                    if let PlayoutEvent::Frame(frame) = event {
                        black_box(frame.payload);
                    }
                }
                taken
            });
        });
    }
    group.finish();
}

criterion_group!(benches, codec, resampler, call);
criterion_main!(benches);
