//! Audio streams: <https://docs.plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-reference>.
//!
//! 50 messages a second pass here in each direction of each call, so reading borrows from the message and writing fills
//! one string of the right size.

use std::borrow::Cow;

use strowger_sdk::envelope::{self, AudioEnvelope, Dtmf, Media, MediaFormat, PARAMETERS_MAX, Text, quoted};
use strowger_sdk::{AudioFrame, Call, FrameProblem, Leg, MediaEvent, MediaFrame, Message, Started};

use crate::spec::{AudioFormat, Config};

/// One bidirectional stream.
#[derive(Debug)]
pub struct AudioStream {
    /// What the answer asked for, in case the stream does not say.
    asked: AudioFormat,
    /// Set by the `start` message.
    envelopes: Option<Envelopes>,
}

/// Outgoing messages, but for what differs between them.
#[derive(Debug)]
struct Envelopes {
    audio: AudioEnvelope,
    clear: String,
    mark: String,
}

impl Envelopes {
    fn new(stream_id: &str, format: AudioFormat) -> Self {
        let id = quoted(stream_id);
        let (encoding, rate) = (format.encoding(), format.sample_rate_hz());
        Self {
            audio: AudioEnvelope::new(
                format!(
                    r#"{{"event":"playAudio","media":{{"contentType":"{encoding}","sampleRate":{rate},"payload":""#
                ),
                format!(r#""}},"streamId":{id}}}"#),
            ),
            clear: format!(r#"{{"event":"clearAudio","streamId":{id}}}"#),
            mark: format!(r#"{{"event":"checkpoint","streamId":{id},"name":"#),
        }
    }
}

impl Leg<Config> for AudioStream {
    fn open(config: &Config, _call: &Call) -> Self {
        Self {
            asked: config.audio_format,
            envelopes: None,
        }
    }

    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        envelope::read(&message, |message| self.read(message))
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        let envelopes = self.envelopes.as_ref().ok_or(FrameProblem::NotStarted)?;
        let message = match frame {
            MediaFrame::Audio(payload) => return Ok(vec![envelopes.audio.wrap(&payload)]),
            MediaFrame::Clear => envelopes.clear.clone(),
            MediaFrame::Mark(name) => format!("{}{}}}", envelopes.mark, quoted(&name)),
            MediaFrame::Dtmf(digit) => format!(r#"{{"event":"sendDTMF","dtmf":{}}}"#, quoted(&digit)),
            // A stream ends with its socket, and the call with the stream.
            MediaFrame::Stop => return Err(FrameProblem::Unsupported),
        };
        Ok(vec![Message::Text(message)])
    }
}

impl AudioStream {
    fn read(&mut self, message: Incoming<'_>) -> Result<Option<MediaEvent>, &'static str> {
        match &*message.event {
            "media" => {
                if self.envelopes.is_none() {
                    return Err("media before start");
                }
                let frame = message.media.ok_or("media without its object")?.frame()?;
                // Plivo tells the time of day, not the position in the stream.
                let timeless = |frame| AudioFrame {
                    timestamp_ms: None,
                    ..frame
                };
                Ok(frame.map(timeless).map(MediaEvent::Audio))
            }
            "start" => self.start(message).map(Some),
            "dtmf" => {
                let dtmf = message.dtmf.ok_or("dtmf without its object")?;
                envelope::digit(&dtmf.digit).map(Some)
            }
            // The shorter name is in an older article of Plivo's.
            "playedStream" | "played" => {
                let Text(name) = message.name.ok_or("a checkpoint without its name")?;
                Ok(Some(MediaEvent::Mark(name.into_owned())))
            }
            // Not documented; the socket's end is the stream's end.
            "stop" => Ok(Some(MediaEvent::Stopped(None))),
            // `clearedAudio` says nothing that we do not know, and what Plivo adds later must not break calls.
            _ => Ok(None),
        }
    }

    fn start(&mut self, message: Incoming<'_>) -> Result<MediaEvent, &'static str> {
        let start = message.start.ok_or("start without its object")?;
        let Text(stream_id) = start
            .stream_id
            .or(message.stream_id)
            .ok_or("start without a stream id")?;
        let format = match start.media_format {
            None => self.asked,
            Some(told) => [self.asked]
                .into_iter()
                .chain(AudioFormat::ALL)
                .find(|format| told.is(format.encoding(), format.sample_rate_hz().into()))
                .ok_or("an audio format that was not asked for")?,
        };
        self.envelopes = Some(Envelopes::new(&stream_id, format));
        let place = AudioFormat::ALL.iter().position(|known| *known == format);
        let place = place.and_then(|place| u8::try_from(place).ok());
        Ok(MediaEvent::Started(Started {
            provider_call_id: start.call_id.map(|Text(call_id)| call_id.into_owned()),
            stream_id: Some(stream_id.into_owned()),
            receive_format: place,
            send_format: place,
            parameters: message
                .extra_headers
                .map_or_else(Vec::new, |Text(headers)| parameters(&headers)),
        }))
    }
}

/// `name=value;name2=value2`, as the answer's `extraHeaders` come back.
fn parameters(extra_headers: &str) -> Vec<(String, String)> {
    extra_headers
        .split([';', ','])
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .take(PARAMETERS_MAX)
        .collect()
}

#[derive(serde::Deserialize)]
struct Incoming<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow, rename = "streamId")]
    stream_id: Option<Text<'a>>,
    #[serde(borrow)]
    start: Option<Start<'a>>,
    #[serde(borrow)]
    dtmf: Option<Dtmf<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    extra_headers: Option<Text<'a>>,
}

#[derive(serde::Deserialize)]
struct Start<'a> {
    #[serde(borrow, rename = "streamId")]
    stream_id: Option<Text<'a>>,
    #[serde(borrow, rename = "callId", alias = "callUUID")]
    call_id: Option<Text<'a>>,
    #[serde(borrow, rename = "mediaFormat")]
    media_format: Option<MediaFormat<'a>>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strowger_sdk::testing::{hear, say};

    use super::*;

    const START: &str = r#"{"event":"start","sequenceNumber":1,"start":{"callId":"u1","streamId":"s\"/<>&","accountId":"1",
        "tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000}},"extra_headers":"a=1;b=2"}"#;

    fn stream() -> AudioStream {
        AudioStream {
            asked: AudioFormat::Pcmu8000,
            envelopes: None,
        }
    }

    fn started() -> AudioStream {
        let mut stream = stream();
        assert!(matches!(hear(&mut stream, START)[..], [MediaEvent::Started(_)]));
        stream
    }

    #[test]
    fn the_first_message_yields_the_stream() {
        let mut stream = stream();
        assert_eq!(stream.serialize_frame(MediaFrame::Clear), Err(FrameProblem::NotStarted));
        let event = Started {
            provider_call_id: Some("u1".to_owned()),
            stream_id: Some("s\"/<>&".to_owned()),
            receive_format: Some(0),
            send_format: Some(0),
            parameters: [("a", "1"), ("b", "2")]
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .into(),
        };
        assert_eq!(hear(&mut stream, START), [MediaEvent::Started(event)]);
    }

    #[test]
    fn a_stream_says_its_format() {
        for (encoding, told, rate, place) in [
            ("audio/x-l16", json!(8000), 8000, 1),
            ("audio/x-l16", json!("16000"), 16000, 2),
            ("audio/x-mulaw", json!(8000), 8000, 0),
        ] {
            let mut stream = stream();
            let start = json!({ "event": "start", "streamId": "s", "start": {
                "callUUID": "u1", "mediaFormat": { "encoding": encoding, "sampleRate": told } } });
            let events = hear(&mut stream, &start.to_string());
            let [MediaEvent::Started(event)] = &events[..] else {
                panic!("{events:?}")
            };
            assert_eq!((event.receive_format, event.send_format), (Some(place), Some(place)));
            let audio = say(&mut stream, MediaFrame::Audio(vec![0; 4]));
            assert_eq!(
                audio["media"],
                json!({ "contentType": encoding, "sampleRate": rate, "payload": "AAAAAA==" })
            );
        }
    }

    #[test]
    fn audio_comes_with_its_position() {
        let mut stream = started();
        let message = r#"{"event":"media","sequenceNumber":42,"streamId":"s","media":{"track":"inbound","timestamp":"1705312200000","chunk":41,"payload":"\/38AAQ=="},"extra_headers":"a=1"}"#;
        let frame = |sequence| {
            [MediaEvent::Audio(AudioFrame {
                payload: vec![0xff, 0x7f, 0, 1],
                sequence,
                timestamp_ms: None,
            })]
        };
        assert_eq!(hear(&mut stream, message), frame(Some(41)));
        assert_eq!(hear(&mut stream, &message.replace("41,", "\"41\",")), frame(Some(41)));
        assert_eq!(hear(&mut stream, &message.replace("41,", "-1,")), frame(None));
        assert_eq!(hear(&mut stream, &message.replace("\"inbound\"", "\"outbound\"")), []);
    }

    #[test]
    fn the_other_events_are_read() {
        let mut stream = started();
        let dtmf = r##"{"event":"dtmf","streamId":"s","dtmf":{"track":"inbound","digit":"#","timestamp":"1"}}"##;
        assert_eq!(hear(&mut stream, dtmf), [MediaEvent::Dtmf("#".to_owned())]);
        for event in ["playedStream", "played"] {
            let played = format!(r#"{{"event":"{event}","streamId":"s","name":"turn 1"}}"#);
            assert_eq!(hear(&mut stream, &played), [MediaEvent::Mark("turn 1".to_owned())]);
        }
        assert_eq!(hear(&mut stream, r#"{"event":"stop"}"#), [MediaEvent::Stopped(None)]);
        assert_eq!(hear(&mut stream, r#"{"event":"clearedAudio","streamId":"s"}"#), []);
        assert_eq!(hear(&mut stream, r#"{"event":"whisper"}"#), []);
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
            r#"{"event":"start","start":{}}"#,
            r#"{"event":"start","start":{"streamId":"s","mediaFormat":{"encoding":"audio/opus","sampleRate":48000}}}"#,
            r#"{"event":"dtmf","dtmf":{"digit":"12"}}"#,
            r#"{"event":"playedStream"}"#,
        ] {
            assert!(
                matches!(hear(&mut stream, text)[..], [MediaEvent::Malformed(_)]),
                "{text}"
            );
        }
        assert!(matches!(
            stream.deserialize_frame(Message::Binary(vec![0]))[..],
            [MediaEvent::Malformed(_)]
        ));
        let mut early = self::stream();
        let media = r#"{"event":"media","media":{"payload":"AA=="}}"#;
        assert!(matches!(hear(&mut early, media)[..], [MediaEvent::Malformed(_)]));
    }

    #[test]
    fn what_is_written_names_the_stream() {
        let mut stream = started();
        let id = "s\"/<>&";
        for (payload, encoded) in [(vec![], ""), (vec![0xa5; 2], "paU="), (vec![0xa5; 3], "paWl")] {
            let audio = say(&mut stream, MediaFrame::Audio(payload));
            let media = json!({
                "contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": encoded,
            });
            assert_eq!(audio, json!({ "event": "playAudio", "media": media, "streamId": id }));
        }
        let clear = say(&mut stream, MediaFrame::Clear);
        assert_eq!(clear, json!({ "event": "clearAudio", "streamId": id }));
        let mark = say(&mut stream, MediaFrame::Mark("turn \"2\"".to_owned()));
        assert_eq!(
            mark,
            json!({ "event": "checkpoint", "streamId": id, "name": "turn \"2\"" })
        );
        let digit = say(&mut stream, MediaFrame::Dtmf("5".to_owned()));
        assert_eq!(digit, json!({ "event": "sendDTMF", "dtmf": "5" }));
        assert_eq!(stream.serialize_frame(MediaFrame::Stop), Err(FrameProblem::Unsupported));
    }
}
