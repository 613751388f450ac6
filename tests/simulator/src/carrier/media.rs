//! The media socket: what a carrier's dialect of it has to say, and the audio on it.

use std::{fmt, time::Duration};

use crate::g711;

/// One end of a media socket: envelopes only. Audio is in the carrier's wire encoding; buffering, marks, clearing and the
/// clock are the exchange's.
pub trait MediaDialect: fmt::Debug + Send + Sync {
    fn stream_id(&self) -> &str;
    /// Audio towards the gateway.
    fn sends(&self) -> WireAudio {
        WireAudio::Mulaw
    }
    /// Audio from the gateway.
    fn reads(&self) -> WireAudio {
        WireAudio::Mulaw
    }
    /// What is sent when the socket is open, which may be before the call is answered.
    fn connected(&mut self) -> Vec<WireMessage> {
        Vec::new()
    }
    /// What is sent before any audio, once the call is answered.
    fn opening(&mut self) -> Vec<WireMessage>;
    fn audio(&mut self, payload: &[u8]) -> WireMessage;
    /// An audio message whose payload cannot be decoded.
    fn unreadable_audio(&mut self) -> WireMessage;
    /// A message that is not even a message.
    fn malformed(&mut self) -> WireMessage;
    /// `None` when keys do not travel on this socket.
    fn dtmf(&mut self, digit: char) -> Option<WireMessage>;
    /// The gateway's mark was reached, or cleared.
    fn mark_played(&mut self, name: &str) -> Option<WireMessage>;
    /// The buffer was cleared.
    fn cleared(&mut self) -> Option<WireMessage> {
        None
    }
    /// What is sent before the carrier closes.
    fn closing(&mut self) -> Vec<WireMessage> {
        Vec::new()
    }
    /// How much audio may wait to be played; `None` when the carrier takes whatever comes.
    fn limits(&self) -> Option<QueueLimits> {
        None
    }
    /// The buffer is too full (`stop`), or has room again.
    fn flow(&mut self, stop: bool) -> Option<WireMessage> {
        let _ = stop;
        None
    }
    /// The answer to [`FromGateway::AskStatus`].
    fn status(&mut self, queue: QueueStatus) -> Option<WireMessage> {
        let _ = queue;
        None
    }
    /// A message of the gateway.
    ///
    /// # Errors
    /// Why a carrier would not understand it.
    fn read(&mut self, message: &WireMessage) -> Result<FromGateway, String>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireMessage {
    Text(String),
    Binary(Vec<u8>),
}

/// A gateway's message on a media socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromGateway {
    /// In the carrier's wire encoding ([`MediaDialect::reads`]), any length.
    Audio(Vec<u8>),
    Mark(String),
    Clear,
    /// Keys for the person on the line.
    Digits(String),
    /// The stream shall end, and the call go on with its next instruction.
    Stop,
    /// The call shall end.
    HangUp,
    /// How full the buffer is.
    AskStatus,
    /// To be said back at once: an acknowledgement, an error.
    Reply(WireMessage),
    /// Something that a carrier drops silently, and a test wants to know: goes to the report's `unreadable`.
    Dropped(String),
    /// More than one of these, in order.
    Several(Vec<Self>),
    Other,
}

/// How much audio from the gateway may wait, in frames of [`FRAME`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// From here on the gateway is asked to stop.
    pub stop_at: u32,
    /// Below this it may go on.
    pub resume_below: u32,
    /// Messages that come when so much waits are discarded whole.
    pub frames_max: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStatus {
    /// Of [`FRAME`] each, begun ones included.
    pub frames: u32,
    /// The gateway has been asked to stop.
    pub stopped: bool,
}

/// For carriers that take audio in whole frames only: cuts messages, and carries the rest over or drops it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framer {
    frame_bytes: usize,
    /// Carry over what is left of a message, instead of dropping it.
    pub buffering: bool,
    rest: Vec<u8>,
}

impl Framer {
    #[must_use]
    pub fn new(frame_bytes: usize) -> Self {
        Self {
            frame_bytes: frame_bytes.max(1),
            buffering: false,
            rest: Vec::new(),
        }
    }

    /// The whole frames that are there now, and how many bytes were dropped.
    pub fn take(&mut self, payload: &[u8]) -> (Vec<u8>, usize) {
        self.rest.extend_from_slice(payload);
        let whole = self.rest.len() - self.rest.len() % self.frame_bytes;
        let rest = self.rest.split_off(whole);
        let frames = std::mem::replace(&mut self.rest, rest);
        let dropped = if self.buffering { 0 } else { self.rest.len() };
        if dropped > 0 {
            self.rest.clear();
        }
        (frames, dropped)
    }

    /// The rest that was carried over; the end of buffering.
    pub fn flush(&mut self) -> Vec<u8> {
        self.buffering = false;
        std::mem::take(&mut self.rest)
    }
}

/// Audio on a media socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireAudio {
    /// G.711 mu-law at 8 kHz.
    Mulaw,
    /// G.711 A-law at 8 kHz.
    Alaw,
    /// Linear 16 bit, little endian.
    Linear { rate_hz: u32 },
}

/// Duration of the frames that carriers send.
pub const FRAME: Duration = Duration::from_millis(20);

impl WireAudio {
    #[must_use]
    pub fn rate_hz(self) -> u32 {
        match self {
            Self::Mulaw | Self::Alaw => 8000,
            Self::Linear { rate_hz } => rate_hz,
        }
    }

    /// Samples in one [`FRAME`].
    #[must_use]
    pub fn frame_samples(self) -> usize {
        self.rate_hz() as usize / 50
    }

    #[must_use]
    pub fn encode(self, samples: &[i16]) -> Vec<u8> {
        match self {
            Self::Mulaw => samples.iter().map(|&sample| g711::encode_mulaw(sample)).collect(),
            Self::Alaw => samples.iter().map(|&sample| g711::encode_alaw(sample)).collect(),
            Self::Linear { .. } => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
        }
    }

    #[must_use]
    pub fn decode(self, payload: &[u8]) -> Vec<i16> {
        match self {
            Self::Mulaw => payload.iter().map(|&code| g711::decode_mulaw(code)).collect(),
            Self::Alaw => payload.iter().map(|&code| g711::decode_alaw(code)).collect(),
            Self::Linear { .. } => payload
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                .collect(),
        }
    }
}

/// Samples at another rate, by straight lines between them: good enough for a person who only listens by energy.
pub(crate) fn convert(samples: Vec<i16>, from_hz: u32, to_hz: u32) -> Vec<i16> {
    if from_hz == to_hz || samples.is_empty() {
        return samples;
    }
    let length = samples.len() as u64 * u64::from(to_hz) / u64::from(from_hz);
    let last = samples.len() - 1;
    (0..length)
        .map(|position| {
            let at = position * u64::from(from_hz);
            let index = usize::try_from(at / u64::from(to_hz)).unwrap_or(last).min(last);
            let share = (at % u64::from(to_hz)) as f64 / f64::from(to_hz);
            let (here, next) = (samples[index], samples[(index + 1).min(last)]);
            (f64::from(here) + (f64::from(next) - f64::from(here)) * share) as i16
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_pass_and_the_rest_is_dropped_or_kept() {
        let mut framer = Framer::new(4);
        assert_eq!(framer.take(&[1; 6]), (vec![1; 4], 2));
        assert_eq!(framer.take(&[2; 3]), (vec![], 3));
        framer.buffering = true;
        assert_eq!(framer.take(&[3; 6]), (vec![3; 4], 0));
        assert_eq!(framer.take(&[4; 3]), (vec![3, 3, 4, 4], 0));
        assert_eq!((framer.flush(), framer.buffering), (vec![4], false));
    }

    #[test]
    fn rates_are_converted_without_a_change_of_duration() {
        assert_eq!(convert(vec![0, 100, 200], 8000, 16_000), [0, 50, 100, 150, 200, 200]);
        assert_eq!(convert(vec![0, 50, 100, 150], 16_000, 8000), [0, 100]);
        assert_eq!(convert(vec![7], 8000, 8000), [7]);
    }

    #[test]
    fn every_encoding_keeps_silence() {
        for audio in [WireAudio::Mulaw, WireAudio::Alaw, WireAudio::Linear { rate_hz: 16_000 }] {
            let decoded = audio.decode(&audio.encode(&[0; 4]));
            assert!(decoded.iter().all(|sample| sample.abs() <= 8), "{audio:?}: {decoded:?}");
        }
    }
}
