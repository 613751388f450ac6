//! JSON messages with base64 audio, which is what most media sockets speak.
//!
//! 50 messages a second pass a leg in each direction, so what is here borrows from what is read, and writes one string of
//! the right size. The messages themselves are the carrier's: a leg describes them with serde, and builds on these parts.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use crate::{MediaEvent, Message};

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

            fn visit_i64<E>(self, _negative: i64) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_f64<E>(self, _fraction: f64) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_unit<E>(self) -> Result<Count, E> {
                Ok(Count(None))
            }
        }

        deserializer.deserialize_any(CountVisitor)
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

/// Reads a text message as JSON, and says what it means: one event, none, or the problem that it has.
pub fn read<'a, T: Deserialize<'a>>(
    message: &'a Message,
    meaning: impl FnOnce(T) -> Result<Option<MediaEvent>, &'static str>,
) -> Vec<MediaEvent> {
    let Message::Text(text) = message else {
        return vec![MediaEvent::malformed("a binary message")];
    };
    let Ok(message) = serde_json::from_str(text) else {
        return vec![MediaEvent::malformed("not the JSON of a stream message")];
    };
    match meaning(message) {
        Ok(event) => event.into_iter().collect(),
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
        ] {
            assert_eq!(serde_json::from_str::<Count>(json).unwrap(), Count(count), "{json}");
        }
        assert!(serde_json::from_str::<Count>("[5]").is_err());
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
