//! {{display_name}} as a Strowger provider.
//!
//! A carrier that is made up, small and whole: JSON webhooks that an HMAC signs, XML that opens the media socket, JSON
//! messages with base64 audio. Put your carrier's words in the place of its words, one function after the other; `cases/`
//! says what each of them does, and `README.md` how to try that out.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strowger_sdk::envelope;
use strowger_sdk::xml;
use strowger_sdk::{
    Answered, Call, CallReference, CallStatus, CallbackOutcome, Encoding, Field, FrameProblem, InboundCall, Io, Leg,
    MediaAddress, MediaEvent, MediaFrame, MediaProfile, Message, Outcome, Proof, Provider, ProviderSpec, Recognition,
    Rejection, RejectionReason, Response, Route, Sealed, Started, StatusEvent, Webhook,
};

/// The provider.
#[derive(Debug)]
pub struct NewProvider;

/// What every operation gets. A secret is a reference that stands for it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Config {
    account: String,
    signing_secret: Sealed,
}

impl Provider for NewProvider {
    type Config = Config;
    type Leg = MediaStream;

    fn spec() -> ProviderSpec {
        ProviderSpec::new("{{name}}", "{{display_name}}", "0.1.0", MediaProfile::new(Encoding::Pcmu, 8000))
            .field(Field::text("account", "Account").required())
            .field(Field::password("signing_secret", "Signing secret").required().sensitive())
            .account_id_field("account")
            .route(Route::callback("status"))
    }

    fn recognise(webhook: &Webhook) -> Option<Recognition> {
        webhook.header("x-signature")?;
        let body = read(webhook);
        let text = |name: &str| body.get(name)?.as_str().map(str::to_owned);
        let (provider_call_id, account_id) = (text("call")?, Some(text("account")?));
        match text("event")?.as_str() {
            "incoming" => Some(Recognition::InboundCall(InboundCall {
                provider_call_id,
                caller: text("from")?,
                callee: text("to")?,
                caller_country: None,
                callee_country: None,
                account_id,
            })),
            "status" => Some(Recognition::Event(CallReference {
                provider_call_id,
                account_id,
            })),
            _ => None,
        }
    }

    fn verify_signature(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
        let signature = webhook
            .header("x-signature")
            .and_then(|digits| hex::decode(digits).ok())
            .filter(|signature| signature.len() == 32)
            .ok_or_else(|| {
                Rejection::new(
                    "signature-missing",
                    "The webhook has no x-signature of 64 hexadecimal digits.",
                )
            })?;
        // The runtime has the secret, and computes what is described here.
        Ok(vec![Proof::new("hmac").hmac_sha256(
            &config.signing_secret,
            webhook.body.clone(),
            signature,
        )])
    }

    fn handle_callback(_: &Config, _route: &str, _: &Call, webhook: &Webhook, _: &mut Io) -> Outcome<CallbackOutcome> {
        let status = match read(webhook).get("status").and_then(Value::as_str) {
            Some("ringing") => Some(CallStatus::Ringing),
            Some("answered") => Some(CallStatus::InProgress),
            Some("ended") => Some(CallStatus::Completed),
            Some("failed") => Some(CallStatus::Failed),
            _ => None,
        };
        Ok(CallbackOutcome {
            events: status
                .map(|status| StatusEvent::new(status).into())
                .into_iter()
                .collect(),
            response: Response::empty(204),
        })
    }

    fn answer_markup(
        _: &Config,
        _: &Call,
        media: &MediaAddress,
        _: Option<&Webhook>,
        _: &mut Io,
    ) -> Outcome<Answered> {
        Ok(Answered::with(markup("Stream", "url", &media.url)))
    }

    fn rejection_markup(reason: RejectionReason) -> Response {
        match reason {
            RejectionReason::AtCapacity => markup("Reject", "reason", "busy"),
            _ => markup("Reject", "reason", "rejected"),
        }
    }
}

/// The media of one call.
#[derive(Debug)]
pub struct MediaStream {
    is_started: bool,
}

impl Leg<Config> for MediaStream {
    fn open(_: &Config, _: &Call) -> Self {
        Self { is_started: false }
    }

    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        let Message::Text(text) = message else {
            return vec![MediaEvent::malformed("a binary message")];
        };
        let Ok(message) = serde_json::from_str::<Value>(&text) else {
            return vec![MediaEvent::malformed("not JSON")];
        };
        let text = |name: &str| message.get(name).and_then(Value::as_str);
        let misfit = || MediaEvent::malformed("a field is missing or wrong");
        match text("event") {
            Some("start") => vec![text("call").map_or_else(misfit, |call| {
                self.is_started = true;
                MediaEvent::Started(Started {
                    provider_call_id: Some(call.to_owned()),
                    ..Started::default()
                })
            })],
            Some("media") => vec![text("payload").map_or_else(misfit, |payload| match envelope::payload(payload) {
                Ok(payload) => MediaEvent::audio(payload),
                Err(_) => MediaEvent::malformed("the payload is not base64"),
            })],
            Some("stop") => vec![MediaEvent::Stopped(None)],
            _ => vec![],
        }
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        if !self.is_started {
            return Err(FrameProblem::NotStarted);
        }
        match frame {
            MediaFrame::Audio(payload) => {
                let audio = envelope::AudioEnvelope::new(r#"{"event":"media","payload":""#, r#""}"#);
                Ok(vec![audio.wrap(&payload)])
            }
            MediaFrame::Clear => Ok(vec![Message::Text(json!({ "event": "clear" }).to_string())]),
            _ => Err(FrameProblem::Unsupported),
        }
    }
}

/// The JSON in a webhook; null when it is none.
fn read(webhook: &Webhook) -> Value {
    serde_json::from_slice(&webhook.body).unwrap_or_default()
}

/// The carrier's XML: one element with one attribute.
fn markup(element: &str, attribute: &str, value: &str) -> Response {
    Response::xml(xml::document("Response", |xml| {
        xml.create_element(element)
            .with_attribute((attribute, value))
            .write_empty()?;
        Ok(())
    }))
}

// To place calls, implement `Calling` of `strowger_sdk`, and export it: `export!(NewProvider: calling)`. The other abilities
// are `Detection`, `Numbers`, `Transfer`, `Setup`, `Trunks` and `Events`.
strowger_sdk::export!(NewProvider);
