//! chan_websocket: audio in binary messages, commands and notifications in text, in one of two dialects.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::super::{Framer, FromGateway, MediaDialect, QueueLimits, QueueStatus, WireAudio, WireMessage};

/// Longer text is ignored.
const TEXT_BYTES_MAX: usize = 128;

#[derive(Debug)]
pub(super) struct Socket {
    channel: String,
    format: String,
    audio: WireAudio,
    json: bool,
    framer: Framer,
    /// Marks in the queue, and those that a flush took out of it, which nobody hears of again.
    waiting: VecDeque<String>,
    flushed: Vec<String>,
}

impl Socket {
    /// `extra` is what the media channel was asked for.
    pub(super) fn new(channel: &str, extra: &Value) -> Self {
        let format = extra["format"].as_str().unwrap_or("ulaw");
        let audio = match format {
            "alaw" => WireAudio::Alaw,
            "slin" => WireAudio::Linear { rate_hz: 8000 },
            "slin16" => WireAudio::Linear { rate_hz: 16_000 },
            _ => WireAudio::Mulaw,
        };
        Self {
            channel: channel.to_owned(),
            format: format.to_owned(),
            audio,
            json: extra["json"] == true,
            framer: Framer::new(frame_bytes(audio)),
            waiting: VecDeque::new(),
            flushed: Vec::new(),
        }
    }

    /// A notification: in JSON the object, otherwise the words.
    fn tell(&self, event: &str, fields: &[(&str, Value)], plain: &str) -> WireMessage {
        if !self.json {
            return WireMessage::Text(plain.to_owned());
        }
        let mut message = json!({ "event": event, "channel_id": self.channel });
        for (name, value) in fields {
            message[*name] = value.clone();
        }
        WireMessage::Text(message.to_string())
    }

    fn error(&self, text: &str) -> WireMessage {
        let plain = format!("ERROR channel_id:{} error_text:{text}", self.channel);
        self.tell("ERROR", &[("error_text", text.into())], &plain)
    }

    fn command(&mut self, text: &str) -> Result<FromGateway, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Ok(FromGateway::Dropped(format!("text of {} bytes", text.len())));
        }
        let (command, id) = if self.json {
            let Ok(message) = serde_json::from_str::<Value>(text) else {
                return Ok(FromGateway::Several(vec![
                    FromGateway::Reply(self.error("Unable to parse JSON command")),
                    FromGateway::Dropped("not JSON".to_owned()),
                ]));
            };
            let field = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
            (field("command"), field("correlation_id"))
        } else {
            let text = text.trim();
            let (command, id) = text.split_once(' ').unwrap_or((text, ""));
            (command.to_owned(), id.to_owned())
        };
        Ok(match command.as_str() {
            "MARK_MEDIA" => {
                self.waiting.push_back(id.clone());
                FromGateway::Mark(id)
            }
            "FLUSH_MEDIA" => {
                self.framer.flush();
                self.flushed.extend(self.waiting.drain(..));
                FromGateway::Clear
            }
            "START_MEDIA_BUFFERING" => {
                self.framer.buffering = true;
                FromGateway::Other
            }
            "STOP_MEDIA_BUFFERING" => {
                let mut rest = self.framer.flush();
                // The short rest is filled up with silence.
                if !rest.is_empty() {
                    let silence = self.audio.encode(&[0])[0];
                    rest.resize(frame_bytes(self.audio), silence);
                }
                let plain = format!("MEDIA_BUFFERING_COMPLETED {id}");
                let completed = self.tell(
                    "MEDIA_BUFFERING_COMPLETED",
                    &[("correlation_id", id.into())],
                    plain.trim_end(),
                );
                FromGateway::Several(vec![FromGateway::Audio(rest), FromGateway::Reply(completed)])
            }
            "HANGUP" => FromGateway::HangUp,
            "GET_STATUS" => FromGateway::AskStatus,
            "ANSWER" | "PAUSE_MEDIA" | "CONTINUE_MEDIA" | "REPORT_QUEUE_DRAINED" => FromGateway::Other,
            other => FromGateway::Dropped(format!("an unknown command {other}")),
        })
    }
}

impl MediaDialect for Socket {
    fn stream_id(&self) -> &str {
        &self.channel
    }

    fn sends(&self) -> WireAudio {
        self.audio
    }

    fn reads(&self) -> WireAudio {
        self.audio
    }

    fn opening(&mut self) -> Vec<WireMessage> {
        let (client, bytes) = (super::MEDIA_CLIENT, frame_bytes(self.audio));
        let name = format!("WebSocket/{client}/0x7f8f40007900");
        let plain = format!(
            "MEDIA_START connection_id:{client} channel:{name} channel_id:{} format:{} optimal_frame_size:{bytes} ptime:20",
            self.channel, self.format
        );
        let fields = [
            ("connection_id", client.into()),
            ("channel", name.into()),
            ("format", self.format.clone().into()),
            ("optimal_frame_size", bytes.into()),
            ("ptime", 20.into()),
            ("channel_variables", json!({ "MEDIA_WEBSOCKET_CONNECTION_ID": client })),
        ];
        vec![self.tell("MEDIA_START", &fields, &plain)]
    }

    fn audio(&mut self, payload: &[u8]) -> WireMessage {
        WireMessage::Binary(payload.to_vec())
    }

    fn unreadable_audio(&mut self) -> WireMessage {
        WireMessage::Binary(vec![0])
    }

    fn malformed(&mut self) -> WireMessage {
        WireMessage::Text("{\"event\":".to_owned())
    }

    fn dtmf(&mut self, digit: char) -> Option<WireMessage> {
        let plain = format!("DTMF_END digit:{digit} channel_id:{}", self.channel);
        Some(self.tell("DTMF_END", &[("digit", digit.to_string().into())], &plain))
    }

    fn mark_played(&mut self, name: &str) -> Option<WireMessage> {
        if let Some(place) = self.flushed.iter().position(|flushed| flushed == name) {
            self.flushed.remove(place);
            return None;
        }
        if let Some(place) = self.waiting.iter().position(|waiting| waiting == name) {
            self.waiting.remove(place);
        }
        let plain = format!("MEDIA_MARK_PROCESSED {name}");
        Some(self.tell(
            "MEDIA_MARK_PROCESSED",
            &[("correlation_id", name.into())],
            plain.trim_end(),
        ))
    }

    fn limits(&self) -> Option<QueueLimits> {
        Some(QueueLimits {
            stop_at: 900,
            resume_below: 800,
            frames_max: 1000,
        })
    }

    fn flow(&mut self, stop: bool) -> Option<WireMessage> {
        let event = if stop { "MEDIA_XOFF" } else { "MEDIA_XON" };
        Some(self.tell(event, &[], event))
    }

    fn status(&mut self, queue: QueueStatus) -> Option<WireMessage> {
        let plain = format!(
            "STATUS channel_id:{} queue_length:{} xon_level:800 xoff_level:900 queue_full:{} bulk_media:{} media_paused:false",
            self.channel, queue.frames, queue.stopped, self.framer.buffering
        );
        let fields = [
            ("queue_length", queue.frames.into()),
            ("xon_level", 800.into()),
            ("xoff_level", 900.into()),
            ("queue_full", queue.stopped.into()),
            ("bulk_media", self.framer.buffering.into()),
            ("media_paused", false.into()),
        ];
        Some(self.tell("STATUS", &fields, &plain))
    }

    fn read(&mut self, message: &WireMessage) -> Result<FromGateway, String> {
        match message {
            WireMessage::Text(text) => self.command(text),
            WireMessage::Binary(payload) => {
                let (frames, dropped) = self.framer.take(payload);
                let audio = FromGateway::Audio(frames);
                Ok(if dropped == 0 {
                    audio
                } else {
                    let lost = FromGateway::Dropped(format!("{dropped} bytes that fill no frame"));
                    FromGateway::Several(vec![audio, lost])
                })
            }
        }
    }
}

/// 20 milliseconds.
fn frame_bytes(audio: WireAudio) -> usize {
    match audio {
        WireAudio::Mulaw | WireAudio::Alaw => audio.frame_samples(),
        WireAudio::Linear { .. } => audio.frame_samples() * 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(json: bool) -> Socket {
        Socket::new("m1", &json!({ "format": "slin16", "json": json }))
    }

    fn text(message: &WireMessage) -> &str {
        match message {
            WireMessage::Text(text) => text,
            WireMessage::Binary(_) => panic!("binary"),
        }
    }

    fn read(socket: &mut Socket, command: &str) -> FromGateway {
        socket.read(&WireMessage::Text(command.to_owned())).unwrap()
    }

    #[test]
    fn both_dialects_begin_as_asterisk_does() {
        let plain = socket(false).opening();
        assert_eq!(
            text(&plain[0]),
            "MEDIA_START connection_id:gateway channel:WebSocket/gateway/0x7f8f40007900 channel_id:m1 format:slin16 \
             optimal_frame_size:640 ptime:20"
        );
        let start: Value = serde_json::from_str(text(&socket(true).opening()[0])).unwrap();
        assert_eq!(
            (&start["event"], &start["optimal_frame_size"]),
            (&json!("MEDIA_START"), &json!(640))
        );
    }

    #[test]
    fn marks_are_processed_or_vanish_with_a_flush() {
        let mut socket = socket(false);
        assert_eq!(read(&mut socket, "MARK_MEDIA one"), FromGateway::Mark("one".to_owned()));
        assert_eq!(text(&socket.mark_played("one").unwrap()), "MEDIA_MARK_PROCESSED one");
        read(&mut socket, "MARK_MEDIA two");
        assert_eq!(read(&mut socket, "FLUSH_MEDIA"), FromGateway::Clear);
        assert_eq!(socket.mark_played("two"), None);
        assert_eq!(
            read(&mut socket, &format!("MARK_MEDIA {}", "x".repeat(128))),
            FromGateway::Dropped("text of 139 bytes".to_owned())
        );
    }

    #[test]
    fn what_fills_no_frame_is_lost_unless_buffered() {
        let mut socket = socket(false);
        let odd = WireMessage::Binary(vec![0; 700]);
        assert_eq!(
            socket.read(&odd).unwrap(),
            FromGateway::Several(vec![
                FromGateway::Audio(vec![0; 640]),
                FromGateway::Dropped("60 bytes that fill no frame".to_owned())
            ])
        );
        read(&mut socket, "START_MEDIA_BUFFERING");
        assert_eq!(socket.read(&odd).unwrap(), FromGateway::Audio(vec![0; 640]));
        let stopped = FromGateway::Several(vec![
            FromGateway::Audio(vec![0; 640]),
            FromGateway::Reply(WireMessage::Text("MEDIA_BUFFERING_COMPLETED b".to_owned())),
        ]);
        assert_eq!(read(&mut socket, "STOP_MEDIA_BUFFERING b"), stopped);
    }

    #[test]
    fn json_is_json() {
        let mut socket = socket(true);
        assert_eq!(
            read(&mut socket, r#"{"command":"MARK_MEDIA","correlation_id":"one"}"#),
            FromGateway::Mark("one".to_owned())
        );
        assert!(matches!(read(&mut socket, "MARK_MEDIA one"), FromGateway::Several(_)));
        let played: Value = serde_json::from_str(text(&socket.mark_played("one").unwrap())).unwrap();
        assert_eq!(played["correlation_id"], "one");
        let key: Value = serde_json::from_str(text(&socket.dtmf('5').unwrap())).unwrap();
        assert_eq!((&key["event"], &key["digit"]), (&json!("DTMF_END"), &json!("5")));
        assert!(text(&socket.flow(true).unwrap()).contains("MEDIA_XOFF"));
    }
}
