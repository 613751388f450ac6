//! Recognising Twilio's webhooks and reading whose they are, before anything is verified.

use strowger_sdk::{CallReference, Form, InboundCall, Recognition, Webhook, country_code, is_withheld};

use crate::spec::is_account_sid;

pub(crate) fn recognise(webhook: &Webhook) -> Option<Recognition> {
    let parameters = webhook.parameters();
    let account_sid = parameters.get("AccountSid").filter(|sid| is_account_sid(sid))?;
    let call_sid = parameters.get_filled("CallSid")?;
    if !bears_marks(webhook) && parameters.get("ApiVersion").is_none() {
        return None;
    }
    if !announces_call(&parameters) {
        return Some(Recognition::Event(CallReference {
            provider_call_id: call_sid.to_owned(),
            account_id: Some(account_sid.to_owned()),
        }));
    }
    Some(Recognition::InboundCall(InboundCall {
        provider_call_id: call_sid.to_owned(),
        caller: caller(parameters.get("From").unwrap_or_default()).to_owned(),
        callee: parameters.get("To").unwrap_or_default().to_owned(),
        caller_country: country(&parameters, ["FromCountry", "CallerCountry"]),
        callee_country: country(&parameters, ["ToCountry", "CalledCountry"]),
        account_id: Some(account_sid.to_owned()),
    }))
}

fn bears_marks(webhook: &Webhook) -> bool {
    let named = ["x-twilio-signature", "i-twilio-idempotency-token", "x-home-region"];
    named.iter().any(|name| webhook.header(name).is_some())
        || webhook
            .header("user-agent")
            .is_some_and(|agent| agent.to_ascii_lowercase().contains("twilioproxy"))
}

/// Whether this asks what to do with a call, rather than telling what became of one.
fn announces_call(parameters: &Form) -> bool {
    let asks = parameters.get("CallbackSource").is_none() && parameters.get("StreamEvent").is_none();
    let alive = matches!(parameters.get("CallStatus"), Some("queued" | "ringing" | "in-progress"));
    parameters.get("Direction") == Some("inbound") && asks && alive
}

/// Twilio puts words, or the digits that spell them on a keypad, in place of a number that is withheld.
fn caller(from: &str) -> &str {
    let digits = ["+266696687", "+7378742833", "+2562533", "+86282452253", "+8656696"];
    let withheld = is_withheld(from) || digits.contains(&from);
    if withheld { "" } else { from }
}

fn country(parameters: &Form, names: [&str; 2]) -> Option<String> {
    country_code(names.into_iter().find_map(|name| parameters.get_filled(name))?)
}

#[cfg(test)]
mod tests {
    use strowger_sdk::testing::post_form;

    use super::*;

    const SID: &str = "AC0123456789abcdef0123456789abcdef";

    fn call_body(more: &str) -> String {
        format!(
            "CallSid=CA1&AccountSid={SID}&From=%2B14155550100&To=%2B14155550199&Direction=inbound&CallStatus=ringing{more}"
        )
    }

    #[test]
    fn an_inbound_call_is_read() {
        let webhook = post_form(
            &[("User-Agent", "TwilioProxy/1.1")],
            &call_body("&CallerCountry=us&ToCountry=GB"),
        );
        let Some(Recognition::InboundCall(call)) = recognise(&webhook) else {
            panic!("not recognised")
        };
        assert_eq!(
            (call.provider_call_id.as_str(), call.account_id.as_deref()),
            ("CA1", Some(SID))
        );
        assert_eq!(
            (call.caller.as_str(), call.callee.as_str()),
            ("+14155550100", "+14155550199")
        );
        assert_eq!(
            (call.caller_country.as_deref(), call.callee_country.as_deref()),
            (Some("US"), Some("GB"))
        );
    }

    #[test]
    fn any_mark_will_do_and_none_will_not() {
        for headers in [
            [("X-Twilio-Signature", "x")],
            [("I-Twilio-Idempotency-Token", "x")],
            [("X-Home-Region", "us1")],
        ] {
            assert!(recognise(&post_form(&headers, &call_body(""))).is_some());
        }
        assert!(recognise(&post_form(&[], &call_body("&ApiVersion=2010-04-01"))).is_some());
        assert!(recognise(&post_form(&[], &call_body(""))).is_none());
    }

    #[test]
    fn imitations_and_fragments_are_not_ours() {
        let marked = [("X-Twilio-Signature", "x")];
        for body in [
            "CallSid=CA1&AccountSid=AC0123.example.cloudonix.net&Direction=inbound&CallStatus=ringing".to_owned(),
            format!("AccountSid={SID}&Direction=inbound&CallStatus=ringing"),
            format!("CallSid=&AccountSid={SID}"),
            String::new(),
        ] {
            assert_eq!(recognise(&post_form(&marked, &body)), None, "{body}");
        }
        let mut json = post_form(&marked, &call_body(""));
        json.headers.retain(|header| header.name != "Content-Type");
        assert_eq!(recognise(&json), None);
    }

    #[test]
    fn what_tells_about_a_call_is_an_event() {
        let event = Some(Recognition::Event(CallReference {
            provider_call_id: "CA1".to_owned(),
            account_id: Some(SID.to_owned()),
        }));
        for rest in [
            "Direction=outbound-api&CallStatus=in-progress",
            "Direction=inbound",
            "Direction=inbound&CallStatus=completed",
            "Direction=inbound&CallStatus=ringing&CallbackSource=call-progress-events",
            "StreamEvent=stream-started&Direction=inbound&CallStatus=in-progress",
        ] {
            let webhook = post_form(
                &[("X-Twilio-Signature", "x")],
                &format!("CallSid=CA1&AccountSid={SID}&{rest}"),
            );
            assert_eq!(recognise(&webhook), event, "{rest}");
        }
    }

    #[test]
    fn a_withheld_number_is_empty() {
        for (from, expected) in [("anonymous", ""), ("+266696687", ""), ("", ""), ("sip:a@b", "sip:a@b")] {
            assert_eq!(caller(from), expected);
        }
    }
}
