//! Vonage: webhooks with signed tokens, call control objects, binary audio, the Voice, Application and Numbers APIs.
//!
//! Written from Vonage's documentation. What the documentation leaves open is marked where it is decided.

mod ncco;
mod rest;
mod socket;
mod token;

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    CallRecord, Carrier, InboundRoute, Instruction, Ledger, MediaDialect, RestAnswer, RestRequest, RestResponse,
    RetryPolicy, StreamInstruction, Subscription, Tamper, WebhookKind, WebhookRequest, WebhookResponse, WebhookTarget,
    WireAudio, rfc2822,
};
use crate::report::{CallStatus, Direction};

const APPLICATION_ID: &str = "78d335fa-323d-4114-9c3d-d6f0d48968cf";
/// A pair of keys made for this simulator, which opens nothing else.
const PRIVATE_KEY: &str = include_str!("vonage/private_key.pem");
const PUBLIC_KEY: &str = include_str!("vonage/public_key.pem");
const API_KEY: &str = "4f1c9a07";
const API_SECRET: &str = "Zk3vQm81TnYw0sBx";
const SIGNATURE_SECRET: &str = "w7Jx2Lr9Vd4Kq0Tn8Yb5Hs1Pf6Ua3Zc";
const OWN_NUMBER: &str = "+442079460123";
/// Where calls are carried: requests about them go there.
const REGION_HOST: &str = "api-eu-4.vonage.com";
/// In euros, for one minute.
const RATE: f64 = 0.0072;

#[derive(Debug)]
pub(super) struct Vonage;

impl Carrier for Vonage {
    fn name(&self) -> &'static str {
        "vonage"
    }

    fn rest_host(&self) -> &'static str {
        "api.nexmo.com"
    }

    fn rest_hosts(&self) -> Vec<&'static str> {
        vec![self.rest_host(), "rest.nexmo.com", REGION_HOST]
    }

    fn credentials(&self) -> Value {
        json!({
            "application_id": APPLICATION_ID,
            "private_key": PRIVATE_KEY,
            "api_key": API_KEY,
            "api_secret": API_SECRET,
            "signature_secret": SIGNATURE_SECRET,
        })
    }

    fn own_number(&self) -> &'static str {
        OWN_NUMBER
    }

    /// An application that also does messages, with a number that is linked to it.
    fn open_account(&self, ledger: &mut Ledger) {
        let webhook = |address: &str, method: &str| json!({ "address": address, "http_method": method });
        let application = json!({
            "id": APPLICATION_ID,
            "name": "Simulated application",
            "keys": { "public_key": PUBLIC_KEY },
            "privacy": { "improve_ai": false },
            "capabilities": {
                "messages": { "version": "v1", "webhooks": {
                    "inbound_url": webhook("https://messages.example/inbound", "POST"),
                    "status_url": webhook("https://messages.example/status", "POST"),
                } },
                "voice": {
                    "webhooks": {
                        "answer_url": webhook("", "POST"),
                        "event_url": webhook("", "POST"),
                        "fallback_answer_url": webhook("", "GET"),
                    },
                    "signed_callbacks": true,
                    "conversations_ttl": 48,
                    "region": "eu-west",
                },
            },
        });
        ledger
            .objects
            .insert(rest::application_key(APPLICATION_ID), application);
        for number in &mut ledger.numbers {
            number.application = Some(APPLICATION_ID.to_owned());
        }
    }

    fn audio(&self) -> WireAudio {
        WireAudio::Linear { rate_hz: 16_000 }
    }

    fn new_call_id(&self) -> String {
        Uuid::new_v4().to_string()
    }

    fn handle_rest(&self, ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
        rest::handle(ledger, request)
    }

    fn rest_error(&self, status: u16) -> RestResponse {
        rest::problem(status, "The request could not be served")
    }

    fn inbound_route(&self, ledger: &Ledger, to: &str) -> InboundRoute {
        let application = ledger.number(to).and_then(|number| number.application.as_deref());
        let voice = application
            .and_then(|id| ledger.objects.get(&rest::application_key(id)))
            .map(|application| &application["capabilities"]["voice"]);
        let target = |name: &str| {
            let webhook = &voice?["webhooks"][name];
            Some(WebhookTarget {
                url: webhook["address"].as_str()?.to_owned(),
                method: webhook["http_method"].as_str().unwrap_or("POST").to_owned(),
            })
        };
        let events = target("event_url").filter(|target| !target.url.is_empty());
        InboundRoute {
            voice: Some(target("answer_url").unwrap_or_else(|| WebhookTarget::post(""))),
            callbacks: events.into_iter().map(Subscription::to_all).collect(),
            extra: call_extra(voice.is_none_or(is_signed)),
        }
    }

    fn webhook(
        &self,
        call: &CallRecord,
        kind: &WebhookKind,
        target: &WebhookTarget,
        tamper: &Tamper,
    ) -> WebhookRequest {
        let mut members = members(call, kind);
        if tamper.padding_bytes > 0 {
            members.push(("padding", Value::String("x".repeat(tamper.padding_bytes))));
        }
        let mut url = target.url.clone();
        let mut headers = vec![("user-agent".to_owned(), "Vonage/1.0".to_owned())];
        let (method, body, payload) = if target.method == "GET" {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&query(&members));
            ("GET", Vec::new(), object(&members))
        } else {
            let mut body = object(&members);
            if tamper.invalid_utf8 {
                body.truncate(body.len() - 1);
                body.extend_from_slice(b",\"caller_name\":\"Jos\xe9 \xff\xfe\"}");
            }
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
            ("POST", body.clone(), body)
        };
        let jti = Uuid::new_v4().to_string();
        if call.extra["signed"].as_bool().unwrap_or(true) {
            headers.extend(token::header(&payload, &jti, tamper.signing));
        }
        WebhookRequest {
            method: method.to_owned(),
            url,
            headers,
            body,
            token: jti,
        }
    }

    /// A webhook is tried twice: after a connection that failed or broke, a timeout, 429, 503 or 504. The usual time for an
    /// event is 10 seconds; an answer has 5, counted from when the request was sent.
    fn retry_policy(&self, _url: &str) -> RetryPolicy {
        RetryPolicy {
            retries_max: 1,
            connection_failed: true,
            read_timed_out: true,
            status_4xx: false,
            status_5xx: true,
            attempt_timeout: Duration::from_secs(10),
        }
    }

    fn read_answer(&self, response: &WebhookResponse) -> Result<Vec<Instruction>, String> {
        ncco::read_response(response)
    }

    fn upgrade_headers(&self, _url: &str, _tamper: &Tamper) -> Vec<(String, String)> {
        vec![("user-agent".to_owned(), "Vonage/1.0".to_owned())]
    }

    fn open_stream(&self, call: &CallRecord, stream: &StreamInstruction) -> Box<dyn MediaDialect> {
        Box::new(socket::Socket::new(call, stream))
    }
}

/// What is kept of a call besides its record.
fn call_extra(signed: bool) -> Value {
    json!({ "conversation_uuid": format!("CON-{}", Uuid::new_v4()), "signed": signed })
}

/// Signed unless the application says otherwise.
fn is_signed(voice: &Value) -> bool {
    voice["signed_callbacks"].as_bool().unwrap_or(true)
}

/// What a webhook says, in the order in which it is sent.
fn members(call: &CallRecord, kind: &WebhookKind) -> Vec<(&'static str, Value)> {
    let text = |text: &str| Value::String(text.to_owned());
    let conversation = call.extra["conversation_uuid"].clone();
    let (from, to) = (vonage_number(&call.from), vonage_number(&call.to));
    let now = text(&timestamp(SystemTime::now()));
    match kind {
        WebhookKind::Incoming | WebhookKind::Answered | WebhookKind::Redirected => vec![
            ("from", text(from)),
            ("to", text(to)),
            ("uuid", text(&call.id)),
            ("conversation_uuid", conversation),
            (
                "endpoint_type",
                text(if to.starts_with("sip") { "sip" } else { "phone" }),
            ),
            ("region_url", text(&format!("https://{REGION_HOST}"))),
        ],
        // The socket is a leg of its own, and its address what was called.
        WebhookKind::Stream {
            stream_id, name, event, ..
        } => vec![
            ("from", text(from)),
            ("to", text(name)),
            ("uuid", text(stream_id)),
            ("conversation_uuid", conversation),
            (
                "status",
                text(match *event {
                    "stream-started" => "answered",
                    "stream-error" => "unanswered",
                    _ => "disconnected",
                }),
            ),
            ("direction", text("outbound")),
            ("timestamp", now),
        ],
        WebhookKind::Status(status) => {
            let mut members = vec![
                ("from", text(from)),
                ("to", text(to)),
                ("uuid", text(&call.id)),
                ("conversation_uuid", conversation),
                ("status", text(status_name(*status))),
                ("direction", text(direction(call.direction))),
                ("timestamp", now),
            ];
            match status {
                CallStatus::InProgress => members.extend([
                    ("start_time", Value::Null),
                    ("rate", Value::Null),
                    ("network", Value::Null),
                ]),
                CallStatus::Completed => members.extend([
                    ("start_time", text(&timestamp(call.answered.unwrap_or(call.created)))),
                    ("end_time", text(&timestamp(call.ended.unwrap_or(call.created)))),
                    ("duration", text(&call.duration_s().to_string())),
                    ("rate", text(&format!("{RATE:.8}"))),
                    ("price", text(&price(call))),
                    ("network", text("GB-FIXED")),
                ]),
                CallStatus::Rejected => members.push(("detail", text("declined"))),
                _ => {}
            }
            members
        }
        WebhookKind::Conference { .. } | WebhookKind::Digit(_) | WebhookKind::Other(_) => vec![
            ("reason", text(&kind.to_string())),
            ("conversation_uuid", conversation),
            ("timestamp", now),
        ],
    }
}

/// Compact JSON, with the members in order.
fn object(members: &[(&'static str, Value)]) -> Vec<u8> {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

fn query(members: &[(&'static str, Value)]) -> String {
    let value = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(members.iter().map(|(name, member)| (*name, value(member))))
        .finish()
}

fn status_name(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Queued | CallStatus::Initiated => "started",
        CallStatus::Ringing => "ringing",
        CallStatus::InProgress => "answered",
        CallStatus::Completed => "completed",
        CallStatus::Busy => "busy",
        CallStatus::NoAnswer => "timeout",
        // Who declines, or cannot be reached, has not answered; `rejected` is a refusal by Vonage.
        CallStatus::Rejected => "unanswered",
        CallStatus::Failed => "failed",
        CallStatus::Canceled => "cancelled",
    }
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// Numbers are written without the plus sign.
fn vonage_number(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
}

/// Billed by the second.
fn price(call: &CallRecord) -> String {
    format!("{:.8}", RATE * call.duration_s() as f64 / 60.0)
}

/// ISO 8601 in UTC.
fn timestamp(time: SystemTime) -> String {
    let (date, clock) = date_and_clock(time);
    format!("{date}T{clock}.000Z")
}

/// `2020-01-01` and `12:00:00`, in UTC.
fn date_and_clock(time: SystemTime) -> (String, String) {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let text = rfc2822(time);
    let month = MONTHS.find(&text[8..11]).map_or(1, |at| at / 3 + 1);
    (
        format!("{}-{month:02}-{}", &text[12..16], &text[5..7]),
        text[17..25].to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::misbehaviour::Signing;

    fn call(direction: Direction) -> CallRecord {
        let mut call = CallRecord::new("63f61863".into(), direction, "+447700900000", OWN_NUMBER);
        call.extra = call_extra(true);
        call
    }

    fn header<'a>(request: &'a WebhookRequest, name: &str) -> Option<&'a str> {
        let found = request.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    fn claims(request: &WebhookRequest) -> Value {
        let token = header(request, "authorization")
            .unwrap()
            .strip_prefix("Bearer ")
            .unwrap();
        let claims = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
    }

    #[test]
    fn a_webhook_covers_its_body() {
        let target = WebhookTarget::post("https://voice.example/in");
        let request = Vonage.webhook(
            &call(Direction::Inbound),
            &WebhookKind::Incoming,
            &target,
            &Tamper::default(),
        );
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(
            (&body["from"], &body["to"]),
            (&json!("447700900000"), &json!("442079460123"))
        );
        assert_eq!(body["region_url"], "https://api-eu-4.vonage.com");
        assert!(body["conversation_uuid"].as_str().unwrap().starts_with("CON-"));
        assert!(body.get("status").is_none());
        let claims = claims(&request);
        assert_eq!(claims["payload_hash"], json!(hex(&Sha256::digest(&request.body))));
        assert_eq!(
            (&claims["iss"], &claims["api_key"]),
            (&json!("Vonage"), &json!(API_KEY))
        );
        assert_eq!(claims["jti"], json!(request.token));
    }

    #[test]
    fn a_get_webhook_covers_its_query() {
        let target = WebhookTarget::get("https://voice.example/ncco/1");
        let request = Vonage.webhook(
            &call(Direction::Outbound),
            &WebhookKind::Answered,
            &target,
            &Tamper::default(),
        );
        assert!(request.body.is_empty());
        let (_, query) = request.url.split_once('?').unwrap();
        let members: Vec<String> = form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| format!("{}:{}", json!(name), json!(value)))
            .collect();
        let payload = format!("{{{}}}", members.join(","));
        assert_eq!(
            claims(&request)["payload_hash"],
            json!(hex(&Sha256::digest(payload.as_bytes())))
        );
    }

    #[test]
    fn an_application_may_go_without_signatures() {
        let target = WebhookTarget::post("https://voice.example/in");
        let mut unsigned = call(Direction::Inbound);
        unsigned.extra = call_extra(false);
        let request = Vonage.webhook(&unsigned, &WebhookKind::Incoming, &target, &Tamper::default());
        assert_eq!(header(&request, "authorization"), None);
        let tamper = Tamper {
            signing: Signing::Missing,
            ..Tamper::default()
        };
        let request = Vonage.webhook(&call(Direction::Inbound), &WebhookKind::Incoming, &target, &tamper);
        assert_eq!(header(&request, "authorization"), None);
    }

    #[test]
    fn events_have_vonages_words() {
        let target = WebhookTarget::post("https://voice.example/events");
        let mut ended = call(Direction::Outbound);
        ended.answered = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_880_000));
        ended.ended = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_880_002));
        let told = |kind: &WebhookKind| -> Value {
            let request = Vonage.webhook(&ended, kind, &target, &Tamper::default());
            serde_json::from_slice(&request.body).unwrap()
        };
        let completed = told(&WebhookKind::Status(CallStatus::Completed));
        assert_eq!(
            (&completed["status"], &completed["duration"], &completed["end_time"]),
            (&json!("completed"), &json!("2"), &json!("2020-01-01T12:00:02.000Z"))
        );
        let declined = told(&WebhookKind::Status(CallStatus::Rejected));
        assert_eq!(
            (&declined["status"], &declined["detail"]),
            (&json!("unanswered"), &json!("declined"))
        );
        let socket = told(&WebhookKind::Stream {
            stream_id: "e0d4b8d2".into(),
            name: "wss://voice.example/ws".into(),
            event: "stream-stopped",
            error: String::new(),
        });
        assert_eq!(
            (&socket["uuid"], &socket["to"], &socket["status"]),
            (
                &json!("e0d4b8d2"),
                &json!("wss://voice.example/ws"),
                &json!("disconnected")
            )
        );
    }

    #[test]
    fn calls_go_where_the_application_says() {
        let mut ledger = Ledger::default();
        ledger
            .numbers
            .push(super::super::NumberRecord::new("1".into(), OWN_NUMBER));
        Vonage.open_account(&mut ledger);
        let usual = Vonage.inbound_route(&ledger, OWN_NUMBER);
        assert_eq!((usual.voice, usual.callbacks), (Some(WebhookTarget::post("")), vec![]));
        let application = ledger.objects.get_mut(&rest::application_key(APPLICATION_ID)).unwrap();
        let voice = &mut application["capabilities"]["voice"];
        voice["webhooks"]["answer_url"] = json!({ "address": "https://a.example/in", "http_method": "GET" });
        voice["webhooks"]["event_url"]["address"] = json!("https://a.example/events");
        voice["signed_callbacks"] = json!(false);
        let directed = Vonage.inbound_route(&ledger, OWN_NUMBER);
        assert_eq!(directed.voice, Some(WebhookTarget::get("https://a.example/in")));
        assert_eq!(
            directed.callbacks[0].target,
            WebhookTarget::post("https://a.example/events")
        );
        assert_eq!(directed.extra["signed"], false);
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
