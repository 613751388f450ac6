//! The media leg of one call inside the sandbox: envelopes in, envelopes out.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::bindings::exports::strowger::provider::media as wit;
use crate::credentials::Credentials;
use crate::error::{GuestFault, InvokeError};
use crate::limits::{Limits, TICK};
use crate::operation::{Call, Moment};
use crate::provider::{Invocation, Provider, seal};
use crate::recording::{self, arguments};
use crate::sealed::Vault;
use crate::spec::WireFormat;

pub use crate::bindings::exports::strowger::provider::media::{AudioFrame, FrameProblem, MediaFrame, Message};

const OPEN: &str = "media.leg";
const DESERIALIZE: &str = "media.deserialize-frame";
const SERIALIZE: &str = "media.serialize-frame";
/// Events of one message, and messages of one frame.
const EVENTS_MAX: usize = 64;
const MESSAGES_MAX: usize = 4;
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// The carrier's messages up to `started` that are kept for building the leg again.
const HANDSHAKE_MAX: usize = 16;

/// What a message of the carrier means, checked.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaEvent {
    /// The stream is set up.
    Started(Started),
    /// A piece of the caller's audio.
    Audio {
        /// In the receive format.
        payload: Vec<u8>,
        /// Counts frames.
        sequence: Option<u64>,
        /// Since the stream began.
        timestamp_ms: Option<u64>,
    },
    /// One of `0-9*#A-D`.
    Dtmf(char),
    /// The audio before this mark has been played, or was cleared.
    Mark(String),
    /// Whether the carrier takes audio.
    Flow(bool),
    /// The stream ends.
    Stopped(Option<String>),
    /// The message could not be read.
    Malformed(String),
}

/// A stream that is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// The carrier's identifier of the call.
    pub provider_call_id: Option<String>,
    /// The carrier's identifier of the stream.
    pub stream_id: Option<String>,
    /// What the carrier sends.
    pub receive: WireFormat,
    /// What the carrier expects.
    pub send: WireFormat,
    /// What came back with the stream.
    pub parameters: Vec<(String, String)>,
}

/// The media of one call. When the guest faults, the leg is built again from the carrier's first messages, and the fault is
/// reported: the caller counts them.
#[derive(Debug)]
pub struct MediaLeg {
    provider: Provider,
    call: Call,
    sealed_credentials: String,
    vault: Vault,
    moment: Moment,
    /// `None` after a fault, when there was no room to build it again.
    live: Option<Live>,
    handshake: Vec<Message>,
    started: bool,
}

struct Live {
    invocation: Invocation,
    guest: wit::Guest,
    leg: wasmtime::component::ResourceAny,
    /// As the guest was given it.
    config: String,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl Provider {
    /// Opens the media leg of a call, in an instance of its own.
    ///
    /// # Errors
    /// A fault of the guest, or ours.
    pub fn open_leg(&self, credentials: &Credentials, call: Call, moment: Moment) -> Result<MediaLeg, InvokeError> {
        let (vault, sealed_credentials) = seal(credentials, &moment);
        let live = Live::open(self, &vault, &sealed_credentials, &call, &moment)?;
        Ok(MediaLeg {
            provider: self.clone(),
            call,
            sealed_credentials,
            vault,
            moment,
            live: Some(live),
            handshake: Vec::new(),
            started: false,
        })
    }
}

impl Live {
    fn open(
        provider: &Provider,
        vault: &Vault,
        sealed: &String,
        call: &Call,
        moment: &Moment,
    ) -> Result<Self, InvokeError> {
        // Setting up may take longer than one frame; the tighter bounds of the media path come after it.
        let class = provider.class();
        let mut invocation = provider
            .instantiate(
                Limits {
                    cpu_ms_max: Limits::control(class).cpu_ms_max,
                    ..Limits::media(class)
                },
                moment,
            )?
            .of_leg(moment.seed());
        let config = invocation.config(vault, sealed)?;
        let opened = invocation.run(OPEN, |provider, store, instance| {
            let guest = provider.exports().media.load(&mut *store, instance)?;
            let leg = guest.leg().call_constructor(&mut *store, &config, call)?;
            Ok((guest, leg))
        });
        let told = opened.as_ref().map(drop).map_err(Clone::clone);
        let input = arguments! { "config" => &config, "call" => call };
        recording::tell(provider.observers(), OPEN, invocation.circumstances(), input, &told);
        let (guest, leg) = opened?;
        invocation.settle();
        invocation.store.data_mut().limits = Limits::media(class);
        Ok(Self {
            invocation,
            guest,
            leg,
            config,
        })
    }

    fn deserialize(&mut self, message: &Message) -> Result<Vec<wit::MediaEvent>, InvokeError> {
        let (guest, leg) = (&self.guest, self.leg);
        self.invocation.frame(DESERIALIZE, |_, store, _| {
            guest.leg().call_deserialize_frame(store, leg, message)
        })
    }

    fn serialize(&mut self, frame: &MediaFrame) -> Result<Result<Vec<Message>, FrameProblem>, InvokeError> {
        let (guest, leg) = (&self.guest, self.leg);
        self.invocation.frame(SERIALIZE, |_, store, _| {
            guest.leg().call_serialize_frame(store, leg, frame)
        })
    }
}

impl MediaLeg {
    /// What a message of the carrier means.
    ///
    /// # Errors
    /// A fault; the leg has then been built again, unless that faulted too.
    pub fn deserialize(&mut self, message: Message) -> Result<Vec<MediaEvent>, InvokeError> {
        let raw = self.live()?.deserialize(&message);
        self.tell(DESERIALIZE, arguments! { "message" => &message }, &raw);
        match raw.and_then(|raw| self.events(raw)) {
            Ok(events) => {
                if !self.started {
                    self.started = events.iter().any(|event| matches!(event, MediaEvent::Started(_)));
                    // What came before `started` may be needed to understand it; that message itself always is.
                    if self.handshake.len() < HANDSHAKE_MAX || self.started {
                        self.handshake.push(message);
                    }
                }
                Ok(events)
            }
            Err(fault) => Err(self.rebuilt(fault)),
        }
    }

    /// The messages that carry a frame to the carrier.
    ///
    /// # Errors
    /// As for [`Self::deserialize`].
    pub fn serialize(&mut self, frame: &MediaFrame) -> Result<Result<Vec<Message>, FrameProblem>, InvokeError> {
        let raw = self.live()?.serialize(frame);
        self.tell(SERIALIZE, arguments! { "frame" => frame }, &raw);
        raw.and_then(|raw| self.messages(raw))
            .map_err(|fault| self.rebuilt(fault))
    }

    fn tell<R: Serialize>(
        &self,
        export: &'static str,
        input: impl Fn() -> Map<String, Value>,
        result: &Result<R, InvokeError>,
    ) {
        let Some(live) = &self.live else { return };
        let circumstances = live.invocation.circumstances();
        let history = || {
            let opened = arguments! { "config" => &live.config, "call" => &self.call };
            let heard = self
                .handshake
                .iter()
                .map(|message| circumstances.recorded(DESERIALIZE, arguments! { "message" => message }()));
            std::iter::once(circumstances.recorded(OPEN, opened()))
                .chain(heard)
                .collect()
        };
        recording::tell_after(history, self.provider.observers(), export, circumstances, input, result);
    }

    /// Drops the guest that faulted, before another one takes its slot in the pool.
    fn rebuilt(&mut self, fault: InvokeError) -> InvokeError {
        self.live = None;
        match self.live() {
            Ok(_) => fault,
            Err(second) => second,
        }
    }

    /// Processor time that the guest has used since it was opened, sampled: right on average, in steps of 2 ms.
    #[must_use]
    pub fn cpu_used(&self) -> Duration {
        let ticks = self.live.as_ref().map_or(0, |live| live.invocation.store.data().ticks);
        TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    fn live(&mut self) -> Result<&mut Live, InvokeError> {
        if self.live.is_none() {
            let mut live = Live::open(
                &self.provider,
                &self.vault,
                &self.sealed_credentials,
                &self.call,
                &self.moment,
            )?;
            for message in &self.handshake {
                live.deserialize(message)?;
            }
            self.live = Some(live);
        }
        Ok(self.live.as_mut().expect("it was built just now"))
    }

    fn events(&self, raw: Vec<wit::MediaEvent>) -> Result<Vec<MediaEvent>, InvokeError> {
        const EXPORT: &str = DESERIALIZE;
        let malformed = |what: String| InvokeError::from(GuestFault::MalformedOutput { export: EXPORT, what });
        if raw.len() > EVENTS_MAX {
            return Err(GuestFault::TooMuchOutput {
                export: EXPORT,
                what: format!("{} events; at most {EVENTS_MAX}", raw.len()),
            }
            .into());
        }
        let clip = |text: String, max: usize| text.chars().filter(|c| !c.is_control()).take(max).collect::<String>();
        raw.into_iter()
            .map(|event| {
                Ok(match event {
                    wit::MediaEvent::Started(started) => MediaEvent::Started(self.started(started)?),
                    wit::MediaEvent::Audio(AudioFrame {
                        payload,
                        sequence,
                        timestamp_ms,
                    }) => MediaEvent::Audio {
                        payload,
                        sequence,
                        timestamp_ms,
                    },
                    wit::MediaEvent::Dtmf(digit) => {
                        let mut chars = digit.chars();
                        match (chars.next(), chars.next()) {
                            (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => MediaEvent::Dtmf(digit),
                            _ => return Err(malformed("a DTMF event must be one of 0-9, *, #, A-D".to_owned())),
                        }
                    }
                    wit::MediaEvent::Mark(name) => MediaEvent::Mark(clip(name, 64)),
                    wit::MediaEvent::Flow(open) => MediaEvent::Flow(open),
                    wit::MediaEvent::Stopped(reason) => MediaEvent::Stopped(reason.map(|reason| clip(reason, 100))),
                    wit::MediaEvent::Malformed(what) => MediaEvent::Malformed(clip(what, 100)),
                })
            })
            .collect()
    }

    fn started(&self, raw: wit::Started) -> Result<Started, InvokeError> {
        const EXPORT: &str = DESERIALIZE;
        let formats = &self.provider.spec().media.formats;
        let format = |index: Option<u8>| {
            formats.get(usize::from(index.unwrap_or(0))).copied().ok_or_else(|| {
                InvokeError::from(GuestFault::MalformedOutput {
                    export: EXPORT,
                    what: "a format that the spec does not list".to_owned(),
                })
            })
        };
        if raw.parameters.len() > 64 {
            return Err(GuestFault::TooMuchOutput {
                export: EXPORT,
                what: "more than 64 parameters".to_owned(),
            }
            .into());
        }
        let id = |text: Option<String>| {
            text.filter(|text| !text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control))
        };
        Ok(Started {
            provider_call_id: id(raw.provider_call_id),
            stream_id: id(raw.stream_id),
            receive: format(raw.receive_format)?,
            send: format(raw.send_format)?,
            parameters: raw.parameters,
        })
    }

    fn messages(
        &self,
        raw: Result<Vec<Message>, FrameProblem>,
    ) -> Result<Result<Vec<Message>, FrameProblem>, InvokeError> {
        const EXPORT: &str = SERIALIZE;
        if let Ok(messages) = &raw {
            if messages.len() > MESSAGES_MAX {
                return Err(GuestFault::TooMuchOutput {
                    export: EXPORT,
                    what: format!("{} messages; at most {MESSAGES_MAX}", messages.len()),
                }
                .into());
            }
            for message in messages {
                let bytes = match message {
                    Message::Text(text) => text.as_bytes(),
                    Message::Binary(bytes) => bytes,
                };
                if bytes.len() > MESSAGE_BYTES_MAX {
                    return Err(GuestFault::TooMuchOutput {
                        export: EXPORT,
                        what: format!("a message of {} bytes; at most {MESSAGE_BYTES_MAX}", bytes.len()),
                    }
                    .into());
                }
                if self.vault.occurs_in(bytes) {
                    return Err(GuestFault::MisplacedSecret {
                        export: EXPORT,
                        place: "a media message",
                    }
                    .into());
                }
            }
        }
        Ok(raw)
    }
}
