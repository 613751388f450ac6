//! The audio stream, in the shape of Twilio's: <https://developers.cloudonix.com/Documentation/voiceApplication/Verb/connect/stream>.
//!
//! 50 messages a second pass here in each direction of each call, so reading borrows from the message and writing fills
//! one string of the right size.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::Value;
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
}

impl Envelopes {
    fn new(stream_sid: &str) -> Self {
        let sid = quoted(stream_sid);
        Self {
            media: format!(r#"{{"event":"media","streamSid":{sid},"media":{{"payload":""#),
            clear: format!(r#"{{"event":"clear","streamSid":{sid}}}"#),
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
            // Nothing is documented for marks and digits, and a stream ends with its socket.
            MediaFrame::Mark(_) | MediaFrame::Dtmf(_) | MediaFrame::Stop => return Err(FrameProblem::Unsupported),
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
                if start.media_format.is_some_and(|format| !format.is_pcmu()) {
                    return Err("an audio format other than 8 kHz PCMU");
                }
                self.envelopes = Some(Envelopes::new(&stream_sid));
                Ok(Some(MediaEvent::Started(Started {
                    // The session, by which the call is known everywhere else; `callSid` may be the SIP Call-ID.
                    provider_call_id: start.session.map(|Text(session)| session.into_owned()),
                    stream_id: Some(stream_sid.into_owned()),
                    parameters: parameters(start.custom_parameters),
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
            // `connected` says nothing that `start` does not, and what is added later must not break calls.
            _ => Ok(None),
        }
    }
}

/// Parameters of the stream that are text or numbers.
fn parameters(custom: Option<BTreeMap<String, Value>>) -> Vec<(String, String)> {
    let text = |value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    custom
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, value)| Some((name, text(value)?)))
        .take(PARAMETERS_MAX)
        .collect()
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
    session: Option<Text<'a>>,
    #[serde(borrow)]
    media_format: Option<MediaFormat<'a>>,
    custom_parameters: Option<BTreeMap<String, Value>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaFormat<'a> {
    #[serde(borrow)]
    encoding: Cow<'a, str>,
    #[serde(default)]
    sample_rate: Count,
    #[serde(default)]
    channels: Count,
}

impl MediaFormat<'_> {
    fn is_pcmu(&self) -> bool {
        self.encoding == "audio/x-mulaw"
            && matches!(self.sample_rate.0, None | Some(8000))
            && matches!(self.channels.0, None | Some(1))
    }
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

/// A number that may be written as a string. What is no number counts as absent: audio is worth more than its position.
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
    use serde_json::json;

    use super::*;

    const START: &str = r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ\"1","start":{"streamSid":"MZ\"1",
        "accountSid":"acme.cloudonix.net","callSid":"62849169@sbc.example","session":"2eac5483c058",
        "from":"+14155550100","to":"+14155550199","context":"inbound","tracks":["inbound"],
        "mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"a":"7","b":8,"c":null}}}"#;

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
    fn the_session_names_the_call() {
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
            provider_call_id: Some("2eac5483c058".to_owned()),
            stream_id: Some("MZ\"1".to_owned()),
            parameters: vec![("a".to_owned(), "7".to_owned()), ("b".to_owned(), "8".to_owned())],
            ..Started::default()
        };
        assert_eq!(read(&mut stream, START), [MediaEvent::Started(event)]);
    }

    #[test]
    fn numbers_may_be_text() {
        let mut stream = started();
        let message =
            r#"{"event":"media","media":{"track":"inbound","chunk":"2","timestamp":20,"payload":"\/38AAQ=="}}"#;
        let frame = AudioFrame {
            payload: vec![0xff, 0x7f, 0, 1],
            sequence: Some(2),
            timestamp_ms: Some(20),
        };
        assert_eq!(read(&mut stream, message), [MediaEvent::Audio(frame)]);
        let format = r#"{"event":"start","streamSid":"M","start":{"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":"8000"}}}"#;
        assert!(matches!(read(&mut stream, format)[..], [MediaEvent::Started(_)]));
    }

    #[test]
    fn what_cannot_be_read_is_dropped_and_said() {
        let mut stream = started();
        for text in [
            "",
            "[]",
            "{}",
            r#"{"event":7}"#,
            r#"{"event":"media"}"#,
            r#"{"event":"media","media":{}}"#,
            r#"{"event":"media","media":{"payload":"%%%"}}"#,
            r#"{"event":"start","start":{}}"#,
            r#"{"event":"start","streamSid":"M","start":{"mediaFormat":{"encoding":"audio/l16","sampleRate":8000}}}"#,
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
    }

    #[test]
    fn what_is_written_names_the_stream() {
        let mut stream = started();
        for length in [0, 1, 2, 3, 160] {
            let payload = vec![0xa5; length];
            assert_eq!(
                written(&mut stream, MediaFrame::Audio(payload.clone())),
                json!({ "event": "media", "streamSid": "MZ\"1", "media": { "payload": STANDARD.encode(payload) } })
            );
        }
        assert_eq!(
            written(&mut stream, MediaFrame::Clear),
            json!({ "event": "clear", "streamSid": "MZ\"1" })
        );
        for frame in [
            MediaFrame::Mark("m".to_owned()),
            MediaFrame::Dtmf("1".to_owned()),
            MediaFrame::Stop,
        ] {
            assert_eq!(stream.serialize_frame(frame), Err(FrameProblem::Unsupported));
        }
    }
}
