//! Recognising Cloudonix's webhooks and reading whose they are, before anything is verified.
//!
//! Three kinds come: requests of the voice application, updates of a session, and call detail records. Cloudonix is asked
//! before Twilio, whose parameters it imitates, so a webhook is only taken when it names a domain where Twilio names an
//! account.

use strowger_sdk::{CallReference, InboundCall, Recognition, Webhook, country_code, is_withheld};

use crate::fields::{Fields, member};
use crate::spec::{is_domain, normalise_domain};

/// The contract's bound on a call's identifier, in characters.
const IDENTIFIER_CHARS_MAX: usize = 255;

const MARKS: [&str; 4] = ["x-cx-apikey", "x-cx-domain", "x-cx-session", "x-cx-source"];

pub(crate) fn recognise(webhook: &Webhook) -> Option<Recognition> {
    let fields = Fields::read(webhook)?;
    let provider_call_id = token(&fields, webhook)
        .filter(|token| token.chars().count() <= IDENTIFIER_CHARS_MAX)?
        .to_owned();
    let account_id = Some(domain(&fields, webhook)?);
    if is_voice_request(&fields) {
        if !bears_marks(&fields, webhook) {
            return None;
        }
        if announces_call(&fields) {
            return Some(Recognition::InboundCall(InboundCall {
                provider_call_id,
                caller: fields
                    .text("From")
                    .filter(|from| !is_withheld(from))
                    .unwrap_or_default()
                    .to_owned(),
                callee: fields.text("To").unwrap_or_default().to_owned(),
                caller_country: fields.text("FromCountry").and_then(country_code),
                callee_country: fields.text("ToCountry").and_then(country_code),
                account_id,
            }));
        }
    } else if !is_report(&fields) {
        return None;
    }
    Some(Recognition::Event(CallReference {
        provider_call_id,
        account_id,
    }))
}

/// The session that a webhook is about. Never `CallSid`, which may be the Call-ID of the SIP dialogue instead.
pub(crate) fn token<'a>(fields: &'a Fields, webhook: &'a Webhook) -> Option<&'a str> {
    let nested = |object| member(fields.object(object)?, "token");
    fields
        .text("Session")
        .or_else(|| nested("SessionData"))
        .or_else(|| nested("session"))
        .or_else(|| fields.text_of(&["token", "session_id"]))
        .or_else(|| webhook.header("x-cx-session").filter(|token| !token.is_empty()))
}

/// The domain that a webhook names, in the form in which it is compared.
pub(crate) fn domain(fields: &Fields, webhook: &Webhook) -> Option<String> {
    let named = fields
        .text_of(&["Domain", "AccountSid", "domain", "domainNameOrId"])
        .or_else(|| member(fields.object("domain")?, "domain"))
        .or_else(|| webhook.header("x-cx-domain"))?;
    // Without a dot it is a number, or the account of another carrier, and must not become a domain by normalisation.
    let domain = named.contains('.').then(|| normalise_domain(named))?;
    is_domain(&domain).then_some(domain)
}

/// What the runtime of voice applications asks, in words with capitals; updates and records are in lower case.
fn is_voice_request(fields: &Fields) -> bool {
    fields.has("CallSid") || fields.has("Session") || fields.has("SessionData")
}

/// A session update or a call detail record.
fn is_report(fields: &Fields) -> bool {
    let record = fields.object("session").is_some() && fields.has("disposition");
    record || (fields.text_of(&["token", "session_id"]).is_some() && fields.text("status").is_some())
}

fn bears_marks(fields: &Fields, webhook: &Webhook) -> bool {
    MARKS.iter().any(|name| webhook.header(name).is_some())
        || (fields.has("SessionData") && fields.has("Domain"))
        || webhook
            .header("user-agent")
            .is_some_and(|agent| agent.to_ascii_lowercase().contains("cloudonix"))
        || fields
            .text_of(&["Domain", "AccountSid"])
            .is_some_and(|domain| normalise_domain(domain).ends_with(".cloudonix.net"))
}

/// Whether this asks what to do with a new call, rather than telling what became of one. A call of a registered
/// subscriber comes in as well as one from a trunk.
fn announces_call(fields: &Fields) -> bool {
    let direction = fields.text("Direction").unwrap_or("inbound").to_ascii_lowercase();
    let alive = match fields.text("CallStatus") {
        None => true,
        Some(status) => matches!(status, "unknown" | "queued" | "ringing" | "in-progress"),
    };
    let asks = ["StatusCallbackEvent", "StreamEvent", "DialCallStatus", "Digits"]
        .iter()
        .all(|name| !fields.has(name));
    matches!(direction.as_str(), "inbound" | "subscriber") && alive && asks
}
