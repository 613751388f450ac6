//! What audio looks like on a carrier's socket: encoding and sample rate, and the way between bytes and samples.

use crate::g711::{ALAW_SILENCE, ALAW_TO_LINEAR, ULAW_SILENCE, ULAW_TO_LINEAR, alaw_from_linear, ulaw_from_linear};

/// A sample rate that the gateway carries. These four divide one another into small ratios, which is what the
/// resampler is built for; carriers and agents use no other for speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleRate {
    /// 8,000 Hz, telephone band.
    Hz8000,
    /// 16,000 Hz, wide band.
    Hz16000,
    /// 24,000 Hz, what most speech models speak.
    Hz24000,
    /// 48,000 Hz, full band.
    Hz48000,
}

/// A sample rate that is none of 8,000, 16,000, 24,000 and 48,000 Hz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sample rate of {0} Hz is not supported: use 8000, 16000, 24000 or 48000")]
pub struct UnsupportedRate(pub u32);

impl SampleRate {
    /// All rates, lowest first.
    pub const ALL: [Self; 4] = [Self::Hz8000, Self::Hz16000, Self::Hz24000, Self::Hz48000];

    /// Samples per second.
    #[must_use]
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz16000 => 16_000,
            Self::Hz24000 => 24_000,
            Self::Hz48000 => 48_000,
        }
    }

    /// Samples in `ms` milliseconds: exact, because every rate is a multiple of 1,000.
    #[must_use]
    pub const fn samples_in_ms(self, ms: u32) -> usize {
        (self.hz() / 1_000) as usize * ms as usize
    }

    /// Whole milliseconds that `samples` samples last.
    #[must_use]
    pub const fn ms_of_samples(self, samples: u64) -> u64 {
        samples / (self.hz() / 1_000) as u64
    }
}

impl TryFrom<u32> for SampleRate {
    type Error = UnsupportedRate;

    fn try_from(hz: u32) -> Result<Self, Self::Error> {
        Self::ALL
            .into_iter()
            .find(|rate| rate.hz() == hz)
            .ok_or(UnsupportedRate(hz))
    }
}

/// How a sample is written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// G.711 mu-law, one byte a sample.
    Pcmu,
    /// G.711 A-law, one byte a sample.
    Pcma,
    /// 16 bit linear, low byte first.
    L16Le,
    /// 16 bit linear, high byte first (network order, as in RTP).
    L16Be,
}

impl Encoding {
    /// Bytes that one sample takes.
    #[must_use]
    pub const fn sample_bytes(self) -> usize {
        match self {
            Self::Pcmu | Self::Pcma => 1,
            Self::L16Le | Self::L16Be => 2,
        }
    }

    /// The byte of which silence consists.
    #[must_use]
    pub const fn silence_byte(self) -> u8 {
        match self {
            Self::Pcmu => ULAW_SILENCE,
            Self::Pcma => ALAW_SILENCE,
            Self::L16Le | Self::L16Be => 0,
        }
    }
}

/// The audio format of a media stream: mono, at a rate, in an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WireFormat {
    /// How a sample is written.
    pub encoding: Encoding,
    /// Samples per second.
    pub rate: SampleRate,
}

impl WireFormat {
    /// A format from its two halves.
    #[must_use]
    pub const fn new(encoding: Encoding, rate: SampleRate) -> Self {
        Self { encoding, rate }
    }

    /// Samples in a frame of `frame_ms` milliseconds.
    #[must_use]
    pub const fn frame_samples(self, frame_ms: u32) -> usize {
        self.rate.samples_in_ms(frame_ms)
    }

    /// Bytes in a frame of `frame_ms` milliseconds.
    #[must_use]
    pub const fn frame_bytes(self, frame_ms: u32) -> usize {
        self.frame_samples(frame_ms) * self.encoding.sample_bytes()
    }

    /// A frame of silence.
    #[must_use]
    pub fn silence_frame(self, frame_ms: u32) -> Vec<u8> {
        vec![self.encoding.silence_byte(); self.frame_bytes(frame_ms)]
    }

    /// Appends the samples in `bytes` to `samples` and returns how many bytes at the end did not make a whole sample:
    /// 0, or 1 in the linear encodings. For a stream that is cut anywhere use a [`Decoder`], which keeps such a byte.
    #[must_use = "a byte that makes no sample was either lost or belongs in front of the next chunk"]
    pub fn decode(self, bytes: &[u8], samples: &mut Vec<i16>) -> usize {
        match self.encoding {
            Encoding::Pcmu => samples.extend(bytes.iter().map(|code| ULAW_TO_LINEAR[usize::from(*code)])),
            Encoding::Pcma => samples.extend(bytes.iter().map(|code| ALAW_TO_LINEAR[usize::from(*code)])),
            Encoding::L16Le => samples.extend(bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair))),
            Encoding::L16Be => samples.extend(bytes.as_chunks().0.iter().map(|pair| i16::from_be_bytes(*pair))),
        }
        bytes.len() % self.encoding.sample_bytes()
    }

    /// Appends the encoded `samples` to `bytes`.
    pub fn encode(self, samples: &[i16], bytes: &mut Vec<u8>) {
        match self.encoding {
            Encoding::Pcmu => bytes.extend(samples.iter().map(|sample| ulaw_from_linear(*sample))),
            Encoding::Pcma => bytes.extend(samples.iter().map(|sample| alaw_from_linear(*sample))),
            Encoding::L16Le => encode_linear(samples, bytes, i16::to_le_bytes),
            Encoding::L16Be => encode_linear(samples, bytes, i16::to_be_bytes),
        }
    }
}

/// A decoder for a byte stream that may be cut anywhere, as agents do that pass on what their speech synthesis
/// happened to deliver: half a sample at the end of one chunk is completed by the next.
#[derive(Clone, Debug)]
pub struct Decoder {
    wire: WireFormat,
    carried: Option<u8>,
}

impl Decoder {
    /// A decoder of `wire` at the start of its stream.
    #[must_use]
    pub const fn new(wire: WireFormat) -> Self {
        Self { wire, carried: None }
    }

    /// Appends the samples that `bytes` completes.
    pub fn push(&mut self, bytes: &[u8], samples: &mut Vec<i16>) {
        let mut rest = bytes;
        if let (Some(first), Some((second, after))) = (self.carried, bytes.split_first()) {
            self.carried = None;
            // A pair of whole bytes always decodes: only the linear encodings ever carry one.
            let _ = self.wire.decode(&[first, *second], samples);
            rest = after;
        }
        if self.wire.decode(rest, samples) > 0 {
            self.carried = rest.last().copied();
        }
    }

    /// Forgets half a sample, and says how many bytes that were. For the end of a stream, or of one utterance in it.
    pub fn reset(&mut self) -> usize {
        usize::from(self.carried.take().is_some())
    }
}

fn encode_linear(samples: &[i16], bytes: &mut Vec<u8>, to_bytes: impl Fn(i16) -> [u8; 2]) {
    // Growing once and writing in place is what lets the loop become vector code.
    let from = bytes.len();
    bytes.resize(from + samples.len() * 2, 0);
    for (pair, sample) in bytes[from..].as_chunks_mut().0.iter_mut().zip(samples) {
        *pair = to_bytes(*sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ENCODINGS: [Encoding; 4] = [Encoding::Pcmu, Encoding::Pcma, Encoding::L16Le, Encoding::L16Be];

    #[test]
    fn rates_convert_from_hertz() {
        for rate in SampleRate::ALL {
            assert_eq!(SampleRate::try_from(rate.hz()), Ok(rate));
        }
        assert_eq!(SampleRate::try_from(11_025), Err(UnsupportedRate(11_025)));
    }

    #[test]
    fn frames_have_the_sizes_that_carriers_expect() {
        let bytes = |encoding, rate| WireFormat::new(encoding, rate).frame_bytes(20);
        assert_eq!(bytes(Encoding::Pcmu, SampleRate::Hz8000), 160);
        assert_eq!(bytes(Encoding::Pcma, SampleRate::Hz16000), 320);
        assert_eq!(bytes(Encoding::L16Le, SampleRate::Hz8000), 320);
        assert_eq!(bytes(Encoding::L16Be, SampleRate::Hz24000), 960);
    }

    #[test]
    fn a_silent_frame_decodes_to_almost_nothing() {
        for encoding in ENCODINGS {
            let wire = WireFormat::new(encoding, SampleRate::Hz8000);
            let mut samples = Vec::new();
            assert_eq!(wire.decode(&wire.silence_frame(20), &mut samples), 0);
            assert_eq!(samples.len(), 160);
            // A-law has no zero: its smallest step is 8.
            assert!(samples.iter().all(|sample| sample.abs() <= 8), "{encoding:?}");
        }
    }

    #[test]
    fn half_a_sample_is_reported_and_the_decoder_completes_it() {
        let wire = WireFormat::new(Encoding::L16Be, SampleRate::Hz8000);
        let mut samples = Vec::new();
        assert_eq!(wire.decode(&[0x12, 0x34, 0x56], &mut samples), 1);
        assert_eq!(samples, [0x1234]);

        let mut decoder = Decoder::new(wire);
        samples.clear();
        for chunk in [&[0x12][..], &[], &[0x34, 0x56], &[0x78, 0x12]] {
            decoder.push(chunk, &mut samples);
        }
        assert_eq!(samples, [0x1234, 0x5678]);
        assert_eq!((decoder.reset(), decoder.reset()), (1, 0));
    }

    proptest! {
        #[test]
        fn linear_samples_survive_both_ways(samples: Vec<i16>) {
            for encoding in [Encoding::L16Le, Encoding::L16Be] {
                let wire = WireFormat::new(encoding, SampleRate::Hz16000);
                let (mut bytes, mut back) = (Vec::new(), Vec::new());
                wire.encode(&samples, &mut bytes);
                prop_assert_eq!(wire.decode(&bytes, &mut back), 0);
                prop_assert_eq!(&back, &samples);
            }
        }

        #[test]
        fn a_stream_cut_anywhere_decodes_as_one(bytes: Vec<u8>, cuts: Vec<u8>) {
            for encoding in ENCODINGS {
                let wire = WireFormat::new(encoding, SampleRate::Hz8000);
                let (mut whole, mut pieces) = (Vec::new(), Vec::new());
                let left = wire.decode(&bytes, &mut whole);
                let mut decoder = Decoder::new(wire);
                let mut rest = &bytes[..];
                for cut in &cuts {
                    let (chunk, after) = rest.split_at(usize::from(*cut).min(rest.len()));
                    decoder.push(chunk, &mut pieces);
                    rest = after;
                }
                decoder.push(rest, &mut pieces);
                prop_assert_eq!(&pieces, &whole);
                prop_assert_eq!(decoder.reset(), left);
            }
        }
    }
}
