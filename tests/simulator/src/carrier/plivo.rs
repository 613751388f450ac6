//! Plivo: form webhooks signed by version 3, Plivo XML, audio streams, and a REST API of applications, numbers and calls.
//!
//! Written from Plivo's documentation and its libraries' tests. What both leave open is marked where it is decided.

mod rest;
mod stream;
mod xml;

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::{
    CallRecord, Carrier, ConferenceChange, InboundRoute, Instruction, Ledger, MediaDialect, NumberRecord, RestAnswer,
    RestRequest, RestResponse, RetryPolicy, StreamInstruction, Subscription, Tamper, WebhookKind, WebhookRequest,
    WebhookResponse, WebhookTarget, is_plain_loopback, random_hex, rfc2822,
};
use crate::{
    misbehaviour::Signing,
    report::{CallStatus, Direction, HangUp},
};

const AUTH_ID: &str = "MAYTQ3NMRHZJK4OWI5NM";
const AUTH_TOKEN: &str = "ZGY4MzA1NjE2YWI0ZTk3YmQyMTBjNWE4NzNmNjQ5";
/// Of a subaccount, which the gateway does not know.
const SUBACCOUNT_TOKEN: &str = "NGE3ZDkwYzE1OGYyYjM2ZWEwNzFkNDljODNiNWY2";
const OWN_NUMBER: &str = "+14085550131";
/// Number and application of something else that the same customer runs.
const OTHER_NUMBER: &str = "+14085550132";
const OTHER_APPLICATION: &str = "19372640518264903";
/// What a begun minute costs, in US dollars.
const RATE: f64 = 0.0055;

#[derive(Debug)]
pub(super) struct Plivo;

impl Carrier for Plivo {
    fn name(&self) -> &'static str {
        "plivo"
    }

    fn rest_host(&self) -> &'static str {
        "api.plivo.com"
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
        let mut number = NumberRecord::new(OTHER_NUMBER.to_owned(), OTHER_NUMBER);
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
        let application = ledger
            .number(to)
            .and_then(|number| number.application.as_deref())
            .and_then(|id| ledger.objects.get(&rest::application_key(id)));
        let target = |url: &str, method: &str| {
            let text = |name: &str| application.and_then(|application| application[name].as_str());
            WebhookTarget {
                url: text(url).unwrap_or_default().to_owned(),
                method: text(method).unwrap_or("POST").to_owned(),
            }
        };
        let ended = target("hangup_url", "hangup_method");
        InboundRoute {
            voice: Some(target("answer_url", "answer_method")),
            callbacks: Some(ended)
                .filter(|target| !target.url.is_empty())
                .map(|target| Subscription::new(target, [CallStatus::Completed]))
                .into_iter()
                .collect(),
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
            parameters.push(("Padding".to_owned(), vec![b'x'; tamper.padding_bytes]));
        }
        if tamper.invalid_utf8 {
            parameters.push(("CallerName".to_owned(), b"Jos\xe9 \xff\xfe".to_vec()));
        }
        // The fragment configures the callback for Plivo alone; it is neither sent nor signed.
        let mut url = target.url.split('#').next().unwrap_or_default().to_owned();
        let mut headers = vec![
            ("user-agent".to_owned(), "Plivo".to_owned()),
            ("accept".to_owned(), "*/*".to_owned()),
        ];
        let get = target.method == "GET";
        let body = if get {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&form(&parameters));
            parameters.clear();
            Vec::new()
        } else {
            headers.push((
                "content-type".to_owned(),
                "application/x-www-form-urlencoded".to_owned(),
            ));
            form(&parameters).into_bytes()
        };
        headers.extend(signature_headers(&url, &parameters, tamper));
        let nonce = headers.iter().find(|(name, _)| name == V3_NONCE);
        let token = nonce.map_or_else(String::new, |(_, nonce)| nonce.clone());
        WebhookRequest {
            method: if get { "GET" } else { "POST" }.to_owned(),
            url,
            headers,
            body,
            token,
        }
    }

    fn retry_policy(&self, url: &str) -> RetryPolicy {
        retry_policy(url)
    }

    fn read_answer(&self, response: &WebhookResponse) -> Result<Vec<Instruction>, String> {
        xml::read_response(response)
    }

    fn upgrade_headers(&self, url: &str, tamper: &Tamper) -> Vec<(String, String)> {
        let mut headers = vec![("user-agent".to_owned(), "Plivo".to_owned())];
        // Over the address as if it were one of HTTP.
        headers.extend(signature_headers(&url.replacen("ws", "http", 1), &[], tamper));
        headers
    }

    fn refuses_media_url(&self, url: &str) -> Option<String> {
        if url.len() > 2048 {
            return Some("a stream's address has at most 2048 characters".to_owned());
        }
        (!url.starts_with("wss://") && !is_plain_loopback(url)).then(|| format!("`{url}` is not a wss address"))
    }

    fn open_stream(&self, call: &CallRecord, stream: &StreamInstruction) -> Box<dyn MediaDialect> {
        Box::new(stream::AudioStream::new(call, stream))
    }
}

const V2: &str = "x-plivo-signature-v2";
const V2_MAIN: &str = "x-plivo-signature-ma-v2";
const V2_NONCE: &str = "x-plivo-signature-v2-nonce";
const V3: &str = "x-plivo-signature-v3";
const V3_MAIN: &str = "x-plivo-signature-ma-v3";
const V3_NONCE: &str = "x-plivo-signature-v3-nonce";

/// Both versions, by the token of the account and that of the main account, which are one unless the call is a
/// subaccount's; such a call stands for the newer way to sign.
fn signature_headers(url: &str, parameters: &[(String, Vec<u8>)], tamper: &Tamper) -> Vec<(String, String)> {
    let (token, main_token) = match tamper.signing {
        Signing::Missing => return Vec::new(),
        Signing::Wrong => ("not the account's token", "not the account's token"),
        Signing::Right if tamper.newer_signature => (SUBACCOUNT_TOKEN, AUTH_TOKEN),
        Signing::Right => (AUTH_TOKEN, AUTH_TOKEN),
    };
    let (old, new) = (nonce(), nonce());
    let v2 = [url.split('?').next().unwrap_or_default(), &old].concat();
    let v3 = signed_message(url, parameters, &new);
    [
        (V2, sign(v2.as_bytes(), token)),
        (V2_MAIN, sign(v2.as_bytes(), main_token)),
        (V2_NONCE, old),
        (V3, sign(&v3, token)),
        (V3_MAIN, sign(&v3, main_token)),
        (V3_NONCE, new),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// 20 digits.
fn nonce() -> String {
    let random = u64::from_str_radix(&random_hex(16), 16).unwrap_or_default();
    format!("{random:020}")
}

/// The address with its query in order, the parameters of a form in order and without anything between, and the nonce.
fn signed_message(url: &str, parameters: &[(String, Vec<u8>)], nonce: &str) -> Vec<u8> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    query.sort();
    let query: Vec<String> = query
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut sorted: Vec<&(String, Vec<u8>)> = parameters.iter().collect();
    sorted.sort();

    let mut message = base.as_bytes().to_vec();
    if !query.is_empty() || !sorted.is_empty() {
        message.push(b'?');
    }
    message.extend_from_slice(query.join("&").as_bytes());
    if !query.is_empty() && !sorted.is_empty() {
        message.push(b'.');
    }
    for (name, value) in sorted {
        message.extend_from_slice(name.as_bytes());
        message.extend_from_slice(value);
    }
    message.push(b'.');
    message.extend_from_slice(nonce.as_bytes());
    message
}

fn sign(message: &[u8], token: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(message);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Percent-encoded over the raw bytes, so that a value need not be UTF-8.
fn form(parameters: &[(String, Vec<u8>)]) -> String {
    let mut encoded = String::new();
    for (name, value) in parameters {
        if !encoded.is_empty() {
            encoded.push('&');
        }
        encoded.extend(form_urlencoded::byte_serialize(name.as_bytes()));
        encoded.push('=');
        encoded.extend(form_urlencoded::byte_serialize(value));
    }
    encoded
}

/// Parameters of a webhook.
fn parameters(call: &CallRecord, kind: &WebhookKind) -> Vec<(String, Vec<u8>)> {
    let (event, status) = match kind {
        WebhookKind::Status(status) if status.is_final() => ("Hangup", *status),
        WebhookKind::Status(status) => ("Ring", *status),
        WebhookKind::Incoming => ("StartApp", CallStatus::Ringing),
        WebhookKind::Answered => ("StartApp", CallStatus::InProgress),
        WebhookKind::Redirected => ("Transfer", CallStatus::InProgress),
        WebhookKind::Stream { event, .. } => (stream_event(event), CallStatus::InProgress),
        WebhookKind::Conference { change, .. } => (conference_event(*change), CallStatus::InProgress),
        WebhookKind::Digit(_) => ("Digits", CallStatus::InProgress),
        WebhookKind::Other(name) => (name.as_str(), CallStatus::InProgress),
    };
    let mut parameters: Vec<(&str, String)> = vec![
        ("CallUUID", call.id.clone()),
        ("From", dialled(&call.from).to_owned()),
        ("To", dialled(&call.to).to_owned()),
        ("Direction", direction(call).to_owned()),
        ("CallStatus", status_name(call, status).to_owned()),
        ("Event", event.to_owned()),
        ("ParentAuthID", AUTH_ID.to_owned()),
        ("SessionStart", format!("{}.238707", datetime(call.created))),
        ("BillRate", RATE.to_string()),
        ("STIRVerification", "Not Applicable".to_owned()),
    ];
    if call.direction == Direction::Outbound {
        let request = call.earlier_id.clone().unwrap_or_else(|| call.id.clone());
        parameters.push(("RequestUUID", request.clone()));
        parameters.push(("ALegRequestUUID", request));
        parameters.push(("ALegUUID", call.id.clone()));
    }
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
        WebhookKind::Stream { stream_id, error, .. } => {
            parameters.push(("StreamID", stream_id.clone()));
            parameters.push(("Timestamp", datetime(SystemTime::now())));
            if !error.is_empty() {
                parameters.push(("Error", error.clone()));
            }
        }
        WebhookKind::Conference { name, change } => {
            let action = match change {
                ConferenceChange::Joined => "enter",
                ConferenceChange::Left => "exit",
            };
            parameters.push(("ConferenceName", name.clone()));
            parameters.push(("ConferenceAction", action.to_owned()));
        }
        WebhookKind::Digit(digit) => parameters.push(("Digits", digit.to_string())),
        _ => {}
    }
    parameters
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into_bytes()))
        .collect()
}

fn stream_event(event: &str) -> &'static str {
    match event {
        "stream-started" => "StartStream",
        "stream-stopped" => "StopStream",
        _ => "DroppedStream",
    }
}

fn conference_event(change: ConferenceChange) -> &'static str {
    match change {
        ConferenceChange::Joined => "ConferenceEnter",
        ConferenceChange::Left => "ConferenceExit",
    }
}

/// Plivo writes numbers without their plus sign.
fn dialled(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
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

/// Which word stands for a ring timeout, and which for a call that is declined, is not written; the codes are.
fn status_name(call: &CallRecord, status: CallStatus) -> &'static str {
    match status {
        CallStatus::Queued | CallStatus::Initiated => "queued",
        CallStatus::Ringing => "ringing",
        CallStatus::InProgress => "in-progress",
        CallStatus::Completed => "completed",
        CallStatus::Busy | CallStatus::Rejected => "busy",
        CallStatus::NoAnswer if rang_out(call) => "timeout",
        CallStatus::NoAnswer => "no-answer",
        CallStatus::Failed => "failed",
        CallStatus::Canceled => "cancel",
    }
}

/// Telephony cause, code, its name and who did it: <https://docs.plivo.com/docs/voice/troubleshooting/hangup-causes>.
fn hangup_cause(call: &CallRecord, status: CallStatus) -> (&'static str, u32, &'static str, &'static str) {
    let person = match call.direction {
        Direction::Inbound => "Caller",
        Direction::Outbound => "Callee",
    };
    let by_markup = call.ended_by == Some(HangUp::Markup);
    match status {
        CallStatus::Busy if by_markup => ("USER_BUSY", 3010, "Busy Line", "Answer XML"),
        CallStatus::NoAnswer if by_markup => ("CALL_REJECTED", 3020, "Rejected", "Answer XML"),
        CallStatus::Busy => ("USER_BUSY", 3010, "Busy Line", "Carrier"),
        CallStatus::Rejected => ("CALL_REJECTED", 3020, "Rejected", "Callee"),
        CallStatus::NoAnswer if rang_out(call) => ("ORIGINATOR_CANCEL", 6010, "Ring Timeout Reached", "Plivo"),
        CallStatus::NoAnswer => ("NO_ANSWER", 3000, "No Answer", "Carrier"),
        CallStatus::Canceled if call.ended_by == Some(HangUp::Rest) => {
            ("ORIGINATOR_CANCEL", 1000, "Canceled", "API Request")
        }
        CallStatus::Canceled => ("ORIGINATOR_CANCEL", 4000, "Normal Hangup", person),
        CallStatus::Failed if call.ended_by == Some(HangUp::Fault) => {
            ("NORMAL_CLEARING", 7011, "Error Reaching Answer URL", "Error")
        }
        CallStatus::Failed => ("UNALLOCATED_NUMBER", 3050, "Unallocated number", "Carrier"),
        _ => match call.ended_by {
            Some(HangUp::Rest) => ("NORMAL_CLEARING", 4000, "Normal Hangup", "API Request"),
            Some(HangUp::Fault) => ("NORMAL_CLEARING", 7011, "Error Reaching Answer URL", "Error"),
            Some(HangUp::Markup | HangUp::Conference | HangUp::Media) => {
                ("NORMAL_CLEARING", 4010, "End Of XML Instructions", "Plivo")
            }
            _ => ("NORMAL_CLEARING", 4000, "Normal Hangup", person),
        },
    }
}

fn cost(call: &CallRecord) -> String {
    format!("{:.5}", RATE * call.duration_s().div_ceil(60) as f64)
}

/// `2024-09-26 14:05:18`, in UTC.
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

/// Defaults of "callback configurations": one retry, when the connection cannot be made or nothing is heard for 40 seconds;
/// `rc`, `rp`, `rt` and `ct` in the fragment change that.
fn retry_policy(url: &str) -> RetryPolicy {
    const READ_TIMEOUT_MS: u64 = 40_000;
    let mut policy = RetryPolicy {
        retries_max: 1,
        connection_failed: true,
        read_timed_out: true,
        status_4xx: false,
        status_5xx: false,
        attempt_timeout: Duration::from_millis(READ_TIMEOUT_MS),
    };
    let Some((_, fragment)) = url.split_once('#') else {
        return policy;
    };
    for (name, value) in form_urlencoded::parse(fragment.as_bytes()) {
        match &*name {
            "rc" => {
                let count = value.parse::<u32>();
                policy.retries_max = count.map_or(policy.retries_max, |count| count.min(3));
            }
            "rt" => {
                let ms = value.parse().unwrap_or(READ_TIMEOUT_MS).clamp(100, READ_TIMEOUT_MS);
                policy.attempt_timeout = Duration::from_millis(ms);
            }
            "rp" => {
                let says = |name: &str| value.split(',').any(|policy| policy == name || policy == "all");
                policy.connection_failed = says("ct");
                policy.read_timed_out = says("rt");
                policy.status_4xx = says("4xx");
                policy.status_5xx = says("5xx");
            }
            _ => {}
        }
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the tests of Plivo's Go library, version 7.
    const KNOWN_TOKEN: &str = "Y2Q2ZDgxZmY5YWRiOTI5YmQ1Njg0MTAxZWIyOTc4";
    const KNOWN_NONCE: &str = "31627761595286130198";
    const KNOWN_URL: &str = "https://plivobin.non-prod.plivops.com/api/v1/validate_signature03.xml";
    const KNOWN_FORM: &str = "Direction=outbound&From=19792014278&ALegUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36&CallStatus=in-progress&BillRate=0.002&ParentAuthID=MANWVLYTK4ZWU1YTY4QA&To=sip%3APlivoSignature382029104058171078704104%40phone-qa.voice.plivodev.com&ALegRequestUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36&CallUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36&RequestUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36&SIP-H-To=%3Csip%3APlivoSignature382029104058171078704104%4052.9.11.55%3Btransport%3Dudp%3E%3Btag%3D1&SessionStart=2020-04-08+11%3A34%3A33.238707&Event=StartApp";

    fn bytes(form: &str) -> Vec<(String, Vec<u8>)> {
        form_urlencoded::parse(form.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned().into_bytes()))
            .collect()
    }

    fn header<'a>(request: &'a WebhookRequest, name: &str) -> &'a str {
        let found = request.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    fn outbound() -> CallRecord {
        let mut call = CallRecord::new("live".into(), Direction::Outbound, OWN_NUMBER, "+12025550147");
        call.earlier_id = Some("request".into());
        call
    }

    fn sent(call: &CallRecord, kind: &WebhookKind) -> Vec<(String, String)> {
        let target = WebhookTarget::post("https://voice.example.com/cb");
        let request = Plivo.webhook(call, kind, &target, &Tamper::default());
        form_urlencoded::parse(&request.body).into_owned().collect()
    }

    fn value<'a>(parameters: &'a [(String, String)], name: &str) -> &'a str {
        let found = parameters.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    #[test]
    fn signs_as_plivos_own_libraries() {
        let with_query = format!("{KNOWN_URL}/?a=b&c=d");
        for (url, form, expected) in [
            (
                with_query.as_str(),
                KNOWN_FORM,
                "k7Pusd4OxCIjR5IfA9iedDNu/h/gbdYqdzG/MiYtd1c=",
            ),
            (KNOWN_URL, KNOWN_FORM, "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0="),
            (
                &format!("{with_query}&{KNOWN_FORM}"),
                "",
                "UBq8jAtd32wR8EK9VgxbBn4n5rpI/l1H9iN4WfSEHFQ=",
            ),
            (
                &format!("{KNOWN_URL}?{KNOWN_FORM}"),
                "",
                "i/MQsaQSAd6fiKhOh2qeeeLHZ9faldADSb3/7+Akfbc=",
            ),
        ] {
            let message = signed_message(url, &bytes(form), KNOWN_NONCE);
            assert_eq!(sign(&message, KNOWN_TOKEN), expected, "{url}");
        }
    }

    #[test]
    fn a_webhook_is_recognisable_and_carries_both_accounts_signatures() {
        let call = CallRecord::new("u1".into(), Direction::Inbound, "+442071838750", OWN_NUMBER);
        let target = WebhookTarget::post("https://voice.example.com/in?b=2&a=1#rc=2");
        let request = Plivo.webhook(&call, &WebhookKind::Incoming, &target, &Tamper::default());
        assert_eq!(request.url, "https://voice.example.com/in?b=2&a=1");
        let parameters: Vec<(String, String)> = form_urlencoded::parse(&request.body).into_owned().collect();
        for (name, expected) in [
            ("CallUUID", "u1"),
            ("From", "442071838750"),
            ("To", "14085550131"),
            ("CallStatus", "ringing"),
            ("Direction", "inbound"),
            ("Event", "StartApp"),
            ("ParentAuthID", AUTH_ID),
        ] {
            assert_eq!(value(&parameters, name), expected, "{name}");
        }
        let body = String::from_utf8(request.body.clone()).unwrap();
        let message = signed_message(&request.url, &bytes(&body), &request.token);
        assert_eq!(header(&request, V3), sign(&message, AUTH_TOKEN));
        assert_eq!(header(&request, V3), header(&request, V3_MAIN));
        assert_eq!(header(&request, V3_NONCE).len(), 20);

        let subaccount = Tamper {
            newer_signature: true,
            ..Tamper::default()
        };
        let request = Plivo.webhook(&call, &WebhookKind::Incoming, &target, &subaccount);
        let body = String::from_utf8(request.body.clone()).unwrap();
        let message = signed_message(&request.url, &bytes(&body), &request.token);
        assert_eq!(header(&request, V3_MAIN), sign(&message, AUTH_TOKEN));
        assert_ne!(header(&request, V3), header(&request, V3_MAIN));

        let unsigned = Tamper {
            signing: Signing::Missing,
            ..Tamper::default()
        };
        let get = WebhookTarget::get("https://voice.example.com/in");
        let request = Plivo.webhook(&call, &WebhookKind::Incoming, &get, &unsigned);
        assert!(request.url.contains("/in?CallUUID=u1") && request.body.is_empty());
        assert!(
            !request
                .headers
                .iter()
                .any(|(name, _)| name.starts_with("x-plivo-signature"))
        );
    }

    #[test]
    fn an_outbound_call_is_told_under_its_own_id_and_its_requests() {
        let told = sent(&outbound(), &WebhookKind::Status(CallStatus::Ringing));
        assert_eq!(value(&told, "Event"), "Ring");
        assert_eq!(
            (value(&told, "CallUUID"), value(&told, "RequestUUID")),
            ("live", "request")
        );
        let asked = sent(&outbound(), &WebhookKind::Answered);
        assert_eq!(
            (value(&asked, "Event"), value(&asked, "CallStatus")),
            ("StartApp", "in-progress")
        );
    }

    #[test]
    fn the_end_of_a_call_has_a_cause() {
        let told = |status: CallStatus, ended_by: HangUp, seconds: u64| {
            let mut call = outbound();
            call.ring_timeout = Some(Duration::from_secs(30));
            call.status = status;
            call.ended_by = Some(ended_by);
            let start = call.created;
            if status == CallStatus::Completed {
                call.answered = Some(start);
            }
            call.ended = Some(start + Duration::from_secs(seconds));
            let told = sent(&call, &WebhookKind::Status(status));
            assert_eq!(value(&told, "Event"), "Hangup");
            ["CallStatus", "HangupCauseCode", "Duration", "TotalCost"].map(|name| value(&told, name).to_owned())
        };
        for (status, ended_by, seconds, expected) in [
            (
                CallStatus::Completed,
                HangUp::Person,
                61,
                ["completed", "4000", "61", "0.01100"],
            ),
            (
                CallStatus::Completed,
                HangUp::Markup,
                1,
                ["completed", "4010", "1", "0.00550"],
            ),
            (
                CallStatus::Busy,
                HangUp::Unanswered,
                1,
                ["busy", "3010", "0", "0.00000"],
            ),
            (
                CallStatus::Rejected,
                HangUp::Unanswered,
                1,
                ["busy", "3020", "0", "0.00000"],
            ),
            (
                CallStatus::NoAnswer,
                HangUp::Unanswered,
                10,
                ["no-answer", "3000", "0", "0.00000"],
            ),
            (
                CallStatus::NoAnswer,
                HangUp::Unanswered,
                30,
                ["timeout", "6010", "0", "0.00000"],
            ),
            (
                CallStatus::Failed,
                HangUp::Unanswered,
                0,
                ["failed", "3050", "0", "0.00000"],
            ),
            (
                CallStatus::Canceled,
                HangUp::Rest,
                3,
                ["cancel", "1000", "0", "0.00000"],
            ),
        ] {
            assert_eq!(
                told(status, ended_by, seconds),
                expected.map(str::to_owned),
                "{status:?}"
            );
        }
    }

    #[test]
    fn a_numbers_application_decides_where_its_calls_go() {
        let mut ledger = Ledger::default();
        Plivo.open_account(&mut ledger);
        let route = Plivo.inbound_route(&ledger, OTHER_NUMBER);
        assert_eq!(
            route.voice,
            Some(WebhookTarget::post("https://reminders.example.com/answer"))
        );
        assert!(route.callbacks[0].covers(CallStatus::Busy) && !route.callbacks[0].covers(CallStatus::Ringing));
        let route = Plivo.inbound_route(&ledger, OWN_NUMBER);
        assert_eq!((route.voice, route.callbacks.len()), (Some(WebhookTarget::post("")), 0));
    }

    #[test]
    fn times_are_written_as_plivo_does() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_709_164_800);
        assert_eq!(datetime(time), "2024-02-29 00:00:00");
        let usual = retry_policy("https://example.com/x");
        assert!(usual.read_timed_out && !usual.status_5xx && usual.attempt_timeout == Duration::from_secs(40));
        let all = retry_policy("https://example.com/x#rc=2&rp=5xx,ct&rt=2000");
        assert!(all.retries_max == 2 && all.status_5xx && all.connection_failed && !all.read_timed_out);
    }
}
