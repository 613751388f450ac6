//! Media Streams: <https://www.twilio.com/docs/voice/media-streams/websocket-messages>.
//!
//! 50 messages a second pass here in each direction of each call, so reading borrows from the message and writing fills
//! one string of the right size.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Visitor};
use strowger_sdk::{AudioFrame, Call, FrameProblem, Leg, MediaEvent, MediaFrame, Message, Started};

use crate::spec::Config;

/// The contract's bound on `started.parameters`.
const PARAMETERS_MAX: usize = 64;

/// One bidirectional stream.
#[derive(Debug)]
pub struct MediaStream {
    /// Set by the `start` message.
    envelopes: Option<Envelopes>,
}

/// The constant parts of outgoing messages: everything but the payload.
#[derive(Debug)]
struct Envelopes {
    media: String,
    clear: String,
    mark: String,
}

impl Envelopes {
    fn new(stream_sid: &str) -> Self {
        let sid = quoted(stream_sid);
        Self {
            media: format!(r#"{{"event":"media","streamSid":{sid},"media":{{"payload":""#),
            clear: format!(r#"{{"event":"clear","streamSid":{sid}}}"#),
            mark: format!(r#"{{"event":"mark","streamSid":{sid},"mark":{{"name":"#),
        }
    }

    fn media(&self, payload: &[u8]) -> String {
        const CLOSING: &str = r#""}}"#;
        let mut message = String::with_capacity(self.media.len() + payload.len().div_ceil(3) * 4 + CLOSING.len());
        message.push_str(&self.media);
        STANDARD.encode_string(payload, &mut message);
        message.push_str(CLOSING);
        message
    }
}

impl Leg<Config> for MediaStream {
    fn open(_config: &Config, _call: &Call) -> Self {
        Self { envelopes: None }
    }

    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        let Message::Text(text) = message else {
            return vec![MediaEvent::malformed("a binary message")];
        };
        let Ok(message) = serde_json::from_str::<Incoming<'_>>(&text) else {
            return vec![MediaEvent::malformed("not the JSON of a stream message")];
        };
        match self.read(message) {
            Ok(event) => event.into_iter().collect(),
            Err(problem) => vec![MediaEvent::malformed(problem)],
        }
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        let envelopes = self.envelopes.as_ref().ok_or(FrameProblem::NotStarted)?;
        let message = match frame {
            MediaFrame::Audio(payload) => envelopes.media(&payload),
            MediaFrame::Clear => envelopes.clear.clone(),
            MediaFrame::Mark(name) => format!("{}{}}}}}", envelopes.mark, quoted(&name)),
            // Twilio plays no digits from a stream, and ends one only with its socket.
            MediaFrame::Dtmf(_) | MediaFrame::Stop => return Err(FrameProblem::Unsupported),
        };
        Ok(vec![Message::Text(message)])
    }
}

impl MediaStream {
    fn read(&mut self, message: Incoming<'_>) -> Result<Option<MediaEvent>, &'static str> {
        match &*message.event {
            "media" => {
                if self.envelopes.is_none() {
                    return Err("media before start");
                }
                let media = message.media.ok_or("media without its object")?;
                // The other direction is what we sent ourselves.
                if media.track.is_some_and(|Text(track)| track != "inbound") {
                    return Ok(None);
                }
                let payload = STANDARD
                    .decode(&*media.payload)
                    .map_err(|_| "a payload that is not base64")?;
                let (sequence, timestamp_ms) = (media.chunk.0, media.timestamp.0);
                Ok(Some(MediaEvent::Audio(AudioFrame {
                    payload,
                    sequence,
                    timestamp_ms,
                })))
            }
            "start" => {
                let start = message.start.ok_or("start without its object")?;
                let Text(stream_sid) = message
                    .stream_sid
                    .or(start.stream_sid)
                    .ok_or("start without a stream sid")?;
                if let Some(format) = start.media_format
                    && (format.encoding != "audio/x-mulaw" || format.sample_rate != 8000 || format.channels != 1)
                {
                    return Err("an audio format other than 8 kHz PCMU");
                }
                self.envelopes = Some(Envelopes::new(&stream_sid));
                Ok(Some(MediaEvent::Started(Started {
                    provider_call_id: start.call_sid.map(|Text(call_sid)| call_sid.into_owned()),
                    stream_id: Some(stream_sid.into_owned()),
                    parameters: start.custom_parameters.into_iter().take(PARAMETERS_MAX).collect(),
                    ..Started::default()
                })))
            }
            "dtmf" => {
                let digit = message
                    .dtmf
                    .ok_or("dtmf without its object")?
                    .digit
                    .to_ascii_uppercase();
                let known = matches!(digit.as_bytes(), [b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D']);
                if known {
                    Ok(Some(MediaEvent::Dtmf(digit)))
                } else {
                    Err("a digit that no telephone has")
                }
            }
            "mark" => Ok(Some(MediaEvent::Mark(
                message.mark.ok_or("mark without its object")?.name.into_owned(),
            ))),
            "stop" => Ok(Some(MediaEvent::Stopped(None))),
            // `connected` says nothing that `start` does not, and what Twilio adds later must not break calls.
            _ => Ok(None),
        }
    }
}

/// A string as JSON, quotes included.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

/// Serde borrows a [`Cow`] only where it stands alone, not inside an `Option`.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Incoming<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow)]
    start: Option<Start<'a>>,
    #[serde(borrow)]
    dtmf: Option<Dtmf<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
}

#[derive(serde::Deserialize)]
struct Media<'a> {
    #[serde(borrow)]
    track: Option<Text<'a>>,
    #[serde(default)]
    chunk: Count,
    #[serde(default)]
    timestamp: Count,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    #[serde(borrow)]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow)]
    call_sid: Option<Text<'a>>,
    #[serde(borrow)]
    media_format: Option<MediaFormat<'a>>,
    #[serde(default)]
    custom_parameters: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaFormat<'a> {
    #[serde(borrow)]
    encoding: Cow<'a, str>,
    sample_rate: u32,
    channels: u8,
}

#[derive(serde::Deserialize)]
struct Dtmf<'a> {
    #[serde(borrow)]
    digit: Cow<'a, str>,
}

#[derive(serde::Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// A number that Twilio writes as a string. What is no number counts as absent: audio is worth more than its position.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count(Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;

        impl Visitor<'_> for CountVisitor {
            type Value = Count;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number, or a string with one")
            }

            fn visit_str<E>(self, text: &str) -> Result<Count, E> {
                Ok(Count(text.parse().ok()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Count, E> {
                Ok(Count(Some(number)))
            }

            fn visit_unit<E>(self) -> Result<Count, E> {
                Ok(Count(None))
            }
        }

        deserializer.deserialize_any(CountVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const START: &str = r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ\"1","start":{"streamSid":"MZ\"1",
        "accountSid":"AC1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw",
        "sampleRate":8000,"channels":1},"customParameters":{"call":"7"}}}"#;

    fn started() -> MediaStream {
        let mut stream = MediaStream { envelopes: None };
        assert!(matches!(read(&mut stream, START)[..], [MediaEvent::Started(_)]));
        stream
    }

    fn read(stream: &mut MediaStream, text: &str) -> Vec<MediaEvent> {
        stream.deserialize_frame(Message::Text(text.to_owned()))
    }

    fn written(stream: &mut MediaStream, frame: MediaFrame) -> Value {
        match &stream.serialize_frame(frame).unwrap()[..] {
            [Message::Text(text)] => serde_json::from_str(text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_handshake_yields_the_stream() {
        let mut stream = MediaStream { envelopes: None };
        assert_eq!(
            read(
                &mut stream,
                r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#
            ),
            []
        );
        assert_eq!(stream.serialize_frame(MediaFrame::Clear), Err(FrameProblem::NotStarted));
        let event = Started {
            provider_call_id: Some("CA1".to_owned()),
            stream_id: Some("MZ\"1".to_owned()),
            parameters: vec![("call".to_owned(), "7".to_owned())],
            ..Started::default()
        };
        assert_eq!(read(&mut stream, START), [MediaEvent::Started(event)]);
    }

    #[test]
    fn audio_comes_with_its_position() {
        let mut stream = started();
        let message = r#"{"event":"media","sequenceNumber":"3","media":{"track":"inbound","chunk":"2","timestamp":"20","payload":"\/38AAQ=="},"streamSid":"MZ1"}"#;
        let frame = AudioFrame {
            payload: vec![0xff, 0x7f, 0, 1],
            sequence: Some(2),
            timestamp_ms: Some(20),
        };
        assert_eq!(read(&mut stream, message), [MediaEvent::Audio(frame)]);
        let odd = r#"{"event":"media","media":{"chunk":7,"timestamp":"soon","payload":""}}"#;
        let frame = AudioFrame {
            payload: vec![],
            sequence: Some(7),
            timestamp_ms: None,
        };
        assert_eq!(read(&mut stream, odd), [MediaEvent::Audio(frame)]);
        assert_eq!(
            read(
                &mut stream,
                r#"{"event":"media","media":{"track":"outbound","payload":"AA=="}}"#
            ),
            []
        );
    }

    #[test]
    fn the_other_events_are_read() {
        let mut stream = started();
        let dtmf = r##"{"event":"dtmf","streamSid":"MZ1","dtmf":{"track":"inbound_track","digit":"#"}}"##;
        assert_eq!(read(&mut stream, dtmf), [MediaEvent::Dtmf("#".to_owned())]);
        let mark = r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"a\u00e9"}}"#;
        assert_eq!(read(&mut stream, mark), [MediaEvent::Mark("aé".to_owned())]);
        let stop = r#"{"event":"stop","stop":{"accountSid":"AC1","callSid":"CA1"}}"#;
        assert_eq!(read(&mut stream, stop), [MediaEvent::Stopped(None)]);
        assert_eq!(read(&mut stream, r#"{"event":"whisper","mark":null}"#), []);
    }

    #[test]
    fn what_cannot_be_read_is_dropped_and_said() {
        let mut stream = started();
        for text in [
            "",
            "{",
            "[]",
            "null",
            "{}",
            r#"{"event":7}"#,
            r#"{"event":"media"}"#,
            r#"{"event":"media","media":{}}"#,
            r#"{"event":"media","media":{"payload":"%%%"}}"#,
            r#"{"event":"start","start":{}}"#,
            r#"{"event":"start","streamSid":"MZ1","start":{"mediaFormat":{"encoding":"audio/l16","sampleRate":8000,"channels":1}}}"#,
            r#"{"event":"dtmf","dtmf":{"digit":"12"}}"#,
            r#"{"event":"mark"}"#,
        ] {
            assert!(
                matches!(read(&mut stream, text)[..], [MediaEvent::Malformed(_)]),
                "{text}"
            );
        }
        assert!(matches!(
            stream.deserialize_frame(Message::Binary(vec![0]))[..],
            [MediaEvent::Malformed(_)]
        ));
        let mut early = MediaStream { envelopes: None };
        assert!(matches!(
            read(&mut early, r#"{"event":"media","media":{"payload":"AA=="}}"#)[..],
            [MediaEvent::Malformed(_)]
        ));
    }

    #[test]
    fn what_is_written_names_the_stream() {
        let mut stream = started();
        for length in [0, 1, 2, 3, 160] {
            let payload = vec![0xa5; length];
            let media = written(&mut stream, MediaFrame::Audio(payload.clone()));
            assert_eq!(
                media,
                json!({ "event": "media", "streamSid": "MZ\"1", "media": { "payload": STANDARD.encode(payload) } })
            );
        }
        assert_eq!(
            written(&mut stream, MediaFrame::Clear),
            json!({ "event": "clear", "streamSid": "MZ\"1" })
        );
        let mark = written(&mut stream, MediaFrame::Mark("turn \"2\"".to_owned()));
        assert_eq!(
            mark,
            json!({ "event": "mark", "streamSid": "MZ\"1", "mark": { "name": "turn \"2\"" } })
        );
        for frame in [MediaFrame::Dtmf("1".to_owned()), MediaFrame::Stop] {
            assert_eq!(stream.serialize_frame(frame), Err(FrameProblem::Unsupported));
        }
    }
}
