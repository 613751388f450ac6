//! The media socket of chan_websocket: audio in binary messages, commands and notifications in text.
//!
//! <https://docs.asterisk.org/Configuration/Channel-Drivers/WebSocket/>. Text comes in two dialects, plain and JSON; which
//! one is decided at Asterisk, and the first message shows it.

mod marks;
mod text;

use std::mem;

use strowger_sdk::{Call, FrameProblem, Leg, MediaEvent, MediaFrame, Message, Started};

use self::marks::Marks;
use self::text::{Dialect, Notification};
use crate::ids::{self, Owner};
use crate::spec::{Config, Format};

/// Audio that is held while `MEDIA_START` is late, which happens on busy machines
/// (<https://github.com/asterisk/asterisk/issues/1712>): a second, and with `started` within the contract's 64 events.
const EARLY_MAX: usize = 50;

/// One call's socket.
#[derive(Debug)]
pub struct MediaSocket {
    /// The channel that the socket must belong to, when it is known.
    caller: Option<String>,
    /// What Asterisk was asked to send.
    format: Format,
    state: State,
    dialect: Dialect,
    /// What one frame has, in bytes; 0 when Asterisk leaves framing to us and keeps no queue.
    optimal_frame_bytes: usize,
    /// Asterisk carries the rest of a message over to the next one.
    buffering: bool,
    marks: Marks,
}

#[derive(Debug)]
enum State {
    /// With the audio that came before its announcement.
    Waiting(Vec<Vec<u8>>),
    Started,
    /// It belongs to another call: nothing is heard or said.
    Foreign,
}

impl Leg<Config> for MediaSocket {
    fn open(config: &Config, call: &Call) -> Self {
        Self {
            caller: call.provider_call_id.clone(),
            format: config.media_format,
            state: State::Waiting(Vec::new()),
            dialect: Dialect::Plain,
            optimal_frame_bytes: frame_bytes(config.media_format),
            buffering: false,
            marks: Marks::default(),
        }
    }

    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        match message {
            Message::Binary(payload) => match &mut self.state {
                State::Started => vec![MediaEvent::audio(payload)],
                State::Foreign => Vec::new(),
                State::Waiting(early) => {
                    early.push(payload);
                    if early.len() < EARLY_MAX {
                        return Vec::new();
                    }
                    // It will not be announced any more. It is what was asked for, in the dialect that is usual.
                    self.start(None)
                }
            },
            Message::Text(text) => {
                let (dialect, notification) = match text::read(&text) {
                    Ok(read) => read,
                    Err(problem) => return vec![MediaEvent::malformed(problem)],
                };
                self.dialect = dialect;
                self.notified(notification)
            }
        }
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        match self.state {
            State::Started => {}
            State::Waiting(_) => return Err(FrameProblem::NotStarted),
            // The runtime has been told that the stream stopped.
            State::Foreign => return Err(FrameProblem::Unsupported),
        }
        let command = |command: &str| Message::Text(self.dialect.command(command, None));
        Ok(match frame {
            MediaFrame::Audio(payload) => {
                // Without buffering, Asterisk drops what does not fill a frame.
                let cut = self.optimal_frame_bytes > 0 && payload.len() % self.optimal_frame_bytes != 0;
                if cut && !self.buffering {
                    let buffer = command("START_MEDIA_BUFFERING");
                    self.buffering = true;
                    vec![buffer, Message::Binary(payload)]
                } else {
                    vec![Message::Binary(payload)]
                }
            }
            MediaFrame::Stop => vec![command("HANGUP")],
            MediaFrame::Clear | MediaFrame::Mark(_) if self.optimal_frame_bytes == 0 => {
                return Err(FrameProblem::Unsupported);
            }
            MediaFrame::Clear => {
                let flush = command("FLUSH_MEDIA");
                // It ends buffering, and marks in the queue are dropped without an echo.
                self.buffering = false;
                self.marks.clear();
                vec![flush]
            }
            MediaFrame::Mark(name) => {
                let id = self.marks.id(name);
                vec![Message::Text(self.dialect.command("MARK_MEDIA", Some(&id)))]
            }
            // A caller's keys come here, but none go the other way.
            MediaFrame::Dtmf(_) => return Err(FrameProblem::Unsupported),
        })
    }
}

impl MediaSocket {
    fn notified(&mut self, notification: Notification) -> Vec<MediaEvent> {
        match notification {
            Notification::Start {
                channel,
                format,
                optimal_frame_bytes,
            } => self.announced(channel, format.as_deref(), optimal_frame_bytes),
            Notification::Flow(takes_audio) => vec![MediaEvent::Flow(takes_audio)],
            Notification::Key(digit) => vec![MediaEvent::Dtmf(digit)],
            Notification::Mark(id) => self.marks.name(id).map(MediaEvent::Mark).into_iter().collect(),
            Notification::Unframed => {
                self.optimal_frame_bytes = 0;
                Vec::new()
            }
            Notification::Other => Vec::new(),
        }
    }

    fn announced(
        &mut self,
        channel: Option<String>,
        format: Option<&str>,
        optimal_frame_bytes: Option<usize>,
    ) -> Vec<MediaEvent> {
        // The first builds do not name it.
        if let Some(name) = format {
            match Format::named(name) {
                Some(format) => self.format = format,
                None => return vec![MediaEvent::malformed("an audio format that was not asked for")],
            }
        }
        self.optimal_frame_bytes = optimal_frame_bytes.unwrap_or_else(|| frame_bytes(self.format));
        if !matches!(self.state, State::Waiting(_)) {
            return Vec::new();
        }
        // Asterisk keeps the parameters of a socket with its client's settings and not with the call: of two calls at the
        // same moment one may have got the other's.
        if let (Some(caller), Some(channel)) = (&self.caller, &channel)
            && let Owner::Media(of) = ids::owner(channel)
            && of != caller
        {
            self.state = State::Foreign;
            return vec![MediaEvent::Stopped(Some("the media socket of another call".to_owned()))];
        }
        self.start(channel)
    }

    fn start(&mut self, channel: Option<String>) -> Vec<MediaEvent> {
        let State::Waiting(early) = mem::replace(&mut self.state, State::Started) else {
            return Vec::new();
        };
        let provider_call_id = channel.as_deref().and_then(|channel| match ids::owner(channel) {
            Owner::Media(of) => Some(of.to_owned()),
            _ => None,
        });
        let started = Started {
            provider_call_id,
            stream_id: channel,
            receive_format: Some(self.format.index()),
            send_format: Some(self.format.index()),
            parameters: Vec::new(),
        };
        let mut events = vec![MediaEvent::Started(started)];
        events.extend(early.into_iter().map(MediaEvent::audio));
        events
    }
}

/// 20 milliseconds.
const fn frame_bytes(format: Format) -> usize {
    match format {
        Format::Ulaw | Format::Alaw => 160,
        Format::Slin => 320,
        Format::Slin16 => 640,
    }
}

#[cfg(test)]
mod tests;
