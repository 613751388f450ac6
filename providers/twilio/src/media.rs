//! Media Streams, as [`media_streams`](strowger_sdk::media_streams) has them.

use strowger_sdk::media_streams::Stream;
use strowger_sdk::{Call, FrameProblem, Leg, MediaEvent, MediaFrame, Message};

use crate::spec::Config;

/// One bidirectional stream.
#[derive(Debug)]
pub struct MediaStream(Stream);

impl Leg<Config> for MediaStream {
    fn open(_config: &Config, _call: &Call) -> Self {
        Self(Stream::default())
    }

    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        self.0.read(&message, |start| start.call_sid.as_ref())
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        self.0.write(frame)
    }
}
