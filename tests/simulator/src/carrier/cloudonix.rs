//! Cloudonix: webhooks that present a key, CXML, a stream in Twilio's shape, sessions, numbers and trunks over REST.
//!
//! Written from Cloudonix's documentation and from recorded requests. What both leave open is marked where it is decided.

mod cxml;
mod rest;
mod stream;

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::{
    CallRecord, Carrier, ConferenceChange, InboundRoute, Ledger, MediaDialect, Notice, RateLimit, RestAnswer,
    RestRequest, RestResponse, RetryPolicy, StreamInstruction, Tamper, WebhookKind, WebhookRequest, WebhookResponse,
    WebhookTarget, random_hex, subscribed,
};
use crate::{
    carrier::Instruction,
    misbehaviour::Signing,
    report::{CallStatus, Direction},
};

const DOMAIN: &str = "strowger-sim.cloudonix.net";
const DOMAIN_ID: u64 = 1780;
const DOMAIN_UUID: &str = "7b0e6c1a-3d52-4f8e-9c47-2a61d0f5b983";
/// The API key of the domain.
const BEARER_TOKEN: &str = "XI5C2F81D94B6E40A7B3D0915E7F2A8C64";
/// What the domain's administrator has entered for requests to customers' endpoints.
const REQUEST_KEY: &str = "0Lq^vS-kI3Q!_U65_wj=E36kv7--pQM2";
/// The platform's own key in `X-CX-APIKey`. Whoever runs the gateway does not know it.
const APPLICATION_KEY: &str = "XI0B71D4E2A95F4C38B6D27E10C8A3F95D";
const OWN_NUMBER: &str = "+17185550142";
/// Where the customer has the domain's call detail records sent.
const CDR_PATH: &str = "/api/v1/telephony/cloudonix/cdr";

/// Names of webhooks that only Cloudonix has.
const NEW: &str = "session new";
const CDR: &str = "cdr";

#[derive(Debug)]
pub(super) struct Cloudonix;

impl Carrier for Cloudonix {
    fn name(&self) -> &'static str {
        "cloudonix"
    }

    fn rest_host(&self) -> &'static str {
        "api.cloudonix.io"
    }

    fn credentials(&self) -> Value {
        json!({ "bearer_token": BEARER_TOKEN, "domain_id": DOMAIN, "api_key": REQUEST_KEY })
    }

    fn own_number(&self) -> &'static str {
        OWN_NUMBER
    }

    fn open_account(&self, ledger: &mut Ledger) {
        let domain = json!({
            "id": DOMAIN_ID, "domain": DOMAIN, "uuid": DOMAIN_UUID, "active": true,
            "profile": { "authorization-api-key": REQUEST_KEY }, "defaultApplication": null, "aliases": [],
        });
        ledger.objects.insert("domain".to_owned(), domain);
    }

    fn new_call_id(&self) -> String {
        random_hex(32)
    }

    fn handle_rest(&self, ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
        rest::handle(ledger, request)
    }

    fn rest_error(&self, status: u16) -> RestResponse {
        rest::error(status, "The request could not be served")
    }

    fn rate_limit(&self) -> Option<RateLimit> {
        Some(RateLimit {
            requests: 10,
            per: Duration::from_secs(10),
        })
    }

    /// The application that the number is registered at, or the domain's default application.
    fn inbound_route(&self, ledger: &Ledger, to: &str) -> InboundRoute {
        let registered = ledger.number(to).and_then(|number| number.application.as_deref());
        let application = match registered {
            Some(uuid) => rest::application(ledger, uuid),
            None => rest::default_application(ledger),
        };
        let text = |name: &str| application.and_then(|application| application[name].as_str());
        InboundRoute {
            voice: Some(WebhookTarget {
                url: text("url").unwrap_or_default().to_owned(),
                method: text("method").unwrap_or("POST").to_owned(),
            }),
            callbacks: Vec::new(),
            extra: application.cloned().unwrap_or(Value::Null),
        }
    }

    fn webhook(
        &self,
        call: &CallRecord,
        kind: &WebhookKind,
        target: &WebhookTarget,
        tamper: &Tamper,
    ) -> WebhookRequest {
        let (mut parameters, of_application) = match kind {
            WebhookKind::Status(status) => (session(call, session_status(*status)), false),
            WebhookKind::Other(name) if name == NEW => (session(call, "NEW"), false),
            WebhookKind::Other(name) if name == CDR => (record(call), false),
            _ => (application_request(call, kind), true),
        };
        if tamper.padding_bytes > 0 {
            parameters.insert("Padding".to_owned(), "x".repeat(tamper.padding_bytes).into());
        }
        let mut headers = vec![("user-agent".to_owned(), "Cloudonix APP.Core/5.3.673".to_owned())];
        if of_application {
            let source = match call.direction {
                Direction::Inbound => "TRUNK",
                Direction::Outbound => "API",
            };
            let about = [
                ("x-cx-domain", DOMAIN),
                ("x-cx-from", &call.from),
                ("x-cx-to", &call.to),
                ("x-cx-session", &call.id),
                ("x-cx-source", source),
            ];
            headers.extend(about.map(|(name, value)| (name.to_owned(), value.to_owned())));
            headers.push(("x-cx-stageid".to_owned(), random_hex(16)));
        }
        headers.extend(keys(tamper, of_application));
        let mut url = target.url.clone();
        let body = if target.method == "GET" {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&query(&parameters));
            Vec::new()
        } else {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
            body(parameters, tamper)
        };
        WebhookRequest {
            method: if target.method == "GET" { "GET" } else { "POST" }.to_owned(),
            url,
            headers,
            body,
            token: String::new(),
        }
    }

    /// A request that fails ends the call; nothing is tried again.
    fn retry_policy(&self, _url: &str) -> RetryPolicy {
        RetryPolicy {
            attempt_timeout: Duration::from_secs(10),
            ..RetryPolicy::never()
        }
    }

    fn read_answer(&self, response: &WebhookResponse) -> Result<Vec<Instruction>, String> {
        cxml::read_response(response)
    }

    /// A session tells more than it has to: before it is routed it is new. At its end a record is made, whoever called.
    fn notices(
        &self,
        ledger: &mut Ledger,
        call: &CallRecord,
        what: &WebhookKind,
        given: Option<&WebhookTarget>,
    ) -> Vec<Notice> {
        let mut notices = subscribed(call, what, given);
        match what {
            WebhookKind::Status(CallStatus::Initiated) => {
                let first = notices.iter().filter_map(|notice| match notice {
                    Notice::Webhook { target, .. } => Some(notice_of(NEW, target.clone())),
                    Notice::Event { .. } => None,
                });
                let mut all: Vec<Notice> = first.collect();
                all.append(&mut notices);
                notices = all;
            }
            WebhookKind::Status(status) if status.is_final() && !ledger.gateway.is_empty() => {
                let url = format!("{}{CDR_PATH}", ledger.gateway);
                notices.push(notice_of(CDR, WebhookTarget::post(url)));
            }
            _ => {}
        }
        notices
    }

    fn upgrade_headers(&self, _url: &str, _tamper: &Tamper) -> Vec<(String, String)> {
        vec![("user-agent".to_owned(), "Cloudonix APP.Core/5.3.673".to_owned())]
    }

    fn open_stream(&self, call: &CallRecord, stream: &StreamInstruction) -> Box<dyn MediaDialect> {
        Box::new(stream::Stream::new(call, stream))
    }
}

fn notice_of(name: &str, target: WebhookTarget) -> Notice {
    Notice::Webhook {
        kind: WebhookKind::Other(name.to_owned()),
        target,
    }
}

/// What a webhook presents. Applications get the platform's key as well; nothing is written of updates and records, so they
/// get what the domain's profile promises for all requests to customers. The newer way has the customer's key in the header
/// of Cloudonix's own.
fn keys(tamper: &Tamper, of_application: bool) -> Vec<(String, String)> {
    let key = match tamper.signing {
        Signing::Right => REQUEST_KEY,
        Signing::Wrong => "another-key-than-the-one-entered",
        Signing::Missing => return Vec::new(),
    };
    if tamper.newer_signature {
        return vec![("x-cx-apikey".to_owned(), key.to_owned())];
    }
    let mut headers = vec![("authorization".to_owned(), format!("Bearer {key}"))];
    if of_application {
        headers.push(("x-cx-apikey".to_owned(), APPLICATION_KEY.to_owned()));
    }
    headers
}

/// The Call-ID of the SIP dialogue, which is not the session.
fn sip_call_id(call: &CallRecord) -> String {
    format!("{}@sbc.example", call.id.get(..16).unwrap_or(&call.id))
}

fn direction(call: &CallRecord) -> &'static str {
    match call.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound-api",
    }
}

/// A request of the voice application, which asks what to do or tells what became of a conference or stream.
fn application_request(call: &CallRecord, kind: &WebhookKind) -> Map<String, Value> {
    let status = if matches!(kind, WebhookKind::Incoming) {
        // As recorded, before anything is known of the call.
        "unknown"
    } else {
        "in-progress"
    };
    let mut parameters = object(json!({
        "ApiVersion": "1",
        "CallStatus": status,
        "From": call.from,
        "To": call.to,
        "CallSid": sip_call_id(call),
        "SessionData": session(call, if call.answered.is_some() { "connected" } else { "NEW" }),
        "Domain": DOMAIN,
        "Direction": direction(call),
        "AccountSid": DOMAIN,
        "Session": call.id,
    }));
    if let Some(uuid) = call.extra["uuid"].as_str() {
        parameters.insert("ApplicationSid".to_owned(), json!(uuid));
        parameters.insert("Application".to_owned(), call.extra.clone());
    }
    match kind {
        WebhookKind::Conference { name, change } => {
            let event = match change {
                ConferenceChange::Joined => "participant-join",
                ConferenceChange::Left => "participant-leave",
            };
            parameters.insert("ConferenceName".to_owned(), json!(name));
            parameters.insert("StatusCallbackEvent".to_owned(), json!(event));
        }
        WebhookKind::Stream {
            stream_id,
            event,
            error,
            ..
        } => {
            parameters.insert("StreamSid".to_owned(), json!(stream_id));
            parameters.insert("StreamEvent".to_owned(), json!(event));
            if !error.is_empty() {
                parameters.insert("StreamError".to_owned(), json!(error));
            }
        }
        _ => {}
    }
    parameters
}

/// The session, as it is sent in updates and given by the API.
fn session(call: &CallRecord, status: &str) -> Map<String, Value> {
    let id = u64::from_str_radix(call.id.get(..6).unwrap_or_default(), 16).unwrap_or(1);
    object(json!({
        "id": id,
        "domainId": DOMAIN_ID,
        "domain": DOMAIN,
        "domainNameOrId": DOMAIN,
        "subscriberId": null,
        "destination": call.to,
        "callerId": call.from,
        "direction": direction(call),
        "token": call.id,
        "timeLimit": null,
        "profile": { "callId": [sip_call_id(call)] },
        "callIds": [sip_call_id(call)],
        "callStartTime": milliseconds(call.created),
        "callAnswerTime": call.answered.map(milliseconds),
        "callEndTime": call.ended.map(milliseconds),
        "status": status,
        "ringing": call.status == CallStatus::Ringing,
        "vappServer": "172.24.40.152",
    }))
}

fn record(call: &CallRecord) -> Map<String, Value> {
    let disposition = match call.status {
        CallStatus::Completed => "ANSWER",
        CallStatus::Busy | CallStatus::Rejected => "BUSY",
        CallStatus::NoAnswer => "NOANSWER",
        CallStatus::Canceled => "CANCEL",
        CallStatus::Failed => "CONGESTION",
        _ => "FAILED",
    };
    let whole = call.ended.and_then(|ended| ended.duration_since(call.created).ok());
    object(json!({
        "timestamp": milliseconds(call.ended.unwrap_or(call.created)) / 1000,
        "domain": DOMAIN,
        "owner": { "domain": { "uuid": DOMAIN_UUID } },
        "session": session(call, session_status(call.status)),
        "from": call.from,
        "to": call.to,
        "disposition": disposition,
        "duration": whole.map(|whole| whole.as_secs()),
        "billsec": call.duration_s(),
    }))
}

fn session_status(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Queued => "new",
        CallStatus::Initiated => "processing",
        CallStatus::Ringing => "ringing",
        CallStatus::InProgress => "connected",
        CallStatus::Completed => "answer",
        CallStatus::Busy | CallStatus::Rejected => "busy",
        CallStatus::NoAnswer => "noanswer",
        CallStatus::Canceled => "cancel",
        CallStatus::Failed => "congestion",
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The parameters that are plain text; what is nested does not fit a query.
fn query(parameters: &Map<String, Value>) -> String {
    let texts = parameters
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_str()?)));
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(texts)
        .finish()
}

fn body(mut parameters: Map<String, Value>, tamper: &Tamper) -> Vec<u8> {
    const PLACEHOLDER: &str = "a name that is not text";
    if tamper.invalid_utf8 {
        parameters.insert("CallerName".to_owned(), json!(PLACEHOLDER));
    }
    let text = Value::Object(parameters).to_string();
    match text.split_once(PLACEHOLDER).filter(|_| tamper.invalid_utf8) {
        Some((before, after)) => [before.as_bytes(), b"Jos\xe9 \xff\xfe", after.as_bytes()].concat(),
        None => text.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> CallRecord {
        let mut call = CallRecord::new(
            "2eac5483c05842e885583d8f81f873dc".to_owned(),
            Direction::Inbound,
            "+442071838750",
            OWN_NUMBER,
        );
        call.created = SystemTime::UNIX_EPOCH + Duration::from_millis(1_659_451_145_018);
        call
    }

    fn sent(call: &CallRecord, kind: &WebhookKind, tamper: Tamper) -> (WebhookRequest, Value) {
        let target = WebhookTarget::post("https://voice.example.com/in");
        let request = Cloudonix.webhook(call, kind, &target, &tamper);
        let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        (request, body)
    }

    fn header<'a>(request: &'a WebhookRequest, name: &str) -> Option<&'a str> {
        let found = request.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    #[test]
    fn an_application_is_asked_as_recorded() {
        let (request, body) = sent(&call(), &WebhookKind::Incoming, Tamper::default());
        assert_eq!(body["Session"], "2eac5483c05842e885583d8f81f873dc");
        assert_eq!(body["SessionData"]["token"], body["Session"]);
        assert_eq!(body["CallSid"], "2eac5483c05842e8@sbc.example");
        assert_eq!((&body["Domain"], &body["AccountSid"]), (&json!(DOMAIN), &json!(DOMAIN)));
        assert_eq!(
            (&body["Direction"], &body["CallStatus"]),
            (&json!("inbound"), &json!("unknown"))
        );
        assert_eq!(
            header(&request, "authorization"),
            Some(format!("Bearer {REQUEST_KEY}").as_str())
        );
        assert_eq!(header(&request, "x-cx-apikey"), Some(APPLICATION_KEY));
        assert_eq!(header(&request, "x-cx-domain"), Some(DOMAIN));
    }

    #[test]
    fn keys_are_right_wrong_missing_or_in_the_other_header() {
        let with = |signing, newer_signature| {
            let tamper = Tamper {
                signing,
                newer_signature,
                ..Tamper::default()
            };
            let (request, _) = sent(&call(), &WebhookKind::Status(CallStatus::Ringing), tamper);
            let own = |name| header(&request, name).map(str::to_owned);
            (own("authorization"), own("x-cx-apikey"))
        };
        let right = format!("Bearer {REQUEST_KEY}");
        assert_eq!(with(Signing::Right, false), (Some(right.clone()), None));
        assert_eq!(with(Signing::Right, true), (None, Some(REQUEST_KEY.to_owned())));
        assert_ne!(with(Signing::Wrong, false).0, Some(right));
        assert_eq!(with(Signing::Missing, true), (None, None));
    }

    #[test]
    fn a_get_has_its_parameters_in_the_query() {
        let target = WebhookTarget::get("https://voice.example.com/in?a=1");
        let request = Cloudonix.webhook(&call(), &WebhookKind::Incoming, &target, &Tamper::default());
        assert!(
            request.url.starts_with("https://voice.example.com/in?a=1&"),
            "{}",
            request.url
        );
        assert!(request.url.contains("&From=%2B442071838750&"), "{}", request.url);
        assert!(request.body.is_empty() && !request.url.contains("SessionData"));
    }

    #[test]
    fn bytes_that_are_no_text_are_sent_as_they_are() {
        let tamper = Tamper {
            invalid_utf8: true,
            padding_bytes: 100,
            ..Tamper::default()
        };
        let (request, body) = sent(&call(), &WebhookKind::Incoming, tamper);
        assert_eq!(body, Value::Null);
        assert!(std::str::from_utf8(&request.body).is_err() && request.body.len() > 100);
    }

    #[test]
    fn a_session_is_told_from_new_to_its_record() {
        let mut ledger = Ledger {
            gateway: "https://voice.example.com".to_owned(),
            ..Ledger::default()
        };
        let mut call = call();
        let target = WebhookTarget::post("https://voice.example.com/status");
        call.callbacks.push(super::super::Subscription::to_all(target.clone()));
        let told = Cloudonix.notices(&mut ledger, &call, &WebhookKind::Status(CallStatus::Initiated), None);
        let expected = [
            WebhookKind::Other(NEW.to_owned()),
            WebhookKind::Status(CallStatus::Initiated),
        ];
        assert_eq!(told.len(), 2);
        for (notice, kind) in told.iter().zip(expected) {
            assert_eq!(
                *notice,
                Notice::Webhook {
                    kind,
                    target: target.clone()
                }
            );
        }
        call.status = CallStatus::Completed;
        call.answered = Some(call.created + Duration::from_secs(10));
        call.ended = Some(call.created + Duration::from_millis(22_500));
        let told = Cloudonix.notices(&mut ledger, &call, &WebhookKind::Status(CallStatus::Completed), None);
        assert_eq!(told.len(), 2);
        let (_, update) = sent(&call, &WebhookKind::Status(CallStatus::Completed), Tamper::default());
        assert_eq!(
            (&update["status"], &update["token"]),
            (&json!("answer"), &json!(call.id))
        );
        assert_eq!(update["callEndTime"], 1_659_451_167_518_u64);
        let (_, record) = sent(&call, &WebhookKind::Other(CDR.to_owned()), Tamper::default());
        assert_eq!(record["session"]["token"], call.id);
        assert_eq!(
            (&record["disposition"], &record["billsec"], &record["duration"]),
            (&json!("ANSWER"), &json!(13), &json!(22))
        );
    }

    #[test]
    fn an_arrival_in_a_conference_names_the_session() {
        let kind = WebhookKind::Conference {
            name: "room".to_owned(),
            change: ConferenceChange::Joined,
        };
        let (_, body) = sent(&call(), &kind, Tamper::default());
        assert_eq!(
            (&body["StatusCallbackEvent"], &body["ConferenceName"]),
            (&json!("participant-join"), &json!("room"))
        );
        assert_eq!(body["Session"], call().id);
    }
}
