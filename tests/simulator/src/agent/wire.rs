//! The two protocols' envelopes, from the agent's side.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{AgentProtocol, Transfer, TransferSeen};
use crate::carrier::WireAudio;

/// A message of the gateway.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    Started {
        rate_hz: u32,
    },
    Audio(Vec<i16>),
    Dtmf(char),
    Mark {
        name: String,
        heard_ms: Option<u64>,
    },
    Cleared {
        heard_ms: Option<u64>,
        marks: Vec<String>,
    },
    /// What becomes of a transfer; the time is filled in by the session.
    Transfer(TransferSeen),
    Stopped(String),
    Other,
}

/// One session's protocol and what it has to remember.
#[derive(Debug)]
pub(crate) enum Wire {
    MediaStreams { stream_id: String },
    Strowger,
}

impl Wire {
    pub(crate) fn new(protocol: AgentProtocol) -> Self {
        match protocol {
            AgentProtocol::MediaStreams => Self::MediaStreams {
                stream_id: String::new(),
            },
            AgentProtocol::Strowger => Self::Strowger,
        }
    }

    /// Reads a message; control messages are given back as JSON too, for the report.
    pub(crate) fn read(&mut self, message: &Message) -> Result<(Heard, Option<Value>), String> {
        match (self, message) {
            // Not messages: they keep the connection alive, and the library answers them.
            (_, Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => {
                Ok((Heard::Other, None))
            }
            (Self::Strowger, Message::Binary(bytes)) => {
                if bytes.len() % 2 != 0 {
                    return Err(format!("{} bytes are no 16-bit samples", bytes.len()));
                }
                Ok((Heard::Audio(WireAudio::Linear { rate_hz: 0 }.decode(bytes)), None))
            }
            (Self::Strowger, Message::Text(text)) => {
                let value = parse(text)?;
                Ok((read_strowger(&value)?, Some(value)))
            }
            (Self::MediaStreams { stream_id }, Message::Text(text)) => read_media_streams(stream_id, text),
            (Self::MediaStreams { .. }, Message::Binary(_)) => Err("a binary message".to_owned()),
        }
    }

    pub(crate) fn audio(&self, samples: &[i16]) -> Message {
        match self {
            Self::MediaStreams { stream_id } => {
                let payload = STANDARD.encode(WireAudio::Mulaw.encode(samples));
                Message::text(format!(
                    r#"{{"event":"media","streamSid":"{stream_id}","media":{{"payload":"{payload}"}}}}"#
                ))
            }
            Self::Strowger => Message::binary(WireAudio::Linear { rate_hz: 0 }.encode(samples)),
        }
    }

    pub(crate) fn mark(&self, name: &str) -> Message {
        match self {
            Self::MediaStreams { stream_id } => {
                text(&json!({ "event": "mark", "streamSid": stream_id, "mark": { "name": name } }))
            }
            Self::Strowger => text(&json!({ "type": "mark", "name": name })),
        }
    }

    pub(crate) fn clear(&self) -> Message {
        match self {
            Self::MediaStreams { stream_id } => text(&json!({ "event": "clear", "streamSid": stream_id })),
            Self::Strowger => text(&json!({ "type": "clear" })),
        }
    }

    /// `None` where hanging up means closing the socket.
    pub(crate) fn hang_up(&self) -> Option<Message> {
        match self {
            Self::MediaStreams { .. } => None,
            Self::Strowger => Some(text(&json!({ "type": "hang_up" }))),
        }
    }

    /// `None` where an agent cannot send keys.
    pub(crate) fn send_dtmf(&self, digits: &str) -> Option<Message> {
        match self {
            Self::MediaStreams { .. } => None,
            Self::Strowger => Some(text(&json!({ "type": "send_dtmf", "digits": digits }))),
        }
    }

    /// `None` where an agent cannot transfer.
    pub(crate) fn transfer(&self, transfer: &Transfer) -> Option<Message> {
        match self {
            Self::MediaStreams { .. } => None,
            Self::Strowger => {
                let mut message = json!({ "type": "transfer", "destination": transfer.destination });
                let optional = [
                    ("ring_timeout_s", transfer.ring_timeout_s.map(Value::from)),
                    ("caller_id", transfer.caller_id.as_deref().map(Value::from)),
                    ("announcement", transfer.announcement.as_deref().map(Value::from)),
                    ("hold", transfer.hold.map(|hold| hold.name().into())),
                ];
                for (name, value) in optional {
                    if let Some(value) = value {
                        message[name] = value;
                    }
                }
                Some(text(&message))
            }
        }
    }

    /// `None` where an agent cannot transfer.
    pub(crate) fn cancel_transfer(&self) -> Option<Message> {
        match self {
            Self::MediaStreams { .. } => None,
            Self::Strowger => Some(text(&json!({ "type": "cancel_transfer" }))),
        }
    }

    /// What no gateway should be impressed by.
    pub(crate) fn garbage(&self) -> Vec<Message> {
        let mut garbage = vec![
            Message::text("{\"event\":"),
            Message::text("[]"),
            Message::text(r#"{"event":"fly","type":"fly"}"#),
            Message::text(r#"{"event":7,"type":null}"#),
        ];
        match self {
            Self::MediaStreams { stream_id } => garbage.extend([
                Message::text(format!(
                    r#"{{"event":"media","streamSid":"{stream_id}","media":{{"payload":"*!*"}}}}"#
                )),
                Message::text(r#"{"event":"media","streamSid":"MZother","media":{"payload":"////"}}"#),
                Message::text(format!(r#"{{"event":"mark","streamSid":"{stream_id}"}}"#)),
            ]),
            // An odd number of bytes is half a sample too much.
            Self::Strowger => garbage.extend([Message::binary(vec![1, 2, 3]), Message::binary(Vec::new())]),
        }
        garbage
    }
}

fn text(value: &Value) -> Message {
    Message::text(value.to_string())
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

fn string(value: &Value, what: &str) -> Result<String, String> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("{what} is missing"))
}

fn digit(value: &Value) -> Result<char, String> {
    value
        .as_str()
        .and_then(|digit| digit.chars().next())
        .ok_or_else(|| "a key without a digit".to_owned())
}

fn read_strowger(value: &Value) -> Result<Heard, String> {
    let heard_ms = value["heard_ms"].as_u64();
    match value["type"].as_str().ok_or("no `type`")? {
        "start" => {
            let rate = value["audio"]["sample_rate_hz"]
                .as_u64()
                .and_then(|rate| u32::try_from(rate).ok());
            Ok(Heard::Started {
                rate_hz: rate.filter(|rate| *rate > 0).ok_or("a start without a sample rate")?,
            })
        }
        "dtmf" => Ok(Heard::Dtmf(digit(&value["digit"])?)),
        "mark" => Ok(Heard::Mark {
            name: string(&value["name"], "the mark's name")?,
            heard_ms,
        }),
        "cleared" => {
            let marks = value["marks"].as_array().into_iter().flatten();
            // A mark is a name, alone or in an object with more about it.
            let marks = marks
                .filter_map(|mark| mark.as_str().or(mark["name"].as_str()))
                .map(str::to_owned)
                .collect();
            Ok(Heard::Cleared { heard_ms, marks })
        }
        "transfer" => Ok(Heard::Transfer(TransferSeen {
            at: Duration::ZERO,
            state: string(&value["state"], "the transfer's state")?,
            reason: value["reason"].as_str().map(str::to_owned),
        })),
        "stop" => Ok(Heard::Stopped(value["reason"].as_str().unwrap_or_default().to_owned())),
        _ => Ok(Heard::Other),
    }
}

fn read_media_streams(stream_id: &mut String, text: &str) -> Result<(Heard, Option<Value>), String> {
    let value = parse(text)?;
    let heard = match value["event"].as_str().ok_or("no `event`")? {
        "start" => {
            *stream_id = string(&value["start"]["streamSid"], "the stream's id")?;
            Heard::Started { rate_hz: 8000 }
        }
        "media" => {
            let payload = value["media"]["payload"].as_str().ok_or("`media` without a payload")?;
            let payload = STANDARD
                .decode(payload)
                .map_err(|error| format!("the payload is not base64: {error}"))?;
            return Ok((Heard::Audio(WireAudio::Mulaw.decode(&payload)), None));
        }
        "dtmf" => Heard::Dtmf(digit(&value["dtmf"]["digit"])?),
        "mark" => Heard::Mark {
            name: string(&value["mark"]["name"], "the mark's name")?,
            heard_ms: None,
        },
        "stop" => Heard::Stopped(String::new()),
        _ => Heard::Other,
    };
    Ok((heard, Some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_native_protocol() {
        let mut wire = Wire::new(AgentProtocol::Strowger);
        let mut read = |text: &str| wire.read(&Message::text(text)).map(|(heard, _)| heard);
        let start = r#"{"type":"start","call_id":"1","audio":{"encoding":"pcm_s16le","sample_rate_hz":16000,"channels":1,"frame_ms":20}}"#;
        assert_eq!(read(start), Ok(Heard::Started { rate_hz: 16_000 }));
        assert_eq!(
            read(r#"{"type":"cleared","heard_ms":120,"marks":["a"]}"#),
            Ok(Heard::Cleared {
                heard_ms: Some(120),
                marks: vec!["a".into()]
            })
        );
        assert_eq!(read(r#"{"type":"dtmf","digit":"5"}"#), Ok(Heard::Dtmf('5')));
        assert!(read(r#"{"type":"start"}"#).is_err());
        assert_eq!(
            wire.read(&Message::binary(vec![1, 0, 255, 255])).unwrap().0,
            Heard::Audio(vec![1, -1])
        );
        assert!(wire.read(&Message::binary(vec![1])).is_err());
    }

    #[test]
    fn a_ping_is_not_a_message() {
        for protocol in [AgentProtocol::MediaStreams, AgentProtocol::Strowger] {
            let ping = Message::Ping(vec![1, 2, 3].into());
            assert_eq!(Wire::new(protocol).read(&ping), Ok((Heard::Other, None)));
        }
    }

    #[test]
    fn transfers_are_asked_for_and_their_states_read() {
        let mut wire = Wire::new(AgentProtocol::Strowger);
        let asked = wire.transfer(&Transfer::to("+14155550111").ring_timeout_s(20)).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(asked.to_text().unwrap()).unwrap(),
            json!({ "type": "transfer", "destination": "+14155550111", "ring_timeout_s": 20 })
        );
        let told = Message::text(r#"{"type":"transfer","state":"failed","reason":"busy"}"#);
        let seen = TransferSeen {
            at: Duration::ZERO,
            state: "failed".into(),
            reason: Some("busy".into()),
        };
        assert_eq!(wire.read(&told).unwrap().0, Heard::Transfer(seen));
        assert!(Wire::new(AgentProtocol::MediaStreams).cancel_transfer().is_none());
    }

    #[test]
    fn answers_media_streams_with_the_streams_own_id() {
        let mut wire = Wire::new(AgentProtocol::MediaStreams);
        wire.read(&Message::text(r#"{"event":"start","start":{"streamSid":"MZ1"}}"#))
            .unwrap();
        let audio = wire.audio(&[0, 0]);
        assert_eq!(
            audio.to_text().unwrap(),
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8="}}"#
        );
        assert_eq!(wire.read(&audio).unwrap().0, Heard::Audio(vec![0, 0]));
    }
}
