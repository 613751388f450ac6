//! The decoders of both protocols, for the fuzz targets alone.

use std::collections::VecDeque;

use serde_json::Map;
use strowger_audio::SampleRate;

use super::media_streams::MediaStreams;
use super::native::Native;
use super::socket::{Incoming, Shape as _};
use super::{AgentCall, AgentSpec, Protocol};

/// A message of the agent.
#[derive(Debug, Clone)]
pub enum Spoken {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
}

/// Hands an agent's messages to the decoder of one of the protocols.
pub fn decode(native: bool, messages: &[Spoken]) {
    let spec = AgentSpec {
        protocol: if native {
            Protocol::Strowger
        } else {
            Protocol::MediaStreams
        },
        url: None,
        sample_rate: SampleRate::Hz16000,
        headers: Vec::new(),
        parameters: Map::new(),
    };
    let call = AgentCall {
        call_id: "0190a6a4-6e2d-7c3e-9d5f-0123456789ab".to_owned(),
        direction: "inbound",
        caller: String::new(),
        callee: "+15005550002".to_owned(),
        frame_ms: 20,
        capabilities: vec!["clear", "mark", "dtmf", "transfer"],
    };
    let (mut strowger, mut media_streams) = (Native::new(&spec, &call), MediaStreams::new(&spec, &call));
    for message in messages {
        let incoming = match message {
            Spoken::Text(text) => Incoming::Text(text),
            Spoken::Binary(bytes) => Incoming::Binary(bytes),
        };
        let (mut events, mut replies) = (VecDeque::new(), Vec::new());
        let decoded = if native {
            strowger.decode(incoming, &mut events, &mut replies)
        } else {
            media_streams.decode(incoming, &mut events, &mut replies)
        };
        // What is not understood is ignored, and that is all.
        let _ = decoded;
    }
}
