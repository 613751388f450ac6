//! Values of the contract as JSON, in both directions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::{
    Answered, AnsweredBy, AppliedTrunk, AudioFrame, Authorization, Call, CallEvent, CallReference, CallStatus,
    CallbackOutcome, Check, Choice, Claim, Condition, Connectivity, Cost, Detail, DetailGroup, DetectionMode,
    DigestCheck, Direction, Directive, Ed25519Check, Effect, Encoding, Entry, EqualsCheck, EventSocket, Facts, Failure,
    FailureKind, FailureOwner, Field, FieldProblem, FieldType, FieldValue, FrameProblem, HangUpOutcome, Hash, Header,
    HmacCheck, InboundCall, Interruption, Jwt, JwtAlgorithm, KeyEncoding, KnownCall, KnownTransfer, MediaAddress,
    MediaEvent, MediaFrame, MediaProfile, Message, Occasion, OnceCheck, Outbound, Ownership, Placed, Proof,
    ProofPolicy, ProviderSpec, Provisioning, PublicUrls, Recognition, Rejection, RejectionReason, Reply, Request,
    Response, Route, RoutePurpose, RouteUrl, Saving, SealedKey, Segment, Started, StatusEvent, StatusReport, Step,
    Synchronisation, TransferLeg, TransferState, Trunk, Webhook, WireFormat,
};

/// A value of the contract; errors say where the JSON does not fit.
pub(super) trait Wit: Sized {
    fn write(&self) -> Value;
    fn read(value: &Value) -> Result<Self, String>;
}

/// A string that holds JSON: written as that JSON.
pub(super) struct Json(pub(super) String);

impl Wit for Json {
    fn write(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_else(|_| json!({ "not JSON": self.0 }))
    }

    fn read(value: &Value) -> Result<Self, String> {
        Ok(Self(value.to_string()))
    }
}

impl Wit for String {
    fn write(&self) -> Value {
        Value::String(self.clone())
    }

    fn read(value: &Value) -> Result<Self, String> {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("not a string: {value}"))
    }
}

impl Wit for bool {
    fn write(&self) -> Value {
        Value::Bool(*self)
    }

    fn read(value: &Value) -> Result<Self, String> {
        value
            .as_bool()
            .ok_or_else(|| format!("neither true nor false: {value}"))
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Wit for $type {
            fn write(&self) -> Value {
                Value::from(*self)
            }

            fn read(value: &Value) -> Result<Self, String> {
                value.as_u64().and_then(|number| number.try_into().ok()).ok_or_else(|| format!("not a {}: {value}", stringify!($type)))
            }
        }
    )*};
}

integers!(u8, u16, u32, u64);

impl<T: Wit> Wit for Option<T> {
    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::write)
    }

    fn read(value: &Value) -> Result<Self, String> {
        if value.is_null() {
            Ok(None)
        } else {
            T::read(value).map(Some)
        }
    }
}

impl<T: Wit> Wit for Vec<T> {
    fn write(&self) -> Value {
        self.iter().map(T::write).collect()
    }

    fn read(value: &Value) -> Result<Self, String> {
        match value {
            // As the runtime reads cases: a list that is absent is empty.
            Value::Null => Ok(Self::new()),
            Value::Array(items) => items.iter().map(T::read).collect(),
            _ => Err(format!("not a list: {value}")),
        }
    }
}

impl<A: Wit, B: Wit> Wit for (A, B) {
    fn write(&self) -> Value {
        json!([self.0.write(), self.1.write()])
    }

    fn read(value: &Value) -> Result<Self, String> {
        match value.as_array().map(Vec::as_slice) {
            Some([first, second]) => Ok((A::read(first)?, B::read(second)?)),
            _ => Err(format!("not a pair: {value}")),
        }
    }
}

/// The payload of a result without one.
impl Wit for () {
    fn write(&self) -> Value {
        Value::Null
    }

    fn read(value: &Value) -> Result<Self, String> {
        if value.is_null() {
            Ok(())
        } else {
            Err(format!("there is no payload: {value}"))
        }
    }
}

impl<T: Wit, E: Wit> Wit for Result<T, E> {
    fn write(&self) -> Value {
        match self {
            Ok(value) => json!({ "ok": value.write() }),
            Err(value) => json!({ "err": value.write() }),
        }
    }

    fn read(value: &Value) -> Result<Self, String> {
        match case_of(value)? {
            ("ok", payload) => T::read(payload).map(Ok),
            ("err", payload) => E::read(payload).map(Err),
            _ => Err(format!("neither ok nor err: {value}")),
        }
    }
}

/// How members that are not written as their Rust type are written.
mod plain {
    use super::{Value, Wit};

    pub(super) fn write<T: Wit>(value: &T) -> Value {
        value.write()
    }

    pub(super) fn read<T: Wit>(value: &Value) -> Result<T, String> {
        T::read(value)
    }
}

mod json_text {
    use super::{Json, Value, Wit};

    pub(super) fn write(text: &str) -> Value {
        Json(text.to_owned()).write()
    }

    pub(super) fn read(value: &Value) -> Result<String, String> {
        Json::read(value).map(|json| json.0)
    }
}

mod optional_json_text {
    use super::{Json, Value, Wit};

    pub(super) fn write(text: &Option<String>) -> Value {
        text.clone().map(Json).write()
    }

    pub(super) fn read(value: &Value) -> Result<Option<String>, String> {
        Ok(Option::<Json>::read(value)?.map(|json| json.0))
    }
}

mod bytes {
    use super::{Engine, STANDARD, Value, json};

    pub(super) fn write(bytes: &[u8]) -> Value {
        match std::str::from_utf8(bytes) {
            Ok(text) => Value::from(text),
            Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
        }
    }

    pub(super) fn read(value: &Value) -> Result<Vec<u8>, String> {
        match (value.as_str(), value.get("base64").and_then(Value::as_str)) {
            (Some(text), _) => Ok(text.as_bytes().to_vec()),
            (None, Some(encoded)) => STANDARD.decode(encoded).map_err(|error| error.to_string()),
            (None, None) => Err(format!("not bytes: {value}")),
        }
    }
}

macro_rules! call_codec {
    ($function:ident, $value:expr) => {
        plain::$function($value)
    };
    ($function:ident, $value:expr, $codec:ident) => {
        $codec::$function($value)
    };
}

macro_rules! records {
    ($($type:ident { $($field:ident $(: $codec:ident)?),* })*) => {$(
        impl Wit for $type {
            fn write(&self) -> Value {
                let mut members = Map::new();
                $(members.insert(kebab(stringify!($field)), call_codec!(write, &self.$field $(, $codec)?));)*
                Value::Object(members)
            }

            fn read(value: &Value) -> Result<Self, String> {
                let members = value.as_object().ok_or_else(|| format!("not a {}: {value}", stringify!($type)))?;
                let known = [$(kebab(stringify!($field))),*];
                if let Some(unknown) = members.keys().find(|name| !known.contains(name)) {
                    return Err(format!("{} has no {unknown}", stringify!($type)));
                }
                Ok(Self {
                    $($field: {
                        let name = kebab(stringify!($field));
                        let member = members.get(&name).unwrap_or(&Value::Null);
                        call_codec!(read, member $(, $codec)?).map_err(|problem| format!("{name}: {problem}"))?
                    },)*
                })
            }
        }
    )*};
}

macro_rules! variants {
    ($($type:ident { $($case:ident $(($codec:ident))?),* })*) => {$(
        impl Wit for $type {
            fn write(&self) -> Value {
                match self {
                    $(variants!(@pattern payload $case $($codec)?) => variants!(@write payload $case $($codec)?),)*
                }
            }

            fn read(value: &Value) -> Result<Self, String> {
                let (case, payload) = case_of(value)?;
                $(if case == kebab(stringify!($case)) {
                    return variants!(@read payload $case $($codec)?);
                })*
                Err(format!("{} has no case {case}", stringify!($type)))
            }
        }
    )*};
    (@pattern $payload:ident $case:ident) => { Self::$case };
    (@pattern $payload:ident $case:ident $codec:ident) => { Self::$case($payload) };
    (@write $payload:ident $case:ident) => { Value::String(kebab(stringify!($case))) };
    (@write $payload:ident $case:ident $codec:ident) => {
        Value::Object(Map::from_iter([(kebab(stringify!($case)), $codec::write($payload))]))
    };
    (@read $payload:ident $case:ident) => {
        if $payload.is_null() { Ok(Self::$case) } else { Err(format!("{case} has no payload", case = stringify!($case))) }
    };
    (@read $payload:ident $case:ident $codec:ident) => { $codec::read($payload).map(Self::$case) };
}

records! {
    Header { name, value }
    Webhook { method, url, headers, body: bytes, received_at }
    Response { status, headers, body: bytes }
    Request { method, url, headers, body: bytes, authorization }
    Jwt { algorithm, key, claims: json_text, lifetime_s }
    Entry { key, value: json_text, ttl_ms }
    Claim { key, ttl_ms }
    Failure { kind, code, message, retryable, owner }
    RouteUrl { name, url }
    Call { id, provider_call_id, direction, caller, callee, routes, attachment: optional_json_text }
    MediaAddress { url, base_url, token }
    StatusEvent { status, duration_ms, cause }
    Choice { value, label }
    Condition { field, equals: json_text }
    Field {
        name, label, kind, required, sensitive, server_managed, account_scoped, description, placeholder, options,
        visible_when, section
    }
    WireFormat { encoding, sample_rate_hz }
    MediaProfile { formats, frame_ms, subprotocol, echoes_marks }
    Route { name, purpose, method, path }
    ProviderSpec {
        name, display_name, version, docs_url, connectivity, requires_caller_id, fields, account_id_field, media, routes,
        egress_hosts, webhook_proof
    }
    FieldProblem { field, problem }
    InboundCall { provider_call_id, caller, callee, caller_country, callee_country, account_id }
    CallReference { provider_call_id, account_id }
    SealedKey { reference, encoding }
    HmacCheck { hash, key, message, expected: bytes }
    DigestCheck { hash, message, expected: bytes }
    Ed25519Check { public_key: bytes, message: bytes, signature: bytes }
    EqualsCheck { sealed, presented: bytes }
    OnceCheck { key, ttl_ms }
    Proof { label, checks }
    Rejection { code, message }
    CallbackOutcome { events, response }
    Answered { response, events }
    Started { provider_call_id, stream_id, receive_format, send_format, parameters }
    AudioFrame { payload: bytes, sequence, timestamp_ms }
    Outbound { caller_id, answer_url, media, ring_timeout_s, detect_machine, trunk }
    Placed { provider_call_id, attachment: optional_json_text }
    StatusReport { status, duration_ms }
    Cost { amount, currency, duration_s }
    TransferLeg {
        id, state, destination, caller_id, trunk, ring_timeout_s, announcement, provider_call_id, routes,
        attachment: optional_json_text
    }
    PublicUrls { dispatcher, routes, media }
    Saving { occasion, urls, unique }
    FieldValue { name, value: json_text }
    Facts { active_numbers, inbound_numbers, enabled_trunks, numbers_without_trunk }
    Step { key, title, description, complete, blocks_outbound }
    Detail { label, value }
    DetailGroup { title, description, details }
    Trunk { name, enabled, settings: json_text, external_id }
    AppliedTrunk { external_id, settings: json_text }
    EventSocket { url, authorization, subprotocol }
    KnownCall { provider_call_id, events }
    KnownTransfer { id, events }
}

variants! {
    Authorization { None, Basic(plain), Bearer(plain), Headers(plain), Jwt(plain) }
    JwtAlgorithm { Hs256, Rs256 }
    Effect { Http(plain), Load(plain), Save(plain), Claim(plain) }
    Reply { Http(plain), Unreachable(plain), Value(optional_json_text), Saved, Claimed(plain) }
    FailureKind { Configuration, Quota, Carrier, Request, Unsupported, Internal }
    FailureOwner { User, Operator }
    Interruption { Perform(plain), Failed(plain) }
    Direction { Inbound, Outbound }
    DetectionMode { HumanOrMachine, EndOfGreeting }
    CallStatus { Initiated, Ringing, InProgress, Completed, Failed, Busy, NoAnswer, Canceled }
    CallEvent { Status(plain), Identified(plain), Attach(json_text) }
    Connectivity { Api, Sip }
    FieldType { Text, Password, Textarea, StringArray, Number, Boolean, Select, Readonly }
    Encoding { Pcmu, Pcma, L16Le, L16Be }
    RoutePurpose { Answer, Callback, Transfer }
    TransferState { Dialing, Answered, Connected, Over }
    Occasion { Create, Update }
    Directive { InboundCall(plain), Answered(plain), Call(plain), Transfer(plain) }
    ProofPolicy { Required, NoWebhooks }
    Recognition { InboundCall(plain), Event(plain) }
    Hash { Sha1, Sha256, Sha512 }
    KeyEncoding { Utf8, Base64, Hex }
    Segment { Bytes(bytes), Sealed(plain) }
    Check { Hmac(plain), Digest(plain), Ed25519(plain), Equals(plain), Once(plain) }
    RejectionReason {
        UnknownNumber, NoAgent, AccountMismatch, Signature, ProviderMismatch, AtCapacity, Quota, Unavailable
    }
    Message { Text(plain), Binary(bytes) }
    MediaEvent { Started(plain), Audio(plain), Dtmf(plain), Mark(plain), Flow(plain), Stopped(plain), Malformed(plain) }
    MediaFrame { Audio(bytes), Clear, Mark(plain), Dtmf(plain), Stop }
    FrameProblem { Unsupported, NotStarted }
    HangUpOutcome { Ended, AlreadyEnded }
    AnsweredBy { Human, MachineStart, MachineEndBeep, MachineEndSilence, MachineEndOther, Fax, Unknown }
    Ownership { Owned, NotOwned, NotApplicable }
    Provisioning { Provisioned, Present, NotOffered }
    Synchronisation { Done, Unchanged, LeftAlone(plain) }
}

/// `"case"`, or `{"case": payload}`.
fn case_of(value: &Value) -> Result<(&str, &Value), String> {
    match value {
        Value::String(case) => Ok((case, &Value::Null)),
        Value::Object(members) if members.len() == 1 => members
            .iter()
            .next()
            .map(|(case, payload)| (case.as_str(), payload))
            .ok_or_else(String::new),
        _ => Err(format!("not one case: {value}")),
    }
}

/// `received_at` and `InProgress` as WIT spells them.
fn kebab(name: &str) -> String {
    let mut kebab = String::with_capacity(name.len() + 4);
    for (index, letter) in name.char_indices() {
        match letter {
            '_' => kebab.push('-'),
            letter if letter.is_ascii_uppercase() => {
                if index > 0 {
                    kebab.push('-');
                }
                kebab.push(letter.to_ascii_lowercase());
            }
            letter => kebab.push(letter),
        }
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        for (rust, wit) in [
            ("received_at", "received-at"),
            ("InProgress", "in-progress"),
            ("L16Le", "l16-le"),
            ("Ed25519", "ed25519"),
            ("lifetime_s", "lifetime-s"),
        ] {
            assert_eq!(kebab(rust), wit);
        }
    }

    #[test]
    fn values_survive_the_way_there_and_back() {
        let effect = json!({ "http": {
            "method": "POST", "url": "https://a", "headers": [{ "name": "a", "value": "b" }],
            "body": { "base64": "/w==" }, "authorization": { "basic": ["user", "sealed:x"] },
        } });
        assert_eq!(Effect::read(&effect).unwrap().write(), effect);
        let reply = json!({ "value": { "kept": [1, null] } });
        assert_eq!(Reply::read(&reply).unwrap().write(), reply);
        assert_eq!(Reply::read(&json!("saved")), Ok(Reply::Saved));
        assert!(Reply::read(&json!({ "saved": 1 })).is_err());
        assert!(Header::read(&json!({ "name": "a", "value": "b", "more": 1 })).is_err());
        assert!(u16::read(&json!(70000)).is_err());
    }
}
