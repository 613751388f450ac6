//! Recognising Vonage's webhooks and reading whose they are, before anything is verified.

use strowger_sdk::{CallReference, InboundCall, Recognition, Webhook, is_e164, is_withheld};

use crate::payload::Payload;
use crate::token::{self, Claims};

/// What only events have. The webhook that asks what to do with a new call has `from`, `to`, `uuid`,
/// `conversation_uuid`, `endpoint_type` and `region_url`, and no status.
/// <https://developer.vonage.com/en/voice/voice-api/webhook-reference#answer-webhook>
const EVENT_MEMBERS: [&str; 9] = [
    "status",
    "timestamp",
    "reason",
    "dtmf",
    "speech",
    "payload",
    "recording_url",
    "call_uuid",
    "conversation_uuid_to",
];

pub(crate) fn recognise(webhook: &Webhook) -> Option<Recognition> {
    let claims = token::presented(webhook)
        .and_then(token::read)
        .map(|token| token.claims);
    let payload = Payload::of(webhook);
    if !claims.as_ref().is_some_and(is_vonages) && !looks_like_vonages(&payload) {
        return None;
    }
    let account_id = claims
        .and_then(|claims| claims.api_key)
        .or_else(|| payload.text("account_id").map(str::to_owned));
    let inbound = payload.text("direction").is_none_or(|direction| direction == "inbound");
    if inbound
        && !EVENT_MEMBERS.iter().any(|name| payload.has(name))
        && let (Some(uuid), Some(to)) = (payload.text("uuid"), payload.text("to"))
    {
        return Some(Recognition::InboundCall(InboundCall {
            provider_call_id: uuid.to_owned(),
            caller: caller(payload.text("from").unwrap_or_default()),
            callee: e164(to),
            caller_country: None,
            callee_country: None,
            account_id,
        }));
    }
    // Errors and recordings name the conversation only, which is no call of ours.
    let reference = payload.leg().or_else(|| payload.text("conversation_uuid"))?;
    Some(Recognition::Event(CallReference {
        provider_call_id: reference.to_owned(),
        account_id,
    }))
}

fn is_vonages(claims: &Claims) -> bool {
    claims.iss.as_deref() == Some("Vonage") && (claims.api_key.is_some() || claims.application_id.is_some())
}

/// A webhook that is not signed is still Vonage's: it is refused in Vonage's own form.
fn looks_like_vonages(payload: &Payload) -> bool {
    let conversation = payload.text("conversation_uuid");
    conversation.is_some_and(|id| id.starts_with("CON-"))
        && ["uuid", "from", "to"].iter().all(|name| payload.text(name).is_some())
}

/// Vonage writes numbers in international form without the plus sign, and a word in place of a number that is withheld.
fn caller(from: &str) -> String {
    if is_withheld(from) { String::new() } else { e164(from) }
}

fn e164(number: &str) -> String {
    let international = format!("+{number}");
    if is_e164(&international) && !number.starts_with('0') {
        international
    } else {
        number.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};
    use strowger_sdk::testing::webhook;

    use super::*;

    fn token(claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("Bearer {}.{}.AAAA", part(&json!({ "alg": "HS256" })), part(claims))
    }

    fn post(claims: Option<&Value>, body: &Value) -> Webhook {
        let authorization = claims.map(token);
        let headers: Vec<(&str, &str)> = authorization
            .iter()
            .map(|token| ("Authorization", token.as_str()))
            .collect();
        webhook("POST", "https://gateway.example/", &headers, body.to_string())
    }

    fn claims() -> Value {
        json!({ "iss": "Vonage", "api_key": "a1b2c3d4" })
    }

    fn answer() -> Value {
        json!({
            "from": "447700900000", "to": "442079460000", "uuid": "aaaaaaaabbbbccccdddd0123456789ab",
            "conversation_uuid": "CON-aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "endpoint_type": "phone",
            "region_url": "https://api-eu-3.vonage.com",
        })
    }

    fn event(webhook: &Webhook) -> CallReference {
        match recognise(webhook) {
            Some(Recognition::Event(reference)) => reference,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_call_is_read() {
        let expected = InboundCall {
            provider_call_id: "aaaaaaaabbbbccccdddd0123456789ab".to_owned(),
            caller: "+447700900000".to_owned(),
            callee: "+442079460000".to_owned(),
            caller_country: None,
            callee_country: None,
            account_id: Some("a1b2c3d4".to_owned()),
        };
        let expected = Some(Recognition::InboundCall(expected));
        assert_eq!(recognise(&post(Some(&claims()), &answer())), expected);
        let mut get = post(Some(&claims()), &json!({}));
        get.method = "GET".to_owned();
        get.url += "?to=442079460000&from=447700900000&conversation_uuid=CON-1&uuid=aaaaaaaabbbbccccdddd0123456789ab";
        assert_eq!(recognise(&get), expected);
    }

    #[test]
    fn a_call_without_a_signature_is_still_vonages() {
        let mut body = answer();
        body["account_id"] = json!("a1b2c3d4");
        let Some(Recognition::InboundCall(call)) = recognise(&post(None, &body)) else {
            panic!("not recognised")
        };
        assert_eq!(call.account_id.as_deref(), Some("a1b2c3d4"));
        body["conversation_uuid"] = json!("aaaaaaaa");
        assert_eq!(recognise(&post(None, &body)), None);
    }

    #[test]
    fn what_tells_about_a_call_is_an_event() {
        for (name, value) in [
            ("status", json!("started")),
            ("timestamp", json!("2020-01-01T12:00:00.000Z")),
            ("dtmf", json!({ "digits": "1" })),
            ("reason", json!("Connection closed.")),
            ("direction", json!("outbound")),
        ] {
            let mut body = answer();
            body[name] = value;
            let reference = event(&post(Some(&claims()), &body));
            assert_eq!(reference.provider_call_id, "aaaaaaaabbbbccccdddd0123456789ab", "{name}");
            assert_eq!(reference.account_id.as_deref(), Some("a1b2c3d4"));
        }
        let machine = json!({ "call_uuid": "63f61863", "status": "machine", "conversation_uuid": "CON-1" });
        assert_eq!(event(&post(Some(&claims()), &machine)).provider_call_id, "63f61863");
        let error = json!({ "reason": "Syntax error in NCCO.", "conversation_uuid": "CON-1" });
        assert_eq!(event(&post(Some(&claims()), &error)).provider_call_id, "CON-1");
    }

    #[test]
    fn others_are_not_ours() {
        for claims in [
            json!({ "iss": "Someone", "api_key": "a1b2c3d4" }),
            json!({ "iss": "Vonage" }),
            json!({ "sub": "user" }),
        ] {
            let mut body = answer();
            body["conversation_uuid"] = Value::Null;
            assert_eq!(recognise(&post(Some(&claims), &body)), None, "{claims}");
        }
        assert_eq!(recognise(&post(Some(&claims()), &json!({}))), None);
        assert_eq!(recognise(&post(Some(&claims()), &json!([answer()]))), None);
        let telnyx = json!({ "data": { "payload": { "from": "1", "to": "2", "uuid": "3" } } });
        assert_eq!(recognise(&post(None, &telnyx)), None);
    }

    #[test]
    fn numbers_are_international_or_left_as_they_are() {
        for (from, expected) in [
            ("447700900000", "+447700900000"),
            ("Private", ""),
            ("UNKNOWN", ""),
            ("", ""),
            ("1234567", "1234567"),
            ("02079460000", "02079460000"),
            ("sip:a@b.example", "sip:a@b.example"),
            ("+447700900000", "+447700900000"),
        ] {
            assert_eq!(caller(from), expected);
        }
    }
}
