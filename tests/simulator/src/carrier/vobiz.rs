//! Vobiz: form webhooks whose address alone is signed, Vobiz XML, audio streams, and a REST API that is particular about
//! letters and slashes.
//!
//! Written from Vobiz's documentation. What it leaves open is marked where it is decided.

mod rest;
mod stream;
mod xml;

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;
use uuid::Uuid;

use super::{
    CallRecord, Carrier, ConferenceChange, InboundRoute, Instruction, Ledger, MediaDialect, NumberRecord, RestAnswer,
    RestRequest, RestResponse, RetryPolicy, StreamInstruction, Subscription, Tamper, WebhookKind, WebhookRequest,
    WebhookResponse, WebhookTarget, random_hex, rfc2822,
};
use crate::{
    misbehaviour::Signing,
    report::{CallStatus, Direction, HangUp},
};

const AUTH_ID: &str = "MA_K7QX2VDN";
const AUTH_TOKEN: &str = "u8Jm3Rw0Yk6Ht1Zc9Xe4Pv7Bs2Nf5Lq";
/// Of a subaccount, which the gateway does not know.
const SUBACCOUNT_TOKEN: &str = "d2Gh7Kp4Vn9Tx1Wb6Qm3Sz8Ly5Rc0Jf";
const OWN_NUMBER: &str = "+917971442086";
/// Found by whoever searches for the own number: it contains it. It is attached to another application.
const OTHER_NUMBER: &str = "+9179714420861";
const OTHER_APPLICATION: &str = "58120394";
/// What a begun minute costs, in rupees.
const RATE: f64 = 0.65;

#[derive(Debug)]
pub(super) struct Vobiz;

impl Carrier for Vobiz {
    fn name(&self) -> &'static str {
        "vobiz"
    }

    fn rest_host(&self) -> &'static str {
        "api.vobiz.ai"
    }

    fn credentials(&self) -> Value {
        json!({ "auth_id": AUTH_ID, "auth_token": AUTH_TOKEN })
    }

    fn own_number(&self) -> &'static str {
        OWN_NUMBER
    }

    fn open_account(&self, ledger: &mut Ledger) {
        let application = json!({
            "app_id": OTHER_APPLICATION, "app_name": "Reminders", "answer_url": "https://reminders.example.com/answer",
            "answer_method": "POST", "hangup_url": "https://reminders.example.com/answer", "hangup_method": "POST",
        });
        ledger
            .objects
            .insert(rest::application_key(OTHER_APPLICATION), application);
        let mut number = NumberRecord::new(Uuid::new_v4().to_string(), OTHER_NUMBER);
        number.application = Some(OTHER_APPLICATION.to_owned());
        ledger.numbers.push(number);
    }

    fn new_call_id(&self) -> String {
        Uuid::new_v4().to_string()
    }

    fn handle_rest(&self, ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
        rest::handle(ledger, request)
    }

    fn rest_error(&self, status: u16) -> RestResponse {
        rest::error(status, "the request could not be served")
    }

    /// The number's application decides; without one the gateway's usual address stands in for it.
    fn inbound_route(&self, ledger: &Ledger, to: &str) -> InboundRoute {
        let attached = ledger.number(to).and_then(|number| number.application.as_deref());
        let application = attached.and_then(|id| ledger.objects.get(&rest::application_key(id)));
        let text = |name: &str| application.and_then(|application| application[name].as_str());
        let voice = WebhookTarget {
            url: text("answer_url").unwrap_or_default().to_owned(),
            method: text("answer_method").unwrap_or("POST").to_owned(),
        };
        let ended = text("hangup_url").filter(|url| !url.is_empty()).map(|url| {
            let method = text("hangup_method").unwrap_or("POST").to_owned();
            let target = WebhookTarget {
                url: url.to_owned(),
                method,
            };
            Subscription::new(target, [CallStatus::Completed])
        });
        InboundRoute {
            voice: Some(voice),
            callbacks: ended.into_iter().collect(),
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
        let mut parameters = parameters(call, kind);
        if tamper.padding_bytes > 0 {
            parameters.push(("Padding", vec![b'x'; tamper.padding_bytes]));
        }
        if tamper.invalid_utf8 {
            parameters.push(("CallerName", b"Jos\xe9 \xff\xfe".to_vec()));
        }
        let encoded = form(&parameters);
        let mut url = target.url.clone();
        let mut headers = vec![("user-agent".to_owned(), "Vobiz".to_owned())];
        let get = target.method == "GET";
        let body = if get {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&encoded);
            Vec::new()
        } else {
            headers.push((
                "content-type".to_owned(),
                "application/x-www-form-urlencoded".to_owned(),
            ));
            encoded.into_bytes()
        };
        let nonces = [nonce(), nonce()];
        headers.extend(signature_headers(&url, &nonces, tamper));
        let [_, token] = nonces;
        WebhookRequest {
            method: if get { "GET" } else { "POST" }.to_owned(),
            url,
            headers,
            body,
            token,
        }
    }

    /// Whatever is not 200 fails and is tried three times more, a minute in all. For what only tells, three seconds are said
    /// to be the limit of one attempt.
    fn retry_policy(&self, _url: &str) -> RetryPolicy {
        RetryPolicy {
            retries_max: 3,
            connection_failed: true,
            read_timed_out: true,
            status_4xx: true,
            status_5xx: true,
            attempt_timeout: Duration::from_secs(15),
        }
    }

    fn read_answer(&self, response: &WebhookResponse) -> Result<Vec<Instruction>, String> {
        xml::read_response(response)
    }

    fn upgrade_headers(&self, _url: &str, _tamper: &Tamper) -> Vec<(String, String)> {
        vec![("user-agent".to_owned(), "Vobiz".to_owned())]
    }

    fn open_stream(&self, call: &CallRecord, stream: &StreamInstruction) -> Box<dyn MediaDialect> {
        Box::new(stream::AudioStream::new(call, stream))
    }
}

/// All versions at once. A subaccount's call is signed by its own token and by that of the main account, which stands for
/// the newer way to sign.
fn signature_headers(url: &str, [old, new]: &[String; 2], tamper: &Tamper) -> Vec<(String, String)> {
    let token = match tamper.signing {
        Signing::Missing => return Vec::new(),
        Signing::Wrong => "not the account's token",
        Signing::Right if tamper.newer_signature => SUBACCOUNT_TOKEN,
        Signing::Right => AUTH_TOKEN,
    };
    let base = url.split(['?', '#']).next().unwrap_or_default();
    let (v2, v3) = (format!("{base}{old}"), format!("{base}.{new}"));
    let mut headers = vec![
        ("x-vobiz-signature", sha1(base, token)),
        ("x-vobiz-signature-v2", sha256(&v2, token)),
        ("x-vobiz-signature-v2-nonce", old.clone()),
        ("x-vobiz-signature-v3", sha256(&v3, token)),
        ("x-vobiz-signature-v3-nonce", new.clone()),
    ];
    if tamper.newer_signature {
        let main = if tamper.signing == Signing::Right {
            AUTH_TOKEN
        } else {
            token
        };
        headers.push(("x-vobiz-signature-ma-v2", sha256(&v2, main)));
        headers.push(("x-vobiz-signature-ma-v3", sha256(&v3, main)));
    }
    headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// 20 digits.
fn nonce() -> String {
    let random = u64::from_str_radix(&random_hex(16), 16).unwrap_or_default();
    format!("{random:020}")
}

fn sha1(message: &str, token: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(message.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn sha256(message: &str, token: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(message.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Percent-encoded over the raw bytes, so that a value need not be UTF-8.
fn form(parameters: &[(&str, Vec<u8>)]) -> String {
    let mut encoded = String::new();
    for (name, value) in parameters {
        if !encoded.is_empty() {
            encoded.push('&');
        }
        encoded.push_str(name);
        encoded.push('=');
        encoded.extend(form_urlencoded::byte_serialize(value));
    }
    encoded
}

fn parameters(call: &CallRecord, kind: &WebhookKind) -> Vec<(&'static str, Vec<u8>)> {
    let (event, status) = match kind {
        WebhookKind::Status(status) if status.is_final() => ("Hangup", *status),
        WebhookKind::Status(status) => ("Ring", *status),
        WebhookKind::Incoming => ("StartApp", CallStatus::Ringing),
        WebhookKind::Answered => ("StartApp", CallStatus::InProgress),
        WebhookKind::Redirected => ("Redirect", CallStatus::InProgress),
        WebhookKind::Stream { event, .. } => (stream_event(event), CallStatus::InProgress),
        WebhookKind::Conference { change, .. } => match change {
            ConferenceChange::Joined => ("ConferenceEnter", CallStatus::InProgress),
            ConferenceChange::Left => ("ConferenceExit", CallStatus::InProgress),
        },
        WebhookKind::Digit(_) => ("Gather", CallStatus::InProgress),
        WebhookKind::Other(_) => ("", CallStatus::InProgress),
    };
    // The own number is written as it is dialled within India, the other one with its country code.
    let (from, to) = match call.direction {
        Direction::Inbound => (dialled(&call.from).to_owned(), national(&call.to)),
        Direction::Outbound => (dialled(&call.from).to_owned(), dialled(&call.to).to_owned()),
    };
    let mut parameters: Vec<(&'static str, String)> = vec![
        ("CallUUID", call.id.clone()),
        ("RequestUUID", call.id.clone()),
        ("From", from),
        ("To", to),
        ("Direction", direction(call).to_owned()),
        ("CallStatus", status_name(call, status).to_owned()),
        ("Event", event.to_owned()),
        ("ParentAuthID", AUTH_ID.to_owned()),
        ("SessionStart", datetime(call.created)),
    ];
    match kind {
        WebhookKind::Status(status) if status.is_final() => {
            let seconds = call.duration_s();
            let (cause, code, name, source) = hangup_cause(call, *status);
            let time = |time: Option<SystemTime>| time.map_or_else(String::new, datetime);
            parameters.extend([
                ("HangupCause", cause.to_owned()),
                ("HangupCauseCode", code.to_string()),
                ("HangupCauseName", name.to_owned()),
                ("HangupSource", source.to_owned()),
                ("Duration", seconds.to_string()),
                ("BillDuration", (seconds.div_ceil(60) * 60).to_string()),
                ("TotalCost", cost(call)),
                ("StartTime", datetime(call.created)),
                ("AnswerTime", time(call.answered)),
                ("EndTime", time(call.ended)),
            ]);
        }
        WebhookKind::Stream { stream_id, .. } => parameters.push(("StreamID", stream_id.clone())),
        WebhookKind::Conference { name, .. } => parameters.push(("ConferenceName", name.clone())),
        WebhookKind::Digit(digit) => parameters.push(("Digits", digit.to_string())),
        _ => {}
    }
    parameters
        .into_iter()
        .map(|(name, value)| (name, value.into_bytes()))
        .collect()
}

fn stream_event(event: &str) -> &'static str {
    match event {
        "stream-started" => "StartStream",
        "stream-stopped" => "StopStream",
        _ => "FailedStream",
    }
}

/// Without the plus sign.
fn dialled(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
}

/// An Indian number as it is dialled there: the trunk zero instead of the country code.
fn national(number: &str) -> String {
    match number.strip_prefix("+91") {
        Some(rest) => format!("0{rest}"),
        None => dialled(number).to_owned(),
    }
}

fn direction(call: &CallRecord) -> &'static str {
    match call.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// Whether the call ended because it had rung as long as it might.
fn rang_out(call: &CallRecord) -> bool {
    call.ring_timeout.is_some_and(|timeout| {
        let rang = call.ended.and_then(|ended| ended.duration_since(call.created).ok());
        rang.is_some_and(|rang| rang >= timeout)
    })
}

fn status_name(call: &CallRecord, status: CallStatus) -> &'static str {
    match status {
        CallStatus::Queued | CallStatus::Initiated => "queued",
        CallStatus::Ringing => "ringing",
        CallStatus::InProgress => "in-progress",
        CallStatus::Completed => "completed",
        // Refusing and being busy look the same from here: <https://docs.vobiz.ai/faq/sip-codes-480-486>.
        CallStatus::Busy | CallStatus::Rejected => "busy",
        CallStatus::NoAnswer if rang_out(call) => "timeout",
        CallStatus::NoAnswer => "no-answer",
        CallStatus::Failed => "failed",
        CallStatus::Canceled => "cancel",
    }
}

/// Telephony cause, code, its name and who did it: <https://docs.vobiz.ai/concepts/hangup-causes>.
fn hangup_cause(call: &CallRecord, status: CallStatus) -> (&'static str, u32, &'static str, &'static str) {
    let person = match call.direction {
        Direction::Inbound => "Caller",
        Direction::Outbound => "Callee",
    };
    match (status, call.ended_by) {
        (CallStatus::Busy, Some(HangUp::Markup)) => ("USER_BUSY", 3010, "Busy Line", "Answer XML"),
        (CallStatus::NoAnswer, Some(HangUp::Markup)) => ("CALL_REJECTED", 3020, "Rejected", "Answer XML"),
        (CallStatus::Busy | CallStatus::Rejected, _) => ("USER_BUSY", 3010, "Busy Line", "Carrier"),
        (CallStatus::NoAnswer, _) if rang_out(call) => ("ORIGINATOR_CANCEL", 6010, "Ring Timeout Reached", "Vobiz"),
        (CallStatus::NoAnswer, _) => ("NO_ANSWER", 3000, "No Answer", "Carrier"),
        (CallStatus::Canceled, Some(HangUp::Rest)) => ("ORIGINATOR_CANCEL", 1000, "Canceled", "API Request"),
        (CallStatus::Canceled, _) => ("ORIGINATOR_CANCEL", 1000, "Canceled", person),
        (_, Some(HangUp::Fault)) => ("NORMAL_CLEARING", 7011, "Error Reaching Answer URL", "Error"),
        (CallStatus::Failed, _) => ("UNALLOCATED_NUMBER", 3050, "Unallocated number", "Carrier"),
        (_, Some(HangUp::Rest)) => ("NORMAL_CLEARING", 4000, "Normal Hangup", "API Request"),
        (_, Some(HangUp::Markup | HangUp::Conference | HangUp::Media)) => {
            ("NORMAL_CLEARING", 4010, "End Of XML Instructions", "Vobiz")
        }
        _ => ("NORMAL_CLEARING", 4000, "Normal Hangup", person),
    }
}

fn cost(call: &CallRecord) -> String {
    format!("{:.5}", RATE * call.duration_s().div_ceil(60) as f64)
}

/// `2026-07-21 13:38:44`.
fn datetime(time: SystemTime) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let date = rfc2822(time);
    let month = MONTHS.iter().position(|name| *name == &date[8..11]);
    format!(
        "{}-{:02}-{} {}",
        &date[12..16],
        month.map_or(1, |index| index + 1),
        &date[5..7],
        &date[17..25]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbound() -> CallRecord {
        CallRecord::new("u1".into(), Direction::Inbound, "+917983165036", OWN_NUMBER)
    }

    fn sent(call: &CallRecord, kind: &WebhookKind, tamper: &Tamper) -> (WebhookRequest, Vec<(String, String)>) {
        let target = WebhookTarget::post("https://voice.example.com/in?a=1");
        let request = Vobiz.webhook(call, kind, &target, tamper);
        let parameters = form_urlencoded::parse(&request.body).into_owned().collect();
        (request, parameters)
    }

    fn value<'a>(pairs: &'a [(String, String)], name: &str) -> &'a str {
        let found = pairs.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// Computed with OpenSSL.
    #[test]
    fn the_address_alone_is_signed() {
        let nonces = ["12345678901234567890".to_owned(), "09876543210987654321".to_owned()];
        let sign = |url: &str| signature_headers(url, &nonces, &Tamper::default());
        let headers = sign("https://voice.example.com/in?a=1#b");
        assert_eq!(headers, sign("https://voice.example.com/in"));
        assert_eq!(
            value(&headers, "x-vobiz-signature-v2"),
            "62xy5q3gi2wdt4mL7t8B6RRriCWoVGvixYTc3mYjzGQ="
        );
        assert_eq!(
            value(&headers, "x-vobiz-signature-v3"),
            "y/N4v8ACt4jSXrD91flYZHxQqDQ8KxvRotgtbs6jy28="
        );
        assert_eq!(value(&headers, "x-vobiz-signature"), "z8HTVOztbxMUiNGLtd4WrMSZQ2E=");
        assert_eq!(headers.len(), 5);
    }

    #[test]
    fn subaccounts_are_signed_for_by_the_main_account_as_well() {
        let newer = Tamper {
            newer_signature: true,
            ..Tamper::default()
        };
        let (request, _) = sent(&inbound(), &WebhookKind::Incoming, &newer);
        let message = format!("https://voice.example.com/in.{}", request.token);
        let header = |name| value(&request.headers, name);
        assert_eq!(header("x-vobiz-signature-ma-v3"), sha256(&message, AUTH_TOKEN));
        assert_eq!(header("x-vobiz-signature-v3"), sha256(&message, SUBACCOUNT_TOKEN));
        let unsigned = Tamper {
            signing: Signing::Missing,
            ..newer
        };
        let (request, _) = sent(&inbound(), &WebhookKind::Incoming, &unsigned);
        assert!(!request.headers.iter().any(|(name, _)| name.starts_with("x-vobiz")));
        let wrong = Tamper {
            signing: Signing::Wrong,
            ..newer
        };
        let (request, _) = sent(&inbound(), &WebhookKind::Incoming, &wrong);
        let message = format!("https://voice.example.com/in.{}", request.token);
        assert!(
            !request
                .headers
                .iter()
                .any(|(_, value)| *value == sha256(&message, AUTH_TOKEN))
        );
    }

    #[test]
    fn an_inbound_call_is_told_in_the_numbers_of_the_country() {
        let (request, told) = sent(&inbound(), &WebhookKind::Incoming, &Tamper::default());
        assert_eq!(value(&request.headers, "user-agent"), "Vobiz");
        for (name, expected) in [
            ("From", "917983165036"),
            ("To", "07971442086"),
            ("CallStatus", "ringing"),
            ("Event", "StartApp"),
            ("Direction", "inbound"),
            ("ParentAuthID", AUTH_ID),
        ] {
            assert_eq!(value(&told, name), expected, "{name}");
        }
    }

    #[test]
    fn an_outbound_call_has_one_id_and_an_end_with_a_cause() {
        let mut call = CallRecord::new("u2".into(), Direction::Outbound, OWN_NUMBER, "+12025550147");
        call.ring_timeout = Some(Duration::from_secs(20));
        let (_, told) = sent(&call, &WebhookKind::Status(CallStatus::Ringing), &Tamper::default());
        assert_eq!((value(&told, "Event"), value(&told, "To")), ("Ring", "12025550147"));
        assert_eq!(value(&told, "RequestUUID"), value(&told, "CallUUID"));
        call.ended = Some(call.created + Duration::from_secs(20));
        for (status, ended_by, expected) in [
            (CallStatus::NoAnswer, HangUp::Unanswered, ["timeout", "6010"]),
            (CallStatus::Rejected, HangUp::Unanswered, ["busy", "3010"]),
            (CallStatus::Failed, HangUp::Unanswered, ["failed", "3050"]),
            (CallStatus::Canceled, HangUp::Rest, ["cancel", "1000"]),
            (CallStatus::Completed, HangUp::Markup, ["completed", "4010"]),
            (CallStatus::Completed, HangUp::Person, ["completed", "4000"]),
            (CallStatus::Completed, HangUp::Fault, ["completed", "7011"]),
        ] {
            call.ended_by = Some(ended_by);
            let (_, told) = sent(&call, &WebhookKind::Status(status), &Tamper::default());
            assert_eq!(
                ["CallStatus", "HangupCauseCode"].map(|name| value(&told, name)),
                expected
            );
        }
    }

    #[test]
    fn a_numbers_application_decides_where_its_calls_go() {
        let mut ledger = Ledger::default();
        Vobiz.open_account(&mut ledger);
        let route = Vobiz.inbound_route(&ledger, OTHER_NUMBER);
        assert_eq!(
            route.voice,
            Some(WebhookTarget::post("https://reminders.example.com/answer"))
        );
        assert!(route.callbacks[0].covers(CallStatus::Completed));
        let route = Vobiz.inbound_route(&ledger, OWN_NUMBER);
        assert_eq!((route.voice, route.callbacks.len()), (Some(WebhookTarget::post("")), 0));
    }
}
