//! Telnyx's webhooks: recognising them and reading what they say, before anything is verified.
//!
//! <https://developers.telnyx.com/docs/voice/programmable-voice/voice-api-webhooks>

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use strowger_sdk::{CallReference, InboundCall, Recognition, Webhook, is_withheld};

/// One event, in version 2 of the format.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    #[serde(default, deserialize_with = "lenient")]
    record_type: Option<String>,
    event_type: String,
    /// RFC 3339.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) occurred_at: Option<String>,
    pub(crate) payload: Payload,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Payload {
    /// The call's identifier, and what commands are addressed to.
    pub(crate) call_control_id: String,
    #[serde(default, deserialize_with = "lenient")]
    connection_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    from: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    to: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    direction: Option<String>,
    /// What one of our commands attached, in base64.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) client_state: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) hangup_cause: Option<String>,
    /// A SIP response code (RFC 3261 §21), or `unspecified`.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) sip_hangup_cause: Option<String>,
    /// RFC 3339; not documented, and sent with hang-ups all the same.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) end_time: Option<String>,
}

impl Event {
    /// None for what is not a Voice API event about a call.
    pub(crate) fn read(webhook: &Webhook) -> Option<Self> {
        #[derive(Deserialize)]
        struct Envelope {
            data: Event,
        }
        if webhook.method != "POST" {
            return None;
        }
        let Envelope { data: event } = webhook.json().ok()?;
        let ours = ["call.", "streaming.", "conference."];
        let known = event.record_type.as_deref() == Some("event")
            && !event.payload.call_control_id.is_empty()
            && ours.iter().any(|prefix| event.kind().starts_with(prefix));
        known.then_some(event)
    }

    /// The type, with dots: Telnyx writes `streaming_started` as well as `streaming.started`.
    pub(crate) fn kind(&self) -> String {
        self.event_type.replace('_', ".")
    }
}

pub(crate) fn recognise(webhook: &Webhook) -> Option<Recognition> {
    let event = Event::read(webhook)?;
    let new = event.kind() == "call.initiated" && event.payload.direction.as_deref() == Some("incoming");
    let Payload {
        call_control_id: provider_call_id,
        connection_id: account_id,
        from,
        to,
        ..
    } = event.payload;
    if !new {
        return Some(Recognition::Event(CallReference {
            provider_call_id,
            account_id,
        }));
    }
    Some(Recognition::InboundCall(InboundCall {
        provider_call_id,
        caller: from.filter(|from| !is_withheld(user(from))).unwrap_or_default(),
        callee: to?,
        // Numbers are E.164, so there is nothing to hint at.
        caller_country: None,
        callee_country: None,
        account_id: Some(account_id?),
    }))
}

/// Of a SIP address the part that names somebody; a number is that itself.
fn user(from: &str) -> &str {
    from.trim_start_matches("sip:").split('@').next().unwrap_or_default()
}

/// Text, or a number in its place; anything else counts as absent, so that one odd member does not hide a hang-up.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strowger_sdk::testing::post_json;

    use super::*;

    fn event(event_type: &str, direction: &str, from: &str) -> Value {
        json!({ "data": { "record_type": "event", "event_type": event_type, "id": "e1", "payload": {
            "call_control_id": "v3:abc", "connection_id": "77", "from": from, "to": "+14155550199",
            "direction": direction, "state": "parked", "client_state": null,
        } }, "meta": { "attempt": 1 } })
    }

    #[test]
    fn an_inbound_call_is_read() {
        for event_type in ["call.initiated", "call_initiated"] {
            let webhook = post_json(&event(event_type, "incoming", "+14155550100"));
            let Some(Recognition::InboundCall(call)) = recognise(&webhook) else {
                panic!("not recognised")
            };
            assert_eq!(
                (call.provider_call_id.as_str(), call.account_id.as_deref()),
                ("v3:abc", Some("77"))
            );
            assert_eq!(
                (call.caller.as_str(), call.callee.as_str()),
                ("+14155550100", "+14155550199")
            );
        }
    }

    #[test]
    fn what_tells_about_a_call_is_an_event() {
        let expected = Some(Recognition::Event(CallReference {
            provider_call_id: "v3:abc".to_owned(),
            account_id: Some("77".to_owned()),
        }));
        for (event_type, direction) in [
            ("call.hangup", "incoming"),
            ("call.answered", "incoming"),
            ("call.initiated", "outgoing"),
            ("call.initiated", ""),
            ("streaming_started", "incoming"),
            ("conference.participant.joined", ""),
        ] {
            let webhook = post_json(&event(event_type, direction, "+14155550100"));
            assert_eq!(recognise(&webhook), expected, "{event_type} {direction}");
        }
    }

    #[test]
    fn other_services_other_formats_and_fragments_are_not_ours() {
        let good = event("call.initiated", "incoming", "+14155550100");
        let without = |pointer: &str, member: &str| {
            let mut body = good.clone();
            let object = body.pointer_mut(pointer).and_then(Value::as_object_mut).unwrap();
            object.remove(member);
            body
        };
        let version_1 =
            json!({ "record_type": "event", "event_type": "call_initiated", "payload": good["data"]["payload"] });
        let mut message = good.clone();
        message["data"]["event_type"] = json!("message.received");
        for body in [
            without("/data", "record_type"),
            without("/data", "event_type"),
            without("/data", "payload"),
            without("/data/payload", "call_control_id"),
            without("/data/payload", "connection_id"),
            without("/data/payload", "to"),
            version_1,
            message,
            json!([]),
            json!(null),
        ] {
            assert_eq!(recognise(&post_json(&body)), None, "{body}");
        }
        let get = Webhook {
            method: "GET".to_owned(),
            ..post_json(&good)
        };
        assert_eq!(recognise(&get), None);
    }

    #[test]
    fn a_withheld_number_is_empty() {
        for (from, expected) in [
            ("Anonymous", ""),
            ("sip:anonymous@anonymous.invalid", ""),
            ("", ""),
            ("sip:desk@pbx.example", "sip:desk@pbx.example"),
        ] {
            let Some(Recognition::InboundCall(call)) =
                recognise(&post_json(&event("call.initiated", "incoming", from)))
            else {
                panic!("not recognised")
            };
            assert_eq!(call.caller, expected);
        }
    }

    #[test]
    fn odd_members_do_not_hide_an_event() {
        let body = json!({ "data": { "record_type": "event", "event_type": "call.hangup", "occurred_at": 7,
            "payload": { "call_control_id": "v3:abc", "connection_id": 77, "sip_hangup_cause": 486, "from": [] } } });
        let event = Event::read(&post_json(&body)).unwrap();
        assert_eq!(event.payload.connection_id.as_deref(), Some("77"));
        assert_eq!(event.payload.sip_hangup_cause.as_deref(), Some("486"));
    }
}
