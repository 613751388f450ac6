//! Audio streams: <https://docs.vobiz.ai/xml/stream/stream-events>.
//!
//! 50 messages a second pass here in each direction of each call, so reading borrows from the message and writing fills
//! one string of the right size.

use std::borrow::Cow;

use strowger_sdk::envelope::{self, AudioEnvelope, Dtmf, Media, MediaFormat, Text, quoted};
use strowger_sdk::{AudioFrame, Call, FrameProblem, Leg, MediaEvent, MediaFrame, Message, Started};

use crate::spec::Config;

const ENCODING: &str = "audio/x-mulaw";
const SAMPLE_RATE_HZ: u64 = 8000;

/// One bidirectional stream. It ends with its socket: Vobiz sends no word of its end.
#[derive(Debug)]
pub struct AudioStream {
    /// Set by the `start` message.
    envelopes: Option<Envelopes>,
}

/// Outgoing messages, but for what differs between them.
#[derive(Debug)]
struct Envelopes {
    audio: AudioEnvelope,
    clear: String,
    mark: String,
    stop: String,
}

impl Envelopes {
    fn new(stream_id: &str) -> Self {
        let id = quoted(stream_id);
        Self {
            audio: AudioEnvelope::new(
                format!(
                    r#"{{"event":"playAudio","media":{{"contentType":"{ENCODING}","sampleRate":{SAMPLE_RATE_HZ},"payload":""#
                ),
                format!(r#""}},"streamId":{id}}}"#),
            ),
            clear: format!(r#"{{"event":"clearAudio","streamId":{id}}}"#),
            mark: format!(r#"{{"event":"checkpoint","streamId":{id},"name":"#),
            stop: format!(r#"{{"event":"stop","streamId":{id}}}"#),
        }
    }
}

impl Leg<Config> for AudioStream {
    fn open(_config: &Config, _call: &Call) -> Self {
        Self { envelopes: None }
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
            MediaFrame::Stop => envelopes.stop.clone(),
            // There is no such message.
            MediaFrame::Dtmf(_) => return Err(FrameProblem::Unsupported),
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
                // Vobiz tells the time of day, not the position in the stream.
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
            "playedStream" => {
                let Text(name) = message.name.ok_or("a checkpoint without its name")?;
                Ok(Some(MediaEvent::Mark(name.into_owned())))
            }
            // `clearedAudio` says nothing that we do not know, and what Vobiz adds later must not break calls.
            _ => Ok(None),
        }
    }

    fn start(&mut self, message: Incoming<'_>) -> Result<MediaEvent, &'static str> {
        let start = message.start.ok_or("start without its object")?;
        let Text(stream_id) = start.stream_id.ok_or("start without a stream id")?;
        let pcmu = |format: &MediaFormat<'_>| format.is(ENCODING, SAMPLE_RATE_HZ);
        if !start.media_format.as_ref().is_none_or(pcmu) {
            return Err("an audio format other than 8 kHz PCMU");
        }
        // After a broken socket Vobiz may start again, with another identifier.
        self.envelopes = Some(Envelopes::new(&stream_id));
        Ok(MediaEvent::Started(Started {
            provider_call_id: start.call_id.map(|Text(call_id)| call_id.into_owned()),
            stream_id: Some(stream_id.into_owned()),
            ..Started::default()
        }))
    }
}

#[derive(serde::Deserialize)]
struct Incoming<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    start: Option<Start<'a>>,
    #[serde(borrow)]
    dtmf: Option<Dtmf<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    #[serde(borrow)]
    stream_id: Option<Text<'a>>,
    #[serde(borrow)]
    call_id: Option<Text<'a>>,
    #[serde(borrow)]
    media_format: Option<MediaFormat<'a>>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strowger_sdk::testing::{hear, say};

    use super::*;

    const START: &str = r#"{"sequenceNumber":0,"event":"start","extra_headers":"{}","start":{"callId":"u1","streamId":"s\"/<>&",
        "accountId":"1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000}}}"#;

    fn started() -> AudioStream {
        let mut stream = AudioStream { envelopes: None };
        assert!(matches!(hear(&mut stream, START)[..], [MediaEvent::Started(_)]));
        stream
    }

    #[test]
    fn the_first_message_yields_the_stream() {
        let mut stream = AudioStream { envelopes: None };
        assert_eq!(stream.serialize_frame(MediaFrame::Clear), Err(FrameProblem::NotStarted));
        let event = Started {
            provider_call_id: Some("u1".to_owned()),
            stream_id: Some("s\"/<>&".to_owned()),
            ..Started::default()
        };
        assert_eq!(hear(&mut stream, START), [MediaEvent::Started(event)]);
    }

    #[test]
    fn audio_comes_with_its_position() {
        let mut stream = started();
        let message = r#"{"event":"media","sequenceNumber":42,"media":{"track":"inbound","timestamp":"1705312200000","chunk":41,"payload":"\/38AAQ=="}}"#;
        let frame = |sequence| {
            [MediaEvent::Audio(AudioFrame {
                payload: vec![0xff, 0x7f, 0, 1],
                sequence,
                timestamp_ms: None,
            })]
        };
        assert_eq!(hear(&mut stream, message), frame(Some(41)));
        assert_eq!(hear(&mut stream, &message.replace("41,", "\"41\",")), frame(Some(41)));
        assert_eq!(hear(&mut stream, &message.replace("41,", "null,")), frame(None));
        assert_eq!(hear(&mut stream, &message.replace("\"inbound\"", "\"outbound\"")), []);
    }

    #[test]
    fn the_other_events_are_read() {
        let mut stream = started();
        let dtmf = r##"{"event":"dtmf","dtmf":{"digit":"#"}}"##;
        assert_eq!(hear(&mut stream, dtmf), [MediaEvent::Dtmf("#".to_owned())]);
        let played = r#"{"event":"playedStream","name":"turn 1"}"#;
        assert_eq!(hear(&mut stream, played), [MediaEvent::Mark("turn 1".to_owned())]);
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
            r#"{"event":"start","streamId":"s","start":{}}"#,
            r#"{"event":"start","start":{"streamId":"s","mediaFormat":{"encoding":"audio/x-l16","sampleRate":8000}}}"#,
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
        let mut early = AudioStream { envelopes: None };
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
                "contentType": ENCODING, "sampleRate": SAMPLE_RATE_HZ, "payload": encoded,
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
        let stop = say(&mut stream, MediaFrame::Stop);
        assert_eq!(stop, json!({ "event": "stop", "streamId": id }));
        let digit = stream.serialize_frame(MediaFrame::Dtmf("5".to_owned()));
        assert_eq!(digit, Err(FrameProblem::Unsupported));
    }
}
