//! The media socket.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::super::{CallRecord, FromGateway, MediaDialect, WireMessage, random_hex};

#[derive(Debug)]
pub(super) struct MediaStream {
    name: String,
    call_id: String,
    /// Of the next audio message.
    sequence: u64,
}

impl MediaStream {
    pub(super) fn new(call: &CallRecord) -> Self {
        Self {
            name: format!("S-{}", random_hex(12)),
            call_id: call.id.clone(),
            sequence: 0,
        }
    }

    /// Written by hand, because there are fifty of these a second.
    fn media(&mut self, payload: &str) -> WireMessage {
        let sequence = self.sequence;
        self.sequence += 1;
        WireMessage::Text(format!(r#"{{"event":"media","seq":{sequence},"payload":"{payload}"}}"#))
    }
}

impl MediaDialect for MediaStream {
    fn stream_id(&self) -> &str {
        &self.name
    }

    fn opening(&mut self) -> Vec<WireMessage> {
        let start = json!({ "event": "start", "stream": self.name, "call": self.call_id, "format": "pcmu" });
        vec![WireMessage::Text(start.to_string())]
    }

    fn audio(&mut self, payload: &[u8]) -> WireMessage {
        self.media(&STANDARD.encode(payload))
    }

    fn unreadable_audio(&mut self) -> WireMessage {
        self.media("*** not base64 ***")
    }

    fn malformed(&mut self) -> WireMessage {
        WireMessage::Text(r#"{"event":"media","payload""#.to_owned())
    }

    fn dtmf(&mut self, digit: char) -> Option<WireMessage> {
        let message = json!({ "event": "dtmf", "digit": digit.to_string() });
        Some(WireMessage::Text(message.to_string()))
    }

    fn mark_played(&mut self, name: &str) -> Option<WireMessage> {
        Some(WireMessage::Text(json!({ "event": "mark", "name": name }).to_string()))
    }

    fn closing(&mut self) -> Vec<WireMessage> {
        vec![WireMessage::Text(
            json!({ "event": "stop", "reason": "the call ended" }).to_string(),
        )]
    }

    fn read(&mut self, message: &WireMessage) -> Result<FromGateway, String> {
        let WireMessage::Text(text) = message else {
            return Err("a binary message".to_owned());
        };
        let message: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        if message["stream"].as_str() != Some(&self.name) {
            return Err(format!("for another stream: {}", message["stream"]));
        }
        let text = |name: &str| message[name].as_str().ok_or(format!("without a {name}"));
        Ok(match text("event")? {
            "media" => {
                let audio = STANDARD.decode(text("payload")?);
                FromGateway::Audio(audio.map_err(|error| format!("the payload is not base64: {error}"))?)
            }
            "mark" => FromGateway::Mark(text("name")?.to_owned()),
            "clear" => FromGateway::Clear,
            "dtmf" => FromGateway::Digits(text("digit")?.to_owned()),
            "stop" => FromGateway::Stop,
            other => return Err(format!("unknown event `{other}`")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Direction;

    #[test]
    fn the_gateways_messages_are_checked() {
        let mut stream = MediaStream::new(&CallRecord::new("ET-1".into(), Direction::Inbound, "+1", "+2"));
        let name = stream.stream_id().to_owned();
        let mut read = |message: Value| stream.read(&WireMessage::Text(message.to_string()));
        for (message, expected) in [
            (
                json!({ "event": "media", "payload": "AAE=" }),
                FromGateway::Audio(vec![0, 1]),
            ),
            (json!({ "event": "mark", "name": "m" }), FromGateway::Mark("m".into())),
            (json!({ "event": "clear" }), FromGateway::Clear),
            (
                json!({ "event": "dtmf", "digit": "5" }),
                FromGateway::Digits("5".into()),
            ),
            (json!({ "event": "stop" }), FromGateway::Stop),
        ] {
            assert!(read(message.clone()).is_err(), "accepted without a stream: {message}");
            let mut message = message;
            message["stream"] = json!(name);
            assert_eq!(read(message), Ok(expected));
        }
        for message in [
            json!({ "event": "media", "payload": "!" }),
            json!({ "event": "mark" }),
            json!({ "event": "say" }),
        ] {
            let mut message = message;
            message["stream"] = json!(name);
            assert!(read(message.clone()).is_err(), "accepted {message}");
        }
        assert!(stream.read(&WireMessage::Binary(vec![0])).is_err());
    }

    #[test]
    fn frames_are_numbered_from_nothing() {
        let mut stream = MediaStream::new(&CallRecord::new("ET-1".into(), Direction::Inbound, "+1", "+2"));
        for sequence in 0..3 {
            let WireMessage::Text(text) = stream.audio(&[1, 2]) else {
                panic!("not text");
            };
            let message: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(message, json!({ "event": "media", "seq": sequence, "payload": "AQI=" }));
        }
    }
}
