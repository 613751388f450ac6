//! Chunks of any size in, frames of one size out.

/// Cuts a stream of samples into frames of exactly the same length, as carriers and agents demand that close the
/// connection or play noise otherwise.
#[derive(Clone, Debug)]
pub struct Framer {
    frame_samples: usize,
    buffer: Vec<i16>,
    // Samples at the front of `buffer` that were already given out. They go when the next chunk comes, so that a frame can
    // be lent instead of copied.
    taken: usize,
}

impl Framer {
    /// A framer for frames of `frame_samples` samples (at least one).
    #[must_use]
    pub fn new(frame_samples: usize) -> Self {
        Self {
            frame_samples: frame_samples.max(1),
            buffer: Vec::new(),
            taken: 0,
        }
    }

    /// Takes a chunk. Follow with [`pop`](Self::pop) until it gives nothing: the framer holds what it is not asked for.
    pub fn push(&mut self, samples: &[i16]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(samples);
    }

    /// The next whole frame.
    pub fn pop(&mut self) -> Option<&[i16]> {
        let from = self.taken;
        let frame = self.buffer.get(from..from + self.frame_samples)?;
        self.taken += self.frame_samples;
        Some(frame)
    }

    /// The samples that remain, as a frame padded with silence. Nothing when no sample remains.
    pub fn flush(&mut self) -> Option<&[i16]> {
        let remaining = self.pending();
        if remaining > 0 && remaining < self.frame_samples {
            self.buffer.resize(self.taken + self.frame_samples, 0);
        }
        self.pop()
    }

    /// Samples that wait for their frame to fill.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_frame_is_padded_with_silence() {
        let mut framer = Framer::new(4);
        framer.push(&[1, 2, 3, 4, 5]);
        assert_eq!(framer.pop(), Some(&[1, 2, 3, 4][..]));
        assert_eq!(framer.pop(), None);
        assert_eq!(framer.flush(), Some(&[5, 0, 0, 0][..]));
        assert_eq!(framer.flush(), None);
    }

    proptest! {
        #[test]
        fn no_sample_is_lost_or_added(size in 1..50_usize, chunks: Vec<Vec<i16>>) {
            let mut framer = Framer::new(size);
            let mut out = Vec::new();
            for chunk in &chunks {
                framer.push(chunk);
                while let Some(frame) = framer.pop() {
                    prop_assert_eq!(frame.len(), size);
                    out.extend_from_slice(frame);
                }
                prop_assert!(framer.pending() < size);
            }
            let pending = framer.pending();
            let mut whole = chunks.concat();
            if let Some(frame) = framer.flush() {
                out.extend_from_slice(&frame[..pending]);
            }
            prop_assert_eq!(out, std::mem::take(&mut whole));
        }
    }
}
