//! Operations: exports that may ask for effects, driven by replay.
//!
//! An [`Operation`] is sans-I/O. [`Operation::step`] runs the export once, in a fresh instance, with every reply so far. It
//! either has its result, or asks for one more [`Effect`]; whoever drives it performs the effect and hands the answer to
//! [`Operation::reply`].

/// The functions of an optional interface; `require` was asked before, so that they are there.
macro_rules! ability {
    ($provider:expr, $field:ident, $name:literal, $store:expr, $instance:expr) => {
        match &$provider.exports().$field {
            Some(indices) => indices.load(&mut *$store, $instance)?,
            None => return Err(wasmtime::Error::msg(concat!("no ", $name))),
        }
    };
}

mod events;
mod setup;
mod transfer;
mod trunks;

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::authorization;
use crate::bindings::exports::strowger::provider::{answer, calling, numbers, webhook};
use crate::bindings::strowger::provider::types as wit;
use crate::credentials::Credentials;
use crate::error::{GuestFault, HostFault, InvokeError};
use crate::http::{IncomingResponse, OutgoingRequest, Response, Webhook, check_header};
use crate::limits::Limits;
use crate::proof::{self, Refusal, Verdict};
use crate::provider::{Ability, Invocation, Provider, RejectionReason, seal};
use crate::recording::arguments;
use crate::redact::redacted;
use crate::sealed::{Secret, Vault};
use crate::spec::ProofPolicy;

pub use self::events::{Directive, EventSocket};
pub use self::setup::{Detail, DetailGroup, Facts, Occasion, PublicUrls, Saving, SetField, SetupStep};
pub use self::transfer::{TransferLeg, TransferState};
pub use self::trunks::{AppliedTrunk, Trunk};
pub use crate::bindings::exports::strowger::provider::calling::Outbound;
pub use crate::bindings::exports::strowger::provider::detection::AnsweredBy;
pub use crate::bindings::strowger::provider::types::{
    Call, CallStatus, DetectionMode, Direction, MediaAddress, RouteUrl,
};

/// Longest attachment of a call, in bytes.
const ATTACHMENT_BYTES_MAX: usize = 4 * 1024;
/// Longest kept value, in bytes.
const VALUE_BYTES_MAX: usize = 16 * 1024;
const KEY_BYTES_MAX: usize = 128;
const TTL_MS_MAX: u32 = 24 * 60 * 60 * 1000;
const EVENTS_MAX: usize = 16;
const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// When an invocation happens, and the randomness it may see: the same in every round of an operation.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Unix milliseconds.
    pub now_ms: u64,
    /// Unpredictable; never used for another operation.
    pub entropy: [u8; 40],
}

impl Moment {
    /// This moment, with fresh entropy from the operating system.
    ///
    /// # Panics
    /// When the operating system has no randomness, without which nothing here is safe.
    #[must_use]
    pub fn at(now_ms: u64) -> Self {
        let mut entropy = [0; 40];
        getrandom::fill(&mut entropy).expect("the operating system provides randomness");
        Self { now_ms, entropy }
    }

    /// For invocations that see no secret and must not depend on the moment.
    pub(crate) fn fixed() -> Self {
        Self {
            now_ms: 0,
            entropy: [0; 40],
        }
    }

    /// For an invocation that is run again: only its clock and its randomness reach the guest.
    pub(crate) fn of_recording(now_ms: u64, seed: u64) -> Self {
        let mut entropy = [0; 40];
        entropy[16..24].copy_from_slice(&seed.to_le_bytes());
        Self { now_ms, entropy }
    }

    pub(crate) fn nonce(&self) -> [u8; 16] {
        self.entropy[..16].try_into().expect("16 of 40 bytes")
    }

    pub(crate) fn seed(&self) -> u64 {
        u64::from_le_bytes(self.entropy[16..24].try_into().expect("8 of 40 bytes"))
    }

    fn unique(&self, round: usize) -> String {
        format!("{}-{round}", hex::encode(&self.entropy[24..40]))
    }
}

/// Something that the runtime is to do for an operation. Checked: hosts are still to be checked against the grants.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Send this request.
    Http(OutgoingRequest),
    /// Read what is kept under this key.
    Load {
        /// To be scoped to organisation, provider and configuration.
        key: String,
    },
    /// Keep this value.
    Save {
        /// To be scoped like `Load.key`.
        key: String,
        /// JSON.
        value: Value,
        /// How long.
        ttl: Duration,
    },
    /// Claim this key.
    Claim {
        /// To be scoped like `Load.key`.
        key: String,
        /// How long.
        ttl: Duration,
    },
}

/// What came of an effect.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The carrier answered.
    Http(IncomingResponse),
    /// No answer; the text is for people.
    Unreachable(String),
    /// What was kept.
    Value(Option<Value>),
    /// It is kept.
    Saved,
    /// Whether this was the first claim.
    Claimed(bool),
}

/// How far an operation has come.
#[derive(Debug)]
pub enum Step<T> {
    /// Perform this, then call [`Operation::reply`].
    Perform(Effect),
    /// The result.
    Done(T),
    /// The provider's verdict: it cannot be done.
    Failed(Failure),
}

impl<T> Step<T> {
    /// In a word, for [`crate::tally::Spent::outcome`].
    fn outcome(&self) -> &'static str {
        match self {
            Self::Perform(Effect::Http(_)) => "asked-http",
            Self::Perform(Effect::Load { .. }) => "asked-load",
            Self::Perform(Effect::Save { .. }) => "asked-save",
            Self::Perform(Effect::Claim { .. }) => "asked-claim",
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
        }
    }
}

/// Why an operation cannot be done, in the provider's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Whose or what's fault.
    pub kind: FailureKind,
    /// kebab-case.
    pub code: String,
    /// One sentence for the user.
    pub message: String,
    /// Whether trying again may help.
    pub retryable: bool,
    /// Who can do something about it.
    pub owner: FailureOwner,
}

/// What an operation failed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Credentials or settings.
    Configuration,
    /// Balance or rate limits.
    Quota,
    /// The carrier.
    Carrier,
    /// What was asked.
    Request,
    /// The carrier cannot do that.
    Unsupported,
    /// A defect of the provider.
    Internal,
}

/// Who can do something about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureOwner {
    /// The tenant.
    User,
    /// Whoever runs the gateway.
    Operator,
}

/// What the carrier's webhook is about, unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognition {
    /// A new call.
    InboundCall(InboundCall),
    /// An event of a call.
    Event(CallReference),
}

/// Unverified claims about a new call.
#[derive(Clone, PartialEq, Eq)]
pub struct InboundCall {
    /// 1 to 255 characters.
    pub provider_call_id: String,
    /// At most 255 characters.
    pub caller: String,
    /// At most 255 characters.
    pub callee: String,
    /// Two letters.
    pub caller_country: Option<String>,
    /// Two letters.
    pub callee_country: Option<String>,
    /// At most 255 characters.
    pub account_id: Option<String>,
}

impl std::fmt::Debug for InboundCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InboundCall")
            .field("provider_call_id", &self.provider_call_id)
            .finish_non_exhaustive()
    }
}

/// Unverified reference to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReference {
    /// 1 to 255 characters.
    pub provider_call_id: String,
    /// At most 255 characters.
    pub account_id: Option<String>,
}

/// What a callback tells about a call.
#[derive(Debug, Clone, PartialEq)]
pub enum CallEvent {
    /// The call's status.
    Status {
        /// In the common terms.
        status: CallStatus,
        /// Counted by the carrier.
        duration_ms: Option<u64>,
        /// The carrier's reason.
        cause: Option<String>,
    },
    /// The carrier's identifier changed.
    Identified(String),
    /// The provider's attachment.
    Attach(Value),
}

/// Events and the response to the carrier.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// In order.
    pub events: Vec<CallEvent>,
    /// For the carrier.
    pub response: Response,
}

/// A call that the carrier took.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The carrier's identifier for now.
    pub provider_call_id: String,
    /// The provider's attachment.
    pub attachment: Option<Value>,
}

/// What a call cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// A decimal number.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
    /// Billed seconds.
    pub duration_s: u32,
}

/// Whether the account owns a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// It does.
    Owned,
    /// It does not.
    NotOwned,
    /// Not a kind of address that is looked up.
    NotApplicable,
}

/// What became of pointing a number here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Synchronisation {
    /// Changed.
    Done,
    /// It was so already.
    Unchanged,
    /// Not changed, and why.
    LeftAlone(String),
}

/// What became of registering a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provisioning {
    /// Registered.
    Provisioned,
    /// It was there.
    Present,
    /// Not this carrier's way.
    NotOffered,
}

type Attempt<T> = Result<Result<T, wit::Interruption>, InvokeError>;
type Body<T> = Box<dyn Fn(&mut Invocation, &Checker<'_>, &String, &[wit::Reply]) -> Attempt<T> + Send>;

/// An operation in progress.
pub struct Operation<T> {
    provider: Provider,
    export: &'static str,
    moment: Moment,
    limits: Limits,
    vault: Vault,
    sealed_credentials: String,
    grants: Vec<String>,
    config: Option<String>,
    replies: Vec<wit::Reply>,
    /// What the pending effect expects.
    awaiting: Option<Expected>,
    body: Body<T>,
}

impl<T> std::fmt::Debug for Operation<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operation")
            .field("export", &self.export)
            .field("rounds", &self.replies.len())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Http,
    Value,
    Saved,
    Claimed,
}

impl<T> Operation<T> {
    fn new(
        provider: &Provider,
        credentials: &Credentials,
        moment: Moment,
        export: &'static str,
        body: Body<T>,
    ) -> Self {
        let (vault, sealed_credentials) = seal(credentials, &moment);
        Self {
            provider: provider.clone(),
            export,
            moment,
            limits: Limits::control(provider.class()),
            vault,
            sealed_credentials,
            grants: provider.granted_hosts(credentials),
            config: None,
            replies: Vec::new(),
            awaiting: None,
            body,
        }
    }

    /// The export that this operation runs.
    #[must_use]
    pub fn export(&self) -> &'static str {
        self.export
    }

    /// Runs the export with the replies so far.
    ///
    /// # Errors
    /// A fault ends the operation.
    ///
    /// # Panics
    /// When the effect of the last step was not replied to.
    pub fn step(&mut self) -> Result<Step<T>, InvokeError> {
        assert!(self.awaiting.is_none(), "reply to an effect before the next step");
        let mut invocation = self.provider.instantiate(self.limits, &self.moment)?;
        invocation.round(self.replies.len());
        let stepped = self.run_round(&mut invocation);
        match &stepped {
            Ok(step) => invocation.ended(step.outcome()),
            Err(error) => invocation.failed(error),
        }
        stepped
    }

    fn run_round(&mut self, invocation: &mut Invocation) -> Result<Step<T>, InvokeError> {
        let config = match &self.config {
            Some(config) => config.clone(),
            None => {
                let config = invocation.config(&self.vault, &self.sealed_credentials)?;
                self.config = Some(config.clone());
                config
            }
        };
        let checker = Checker {
            export: self.export,
            vault: &self.vault,
        };
        match (self.body)(invocation, &checker, &config, &self.replies)? {
            Ok(value) => Ok(Step::Done(value)),
            Err(wit::Interruption::Failed(failure)) => Ok(Step::Failed(checker.failure(failure)?)),
            Err(wit::Interruption::Perform(effect)) => {
                if self.replies.len() >= self.limits.rounds_max {
                    return Err(GuestFault::TooManyRounds {
                        export: self.export,
                        rounds_max: self.limits.rounds_max,
                    }
                    .into());
                }
                if let Some(meter) = self.provider.meter() {
                    meter.take_effect()?;
                }
                let (effect, expected, composed) = self.effect(&checker, effect)?;
                for header in &composed {
                    self.vault.compose(header);
                }
                self.awaiting = Some(expected);
                Ok(Step::Perform(effect))
            }
        }
    }

    /// Hands in what came of the effect of the last step. Secrets in it are sealed again.
    ///
    /// # Panics
    /// When no effect is pending, or the reply is of another kind.
    pub fn reply(&mut self, reply: Reply) {
        let expected = self.awaiting.take().expect("an effect is pending");
        let (reply, kind) = match reply {
            Reply::Http(response) => {
                let headers = response
                    .headers
                    .into_iter()
                    .take(128)
                    .map(|(name, value)| wit::Header {
                        name: self.vault.reseal_text(name),
                        value: self.vault.reseal_text(String::from_utf8_lossy(&value).into_owned()),
                    })
                    .collect();
                (
                    wit::Reply::Http(wit::Response {
                        status: response.status,
                        headers,
                        body: self.vault.reseal(response.body),
                    }),
                    Expected::Http,
                )
            }
            Reply::Unreachable(reason) => (
                wit::Reply::Unreachable(self.vault.reseal_text(reason.chars().take(200).collect())),
                Expected::Http,
            ),
            Reply::Value(value) => (
                wit::Reply::Value(value.map(|value| self.vault.reseal_text(value.to_string()))),
                Expected::Value,
            ),
            Reply::Saved => (wit::Reply::Saved, Expected::Saved),
            Reply::Claimed(first) => (wit::Reply::Claimed(first), Expected::Claimed),
        };
        assert_eq!(kind, expected, "the reply fits the effect");
        self.replies.push(reply);
    }

    /// The effect, what reply it expects, and the secrets that were composed for it.
    fn effect(
        &self,
        checker: &Checker<'_>,
        effect: wit::Effect,
    ) -> Result<(Effect, Expected, Vec<Secret>), InvokeError> {
        match effect {
            wit::Effect::Http(request) => {
                let (request, composed) = self.request(checker, request)?;
                Ok((Effect::Http(request), Expected::Http, composed))
            }
            wit::Effect::Load(key) => Ok((Effect::Load { key: checker.key(key)? }, Expected::Value, Vec::new())),
            wit::Effect::Save(entry) => {
                let key = checker.key(entry.key)?;
                let value = checker.json(&entry.value, VALUE_BYTES_MAX, "a saved value")?;
                Ok((
                    Effect::Save {
                        key,
                        value,
                        ttl: checker.ttl(entry.ttl_ms)?,
                    },
                    Expected::Saved,
                    Vec::new(),
                ))
            }
            wit::Effect::Claim(claim) => Ok((
                Effect::Claim {
                    key: checker.key(claim.key)?,
                    ttl: checker.ttl(claim.ttl_ms)?,
                },
                Expected::Claimed,
                Vec::new(),
            )),
        }
    }

    fn request(
        &self,
        checker: &Checker<'_>,
        request: wit::Request,
    ) -> Result<(OutgoingRequest, Vec<Secret>), InvokeError> {
        checker.unsealed(request.url.as_bytes(), "a request's URL")?;
        checker.unsealed(&request.body, "a request's body")?;
        if !matches!(request.method.as_str(), "GET" | "POST" | "PUT" | "PATCH" | "DELETE") {
            return checker.malformed("the method of a request must be GET, POST, PUT, PATCH or DELETE");
        }
        if request.body.len() > REQUEST_BYTES_MAX {
            return checker.malformed(format!(
                "the body of a request has {} bytes; at most {REQUEST_BYTES_MAX} are sent",
                request.body.len()
            ));
        }
        let url = match url::Url::parse(&request.url) {
            Ok(url)
                if request.url.len() <= 4096 && matches!(url.scheme(), "http" | "https") && url.host().is_some() =>
            {
                url
            }
            _ => {
                return checker.malformed(
                    "the URL of a request must be an absolute http or https URL of at most 4096 characters",
                );
            }
        };
        if request.headers.len() > 64 {
            return checker.malformed("a request may have at most 64 headers");
        }
        let mut headers = Vec::with_capacity(request.headers.len() + 1);
        for header in request.headers {
            checker.unsealed(header.name.as_bytes(), "a header outside the authorization")?;
            checker.unsealed(header.value.as_bytes(), "a header outside the authorization")?;
            let name = checker.valid(check_header(&header.name, &header.value))?;
            headers.push((name, Secret::new(header.value)));
        }
        let mut composed = Vec::new();
        let unique = self.moment.unique(self.replies.len());
        for (name, value) in checker.valid(authorization::headers(
            &self.vault,
            &request.authorization,
            self.moment.now_ms,
            &unique,
        ))? {
            composed.push(value.clone());
            headers.push((checker.valid(check_header(&name, value.expose()))?, value));
        }
        let request = OutgoingRequest {
            method: request.method,
            url,
            headers,
            body: request.body,
            grants: self.grants.clone(),
        };
        Ok((request, composed))
    }
}

/// Checks what a guest returned, and converts it.
pub(crate) struct Checker<'a> {
    export: &'static str,
    vault: &'a Vault,
}

impl Checker<'_> {
    fn malformed<T>(&self, what: impl Into<String>) -> Result<T, InvokeError> {
        Err(GuestFault::MalformedOutput {
            export: self.export,
            what: what.into(),
        }
        .into())
    }

    fn valid<T>(&self, result: Result<T, String>) -> Result<T, InvokeError> {
        result.or_else(|what| self.malformed(what))
    }

    fn unsealed(&self, bytes: &[u8], place: &'static str) -> Result<(), InvokeError> {
        if self.vault.occurs_in(bytes) {
            Err(GuestFault::MisplacedSecret {
                export: self.export,
                place,
            }
            .into())
        } else {
            Ok(())
        }
    }

    fn text(&self, text: String, max: usize, what: &'static str) -> Result<String, InvokeError> {
        self.unsealed(text.as_bytes(), what)?;
        if text.chars().count() > max || text.chars().any(char::is_control) {
            return self.malformed(format!(
                "{what} must have at most {max} characters and no control characters"
            ));
        }
        Ok(text)
    }

    /// Text of several lines.
    fn lines(&self, text: String, max: usize, what: &'static str) -> Result<String, InvokeError> {
        self.unsealed(text.as_bytes(), what)?;
        if text.chars().count() > max || text.chars().any(|c| c.is_control() && c != '\n') {
            return self.malformed(format!(
                "{what} must have at most {max} characters and no control characters but line feeds"
            ));
        }
        Ok(text)
    }

    fn identifier(&self, text: String, what: &'static str) -> Result<String, InvokeError> {
        if text.is_empty() {
            self.malformed(format!("{what} is empty"))
        } else {
            self.text(text, 255, what)
        }
    }

    fn json(&self, text: &str, max: usize, what: &'static str) -> Result<Value, InvokeError> {
        self.unsealed(text.as_bytes(), what)?;
        if text.len() > max {
            return self.malformed(format!("{what} has {} bytes; at most {max} are kept", text.len()));
        }
        serde_json::from_str(text).or_else(|_| self.malformed(format!("{what} is not JSON")))
    }

    fn key(&self, key: String) -> Result<String, InvokeError> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return self.malformed(format!("a key must have 1 to {KEY_BYTES_MAX} bytes"));
        }
        self.text(key, KEY_BYTES_MAX, "a key")
    }

    fn ttl(&self, ttl_ms: u32) -> Result<Duration, InvokeError> {
        if ttl_ms == 0 || ttl_ms > TTL_MS_MAX {
            return self.malformed(format!("a time to live must be 1 to {TTL_MS_MAX} ms"));
        }
        Ok(Duration::from_millis(u64::from(ttl_ms)))
    }

    fn response(&self, raw: wit::Response) -> Result<Response, InvokeError> {
        self.unsealed(&raw.body, "a response")?;
        for header in &raw.headers {
            self.unsealed(header.value.as_bytes(), "a response")?;
        }
        self.valid(Response::try_from(raw))
    }

    fn events(&self, raw: Vec<wit::CallEvent>) -> Result<Vec<CallEvent>, InvokeError> {
        self.at_most(raw.len(), EVENTS_MAX, "events")?;
        raw.into_iter()
            .map(|event| {
                Ok(match event {
                    wit::CallEvent::Status(status) => CallEvent::Status {
                        status: status.status,
                        duration_ms: status.duration_ms,
                        cause: status.cause.map(|cause| self.text(cause, 100, "a cause")).transpose()?,
                    },
                    wit::CallEvent::Identified(id) => {
                        CallEvent::Identified(self.identifier(id, "a call's identifier")?)
                    }
                    wit::CallEvent::Attach(json) => {
                        CallEvent::Attach(self.json(&json, ATTACHMENT_BYTES_MAX, "an attachment")?)
                    }
                })
            })
            .collect()
    }

    fn account_id(&self, text: Option<String>) -> Result<Option<String>, InvokeError> {
        text.filter(|text| !text.is_empty())
            .map(|text| self.text(text, 255, "an account id"))
            .transpose()
    }

    fn inbound_call(&self, raw: wit::InboundCall) -> Result<InboundCall, InvokeError> {
        let country = |code: Option<String>| {
            code.filter(|code| code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic()))
                .map(|code| code.to_ascii_uppercase())
        };
        Ok(InboundCall {
            provider_call_id: self.identifier(raw.provider_call_id, "a call's identifier")?,
            caller: self.text(raw.caller, 255, "a caller")?,
            callee: self.text(raw.callee, 255, "a callee")?,
            caller_country: country(raw.caller_country),
            callee_country: country(raw.callee_country),
            account_id: self.account_id(raw.account_id)?,
        })
    }

    fn placed(&self, raw: wit::Placed) -> Result<Placed, InvokeError> {
        Ok(Placed {
            provider_call_id: self.identifier(raw.provider_call_id, "a call's identifier")?,
            attachment: raw
                .attachment
                .map(|json| self.json(&json, ATTACHMENT_BYTES_MAX, "an attachment"))
                .transpose()?,
        })
    }

    fn outcome(&self, raw: wit::CallbackOutcome) -> Result<Outcome, InvokeError> {
        Ok(Outcome {
            events: self.events(raw.events)?,
            response: self.response(raw.response)?,
        })
    }

    fn at_most(&self, count: usize, max: usize, what: &'static str) -> Result<(), InvokeError> {
        if count > max {
            return Err(GuestFault::TooMuchOutput {
                export: self.export,
                what: format!("{count} {what}; at most {max}"),
            }
            .into());
        }
        Ok(())
    }

    fn failure(&self, raw: wit::Failure) -> Result<Failure, InvokeError> {
        let code = self.text(raw.code, 64, "a failure's code")?;
        let message = redacted(&self.text(raw.message, 500, "a failure's message")?);
        Ok(Failure {
            kind: match raw.kind {
                wit::FailureKind::Configuration => FailureKind::Configuration,
                wit::FailureKind::Quota => FailureKind::Quota,
                wit::FailureKind::Carrier => FailureKind::Carrier,
                wit::FailureKind::Request => FailureKind::Request,
                wit::FailureKind::Unsupported => FailureKind::Unsupported,
                wit::FailureKind::Internal => FailureKind::Internal,
            },
            code,
            message,
            retryable: raw.retryable,
            owner: match raw.owner {
                wit::FailureOwner::User => FailureOwner::User,
                wit::FailureOwner::Operator => FailureOwner::Operator,
            },
        })
    }
}

/// Answers an attempt: converts the value, or passes the interruption on.
fn settle<R, T>(raw: Result<R, wit::Interruption>, convert: impl FnOnce(R) -> Result<T, InvokeError>) -> Attempt<T> {
    match raw {
        Ok(value) => Ok(Ok(convert(value)?)),
        Err(interruption) => Ok(Err(interruption)),
    }
}

impl Provider {
    /// Whether a webhook is this carrier's, and what it claims.
    ///
    /// # Errors
    /// A fault of the guest, or ours.
    pub fn recognise(&self, webhook: &Webhook, moment: &Moment) -> Result<Option<Recognition>, InvokeError> {
        const EXPORT: &str = "webhook.recognise";
        let mut invocation = self.instantiate(Limits::control(self.class()), moment)?;
        let raw = invocation.call(
            EXPORT,
            arguments! { "webhook" => webhook },
            |provider, store, instance| {
                provider
                    .exports()
                    .webhook
                    .load(&mut *store, instance)?
                    .call_recognise(&mut *store, webhook)
            },
        )?;
        let vault = Vault::new(moment.nonce());
        let check = Checker {
            export: EXPORT,
            vault: &vault,
        };
        Ok(match raw {
            None => None,
            Some(webhook::Recognition::InboundCall(call)) => Some(Recognition::InboundCall(check.inbound_call(call)?)),
            Some(webhook::Recognition::Event(reference)) => Some(Recognition::Event(CallReference {
                provider_call_id: check.identifier(reference.provider_call_id, "a call's identifier")?,
                account_id: check.account_id(reference.account_id)?,
            })),
        })
    }

    /// Whether a webhook is genuine under these credentials.
    ///
    /// # Errors
    /// A fault; then the webhook is refused like one that is not genuine.
    pub fn verify(
        &self,
        credentials: &Credentials,
        webhook: &Webhook,
        moment: &Moment,
    ) -> Result<Verdict, InvokeError> {
        const EXPORT: &str = "webhook.verify-signature";
        if self.spec().webhook_proof == ProofPolicy::NoWebhooks {
            return Ok(Verdict::Refused(Refusal::Rejected {
                code: "no-webhooks".to_owned(),
                message: format!(
                    "{} sends no webhooks, so this one cannot be genuine.",
                    self.spec().display_name
                ),
            }));
        }
        let (vault, sealed) = seal(credentials, moment);
        let mut invocation = self.instantiate(Limits::control(self.class()), moment)?;
        let config = invocation.config(&vault, &sealed)?;
        let webhook = &*vault.presented(webhook);
        let mut described = invocation.call(
            EXPORT,
            arguments! { "config" => &config, "webhook" => webhook },
            |provider, store, instance| {
                provider
                    .exports()
                    .webhook
                    .load(&mut *store, instance)?
                    .call_verify_signature(&mut *store, &config, webhook)
            },
        )?;
        proof::open_presented(&vault, webhook, &mut described);
        proof::evaluate(&vault, described).map_err(|what| GuestFault::MalformedOutput { export: EXPORT, what }.into())
    }

    /// What a genuine callback means.
    #[must_use]
    pub fn handle_callback(
        &self,
        credentials: &Credentials,
        route: String,
        call: Call,
        webhook: Webhook,
        moment: Moment,
    ) -> Operation<Outcome> {
        const EXPORT: &str = "webhook.handle-callback";
        Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, check, config, replies| {
                let webhook = &*check.vault.presented(&webhook);
                let raw = invocation.call(EXPORT, arguments! { "config" => config, "route" => &route, "call" => &call, "webhook" => webhook, "replies" => replies }, |provider, store, instance| {
                    provider
                        .exports()
                        .webhook
                        .load(&mut *store, instance)?
                        .call_handle_callback(&mut *store, config, &route, &call, webhook, replies)
                })?;
                settle(raw, |outcome| check.outcome(outcome))
            }),
        )
    }

    /// Answers a call; there is no webhook when it was announced over an event socket.
    #[must_use]
    pub fn answer(
        &self,
        credentials: &Credentials,
        call: Call,
        media: MediaAddress,
        webhook: Option<Webhook>,
        moment: Moment,
    ) -> Operation<Outcome> {
        const EXPORT: &str = "answer.answer-markup";
        Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, check, config, replies| {
                let webhook = webhook.as_ref().map(|webhook| check.vault.presented(webhook));
                let webhook = webhook.as_deref();
                let raw = invocation.call(EXPORT, arguments! { "config" => config, "call" => &call, "media" => &media, "webhook" => &webhook, "replies" => replies }, |provider, store, instance| {
                    provider
                        .exports()
                        .answer
                        .load(&mut *store, instance)?
                        .call_answer_markup(&mut *store, config, &call, &media, webhook, replies)
                })?;
                settle(raw, |answered: answer::Answered| {
                    Ok(Outcome {
                        events: check.events(answered.events)?,
                        response: check.response(answered.response)?,
                    })
                })
            }),
        )
    }

    /// Refuses a call whose webhook was genuine.
    #[must_use]
    pub fn reject_call(
        &self,
        credentials: &Credentials,
        call: Call,
        reason: RejectionReason,
        moment: Moment,
    ) -> Operation<Response> {
        const EXPORT: &str = "answer.reject-call";
        Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, check, config, replies| {
                let raw = invocation.call(EXPORT, arguments! { "config" => config, "call" => &call, "reason" => &reason.to_wit(), "replies" => replies }, |provider, store, instance| {
                    provider.exports().answer.load(&mut *store, instance)?.call_reject_call(
                        &mut *store,
                        config,
                        &call,
                        reason.to_wit(),
                        replies,
                    )
                })?;
                settle(raw, |response| check.response(response))
            }),
        )
    }

    fn require(&self, ability: Ability) -> Result<(), InvokeError> {
        if self.can(ability) {
            Ok(())
        } else {
            Err(HostFault::MissingAbility(ability.name()).into())
        }
    }

    /// Dials the call's callee.
    ///
    /// # Errors
    /// When the provider cannot place calls.
    pub fn place_call(
        &self,
        credentials: &Credentials,
        call: Call,
        outbound: Outbound,
        moment: Moment,
    ) -> Result<Operation<Placed>, InvokeError> {
        const EXPORT: &str = "calling.place-call";
        self.require(Ability::Calling)?;
        Ok(Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, check, config, replies| {
                let raw = invocation.call(
                    EXPORT,
                    arguments! { "config" => config, "call" => &call, "outbound" => &outbound, "replies" => replies },
                    |provider, store, instance| {
                        ability!(provider, calling, "calling", store, instance).call_place_call(
                            &mut *store,
                            config,
                            &call,
                            &outbound,
                            replies,
                        )
                    },
                )?;
                settle(raw, |placed| check.placed(placed))
            }),
        ))
    }

    /// Ends a call; `true` when it had ended already.
    ///
    /// # Errors
    /// When the provider cannot.
    pub fn hang_up(
        &self,
        credentials: &Credentials,
        call: Call,
        moment: Moment,
    ) -> Result<Operation<bool>, InvokeError> {
        const EXPORT: &str = "calling.hang-up";
        self.require(Ability::Calling)?;
        Ok(Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, _check, config, replies| {
                let raw = invocation.call(
                    EXPORT,
                    arguments! { "config" => config, "call" => &call, "replies" => replies },
                    |provider, store, instance| {
                        ability!(provider, calling, "calling", store, instance).call_hang_up(
                            &mut *store,
                            config,
                            &call,
                            replies,
                        )
                    },
                )?;
                settle(raw, |outcome| Ok(outcome == wit::HangUpOutcome::AlreadyEnded))
            }),
        ))
    }

    /// What the carrier thinks of a call: its status and duration.
    ///
    /// # Errors
    /// When the provider cannot.
    pub fn fetch_status(
        &self,
        credentials: &Credentials,
        call: Call,
        moment: Moment,
    ) -> Result<Operation<(CallStatus, Option<u64>)>, InvokeError> {
        const EXPORT: &str = "calling.fetch-status";
        self.require(Ability::Calling)?;
        Ok(Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, _check, config, replies| {
                let raw = invocation.call(
                    EXPORT,
                    arguments! { "config" => config, "call" => &call, "replies" => replies },
                    |provider, store, instance| {
                        ability!(provider, calling, "calling", store, instance).call_fetch_status(
                            &mut *store,
                            config,
                            &call,
                            replies,
                        )
                    },
                )?;
                settle(raw, |report: calling::StatusReport| {
                    Ok((report.status, report.duration_ms))
                })
            }),
        ))
    }

    /// What a call cost, once the carrier has rated it.
    ///
    /// # Errors
    /// When the provider cannot.
    pub fn fetch_cost(
        &self,
        credentials: &Credentials,
        call: Call,
        moment: Moment,
    ) -> Result<Operation<Option<Cost>>, InvokeError> {
        const EXPORT: &str = "calling.fetch-cost";
        self.require(Ability::Calling)?;
        Ok(Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, check, config, replies| {
                let raw = invocation.call(
                    EXPORT,
                    arguments! { "config" => config, "call" => &call, "replies" => replies },
                    |provider, store, instance| {
                        ability!(provider, calling, "calling", store, instance).call_fetch_cost(
                            &mut *store,
                            config,
                            &call,
                            replies,
                        )
                    },
                )?;
                settle(raw, |cost: Option<calling::Cost>| {
                    cost.map(|cost| check.cost(cost)).transpose()
                })
            }),
        ))
    }

    /// The detection modes that this configuration may use.
    ///
    /// # Errors
    /// A fault; a provider without the ability has none.
    pub fn detection_modes(
        &self,
        credentials: &Credentials,
        moment: &Moment,
    ) -> Result<Vec<DetectionMode>, InvokeError> {
        if !self.can(Ability::Detection) {
            return Ok(Vec::new());
        }
        let (vault, sealed) = seal(credentials, moment);
        let mut invocation = self.instantiate(Limits::control(self.class()), moment)?;
        let config = invocation.config(&vault, &sealed)?;
        let input = arguments! { "config" => &config };
        invocation.call("detection.detection-modes", input, |provider, store, instance| {
            ability!(provider, detection, "detection", store, instance).call_detection_modes(&mut *store, &config)
        })
    }

    /// The verdict about who answered that a genuine webhook carries.
    ///
    /// # Errors
    /// A fault; a provider without the ability has no verdicts.
    pub fn detection_result(
        &self,
        credentials: &Credentials,
        webhook: &Webhook,
        moment: &Moment,
    ) -> Result<Option<AnsweredBy>, InvokeError> {
        if !self.can(Ability::Detection) {
            return Ok(None);
        }
        let (vault, sealed) = seal(credentials, moment);
        let mut invocation = self.instantiate(Limits::control(self.class()), moment)?;
        let config = invocation.config(&vault, &sealed)?;
        let webhook = &*vault.presented(webhook);
        let input = arguments! { "config" => &config, "webhook" => webhook };
        invocation.call("detection.detection-result", input, |provider, store, instance| {
            ability!(provider, detection, "detection", store, instance).call_detection_result(
                &mut *store,
                &config,
                webhook,
            )
        })
    }

    /// Whether the account owns a number.
    ///
    /// # Errors
    /// When the provider cannot tell.
    pub fn validate_number(
        &self,
        credentials: &Credentials,
        address: String,
        moment: Moment,
    ) -> Result<Operation<Ownership>, InvokeError> {
        const EXPORT: &str = "numbers.validate-number";
        self.require(Ability::Numbers)?;
        Ok(Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, _check, config, replies| {
                let raw = invocation.call(
                    EXPORT,
                    arguments! { "config" => config, "address" => &address, "replies" => replies },
                    |provider, store, instance| {
                        ability!(provider, numbers, "numbers", store, instance).call_validate_number(
                            &mut *store,
                            config,
                            &address,
                            replies,
                        )
                    },
                )?;
                settle(raw, |ownership| {
                    Ok(match ownership {
                        numbers::Ownership::Owned => Ownership::Owned,
                        numbers::Ownership::NotOwned => Ownership::NotOwned,
                        numbers::Ownership::NotApplicable => Ownership::NotApplicable,
                    })
                })
            }),
        ))
    }

    /// Registers a number with the account.
    ///
    /// # Errors
    /// When the provider has no numbers.
    pub fn provision_number(
        &self,
        credentials: &Credentials,
        address: String,
        moment: Moment,
    ) -> Result<Operation<Provisioning>, InvokeError> {
        const EXPORT: &str = "numbers.provision-number";
        self.require(Ability::Numbers)?;
        Ok(Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, _check, config, replies| {
                let raw = invocation.call(
                    EXPORT,
                    arguments! { "config" => config, "address" => &address, "replies" => replies },
                    |provider, store, instance| {
                        ability!(provider, numbers, "numbers", store, instance).call_provision_number(
                            &mut *store,
                            config,
                            &address,
                            replies,
                        )
                    },
                )?;
                settle(raw, |outcome| {
                    Ok(match outcome {
                        numbers::Provisioning::Provisioned => Provisioning::Provisioned,
                        numbers::Provisioning::Present => Provisioning::Present,
                        numbers::Provisioning::NotOffered => Provisioning::NotOffered,
                    })
                })
            }),
        ))
    }

    /// Points a number's inbound calls at a URL, or away from it.
    ///
    /// # Errors
    /// When the provider has no numbers.
    pub fn configure_inbound(
        &self,
        credentials: &Credentials,
        address: String,
        webhook_url: String,
        attach: bool,
        moment: Moment,
    ) -> Result<Operation<Synchronisation>, InvokeError> {
        const EXPORT: &str = "numbers.configure-inbound";
        self.require(Ability::Numbers)?;
        Ok(Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, check, config, replies| {
                let raw = invocation.call(EXPORT, arguments! { "config" => config, "address" => &address, "webhook-url" => &webhook_url, "attach" => &attach, "replies" => replies }, |provider, store, instance| {
                    ability!(provider, numbers, "numbers", store, instance).call_configure_inbound(
                        &mut *store,
                        config,
                        &address,
                        &webhook_url,
                        attach,
                        replies,
                    )
                })?;
                settle(raw, |outcome| {
                    Ok(match outcome {
                        numbers::Synchronisation::Done => Synchronisation::Done,
                        numbers::Synchronisation::Unchanged => Synchronisation::Unchanged,
                        numbers::Synchronisation::LeftAlone(reason) => {
                            Synchronisation::LeftAlone(redacted(&check.text(reason, 300, "a reason")?))
                        }
                    })
                })
            }),
        ))
    }
}

impl Checker<'_> {
    fn cost(&self, raw: calling::Cost) -> Result<Cost, InvokeError> {
        let decimal = raw.amount.len() <= 32
            && raw.amount.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && raw.amount.starts_with(|c: char| c.is_ascii_digit())
            && raw.amount.bytes().filter(|&b| b == b'.').count() <= 1;
        if !decimal {
            return self.malformed("the amount of a cost must be a decimal number without sign");
        }
        if raw.currency.len() != 3 || !raw.currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return self.malformed("the currency of a cost must be three upper-case letters (ISO 4217)");
        }
        Ok(Cost {
            amount: raw.amount,
            currency: raw.currency,
            duration_s: raw.duration_s,
        })
    }
}

/// The name of a detection verdict in records and in the API.
#[must_use]
pub fn answered_by_name(answered_by: AnsweredBy) -> &'static str {
    match answered_by {
        AnsweredBy::Human => "human",
        AnsweredBy::MachineStart => "machine-start",
        AnsweredBy::MachineEndBeep => "machine-end-beep",
        AnsweredBy::MachineEndSilence => "machine-end-silence",
        AnsweredBy::MachineEndOther => "machine-end-other",
        AnsweredBy::Fax => "fax",
        AnsweredBy::Unknown => "unknown",
    }
}
