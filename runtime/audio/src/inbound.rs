//! From the carrier to the agent: bytes in as they came, PCM out in order and in time.
//!
//! A carrier that numbers its messages gets frames put in order, duplicates dropped and lost frames concealed, so that a
//! second of the call stays a second for the agent and for the recording. Without numbers the bytes are one stream, taken
//! as they come.

use crate::conceal::Concealer;
use crate::resampler::Resampler;
use crate::wire::{Decoder, SampleRate, WireFormat};

/// Frames that wait for an earlier one. When the third arrives the missing one is given up: by then it is at least two
/// frame times late, and waiting longer would cost more latency than its sound is worth.
const HELD_FRAMES_MAX: usize = 3;
/// The longest gap that is filled. A longer one is not loss but a stream that was suspended or renumbered, and a number from
/// outside must not make the gateway produce audio without end.
const GAP_MS_MAX: u64 = 5_000;
/// How far back delivered numbers are remembered, to tell a duplicate from a latecomer. A number further back means that the
/// carrier started counting anew (as a 16 bit RTP counter does every 22 minutes).
const REMEMBERED_FRAMES: u64 = 64;
/// Latecomers in a row that count up one by one: then the numbers themselves have started anew.
const RENUMBERED_FRAMES: u32 = 4;

/// One call's audio from the carrier towards the agent.
///
/// The caller of [`push`](Self::push) gets PCM at the agent's rate, delayed by the resampler only. When frames are held to
/// be put in order a push may give nothing, and the next one more.
#[derive(Debug)]
pub struct Inbound {
    wire: WireFormat,
    decoder: Decoder,
    concealer: Concealer,
    resampler: Resampler,
    order: Order,
    held: Vec<Held>,
    /// Payload buffers that were held before, kept for the next time.
    spare: Vec<Vec<u8>>,
    /// Samples of the last numbered frame: what a missing one is taken to have had.
    frame_samples: usize,
    delivered: Vec<i16>,
    stats: InboundStats,
}

/// What happened to a call's audio on its way here. Frames are the carrier's messages, whatever their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboundStats {
    /// Messages taken, duplicates and latecomers included.
    pub frames: u64,
    /// Frames that were missing when their turn came, and were concealed.
    pub lost: u64,
    /// Frames that came after a later one and were put in order.
    pub reordered: u64,
    /// Frames that came after their place had been concealed, and were dropped.
    pub late: u64,
    /// Frames that came twice, of which one was dropped.
    pub duplicates: u64,
    /// Jumps in the numbering too large to be loss; the stream went on from the new number.
    pub restarts: u64,
    /// Bytes that made no whole sample.
    pub bytes_undecodable: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Order {
    /// The number whose turn it is, once a first one was seen.
    expected: Option<u64>,
    /// The timestamp that the expected frame has if nothing is missing.
    timestamp_ms: Option<u64>,
    /// Bit `n` is set when number `expected - 1 - n` was delivered and not concealed.
    delivered: u64,
    /// The last number of a run of latecomers that count up, and the run's length.
    late_run: (u64, u32),
}

#[derive(Debug)]
struct Held {
    sequence: u64,
    timestamp_ms: Option<u64>,
    payload: Vec<u8>,
}

impl Inbound {
    /// Audio in `wire` format, in messages that usually last `frame_ms`, for an agent that takes `agent_rate`.
    #[must_use]
    pub fn new(wire: WireFormat, agent_rate: SampleRate, frame_ms: u32) -> Self {
        Self {
            wire,
            decoder: Decoder::new(wire),
            concealer: Concealer::new(wire.rate),
            resampler: Resampler::new(wire.rate, agent_rate),
            order: Order::default(),
            held: Vec::with_capacity(HELD_FRAMES_MAX),
            spare: Vec::with_capacity(HELD_FRAMES_MAX),
            frame_samples: wire.frame_samples(frame_ms),
            delivered: Vec::new(),
            stats: InboundStats::default(),
        }
    }

    /// Takes one message's audio and appends to `output` what it makes available at the agent's rate.
    ///
    /// `sequence` is the carrier's number of the message; `timestamp_ms` its media time in milliseconds. Where both are given
    /// a jump in the numbers without one in the timestamps is taken for what it is: a counter shared with other messages.
    pub fn push(&mut self, payload: &[u8], sequence: Option<u64>, timestamp_ms: Option<u64>, output: &mut Vec<i16>) {
        self.stats.frames += 1;
        self.delivered.clear();
        match sequence {
            Some(sequence) => self.take_numbered(payload, sequence, timestamp_ms),
            None => self.take_stream(payload),
        }
        self.resampler.process(&self.delivered, output);
    }

    /// Ends the stream: gives what was held for order and what the resampler still has.
    pub fn flush(&mut self, output: &mut Vec<i16>) {
        self.delivered.clear();
        while !self.held.is_empty() {
            self.skip_gap();
            self.release_held();
        }
        self.stats.bytes_undecodable += self.decoder.reset() as u64;
        self.resampler.process(&self.delivered, output);
        self.resampler.flush(output);
        self.order = Order::default();
    }

    /// The PCM at the wire's rate behind the last [`push`](Self::push) or [`flush`](Self::flush), in order and concealed:
    /// what a recorder takes.
    #[must_use]
    pub fn wire_pcm(&self) -> &[i16] {
        &self.delivered
    }

    /// What happened so far.
    #[must_use]
    pub const fn stats(&self) -> InboundStats {
        self.stats
    }

    fn take_stream(&mut self, payload: &[u8]) {
        let from = self.delivered.len();
        self.decoder.push(payload, &mut self.delivered);
        self.concealer.handle_received(&mut self.delivered[from..]);
    }

    fn take_numbered(&mut self, payload: &[u8], sequence: u64, timestamp_ms: Option<u64>) {
        let expected = self.order.expected.unwrap_or(sequence);
        if sequence < expected {
            self.take_from_the_past(payload, sequence, timestamp_ms, expected - sequence);
        } else if sequence == expected {
            self.stats.reordered += u64::from(!self.held.is_empty());
            self.deliver(payload, sequence, timestamp_ms);
            self.release_held();
        } else if self.held.is_empty() && self.follows_by_timestamp(timestamp_ms) {
            self.deliver(payload, sequence, timestamp_ms);
        } else {
            self.hold(payload, sequence, timestamp_ms);
        }
    }

    fn take_from_the_past(&mut self, payload: &[u8], sequence: u64, timestamp_ms: Option<u64>, distance: u64) {
        if distance <= REMEMBERED_FRAMES {
            let (last, length) = self.order.late_run;
            let length = if length > 0 && last.checked_add(1) == Some(sequence) {
                length + 1
            } else {
                1
            };
            self.order.late_run = (sequence, length);
            if length < RENUMBERED_FRAMES {
                if self.order.delivered & (1 << (distance - 1)) == 0 {
                    self.stats.late += 1;
                } else {
                    self.stats.duplicates += 1;
                }
                return;
            }
        }
        while !self.held.is_empty() {
            self.skip_gap();
            self.release_held();
        }
        self.stats.restarts += 1;
        self.order = Order::default();
        self.deliver(payload, sequence, timestamp_ms);
    }

    fn hold(&mut self, payload: &[u8], sequence: u64, timestamp_ms: Option<u64>) {
        let Err(place) = self.held.binary_search_by_key(&sequence, |held| held.sequence) else {
            self.stats.duplicates += 1;
            return;
        };
        self.stats.reordered += u64::from(place < self.held.len());
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(payload);
        self.held.insert(
            place,
            Held {
                sequence,
                timestamp_ms,
                payload: buffer,
            },
        );
        if self.held.len() >= HELD_FRAMES_MAX {
            self.skip_gap();
            self.release_held();
        }
    }

    /// Delivers held frames for as long as they are next in turn.
    fn release_held(&mut self) {
        while let Some(first) = self.held.first()
            && self.order.expected.is_none_or(|expected| first.sequence <= expected)
        {
            let held = self.held.remove(0);
            self.deliver(&held.payload, held.sequence, held.timestamp_ms);
            self.spare.push(held.payload);
        }
    }

    /// Gives up the frames that are missing before the first held one and conceals them.
    fn skip_gap(&mut self) {
        let (Some(expected), Some(first)) = (self.order.expected, self.held.first()) else {
            return;
        };
        let missing = first.sequence.saturating_sub(expected);
        let frame_samples = self.frame_samples.max(1) as u64;
        let mut samples = missing.saturating_mul(frame_samples);
        if let (Some(due), Some(timestamp)) = (self.order.timestamp_ms, first.timestamp_ms) {
            // The timestamps say how long the gap is, the numbers that there is one. Never fill more than both allow.
            samples = samples.min(self.samples_in_ms(timestamp.saturating_sub(due)));
        }
        if samples > self.samples_in_ms(GAP_MS_MAX) {
            self.stats.restarts += 1;
        } else {
            self.stats.lost += samples.div_ceil(frame_samples);
            self.concealer.conceal(samples as usize, &mut self.delivered);
        }
        self.order.delivered = shift(self.order.delivered, missing);
        self.order.expected = Some(first.sequence);
    }

    fn deliver(&mut self, payload: &[u8], sequence: u64, timestamp_ms: Option<u64>) {
        let from = self.delivered.len();
        self.stats.bytes_undecodable += self.wire.decode(payload, &mut self.delivered) as u64;
        self.concealer.handle_received(&mut self.delivered[from..]);
        let samples = self.delivered.len() - from;
        if samples > 0 {
            self.frame_samples = samples;
        }
        let skipped = sequence.saturating_sub(self.order.expected.unwrap_or(sequence));
        let lasted_ms = self.wire.rate.ms_of_samples(samples as u64);
        self.order = Order {
            // At the very last number there is no next one; the stream counts as not yet numbered.
            expected: sequence.checked_add(1),
            timestamp_ms: timestamp_ms.map(|timestamp| timestamp.saturating_add(lasted_ms)),
            delivered: shift(shift(self.order.delivered, skipped), 1) | 1,
            late_run: (0, 0),
        };
    }

    /// Whether a frame with this timestamp comes right after the last delivered one, give or take half a frame.
    fn follows_by_timestamp(&self, timestamp_ms: Option<u64>) -> bool {
        let (Some(due), Some(timestamp)) = (self.order.timestamp_ms, timestamp_ms) else {
            return false;
        };
        let tolerance_ms = self.wire.rate.ms_of_samples(self.frame_samples as u64) / 2;
        timestamp.abs_diff(due) <= tolerance_ms
    }

    fn samples_in_ms(&self, ms: u64) -> u64 {
        ms.saturating_mul(self.wire.rate.samples_in_ms(1) as u64)
    }
}

fn shift(bits: u64, places: u64) -> u64 {
    u32::try_from(places)
        .ok()
        .and_then(|places| bits.checked_shl(places))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Encoding;
    use proptest::prelude::*;

    const WIRE: WireFormat = WireFormat::new(Encoding::L16Le, SampleRate::Hz8000);

    fn inbound() -> Inbound {
        Inbound::new(WIRE, SampleRate::Hz8000, 20)
    }

    /// A frame whose samples all are its number, so that order can be read off the output.
    fn frame(number: i16) -> Vec<u8> {
        let mut bytes = Vec::new();
        WIRE.encode(&[number; 160], &mut bytes);
        bytes
    }

    /// Pushes numbered frames and gives the value in the middle of each 20 ms of output.
    fn check(sequences: &[u64], expected: &[i16]) -> InboundStats {
        let (mut inbound, mut out) = (inbound(), Vec::new());
        for sequence in sequences {
            inbound.push(&frame(*sequence as i16), Some(*sequence), None, &mut out);
        }
        inbound.flush(&mut out);
        assert_eq!(out.len() % 160, 0);
        let middles: Vec<i16> = out.chunks(160).map(|frame| frame[80]).collect();
        assert_eq!(middles, expected, "{sequences:?}");
        inbound.stats()
    }

    #[test]
    fn frames_in_order_pass_at_once() {
        let (mut inbound, mut out) = (inbound(), Vec::new());
        for n in 1..=50 {
            inbound.push(&frame(n), Some(n as u64), Some(n as u64 * 20), &mut out);
            assert_eq!(out.len(), n as usize * 160);
            assert_eq!(inbound.wire_pcm(), &out[out.len() - 160..]);
        }
        assert_eq!(
            inbound.stats(),
            InboundStats {
                frames: 50,
                ..InboundStats::default()
            }
        );
    }

    #[test]
    fn frames_slightly_out_of_order_are_put_in_order() {
        let stats = check(&[1, 3, 2, 4, 6, 7, 5, 8], &[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(
            stats,
            InboundStats {
                frames: 8,
                reordered: 2,
                ..InboundStats::default()
            }
        );
    }

    #[test]
    fn duplicates_are_dropped_whether_delivered_or_held() {
        let stats = check(&[1, 1, 2, 4, 4, 3, 2, 5], &[1, 2, 3, 4, 5]);
        assert_eq!((stats.duplicates, stats.reordered, stats.late), (3, 1, 0));
    }

    #[test]
    fn a_lost_frame_is_concealed_and_time_stays_true() {
        let stats = check(&[1, 2, 4, 5, 6, 7], &[1, 2, 2, 4, 5, 6, 7]);
        assert_eq!((stats.lost, stats.restarts), (1, 0));
    }

    #[test]
    fn a_frame_that_comes_after_its_concealment_is_late() {
        let stats = check(&[1, 3, 4, 5, 2, 6], &[1, 1, 3, 4, 5, 6]);
        assert_eq!((stats.lost, stats.late, stats.duplicates), (1, 1, 0));
    }

    #[test]
    fn a_number_far_away_restarts_the_stream_without_filling() {
        let stats = check(&[1, 2, u64::MAX - 9, u64::MAX - 8, u64::MAX - 7], &[1, 2, -10, -9, -8]);
        assert_eq!((stats.lost, stats.restarts), (0, 1));
        // A 16 bit counter that wraps.
        let stats = check(&[65_534, 65_535, 0, 1], &[-2, -1, 0, 1]);
        assert_eq!((stats.lost, stats.restarts), (0, 1));
        let stats = check(&[u64::MAX - 1, u64::MAX, 0, 1], &[-2, -1, 0, 1]);
        assert_eq!(stats.lost, 0);
    }

    #[test]
    fn numbers_that_start_anew_nearby_are_noticed() {
        let stats = check(&[10, 11, 12, 1, 2, 3, 4, 5], &[10, 11, 12, 4, 5]);
        assert_eq!((stats.late, stats.restarts), (3, 1));
    }

    #[test]
    fn timestamps_tell_a_shared_counter_from_loss() {
        let (mut inbound, mut out) = (inbound(), Vec::new());
        // Number 3 was some other message: the timestamps are contiguous.
        for (sequence, timestamp) in [(1, 0), (2, 20), (4, 40), (5, 60)] {
            inbound.push(&frame(1), Some(sequence), Some(timestamp), &mut out);
        }
        assert_eq!((out.len(), inbound.stats().lost), (4 * 160, 0));
        // Numbers 6 to 9 are missing, but only two of them were audio.
        for (sequence, timestamp) in [(10, 120), (11, 140), (12, 160)] {
            inbound.push(&frame(1), Some(sequence), Some(timestamp), &mut out);
        }
        assert_eq!((out.len(), inbound.stats().lost), (9 * 160, 2));
    }

    #[test]
    fn a_stream_without_numbers_may_be_cut_inside_a_sample() {
        let (mut inbound, mut out) = (inbound(), Vec::new());
        let bytes = frame(0x0102);
        for chunk in bytes.chunks(33) {
            inbound.push(chunk, None, None, &mut out);
        }
        inbound.push(&[7], None, None, &mut out);
        inbound.flush(&mut out);
        assert_eq!(out, [0x0102; 160]);
        assert_eq!(inbound.stats().bytes_undecodable, 1);
    }

    #[test]
    fn half_a_sample_in_a_numbered_frame_is_counted_and_harms_no_other() {
        let (mut inbound, mut out) = (inbound(), Vec::new());
        inbound.push(&[1, 1, 9], Some(1), None, &mut out);
        inbound.push(&[2, 2], Some(2), None, &mut out);
        assert_eq!(out, [0x0101, 0x0202]);
        assert_eq!(inbound.stats().bytes_undecodable, 1);
    }

    #[test]
    fn the_agent_gets_its_own_rate() {
        let mut inbound = Inbound::new(WIRE, SampleRate::Hz24000, 20);
        let mut out = Vec::new();
        inbound.push(&frame(1_000), Some(1), None, &mut out);
        assert_eq!(out.len(), 480);
        inbound.flush(&mut out);
        assert!(out[200..470].iter().all(|sample| sample.abs_diff(1_000) <= 1));
    }

    proptest! {
        // The socket's peer chooses all of this.
        #[test]
        fn any_numbering_is_survived_and_produces_bounded_audio(
            frames in prop::collection::vec((prop_oneof![0..200_u64, any::<u64>()], prop::option::of(any::<u64>()), 0..400_usize), 0..80),
        ) {
            let (mut inbound, mut out) = (inbound(), Vec::new());
            for (sequence, timestamp, length) in &frames {
                inbound.push(&vec![1; *length], Some(*sequence), *timestamp, &mut out);
                prop_assert!(inbound.held.len() < HELD_FRAMES_MAX);
            }
            inbound.flush(&mut out);
            prop_assert!(out.len() <= frames.len() * (200 + 8 * GAP_MS_MAX as usize));
        }

        #[test]
        fn frames_displaced_by_up_to_two_places_all_arrive(mut keys in prop::collection::vec(0..3_u64, 1..60)) {
            keys[0] = 0;
            // Sorting by number plus a displacement below three moves no frame past more than two later ones.
            let mut order: Vec<u64> = (0..keys.len() as u64).collect();
            order.sort_by_key(|n| (n + keys[*n as usize], *n));
            if order[0] == 0 {
                let expected: Vec<i16> = (0..keys.len() as i16).collect();
                let stats = check(&order, &expected);
                prop_assert_eq!((stats.lost, stats.late, stats.duplicates), (0, 0, 0));
            }
        }
    }
}
