//! Recognising Plivo's webhooks and reading whose they are, before anything is verified.
//!
//! <https://docs.plivo.com/docs/voice/xml/request>

use strowger_sdk::{CallReference, Form, InboundCall, Recognition, Webhook, is_withheld};

use crate::signature::{MAIN_SIGNATURE, SIGNATURE};

pub(crate) fn recognise(webhook: &Webhook) -> Option<Recognition> {
    if !bears_marks(webhook) {
        return None;
    }
    let parameters = webhook.parameters();
    let call_uuid = parameters.get_filled("CallUUID")?;
    let account_id = ["AuthID", "ParentAuthID"]
        .into_iter()
        .find_map(|name| parameters.get_filled(name))
        .map(str::to_owned);
    if !announces_call(&parameters) {
        return Some(Recognition::Event(CallReference {
            provider_call_id: call_uuid.to_owned(),
            account_id,
        }));
    }
    Some(Recognition::InboundCall(InboundCall {
        provider_call_id: call_uuid.to_owned(),
        caller: parameters
            .get("From")
            .filter(|from| !is_withheld(from))
            .unwrap_or_default()
            .to_owned(),
        callee: parameters.get("To").unwrap_or_default().to_owned(),
        // Plivo writes numbers with their country code.
        caller_country: None,
        callee_country: None,
        account_id,
    }))
}

/// Plivo signs every webhook. Carriers that imitate it sign under headers of their own names.
fn bears_marks(webhook: &Webhook) -> bool {
    [SIGNATURE, MAIN_SIGNATURE]
        .iter()
        .any(|name| webhook.header(name).is_some())
}

/// Whether this asks what to do with a call, rather than telling what became of one.
fn announces_call(parameters: &Form) -> bool {
    let starts = matches!(parameters.get("Event"), None | Some("" | "StartApp"));
    let alive = matches!(parameters.get("CallStatus"), Some("ringing" | "in-progress"));
    parameters.get("Direction") == Some("inbound") && starts && alive
}

#[cfg(test)]
mod tests {
    use strowger_sdk::testing::post_form;

    use super::*;

    fn post(header: &str, body: &str) -> Webhook {
        post_form(&[(header, "AAAA")], body)
    }

    const CALL: &str =
        "CallUUID=u1&From=14155550100&To=14155550199&Direction=inbound&CallStatus=ringing&Event=StartApp";

    #[test]
    fn an_inbound_call_is_read() {
        let webhook = post("X-Plivo-Signature-V3", &format!("{CALL}&ParentAuthID=MA1"));
        let Some(Recognition::InboundCall(call)) = recognise(&webhook) else {
            panic!("not recognised")
        };
        assert_eq!(
            (call.provider_call_id.as_str(), call.account_id.as_deref()),
            ("u1", Some("MA1"))
        );
        assert_eq!(
            (call.caller.as_str(), call.callee.as_str()),
            ("14155550100", "14155550199")
        );
    }

    #[test]
    fn the_account_itself_comes_before_its_parent() {
        let webhook = post(
            "x-plivo-signature-ma-v3",
            &format!("{CALL}&ParentAuthID=MA1&AuthID=SA1"),
        );
        let Some(Recognition::InboundCall(call)) = recognise(&webhook) else {
            panic!("not recognised")
        };
        assert_eq!(call.account_id.as_deref(), Some("SA1"));
    }

    #[test]
    fn without_a_mark_or_a_call_it_is_not_ours() {
        for webhook in [
            post("x-plivo-signature-v2", CALL),
            post("x-vobiz-signature-v3", CALL),
            post("x-twilio-signature", CALL),
            post(
                "x-plivo-signature-v3",
                "From=1&To=2&Direction=inbound&CallStatus=ringing",
            ),
            post("x-plivo-signature-v3", "CallUUID="),
        ] {
            assert_eq!(recognise(&webhook), None, "{webhook:?}");
        }
        let mut json = post("x-plivo-signature-v3", "{}");
        json.headers.truncate(1);
        assert_eq!(recognise(&json), None);
    }

    #[test]
    fn what_tells_about_a_call_is_an_event() {
        for rest in [
            "Direction=inbound&CallStatus=completed&Event=Hangup",
            "Direction=outbound&CallStatus=in-progress&Event=StartApp",
            "Direction=inbound&CallStatus=in-progress&Event=StartStream",
            "Direction=inbound&CallStatus=in-progress&Event=Redirect",
            "Direction=inbound",
            "",
        ] {
            let webhook = post("x-plivo-signature-v3", &format!("CallUUID=u1&{rest}"));
            assert!(matches!(recognise(&webhook), Some(Recognition::Event(_))), "{rest}");
        }
    }

    #[test]
    fn a_get_webhook_has_its_parameters_in_the_url() {
        let mut webhook = post("x-plivo-signature-v3", "CallUUID=body");
        webhook.method = "GET".to_owned();
        webhook.url = format!("https://gateway.example/inbound/run?{CALL}");
        assert!(matches!(recognise(&webhook), Some(Recognition::InboundCall(call)) if call.provider_call_id == "u1"));
    }

    #[test]
    fn a_withheld_number_is_empty() {
        for (from, expected) in [
            ("Anonymous", ""),
            ("", ""),
            ("14155550100", "14155550100"),
            ("sip%3Aa@b", "sip:a@b"),
        ] {
            let body = format!("CallUUID=u1&From={from}&To=1&Direction=inbound&CallStatus=ringing");
            let Some(Recognition::InboundCall(call)) = recognise(&post("x-plivo-signature-v3", &body)) else {
                panic!("not recognised")
            };
            assert_eq!(call.caller, expected);
        }
    }
}
