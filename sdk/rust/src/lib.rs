//! Write a Strowger provider in Rust.
//!
//! A provider teaches the gateway one telephone carrier: how its webhooks are recognised and proved, what markup answers
//! a call, how its REST API places and ends calls, how audio is wrapped on its media socket. It is a pure function: it
//! gets what happened and returns what should be done. There is no HTTP client, no clock and no secret in it, and this
//! crate offers none.
//!
//! - Implement [`Provider`] and [`Leg`]; implement [`Calling`], [`Detection`], [`Numbers`], [`Transfer`], [`Setup`],
//!   [`Trunks`] and [`Events`] for the abilities that the carrier has; name them in [`export!`].
//! - A request to the carrier is a value, [`Request`]; [`Io::http`] hands it to the runtime. The operation is then run
//!   again from its beginning with the response in its history, so write straight-line code with `?` and keep it
//!   deterministic.
//! - A credential that the specification marks as sensitive is a [`Sealed`] reference: it goes into an authorisation or
//!   into a [`Proof`], where the runtime puts the secret in its place.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use strowger_sdk::{
//!     Answered, Call, CallbackOutcome, Calling, Encoding, Failure, Field, HangUpOutcome, InboundCall, Io, Leg,
//!     MediaAddress, MediaEvent, MediaFrame, MediaProfile, Message, Outbound, Outcome, Placed, Proof, Provider,
//!     ProviderSpec, Recognition, Rejection, RejectionReason, Request, Response, Route, Sealed, StatusReport, Webhook,
//!     Cost, FrameProblem, join_path,
//! };
//!
//! struct Example;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Config {
//!     account: String,
//!     token: Sealed,
//! }
//!
//! impl Provider for Example {
//!     type Config = Config;
//!     type Leg = RawAudio;
//!
//!     fn spec() -> ProviderSpec {
//!         ProviderSpec::new("example", "Example Telecom", "0.1.0", MediaProfile::new(Encoding::Pcmu, 8000))
//!             .field(Field::text("account", "Account").required().account_scoped())
//!             .field(Field::password("token", "API Token").required().sensitive().account_scoped())
//!             .account_id_field("account")
//!             .route(Route::callback("status"))
//!             .egress_host("api.example.com")
//!     }
//!
//!     fn recognise(webhook: &Webhook) -> Option<Recognition> {
//!         webhook.header("x-example-token")?;
//!         let form = webhook.form();
//!         Some(Recognition::InboundCall(InboundCall {
//!             provider_call_id: form.get("call")?.to_owned(),
//!             caller: form.get("from")?.to_owned(),
//!             callee: form.get("to")?.to_owned(),
//!             caller_country: None,
//!             callee_country: None,
//!             account_id: form.get("account").map(str::to_owned),
//!         }))
//!     }
//!
//!     fn verify_signature(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
//!         let presented = webhook
//!             .header("x-example-token")
//!             .ok_or_else(|| Rejection::new("token-missing", "The header x-example-token is missing."))?;
//!         Ok(vec![Proof::new("shared token").equals(&config.token, presented)])
//!     }
//!
//!     fn handle_callback(
//!         _: &Config, _route: &str, _: &Call, _: &Webhook, _: &mut Io,
//!     ) -> Outcome<CallbackOutcome> {
//!         Ok(CallbackOutcome { events: vec![], response: Response::empty(204) })
//!     }
//!
//!     fn answer_markup(
//!         _: &Config, _: &Call, media: &MediaAddress, _: Option<&Webhook>, _: &mut Io,
//!     ) -> Outcome<Answered> {
//!         Ok(Answered::with(Response::json(&serde_json::json!({ "stream": media.url }))))
//!     }
//!
//!     fn rejection_markup(_: RejectionReason) -> Response {
//!         Response::json(&serde_json::json!({ "hang_up": true }))
//!     }
//! }
//!
//! impl Calling for Example {
//!     fn place_call(config: &Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed> {
//!         #[derive(Deserialize)]
//!         struct Created {
//!             id: String,
//!         }
//!         let request = Request::post("https://api.example.com/calls")
//!             .bearer(&config.token)
//!             .json(&serde_json::json!({ "to": call.callee, "stream": outbound.media.url }));
//!         let created: Created = io.http(request)?.require(200..300)?.read_json()?;
//!         Ok(Placed { provider_call_id: created.id, attachment: None })
//!     }
//!
//!     fn hang_up(config: &Config, call: &Call, io: &mut Io) -> Outcome<HangUpOutcome> {
//!         let url = join_path("https://api.example.com", &["calls", call.carrier_id()?])?;
//!         let response = io.http(Request::delete(url).bearer(&config.token))?;
//!         if response.status == 404 {
//!             return Ok(HangUpOutcome::AlreadyEnded);
//!         }
//!         response.require(200..300)?;
//!         Ok(HangUpOutcome::Ended)
//!     }
//!
//!     fn fetch_status(_: &Config, _: &Call, _: &mut Io) -> Outcome<StatusReport> {
//!         Err(Failure::unsupported("status", "This carrier does not tell the status of a call.").into())
//!     }
//!
//!     fn fetch_cost(_: &Config, _: &Call, _: &mut Io) -> Outcome<Option<Cost>> {
//!         Ok(None)
//!     }
//! }
//!
//! struct RawAudio;
//!
//! impl Leg<Config> for RawAudio {
//!     fn open(_: &Config, _: &Call) -> Self {
//!         Self
//!     }
//!
//!     fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
//!         match message {
//!             Message::Binary(payload) => vec![MediaEvent::audio(payload)],
//!             Message::Text(_) => vec![],
//!         }
//!     }
//!
//!     fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
//!         match frame {
//!             MediaFrame::Audio(payload) => Ok(vec![Message::Binary(payload)]),
//!             MediaFrame::Stop => Ok(vec![]),
//!             MediaFrame::Clear | MediaFrame::Mark(_) | MediaFrame::Dtmf(_) => Err(FrameProblem::Unsupported),
//!         }
//!     }
//! }
//!
//! strowger_sdk::export!(Example: calling);
//! # fn main() {}
//! ```
//!
//! Use `BTreeMap` or a `Vec` of pairs where you would use a `HashMap`: the latter makes the component import a source of
//! randomness.

#[doc(hidden)]
#[allow(
    unsafe_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "generated code"
)]
#[allow(
    clippy::all,
    clippy::use_self,
    clippy::uninlined_format_args,
    reason = "generated code"
)]
pub mod bindings;
mod call;
pub mod envelope;
mod export;
mod failure;
mod http;
mod io;
mod media;
pub mod media_streams;
mod numbers;
mod proof;
mod provider;
mod sealed;
mod setup;
mod spec;
#[cfg(feature = "testing")]
pub mod testing;
mod webhook;
#[cfg(feature = "xml")]
pub mod xml;

pub use crate::bindings::calling::exports::strowger::provider::calling::{Cost, Outbound, StatusReport};
pub use crate::bindings::detection::exports::strowger::provider::detection::AnsweredBy;
pub use crate::bindings::events::exports::strowger::provider::events::{
    Directive, KnownCall, KnownTransfer, Socket as EventSocket,
};
pub use crate::bindings::numbers::exports::strowger::provider::numbers::{Ownership, Provisioning, Synchronisation};
pub use crate::bindings::provider::exports::strowger::provider::answer::{Answered, RejectionReason};
pub use crate::bindings::provider::exports::strowger::provider::descriptor::{
    Connectivity, Encoding, FieldProblem, MediaProfile, ProofPolicy, ProviderSpec, Route, RoutePurpose, WireFormat,
};
pub use crate::bindings::provider::exports::strowger::provider::media::{
    AudioFrame, FrameProblem, MediaEvent, MediaFrame, Message, Started,
};
pub use crate::bindings::provider::exports::strowger::provider::webhook::{
    CallReference, Check, DigestCheck, Ed25519Check, EqualsCheck, Hash, HmacCheck, KeyEncoding, OnceCheck, Proof,
    Recognition, Rejection, SealedKey, Segment,
};
pub use crate::bindings::provider::strowger::provider::types::{
    Authorization, Call, CallEvent, CallStatus, CallbackOutcome, Choice, Claim, Condition, DetectionMode, Direction,
    Effect, Entry, Failure, FailureKind, FailureOwner, Field, FieldType, HangUpOutcome, Header, InboundCall,
    Interruption, Jwt, JwtAlgorithm, MediaAddress, Placed, Reply, Request, Response, RouteUrl, StatusEvent, Webhook,
};
pub use crate::bindings::setup::exports::strowger::provider::setup::{
    Detail, DetailGroup, Facts, FieldValue, Occasion, PublicUrls, Saving, Step,
};
pub use crate::bindings::transfer::exports::strowger::provider::transfer::{TransferLeg, TransferState};
pub use crate::bindings::trunks::exports::strowger::provider::trunks::{Applied as AppliedTrunk, Trunk};
pub use crate::call::{NOT_AVAILABLE, Refusal, seconds_to_ms};
pub use crate::failure::{Interrupted, Outcome};
pub use crate::http::join_path;
pub use crate::io::{Io, Unreachable};
pub use crate::numbers::{country_code, is_e164, is_sip_uri, is_withheld};
pub use crate::provider::{Calling, Detection, Events, Leg, Numbers, Provider, Setup, Transfer, Trunks};
pub use crate::sealed::Sealed;
pub use crate::spec::{filled, read_credentials};
pub use crate::webhook::Form;
