//! Both sides of a call on one time line: left the caller, right the agent.
//!
//! Every sample has a position, counted from the start of the media at the record rate, and lands there whatever the other
//! side does. So the channels cannot drift apart, and nothing is stretched. Writing a file is the business of whoever drains.

use std::collections::VecDeque;

use crate::wire::SampleRate;

/// A side pushes as it arrives: this much earlier than the count of samples says is a burst after a delay, ...
const EARLY_MS_MAX: u32 = 60;
/// ... and this much later is still jitter. Beyond it the side did not send for a while.
const LATE_MS_MAX: u32 = 1_000;

/// Whose voice it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The left channel.
    Caller,
    /// The right channel.
    Agent,
}

/// Aligns the two sides of a call and gives them out as interleaved stereo, in bounded memory.
#[derive(Clone, Debug)]
pub struct Recorder {
    rate: SampleRate,
    lag_samples_max: u64,
    /// Position of the first sample that was not drained yet.
    drained: u64,
    caller: Channel,
    agent: Channel,
    dropped: u64,
}

#[derive(Clone, Debug, Default)]
struct Channel {
    /// Samples from the drained position on.
    samples: VecDeque<i16>,
    /// Where the next sample of this side belongs if it goes on without a gap.
    next: u64,
    started: bool,
}

impl Recorder {
    /// A recorder at `rate` that waits up to `lag_ms_max` for the side that is behind before it takes it for silent. The
    /// wait is what bounds its memory: twice that time of each side at most.
    #[must_use]
    pub fn new(rate: SampleRate, lag_ms_max: u32) -> Self {
        Self {
            rate,
            lag_samples_max: rate.samples_in_ms(lag_ms_max) as u64,
            drained: 0,
            caller: Channel::default(),
            agent: Channel::default(),
            dropped: 0,
        }
    }

    /// The rate of all samples and positions.
    #[must_use]
    pub const fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Writes `pcm` of one side at `position`. A gap before it is silence; where it overlaps what the side wrote before, the
    /// later write holds and nothing moves. What lies before the drained part, or unreasonably far ahead of it, is dropped
    /// and counted. With empty `pcm` this only says that the side was silent up to `position`.
    pub fn push(&mut self, side: Side, position: u64, pcm: &[i16]) {
        let (drained, horizon) = (self.drained, self.drained + 2 * self.lag_samples_max.max(1));
        let end = position.saturating_add(pcm.len() as u64);
        let from = position.clamp(drained, horizon);
        let to = end.clamp(from, horizon);
        self.dropped += pcm.len() as u64 - (to - from).min(pcm.len() as u64);
        let pcm = &pcm[(from.saturating_sub(position) as usize).min(pcm.len())..];
        let pcm = &pcm[..((to - from) as usize).min(pcm.len())];

        let channel = self.channel(side);
        channel.started = true;
        channel.next = end;
        let at = (from - drained) as usize;
        if channel.samples.len() < at {
            channel.samples.resize(at, 0);
        }
        let overlap = pcm.len().min(channel.samples.len() - at);
        for (sample, new) in channel.samples.range_mut(at..at + overlap).zip(pcm) {
            *sample = *new;
        }
        channel.samples.extend(&pcm[overlap..]);
    }

    /// Writes `pcm` of one side that arrived when the time line stood at `arrival`, and says where it was put.
    ///
    /// For a side without positions of its own. Its samples are counted, so jitter leaves no trace; the count is corrected
    /// when the side was silent for more than a second, or when it would lie in the future by more than 60 ms.
    pub fn push_arrived(&mut self, side: Side, arrival: u64, pcm: &[i16]) -> u64 {
        // What arrives now was spoken before now.
        let latest = arrival.saturating_sub(pcm.len() as u64);
        let early_max = self.rate.samples_in_ms(EARLY_MS_MAX) as u64;
        let late_max = self.rate.samples_in_ms(LATE_MS_MAX) as u64;
        let channel = self.channel(side);
        let next = channel.next;
        let fits =
            channel.started && next <= latest.saturating_add(early_max) && next.saturating_add(late_max) >= latest;
        let position = if fits { next } else { latest };
        self.push(side, position, pcm);
        position
    }

    /// Takes back what one side wrote at and after `position`: the part of the agent's speech that a barge-in cut off.
    pub fn truncate(&mut self, side: Side, position: u64) {
        let keep = position.saturating_sub(self.drained);
        let channel = self.channel(side);
        channel.samples.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        channel.next = channel.next.min(position);
    }

    /// Appends to `output` left and right samples in turn, up to position `up_to` (the time line's present, say) but no
    /// further than both sides have come, except that a side more than the lag behind `up_to` is taken for silent.
    pub fn drain(&mut self, up_to: u64, output: &mut Vec<i16>) {
        let written = self.caller.samples.len().min(self.agent.samples.len()) as u64;
        let complete = self.drained + written;
        let forced = up_to.saturating_sub(self.lag_samples_max);
        self.drain_to(up_to.min(complete.max(forced)), output);
    }

    /// Appends everything that is left, the shorter side padded with silence. For the end of the call.
    pub fn finish(&mut self, output: &mut Vec<i16>) {
        let written = self.caller.samples.len().max(self.agent.samples.len()) as u64;
        self.drain_to(self.drained + written, output);
    }

    /// Position up to which samples were drained: the recording's length so far, in samples per channel.
    #[must_use]
    pub const fn drained(&self) -> u64 {
        self.drained
    }

    /// Samples that came too late or too far ahead to be kept.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn drain_to(&mut self, to: u64, output: &mut Vec<i16>) {
        let count = to.saturating_sub(self.drained) as usize;
        let from = output.len();
        output.resize(from + 2 * count, 0);
        for (offset, channel) in [&mut self.caller, &mut self.agent].into_iter().enumerate() {
            let have = count.min(channel.samples.len());
            for (pair, sample) in output[from..].chunks_exact_mut(2).zip(channel.samples.drain(..have)) {
                pair[offset] = sample;
            }
        }
        self.drained += count as u64;
    }

    const fn channel(&mut self, side: Side) -> &mut Channel {
        match side {
            Side::Caller => &mut self.caller,
            Side::Agent => &mut self.agent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recorder() -> Recorder {
        Recorder::new(SampleRate::Hz8000, 1_000)
    }

    fn drained(recorder: &mut Recorder, up_to: u64) -> Vec<(i16, i16)> {
        let mut out = Vec::new();
        recorder.drain(up_to, &mut out);
        out.chunks(2).map(|pair| (pair[0], pair[1])).collect()
    }

    #[test]
    fn sides_stay_aligned_when_one_is_late() {
        let mut recorder = recorder();
        recorder.push(Side::Caller, 0, &[1; 6]);
        recorder.push(Side::Agent, 4, &[2; 3]);
        assert_eq!(
            drained(&mut recorder, 6),
            [(1, 0), (1, 0), (1, 0), (1, 0), (1, 2), (1, 2)]
        );
        recorder.push(Side::Caller, 8, &[3]);
        let mut out = Vec::new();
        recorder.finish(&mut out);
        assert_eq!(out, [0, 2, 0, 0, 3, 0]);
        assert_eq!(recorder.drained(), 9);
    }

    #[test]
    fn a_later_write_holds_and_moves_nothing() {
        let mut recorder = recorder();
        recorder.push(Side::Caller, 0, &[1, 2, 3, 4]);
        recorder.push(Side::Caller, 2, &[7, 8, 9]);
        recorder.push(Side::Caller, 1, &[6]);
        recorder.push(Side::Agent, 5, &[]);
        let left: Vec<i16> = drained(&mut recorder, 5).iter().map(|pair| pair.0).collect();
        assert_eq!(left, [1, 6, 7, 8, 9]);
    }

    #[test]
    fn a_silent_side_holds_the_other_up_for_the_lag_only() {
        let mut recorder = recorder();
        recorder.push(Side::Caller, 0, &[1; 8_000]);
        assert_eq!(drained(&mut recorder, 8_000), []);
        recorder.push(Side::Caller, 8_000, &[1; 4_000]);
        assert_eq!(drained(&mut recorder, 12_000).len(), 4_000);
        // The agent speaks at last, partly where its silence was already given out.
        recorder.push(Side::Agent, 3_999, &[2; 2]);
        assert_eq!(recorder.dropped(), 1);
        assert_eq!(drained(&mut recorder, 12_000), [(1, 2)]);
    }

    #[test]
    fn when_both_are_silent_time_passes_all_the_same() {
        let mut recorder = recorder();
        assert_eq!(drained(&mut recorder, 20_000), vec![(0, 0); 12_000]);
    }

    #[test]
    fn speech_that_was_cut_off_is_not_in_the_recording() {
        let mut recorder = recorder();
        recorder.push(Side::Agent, 0, &[5; 800]);
        recorder.truncate(Side::Agent, 3);
        recorder.push(Side::Agent, 4, &[6]);
        recorder.push(Side::Caller, 5, &[]);
        assert_eq!(drained(&mut recorder, 5), [(0, 5), (0, 5), (0, 5), (0, 0), (0, 6)]);
    }

    #[test]
    fn arrivals_are_counted_not_timed() {
        let mut recorder = recorder();
        let frame = [1; 160];
        assert_eq!(recorder.push_arrived(Side::Caller, 1_000, &frame), 840);
        // Jitter of either sign within its bounds leaves no gap.
        assert_eq!(recorder.push_arrived(Side::Caller, 3_000, &frame), 1_000);
        assert_eq!(recorder.push_arrived(Side::Caller, 1_160, &frame), 1_160);
        // Two seconds of nothing are a gap.
        assert_eq!(recorder.push_arrived(Side::Caller, 20_000, &frame), 19_840);
        // A burst that would lie in the future shows that the gap was a delay.
        for _ in 0..3 {
            recorder.push_arrived(Side::Caller, 20_000, &frame);
        }
        assert_eq!(recorder.push_arrived(Side::Caller, 20_000, &frame), 19_840);
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_every_kept_sample_is_at_its_position(
            pushes in prop::collection::vec((any::<bool>(), prop_oneof![0..50_000_u64, any::<u64>()], 0..3_000_usize, 0..60_000_u64), 0..60),
        ) {
            let mut recorder = recorder();
            let mut out = Vec::new();
            for (caller, position, length, up_to) in pushes {
                let side = if caller { Side::Caller } else { Side::Agent };
                // The value tells the position, so that a shifted sample shows.
                let pcm: Vec<i16> = (0..length as u64).map(|n| (position.wrapping_add(n) % 30_011) as i16).collect();
                recorder.push(side, position, &pcm);
                recorder.drain(up_to, &mut out);
                prop_assert!(recorder.caller.samples.len() <= 16_000 && recorder.agent.samples.len() <= 16_000);
            }
            recorder.finish(&mut out);
            prop_assert_eq!(out.len() as u64, 2 * recorder.drained());
            for (position, pair) in out.chunks(2).enumerate() {
                let expected = (position as u64 % 30_011) as i16;
                prop_assert!(pair.iter().all(|sample| *sample == 0 || *sample == expected));
            }
        }
    }
}
