//! Binds webhooks to the call or the transfer that they are about.
//!
//! Telnyx does not sign the URL that it posts to, so a genuine webhook could be sent again to the route of another call.
//! But each command may attach a `client_state`, which comes back in every later webhook of that leg, inside what is
//! signed: ours says whose the leg is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::event::Event;

const CALL: &str = "call:";
const TRANSFER: &str = "transfer:";

pub(crate) fn of_call(id: &str) -> String {
    STANDARD.encode(format!("{CALL}{id}"))
}

pub(crate) fn of_transfer(id: &str) -> String {
    STANDARD.encode(format!("{TRANSFER}{id}"))
}

/// Whether the event is about the leg with this `state`. One without a state of ours came before our first command, or
/// after somebody else's: it is about the leg whose identifier it names, and no other.
pub(crate) fn is_about(event: &Event, state: &str, provider_call_id: Option<&str>) -> bool {
    let payload = &event.payload;
    let known = provider_call_id.map(|id| id == payload.call_control_id);
    match payload.client_state.as_deref() {
        Some(attached) if attached == state => known != Some(false),
        Some(attached) if is_ours(attached) => false,
        _ => known == Some(true),
    }
}

fn is_ours(attached: &str) -> bool {
    let decoded = STANDARD.decode(attached).unwrap_or_default();
    decoded.starts_with(CALL.as_bytes()) || decoded.starts_with(TRANSFER.as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(call_control_id: &str, client_state: Option<&str>) -> Event {
        serde_json::from_value(json!({ "record_type": "event", "event_type": "call.answered",
            "payload": { "call_control_id": call_control_id, "client_state": client_state } }))
        .unwrap()
    }

    #[test]
    fn an_event_belongs_to_one_leg() {
        let (call, transfer) = (of_call("7"), of_transfer("7"));
        assert!(is_about(&event("v3:a", Some(&call)), &call, Some("v3:a")));
        assert!(is_about(&event("v3:a", Some(&call)), &call, None));
        assert!(is_about(&event("v3:a", None), &call, Some("v3:a")));
        assert!(is_about(&event("v3:a", Some("aGVsbG8=")), &call, Some("v3:a")));

        assert!(!is_about(&event("v3:b", Some(&call)), &call, Some("v3:a")));
        assert!(!is_about(&event("v3:a", Some(&of_call("8"))), &call, Some("v3:a")));
        assert!(!is_about(&event("v3:a", Some(&call)), &transfer, None));
        assert!(!is_about(&event("v3:b", None), &call, Some("v3:a")));
        assert!(!is_about(&event("v3:a", None), &transfer, None));
    }
}
