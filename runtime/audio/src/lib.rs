//! The audio path of a call as pure code: G.711 and L16, resampling, framing, concealment, pacing, recording.
//!
//! Two objects carry a call. [`Inbound`] takes what the carrier sent and gives the agent PCM at its rate, in order and
//! with lost frames concealed. [`Playout`] takes what the agent said and gives the carrier whole frames on a steady grid,
//! never more than a small amount ahead, so that a barge-in can take back nearly all of it and knows what was heard.
//! The rest are their parts ([`WireFormat`], [`Resampler`], [`Framer`]) and what listens in ([`Recorder`], [`Levels`]).
//!
//! What is *not* here: sockets, files, tasks and clocks. Time is a parameter of type [`Monotonic`]; methods called
//! `push*` and `handle_*` take what happened, `poll` gives what is to be done, `next_wake` says when to poll again.
//! Nothing allocates per frame once its buffers have grown to the size of the traffic, and no input panics.

mod conceal;
mod framer;
mod g711;
mod inbound;
mod levels;
mod monotonic;
mod playout;
mod recorder;
mod resampler;
mod tone;
mod wire;

pub use framer::Framer;
pub use inbound::{Inbound, InboundStats};
pub use levels::{Level, Levels};
pub use monotonic::Monotonic;
pub use playout::{Cleared, MarkMode, Playout, PlayoutConfig, PlayoutEvent, PlayoutFrame, QueueFull};
pub use recorder::{Recorder, Side};
pub use resampler::Resampler;
pub use tone::{DtmfDigit, DtmfTone, Ringback, Tone, UnknownDigit};
pub use wire::{Decoder, Encoding, SampleRate, UnsupportedRate, WireFormat};
