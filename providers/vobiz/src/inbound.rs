//! Recognising Vobiz's webhooks and reading whose they are, before anything is verified.
//!
//! <https://docs.vobiz.ai/xml/request>

use strowger_sdk::{CallReference, Form, InboundCall, Recognition, Webhook, is_withheld};

use crate::signature;

pub(crate) fn recognise(webhook: &Webhook) -> Option<Recognition> {
    if !bears_marks(webhook) {
        return None;
    }
    let parameters = webhook.parameters();
    let call_uuid = parameters.get_filled("CallUUID")?;
    let account_id = parameters.get_filled("ParentAuthID").map(str::to_owned);
    if !announces_call(&parameters) {
        return Some(Recognition::Event(CallReference {
            provider_call_id: call_uuid.to_owned(),
            account_id,
        }));
    }
    let (caller, caller_country) = caller(parameters.get("From").unwrap_or_default());
    let (callee, callee_country) = number(parameters.get("To").unwrap_or_default());
    Some(Recognition::InboundCall(InboundCall {
        provider_call_id: call_uuid.to_owned(),
        caller,
        callee,
        caller_country,
        callee_country,
        account_id,
    }))
}

fn bears_marks(webhook: &Webhook) -> bool {
    signature::HEADERS.iter().any(|name| webhook.header(name).is_some())
        || webhook
            .header("user-agent")
            .is_some_and(|agent| agent.to_ascii_lowercase().contains("vobiz"))
}

/// Whether this asks what to do with a call, rather than telling what became of one.
fn announces_call(parameters: &Form) -> bool {
    let starts = matches!(parameters.get("Event"), None | Some("" | "StartApp"));
    let alive = matches!(parameters.get("CallStatus"), Some("ringing" | "in-progress"));
    parameters.get("Direction") == Some("inbound") && starts && alive
}

/// Words stand in place of a number that is withheld.
fn caller(from: &str) -> (String, Option<String>) {
    if is_withheld(from) {
        (String::new(), None)
    } else {
        number(from)
    }
}

/// Vobiz writes a number in any of three ways: with its country code, with a plus before it, or as it is dialled within
/// India, with or without the trunk zero. Only the last one is completed: a foreign number has no Indian country code.
fn number(written: &str) -> (String, Option<String>) {
    let national = match written.strip_prefix('0') {
        Some(rest) => rest,
        None => written,
    };
    // The National Numbering Plan has ten digits after the trunk zero, none of them leading with zero.
    let ten_digits = national.len() == 10 && national.bytes().all(|b| b.is_ascii_digit()) && !national.starts_with('0');
    if ten_digits {
        (format!("+91{national}"), Some("IN".to_owned()))
    } else {
        (written.to_owned(), None)
    }
}

#[cfg(test)]
mod tests {
    use strowger_sdk::testing::post_form;

    use super::*;

    fn post(header: (&str, &str), body: &str) -> Webhook {
        post_form(&[header], body)
    }

    const CALL: &str = "CallUUID=u1&From=917983165036&To=07971442086&Direction=inbound&CallStatus=ringing&Event=StartApp&ParentAuthID=MA_1";

    #[test]
    fn any_mark_will_do_and_none_will_not() {
        for header in [
            ("User-Agent", "Vobiz"),
            ("user-agent", "vobiz-callbacks/2"),
            ("X-Vobiz-Signature-V3", "x"),
            ("x-vobiz-signature-ma-v2", "x"),
        ] {
            let Some(Recognition::InboundCall(call)) = recognise(&post(header, CALL)) else {
                panic!("{header:?}")
            };
            assert_eq!(call.account_id.as_deref(), Some("MA_1"));
            assert_eq!(
                (call.caller.as_str(), call.callee.as_str()),
                ("917983165036", "+917971442086")
            );
        }
        for header in [
            ("x-plivo-signature-v3", "x"),
            ("user-agent", "Plivo"),
            ("x-twilio-signature", "x"),
        ] {
            assert_eq!(recognise(&post(header, CALL)), None, "{header:?}");
        }
        assert_eq!(recognise(&post(("user-agent", "Vobiz"), "From=1&To=2")), None);
    }

    #[test]
    fn what_tells_about_a_call_is_an_event() {
        for rest in [
            "Direction=inbound&CallStatus=completed&Event=Hangup",
            "Direction=outbound&CallStatus=ringing&Event=Ring",
            "Direction=inbound&CallStatus=in-progress&Event=Redirect",
            "",
        ] {
            let webhook = post(("user-agent", "Vobiz"), &format!("CallUUID=u1&{rest}"));
            assert!(matches!(recognise(&webhook), Some(Recognition::Event(_))), "{rest}");
        }
    }

    #[test]
    fn only_national_numbers_are_indian() {
        for (written, expected, country) in [
            ("02271264296", "+912271264296", Some("IN")),
            ("9123456789", "+919123456789", Some("IN")),
            ("917983165036", "917983165036", None),
            ("+917983165036", "+917983165036", None),
            ("+14155551234", "+14155551234", None),
            ("14155551234", "14155551234", None),
            ("sip:a@b.example", "sip:a@b.example", None),
            ("", "", None),
        ] {
            assert_eq!(
                number(written),
                (expected.to_owned(), country.map(str::to_owned)),
                "{written}"
            );
        }
        assert_eq!(caller("Anonymous"), (String::new(), None));
    }
}
