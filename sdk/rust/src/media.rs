//! Constructors for what happens on the media socket.

use crate::{AudioFrame, MediaEvent, Started};

impl MediaEvent {
    /// Audio in the receive format from a carrier that does not number its frames.
    pub fn audio(payload: Vec<u8>) -> Self {
        Self::Audio(AudioFrame {
            payload,
            sequence: None,
            timestamp_ms: None,
        })
    }

    /// A message that could not be read; what was wrong, at most 100 characters, never its content.
    pub fn malformed(what: &str) -> Self {
        Self::Malformed(what.to_owned())
    }
}

impl Default for Started {
    /// A stream in the first format of the profile each way, without identifiers.
    fn default() -> Self {
        Self {
            provider_call_id: None,
            stream_id: None,
            receive_format: None,
            send_format: None,
            parameters: Vec::new(),
        }
    }
}
