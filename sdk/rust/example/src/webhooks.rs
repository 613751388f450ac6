//! What Example Telecom posts: whose it is, whether it is genuine, what it says.

use std::time::Duration;

use serde_json::{Map, Value};
use strowger_sdk::{
    Call, CallEvent, CallReference, CallStatus, CallbackOutcome, Check, Hash, HmacCheck, InboundCall, Proof,
    Recognition, Rejection, Response, Segment, StatusEvent, Webhook,
};

use crate::Config;

const SIGNATURE: &str = "x-example-signature";
const TIMESTAMP: &str = "x-example-timestamp";
/// How old a webhook may be, or how far ahead the carrier's clock.
const AGE_MAX_MS: u64 = 300_000;
/// A signature is claimed for longer than its webhook may be believed.
const CLAIMED_FOR: Duration = Duration::from_secs(600);

/// The JSON object that a webhook or an answer of the API carries.
pub(crate) struct Body(Map<String, Value>);

impl Body {
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().map(Self)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A member that is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// A member that is an object itself.
    pub(crate) fn object(&self, name: &str) -> Option<Self> {
        self.get(name)?.as_object().cloned().map(Self)
    }

    /// A member that is a whole number of 32 bits: the carrier's durations are.
    pub(crate) fn whole(&self, name: &str) -> Option<u32> {
        self.get(name)?.as_u64()?.try_into().ok()
    }
}

/// A webhook is ours when it is signed in our way and its body names an account and a call.
pub(crate) fn recognise(webhook: &Webhook) -> Option<Recognition> {
    webhook.header(SIGNATURE)?;
    let body = Body::read(&webhook.body)?;
    let text = |name| body.text(name).map(str::to_owned);
    let (event, provider_call_id, account_id) = (body.text("event")?, text("call")?, Some(text("account")?));
    if event == "call.incoming" {
        return Some(Recognition::InboundCall(InboundCall {
            provider_call_id,
            caller: text("from")?,
            callee: text("to")?,
            caller_country: text("from_country"),
            callee_country: text("to_country"),
            account_id,
        }));
    }
    event.starts_with("call.").then_some(Recognition::Event(CallReference {
        provider_call_id,
        account_id,
    }))
}

/// The carrier signs the time, the URL and the body. What can be told without the secret is told here; the runtime
/// computes the rest.
pub(crate) fn proofs(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
    let (Some(timestamp), Some(signature)) = (webhook.header(TIMESTAMP), webhook.header(SIGNATURE)) else {
        return Err(Rejection::new("signature-missing", "The webhook has no signature."));
    };
    if !is_recent(timestamp, webhook.received_at) {
        return Err(Rejection::new(
            "timestamp-expired",
            "The webhook is older than five minutes, or from the future.",
        ));
    }
    let expected = hex::decode(signature)
        .ok()
        .filter(|bytes| bytes.len() == 32)
        .ok_or_else(|| Rejection::new("signature-malformed", "The signature is not 64 hexadecimal digits."))?;
    let signed = Check::Hmac(HmacCheck {
        hash: Hash::Sha256,
        key: config.signing_secret.key(),
        message: vec![
            Segment::Bytes(format!("{timestamp}.{}.", webhook.url).into_bytes()),
            Segment::Bytes(webhook.body.clone()),
        ],
        expected,
    });
    Ok(vec![
        Proof::new("hmac")
            .check(signed)
            .once(signature.to_ascii_lowercase(), CLAIMED_FOR),
    ])
}

/// `timestamp` is in seconds, `now_ms` in milliseconds, both of Unix time. Twelve digits last for 30 000 years.
fn is_recent(timestamp: &str, now_ms: u64) -> bool {
    let digits = (1..=12).contains(&timestamp.len()) && timestamp.bytes().all(|b| b.is_ascii_digit());
    digits
        && timestamp
            .parse::<u64>()
            .is_ok_and(|seconds| now_ms.abs_diff(seconds * 1000) <= AGE_MAX_MS)
}

/// What a webhook tells about a call. One that cannot be read is answered so that the carrier notices.
pub(crate) fn read_status(webhook: &Webhook) -> CallbackOutcome {
    let Some(body) = Body::read(&webhook.body) else {
        return CallbackOutcome {
            events: vec![],
            response: Response::empty(400),
        };
    };
    let event = body.text("status").and_then(call_status).map(|status| {
        StatusEvent::new(status)
            .lasted_ms(body.whole("duration_s").map(|seconds| u64::from(seconds) * 1000))
            .because(body.text("cause").map(str::to_owned))
            .into()
    });
    CallbackOutcome {
        events: event.into_iter().collect(),
        response: Response::empty(204),
    }
}

/// The carrier's identifier of an outbound call becomes known for good when it is answered.
pub(crate) fn identify(call: &Call, webhook: &Webhook) -> Option<CallEvent> {
    let body = Body::read(&webhook.body)?;
    let id = body.text("call").filter(|id| !id.is_empty())?;
    (call.provider_call_id.as_deref() != Some(id)).then(|| CallEvent::Identified(id.to_owned()))
}

/// The carrier's words for what a call is doing.
pub(crate) fn call_status(word: &str) -> Option<CallStatus> {
    Some(match word {
        "queued" => CallStatus::Initiated,
        "ringing" => CallStatus::Ringing,
        "in-progress" => CallStatus::InProgress,
        "completed" => CallStatus::Completed,
        "busy" => CallStatus::Busy,
        "no-answer" => CallStatus::NoAnswer,
        "failed" => CallStatus::Failed,
        "canceled" => CallStatus::Canceled,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_minutes_are_recent_in_both_directions() {
        for (timestamp, recent) in [
            ("1000", true),
            ("1300", true),
            ("700", true),
            ("1301", false),
            ("699", false),
            ("", false),
            ("+1000", false),
            ("1e3", false),
            ("0000000001000", false),
        ] {
            assert_eq!(is_recent(timestamp, 1_000_000), recent, "{timestamp}");
        }
    }
}
