//! The media socket: <https://developer.vonage.com/en/voice/voice-api/concepts/websockets>.
//!
//! Audio is binary and passes as it is; everything else is JSON in text messages. Vonage buffers some 60 seconds.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};
use strowger_sdk::envelope::{self, PARAMETERS_MAX, quoted};
use strowger_sdk::{Call, FrameProblem, Leg, MediaEvent, MediaFrame, Message, Started};

use crate::ncco::CONTENT_TYPE;
use crate::spec::Config;

const CLEAR: &str = r#"{"action":"clear"}"#;

/// One socket.
#[derive(Debug)]
pub struct MediaSocket {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Started,
    /// The audio is of another format than the one that was asked for, and would be noise.
    Unusable,
}

impl Leg<Config> for MediaSocket {
    fn open(_config: &Config, _call: &Call) -> Self {
        Self { state: State::Waiting }
    }

    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        match message {
            Message::Binary(payload) => self.hear(payload),
            Message::Text(text) => match self.read(&text) {
                Ok(event) => event.into_iter().collect(),
                Err(problem) => vec![MediaEvent::malformed(problem)],
            },
        }
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        if self.state != State::Started {
            return Err(FrameProblem::NotStarted);
        }
        Ok(vec![match frame {
            MediaFrame::Audio(payload) => Message::Binary(payload),
            MediaFrame::Clear => Message::Text(CLEAR.to_owned()),
            MediaFrame::Mark(name) => Message::Text(notify(&name)),
            // Vonage plays digits on request of its API only, and a socket ends when it is closed.
            MediaFrame::Dtmf(_) | MediaFrame::Stop => return Err(FrameProblem::Unsupported),
        }])
    }
}

impl MediaSocket {
    /// The first message may be audio already. The stream then begins with it: its format is the one that was asked for.
    fn hear(&mut self, payload: Vec<u8>) -> Vec<MediaEvent> {
        if self.state == State::Unusable {
            return vec![MediaEvent::malformed("audio of another format")];
        }
        if payload.is_empty() || !payload.len().is_multiple_of(2) {
            return vec![MediaEvent::malformed("audio that is not whole samples")];
        }
        let mut events = Vec::with_capacity(2);
        if self.state == State::Waiting {
            self.state = State::Started;
            events.push(MediaEvent::Started(Started::default()));
        }
        events.push(MediaEvent::audio(payload));
        events
    }

    fn read(&mut self, text: &str) -> Result<Option<MediaEvent>, &'static str> {
        const SHAPE: &str = "not the JSON of a socket message";
        let message: Incoming<'_> = serde_json::from_str(text).map_err(|_| SHAPE)?;
        match &*message.event {
            "websocket:connected" => self.connected(serde_json::from_str(text).map_err(|_| SHAPE)?),
            "websocket:dtmf" => {
                // Two shapes are about: `digit` beside the event, and below `dtmf`.
                let digit = message
                    .digit
                    .or_else(|| message.dtmf?.digit)
                    .ok_or("dtmf without a digit")?;
                envelope::digit(&digit).map(Some)
            }
            "websocket:notify" => {
                let name = message.payload.and_then(|payload| payload.mark);
                Ok(Some(MediaEvent::Mark(name.ok_or("a notification that is no mark")?)))
            }
            "websocket:disconnected" => Ok(Some(MediaEvent::Stopped(None))),
            // `websocket:cleared` confirms what was asked for: marks before a clear count as passed without it. And what
            // Vonage adds later must not break calls.
            _ => Ok(None),
        }
    }

    /// The custom headers of the call control object are beside the event's own members.
    fn connected(&mut self, mut members: Map<String, Value>) -> Result<Option<MediaEvent>, &'static str> {
        members.remove("event");
        let format = members.remove("content-type");
        if format.is_some_and(|format| !format.as_str().is_some_and(is_ours)) {
            self.state = State::Unusable;
            return Err("an audio format other than L16 at 16 kHz");
        }
        if self.state == State::Started {
            return Ok(None);
        }
        self.state = State::Started;
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let provider_call_id = members.get("call_uuid").and_then(Value::as_str).map(str::to_owned);
        Ok(Some(MediaEvent::Started(Started {
            provider_call_id,
            parameters: members
                .into_iter()
                .take(PARAMETERS_MAX)
                .map(|(name, value)| (name, text(value)))
                .collect(),
            ..Started::default()
        })))
    }
}

/// Media types compare without regard to case and to spaces around a parameter (RFC 9110 §8.3.1).
fn is_ours(content_type: &str) -> bool {
    let bare: String = content_type.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    bare.eq_ignore_ascii_case(CONTENT_TYPE)
}

/// Asks Vonage to send the payload back when it has played what came before.
fn notify(mark: &str) -> String {
    format!(r#"{{"action":"notify","payload":{{"mark":{}}}}}"#, quoted(mark))
}

#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    digit: Option<String>,
    dtmf: Option<Dtmf>,
    payload: Option<Payload>,
}

#[derive(Deserialize)]
struct Dtmf {
    digit: Option<String>,
}

#[derive(Deserialize)]
struct Payload {
    mark: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strowger_sdk::testing::{hear as read, say};

    use super::*;

    const CONNECTED: &str = r#"{"event":"websocket:connected","content-type":"audio/l16;rate=16000","call":"7",
        "call_uuid":"63f61863","age":40,"address":{"line_1":"Apartment 14"}}"#;

    fn socket() -> MediaSocket {
        MediaSocket { state: State::Waiting }
    }

    fn started() -> MediaSocket {
        MediaSocket { state: State::Started }
    }

    fn hear(socket: &mut MediaSocket, payload: &[u8]) -> Vec<MediaEvent> {
        socket.deserialize_frame(Message::Binary(payload.to_vec()))
    }

    #[test]
    fn the_first_message_tells_of_the_call() {
        let mut socket = socket();
        assert_eq!(socket.serialize_frame(MediaFrame::Clear), Err(FrameProblem::NotStarted));
        let parameter = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let event = Started {
            provider_call_id: Some("63f61863".to_owned()),
            parameters: vec![
                parameter("address", r#"{"line_1":"Apartment 14"}"#),
                parameter("age", "40"),
                parameter("call", "7"),
                parameter("call_uuid", "63f61863"),
            ],
            ..Started::default()
        };
        assert_eq!(read(&mut socket, CONNECTED), [MediaEvent::Started(event)]);
        assert_eq!(hear(&mut socket, &[1, 2]), [MediaEvent::audio(vec![1, 2])]);
    }

    #[test]
    fn audio_may_come_first_and_is_kept() {
        let mut socket = socket();
        assert_eq!(
            hear(&mut socket, &[1, 2, 3, 4]),
            [
                MediaEvent::Started(Started::default()),
                MediaEvent::audio(vec![1, 2, 3, 4])
            ]
        );
        assert_eq!(read(&mut socket, CONNECTED), []);
        assert_eq!(hear(&mut socket, &[5, 6]), [MediaEvent::audio(vec![5, 6])]);
        assert!(socket.serialize_frame(MediaFrame::Clear).is_ok());
    }

    #[test]
    fn another_format_is_not_played_as_noise() {
        let other = r#"{"event":"websocket:connected","content-type":"audio/l16;rate=8000"}"#;
        for mut socket in [socket(), started()] {
            assert!(matches!(read(&mut socket, other)[..], [MediaEvent::Malformed(_)]));
            assert!(matches!(hear(&mut socket, &[1, 2])[..], [MediaEvent::Malformed(_)]));
            assert_eq!(
                socket.serialize_frame(MediaFrame::Audio(vec![1, 2])),
                Err(FrameProblem::NotStarted)
            );
        }
        let spaced = r#"{"event":"websocket:connected","content-type":"Audio/L16; rate=16000"}"#;
        assert!(matches!(read(&mut socket(), spaced)[..], [MediaEvent::Started(_)]));
        let silent = r#"{"event":"websocket:connected"}"#;
        assert!(matches!(read(&mut socket(), silent)[..], [MediaEvent::Started(_)]));
    }

    #[test]
    fn the_other_events_are_read() {
        let mut socket = started();
        for text in [
            r##"{"event":"websocket:dtmf","digit":"#","duration":260}"##,
            r##"{"event":"websocket:dtmf","dtmf":{"digit":"#"}}"##,
        ] {
            assert_eq!(read(&mut socket, text), [MediaEvent::Dtmf("#".to_owned())]);
        }
        let letter = r#"{"event":"websocket:dtmf","digit":"a"}"#;
        assert_eq!(read(&mut socket, letter), [MediaEvent::Dtmf("A".to_owned())]);
        let notify = r#"{"event":"websocket:notify","payload":{"mark":"turn \"2\""}}"#;
        assert_eq!(read(&mut socket, notify), [MediaEvent::Mark("turn \"2\"".to_owned())]);
        assert_eq!(read(&mut socket, r#"{"event":"websocket:cleared"}"#), []);
        assert_eq!(read(&mut socket, r#"{"event":"websocket:whisper","digit":null}"#), []);
        let end = r#"{"event":"websocket:disconnected"}"#;
        assert_eq!(read(&mut socket, end), [MediaEvent::Stopped(None)]);
    }

    #[test]
    fn what_cannot_be_read_is_dropped_and_said() {
        let mut socket = started();
        for text in [
            "",
            "{",
            "[]",
            "null",
            "{}",
            r#"{"event":7}"#,
            r#"{"event":"websocket:dtmf"}"#,
            r#"{"event":"websocket:dtmf","digit":"12"}"#,
            r#"{"event":"websocket:dtmf","digit":5}"#,
            r#"{"event":"websocket:dtmf","dtmf":"5"}"#,
            r#"{"event":"websocket:notify"}"#,
            r#"{"event":"websocket:notify","payload":{}}"#,
            r#"{"event":"websocket:notify","payload":{"mark":7}}"#,
        ] {
            assert!(
                matches!(read(&mut socket, text)[..], [MediaEvent::Malformed(_)]),
                "{text}"
            );
        }
        for payload in [&[][..], &[1], &[1, 2, 3]] {
            assert!(matches!(hear(&mut socket, payload)[..], [MediaEvent::Malformed(_)]));
        }
        assert_eq!(hear(&mut socket, &[1, 2]), [MediaEvent::audio(vec![1, 2])]);
    }

    #[test]
    fn what_is_written_is_binary_or_a_command() {
        let mut socket = started();
        let payload = vec![0xa5; 640];
        assert_eq!(
            socket.serialize_frame(MediaFrame::Audio(payload.clone())),
            Ok(vec![Message::Binary(payload)])
        );
        assert_eq!(say(&mut socket, MediaFrame::Clear), json!({ "action": "clear" }));
        assert_eq!(
            say(&mut socket, MediaFrame::Mark("turn \"2\"".to_owned())),
            json!({ "action": "notify", "payload": { "mark": "turn \"2\"" } })
        );
        for frame in [MediaFrame::Dtmf("1".to_owned()), MediaFrame::Stop] {
            assert_eq!(socket.serialize_frame(frame), Err(FrameProblem::Unsupported));
        }
    }
}
