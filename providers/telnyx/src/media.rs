//! Media streaming: <https://developers.telnyx.com/api-reference/websockets/stream-call-media-over-websocket>.
//!
//! The two directions differ: we send PCMU because the request that opened the stream said so, and get what the call has,
//! PCMU or, in Europe, PCMA. 50 messages a second pass here in each direction of each call, so reading borrows from the
//! message and writing fills one string of the right size.

use std::borrow::Cow;
use std::mem;

use serde::Deserialize;
use strowger_sdk::envelope::{self, AudioEnvelope, Count, Dtmf, Mark, Media, MediaFormat, Parameters, Text, quoted};
use strowger_sdk::{AudioFrame, Call, FrameProblem, Leg, MediaEvent, MediaFrame, Message, Started};

use crate::spec::Config;

/// Places in the spec's formats.
const PCMU: u8 = 0;
const PCMA: u8 = 1;
/// Telnyx does not keep the order of messages: this much audio may overtake `start`, a second of it. With `started` it
/// stays below the contract's 64 events of one message.
const EARLY_FRAMES_MAX: usize = 50;

const MARK: &str = r#"{"event":"mark","mark":{"name":"#;
const CLEAR: &str = r#"{"event":"clear"}"#;

/// One bidirectional stream.
#[derive(Debug)]
pub struct MediaStream {
    state: State,
    audio: AudioEnvelope,
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
            audio: AudioEnvelope::new(r#"{"event":"media","media":{"payload":""#, r#""}}"#),
        }
    }

    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        envelope::read(&message, |message| self.read(message))
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        if let State::Opening(_) = self.state {
            return Err(FrameProblem::NotStarted);
        }
        Ok(vec![match frame {
            MediaFrame::Audio(payload) => self.audio.wrap(&payload),
            MediaFrame::Clear => Message::Text(CLEAR.to_owned()),
            MediaFrame::Mark(name) => Message::Text(format!("{MARK}{}}}}}", quoted(&name))),
            // Keys are sent over the API only, and a stream ends with its socket.
            MediaFrame::Dtmf(_) | MediaFrame::Stop => return Err(FrameProblem::Unsupported),
        }])
    }
}

impl MediaStream {
    fn read(&mut self, message: Incoming<'_>) -> Result<Vec<MediaEvent>, &'static str> {
        match &*message.event {
            "media" => {
                let media = message.media.ok_or("media without its object")?;
                let Some(frame) = media.frame()? else {
                    return Ok(Vec::new());
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
            "dtmf" => envelope::digit(&message.dtmf.ok_or("dtmf without its object")?.digit).map(|event| vec![event]),
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
            Some(format) if format.is("PCMU", 8000) => PCMU,
            Some(format) if format.is("PCMA", 8000) => PCMA,
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

#[derive(Deserialize)]
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

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow)]
    call_control_id: Option<Text<'a>>,
    #[serde(borrow)]
    media_format: Option<MediaFormat<'a>>,
    #[serde(default)]
    custom_parameters: Parameters,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    code: Count,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strowger_sdk::testing::{call, hear, say};
    use strowger_sdk::{Direction, Sealed};

    use super::*;

    fn start(encoding: &str) -> String {
        format!(
            r#"{{"event":"start","sequence_number":"1","stream_id":"32DE","start":{{"user_id":"3E6F",
            "call_control_id":"v3:a\"b","call_session_id":"ff55","from":"+13122010094","to":"+13122123456","tags":[],
            "client_state":null,"custom_parameters":{{"customer":"7","odd":[1]}},
            "media_format":{{"encoding":"{encoding}","sample_rate":8000,"channels":1}}}}}}"#
        )
    }

    fn opening() -> MediaStream {
        let config = Config {
            api_key: Sealed::new("sealed:api_key"),
            connection_id: None,
            webhook_public_key: None,
        };
        MediaStream::open(&config, &call(Direction::Inbound, None))
    }

    fn started() -> MediaStream {
        let mut stream = opening();
        assert!(matches!(
            hear(&mut stream, &start("PCMU"))[..],
            [MediaEvent::Started(_)]
        ));
        stream
    }

    #[test]
    fn the_handshake_yields_the_stream_and_both_formats() {
        for (encoding, receive_format) in [("PCMU", PCMU), ("PCMA", PCMA), ("pcma", PCMA)] {
            let mut stream = opening();
            assert_eq!(hear(&mut stream, r#"{"event":"connected","version":"1.0.0"}"#), []);
            assert_eq!(stream.serialize_frame(MediaFrame::Clear), Err(FrameProblem::NotStarted));
            let event = Started {
                provider_call_id: Some("v3:a\"b".to_owned()),
                stream_id: Some("32DE".to_owned()),
                receive_format: Some(receive_format),
                send_format: Some(PCMU),
                parameters: vec![("customer".to_owned(), "7".to_owned())],
            };
            assert_eq!(hear(&mut stream, &start(encoding)), [MediaEvent::Started(event)]);
        }
        for encoding in ["G722", "OPUS", "L16", ""] {
            let mut stream = opening();
            assert!(
                matches!(hear(&mut stream, &start(encoding))[..], [MediaEvent::Malformed(_)]),
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
        assert_eq!(hear(&mut stream, message), [MediaEvent::Audio(frame)]);
        for odd in ["null", "-1", "1.5", "true", "[1,[2]]", r#"{"a":{}}"#, r#""soon""#] {
            let message = format!(r#"{{"event":"media","media":{{"chunk":7,"timestamp":{odd},"payload":""}}}}"#);
            let frame = AudioFrame {
                payload: vec![],
                sequence: Some(7),
                timestamp_ms: None,
            };
            assert_eq!(hear(&mut stream, &message), [MediaEvent::Audio(frame)], "{odd}");
        }
        let own = r#"{"event":"media","media":{"track":"outbound","payload":"AA=="}}"#;
        assert_eq!(hear(&mut stream, own), []);
    }

    #[test]
    fn audio_that_overtakes_start_is_kept() {
        let mut stream = opening();
        for chunk in 1..=EARLY_FRAMES_MAX {
            let message = format!(r#"{{"event":"media","media":{{"chunk":"{chunk}","payload":"AA=="}}}}"#);
            assert_eq!(hear(&mut stream, &message), []);
        }
        let message = r#"{"event":"media","media":{"chunk":"51","payload":"AA=="}}"#;
        assert!(matches!(hear(&mut stream, message)[..], [MediaEvent::Malformed(_)]));
        let events = hear(&mut stream, &start("PCMA"));
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
        assert_eq!(hear(&mut stream, dtmf), [MediaEvent::Dtmf("#".to_owned())]);
        let mark = r#"{"event":"mark","stream_id":"32DE","mark":{"name":"a\u00e9"}}"#;
        assert_eq!(hear(&mut stream, mark), [MediaEvent::Mark("aé".to_owned())]);
        let stop = r#"{"event":"stop","stop":{"user_id":"3E6F","call_control_id":"v3:a"},"stream_id":"32DE"}"#;
        assert_eq!(hear(&mut stream, stop), [MediaEvent::Stopped(None)]);
        let error =
            r#"{"event":"error","payload":{"code":100003,"title":"malformed_frame","detail":"…"},"stream_id":"32DE"}"#;
        assert_eq!(
            hear(&mut stream, error),
            [MediaEvent::Malformed("Telnyx reports error 100003".to_owned())]
        );
        assert_eq!(hear(&mut stream, r#"{"event":"whisper","mark":null}"#), []);
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
                matches!(hear(&mut stream, text)[..], [MediaEvent::Malformed(_)]),
                "{text}"
            );
        }
        let binary = stream.deserialize_frame(Message::Binary(vec![0]));
        assert!(matches!(binary[..], [MediaEvent::Malformed(_)]));
    }

    #[test]
    fn what_is_written_is_what_telnyx_reads() {
        let mut stream = started();
        assert_eq!(
            say(&mut stream, MediaFrame::Audio(vec![0xa5; 2])),
            json!({ "event": "media", "media": { "payload": "paU=" } })
        );
        assert_eq!(say(&mut stream, MediaFrame::Clear), json!({ "event": "clear" }));
        let mark = say(&mut stream, MediaFrame::Mark("turn \"2\"".to_owned()));
        assert_eq!(mark, json!({ "event": "mark", "mark": { "name": "turn \"2\"" } }));
        for frame in [MediaFrame::Dtmf("1".to_owned()), MediaFrame::Stop] {
            assert_eq!(stream.serialize_frame(frame), Err(FrameProblem::Unsupported));
        }
    }
}
