//! The least that a carrier can be: one webhook with a key in a header, an answer of one line, and raw audio. Some callers
//! make it do more than that, and worse.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strowger_sdk::{
    Answered, Call, CallEvent, CallReference, CallStatus, CallbackOutcome, Encoding, Field, FrameProblem, InboundCall,
    Io, Leg, MediaAddress, MediaEvent, MediaFrame, MediaProfile, Message, Outcome, Proof, Provider, ProviderSpec,
    Recognition, Rejection, RejectionReason, Request, Response, Sealed, Started, StatusEvent, Webhook,
};

/// Whoever calls from here has it trap.
const TRAPS: &str = "+12025550199";
/// From here, use all its processor time.
const SPINS: &str = "+12025550198";
/// From here, ask its carrier for something.
const ASKS: &str = "+12025550197";
/// From here, keep something.
const KEEPS: &str = "+12025550196";

#[derive(Debug)]
pub struct Toy;

#[derive(Debug, Serialize, Deserialize)]
pub struct Config {
    line: String,
    key: Sealed,
}

#[derive(Deserialize)]
struct Told {
    toy_call: String,
    line: String,
    from: String,
    to: String,
    #[serde(default)]
    over: bool,
}

impl Provider for Toy {
    type Config = Config;
    type Leg = Raw;

    fn spec() -> ProviderSpec {
        ProviderSpec::new(
            "toyphone",
            "Toyphone",
            env!("CARGO_PKG_VERSION"),
            MediaProfile::new(Encoding::Pcmu, 8000),
        )
        .caller_id_optional()
        .field(Field::text("line", "Line").required())
        .field(Field::password("key", "Key").required().sensitive())
        .account_id_field("line")
        .egress_host("api.toyphone.example")
    }

    fn recognise(webhook: &Webhook) -> Option<Recognition> {
        webhook.header("x-toy-key")?;
        let told: Told = serde_json::from_slice(&webhook.body).ok()?;
        Some(if told.over {
            Recognition::Event(CallReference {
                provider_call_id: told.toy_call,
                account_id: Some(told.line),
            })
        } else {
            Recognition::InboundCall(InboundCall {
                provider_call_id: told.toy_call,
                caller: told.from,
                callee: told.to,
                caller_country: None,
                callee_country: None,
                account_id: Some(told.line),
            })
        })
    }

    fn verify_signature(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
        let presented = webhook
            .header("x-toy-key")
            .ok_or_else(|| Rejection::new("key-missing", "The header x-toy-key is missing."))?;
        Ok(vec![Proof::new("key").equals(&config.key, presented.as_bytes())])
    }

    fn handle_callback(_: &Config, _: &str, _: &Call, _: &Webhook, _: &mut Io) -> Outcome<CallbackOutcome> {
        Ok(CallbackOutcome {
            events: vec![CallEvent::Status(StatusEvent {
                status: CallStatus::Completed,
                duration_ms: None,
                cause: None,
            })],
            response: Response::empty(204),
        })
    }

    fn answer_markup(
        _: &Config,
        call: &Call,
        media: &MediaAddress,
        _: Option<&Webhook>,
        io: &mut Io,
    ) -> Outcome<Answered> {
        match call.caller.as_str() {
            TRAPS => panic!("as it was told to"),
            SPINS => loop {
                std::hint::black_box(());
            },
            ASKS => drop(io.http(Request::get("https://api.toyphone.example/greeting"))?),
            KEEPS => io.save(&call.id, &call.caller, Duration::from_secs(600))?,
            _ => {}
        }
        Ok(Answered::with(Response::text(&media.url)))
    }

    fn rejection_markup(_: RejectionReason) -> Response {
        Response::text("bye")
    }
}

/// Binary messages are audio; the first of all is the text `a stream begins`.
#[derive(Debug)]
pub struct Raw;

impl Leg<Config> for Raw {
    fn open(_: &Config, _: &Call) -> Self {
        Self
    }

    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        match message {
            Message::Binary(payload) => vec![MediaEvent::audio(payload)],
            Message::Text(text) if text == "a stream begins" => vec![MediaEvent::Started(Started {
                provider_call_id: None,
                stream_id: None,
                receive_format: None,
                send_format: None,
                parameters: vec![],
            })],
            Message::Text(_) => vec![MediaEvent::malformed("a text that is not the greeting")],
        }
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        match frame {
            MediaFrame::Audio(payload) => Ok(vec![Message::Binary(payload)]),
            MediaFrame::Stop => Ok(vec![]),
            MediaFrame::Clear | MediaFrame::Mark(_) | MediaFrame::Dtmf(_) => Err(FrameProblem::Unsupported),
        }
    }
}

strowger_sdk::export!(Toy);
