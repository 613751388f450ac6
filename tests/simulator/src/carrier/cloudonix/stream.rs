//! The audio stream of a session: Twilio's messages, with the session beside the call.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::super::{CallRecord, FromGateway, MediaDialect, StreamInstruction, WireMessage, random_hex};
use super::{DOMAIN, direction, sip_call_id};

#[derive(Debug)]
pub(super) struct Stream {
    stream_sid: String,
    /// The `start` object.
    start: Value,
    /// Of the last message.
    sequence: u64,
    /// Of the last audio message.
    chunk: u64,
    /// Where the next audio message begins.
    position_ms: u64,
}

impl Stream {
    pub(super) fn new(call: &CallRecord, stream: &StreamInstruction) -> Self {
        let stream_sid = random_hex(32);
        let parameters: Map<String, Value> = stream
            .parameters
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let start = json!({
            "streamSid": stream_sid,
            "accountSid": DOMAIN,
            "callSid": sip_call_id(call),
            "session": call.id,
            "from": call.from,
            "to": call.to,
            "context": direction(call),
            "tracks": ["inbound"],
            "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
            "customParameters": parameters,
        });
        Self {
            stream_sid,
            start,
            sequence: 0,
            chunk: 0,
            position_ms: 0,
        }
    }

    fn message(&mut self, event: &str, details: Value) -> WireMessage {
        self.sequence += 1;
        let mut message =
            json!({ "event": event, "sequenceNumber": self.sequence.to_string(), "streamSid": self.stream_sid });
        message[event] = details;
        WireMessage::Text(message.to_string())
    }

    fn media(&mut self, payload: &str) -> WireMessage {
        self.chunk += 1;
        let (chunk, at) = (self.chunk.to_string(), self.position_ms.to_string());
        self.position_ms += 20;
        let media = json!({ "track": "inbound", "chunk": chunk, "timestamp": at, "payload": payload });
        self.message("media", media)
    }
}

impl MediaDialect for Stream {
    fn stream_id(&self) -> &str {
        &self.stream_sid
    }

    fn opening(&mut self) -> Vec<WireMessage> {
        let connected = json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" });
        let start = self.start.clone();
        vec![WireMessage::Text(connected.to_string()), self.message("start", start)]
    }

    fn audio(&mut self, payload: &[u8]) -> WireMessage {
        self.media(&STANDARD.encode(payload))
    }

    fn unreadable_audio(&mut self) -> WireMessage {
        self.media("*** not base64 ***")
    }

    fn malformed(&mut self) -> WireMessage {
        WireMessage::Text(r#"{"event":"media","media":"#.to_owned())
    }

    fn dtmf(&mut self, digit: char) -> Option<WireMessage> {
        Some(self.message("dtmf", json!({ "track": "inbound_track", "digit": digit.to_string() })))
    }

    /// That marks come back is nowhere promised.
    fn mark_played(&mut self, _name: &str) -> Option<WireMessage> {
        None
    }

    fn closing(&mut self) -> Vec<WireMessage> {
        let details = json!({ "accountSid": DOMAIN, "callSid": self.start["callSid"] });
        vec![self.message("stop", details)]
    }

    fn read(&mut self, message: &WireMessage) -> Result<FromGateway, String> {
        let WireMessage::Text(text) = message else {
            return Err("a binary message".to_owned());
        };
        let message: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let event = message["event"].as_str().ok_or("no `event`")?;
        if message["streamSid"].as_str() != Some(&self.stream_sid) {
            return Err(format!("`{event}` for another stream"));
        }
        match event {
            "media" => {
                let payload = message["media"]["payload"].as_str().ok_or("no payload")?;
                let audio = STANDARD.decode(payload).map_err(|error| error.to_string())?;
                // Frames of 20 ms: longer ones are known to break up.
                if audio.len() != 160 {
                    return Err(format!("a frame of {} bytes", audio.len()));
                }
                Ok(FromGateway::Audio(audio))
            }
            "clear" => Ok(FromGateway::Clear),
            "mark" => Ok(FromGateway::Dropped("a mark".to_owned())),
            other => Err(format!("unknown event `{other}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Direction;

    fn stream() -> Stream {
        let call = CallRecord::new("2eac5483c05842e8aaaa".to_owned(), Direction::Inbound, "+1", "+2");
        Stream::new(&call, &StreamInstruction::default())
    }

    fn json(message: &WireMessage) -> Value {
        match message {
            WireMessage::Text(text) => serde_json::from_str(text).unwrap(),
            WireMessage::Binary(_) => panic!("not text"),
        }
    }

    #[test]
    fn a_stream_begins_with_its_session() {
        let mut stream = stream();
        let opening = stream.opening();
        assert_eq!(json(&opening[0])["event"], "connected");
        let start = json(&opening[1]);
        assert_eq!(
            (&start["event"], &start["streamSid"]),
            (&json!("start"), &json!(stream.stream_id()))
        );
        assert_eq!(start["start"]["session"], "2eac5483c05842e8aaaa");
        assert_eq!(start["start"]["callSid"], "2eac5483c05842e8@sbc.example");
        assert_eq!(
            (&start["start"]["accountSid"], &start["start"]["context"]),
            (&json!(DOMAIN), &json!("inbound"))
        );
        stream.audio(&[0xff; 160]);
        let second = json(&stream.audio(&[0xff; 160]));
        assert_eq!(
            (
                &second["sequenceNumber"],
                &second["media"]["chunk"],
                &second["media"]["timestamp"]
            ),
            (&json!("3"), &json!("2"), &json!("20"))
        );
        assert_eq!(json(&stream.dtmf('#').unwrap())["dtmf"]["digit"], "#");
        assert_eq!(json(&stream.closing()[0])["event"], "stop");
        assert_eq!(stream.mark_played("m"), None);
    }

    #[test]
    fn the_gateways_messages_are_read() {
        let mut stream = stream();
        let sid = stream.stream_id().to_owned();
        let mut read = |message: Value| stream.read(&WireMessage::Text(message.to_string()));
        let audio = json!({ "event": "media", "streamSid": sid, "media": { "payload": STANDARD.encode([7; 160]) } });
        assert_eq!(read(audio), Ok(FromGateway::Audio(vec![7; 160])));
        let short = json!({ "event": "media", "streamSid": sid, "media": { "payload": "AAE=" } });
        assert!(read(short).is_err());
        assert_eq!(
            read(json!({ "event": "clear", "streamSid": sid })),
            Ok(FromGateway::Clear)
        );
        assert!(matches!(
            read(json!({ "event": "mark", "streamSid": sid, "mark": { "name": "m" } })),
            Ok(FromGateway::Dropped(_))
        ));
        assert!(read(json!({ "event": "clear", "streamSid": "other" })).is_err());
        assert!(read(json!({ "event": "dtmf", "streamSid": sid })).is_err());
        assert!(stream.read(&WireMessage::Binary(vec![0])).is_err());
    }
}
