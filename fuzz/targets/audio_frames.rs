//! A carrier's audio: any length, any order, any time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strowger_audio::{Encoding, Inbound, SampleRate, WireFormat};

/// What one frame may make of itself: the gap before it that is filled, and its own samples at the highest rate.
const SAMPLES_MAX: usize = 6 * 48_000;

fuzz_target!(|input: (u8, Vec<(Vec<u8>, Option<u64>, Option<u64>)>)| {
    let (format, frames) = input;
    let encodings = [Encoding::Pcmu, Encoding::Pcma, Encoding::L16Le, Encoding::L16Be];
    let rates = [
        SampleRate::Hz8000,
        SampleRate::Hz16000,
        SampleRate::Hz24000,
        SampleRate::Hz48000,
    ];
    let encoding = encodings[usize::from(format % 4)];
    let rate = match encoding {
        Encoding::Pcmu | Encoding::Pcma => SampleRate::Hz8000,
        _ => rates[usize::from(format / 4 % 4)],
    };
    let wire = WireFormat::new(encoding, rate);
    let mut inbound = Inbound::new(wire, rates[usize::from(format / 16 % 4)], 20);
    let mut output = Vec::new();
    for (payload, sequence, timestamp_ms) in frames.into_iter().take(64) {
        output.clear();
        inbound.push(&payload, sequence, timestamp_ms, &mut output);
        assert!(
            output.len() <= SAMPLES_MAX + 12 * payload.len(),
            "{} samples",
            output.len()
        );
    }
    output.clear();
    inbound.flush(&mut output);
    assert!(output.len() <= SAMPLES_MAX, "{} samples at the end", output.len());
});
