//! ITU-T G.711: the companding laws, sample by sample.
//!
//! Linear samples are 16 bit. As in the recommendation the mu-law coder works on the upper 14 bits and the A-law coder on
//! the upper 13; the bits below are cut off, not rounded, which is what nearly all telephone equipment does and what makes
//! decoding followed by encoding the identity (except for mu-law's negative zero, which becomes positive zero).

/// The mu-law code of a positive-zero sample.
pub(crate) const ULAW_SILENCE: u8 = 0xFF;
/// The A-law code of the smallest positive sample; A-law has no zero.
pub(crate) const ALAW_SILENCE: u8 = 0xD5;

/// Added to the magnitude (14 bit) so that each mu-law segment starts at a power of two.
const ULAW_BIAS: i32 = 33;
/// The largest biased magnitude that has a code.
const ULAW_BIASED_MAX: i32 = 0x1FFF;

/// Linear sample of each mu-law code.
pub(crate) static ULAW_TO_LINEAR: [i16; 256] = ulaw_table();
/// Linear sample of each A-law code.
pub(crate) static ALAW_TO_LINEAR: [i16; 256] = alaw_table();

/// Mu-law code of a linear sample.
#[inline]
pub(crate) fn ulaw_from_linear(sample: i16) -> u8 {
    let value = i32::from(sample >> 2);
    let (magnitude, mask) = if value < 0 { (-value, 0x7F) } else { (value, 0xFF) };
    let biased = (magnitude + ULAW_BIAS).min(ULAW_BIASED_MAX) as u32;
    // Biased magnitudes start at 33, so the highest set bit is 5 in segment 0 and 12 in segment 7.
    let segment = biased.ilog2() - 5;
    let code = (segment << 4) | ((biased >> (segment + 1)) & 0x0F);
    code as u8 ^ mask
}

/// A-law code of a linear sample.
#[inline]
pub(crate) fn alaw_from_linear(sample: i16) -> u8 {
    let value = i32::from(sample >> 3);
    // One's complement, because A-law has no zero: -1 is the smallest negative step.
    let (magnitude, mask) = if value < 0 {
        (!value as u32, 0x55)
    } else {
        (value as u32, 0xD5)
    };
    // The lowest two segments share one step size; the bit set here makes them fall out of the same formula.
    let segment = (magnitude | 0x10).ilog2() - 4;
    let code = (segment << 4) | ((magnitude >> segment.max(1)) & 0x0F);
    code as u8 ^ mask
}

const fn ulaw_expand(code: u8) -> i16 {
    let code = !code;
    let segment = (code >> 4) & 0x07;
    let magnitude = ((((code & 0x0F) as i16) << 3) + 0x84) << segment;
    if code & 0x80 == 0 {
        magnitude - 0x84
    } else {
        0x84 - magnitude
    }
}

const fn alaw_expand(code: u8) -> i16 {
    let code = code ^ 0x55;
    let segment = (code >> 4) & 0x07;
    let step = ((code & 0x0F) as i16) << 4;
    let magnitude = match segment {
        0 => step + 8,
        _ => (step + 0x108) << (segment - 1),
    };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

const fn ulaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = ulaw_expand(code as u8);
        code += 1;
    }
    table
}

const fn alaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = alaw_expand(code as u8);
        code += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    // Written by tests/data/g711.py with CPython's `audioop`, which shares no code with this module.
    const ULAW_ENCODED: &[u8; 65_536] = include_bytes!("../tests/data/ulaw_encode.bin");
    const ALAW_ENCODED: &[u8; 65_536] = include_bytes!("../tests/data/alaw_encode.bin");
    const ULAW_DECODED: &[u8; 512] = include_bytes!("../tests/data/ulaw_decode.bin");
    const ALAW_DECODED: &[u8; 512] = include_bytes!("../tests/data/alaw_decode.bin");

    #[test]
    fn every_sample_encodes_as_the_independent_table_says() {
        for (sample, (ulaw, alaw)) in (i16::MIN..=i16::MAX).zip(ULAW_ENCODED.iter().zip(ALAW_ENCODED)) {
            assert_eq!(ulaw_from_linear(sample), *ulaw, "mu-law of {sample}");
            assert_eq!(alaw_from_linear(sample), *alaw, "A-law of {sample}");
        }
    }

    #[test]
    fn every_code_decodes_as_the_independent_table_says() {
        for code in 0..=255_u8 {
            let at = usize::from(code) * 2;
            let linear = |table: &[u8; 512]| i16::from_le_bytes([table[at], table[at + 1]]);
            assert_eq!(
                ULAW_TO_LINEAR[usize::from(code)],
                linear(ULAW_DECODED),
                "mu-law {code:#04x}"
            );
            assert_eq!(
                ALAW_TO_LINEAR[usize::from(code)],
                linear(ALAW_DECODED),
                "A-law {code:#04x}"
            );
        }
    }

    #[test]
    fn a_code_survives_decoding_and_encoding() {
        for code in 0..=255_u8 {
            assert_eq!(alaw_from_linear(ALAW_TO_LINEAR[usize::from(code)]), code);
            let expected = if code == 0x7F { ULAW_SILENCE } else { code };
            assert_eq!(ulaw_from_linear(ULAW_TO_LINEAR[usize::from(code)]), expected);
        }
    }

    #[test]
    fn the_error_never_exceeds_half_a_step() {
        // A step of segment s is 8 << s in 16 bit mu-law, and truncation to 14 bit adds at most 3.
        for sample in i16::MIN..=i16::MAX {
            let code = ulaw_from_linear(sample);
            let segment = (!code >> 4) & 7;
            let error = (i32::from(ULAW_TO_LINEAR[usize::from(code)]) - i32::from(sample)).abs();
            let clipped = i32::from(sample).abs() > 32_635;
            assert!(clipped || error <= (4 << segment) + 3, "{sample} is off by {error}");
        }
    }
}
