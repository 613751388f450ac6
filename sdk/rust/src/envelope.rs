//! JSON messages with base64 audio, which is what most media sockets speak.
//!
//! 50 messages a second pass a leg in each direction, so what is here borrows from what is read, and writes one string of
//! the right size. The messages themselves are the carrier's: a leg describes them with serde, and builds on these parts.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::{AudioFrame, MediaEvent, Message};

/// The contract's bound on [`Started::parameters`](crate::Started).
pub const PARAMETERS_MAX: usize = 64;

/// A string that borrows where it can. Serde borrows a [`Cow`] only where it stands alone, not inside an `Option`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A number, or a string with one. What is no number counts as absent: audio is worth more than its position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count(pub Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;

        impl<'de> Visitor<'de> for CountVisitor {
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

            fn visit_i64<E>(self, _negative: i64) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_f64<E>(self, _fraction: f64) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_unit<E>(self) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Count, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Count(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Count, A::Error> {
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Count(None))
            }
        }

        deserializer.deserialize_any(CountVisitor)
    }
}

/// Audio, as most carriers put it under `media`.
#[derive(Debug, Deserialize)]
pub struct Media<'a> {
    #[serde(borrow)]
    track: Option<Text<'a>>,
    /// Counts the frames of a track.
    #[serde(default)]
    chunk: Count,
    #[serde(default)]
    timestamp: Count,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

impl Media<'_> {
    /// What was said at the other end, with its position; none for the other direction, which is what we sent ourselves.
    /// Not every carrier's timestamp is a position in the stream.
    ///
    /// # Errors
    ///
    /// The payload is not base64: a problem for [`MediaEvent::malformed`].
    pub fn frame(&self) -> Result<Option<AudioFrame>, &'static str> {
        if self.track.as_ref().is_some_and(|Text(track)| track != "inbound") {
            return Ok(None);
        }
        Ok(Some(AudioFrame {
            payload: payload(&self.payload)?,
            sequence: self.chunk.0,
            timestamp_ms: self.timestamp.0,
        }))
    }
}

/// What a stream says that its audio is. Numbers that are left out are taken to be the usual ones.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaFormat<'a> {
    #[serde(borrow)]
    encoding: Cow<'a, str>,
    /// In hertz.
    #[serde(default, alias = "sample_rate")]
    sample_rate: Count,
    #[serde(default)]
    channels: Count,
}

impl MediaFormat<'_> {
    /// Whether it is this encoding, in any case, with one channel.
    pub fn is(&self, encoding: &str, sample_rate_hz: u64) -> bool {
        self.encoding.eq_ignore_ascii_case(encoding)
            && self.sample_rate.0.is_none_or(|rate| rate == sample_rate_hz)
            && self.channels.0.is_none_or(|channels| channels == 1)
    }
}

/// A key that was pressed; [`digit`] says which.
#[derive(Debug, Deserialize)]
pub struct Dtmf<'a> {
    #[serde(borrow)]
    pub digit: Cow<'a, str>,
}

/// A mark that was played.
#[derive(Debug, Deserialize)]
pub struct Mark<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
}

/// The parameters of a stream that are text or numbers, the first of them; whatever else stands there is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = |(name, value)| match value {
            Value::String(text) => Some((name, text)),
            Value::Number(number) => Some((name, number.to_string())),
            _ => None,
        };
        let members = Option::<Map<String, Value>>::deserialize(deserializer)?;
        Ok(Self(
            members
                .into_iter()
                .flatten()
                .filter_map(text)
                .take(PARAMETERS_MAX)
                .collect(),
        ))
    }
}

/// An outgoing message with audio: what stands before and after the payload does not change during a stream.
#[derive(Clone, Debug)]
pub struct AudioEnvelope {
    before: String,
    after: String,
}

impl AudioEnvelope {
    /// For example `{"event":"media","media":{"payload":"` and `"}}`.
    pub fn new(before: impl Into<String>, after: impl Into<String>) -> Self {
        Self {
            before: before.into(),
            after: after.into(),
        }
    }

    /// The message with this payload.
    pub fn wrap(&self, payload: &[u8]) -> Message {
        let length = self.before.len() + payload.len().div_ceil(3) * 4 + self.after.len();
        let mut message = String::with_capacity(length);
        message.push_str(&self.before);
        STANDARD.encode_string(payload, &mut message);
        message.push_str(&self.after);
        Message::Text(message)
    }
}

/// The bytes of a payload.
///
/// # Errors
///
/// It is not base64: a problem for [`MediaEvent::malformed`].
pub fn payload(text: &str) -> Result<Vec<u8>, &'static str> {
    STANDARD.decode(text).map_err(|_| "a payload that is not base64")
}

/// A key of a telephone, in either case.
///
/// # Errors
///
/// There is no such key: a problem for [`MediaEvent::malformed`].
pub fn digit(text: &str) -> Result<MediaEvent, &'static str> {
    let digit = text.to_ascii_uppercase();
    match digit.as_bytes() {
        [b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D'] => Ok(MediaEvent::Dtmf(digit)),
        _ => Err("a digit that no telephone has"),
    }
}

/// Reads a text message as JSON, and says what it means: events, mostly one or none, or the problem that it has.
pub fn read<'a, T: Deserialize<'a>, E: IntoIterator<Item = MediaEvent>>(
    message: &'a Message,
    meaning: impl FnOnce(T) -> Result<E, &'static str>,
) -> Vec<MediaEvent> {
    let Message::Text(text) = message else {
        return vec![MediaEvent::malformed("a binary message")];
    };
    let Ok(message) = serde_json::from_str(text) else {
        return vec![MediaEvent::malformed("not the JSON of a stream message")];
    };
    match meaning(message) {
        Ok(events) => events.into_iter().collect(),
        Err(problem) => vec![MediaEvent::malformed(problem)],
    }
}

/// A string as JSON, quotes included.
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Media<'a> {
        #[serde(borrow)]
        payload: Option<Text<'a>>,
        #[serde(default)]
        chunk: Count,
    }

    fn meaning(message: Media<'_>) -> Result<Option<MediaEvent>, &'static str> {
        let Text(text) = message.payload.ok_or("no payload")?;
        Ok(message
            .chunk
            .0
            .map(|_| MediaEvent::audio(payload(&text).unwrap_or_default())))
    }

    #[test]
    fn a_message_is_read_and_written() {
        let envelope = AudioEnvelope::new(r#"{"chunk":"7","payload":""#, r#""}"#);
        let message = envelope.wrap(&[0, 255, 16]);
        assert_eq!(message, Message::Text(r#"{"chunk":"7","payload":"AP8Q"}"#.to_owned()));
        assert_eq!(read(&message, meaning), [MediaEvent::audio(vec![0, 255, 16])]);
    }

    #[test]
    fn what_cannot_be_read_is_malformed() {
        for (message, problem) in [
            (Message::Binary(vec![1]), "a binary message"),
            (Message::Text("{".to_owned()), "not the JSON of a stream message"),
            (Message::Text("{}".to_owned()), "no payload"),
        ] {
            assert_eq!(read(&message, meaning), [MediaEvent::malformed(problem)]);
        }
        assert!(payload("?").is_err());
    }

    #[test]
    fn numbers_come_in_many_forms() {
        for (json, count) in [
            ("5", Some(5)),
            ("\"5\"", Some(5)),
            ("-5", None),
            ("5.5", None),
            ("\"five\"", None),
            ("null", None),
            ("true", None),
            ("[5,[6]]", None),
            (r#"{"a":{}}"#, None),
        ] {
            assert_eq!(serde_json::from_str::<Count>(json).unwrap(), Count(count), "{json}");
        }
    }

    #[test]
    fn a_format_may_leave_out_what_is_usual() {
        let is = |json: &str| serde_json::from_str::<MediaFormat<'_>>(json).unwrap().is("PCMU", 8000);
        for format in [
            r#"{"encoding":"pcmu"}"#,
            r#"{"encoding":"PCMU","sampleRate":"8000"}"#,
            r#"{"encoding":"PCMU","sample_rate":8000,"channels":1}"#,
        ] {
            assert!(is(format), "{format}");
        }
        for format in [
            r#"{"encoding":"PCMA"}"#,
            r#"{"encoding":"PCMU","sample_rate":16000}"#,
            r#"{"encoding":"PCMU","sampleRate":8000,"channels":2}"#,
        ] {
            assert!(!is(format), "{format}");
        }
    }

    #[test]
    fn parameters_are_text_and_not_too_many() {
        let read = |json: &str| serde_json::from_str::<Parameters>(json).unwrap().0;
        assert_eq!(
            read(r#"{"a":"1","b":2,"c":null,"d":[]}"#),
            [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]
        );
        assert_eq!(read("null"), []);
        let many: Map<String, Value> = (0..100).map(|n| (n.to_string(), n.into())).collect();
        assert_eq!(read(&Value::from(many).to_string()).len(), PARAMETERS_MAX);
    }

    #[test]
    fn what_we_sent_ourselves_is_not_heard() {
        let frame = |json: &str| serde_json::from_str::<super::Media<'_>>(json).unwrap().frame();
        assert_eq!(frame(r#"{"track":"outbound","payload":"?"}"#), Ok(None));
        let heard = AudioFrame {
            payload: vec![0],
            sequence: Some(7),
            timestamp_ms: None,
        };
        assert_eq!(
            frame(r#"{"payload":"AA==","chunk":7,"timestamp":"soon"}"#),
            Ok(Some(heard))
        );
        assert!(frame(r#"{"payload":"?"}"#).is_err());
    }

    #[test]
    fn keys_are_those_of_a_telephone() {
        assert_eq!(digit("a"), Ok(MediaEvent::Dtmf("A".to_owned())));
        assert_eq!(digit("#"), Ok(MediaEvent::Dtmf("#".to_owned())));
        for no_key in ["", "E", "12", "é"] {
            assert!(digit(no_key).is_err());
        }
    }
}
