//! Audio streams: <https://docs.vobiz.ai/xml/stream/stream-events>.

use std::time::SystemTime;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{CallRecord, FromGateway, MediaDialect, StreamInstruction, WireAudio, WireMessage};

#[derive(Debug)]
pub(super) struct AudioStream {
    stream_id: String,
    call_id: String,
    encoding: &'static str,
    audio: WireAudio,
    /// Of the next message.
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
            "audio/x-mulaw;rate=8000" => ("audio/x-mulaw", WireAudio::Mulaw),
            "audio/x-l16;rate=16000" => ("audio/x-l16", WireAudio::Linear { rate_hz: 16_000 }),
            _ => ("audio/x-l16", WireAudio::Linear { rate_hz: 8000 }),
        };
        Self {
            stream_id: Uuid::new_v4().to_string(),
            call_id: call.id.clone(),
            encoding,
            audio,
            sequence: 0,
            chunk: 0,
            waiting: 0,
            forgotten: 0,
        }
    }

    fn number(&mut self) -> u64 {
        let number = self.sequence;
        self.sequence += 1;
        number
    }

    /// Written by hand, because there are fifty of these a second. The time is that of the day.
    fn media(&mut self, payload: &str) -> WireMessage {
        self.chunk += 1;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let timestamp = since.map_or(0, |since| since.as_millis());
        WireMessage::Text(format!(
            r#"{{"sequenceNumber":{},"streamId":"{}","event":"media","extra_headers":"{{}}","media":{{"track":"inbound","timestamp":"{timestamp}","chunk":{},"payload":"{payload}"}}}}"#,
            self.number(),
            self.stream_id,
            self.chunk
        ))
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
            "sequenceNumber": self.number(),
            "event": "start",
            "extra_headers": "{}",
            "start": {
                "callId": self.call_id,
                "streamId": self.stream_id,
                // The account's number, which is not its id.
                "accountId": "1",
                "tracks": ["inbound"],
                "mediaFormat": { "encoding": self.encoding, "sampleRate": self.audio.rate_hz() },
            },
        });
        vec![WireMessage::Text(start.to_string())]
    }

    /// Linear samples come the other way round than they are taken.
    fn audio(&mut self, payload: &[u8]) -> WireMessage {
        let encoded = match self.audio {
            WireAudio::Linear { .. } => {
                let swapped: Vec<u8> = payload.chunks_exact(2).flat_map(|pair| [pair[1], pair[0]]).collect();
                STANDARD.encode(swapped)
            }
            _ => STANDARD.encode(payload),
        };
        self.media(&encoded)
    }

    fn unreadable_audio(&mut self) -> WireMessage {
        self.media("*** not base64 ***")
    }

    fn malformed(&mut self) -> WireMessage {
        WireMessage::Text(r#"{"event":"media","media":{"payload""#.to_owned())
    }

    /// Not in Vobiz's list of events; it comes in this shape.
    fn dtmf(&mut self, digit: char) -> Option<WireMessage> {
        let message = json!({ "event": "dtmf", "dtmf": { "digit": digit.to_string() } });
        Some(WireMessage::Text(message.to_string()))
    }

    fn mark_played(&mut self, name: &str) -> Option<WireMessage> {
        if self.forgotten > 0 {
            self.forgotten -= 1;
            return None;
        }
        self.waiting = self.waiting.saturating_sub(1);
        let message = json!({ "event": "playedStream", "name": name });
        Some(WireMessage::Text(message.to_string()))
    }

    fn cleared(&mut self) -> Option<WireMessage> {
        self.forgotten += std::mem::take(&mut self.waiting);
        let message = json!({
            "sequenceNumber": self.number(), "event": "clearedAudio", "streamId": self.stream_id,
        });
        Some(WireMessage::Text(message.to_string()))
    }

    fn read(&mut self, message: &WireMessage) -> Result<FromGateway, String> {
        let WireMessage::Text(text) = message else {
            return Err("a binary message".to_owned());
        };
        let message: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let event = message["event"].as_str().ok_or("no `event`")?;
        let named = &message["streamId"];
        // Only audio may go without the stream's id.
        if named.as_str() != Some(&self.stream_id) && !(event == "playAudio" && named.is_null()) {
            return Err(format!("`{event}` for another stream: {named}"));
        }
        match event {
            "playAudio" => {
                let media = &message["media"];
                if media["contentType"] != self.encoding || media["sampleRate"] != self.audio.rate_hz() {
                    return Err(format!(
                        "audio in another format: {} at {}",
                        media["contentType"], media["sampleRate"]
                    ));
                }
                let payload = media["payload"].as_str().ok_or("audio without a payload")?;
                let audio = STANDARD
                    .decode(payload)
                    .map_err(|error| format!("the payload is not base64: {error}"))?;
                if audio.starts_with(b"RIFF") {
                    return Err("the payload has a file header".to_owned());
                }
                Ok(FromGateway::Audio(audio))
            }
            "checkpoint" => {
                let name = message["name"].as_str().ok_or("a checkpoint without a name")?;
                self.waiting += 1;
                Ok(FromGateway::Mark(name.to_owned()))
            }
            "clearAudio" => Ok(FromGateway::Clear),
            "stop" => Ok(FromGateway::Stop),
            other => Err(format!("unknown event `{other}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Direction;

    fn stream(content_type: &str) -> AudioStream {
        let call = CallRecord::new("u1".into(), Direction::Inbound, "+1", "+2");
        let instruction = StreamInstruction {
            content_type: content_type.to_owned(),
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
    fn a_stream_begins_with_both_ids_inside_and_ends_without_a_word() {
        let mut stream = stream("audio/x-mulaw;rate=8000");
        let opening = stream.opening();
        let start = json(&opening[0]);
        assert_eq!(
            (&start["event"], &start["sequenceNumber"]),
            (&json!("start"), &json!(0))
        );
        assert_eq!(
            (&start["start"]["callId"], &start["streamId"]),
            (&json!("u1"), &Value::Null)
        );
        assert_eq!(start["start"]["streamId"], stream.stream_id());
        assert_eq!(
            start["start"]["mediaFormat"],
            json!({ "encoding": "audio/x-mulaw", "sampleRate": 8000 })
        );
        let audio = json(&stream.audio(&[1, 2]));
        assert_eq!(
            (
                &audio["sequenceNumber"],
                &audio["media"]["chunk"],
                &audio["media"]["payload"]
            ),
            (&json!(1), &json!(1), &json!("AQI="))
        );
        assert_eq!(stream.closing(), []);
    }

    #[test]
    fn linear_samples_are_sent_with_their_high_bytes_first() {
        let mut stream = stream("audio/x-l16;rate=16000");
        assert_eq!(stream.sends(), WireAudio::Linear { rate_hz: 16_000 });
        let audio = json(&stream.audio(&[1, 2, 3, 4]));
        assert_eq!(audio["media"]["payload"], STANDARD.encode([2, 1, 4, 3]));
    }

    #[test]
    fn a_checkpoint_that_is_cleared_never_comes_back() {
        let mut stream = stream("audio/x-mulaw;rate=8000");
        let id = stream.stream_id().to_owned();
        let mark =
            |name: &str| WireMessage::Text(json!({ "event": "checkpoint", "streamId": id, "name": name }).to_string());
        stream.read(&mark("a")).unwrap();
        assert_eq!(json(&stream.cleared().unwrap())["event"], "clearedAudio");
        assert_eq!(stream.mark_played("a"), None);
        assert_eq!(stream.read(&mark("b")), Ok(FromGateway::Mark("b".into())));
        assert_eq!(
            json(&stream.mark_played("b").unwrap()),
            json!({ "event": "playedStream", "name": "b" })
        );
    }

    #[test]
    fn the_gateways_messages_are_checked() {
        let mut stream = stream("audio/x-mulaw;rate=8000");
        let id = stream.stream_id().to_owned();
        let mut read = |message: Value| stream.read(&WireMessage::Text(message.to_string()));
        let audio = |content_type: &str, rate: u32, payload: &str| json!({ "event": "playAudio", "media": { "contentType": content_type, "sampleRate": rate, "payload": payload } });
        assert_eq!(
            read(audio("audio/x-mulaw", 8000, "AAE=")),
            Ok(FromGateway::Audio(vec![0, 1]))
        );
        assert_eq!(
            read(json!({ "event": "clearAudio", "streamId": id })),
            Ok(FromGateway::Clear)
        );
        assert_eq!(read(json!({ "event": "stop", "streamId": id })), Ok(FromGateway::Stop));
        for bad in [
            audio("audio/x-l16", 8000, "AAE="),
            audio("audio/x-mulaw", 16_000, "AAE="),
            audio("audio/x-mulaw", 8000, "!"),
            audio("audio/x-mulaw", 8000, &STANDARD.encode(b"RIFFxxxx")),
            json!({ "event": "stop" }),
            json!({ "event": "clearAudio", "streamId": "other" }),
            json!({ "event": "checkpoint", "streamId": id }),
            json!({ "event": "sendDTMF", "streamId": id, "dtmf": "1" }),
            json!({}),
        ] {
            assert!(read(bad.clone()).is_err(), "accepted {bad}");
        }
        assert!(stream.read(&WireMessage::Binary(vec![0])).is_err());
    }
}
