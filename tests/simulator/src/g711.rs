//! ITU-T G.711, both laws, written from the recommendation and independent of the runtime's.

const BIAS: i32 = 0x84;
const CLIP: i32 = 32_635;

/// The code word of silence.
pub const MULAW_SILENCE: u8 = 0xff;

/// One linear sample to its mu-law code word.
#[must_use]
pub fn encode_mulaw(sample: i16) -> u8 {
    let negative = sample < 0;
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    // The segment is the position of the highest set bit above bit 7; BIAS guarantees that there is one.
    let segment = (31 - magnitude.leading_zeros() - 7).min(7);
    let mantissa = (magnitude >> (segment + 3)) & 0x0f;
    let code =
        (u8::from(negative) << 7) | u8::try_from(segment << 4).unwrap_or(0) | u8::try_from(mantissa).unwrap_or(0);
    !code
}

/// One mu-law code word to its linear sample.
#[must_use]
pub fn decode_mulaw(code: u8) -> i16 {
    let code = !code;
    let segment = u32::from((code >> 4) & 0x07);
    let magnitude = (((i32::from(code & 0x0f) << 3) + BIAS) << segment) - BIAS;
    let sample = if code & 0x80 == 0 { magnitude } else { -magnitude };
    i16::try_from(sample).unwrap_or(0)
}

/// One linear sample to its A-law code word.
#[must_use]
pub fn encode_alaw(sample: i16) -> u8 {
    // Thirteen bits with the sign apart; A-law has no zero, so that -1 to -16 is the first negative step.
    let positive = sample >= 0;
    let magnitude = (if positive {
        i32::from(sample)
    } else {
        !i32::from(sample)
    }) >> 4;
    let code = if magnitude < 32 {
        magnitude
    } else {
        let segment = 28 - i32::try_from(magnitude.leading_zeros()).unwrap_or(0);
        (segment << 4) | ((magnitude >> (segment - 1)) & 0x0f)
    };
    let code = u8::try_from(code).unwrap_or(0x7f);
    // Even bits are inverted on the line.
    (if positive { code | 0x80 } else { code }) ^ 0x55
}

/// One A-law code word to its linear sample.
#[must_use]
pub fn decode_alaw(code: u8) -> i16 {
    let code = code ^ 0x55;
    let (segment, mantissa) = ((code >> 4) & 0x07, i32::from(code & 0x0f));
    let magnitude = match segment {
        0 => (mantissa << 4) + 8,
        segment => ((mantissa << 4) + 0x108) << (segment - 1),
    };
    let sample = if code & 0x80 == 0 { -magnitude } else { magnitude };
    i16::try_from(sample).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_code_words() {
        // Table 2a/G.711: the extremes and the smallest steps.
        for (code, sample) in [
            (0x00, -32_124),
            (0x80, 32_124),
            (0xff, 0),
            (0x7f, 0),
            (0xfe, 8),
            (0x7e, -8),
            (0xef, 132),
        ] {
            assert_eq!(decode_mulaw(code), sample, "code {code:#04x}");
        }
        assert_eq!(encode_mulaw(0), MULAW_SILENCE);
        assert_eq!(encode_mulaw(i16::MAX), 0x80);
        assert_eq!(encode_mulaw(i16::MIN), 0x00);
    }

    #[test]
    fn every_code_word_survives_a_round_trip() {
        for code in 0..=255_u8 {
            // The two zeros are one value; the encoder prefers the positive one.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(encode_mulaw(decode_mulaw(code)), expected);
        }
    }

    #[test]
    fn known_a_law_code_words() {
        // Table 1a/G.711: the extremes and the smallest steps.
        for (code, sample) in [(0xd5, 8), (0x55, -8), (0xaa, 32_256), (0x2a, -32_256), (0xc5, 264)] {
            assert_eq!(decode_alaw(code), sample, "code {code:#04x}");
        }
        for code in 0..=255_u8 {
            assert_eq!(encode_alaw(decode_alaw(code)), code);
        }
        assert_eq!((encode_alaw(i16::MAX), encode_alaw(i16::MIN)), (0xaa, 0x2a));
    }
}
