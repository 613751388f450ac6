//! The wire of a browser's socket: audio in binary messages, everything else in small JSON messages of text.
//!
//! 50 binary messages a second pass here in each direction of each call, and go through untouched.

use std::borrow::Cow;

use serde::Deserialize;
use strowger_sdk::envelope::{self, quoted};
use strowger_sdk::{Call, FrameProblem, Leg, MediaEvent, MediaFrame, Message, Started};

use crate::spec::Config;

/// One call's socket.
#[derive(Debug, Default)]
pub struct Socket {
    started: bool,
}

impl Leg<Config> for Socket {
    fn open(_config: &Config, _call: &Call) -> Self {
        Self::default()
    }

    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        let text = match message {
            Message::Binary(_) if !self.started => return vec![MediaEvent::malformed("audio before start")],
            Message::Binary(payload) if payload.len() % 2 != 0 => {
                return vec![MediaEvent::malformed("audio with half a sample")];
            }
            Message::Binary(payload) => return vec![MediaEvent::audio(payload)],
            Message::Text(text) => text,
        };
        match self.read(&text) {
            Ok(event) => event.into_iter().collect(),
            Err(problem) => vec![MediaEvent::malformed(problem)],
        }
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        if !self.started {
            return Err(FrameProblem::NotStarted);
        }
        let text = match frame {
            MediaFrame::Audio(payload) => return Ok(vec![Message::Binary(payload)]),
            MediaFrame::Clear => r#"{"type":"clear"}"#.to_owned(),
            MediaFrame::Mark(name) => format!(r#"{{"type":"mark","name":{}}}"#, quoted(&name)),
            MediaFrame::Dtmf(digit) => format!(r#"{{"type":"dtmf","digit":{}}}"#, quoted(&digit)),
            MediaFrame::Stop => r#"{"type":"stop"}"#.to_owned(),
        };
        Ok(vec![Message::Text(text)])
    }
}

impl Socket {
    fn read(&mut self, text: &str) -> Result<Option<MediaEvent>, &'static str> {
        let message: Incoming<'_> = serde_json::from_str(text).map_err(|_| "not the JSON of a browser's message")?;
        match &*message.kind {
            "start" => {
                if message.version.is_some_and(|version| version != 1) {
                    return Err("another version of the wire");
                }
                self.started = true;
                Ok(Some(MediaEvent::Started(Started::default())))
            }
            "dtmf" => envelope::digit(&message.digit.ok_or("a key without its digit")?.0).map(Some),
            "mark" => {
                let name = message.name.ok_or("a mark without its name")?.0.into_owned();
                Ok(Some(MediaEvent::Mark(name)))
            }
            "stop" => Ok(Some(MediaEvent::Stopped(None))),
            // What a newer page adds must not break calls.
            _ => Ok(None),
        }
    }
}

#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    version: Option<u32>,
    #[serde(borrow)]
    digit: Option<envelope::Text<'a>>,
    #[serde(borrow)]
    name: Option<envelope::Text<'a>>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strowger_sdk::testing::{hear, say};

    use super::*;

    fn started() -> Socket {
        let mut socket = Socket::default();
        let events = hear(&mut socket, r#"{"type":"start","version":1}"#);
        assert_eq!(events, [MediaEvent::Started(Started::default())]);
        socket
    }

    #[test]
    fn audio_goes_through_untouched() {
        let mut socket = started();
        let payload: Vec<u8> = (0..=255).collect();
        let heard = socket.deserialize_frame(Message::Binary(payload.clone()));
        assert_eq!(heard, [MediaEvent::audio(payload.clone())]);
        let said = socket.serialize_frame(MediaFrame::Audio(payload.clone()));
        assert_eq!(said, Ok(vec![Message::Binary(payload)]));
    }

    #[test]
    fn the_other_messages_are_read_and_written() {
        let mut socket = started();
        let digit = r##"{"type":"dtmf","digit":"#"}"##;
        assert_eq!(hear(&mut socket, digit), [MediaEvent::Dtmf("#".to_owned())]);
        let mark = r#"{"type":"mark","name":"turn \"1\""}"#;
        assert_eq!(hear(&mut socket, mark), [MediaEvent::Mark("turn \"1\"".to_owned())]);
        assert_eq!(hear(&mut socket, r#"{"type":"stop"}"#), [MediaEvent::Stopped(None)]);
        assert_eq!(hear(&mut socket, r#"{"type":"smile"}"#), []);

        assert_eq!(say(&mut socket, MediaFrame::Clear), json!({ "type": "clear" }));
        assert_eq!(say(&mut socket, MediaFrame::Stop), json!({ "type": "stop" }));
        let mark = say(&mut socket, MediaFrame::Mark("turn \"1\"".to_owned()));
        assert_eq!(mark, json!({ "type": "mark", "name": "turn \"1\"" }));
        let digit = say(&mut socket, MediaFrame::Dtmf("*".to_owned()));
        assert_eq!(digit, json!({ "type": "dtmf", "digit": "*" }));
    }

    #[test]
    fn what_cannot_be_read_is_dropped_and_said() {
        let mut early = Socket::default();
        assert_eq!(early.serialize_frame(MediaFrame::Clear), Err(FrameProblem::NotStarted));
        let malformed = |events: Vec<MediaEvent>| matches!(events[..], [MediaEvent::Malformed(_)]);
        assert!(malformed(early.deserialize_frame(Message::Binary(vec![0, 0]))));
        assert!(malformed(hear(&mut early, r#"{"type":"start","version":2}"#)));
        let mut socket = started();
        assert!(malformed(socket.deserialize_frame(Message::Binary(vec![0; 3]))));
        for text in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"type":7}"#,
            r#"{"type":"dtmf"}"#,
            r#"{"type":"dtmf","digit":"12"}"#,
            r#"{"type":"dtmf","digit":5}"#,
            r#"{"type":"mark"}"#,
        ] {
            assert!(malformed(hear(&mut socket, text)), "{text}");
        }
    }
}
