//! The audio stream, which is Twilio's ([`media_streams`](strowger_sdk::media_streams)):
//! <https://developers.cloudonix.com/Documentation/voiceApplication/Verb/connect/stream>.

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

    /// The session names the call everywhere else; `callSid` may be the SIP Call-ID.
    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        self.0.read(&message, |start| start.session.as_ref())
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        match frame {
            // Nothing is documented for marks.
            MediaFrame::Mark(_) => Err(FrameProblem::Unsupported),
            frame => self.0.write(frame),
        }
    }
}
