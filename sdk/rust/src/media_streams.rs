//! Twilio's Media Streams, which other carriers took over as they are:
//! <https://www.twilio.com/docs/voice/media-streams/websocket-messages>.
//!
//! 8 kHz PCMU in JSON in both directions. A leg wraps a [`Stream`], and says under which name its carrier tells the call.

use std::borrow::Cow;

use serde::Deserialize;

use crate::envelope::{self, AudioEnvelope, Dtmf, Mark, Media, MediaFormat, Parameters, Text, quoted};
use crate::{FrameProblem, MediaEvent, MediaFrame, Message, Started};

/// One bidirectional stream.
#[derive(Debug, Default)]
pub struct Stream {
    /// Set by the `start` message.
    envelopes: Option<Envelopes>,
}

/// What the `start` message says of the call. Carriers differ in which of these is the call's identifier.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start<'a> {
    #[serde(borrow)]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow)]
    pub call_sid: Option<Text<'a>>,
    #[serde(borrow)]
    pub session: Option<Text<'a>>,
    #[serde(borrow)]
    media_format: Option<MediaFormat<'a>>,
    #[serde(default)]
    custom_parameters: Parameters,
}

impl Stream {
    /// What a message means; `call_id` finds the call's identifier.
    pub fn read(
        &mut self,
        message: &Message,
        call_id: impl for<'s, 'a> FnOnce(&'s Start<'a>) -> Option<&'s Text<'a>>,
    ) -> Vec<MediaEvent> {
        envelope::read(message, |message: Incoming<'_>| match &*message.event {
            "media" => {
                if self.envelopes.is_none() {
                    return Err("media before start");
                }
                let frame = message.media.ok_or("media without its object")?.frame()?;
                Ok(frame.map(MediaEvent::Audio))
            }
            "start" => {
                let start = message.start.ok_or("start without its object")?;
                let provider_call_id = call_id(&start).map(|Text(id)| id.clone().into_owned());
                let Text(stream_sid) = message
                    .stream_sid
                    .or(start.stream_sid)
                    .ok_or("start without a stream sid")?;
                let pcmu = |format: &MediaFormat<'_>| format.is("audio/x-mulaw", 8000);
                if !start.media_format.as_ref().is_none_or(pcmu) {
                    return Err("an audio format other than 8 kHz PCMU");
                }
                self.envelopes = Some(Envelopes::new(&stream_sid));
                Ok(Some(MediaEvent::Started(Started {
                    provider_call_id,
                    stream_id: Some(stream_sid.into_owned()),
                    parameters: start.custom_parameters.0,
                    ..Started::default()
                })))
            }
            "dtmf" => envelope::digit(&message.dtmf.ok_or("dtmf without its object")?.digit).map(Some),
            "mark" => {
                let mark = message.mark.ok_or("mark without its object")?;
                Ok(Some(MediaEvent::Mark(mark.name.into_owned())))
            }
            "stop" => Ok(Some(MediaEvent::Stopped(None))),
            // `connected` says nothing that `start` does not, and what is added later must not break calls.
            _ => Ok(None),
        })
    }

    /// Audio, a clear or a mark. There is no message for digits, and a stream ends only with its socket.
    pub fn write(&self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        let envelopes = self.envelopes.as_ref().ok_or(FrameProblem::NotStarted)?;
        Ok(vec![match frame {
            MediaFrame::Audio(payload) => envelopes.media.wrap(&payload),
            MediaFrame::Clear => Message::Text(envelopes.clear.clone()),
            MediaFrame::Mark(name) => Message::Text(format!("{}{}}}}}", envelopes.mark, quoted(&name))),
            MediaFrame::Dtmf(_) | MediaFrame::Stop => return Err(FrameProblem::Unsupported),
        }])
    }
}

/// The constant parts of outgoing messages.
#[derive(Debug)]
struct Envelopes {
    media: AudioEnvelope,
    clear: String,
    mark: String,
}

impl Envelopes {
    fn new(stream_sid: &str) -> Self {
        let sid = quoted(stream_sid);
        Self {
            media: AudioEnvelope::new(
                format!(r#"{{"event":"media","streamSid":{sid},"media":{{"payload":""#),
                r#""}}"#,
            ),
            clear: format!(r#"{{"event":"clear","streamSid":{sid}}}"#),
            mark: format!(r#"{{"event":"mark","streamSid":{sid},"mark":{{"name":"#),
        }
    }
}

#[derive(Deserialize)]
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::AudioFrame;

    const START: &str = r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ\"1","start":{"streamSid":"MZ\"1",
        "accountSid":"AC1","callSid":"CA1","session":"2eac","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw",
        "sampleRate":8000,"channels":1},"customParameters":{"a":"7","b":8,"c":null}}}"#;

    fn read(stream: &mut Stream, text: &str) -> Vec<MediaEvent> {
        stream.read(&Message::Text(text.to_owned()), |start| start.call_sid.as_ref())
    }

    fn started() -> Stream {
        let mut stream = Stream::default();
        assert!(matches!(read(&mut stream, START)[..], [MediaEvent::Started(_)]));
        stream
    }

    fn written(stream: &Stream, frame: MediaFrame) -> Value {
        match &stream.write(frame).unwrap()[..] {
            [Message::Text(text)] => serde_json::from_str(text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_handshake_yields_the_stream() {
        let mut stream = Stream::default();
        let connected = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
        assert_eq!(read(&mut stream, connected), []);
        assert_eq!(stream.write(MediaFrame::Clear), Err(FrameProblem::NotStarted));
        let event = |id: &str| {
            MediaEvent::Started(Started {
                provider_call_id: Some(id.to_owned()),
                stream_id: Some("MZ\"1".to_owned()),
                parameters: vec![("a".to_owned(), "7".to_owned()), ("b".to_owned(), "8".to_owned())],
                ..Started::default()
            })
        };
        assert_eq!(read(&mut stream, START), [event("CA1")]);
        let start = Message::Text(START.to_owned());
        assert_eq!(stream.read(&start, |start| start.session.as_ref()), [event("2eac")]);
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
        let own = r#"{"event":"media","media":{"track":"outbound","payload":"AA=="}}"#;
        assert_eq!(read(&mut stream, own), []);
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
            r#"{"event":"start","streamSid":"M","start":{"mediaFormat":{"encoding":"audio/l16","sampleRate":8000,"channels":1}}}"#,
            r#"{"event":"dtmf","dtmf":{"digit":"12"}}"#,
            r#"{"event":"mark"}"#,
        ] {
            assert!(
                matches!(read(&mut stream, text)[..], [MediaEvent::Malformed(_)]),
                "{text}"
            );
        }
        let binary = stream.read(&Message::Binary(vec![0]), |_| None);
        assert!(matches!(binary[..], [MediaEvent::Malformed(_)]));
        let early = read(
            &mut Stream::default(),
            r#"{"event":"media","media":{"payload":"AA=="}}"#,
        );
        assert!(matches!(early[..], [MediaEvent::Malformed(_)]));
    }

    #[test]
    fn what_is_written_names_the_stream() {
        let stream = started();
        for (payload, encoded) in [(vec![], ""), (vec![0xa5; 2], "paU="), (vec![0xa5; 3], "paWl")] {
            assert_eq!(
                written(&stream, MediaFrame::Audio(payload)),
                json!({ "event": "media", "streamSid": "MZ\"1", "media": { "payload": encoded } })
            );
        }
        assert_eq!(
            written(&stream, MediaFrame::Clear),
            json!({ "event": "clear", "streamSid": "MZ\"1" })
        );
        assert_eq!(
            written(&stream, MediaFrame::Mark("turn \"2\"".to_owned())),
            json!({ "event": "mark", "streamSid": "MZ\"1", "mark": { "name": "turn \"2\"" } })
        );
        for frame in [MediaFrame::Dtmf("1".to_owned()), MediaFrame::Stop] {
            assert_eq!(stream.write(frame), Err(FrameProblem::Unsupported));
        }
    }
}
