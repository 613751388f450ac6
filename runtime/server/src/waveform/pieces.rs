//! The extremes of a recording, in pieces of equal length.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavReader};

/// Pieces of a recording at most; a page shows fewer.
const PIECES_MAX: u64 = 4_096;
/// Begins a file of ours, with the version of its format.
const MAGIC: &[u8; 8] = b"strowfm1";
const HEAD_BYTES: usize = 8 + 8 + 8 + 4 + 4;

type Extremes = (Vec<i8>, Vec<i8>);

/// What is kept beside a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pieces {
    pub(super) sample_rate_hz: u32,
    /// Samples of each side.
    samples: u64,
    /// Of the file that they are of.
    file_bytes: u64,
    /// For each piece: lowest and highest of the left side, lowest and highest of the right one.
    values: Vec<[i8; 4]>,
}

impl Pieces {
    /// From what is kept, when that is of this very file; else from the file itself, which is then kept.
    pub(super) fn of(recording: &Path) -> io::Result<Self> {
        let file = File::open(recording)?;
        let file_bytes = file.metadata()?.len();
        let kept = kept(recording);
        if let Some(pieces) = fs::read(&kept).ok().and_then(|bytes| Self::parse(&bytes))
            && pieces.file_bytes == file_bytes
        {
            return Ok(pieces);
        }
        let pieces = Self::read(file, file_bytes)?;
        // Without it the next one who asks waits as long, which is all.
        if let Err(error) = pieces.keep(&kept) {
            tracing::warn!(%error, "a waveform could not be kept");
        }
        Ok(pieces)
    }

    pub(super) fn duration_ms(&self) -> u64 {
        self.samples * 1_000 / u64::from(self.sample_rate_hz.max(1))
    }

    /// Left and right in so many points: each is made of all pieces that it touches.
    pub(super) fn merged(&self, points: usize) -> [Extremes; 2] {
        let count = self.values.len();
        let mut sides = [Extremes::default(), Extremes::default()];
        if count == 0 {
            return sides;
        }
        for point in 0..points {
            let from = (point * count / points).min(count - 1);
            let to = ((point + 1) * count).div_ceil(points).clamp(from + 1, count);
            let touched = &self.values[from..to];
            for (side, (min, max)) in sides.iter_mut().enumerate() {
                min.push(touched.iter().map(|values| values[2 * side]).min().unwrap_or_default());
                max.push(
                    touched
                        .iter()
                        .map(|values| values[2 * side + 1])
                        .max()
                        .unwrap_or_default(),
                );
            }
        }
        sides
    }

    fn read(file: File, file_bytes: u64) -> io::Result<Self> {
        let invalid = |error: hound::Error| match error {
            hound::Error::IoError(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidData, error),
        };
        let mut wav = WavReader::new(BufReader::with_capacity(1 << 16, file)).map_err(invalid)?;
        let spec = wav.spec();
        if (spec.channels, spec.bits_per_sample, spec.sample_format) != (2, 16, SampleFormat::Int) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not 16-bit stereo, as recordings are",
            ));
        }
        let samples = u64::from(wav.duration());
        let length = samples.div_ceil(PIECES_MAX).max(1);
        let mut values = Vec::with_capacity(usize::try_from(samples.div_ceil(length)).unwrap_or_default());
        let mut piece = [0_i16; 4];
        let mut taken = 0;
        let mut side = 0;
        for sample in wav.samples::<i16>() {
            let sample = sample.map_err(invalid)?;
            let extremes = &mut piece[2 * side..2 * side + 2];
            if taken == 0 {
                extremes.fill(sample);
            } else {
                extremes[0] = extremes[0].min(sample);
                extremes[1] = extremes[1].max(sample);
            }
            side ^= 1;
            if side == 0 {
                taken += 1;
                if taken == length {
                    values.push(piece.map(eight_bits));
                    taken = 0;
                }
            }
        }
        if taken > 0 {
            values.push(piece.map(eight_bits));
        }
        Ok(Self {
            sample_rate_hz: spec.sample_rate,
            samples,
            file_bytes,
            values,
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, values) = bytes.split_at_checked(HEAD_BYTES)?;
        let long = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
        let short = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
        let count = usize::try_from(short(28)?).ok()?;
        let pieces = Self {
            file_bytes: long(8)?,
            samples: long(16)?,
            sample_rate_hz: short(24)?,
            values: values
                .chunks_exact(4)
                .map(|piece| [piece[0], piece[1], piece[2], piece[3]].map(u8::cast_signed))
                .collect(),
        };
        (head.starts_with(MAGIC) && values.len() == 4 * count).then_some(pieces)
    }

    /// Whoever reads it meanwhile finds all of it or nothing.
    fn keep(&self, path: &Path) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + 4 * self.values.len());
        bytes.extend(MAGIC);
        bytes.extend(self.file_bytes.to_le_bytes());
        bytes.extend(self.samples.to_le_bytes());
        bytes.extend(self.sample_rate_hz.to_le_bytes());
        bytes.extend(u32::try_from(self.values.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(self.values.iter().flatten().map(|value| value.cast_unsigned()));
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut draft = tempfile::NamedTempFile::new_in(folder)?;
        io::Write::write_all(&mut draft, &bytes)?;
        draft.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

fn kept(recording: &Path) -> PathBuf {
    recording.with_extension("waveform")
}

fn eight_bits(sample: i16) -> i8 {
    // The high byte: exact for every i16.
    sample.to_be_bytes()[0].cast_signed()
}
