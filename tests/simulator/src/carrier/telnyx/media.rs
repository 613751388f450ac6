//! Media streaming over WebSocket.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::super::{CallRecord, FromGateway, MediaDialect, StreamInstruction, WireAudio, WireMessage};
use crate::report::Direction;

/// What the gateway may send in one message: 20 milliseconds to 30 seconds of 8 kHz.
const PAYLOAD_BYTES_MIN: usize = 160;
const PAYLOAD_BYTES_MAX: usize = 240_000;

/// How the stream was asked for, in [`StreamInstruction::content_type`]: `rtp PCMU`; empty when nothing may be sent back.
pub(super) fn content_type(body: &Value) -> String {
    if body["stream_bidirectional_mode"] != "rtp" {
        return String::new();
    }
    let codec = body["stream_bidirectional_codec"].as_str().unwrap_or("PCMU");
    format!("rtp {codec}")
}

/// One stream.
#[derive(Debug)]
pub(super) struct MediaStream {
    stream_id: String,
    call_control_id: String,
    from: String,
    to: String,
    client_state: Value,
    sends: WireAudio,
    /// None when the request did not ask for both directions: what comes then is dropped without a word.
    reads: Option<WireAudio>,
    /// Of the last message.
    sequence: u64,
    /// Of the last media message.
    chunk: u64,
    /// Start of the next media message on the track.
    position_ms: u64,
}

impl MediaStream {
    pub(super) fn new(call: &CallRecord, stream: &StreamInstruction) -> Self {
        let person = match call.direction {
            Direction::Inbound => &call.from,
            Direction::Outbound => &call.to,
        };
        Self {
            stream_id: super::uuid().to_uppercase(),
            call_control_id: call.id.clone(),
            from: call.from.clone(),
            to: call.to.clone(),
            client_state: call.extra["client_state"].clone(),
            sends: codec_of_call(person),
            reads: match stream.content_type.as_str() {
                "rtp PCMU" => Some(WireAudio::Mulaw),
                "rtp PCMA" => Some(WireAudio::Alaw),
                _ => None,
            },
            sequence: 0,
            chunk: 0,
            position_ms: 0,
        }
    }

    fn next(&mut self) -> String {
        self.sequence += 1;
        self.sequence.to_string()
    }

    /// Written by hand: this is the one message that is sent fifty times a second, and by the load generator for each call.
    fn media(&mut self, payload: &str) -> WireMessage {
        self.chunk += 1;
        self.sequence += 1;
        let message = format!(
            r#"{{"event":"media","sequence_number":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{}","payload":"{payload}"}},"stream_id":"{}"}}"#,
            self.sequence, self.chunk, self.position_ms, self.stream_id
        );
        self.position_ms += 20;
        WireMessage::Text(message)
    }

    /// What is said of a message that was not understood.
    fn refuse(&self, reason: &str) -> FromGateway {
        let error = json!({
            "event": "error",
            "payload": {
                "code": 100_003,
                "title": "malformed_frame",
                "detail": "The received frame was not formed correctly.",
            },
            "stream_id": self.stream_id,
        });
        FromGateway::Several(vec![
            FromGateway::Dropped(reason.to_owned()),
            FromGateway::Reply(WireMessage::Text(error.to_string())),
        ])
    }
}

/// In Europe networks speak A-law; the stream has what the call has.
fn codec_of_call(number: &str) -> WireAudio {
    if number.starts_with("+3") || number.starts_with("+4") {
        WireAudio::Alaw
    } else {
        WireAudio::Mulaw
    }
}

impl MediaDialect for MediaStream {
    fn stream_id(&self) -> &str {
        &self.stream_id
    }

    fn sends(&self) -> WireAudio {
        self.sends
    }

    fn reads(&self) -> WireAudio {
        self.reads.unwrap_or(WireAudio::Mulaw)
    }

    /// Before the call is answered; without an answer nothing follows it.
    fn connected(&mut self) -> Vec<WireMessage> {
        vec![WireMessage::Text(
            json!({ "event": "connected", "version": "1.0.0" }).to_string(),
        )]
    }

    fn opening(&mut self) -> Vec<WireMessage> {
        let encoding = match self.sends {
            WireAudio::Alaw => "PCMA",
            _ => "PCMU",
        };
        let start = json!({
            "event": "start",
            "sequence_number": self.next(),
            "start": {
                "user_id": "3e6f995f-85f7-4705-9741-53b116d28237",
                "call_control_id": self.call_control_id,
                "call_session_id": "ff55a038-6f5d-11ef-9692-02420aeffb1f",
                "from": self.from,
                "to": self.to,
                "tags": [],
                "client_state": self.client_state,
                "custom_parameters": {},
                "media_format": { "encoding": encoding, "sample_rate": 8000, "channels": 1 },
            },
            "stream_id": self.stream_id,
        });
        vec![WireMessage::Text(start.to_string())]
    }

    fn audio(&mut self, payload: &[u8]) -> WireMessage {
        self.media(&STANDARD.encode(payload))
    }

    fn unreadable_audio(&mut self) -> WireMessage {
        self.media("this is !!! not base64 *")
    }

    fn malformed(&mut self) -> WireMessage {
        WireMessage::Text(format!(
            r#"{{"event":"media","stream_id":"{}","media":{{"payload""#,
            self.stream_id
        ))
    }

    fn dtmf(&mut self, digit: char) -> Option<WireMessage> {
        let message = json!({
            "event": "dtmf",
            "stream_id": self.stream_id,
            "occurred_at": super::rfc3339(std::time::SystemTime::now()),
            "sequence_number": self.next(),
            "dtmf": { "digit": digit.to_string() },
        });
        Some(WireMessage::Text(message.to_string()))
    }

    fn mark_played(&mut self, name: &str) -> Option<WireMessage> {
        let message = json!({
            "event": "mark",
            "sequence_number": self.next(),
            "stream_id": self.stream_id,
            "mark": { "name": name },
        });
        Some(WireMessage::Text(message.to_string()))
    }

    fn closing(&mut self) -> Vec<WireMessage> {
        let message = json!({
            "event": "stop",
            "sequence_number": self.next(),
            "stream_id": self.stream_id,
            "stop": { "user_id": "3e6f995f-85f7-4705-9741-53b116d28237", "call_control_id": self.call_control_id },
        });
        vec![WireMessage::Text(message.to_string())]
    }

    fn read(&mut self, message: &WireMessage) -> Result<FromGateway, String> {
        let WireMessage::Text(text) = message else {
            return Ok(self.refuse("a binary message"));
        };
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return Ok(self.refuse("not JSON"));
        };
        match message["event"].as_str() {
            Some("media") => {
                let Some(Ok(audio)) = message["media"]["payload"].as_str().map(|text| STANDARD.decode(text)) else {
                    return Ok(self.refuse("`media` without a payload in base64"));
                };
                if self.reads.is_none() {
                    return Ok(FromGateway::Dropped("audio on a stream of one direction".to_owned()));
                }
                if !(PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(&audio.len()) {
                    return Ok(self.refuse("less than 20 ms or more than 30 s of audio"));
                }
                Ok(FromGateway::Audio(audio))
            }
            Some("mark") => match message["mark"]["name"].as_str() {
                Some(name) => Ok(FromGateway::Mark(name.to_owned())),
                None => Ok(self.refuse("`mark` without a name")),
            },
            Some("clear") => Ok(FromGateway::Clear),
            _ => Ok(self.refuse("an unknown event")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(from: &str, asked: &Value) -> MediaStream {
        let call = CallRecord::new("v3:abc".into(), Direction::Inbound, from, "+15005550006");
        let instruction = StreamInstruction {
            content_type: content_type(asked),
            ..StreamInstruction::default()
        };
        MediaStream::new(&call, &instruction)
    }

    fn both_ways() -> Value {
        json!({ "stream_bidirectional_mode": "rtp", "stream_bidirectional_codec": "PCMU" })
    }

    fn text(message: &WireMessage) -> Value {
        match message {
            WireMessage::Text(text) => serde_json::from_str(text).unwrap(),
            WireMessage::Binary(_) => panic!("not text"),
        }
    }

    #[test]
    fn the_directions_may_differ() {
        let mut american = stream("+14155550100", &both_ways());
        assert_eq!(
            (american.sends(), american.reads()),
            (WireAudio::Mulaw, WireAudio::Mulaw)
        );
        assert_eq!(text(&american.connected()[0])["event"], "connected");
        let start = text(&american.opening()[0]);
        assert_eq!(start["start"]["media_format"]["encoding"], "PCMU");
        assert_eq!(start["stream_id"], american.stream_id());
        assert_eq!(start["start"]["call_control_id"], "v3:abc");

        let mut european = stream("+442071838750", &both_ways());
        assert_eq!(
            (european.sends(), european.reads()),
            (WireAudio::Alaw, WireAudio::Mulaw)
        );
        assert_eq!(
            text(&european.opening()[0])["start"]["media_format"]["encoding"],
            "PCMA"
        );
    }

    #[test]
    fn media_is_numbered() {
        let mut stream = stream("+14155550100", &both_ways());
        stream.opening();
        stream.audio(&[0xff; 160]);
        let second = text(&stream.audio(&[0xff; 160]));
        assert_eq!(second["sequence_number"], "3");
        assert_eq!(
            (&second["media"]["chunk"], &second["media"]["timestamp"]),
            (&json!("2"), &json!("20"))
        );
    }

    #[test]
    fn the_gateways_messages_are_read() {
        let mut stream = stream("+14155550100", &both_ways());
        let mut read = |text: &str| stream.read(&WireMessage::Text(text.to_owned())).unwrap();
        let frame = STANDARD.encode([0x7f; 160]);
        let media = format!(r#"{{"event":"media","media":{{"payload":"{frame}"}}}}"#);
        assert_eq!(read(&media), FromGateway::Audio(vec![0x7f; 160]));
        assert_eq!(read(r#"{"event":"clear"}"#), FromGateway::Clear);
        assert_eq!(
            read(r#"{"event":"mark","mark":{"name":"a"}}"#),
            FromGateway::Mark("a".into())
        );
        for odd in [
            "{",
            r#"{"event":"stop"}"#,
            r#"{"event":"mark"}"#,
            r#"{"event":"media","media":{"payload":"AAE="}}"#,
            r#"{"event":"media","media":{"payload":"%"}}"#,
        ] {
            assert!(matches!(read(odd), FromGateway::Several(_)), "{odd}");
        }
    }

    #[test]
    fn audio_is_dropped_silently_unless_both_directions_were_asked_for() {
        let mut stream = stream("+14155550100", &json!({}));
        let frame = STANDARD.encode([0x7f; 160]);
        let media = format!(r#"{{"event":"media","media":{{"payload":"{frame}"}}}}"#);
        assert!(matches!(
            stream.read(&WireMessage::Text(media)),
            Ok(FromGateway::Dropped(_))
        ));
    }
}
