//! Audio streams: <https://docs.plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-reference>.

use std::time::SystemTime;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{CallRecord, FromGateway, MediaDialect, QueueLimits, StreamInstruction, WireAudio, WireMessage};
use super::AUTH_ID;

/// Base64 characters of one message's audio.
const PAYLOAD_MAX: usize = 16 * 1024;
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// 40 seconds in frames. More is dropped, and Plivo asks nobody to stop.
const BUFFERED_FRAMES_MAX: u32 = 2000;

#[derive(Debug)]
pub(super) struct AudioStream {
    stream_id: String,
    call_id: String,
    encoding: &'static str,
    audio: WireAudio,
    extra_headers: String,
    /// Of the last message.
    sequence: u64,
    /// Of the last audio message.
    chunk: u64,
    /// Checkpoints that were not reached yet.
    waiting: u32,
    /// Checkpoints whose audio was cleared: nothing is ever said of them.
    forgotten: u32,
}

impl AudioStream {
    pub(super) fn new(call: &CallRecord, stream: &StreamInstruction) -> Self {
        let (encoding, audio) = match stream.content_type.as_str() {
            "audio/x-l16;rate=8000" => ("audio/x-l16", WireAudio::Linear { rate_hz: 8000 }),
            "audio/x-l16;rate=16000" => ("audio/x-l16", WireAudio::Linear { rate_hz: 16_000 }),
            _ => ("audio/x-mulaw", WireAudio::Mulaw),
        };
        let headers: Vec<String> = stream
            .parameters
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        Self {
            stream_id: Uuid::new_v4().to_string(),
            call_id: call.id.clone(),
            encoding,
            audio,
            extra_headers: headers.join(";"),
            sequence: 0,
            chunk: 0,
            waiting: 0,
            forgotten: 0,
        }
    }

    fn message(&mut self, mut message: Value) -> WireMessage {
        self.sequence += 1;
        message["sequenceNumber"] = self.sequence.into();
        WireMessage::Text(message.to_string())
    }

    /// Written by hand, because there are fifty of these a second. The time is that of the day.
    fn media(&mut self, payload: &str) -> WireMessage {
        self.sequence += 1;
        self.chunk += 1;
        WireMessage::Text(format!(
            r#"{{"sequenceNumber":{},"streamId":"{}","event":"media","media":{{"track":"inbound","timestamp":"{}","chunk":{},"payload":"{payload}"}},"extra_headers":""}}"#,
            self.sequence,
            self.stream_id,
            milliseconds(),
            self.chunk
        ))
    }

    fn is_for_another(&self, message: &Value) -> bool {
        message["streamId"].as_str() != Some(&self.stream_id)
    }

    fn played(&self, message: &Value) -> Result<FromGateway, String> {
        let media = &message["media"];
        if media["contentType"] != self.encoding {
            return Err(format!("audio in another encoding: {}", media["contentType"]));
        }
        if media["sampleRate"] != self.audio.rate_hz() {
            return Err(format!("audio at another rate: {}", media["sampleRate"]));
        }
        // Here the id may be left out, but not be wrong.
        if !message["streamId"].is_null() && self.is_for_another(message) {
            return Err("audio for another stream".to_owned());
        }
        let payload = media["payload"].as_str().ok_or("audio without a payload")?;
        if payload.len() > PAYLOAD_MAX {
            return Err(format!("a payload of {} characters", payload.len()));
        }
        let audio = STANDARD
            .decode(payload)
            .map_err(|error| format!("the payload is not base64: {error}"))?;
        if audio.starts_with(b"RIFF") {
            return Err("the payload has a file header".to_owned());
        }
        Ok(FromGateway::Audio(audio))
    }
}

impl MediaDialect for AudioStream {
    fn stream_id(&self) -> &str {
        &self.stream_id
    }

    fn sends(&self) -> WireAudio {
        self.audio
    }

    fn reads(&self) -> WireAudio {
        self.audio
    }

    fn opening(&mut self) -> Vec<WireMessage> {
        let start = json!({
            "event": "start",
            "start": {
                "callId": self.call_id,
                "streamId": self.stream_id,
                "accountId": AUTH_ID,
                "tracks": ["inbound"],
                "mediaFormat": { "encoding": self.encoding, "sampleRate": self.audio.rate_hz() },
            },
            "extra_headers": self.extra_headers,
        });
        vec![self.message(start)]
    }

    fn audio(&mut self, payload: &[u8]) -> WireMessage {
        self.media(&STANDARD.encode(payload))
    }

    fn unreadable_audio(&mut self) -> WireMessage {
        self.media("*** not base64 ***")
    }

    fn malformed(&mut self) -> WireMessage {
        WireMessage::Text(r#"{"event":"media","media":{"payload""#.to_owned())
    }

    fn dtmf(&mut self, digit: char) -> Option<WireMessage> {
        let dtmf = json!({ "track": "inbound", "digit": digit.to_string(), "timestamp": milliseconds().to_string() });
        let message = json!({ "event": "dtmf", "streamId": self.stream_id, "dtmf": dtmf });
        Some(self.message(message))
    }

    fn mark_played(&mut self, name: &str) -> Option<WireMessage> {
        if self.forgotten > 0 {
            self.forgotten -= 1;
            return None;
        }
        self.waiting = self.waiting.saturating_sub(1);
        let message = json!({ "event": "playedStream", "streamId": self.stream_id, "name": name });
        Some(self.message(message))
    }

    fn cleared(&mut self) -> Option<WireMessage> {
        self.forgotten += std::mem::take(&mut self.waiting);
        let message = json!({ "event": "clearedAudio", "streamId": self.stream_id });
        Some(self.message(message))
    }

    fn limits(&self) -> Option<QueueLimits> {
        Some(QueueLimits {
            stop_at: u32::MAX,
            resume_below: u32::MAX,
            frames_max: BUFFERED_FRAMES_MAX,
        })
    }

    fn read(&mut self, message: &WireMessage) -> Result<FromGateway, String> {
        let WireMessage::Text(text) = message else {
            return Err("a binary message".to_owned());
        };
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(format!("a message of {} bytes", text.len()));
        }
        let message: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        match message["event"].as_str().ok_or("no `event`")? {
            "playAudio" => self.played(&message),
            "sendDTMF" => {
                let digits = message["dtmf"].as_str().ok_or("no `dtmf`")?;
                if digits.is_empty() || !digits.chars().all(|digit| "0123456789*#ABCD".contains(digit)) {
                    return Err(format!("`{digits}` are not keys"));
                }
                Ok(FromGateway::Digits(digits.to_owned()))
            }
            event @ ("checkpoint" | "clearAudio") if self.is_for_another(&message) => {
                Err(format!("`{event}` for another stream"))
            }
            "checkpoint" => {
                let name = message["name"].as_str().ok_or("a checkpoint without a name")?;
                self.waiting += 1;
                Ok(FromGateway::Mark(name.to_owned()))
            }
            "clearAudio" => Ok(FromGateway::Clear),
            other => Err(format!("unknown event `{other}`")),
        }
    }
}

fn milliseconds() -> u128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Direction;

    fn stream(content_type: &str) -> AudioStream {
        let call = CallRecord::new("u1".into(), Direction::Inbound, "+1", "+2");
        let instruction = StreamInstruction {
            content_type: content_type.to_owned(),
            parameters: vec![("a".into(), "1".into()), ("b".into(), "2".into())],
            ..StreamInstruction::default()
        };
        AudioStream::new(&call, &instruction)
    }

    fn json(message: &WireMessage) -> Value {
        match message {
            WireMessage::Text(text) => serde_json::from_str(text).unwrap(),
            WireMessage::Binary(_) => panic!("not text"),
        }
    }

    #[test]
    fn a_stream_begins_with_its_format_and_numbers_its_messages() {
        for (content_type, encoding, rate) in [
            ("", "audio/x-mulaw", 8000),
            ("audio/x-mulaw;rate=8000", "audio/x-mulaw", 8000),
            ("audio/x-l16;rate=8000", "audio/x-l16", 8000),
            ("audio/x-l16;rate=16000", "audio/x-l16", 16_000),
        ] {
            let mut stream = stream(content_type);
            let opening = stream.opening();
            assert_eq!(opening.len(), 1);
            let start = json(&opening[0]);
            assert_eq!(
                (&start["event"], &start["sequenceNumber"]),
                (&json!("start"), &json!(1))
            );
            assert_eq!(
                start["start"]["mediaFormat"],
                json!({ "encoding": encoding, "sampleRate": rate })
            );
            assert_eq!(
                (&start["start"]["callId"], &start["extra_headers"]),
                (&json!("u1"), &json!("a=1;b=2"))
            );
            assert_eq!((stream.sends().rate_hz(), stream.reads()), (rate, stream.sends()));
            stream.audio(&[0xff; 160]);
            let second = json(&stream.audio(&[0xff; 160]));
            assert_eq!(
                (&second["sequenceNumber"], &second["media"]["chunk"]),
                (&json!(3), &json!(2))
            );
            assert!(second["media"]["timestamp"].as_str().unwrap().len() >= 13);
            assert_eq!(json(&stream.dtmf('#').unwrap())["dtmf"]["digit"], "#");
            assert_eq!(stream.closing(), []);
        }
    }

    #[test]
    fn a_checkpoint_that_is_cleared_never_comes_back() {
        let mut stream = stream("");
        let id = stream.stream_id().to_owned();
        let mark =
            |name: &str| WireMessage::Text(json!({ "event": "checkpoint", "streamId": id, "name": name }).to_string());
        for name in ["a", "b"] {
            assert_eq!(stream.read(&mark(name)), Ok(FromGateway::Mark(name.to_owned())));
        }
        let played = json(&stream.mark_played("a").unwrap());
        assert_eq!(
            (&played["event"], &played["name"]),
            (&json!("playedStream"), &json!("a"))
        );
        assert_eq!(json(&stream.cleared().unwrap())["event"], "clearedAudio");
        assert_eq!(stream.mark_played("b"), None);
        stream.read(&mark("c")).unwrap();
        assert!(stream.mark_played("c").is_some());
    }

    #[test]
    fn the_gateways_messages_are_checked() {
        let mut stream = stream("audio/x-l16;rate=16000");
        let id = stream.stream_id().to_owned();
        let mut read = |message: Value| stream.read(&WireMessage::Text(message.to_string()));
        let audio = |content_type: &str, rate: u32, payload: &str| json!({ "event": "playAudio", "media": { "contentType": content_type, "sampleRate": rate, "payload": payload } });
        assert_eq!(
            read(audio("audio/x-l16", 16_000, "AAE=")),
            Ok(FromGateway::Audio(vec![0, 1]))
        );
        assert_eq!(
            read(json!({ "event": "sendDTMF", "dtmf": "1#" })),
            Ok(FromGateway::Digits("1#".into()))
        );
        assert_eq!(
            read(json!({ "event": "clearAudio", "streamId": id })),
            Ok(FromGateway::Clear)
        );
        let mut misdirected = audio("audio/x-l16", 16_000, "AAE=");
        misdirected["streamId"] = json!("other");
        for bad in [
            audio("audio/x-mulaw", 16_000, "AAE="),
            audio("audio/x-l16", 8000, "AAE="),
            audio("audio/x-l16", 16_000, "!"),
            audio("audio/x-l16", 16_000, &STANDARD.encode(b"RIFFxxxx")),
            audio("audio/x-l16", 16_000, &"A".repeat(PAYLOAD_MAX + 4)),
            misdirected,
            json!({ "event": "clearAudio", "streamId": "other" }),
            json!({ "event": "clearAudio" }),
            json!({ "event": "checkpoint", "streamId": id }),
            json!({ "event": "sendDTMF", "dtmf": "x" }),
            json!({ "event": "media" }),
            json!({}),
        ] {
            assert!(read(bad.clone()).is_err(), "accepted {bad}");
        }
        assert!(stream.read(&WireMessage::Binary(vec![0])).is_err());
    }
}
