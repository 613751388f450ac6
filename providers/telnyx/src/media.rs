//! Media streaming: <https://developers.telnyx.com/api-reference/websockets/stream-call-media-over-websocket>.
//!
//! The two directions differ: we send PCMU because the request that opened the stream said so, and get what the call has,
//! PCMU or, in Europe, PCMA. 50 messages a second pass here in each direction of each call, so reading borrows from the
//! message and writing fills one string of the right size.

use std::borrow::Cow;
use std::fmt;
use std::mem;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use strowger_sdk::{AudioFrame, Call, FrameProblem, Leg, MediaEvent, MediaFrame, Message, Started};

use crate::spec::Config;

/// Places in the spec's formats.
const PCMU: u8 = 0;
const PCMA: u8 = 1;
/// The contract's bound on `started.parameters`.
const PARAMETERS_MAX: usize = 64;
/// Telnyx does not keep the order of messages: this much audio may overtake `start`, a second of it. With `started` it
/// stays below the contract's 64 events of one message.
const EARLY_FRAMES_MAX: usize = 50;

const MEDIA: &str = r#"{"event":"media","media":{"payload":""#;
const MARK: &str = r#"{"event":"mark","mark":{"name":"#;
const CLEAR: &str = r#"{"event":"clear"}"#;
const CLOSING: &str = r#""}}"#;

/// One bidirectional stream.
#[derive(Debug)]
pub struct MediaStream {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Until `start`, with the audio that came before it.
    Opening(Vec<AudioFrame>),
    Started,
}

impl Leg<Config> for MediaStream {
    fn open(_config: &Config, _call: &Call) -> Self {
        Self {
            state: State::Opening(Vec::new()),
        }
    }

    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        let Message::Text(text) = message else {
            return vec![MediaEvent::malformed("a binary message")];
        };
        let Ok(message) = serde_json::from_str::<Incoming<'_>>(&text) else {
            return vec![MediaEvent::malformed("not the JSON of a stream message")];
        };
        match self.read(message) {
            Ok(events) => events,
            Err(problem) => vec![MediaEvent::malformed(problem)],
        }
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        if let State::Opening(_) = self.state {
            return Err(FrameProblem::NotStarted);
        }
        let message = match frame {
            MediaFrame::Audio(payload) => media(&payload),
            MediaFrame::Clear => CLEAR.to_owned(),
            MediaFrame::Mark(name) => format!("{MARK}{}}}}}", quoted(&name)),
            // Keys are sent over the API only, and a stream ends with its socket.
            MediaFrame::Dtmf(_) | MediaFrame::Stop => return Err(FrameProblem::Unsupported),
        };
        Ok(vec![Message::Text(message)])
    }
}

impl MediaStream {
    fn read(&mut self, message: Incoming<'_>) -> Result<Vec<MediaEvent>, &'static str> {
        match &*message.event {
            "media" => {
                let media = message.media.ok_or("media without its object")?;
                // The other direction is what we sent ourselves.
                if media.track.is_some_and(|Text(track)| track != "inbound") {
                    return Ok(Vec::new());
                }
                let payload = STANDARD
                    .decode(&*media.payload)
                    .map_err(|_| "a payload that is not base64")?;
                let frame = AudioFrame {
                    payload,
                    sequence: media.chunk.0,
                    timestamp_ms: media.timestamp.0,
                };
                match &mut self.state {
                    State::Started => Ok(vec![MediaEvent::Audio(frame)]),
                    State::Opening(early) if early.len() < EARLY_FRAMES_MAX => {
                        early.push(frame);
                        Ok(Vec::new())
                    }
                    State::Opening(_) => Err("more audio than fits before start"),
                }
            }
            "start" => self.start(message),
            "dtmf" => {
                let digit = message
                    .dtmf
                    .ok_or("dtmf without its object")?
                    .digit
                    .to_ascii_uppercase();
                let known = matches!(digit.as_bytes(), [b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D']);
                if known {
                    Ok(vec![MediaEvent::Dtmf(digit)])
                } else {
                    Err("a digit that no telephone has")
                }
            }
            "mark" => {
                let mark = message.mark.ok_or("mark without its object")?;
                Ok(vec![MediaEvent::Mark(mark.name.into_owned())])
            }
            "stop" => Ok(vec![MediaEvent::Stopped(None)]),
            // What Telnyx did not like of what we sent. Its number says what: 100003 is a message that it could not read.
            "error" => {
                let code = message.payload.and_then(|problem| problem.code.0);
                let problem = code.map_or("an error without a code".to_owned(), |code| format!("error {code}"));
                Ok(vec![MediaEvent::malformed(&format!("Telnyx reports {problem}"))])
            }
            // `connected` says nothing that `start` does not, and what Telnyx adds later must not break calls.
            _ => Ok(Vec::new()),
        }
    }

    fn start(&mut self, message: Incoming<'_>) -> Result<Vec<MediaEvent>, &'static str> {
        let start = message.start.ok_or("start without its object")?;
        let receive_format = match start.media_format {
            None => PCMU,
            Some(format) if format.sample_rate != 8000 || format.channels != 1 => {
                return Err("an audio format other than 8 kHz, one channel");
            }
            Some(format) if format.encoding.eq_ignore_ascii_case("PCMU") => PCMU,
            Some(format) if format.encoding.eq_ignore_ascii_case("PCMA") => PCMA,
            Some(_) => return Err("an audio format other than PCMU and PCMA"),
        };
        let started = Started {
            provider_call_id: start.call_control_id.map(|Text(id)| id.into_owned()),
            // Beside the object, not in it.
            stream_id: message.stream_id.map(|Text(id)| id.into_owned()),
            receive_format: Some(receive_format),
            send_format: Some(PCMU),
            parameters: start.custom_parameters.0,
        };
        let early = match mem::replace(&mut self.state, State::Started) {
            State::Opening(early) => early,
            State::Started => Vec::new(),
        };
        let audio = early.into_iter().map(MediaEvent::Audio);
        Ok([MediaEvent::Started(started)].into_iter().chain(audio).collect())
    }
}

fn media(payload: &[u8]) -> String {
    let length = MEDIA.len() + payload.len().div_ceil(3) * 4 + CLOSING.len();
    let mut message = String::with_capacity(length);
    message.push_str(MEDIA);
    STANDARD.encode_string(payload, &mut message);
    message.push_str(CLOSING);
    message
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
struct Incoming<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    stream_id: Option<Text<'a>>,
    #[serde(borrow)]
    start: Option<Start<'a>>,
    #[serde(borrow)]
    dtmf: Option<Dtmf<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
    /// Of an error.
    payload: Option<Problem>,
}

#[derive(serde::Deserialize)]
struct Media<'a> {
    #[serde(borrow)]
    track: Option<Text<'a>>,
    /// Counts the frames of a track, while `sequence_number` counts all messages.
    #[serde(default)]
    chunk: Count,
    #[serde(default)]
    timestamp: Count,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(serde::Deserialize)]
struct Start<'a> {
    #[serde(borrow)]
    call_control_id: Option<Text<'a>>,
    #[serde(borrow)]
    media_format: Option<MediaFormat<'a>>,
    #[serde(default)]
    custom_parameters: Parameters,
}

#[derive(serde::Deserialize)]
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

#[derive(serde::Deserialize)]
struct Problem {
    #[serde(default)]
    code: Count,
}

/// The first of the stream's parameters; those that are not text, and whatever stands in their place, are left out.
#[derive(Debug, Default)]
struct Parameters(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Option::<serde_json::Map<String, serde_json::Value>>::deserialize(deserializer)?;
        let text = |(name, value): (String, serde_json::Value)| Some((name, value.as_str()?.to_owned()));
        let parameters = value.into_iter().flatten().filter_map(text);
        Ok(Self(parameters.take(PARAMETERS_MAX).collect()))
    }
}

/// A number that Telnyx writes as a string. What is no number counts as absent: audio is worth more than its position.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count(Option<u64>);

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

            fn visit_i64<E>(self, _: i64) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_unit<E>(self) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Count, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Count(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
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

    fn start(encoding: &str) -> String {
        format!(
            r#"{{"event":"start","sequence_number":"1","stream_id":"32DE","start":{{"user_id":"3E6F",
            "call_control_id":"v3:a\"b","call_session_id":"ff55","from":"+13122010094","to":"+13122123456","tags":[],
            "client_state":null,"custom_parameters":{{"customer":"7","odd":1}},
            "media_format":{{"encoding":"{encoding}","sample_rate":8000,"channels":1}}}}}}"#
        )
    }

    fn opening() -> MediaStream {
        MediaStream {
            state: State::Opening(Vec::new()),
        }
    }

    fn started() -> MediaStream {
        let mut stream = opening();
        assert!(matches!(
            read(&mut stream, &start("PCMU"))[..],
            [MediaEvent::Started(_)]
        ));
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
    fn the_handshake_yields_the_stream_and_both_formats() {
        for (encoding, receive_format) in [("PCMU", PCMU), ("PCMA", PCMA), ("pcma", PCMA)] {
            let mut stream = opening();
            assert_eq!(read(&mut stream, r#"{"event":"connected","version":"1.0.0"}"#), []);
            assert_eq!(stream.serialize_frame(MediaFrame::Clear), Err(FrameProblem::NotStarted));
            let event = Started {
                provider_call_id: Some("v3:a\"b".to_owned()),
                stream_id: Some("32DE".to_owned()),
                receive_format: Some(receive_format),
                send_format: Some(PCMU),
                parameters: vec![("customer".to_owned(), "7".to_owned())],
            };
            assert_eq!(read(&mut stream, &start(encoding)), [MediaEvent::Started(event)]);
        }
        for encoding in ["G722", "OPUS", "L16", ""] {
            let mut stream = opening();
            assert!(
                matches!(read(&mut stream, &start(encoding))[..], [MediaEvent::Malformed(_)]),
                "{encoding}"
            );
            assert_eq!(stream.serialize_frame(MediaFrame::Clear), Err(FrameProblem::NotStarted));
        }
    }

    #[test]
    fn audio_comes_with_its_position() {
        let mut stream = started();
        let message = r#"{"event":"media","sequence_number":"4","media":{"track":"inbound","chunk":"2","timestamp":"20","payload":"\/38AAQ=="},"stream_id":"32DE"}"#;
        let frame = AudioFrame {
            payload: vec![0xff, 0x7f, 0, 1],
            sequence: Some(2),
            timestamp_ms: Some(20),
        };
        assert_eq!(read(&mut stream, message), [MediaEvent::Audio(frame)]);
        for odd in ["null", "-1", "1.5", "true", "[1,[2]]", r#"{"a":{}}"#, r#""soon""#] {
            let message = format!(r#"{{"event":"media","media":{{"chunk":7,"timestamp":{odd},"payload":""}}}}"#);
            let frame = AudioFrame {
                payload: vec![],
                sequence: Some(7),
                timestamp_ms: None,
            };
            assert_eq!(read(&mut stream, &message), [MediaEvent::Audio(frame)], "{odd}");
        }
        let own = r#"{"event":"media","media":{"track":"outbound","payload":"AA=="}}"#;
        assert_eq!(read(&mut stream, own), []);
    }

    #[test]
    fn audio_that_overtakes_start_is_kept() {
        let mut stream = opening();
        for chunk in 1..=EARLY_FRAMES_MAX {
            let message = format!(r#"{{"event":"media","media":{{"chunk":"{chunk}","payload":"AA=="}}}}"#);
            assert_eq!(read(&mut stream, &message), []);
        }
        let message = r#"{"event":"media","media":{"chunk":"51","payload":"AA=="}}"#;
        assert!(matches!(read(&mut stream, message)[..], [MediaEvent::Malformed(_)]));
        let events = read(&mut stream, &start("PCMA"));
        assert_eq!(events.len(), 1 + EARLY_FRAMES_MAX);
        let sequences = events.iter().skip(1).map(|event| match event {
            MediaEvent::Audio(frame) => frame.sequence,
            other => panic!("{other:?}"),
        });
        assert!(sequences.eq((1..=50).map(Some)));
    }

    #[test]
    fn the_other_events_are_read() {
        let mut stream = started();
        let dtmf = r##"{"event":"dtmf","stream_id":"32DE","occurred_at":"2025-11-23T03:30:00Z","sequence_number":"5","dtmf":{"digit":"#"}}"##;
        assert_eq!(read(&mut stream, dtmf), [MediaEvent::Dtmf("#".to_owned())]);
        let mark = r#"{"event":"mark","stream_id":"32DE","mark":{"name":"a\u00e9"}}"#;
        assert_eq!(read(&mut stream, mark), [MediaEvent::Mark("aé".to_owned())]);
        let stop = r#"{"event":"stop","stop":{"user_id":"3E6F","call_control_id":"v3:a"},"stream_id":"32DE"}"#;
        assert_eq!(read(&mut stream, stop), [MediaEvent::Stopped(None)]);
        let error =
            r#"{"event":"error","payload":{"code":100003,"title":"malformed_frame","detail":"…"},"stream_id":"32DE"}"#;
        assert_eq!(
            read(&mut stream, error),
            [MediaEvent::Malformed("Telnyx reports error 100003".to_owned())]
        );
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
            r#"{"event":"start"}"#,
            r#"{"event":"start","start":{"media_format":{"encoding":"PCMU","sample_rate":16000,"channels":1}}}"#,
            r#"{"event":"start","start":{"media_format":{"encoding":"PCMU","sample_rate":8000,"channels":2}}}"#,
            r#"{"event":"dtmf","dtmf":{"digit":"12"}}"#,
            r#"{"event":"dtmf"}"#,
            r#"{"event":"mark"}"#,
            r#"{"event":"error"}"#,
        ] {
            assert!(
                matches!(read(&mut stream, text)[..], [MediaEvent::Malformed(_)]),
                "{text}"
            );
        }
        let binary = stream.deserialize_frame(Message::Binary(vec![0]));
        assert!(matches!(binary[..], [MediaEvent::Malformed(_)]));
    }

    #[test]
    fn what_is_written_is_what_telnyx_reads() {
        let mut stream = started();
        for length in [0, 1, 2, 3, 160] {
            let payload = vec![0xa5; length];
            let media = written(&mut stream, MediaFrame::Audio(payload.clone()));
            assert_eq!(
                media,
                json!({ "event": "media", "media": { "payload": STANDARD.encode(payload) } })
            );
        }
        assert_eq!(written(&mut stream, MediaFrame::Clear), json!({ "event": "clear" }));
        let mark = written(&mut stream, MediaFrame::Mark("turn \"2\"".to_owned()));
        assert_eq!(mark, json!({ "event": "mark", "mark": { "name": "turn \"2\"" } }));
        for frame in [MediaFrame::Dtmf("1".to_owned()), MediaFrame::Stop] {
            assert_eq!(stream.serialize_frame(frame), Err(FrameProblem::Unsupported));
        }
    }
}
