//! The media socket: JSON messages, the audio in base64.

use serde_json::{Map, Value};
use strowger_sdk::envelope::{self, AudioEnvelope, quoted};
use strowger_sdk::{AudioFrame, Call, FrameProblem, Leg, MediaEvent, MediaFrame, Message, Started};

use crate::Config;

/// Integers above this are not exact in JSON as many languages read it.
const SEQUENCE_MAX: u64 = (1 << 53) - 1;

/// The media stream of one call.
#[derive(Debug)]
pub struct MediaStream {
    /// Set by the `start` message.
    outgoing: Option<Outgoing>,
}

/// The parts of outgoing messages that do not change during a stream.
#[derive(Debug)]
struct Outgoing {
    /// The stream's name as JSON, quotes included.
    stream: String,
    audio: AudioEnvelope,
}

impl Leg<Config> for MediaStream {
    fn open(_: &Config, _: &Call) -> Self {
        Self { outgoing: None }
    }

    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        let Message::Text(text) = message else {
            return vec![MediaEvent::malformed("a binary message")];
        };
        match self.read(&text) {
            Ok(event) => event.into_iter().collect(),
            Err(problem) => vec![MediaEvent::malformed(&problem)],
        }
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        let Outgoing { stream, audio } = self.outgoing.as_ref().ok_or(FrameProblem::NotStarted)?;
        Ok(vec![match frame {
            MediaFrame::Audio(payload) => audio.wrap(&payload),
            MediaFrame::Clear => Message::Text(format!(r#"{{"event":"clear","stream":{stream}}}"#)),
            MediaFrame::Mark(name) => {
                let name = quoted(&name);
                Message::Text(format!(r#"{{"event":"mark","stream":{stream},"name":{name}}}"#))
            }
            MediaFrame::Dtmf(digit) => {
                let digit = quoted(&digit);
                Message::Text(format!(r#"{{"event":"dtmf","stream":{stream},"digit":{digit}}}"#))
            }
            MediaFrame::Stop => Message::Text(format!(r#"{{"event":"stop","stream":{stream}}}"#)),
        }])
    }
}

impl MediaStream {
    /// What a message means, or what is wrong with it. What is added to the protocol later must not break calls, so an
    /// unknown event means nothing.
    fn read(&mut self, text: &str) -> Result<Option<MediaEvent>, String> {
        let message: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        let Some(event) = message.get("event").and_then(Value::as_str) else {
            return Err("not a JSON object with an event".to_owned());
        };
        let misfit = || format!("{event}: a field is missing or wrong");
        let text = |name| message.get(name).and_then(Value::as_str).ok_or_else(misfit);
        Ok(Some(match event {
            "start" => {
                let (stream, call, format) = (text("stream")?, text("call")?, text("format")?);
                let format = match format {
                    "pcmu" => 0,
                    "l16" => 1,
                    _ => return Err("start: unknown format".to_owned()),
                };
                self.outgoing = Some(Outgoing::new(stream));
                MediaEvent::Started(Started {
                    provider_call_id: Some(call.to_owned()),
                    stream_id: Some(stream.to_owned()),
                    receive_format: Some(format),
                    send_format: Some(format),
                    parameters: vec![],
                })
            }
            "media" => {
                let sequence = match optional(&message, "seq") {
                    None => None,
                    Some(seq) => Some(seq.as_u64().filter(|seq| *seq <= SEQUENCE_MAX).ok_or_else(misfit)?),
                };
                let payload = envelope::payload(text("payload")?).map_err(|_| "media: the payload is not base64")?;
                MediaEvent::Audio(AudioFrame {
                    payload,
                    sequence,
                    timestamp_ms: None,
                })
            }
            "dtmf" => match text("digit")? {
                digit @ ("0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "*" | "#" | "A" | "B" | "C"
                | "D") => MediaEvent::Dtmf(digit.to_owned()),
                _ => return Err(misfit()),
            },
            "mark" => MediaEvent::Mark(text("name")?.to_owned()),
            "stop" => {
                let reason = optional(&message, "reason").map(|_| text("reason")).transpose()?;
                MediaEvent::Stopped(reason.map(str::to_owned))
            }
            _ => return Ok(None),
        }))
    }
}

impl Outgoing {
    fn new(stream: &str) -> Self {
        let stream = quoted(stream);
        Self {
            audio: AudioEnvelope::new(format!(r#"{{"event":"media","stream":{stream},"payload":""#), r#""}"#),
            stream,
        }
    }
}

/// A member that may be left out, or null.
fn optional<'a>(message: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    message.get(name).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strowger_sdk::testing::{call, hear, say};
    use strowger_sdk::{Direction, Sealed};

    use super::*;

    fn leg() -> MediaStream {
        let secret = || Sealed::new("sealed:secret");
        let config = Config {
            account: "ACME01".to_owned(),
            api_key: secret(),
            signing_secret: secret(),
        };
        MediaStream::open(&config, &call(Direction::Inbound, None))
    }

    #[test]
    fn a_stream_is_named_by_its_start() {
        let mut leg = leg();
        assert_eq!(leg.serialize_frame(MediaFrame::Stop), Err(FrameProblem::NotStarted));
        let started = hear(
            &mut leg,
            r#"{"event":"start","stream":"S\"1","call":"ET-1","format":"l16"}"#,
        );
        assert!(matches!(&started[..], [MediaEvent::Started(started)] if started.receive_format == Some(1)));
        assert_eq!(
            say(&mut leg, MediaFrame::Clear),
            json!({ "event": "clear", "stream": "S\"1" })
        );
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        assert_eq!(
            hear(&mut leg(), "{"),
            [MediaEvent::malformed("not a JSON object with an event")]
        );
        assert_eq!(
            hear(&mut leg(), r#"{"event":"media","payload":"%"}"#),
            [MediaEvent::malformed("media: the payload is not base64")]
        );
    }
}
