//! Telnyx: JSON webhooks signed with Ed25519, calls commanded over the REST API, media streaming, conferences.
//!
//! Written from Telnyx's documentation. What the documentation leaves open is marked where it is decided.

mod media;
mod rest;

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use super::{
    CallRecord, Carrier, ConferenceChange, InboundRoute, Ledger, MediaDialect, Notice, RestAnswer, RestRequest,
    RestResponse, RetryPolicy, StreamInstruction, Subscription, Tamper, WebhookKind, WebhookRequest, WebhookTarget,
    random_hex, rfc2822,
};
use crate::{
    misbehaviour::Signing,
    report::{CallStatus, Direction, HangUp},
};

const API_KEY: &str = "KEY018F3A5E7C1D7E2A9B4C3D5E6F708192_simulatedSimulatedSimu";
/// The Voice API application that the account has from the beginning.
const APPLICATION: &str = "1293384261075731499";
const OWN_NUMBER: &str = "+15005550006";
/// The account's signing key; customers see its public half.
const SIGNING_SEED: [u8; 32] = *b"telnyx simulator, webhook signer";
/// In place of a byte that is not UTF-8, until the JSON is written.
const BROKEN: &str = "@broken@";

#[derive(Debug)]
pub(super) struct Telnyx;

impl Carrier for Telnyx {
    fn name(&self) -> &'static str {
        "telnyx"
    }

    fn rest_host(&self) -> &'static str {
        "api.telnyx.com"
    }

    fn credentials(&self) -> Value {
        let public_key = SigningKey::from_bytes(&SIGNING_SEED).verifying_key();
        json!({
            "api_key": API_KEY,
            "connection_id": APPLICATION,
            "webhook_public_key": STANDARD.encode(public_key.as_bytes()),
        })
    }

    fn own_number(&self) -> &'static str {
        OWN_NUMBER
    }

    fn open_account(&self, ledger: &mut Ledger) {
        rest::add_application(ledger, APPLICATION, "Simulated application", "", "2");
        for number in &mut ledger.numbers {
            number.application = Some(APPLICATION.to_owned());
        }
    }

    fn new_call_id(&self) -> String {
        // The characters of its own identifiers: a colon stands in each.
        format!("v3:{}_{}-Q", random_hex(20), random_hex(30))
    }

    fn handle_rest(&self, ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
        rest::handle(ledger, request)
    }

    fn rest_error(&self, status: u16) -> RestResponse {
        let (code, title) = match status {
            401 => ("10009", "Authentication failed"),
            403 => ("10010", "Authorization failed"),
            404 => ("10005", "Resource not found"),
            409 => ("10012", "Duplicate resource"),
            429 => ("10011", "Too many requests"),
            _ => ("10007", "Unexpected error"),
        };
        rest::error(status, code, title)
    }

    /// Every number of an application is announced where its application says, and so is every event of a call that nobody
    /// has given another address.
    fn inbound_route(&self, ledger: &Ledger, to: &str) -> InboundRoute {
        let application = ledger
            .number(to)
            .and_then(|number| number.application.clone())
            .unwrap_or_default();
        let target = WebhookTarget::post(rest::webhook_url(ledger, &application));
        InboundRoute {
            voice: Some(target.clone()),
            callbacks: vec![Subscription::to_all(target)],
            extra: json!({ "connection_id": application }),
        }
    }

    fn webhook(
        &self,
        call: &CallRecord,
        kind: &WebhookKind,
        target: &WebhookTarget,
        tamper: &Tamper,
    ) -> WebhookRequest {
        let id = uuid();
        let body = body(call, kind, target, tamper, &id);
        let mut headers = vec![
            ("user-agent".to_owned(), "telnyx-webhooks".to_owned()),
            ("content-type".to_owned(), "application/json".to_owned()),
        ];
        headers.extend(signature_headers(&body, unix_s(SystemTime::now()), tamper.signing));
        WebhookRequest {
            method: "POST".to_owned(),
            url: target.url.clone(),
            headers,
            body,
            token: id,
        }
    }

    /// "Retries webhook delivery if your application does not respond within a certain time threshold", and on any answer
    /// that is no success. How often and after how long is not said; the same bytes come again.
    fn retry_policy(&self, _url: &str) -> RetryPolicy {
        RetryPolicy {
            retries_max: 2,
            connection_failed: true,
            read_timed_out: true,
            status_4xx: true,
            status_5xx: true,
            attempt_timeout: Duration::from_secs(10),
        }
    }

    /// Everything about a call is told at one address: that of its last command, else its application's.
    fn notices(
        &self,
        ledger: &mut Ledger,
        call: &CallRecord,
        what: &WebhookKind,
        _given: Option<&WebhookTarget>,
    ) -> Vec<Notice> {
        if let WebhookKind::Conference { name, change } = what {
            rest::conference_changed(ledger, name, &call.id, *change);
        }
        // There is no event for ringing, and a call that comes in was announced already.
        if event_type(call, what).is_none() || matches!(what, WebhookKind::Incoming) {
            return Vec::new();
        }
        let target = call.callbacks.first().map(|subscription| subscription.target.clone());
        let notice = |target| Notice::Webhook {
            kind: what.clone(),
            target,
        };
        target.map(notice).into_iter().collect()
    }

    fn upgrade_headers(&self, _url: &str, _tamper: &Tamper) -> Vec<(String, String)> {
        vec![("user-agent".to_owned(), "telnyx-media-streaming".to_owned())]
    }

    fn open_stream(&self, call: &CallRecord, stream: &StreamInstruction) -> Box<dyn MediaDialect> {
        Box::new(media::MediaStream::new(call, stream))
    }
}

/// What this is called in a webhook; nothing for what Telnyx does not tell.
fn event_type(call: &CallRecord, kind: &WebhookKind) -> Option<String> {
    let name = match kind {
        WebhookKind::Incoming => "call.initiated",
        WebhookKind::Status(CallStatus::Initiated) if call.direction == Direction::Outbound => "call.initiated",
        WebhookKind::Status(CallStatus::InProgress) => "call.answered",
        WebhookKind::Status(status) if status.is_final() => "call.hangup",
        WebhookKind::Stream { event, .. } => match *event {
            "stream-started" => "streaming.started",
            "stream-stopped" => "streaming.stopped",
            _ => "streaming.failed",
        },
        WebhookKind::Conference { change, .. } => match change {
            ConferenceChange::Joined => "conference.participant.joined",
            ConferenceChange::Left => "conference.participant.left",
        },
        WebhookKind::Digit(_) => "call.dtmf.received",
        WebhookKind::Other(name) => name,
        WebhookKind::Answered | WebhookKind::Redirected | WebhookKind::Status(_) => return None,
    };
    Some(name.to_owned())
}

fn body(call: &CallRecord, kind: &WebhookKind, target: &WebhookTarget, tamper: &Tamper, id: &str) -> Vec<u8> {
    let now = rfc3339(SystemTime::now());
    let mut payload = json!({
        "call_control_id": call.id,
        "call_leg_id": leg_id(call),
        "call_session_id": leg_id(call),
        "client_state": call.extra["client_state"],
        "connection_id": call.extra["connection_id"],
        "from": call.from,
        "to": call.to,
        "start_time": rfc3339(call.created),
    });
    match kind {
        WebhookKind::Incoming => {
            payload["direction"] = json!("incoming");
            payload["state"] = json!("parked");
            payload["caller_id_name"] = json!(call.from);
            payload["offered_codecs"] = json!("PCMU,PCMA,G729");
        }
        WebhookKind::Status(CallStatus::Initiated) => {
            payload["direction"] = json!("outgoing");
            payload["state"] = json!("bridging");
        }
        WebhookKind::Status(CallStatus::InProgress) => payload["state"] = json!("answered"),
        WebhookKind::Status(status) => {
            let (cause, sip) = hangup_cause(*status, call.direction);
            payload["state"] = json!("hangup");
            payload["hangup_cause"] = json!(cause);
            payload["hangup_source"] = json!(hangup_source(call));
            payload["sip_hangup_cause"] = json!(sip);
            payload["end_time"] = json!(now);
            // Says so too, so that one who looks at it alone takes it for a new call.
            if call.direction == Direction::Inbound {
                payload["direction"] = json!("incoming");
            }
        }
        WebhookKind::Stream { stream_id, error, .. } => {
            payload["stream_id"] = json!(stream_id);
            if !error.is_empty() {
                payload["failure_reason"] = json!(error);
            }
        }
        WebhookKind::Conference { name, .. } => payload["conference_id"] = json!(name),
        WebhookKind::Digit(digit) => payload["digit"] = json!(digit.to_string()),
        WebhookKind::Other(name) if name == "call.speak.ended" => payload["status"] = json!("completed"),
        WebhookKind::Answered | WebhookKind::Redirected | WebhookKind::Other(_) => {}
    }
    if tamper.padding_bytes > 0 {
        payload["padding"] = json!("x".repeat(tamper.padding_bytes));
    }
    if tamper.invalid_utf8 {
        payload["caller_id_name"] = json!(format!("Jos{BROKEN}"));
    }
    let document = json!({
        "data": {
            "event_type": event_type(call, kind).unwrap_or_default(),
            "id": id,
            "occurred_at": now,
            "payload": payload,
            "record_type": "event",
        },
        "meta": { "attempt": 1, "delivered_to": target.url },
    });
    let text = document.to_string();
    match text.split_once(BROKEN) {
        Some((before, after)) => [before.as_bytes(), b"\xe9 \xff\xfe", after.as_bytes()].concat(),
        None => text.into_bytes(),
    }
}

/// The documented causes, and the SIP response code where there was one.
fn hangup_cause(status: CallStatus, direction: Direction) -> (&'static str, &'static str) {
    match (status, direction) {
        (CallStatus::Completed, _) => ("normal_clearing", "200"),
        (CallStatus::Busy, _) => ("user_busy", "486"),
        (CallStatus::Rejected, _) => ("call_rejected", "603"),
        // Telnyx's own timer, or the callee's network.
        (CallStatus::NoAnswer, Direction::Outbound) => ("timeout", "487"),
        (CallStatus::NoAnswer, Direction::Inbound) => ("call_rejected", "unspecified"),
        (CallStatus::Canceled, Direction::Outbound) => ("originator_cancel", "487"),
        (CallStatus::Canceled, Direction::Inbound) => ("originator_cancel", "unspecified"),
        (CallStatus::Failed, Direction::Outbound) => ("not_found", "404"),
        _ => ("unspecified", "unspecified"),
    }
}

fn hangup_source(call: &CallRecord) -> &'static str {
    match (call.ended_by, call.direction) {
        (Some(HangUp::Person), Direction::Inbound) | (Some(HangUp::Rest | HangUp::Conference), Direction::Outbound) => {
            "caller"
        }
        (Some(HangUp::Person | HangUp::Unanswered), Direction::Outbound)
        | (Some(HangUp::Rest | HangUp::Conference), Direction::Inbound) => "callee",
        _ => "unknown",
    }
}

fn signature_headers(body: &[u8], timestamp: u64, signing: Signing) -> Vec<(String, String)> {
    let seed = match signing {
        Signing::Right => SIGNING_SEED,
        Signing::Wrong => [0x5a; 32],
        Signing::Missing => return Vec::new(),
    };
    let signature = signature(&seed, timestamp, body);
    vec![
        ("telnyx-signature-ed25519".to_owned(), signature),
        ("telnyx-timestamp".to_owned(), timestamp.to_string()),
    ]
}

/// Base64 of Ed25519 over the timestamp, a bar and the body.
fn signature(seed: &[u8; 32], timestamp: u64, body: &[u8]) -> String {
    let message = [timestamp.to_string().as_bytes(), b"|", body].concat();
    STANDARD.encode(SigningKey::from_bytes(seed).sign(&message).to_bytes())
}

/// One and the same for all events of a leg.
fn leg_id(call: &CallRecord) -> String {
    let digits: String = call.id.chars().filter(char::is_ascii_hexdigit).take(12).collect();
    format!("b0e6224c-c81c-11f0-afbb-{digits:0<12}")
}

fn uuid() -> String {
    let digits = random_hex(32);
    format!(
        "{}-{}-4{}-a{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..]
    )
}

fn unix_s(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// `2018-02-02T22:25:27.521992Z`.
fn rfc3339(time: SystemTime) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let date = rfc2822(time);
    let month = MONTHS.iter().position(|name| *name == &date[8..11]).unwrap_or_default() + 1;
    let micros = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_micros());
    format!(
        "{}-{month:02}-{}T{}.{micros:06}Z",
        &date[12..16],
        &date[5..7],
        &date[17..25]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(direction: Direction) -> CallRecord {
        let mut call = CallRecord::new("v3:abc".into(), direction, "+14155550100", OWN_NUMBER);
        call.extra = json!({ "connection_id": APPLICATION, "client_state": "c3RhdGU=" });
        call.callbacks = vec![Subscription::to_all(WebhookTarget::post(
            "https://gateway.example/events",
        ))];
        call
    }

    fn webhook(call: &CallRecord, kind: &WebhookKind) -> Value {
        let target = WebhookTarget::post("https://gateway.example/events");
        let request = Telnyx.webhook(call, kind, &target, &Tamper::default());
        serde_json::from_slice(&request.body).unwrap()
    }

    #[test]
    fn signs_as_the_official_package_verifies() {
        // The seed of RFC 8032 §7.1, TEST 1; checked with `telnyx.lib.webhook_verification` of version 4.189.
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
            0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ];
        let body = br#"{"data":{"event_type":"call.initiated"}}"#;
        assert_eq!(
            signature(&seed, 1_763_868_600, body),
            "AAUlTypdluHQd+thGgEJJlnHKIfDRZEZKWnTJBy0u00yqTExLU+0KS3c+/6Ghim6VHD1/zVgzXBj00AbvVbSBw=="
        );
    }

    #[test]
    fn a_new_call_is_told_as_in_the_documentation() {
        let event = webhook(&call(Direction::Inbound), &WebhookKind::Incoming);
        assert_eq!(event["data"]["record_type"], "event");
        assert_eq!(event["data"]["event_type"], "call.initiated");
        let payload = &event["data"]["payload"];
        assert_eq!(payload["direction"], "incoming");
        assert_eq!(payload["state"], "parked");
        assert_eq!(payload["call_control_id"], "v3:abc");
        assert_eq!(payload["connection_id"], APPLICATION);
        assert_eq!(event["meta"]["delivered_to"], "https://gateway.example/events");
    }

    #[test]
    fn every_end_has_its_cause() {
        for (status, direction, cause) in [
            (CallStatus::Completed, Direction::Outbound, "normal_clearing"),
            (CallStatus::Busy, Direction::Outbound, "user_busy"),
            (CallStatus::Rejected, Direction::Outbound, "call_rejected"),
            (CallStatus::NoAnswer, Direction::Outbound, "timeout"),
            (CallStatus::Failed, Direction::Outbound, "not_found"),
            (CallStatus::Canceled, Direction::Inbound, "originator_cancel"),
            (CallStatus::Failed, Direction::Inbound, "unspecified"),
        ] {
            let event = webhook(&call(direction), &WebhookKind::Status(status));
            assert_eq!(event["data"]["event_type"], "call.hangup");
            assert_eq!(event["data"]["payload"]["hangup_cause"], cause);
            assert_eq!(event["data"]["payload"]["client_state"], "c3RhdGU=");
        }
    }

    #[test]
    fn ringing_is_not_told_and_the_rest_goes_to_one_address() {
        let mut ledger = Ledger::default();
        let outbound = call(Direction::Outbound);
        let mut told = |what: WebhookKind| !Telnyx.notices(&mut ledger, &outbound, &what, None).is_empty();
        assert!(told(WebhookKind::Status(CallStatus::Initiated)));
        assert!(!told(WebhookKind::Status(CallStatus::Ringing)));
        assert!(told(WebhookKind::Status(CallStatus::InProgress)));
        assert!(told(WebhookKind::Other("call.speak.ended".into())));
        assert!(told(WebhookKind::Status(CallStatus::Busy)));
        let inbound = call(Direction::Inbound);
        assert!(
            Telnyx
                .notices(&mut ledger, &inbound, &WebhookKind::Incoming, None)
                .is_empty()
        );
    }

    #[test]
    fn tampering_shows() {
        let target = WebhookTarget::post("https://gateway.example/events");
        let request =
            |tamper: Tamper| Telnyx.webhook(&call(Direction::Inbound), &WebhookKind::Incoming, &target, &tamper);
        let broken = request(Tamper {
            invalid_utf8: true,
            ..Tamper::default()
        });
        assert!(String::from_utf8(broken.body).is_err());
        let padded = request(Tamper {
            padding_bytes: 5000,
            ..Tamper::default()
        });
        assert!(padded.body.len() > 5000);
        let unsigned = request(Tamper {
            signing: Signing::Missing,
            ..Tamper::default()
        });
        assert!(!unsigned.headers.iter().any(|(name, _)| name.starts_with("telnyx-")));
    }

    #[test]
    fn times_are_written_in_rfc_3339() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_517_610_327_521_992);
        assert_eq!(rfc3339(time), "2018-02-02T22:25:27.521992Z");
    }
}
