//! The `media-streams` protocol: JSON text only, µ-law at 8 kHz in base64, the gateway in the carrier's role.
//!
//! Bots written for the de-facto standard depend on its details: numbers as strings, sequence numbers from 1, the order
//! `connected`, `start`, `media`, and that every pending mark comes back after a `clear`.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use strowger_audio::{Encoding, SampleRate, WireFormat};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use url::Url;
use uuid::Uuid;

use super::socket::{Ignored, Incoming, Shape};
use super::{AgentCall, AgentCommand, AgentEvent, AgentSpec};

const WIRE: WireFormat = WireFormat::new(Encoding::Pcmu, SampleRate::Hz8000);

/// Agents write base64 with and without padding; an odd bit at the end is no reason to lose a frame.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Longer names of marks are nobody's; they wait in memory until they are played.
pub(super) const MARK_CHARS_MAX: usize = 256;

/// A `media` message of a 20 ms frame has about 330 bytes: room for a dozen before the buffer is reused.
const BUFFER_BYTES: usize = 4096;

/// One stream towards an agent.
pub(super) struct MediaStreams {
    stream_sid: String,
    call_sid: String,
    account_sid: String,
    parameters: Map<String, Value>,
    /// Number of the last message that has one.
    sequence_number: u64,
    /// Number of the last `media` message.
    chunk: u64,
    /// Media time of the next frame.
    samples: u64,
    bytes: Vec<u8>,
    base64: String,
    text: BytesMut,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum ToAgent<'a> {
    Connected {
        protocol: &'a str,
        version: &'a str,
    },
    Start {
        sequence_number: String,
        start: Start<'a>,
        stream_sid: &'a str,
    },
    Dtmf {
        stream_sid: &'a str,
        sequence_number: String,
        dtmf: Dtmf,
    },
    Mark {
        stream_sid: &'a str,
        sequence_number: String,
        mark: Mark<'a>,
    },
    Stop {
        stream_sid: &'a str,
        sequence_number: String,
        stop: Stop<'a>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    account_sid: &'a str,
    stream_sid: &'a str,
    call_sid: &'a str,
    tracks: [&'a str; 1],
    media_format: MediaFormat<'a>,
    custom_parameters: &'a Map<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MediaFormat<'a> {
    encoding: &'a str,
    sample_rate: u32,
    channels: u8,
}

#[derive(Serialize)]
struct Dtmf {
    track: &'static str,
    digit: char,
}

#[derive(Serialize)]
struct Mark<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stop<'a> {
    account_sid: &'a str,
    call_sid: &'a str,
}

/// What agents send. Borrowed: a burst of speech is parsed without copying its base64.
#[derive(Deserialize)]
struct FromAgent<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    media: Option<MediaFrom<'a>>,
    #[serde(borrow, default)]
    mark: Option<MarkFrom<'a>>,
}

#[derive(Deserialize)]
struct MediaFrom<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
struct MarkFrom<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl MediaStreams {
    pub(super) fn new(spec: &AgentSpec, call: &AgentCall) -> Self {
        Self {
            stream_sid: format!("MZ{}", Uuid::new_v4().simple()),
            call_sid: call_sid(&call.call_id),
            account_sid: account_sid(spec.url.as_ref()),
            parameters: custom_parameters(spec, call),
            sequence_number: 0,
            chunk: 0,
            samples: 0,
            bytes: Vec::new(),
            base64: String::new(),
            text: BytesMut::with_capacity(BUFFER_BYTES),
        }
    }

    fn next_sequence_number(&mut self) -> String {
        self.sequence_number += 1;
        self.sequence_number.to_string()
    }

    fn start(&mut self, out: &mut Vec<Message>) {
        out.extend(text(&ToAgent::Connected {
            protocol: "Call",
            version: "1.0.0",
        }));
        let sequence_number = self.next_sequence_number();
        let start = Start {
            account_sid: &self.account_sid,
            stream_sid: &self.stream_sid,
            call_sid: &self.call_sid,
            tracks: ["inbound"],
            media_format: MediaFormat {
                encoding: "audio/x-mulaw",
                sample_rate: WIRE.rate.hz(),
                channels: 1,
            },
            custom_parameters: &self.parameters,
        };
        out.extend(text(&ToAgent::Start {
            sequence_number,
            start,
            stream_sid: &self.stream_sid,
        }));
    }

    /// Written by hand: it happens 50 times a second in every call, and nothing in it needs escaping.
    fn media(&mut self, samples: &[i16], out: &mut Vec<Message>) {
        if samples.is_empty() {
            return;
        }
        self.sequence_number += 1;
        self.chunk += 1;
        self.bytes.clear();
        WIRE.encode(samples, &mut self.bytes);
        self.base64.clear();
        BASE64.encode_string(&self.bytes, &mut self.base64);
        let timestamp = WIRE.rate.ms_of_samples(self.samples);
        let Self {
            sequence_number,
            stream_sid,
            chunk,
            base64,
            text,
            ..
        } = self;
        let written = write!(
            text,
            r#"{{"event":"media","sequenceNumber":"{sequence_number}","streamSid":"{stream_sid}","media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{timestamp}","payload":"{base64}"}}}}"#
        );
        self.samples += samples.len() as u64;
        let message = Utf8Bytes::try_from(text.split().freeze());
        if let (Ok(()), Ok(message)) = (written, message) {
            out.push(Message::Text(message));
        }
    }

    fn mark(&mut self, name: &str, out: &mut Vec<Message>) {
        let sequence_number = self.next_sequence_number();
        out.extend(text(&ToAgent::Mark {
            stream_sid: &self.stream_sid,
            sequence_number,
            mark: Mark { name },
        }));
    }
}

impl Shape for MediaStreams {
    const SUBPROTOCOL: Option<&'static str> = None;

    fn encode(&mut self, command: &AgentCommand, out: &mut Vec<Message>) {
        match command {
            AgentCommand::Start => self.start(out),
            AgentCommand::Audio(samples) => self.media(samples, out),
            AgentCommand::Dtmf(digit) => {
                let sequence_number = self.next_sequence_number();
                let dtmf = Dtmf {
                    track: "inbound_track",
                    digit: *digit,
                };
                out.extend(text(&ToAgent::Dtmf {
                    stream_sid: &self.stream_sid,
                    sequence_number,
                    dtmf,
                }));
            }
            AgentCommand::MarkPlayed { name, .. } => self.mark(name, out),
            // What tells an agent of this shape that its `clear` was obeyed.
            AgentCommand::Cleared { marks, .. } => marks.iter().for_each(|name| self.mark(name, out)),
            // This protocol has no word for it; the API does.
            AgentCommand::Transfer(_) => {}
            AgentCommand::Stop { .. } => {
                let sequence_number = self.next_sequence_number();
                let stop = Stop {
                    account_sid: &self.account_sid,
                    call_sid: &self.call_sid,
                };
                out.extend(text(&ToAgent::Stop {
                    stream_sid: &self.stream_sid,
                    sequence_number,
                    stop,
                }));
            }
        }
    }

    fn decode(
        &mut self,
        message: Incoming<'_>,
        events: &mut VecDeque<AgentEvent>,
        _replies: &mut Vec<Message>,
    ) -> Result<(), Ignored> {
        let Incoming::Text(text) = message else {
            return Err(Ignored::Binary);
        };
        // The stream's id in a message is not looked at: there is one stream on this socket.
        let FromAgent { event, media, mark } = serde_json::from_str(text).map_err(|_| Ignored::Malformed)?;
        match &*event {
            "media" => {
                let payload = media.ok_or(Ignored::Malformed)?.payload;
                self.bytes.clear();
                BASE64
                    .decode_vec(payload.as_bytes(), &mut self.bytes)
                    .map_err(|_| Ignored::Malformed)?;
                let mut samples = Vec::with_capacity(self.bytes.len());
                // Every byte of µ-law is a sample.
                let _ = WIRE.decode(&self.bytes, &mut samples);
                if !samples.is_empty() {
                    events.push_back(AgentEvent::Audio(samples));
                }
            }
            "mark" => {
                let name = mark.ok_or(Ignored::Malformed)?.name;
                if name.chars().count() > MARK_CHARS_MAX {
                    return Err(Ignored::Malformed);
                }
                events.push_back(AgentEvent::Mark(name.into_owned()));
            }
            "clear" => events.push_back(AgentEvent::Clear),
            _ => return Err(Ignored::Unknown),
        }
        Ok(())
    }
}

fn text(message: &ToAgent<'_>) -> Option<Message> {
    // Serialising these types cannot fail: all keys are strings and nothing does I/O.
    serde_json::to_string(message).ok().map(Message::text)
}

/// Bots read `from_number` and `to_number` here. What the gateway knows stands above what was configured.
fn custom_parameters(spec: &AgentSpec, call: &AgentCall) -> Map<String, Value> {
    let configured = spec.parameters.iter().filter_map(|(name, value)| {
        let text = match value {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            // All values of this shape are strings.
            other => other.to_string(),
        };
        Some((name.clone(), text.into()))
    });
    let known = [
        ("call_id", call.call_id.as_str()),
        ("direction", call.direction),
        ("from_number", call.caller.as_str()),
        ("to_number", call.callee.as_str()),
    ];
    configured
        .chain(known.map(|(name, value)| (name.to_owned(), value.into())))
        .collect()
}

/// The call's own id where it fits, so that both sides' logs can be joined.
fn call_sid(call_id: &str) -> String {
    match Uuid::parse_str(call_id) {
        Ok(id) => format!("CA{}", id.simple()),
        Err(_) => format!("CA{}", digest(call_id)),
    }
}

/// There is no account in this gateway that an agent could know. One that stays the same for an agent's URL serves those
/// that group calls by it.
fn account_sid(url: Option<&Url>) -> String {
    let place = url
        .map(|url| format!("{}{}", url.origin().ascii_serialization(), url.path()))
        .unwrap_or_default();
    format!("AC{}", digest(&place))
}

/// 32 hexadecimal digits.
fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Protocol;
    use super::*;

    fn stream(parameters: &Value) -> MediaStreams {
        let spec = AgentSpec {
            protocol: Protocol::MediaStreams,
            url: Some("wss://agent.example.com/bot?key=secret".parse().unwrap()),
            sample_rate: SampleRate::Hz24000,
            headers: Vec::new(),
            parameters: parameters.as_object().unwrap().clone(),
        };
        let call = AgentCall {
            call_id: "0190a6a4-6e2d-7c3e-9d5f-0123456789ab".to_owned(),
            direction: "inbound",
            caller: "+15005550001".to_owned(),
            callee: "+15005550002".to_owned(),
            frame_ms: 20,
            capabilities: Vec::new(),
        };
        MediaStreams::new(&spec, &call)
    }

    fn encoded(stream: &mut MediaStreams, command: &AgentCommand) -> Vec<Value> {
        let mut out = Vec::new();
        stream.encode(command, &mut out);
        out.iter()
            .map(|message| serde_json::from_str(message.to_text().unwrap()).unwrap())
            .collect()
    }

    fn decoded(message: &str) -> Result<Vec<AgentEvent>, Ignored> {
        let mut events = VecDeque::new();
        stream(&json!({})).decode(Incoming::Text(message), &mut events, &mut Vec::new())?;
        Ok(events.into())
    }

    #[test]
    fn a_stream_begins_as_bots_expect() {
        let mut stream = stream(&json!({"tenant": "a", "limit": 3, "nothing": null, "from_number": "spoofed"}));
        let messages = encoded(&mut stream, &AgentCommand::Start);
        assert_eq!(
            messages[0],
            json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        );
        assert_eq!(
            messages[1],
            json!({
                "event": "start",
                "sequenceNumber": "1",
                "streamSid": stream.stream_sid,
                "start": {
                    "accountSid": stream.account_sid,
                    "streamSid": stream.stream_sid,
                    "callSid": "CA0190a6a46e2d7c3e9d5f0123456789ab",
                    "tracks": ["inbound"],
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                    "customParameters": {
                        "tenant": "a",
                        "limit": "3",
                        "call_id": "0190a6a4-6e2d-7c3e-9d5f-0123456789ab",
                        "direction": "inbound",
                        "from_number": "+15005550001",
                        "to_number": "+15005550002",
                    },
                },
            })
        );
        for (sid, prefix) in [
            (&stream.stream_sid, "MZ"),
            (&stream.account_sid, "AC"),
            (&stream.call_sid, "CA"),
        ] {
            let digits = sid.strip_prefix(prefix).unwrap();
            assert!(
                digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{sid}"
            );
        }
    }

    #[test]
    fn frames_are_numbered_and_carry_their_media_time() {
        let mut stream = stream(&json!({}));
        encoded(&mut stream, &AgentCommand::Start);
        for (sequence_number, chunk, timestamp) in [("2", "1", "0"), ("3", "2", "20"), ("4", "3", "40")] {
            let messages = encoded(&mut stream, &AgentCommand::Audio(vec![0; 160]));
            let payload = BASE64.encode([0xFF; 160]);
            let media = json!({"track": "inbound", "chunk": chunk, "timestamp": timestamp, "payload": payload});
            let expected = json!({"event": "media", "sequenceNumber": sequence_number, "streamSid": stream.stream_sid, "media": media});
            assert_eq!(messages, [expected]);
        }
        assert!(encoded(&mut stream, &AgentCommand::Audio(Vec::new())).is_empty());
    }

    #[test]
    fn control_messages_have_their_shape() {
        let mut stream = stream(&json!({}));
        let sid = stream.stream_sid.clone();
        assert_eq!(
            encoded(&mut stream, &AgentCommand::Dtmf('#')),
            [
                json!({"event": "dtmf", "streamSid": sid, "sequenceNumber": "1", "dtmf": {"track": "inbound_track", "digit": "#"}})
            ]
        );
        assert_eq!(
            encoded(
                &mut stream,
                &AgentCommand::MarkPlayed {
                    name: "a \"b\"".to_owned(),
                    heard_ms: 1
                }
            ),
            [json!({"event": "mark", "streamSid": sid, "sequenceNumber": "2", "mark": {"name": "a \"b\""}})]
        );
        let cleared = AgentCommand::Cleared {
            heard_ms: 5,
            marks: vec!["a".to_owned(), "b".to_owned()],
        };
        let names: Vec<_> = encoded(&mut stream, &cleared)
            .iter()
            .map(|mark| mark["mark"]["name"].clone())
            .collect();
        assert_eq!(names, ["a", "b"]);
        let stop = encoded(
            &mut stream,
            &AgentCommand::Stop {
                reason: "caller_hung_up".to_owned(),
            },
        );
        let ids = json!({"accountSid": stream.account_sid, "callSid": stream.call_sid});
        assert_eq!(
            stop,
            [json!({"event": "stop", "streamSid": sid, "sequenceNumber": "5", "stop": ids})]
        );
    }

    #[test]
    fn what_agents_send_is_understood() {
        let silence = vec![AgentEvent::Audio(vec![0; 3])];
        assert_eq!(
            decoded(r#"{"event":"media","streamSid":"x","media":{"payload":"////"}}"#),
            Ok(silence.clone())
        );
        // Keys in another order, escaped slashes, no padding, more than is known.
        assert_eq!(
            decoded(r#"{"media":{"x":1,"payload":"\/\/\/\/"},"y":[],"event":"media"}"#),
            Ok(silence)
        );
        assert_eq!(
            decoded(r#"{"event":"media","media":{"payload":"//8"}}"#),
            Ok(vec![AgentEvent::Audio(vec![0; 2])])
        );
        assert_eq!(decoded(r#"{"event":"media","media":{"payload":""}}"#), Ok(vec![]));
        assert_eq!(
            decoded(r#"{"event":"mark","mark":{"name":"a\n"}}"#),
            Ok(vec![AgentEvent::Mark("a\n".to_owned())])
        );
        assert_eq!(
            decoded(r#"{"event":"clear","streamSid":"x"}"#),
            Ok(vec![AgentEvent::Clear])
        );
    }

    #[test]
    fn what_is_not_understood_is_ignored() {
        for (message, reason) in [
            ("", Ignored::Malformed),
            ("null", Ignored::Malformed),
            ("[]", Ignored::Malformed),
            (r#"{"event":3}"#, Ignored::Malformed),
            (r#"{"event":"media"}"#, Ignored::Malformed),
            (r#"{"event":"media","media":{"payload":7}}"#, Ignored::Malformed),
            (r#"{"event":"media","media":{"payload":"!!"}}"#, Ignored::Malformed),
            (r#"{"event":"mark","mark":{}}"#, Ignored::Malformed),
            (r#"{"event":"hello"}"#, Ignored::Unknown),
        ] {
            assert_eq!(decoded(message), Err(reason), "{message}");
        }
        let long = json!({"event": "mark", "mark": {"name": "m".repeat(MARK_CHARS_MAX + 1)}}).to_string();
        assert_eq!(decoded(&long), Err(Ignored::Malformed));
        let mut events = VecDeque::new();
        let binary = stream(&json!({})).decode(Incoming::Binary(&[0; 320]), &mut events, &mut Vec::new());
        assert_eq!((binary, events.len()), (Err(Ignored::Binary), 0));
    }
}
