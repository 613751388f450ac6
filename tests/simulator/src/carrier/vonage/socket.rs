//! The media socket: binary audio of 16-bit samples, everything else in JSON.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    super::{CallRecord, FromGateway, MediaDialect, QueueLimits, StreamInstruction, WireAudio, WireMessage},
    ncco::rate_hz,
};

/// Messages that are buffered; what comes on top is lost. There is no way to ask the sender to stop.
const BUFFERED_MAX: u32 = 3072;

#[derive(Debug)]
pub(super) struct Socket {
    /// Of the socket's own leg.
    uuid: String,
    content_type: String,
    audio: WireAudio,
    headers: Vec<(String, String)>,
    /// Payloads of notifications that wait, under the names that the exchange knows them by.
    waiting: Vec<(String, Value)>,
    notified: u64,
}

impl Socket {
    pub(super) fn new(_call: &CallRecord, stream: &StreamInstruction) -> Self {
        let usual = 16_000;
        let rate_hz = rate_hz(&stream.content_type).unwrap_or(usual);
        Self {
            uuid: Uuid::new_v4().to_string(),
            content_type: format!("audio/l16;rate={rate_hz}"),
            audio: WireAudio::Linear { rate_hz },
            headers: stream.parameters.clone(),
            waiting: Vec::new(),
            notified: 0,
        }
    }

    fn command(&mut self, text: &str) -> Result<FromGateway, String> {
        let command: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        match command["action"].as_str().ok_or("no `action`")? {
            "clear" => Ok(FromGateway::Clear),
            "notify" => {
                let payload = command["payload"].clone();
                if !payload.is_object() {
                    return Err("`notify` without a payload".to_owned());
                }
                self.notified += 1;
                let name = format!("{}:{payload}", self.notified);
                self.waiting.push((name.clone(), payload));
                Ok(FromGateway::Mark(name))
            }
            other => Err(format!("unknown action `{other}`")),
        }
    }
}

impl MediaDialect for Socket {
    fn stream_id(&self) -> &str {
        &self.uuid
    }

    fn sends(&self) -> WireAudio {
        self.audio
    }

    fn reads(&self) -> WireAudio {
        self.audio
    }

    fn opening(&mut self) -> Vec<WireMessage> {
        let mut message = Map::new();
        for (name, value) in &self.headers {
            message.insert(name.clone(), Value::String(value.clone()));
        }
        message.insert("event".to_owned(), json!("websocket:connected"));
        message.insert("content-type".to_owned(), json!(self.content_type));
        vec![text(&Value::Object(message))]
    }

    fn audio(&mut self, payload: &[u8]) -> WireMessage {
        WireMessage::Binary(payload.to_vec())
    }

    /// Half a sample too much.
    fn unreadable_audio(&mut self) -> WireMessage {
        WireMessage::Binary(vec![0; 641])
    }

    fn malformed(&mut self) -> WireMessage {
        WireMessage::Text(r#"{"event":"websocket:dtmf","digit"#.to_owned())
    }

    fn dtmf(&mut self, digit: char) -> Option<WireMessage> {
        let message = json!({ "event": "websocket:dtmf", "digit": digit.to_string(), "duration": 260 });
        Some(text(&message))
    }

    /// What becomes of a notification whose audio is cleared is not documented; here it comes back at once, so that a gateway
    /// shows what it makes of that.
    fn mark_played(&mut self, name: &str) -> Option<WireMessage> {
        let at = self.waiting.iter().position(|(waiting, _)| waiting == name)?;
        let (_, payload) = self.waiting.remove(at);
        Some(text(&json!({ "event": "websocket:notify", "payload": payload })))
    }

    fn cleared(&mut self) -> Option<WireMessage> {
        Some(text(&json!({ "event": "websocket:cleared" })))
    }

    fn limits(&self) -> Option<QueueLimits> {
        Some(QueueLimits {
            stop_at: BUFFERED_MAX,
            resume_below: BUFFERED_MAX,
            frames_max: BUFFERED_MAX,
        })
    }

    fn read(&mut self, message: &WireMessage) -> Result<FromGateway, String> {
        match message {
            WireMessage::Text(text) => self.command(text),
            WireMessage::Binary(payload) if payload.starts_with(b"RIFF") => Err("audio with a file header".to_owned()),
            // "It is important that each message contains 20 ms of audio."
            WireMessage::Binary(payload) if payload.len() == self.audio.frame_samples() * 2 => {
                Ok(FromGateway::Audio(payload.clone()))
            }
            WireMessage::Binary(payload) => Err(format!("audio of {} bytes is not 20 ms", payload.len())),
        }
    }
}

fn text(message: &Value) -> WireMessage {
    WireMessage::Text(message.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Direction;

    fn socket(content_type: &str) -> Socket {
        let call = CallRecord::new("63f61863".into(), Direction::Inbound, "+1", "+2");
        let stream = StreamInstruction {
            content_type: content_type.into(),
            parameters: vec![("language".into(), "en-GB".into()), ("event".into(), "mine".into())],
            ..StreamInstruction::default()
        };
        Socket::new(&call, &stream)
    }

    fn json_of(message: &WireMessage) -> Value {
        match message {
            WireMessage::Text(text) => serde_json::from_str(text).unwrap(),
            WireMessage::Binary(_) => panic!("binary"),
        }
    }

    #[test]
    fn headers_are_beside_the_events_own_members() {
        let opening = socket("audio/l16;rate=16000").opening();
        let expected = json!({
            "event": "websocket:connected", "content-type": "audio/l16;rate=16000", "language": "en-GB",
        });
        assert_eq!(json_of(&opening[0]), expected);
    }

    #[test]
    fn audio_is_binary_and_has_20_ms() {
        for (content_type, bytes) in [
            ("audio/l16;rate=8000", 320),
            ("audio/l16;rate=16000", 640),
            ("audio/l16;rate=24000", 960),
        ] {
            let mut socket = socket(content_type);
            assert_eq!(socket.audio(&[1, 2]), WireMessage::Binary(vec![1, 2]));
            let frame = vec![0; bytes];
            assert_eq!(
                socket.read(&WireMessage::Binary(frame.clone())),
                Ok(FromGateway::Audio(frame))
            );
            for wrong in [0, bytes - 1, bytes + 2, bytes * 2] {
                assert!(socket.read(&WireMessage::Binary(vec![0; wrong])).is_err(), "{wrong}");
            }
        }
    }

    #[test]
    fn a_notification_comes_back_with_its_payload() {
        let mut socket = socket("audio/l16;rate=16000");
        let notify = WireMessage::Text(r#"{"action":"notify","payload":{"customKey":"customValue"}}"#.into());
        let (Ok(FromGateway::Mark(first)), Ok(FromGateway::Mark(second))) =
            (socket.read(&notify), socket.read(&notify))
        else {
            panic!("no marks")
        };
        assert_ne!(first, second);
        for name in [second, first] {
            assert_eq!(
                json_of(&socket.mark_played(&name).unwrap()),
                json!({ "event": "websocket:notify", "payload": { "customKey": "customValue" } })
            );
            assert_eq!(socket.mark_played(&name), None);
        }
        assert_eq!(
            json_of(&socket.cleared().unwrap()),
            json!({ "event": "websocket:cleared" })
        );
    }

    #[test]
    fn commands_are_actions() {
        let mut socket = socket("audio/l16;rate=16000");
        let mut read = |text: &str| socket.read(&WireMessage::Text(text.into()));
        assert_eq!(read(r#"{"action":"clear"}"#), Ok(FromGateway::Clear));
        for wrong in [
            "{",
            "{}",
            r#"{"event":"clear"}"#,
            r#"{"action":"mark"}"#,
            r#"{"action":"notify"}"#,
            r#"{"action":"notify","payload":"turn-1"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
