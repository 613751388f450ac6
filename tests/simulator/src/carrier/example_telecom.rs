//! Example Telecom: the small carrier that the samples of the SDKs integrate. It exists on paper only; `sdk/README.md` is its
//! documentation, and this is written from there.
//!
//! JSON webhooks with one signature, markup of one element, a media socket of JSON messages, and a REST API of two
//! resources.

mod media;
mod rest;

use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    CallRecord, Carrier, InboundRoute, Instruction, Ledger, MediaDialect, RestAnswer, RestRequest, RestResponse,
    RetryPolicy, StreamInstruction, Subscription, Tamper, WebhookKind, WebhookRequest, WebhookResponse, WebhookTarget,
    random_hex,
};
use crate::{
    markup,
    misbehaviour::Signing,
    report::{CallStatus, HangUp},
};

const ACCOUNT: &str = "ACME01";
const API_KEY: &str = "k7Qm2Vd9Xt4Zc1Hs6Jp3Wb8Ln5Ry0Gf";
const SIGNING_SECRET: &str = "w4Tj8Kb1Nv6Qz3Xd9Rm5Hc2Yp7Ls0Fg";
const OWN_NUMBER: &str = "+12025550123";
/// Where calls are announced unless their number says otherwise.
const USUAL_PATH: &str = "/api/v1/telephony/inbound/run";
/// Stands in a webhook for bytes that are not UTF-8.
const BROKEN: &str = "~broken~";

#[derive(Debug)]
pub(super) struct ExampleTelecom;

impl Carrier for ExampleTelecom {
    fn name(&self) -> &'static str {
        "example-telecom"
    }

    fn rest_host(&self) -> &'static str {
        "api.example-telecom.example"
    }

    fn credentials(&self) -> Value {
        json!({ "account": ACCOUNT, "api_key": API_KEY, "signing_secret": SIGNING_SECRET })
    }

    fn own_number(&self) -> &'static str {
        OWN_NUMBER
    }

    fn new_call_id(&self) -> String {
        format!("ET-{}", random_hex(16))
    }

    fn handle_rest(&self, ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
        rest::handle(ledger, request)
    }

    fn rest_error(&self, status: u16) -> RestResponse {
        rest::error(status, "the request could not be served")
    }

    /// One address for all that there is to tell of a number's calls.
    fn inbound_route(&self, ledger: &Ledger, to: &str) -> InboundRoute {
        let own = ledger.number(to).map(|number| number.voice.clone());
        let voice = own
            .filter(|voice| !voice.url.is_empty())
            .unwrap_or_else(|| WebhookTarget::post(format!("{}{USUAL_PATH}", ledger.gateway)));
        InboundRoute {
            callbacks: vec![Subscription::new(voice.clone(), [CallStatus::Completed])],
            voice: Some(voice),
            extra: Value::Null,
        }
    }

    fn webhook(
        &self,
        call: &CallRecord,
        kind: &WebhookKind,
        target: &WebhookTarget,
        tamper: &Tamper,
    ) -> WebhookRequest {
        let body = body(call, kind, tamper);
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        headers.extend(signature_headers(&target.url, &body, tamper.signing));
        WebhookRequest {
            method: "POST".to_owned(),
            url: target.url.clone(),
            headers,
            body,
            token: String::new(),
        }
    }

    /// The same bytes with the same signature, twice more.
    fn retry_policy(&self, _url: &str) -> RetryPolicy {
        RetryPolicy {
            retries_max: 2,
            connection_failed: true,
            read_timed_out: true,
            status_4xx: false,
            status_5xx: true,
            attempt_timeout: Duration::from_secs(10),
        }
    }

    fn read_answer(&self, response: &WebhookResponse) -> Result<Vec<Instruction>, String> {
        read_markup(response)
    }

    fn open_stream(&self, call: &CallRecord, _stream: &StreamInstruction) -> Box<dyn MediaDialect> {
        Box::new(media::MediaStream::new(call))
    }
}

fn body(call: &CallRecord, kind: &WebhookKind, tamper: &Tamper) -> Vec<u8> {
    let event = match kind {
        WebhookKind::Incoming => "call.incoming",
        WebhookKind::Answered => "call.answered",
        WebhookKind::Status(_) => "call.status",
        _ => "call.other",
    };
    let mut body = json!({ "event": event, "account": ACCOUNT, "call": call.id, "from": call.from, "to": call.to });
    match kind {
        WebhookKind::Incoming => {
            for (name, number) in [("from_country", &call.from), ("to_country", &call.to)] {
                if let Some(country) = country(number) {
                    body[name] = json!(country);
                }
            }
        }
        WebhookKind::Status(status) => {
            body["status"] = json!(status_word(*status));
            if status.is_final() {
                body["duration_s"] = json!(call.duration_s());
                body["cause"] = json!(cause(call, *status));
            }
        }
        _ => {}
    }
    if tamper.padding_bytes > 0 {
        body["padding"] = json!("x".repeat(tamper.padding_bytes));
    }
    if tamper.invalid_utf8 {
        body["caller_name"] = json!(BROKEN);
    }
    let text = body.to_string();
    match text.split_once(BROKEN) {
        Some((before, after)) => [before.as_bytes(), b"Jos\xe9 \xff\xfe", after.as_bytes()].concat(),
        None => text.into_bytes(),
    }
}

/// The time, the URL and the body are signed, with a full stop between them.
fn signature_headers(url: &str, body: &[u8], signing: Signing) -> Vec<(String, String)> {
    let secret = match signing {
        Signing::Missing => return Vec::new(),
        Signing::Wrong => "not the account's secret",
        Signing::Right => SIGNING_SECRET,
    };
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let timestamp = since.map_or(0, |since| since.as_secs()).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{timestamp}.{url}.").as_bytes());
    mac.update(body);
    let digits = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    vec![
        ("x-example-timestamp".to_owned(), timestamp),
        ("x-example-signature".to_owned(), digits),
    ]
}

/// Of the numbers that are used here.
fn country(number: &str) -> Option<&'static str> {
    [("+1", "US"), ("+49", "DE")]
        .iter()
        .find(|(code, _)| number.starts_with(code))
        .map(|(_, country)| *country)
}

fn status_word(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Queued | CallStatus::Initiated => "queued",
        CallStatus::Ringing => "ringing",
        CallStatus::InProgress => "in-progress",
        CallStatus::Completed => "completed",
        CallStatus::Busy | CallStatus::Rejected => "busy",
        CallStatus::NoAnswer => "no-answer",
        CallStatus::Failed => "failed",
        CallStatus::Canceled => "canceled",
    }
}

fn cause(call: &CallRecord, status: CallStatus) -> &'static str {
    match (call.ended_by, status) {
        (Some(HangUp::Rest), _) => "ended over the API",
        (Some(HangUp::Markup), _) => "the markup ended",
        (Some(HangUp::Fault), _) => "no usable markup",
        (_, CallStatus::Completed) => "hung up",
        (_, CallStatus::Busy | CallStatus::Rejected) => "declined",
        (_, CallStatus::NoAnswer) => "rang out",
        _ => "no route to the number",
    }
}

/// A document of one element.
fn read_markup(response: &WebhookResponse) -> Result<Vec<Instruction>, String> {
    if response.status != 200 {
        return Err(format!("the gateway answered {}", response.status));
    }
    if response.content_type != "application/xml" {
        return Err(format!("`{}` is not application/xml", response.content_type));
    }
    let root = markup::parse(&response.body).map_err(|error| error.to_string())?;
    let [element] = root.children.as_slice() else {
        return Err(format!("{} elements in the document, not one", root.children.len()));
    };
    match (root.name.as_str(), element.name.as_str()) {
        ("Response", "Stream") => Ok(vec![Instruction::Stream(StreamInstruction {
            url: element.attribute("url").ok_or("a Stream without a url")?.to_owned(),
            ..StreamInstruction::default()
        })]),
        ("Response", "Reject") => match element.attribute("reason") {
            Some("busy") => Ok(vec![Instruction::Reject { busy: true }]),
            Some("rejected" | "unallocated" | "unavailable") => Ok(vec![Instruction::Reject { busy: false }]),
            other => Err(format!("a Reject for another reason: {other:?}")),
        },
        (root, element) => Err(format!("a `{element}` in a `{root}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Direction;

    fn response(body: &str) -> WebhookResponse {
        WebhookResponse {
            status: 200,
            content_type: "application/xml".to_owned(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn header<'a>(request: &'a WebhookRequest, name: &str) -> &'a str {
        let found = request.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    #[test]
    fn a_call_is_announced_with_its_countries_and_signed() {
        let call = CallRecord::new("ET-1".into(), Direction::Inbound, "+4930123456", OWN_NUMBER);
        let target = WebhookTarget::post("https://gateway.example/a?b=c");
        let sent = ExampleTelecom.webhook(&call, &WebhookKind::Incoming, &target, &Tamper::default());
        let told: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(
            told,
            json!({
                "event": "call.incoming", "account": ACCOUNT, "call": "ET-1", "from": "+4930123456", "to": OWN_NUMBER,
                "from_country": "DE", "to_country": "US",
            })
        );
        let message = [
            header(&sent, "x-example-timestamp").as_bytes(),
            b".https://gateway.example/a?b=c.",
            &sent.body,
        ]
        .concat();
        let mut mac = Hmac::<Sha256>::new_from_slice(SIGNING_SECRET.as_bytes()).unwrap();
        mac.update(&message);
        let signature = header(&sent, "x-example-signature");
        let decoded: Vec<u8> = (0..64)
            .step_by(2)
            .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap())
            .collect();
        mac.verify_slice(&decoded).unwrap();
    }

    #[test]
    fn the_end_is_told_with_its_cause() {
        let mut call = CallRecord::new("ET-1".into(), Direction::Outbound, OWN_NUMBER, "+12025550188");
        call.ended_by = Some(HangUp::Unanswered);
        let kind = WebhookKind::Status(CallStatus::NoAnswer);
        let told: Value = serde_json::from_slice(&body(&call, &kind, &Tamper::default())).unwrap();
        assert_eq!(
            (&told["status"], &told["duration_s"], &told["cause"]),
            (&json!("no-answer"), &json!(0), &json!("rang out"))
        );
        let broken = Tamper {
            invalid_utf8: true,
            ..Tamper::default()
        };
        assert!(String::from_utf8(body(&call, &kind, &broken)).is_err());
    }

    #[test]
    fn markup_has_one_element() {
        let stream = read_markup(&response(r#"<Response><Stream url="wss://a/?x=1&amp;y"/></Response>"#)).unwrap();
        assert!(matches!(&stream[..], [Instruction::Stream(stream)] if stream.url == "wss://a/?x=1&y"));
        for (reason, busy) in [
            ("busy", true),
            ("rejected", false),
            ("unallocated", false),
            ("unavailable", false),
        ] {
            let document = format!(r#"<Response><Reject reason="{reason}"/></Response>"#);
            assert_eq!(
                read_markup(&response(&document)),
                Ok(vec![Instruction::Reject { busy }])
            );
        }
        for document in [
            "",
            "<Response/>",
            "<Response><Stream/></Response>",
            "<Response><Reject reason=\"tired\"/></Response>",
            "<Response><Say/></Response>",
            "<Answer><Stream url=\"wss://a\"/></Answer>",
            "<Response><Stream url=\"wss://a\"/><Stream url=\"wss://a\"/></Response>",
        ] {
            assert!(read_markup(&response(document)).is_err(), "accepted {document}");
        }
    }
}
