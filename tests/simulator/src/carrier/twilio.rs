//! Twilio: signed form webhooks, TwiML, Media Streams and the 2010-04-01 REST API.
//!
//! Written from Twilio's documentation. What the documentation leaves open is marked where it is decided.

mod rest;
mod twiml;

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;

use super::{
    CallRecord, Carrier, FromGateway, Instruction, Ledger, MediaDialect, RestAnswer, RestRequest, RestResponse,
    RetryPolicy, StreamInstruction, Tamper, WebhookKind, WebhookRequest, WebhookResponse, WebhookTarget, WireMessage,
    is_plain_loopback, random_hex, rfc2822,
};
use crate::{
    misbehaviour::Signing,
    report::{CallStatus, Direction},
};

const ACCOUNT_SID: &str = "AC5f3aebd06a7b4f0c9d2e18c7a6b45d10";
const AUTH_TOKEN: &str = "2c7f1ad09b3e4c568d1f0a7e95b64c38";
/// The key of the newer signature, which an account creates beside its token.
const SHARED_KEY_ID: &str = "webhooks_sharedkey_01j9simulated";
const SHARED_KEY_SECRET: &str = "q8Zr2mVx0Tn5Yb7Lc1Ke4Wd9Hs3Pf6Ua";
const OWN_NUMBER: &str = "+15005550006";
const API_VERSION: &str = "2010-04-01";

#[derive(Debug)]
pub(super) struct Twilio;

impl Carrier for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    fn rest_host(&self) -> &'static str {
        "api.twilio.com"
    }

    fn credentials(&self) -> Value {
        json!({ "account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN })
    }

    fn own_number(&self) -> &'static str {
        OWN_NUMBER
    }

    fn new_call_id(&self) -> String {
        format!("CA{}", random_hex(32))
    }

    fn handle_rest(&self, ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
        rest::handle(ledger, request)
    }

    fn rest_error(&self, status: u16) -> RestResponse {
        match status {
            429 => rest::error(429, 20429, "Too Many Requests"),
            500 => rest::error(500, 20500, "An internal server error has occurred"),
            other => rest::error(other, 20000 + u32::from(other), "The request could not be served"),
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
        // The fragment holds connection overrides for the carrier alone; it is neither sent nor signed.
        let mut url = target.url.split('#').next().unwrap_or_default().to_owned();
        let method = if target.method.is_empty() {
            "POST"
        } else {
            target.method.as_str()
        };
        let mut headers = vec![
            ("user-agent".to_owned(), "TwilioProxy/1.1".to_owned()),
            ("accept".to_owned(), "*/*".to_owned()),
        ];
        let body = if method == "GET" {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&form(&parameters));
            parameters.clear();
            Vec::new()
        } else {
            headers.push((
                "content-type".to_owned(),
                "application/x-www-form-urlencoded; charset=UTF-8".to_owned(),
            ));
            form(&parameters).into_bytes()
        };
        let token = format!("{}-{}-{}", random_hex(8), random_hex(4), random_hex(12));
        headers.push(("i-twilio-idempotency-token".to_owned(), token.clone()));
        headers.extend(signature_headers(&url, &parameters, tamper));
        WebhookRequest {
            method: method.to_owned(),
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
        twiml::read_response(response)
    }

    fn upgrade_headers(&self, url: &str, tamper: &Tamper) -> Vec<(String, String)> {
        let mut headers = vec![("user-agent".to_owned(), "Twilio.TmeWs/1.0".to_owned())];
        headers.extend(signature_headers(url, &[], tamper));
        headers
    }

    fn refuses_media_url(&self, url: &str) -> Option<String> {
        if url.contains('?') {
            return Some("31920: a stream's address takes no query string".to_owned());
        }
        (!url.starts_with("wss://") && !is_plain_loopback(url)).then(|| format!("31920: `{url}` is not a wss address"))
    }

    fn open_stream(&self, call: &CallRecord, stream: &StreamInstruction) -> Box<dyn MediaDialect> {
        Box::new(MediaStream {
            stream_sid: format!("MZ{}", random_hex(32)),
            call_sid: call.id.clone(),
            parameters: stream.parameters.clone(),
            sequence: 0,
            chunk: 0,
            position_ms: 0,
        })
    }
}

/// Parameters of a webhook, in the order in which they are sent.
fn parameters(call: &CallRecord, kind: &WebhookKind) -> Vec<(String, Vec<u8>)> {
    let direction = match call.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound-api",
    };
    let mut parameters: Vec<(&str, String)> =
        vec![("AccountSid", ACCOUNT_SID.to_owned()), ("CallSid", call.id.clone())];
    if let WebhookKind::Stream {
        stream_id,
        name,
        event,
        error,
    } = kind
    {
        parameters.extend([
            ("StreamSid", stream_id.clone()),
            (
                "StreamName",
                if name.is_empty() {
                    stream_id.clone()
                } else {
                    name.clone()
                },
            ),
            ("StreamEvent", (*event).to_owned()),
            ("Timestamp", timestamp_iso(SystemTime::now())),
        ]);
        if !error.is_empty() {
            parameters.push(("StreamError", error.clone()));
        }
        return owned(parameters);
    }
    let status = match kind {
        WebhookKind::Status(status) => *status,
        WebhookKind::Incoming => CallStatus::Ringing,
        _ => CallStatus::InProgress,
    };
    parameters.extend([
        ("ApiVersion", API_VERSION.to_owned()),
        ("CallStatus", status_name(status).to_owned()),
        ("Direction", direction.to_owned()),
        ("From", call.from.clone()),
        ("To", call.to.clone()),
        ("Caller", call.from.clone()),
        ("Called", call.to.clone()),
        ("FromCountry", country(&call.from).to_owned()),
        ("CallerCountry", country(&call.from).to_owned()),
        ("ToCountry", country(&call.to).to_owned()),
        ("CalledCountry", country(&call.to).to_owned()),
        // Sent without a value when it is not known, and signed all the same.
        ("FromCity", String::new()),
        ("FromState", String::new()),
        ("FromZip", String::new()),
        ("ToCity", String::new()),
        ("ToState", String::new()),
        ("ToZip", String::new()),
    ]);
    if call.direction == Direction::Inbound {
        parameters.push(("StirVerstat", "TN-Validation-Passed-A".to_owned()));
    }
    if let Some(answered_by) = call
        .answered_by
        .as_ref()
        .filter(|_| call.detect_machine && call.answered.is_some())
    {
        parameters.push(("AnsweredBy", answered_by.clone()));
    }
    if let WebhookKind::Status(status) = kind {
        parameters.extend([
            ("Timestamp", rfc2822(SystemTime::now())),
            ("CallbackSource", "call-progress-events".to_owned()),
            ("SequenceNumber", call.status_sequence.to_string()),
        ]);
        if status.is_final() {
            let seconds = call.duration_s();
            parameters.push(("CallDuration", seconds.to_string()));
            // Minutes begun, as billed.
            parameters.push(("Duration", seconds.div_ceil(60).to_string()));
            parameters.push(("SipResponseCode", sip_code(*status).to_owned()));
        }
    }
    owned(parameters)
}

fn owned(parameters: Vec<(&str, String)>) -> Vec<(String, Vec<u8>)> {
    parameters
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into_bytes()))
        .collect()
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

fn signature_headers(url: &str, parameters: &[(String, Vec<u8>)], tamper: &Tamper) -> Vec<(String, String)> {
    let (sha256, key) = if tamper.newer_signature {
        (true, SHARED_KEY_SECRET)
    } else {
        (false, AUTH_TOKEN)
    };
    let key = match tamper.signing {
        Signing::Right => key,
        Signing::Wrong => "0000000000000000000000000000dead",
        Signing::Missing => return Vec::new(),
    };
    let mut headers = vec![("x-twilio-signature".to_owned(), signature(url, parameters, key, sha256))];
    if sha256 {
        headers.push((
            "x-twilio-webhooks-signature-settings".to_owned(),
            format!("key={SHARED_KEY_ID},algorithm=HMAC_SHA256"),
        ));
    }
    headers
}

/// The address, then each parameter's name and value in the order of names, a repeated name with its distinct values in order.
fn signature(url: &str, parameters: &[(String, Vec<u8>)], key: &str, sha256: bool) -> String {
    let mut sorted: Vec<&(String, Vec<u8>)> = parameters.iter().collect();
    sorted.sort();
    sorted.dedup();
    let mut message = url.as_bytes().to_vec();
    for (name, value) in sorted {
        message.extend_from_slice(name.as_bytes());
        message.extend_from_slice(value);
    }
    if sha256 {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(&message);
        STANDARD.encode(mac.finalize().into_bytes())
    } else {
        let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(&message);
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

/// Defaults of "webhooks connection overrides": one retry, when the connection cannot be made; `rc`, `rp` and `rt` in the
/// fragment change that.
fn retry_policy(url: &str) -> RetryPolicy {
    let mut policy = RetryPolicy {
        retries_max: 1,
        connection_failed: true,
        read_timed_out: false,
        status_4xx: false,
        status_5xx: false,
        attempt_timeout: Duration::from_secs(15),
    };
    let Some((_, fragment)) = url.split_once('#') else {
        return policy;
    };
    for pair in fragment.split('&') {
        match pair.split_once('=') {
            Some(("rc", value)) => {
                policy.retries_max = value.parse::<u32>().map_or(policy.retries_max, |count| count.min(5))
            }
            Some(("rt", value)) => {
                let ms = value.parse::<u64>().unwrap_or(15_000).clamp(100, 15_000);
                policy.attempt_timeout = Duration::from_millis(ms);
            }
            Some(("rp", value)) => {
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

fn status_name(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Queued => "queued",
        CallStatus::Initiated => "initiated",
        CallStatus::Ringing => "ringing",
        CallStatus::InProgress => "in-progress",
        CallStatus::Completed => "completed",
        // A call that is declined is told as busy.
        CallStatus::Busy | CallStatus::Rejected => "busy",
        CallStatus::NoAnswer => "no-answer",
        CallStatus::Failed => "failed",
        CallStatus::Canceled => "canceled",
    }
}

fn sip_code(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Busy => "486",
        CallStatus::Rejected => "603",
        CallStatus::NoAnswer => "480",
        CallStatus::Failed => "404",
        CallStatus::Canceled => "487",
        _ => "200",
    }
}

fn country(number: &str) -> &'static str {
    const PREFIXES: [(&str, &str); 7] = [
        ("+1", "US"),
        ("+44", "GB"),
        ("+49", "DE"),
        ("+33", "FR"),
        ("+91", "IN"),
        ("+61", "AU"),
        ("+81", "JP"),
    ];
    PREFIXES
        .iter()
        .find(|(prefix, _)| number.starts_with(prefix))
        .map_or("", |(_, country)| country)
}

/// ISO 8601, which stream callbacks use where call callbacks use RFC 2822.
fn timestamp_iso(time: SystemTime) -> String {
    let date = rfc2822(time);
    let month = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    .iter()
    .position(|name| *name == &date[8..11])
    .map_or(1, |index| index + 1);
    format!("{}-{month:02}-{}T{}.000Z", &date[12..16], &date[5..7], &date[17..25])
}

/// One bidirectional media stream.
#[derive(Debug)]
struct MediaStream {
    stream_sid: String,
    call_sid: String,
    parameters: Vec<(String, String)>,
    /// Of the last message.
    sequence: u64,
    /// Of the last media message.
    chunk: u64,
    /// Start of the next media message on the track.
    position_ms: u64,
}

impl MediaStream {
    fn next(&mut self) -> String {
        self.sequence += 1;
        self.sequence.to_string()
    }

    /// Written by hand: this is the one message that is sent fifty times a second, and by the load generator for each call.
    fn media(&mut self, payload: &str) -> WireMessage {
        self.chunk += 1;
        self.sequence += 1;
        let message = format!(
            r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{}","payload":"{payload}"}},"streamSid":"{}"}}"#,
            self.sequence, self.chunk, self.position_ms, self.stream_sid
        );
        self.position_ms += 20;
        WireMessage::Text(message)
    }
}

impl MediaDialect for MediaStream {
    fn stream_id(&self) -> &str {
        &self.stream_sid
    }

    fn opening(&mut self) -> Vec<WireMessage> {
        let connected = json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" });
        let parameters: serde_json::Map<String, Value> = self
            .parameters
            .iter()
            .map(|(name, value)| (name.clone(), Value::String(value.clone())))
            .collect();
        let sequence = self.next();
        let start = json!({
            "event": "start",
            "sequenceNumber": sequence,
            "start": {
                "accountSid": ACCOUNT_SID,
                "streamSid": self.stream_sid,
                "callSid": self.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
                "customParameters": parameters,
            },
            "streamSid": self.stream_sid,
        });
        vec![
            WireMessage::Text(connected.to_string()),
            WireMessage::Text(start.to_string()),
        ]
    }

    fn audio(&mut self, payload: &[u8]) -> WireMessage {
        self.media(&STANDARD.encode(payload))
    }

    fn unreadable_audio(&mut self) -> WireMessage {
        self.media("this is !!! not base64 *")
    }

    fn malformed(&mut self) -> WireMessage {
        WireMessage::Text(format!(
            r#"{{"event":"media","streamSid":"{}","media":{{"payload""#,
            self.stream_sid
        ))
    }

    fn dtmf(&mut self, digit: char) -> Option<WireMessage> {
        let message = json!({
            "event": "dtmf",
            "streamSid": self.stream_sid,
            "sequenceNumber": self.next(),
            "dtmf": { "track": "inbound_track", "digit": digit.to_string() },
        });
        Some(WireMessage::Text(message.to_string()))
    }

    fn mark_played(&mut self, name: &str) -> Option<WireMessage> {
        let message = json!({
            "event": "mark",
            "sequenceNumber": self.next(),
            "streamSid": self.stream_sid,
            "mark": { "name": name },
        });
        Some(WireMessage::Text(message.to_string()))
    }

    fn closing(&mut self) -> Vec<WireMessage> {
        let message = json!({
            "event": "stop",
            "sequenceNumber": self.next(),
            "streamSid": self.stream_sid,
            "stop": { "accountSid": ACCOUNT_SID, "callSid": self.call_sid },
        });
        vec![WireMessage::Text(message.to_string())]
    }

    fn read(&mut self, message: &WireMessage) -> Result<FromGateway, String> {
        let WireMessage::Text(text) = message else {
            return Err("a binary message".to_owned());
        };
        let message: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let event = message["event"].as_str().ok_or("no `event`")?;
        if message["streamSid"].as_str() != Some(&self.stream_sid) {
            return Err(format!("`{event}` for another stream: {}", message["streamSid"]));
        }
        match event {
            "media" => {
                let payload = message["media"]["payload"]
                    .as_str()
                    .ok_or("`media` without a payload")?;
                let audio = STANDARD
                    .decode(payload)
                    .map_err(|error| format!("the payload is not base64: {error}"))?;
                if audio.starts_with(b"RIFF") {
                    return Err("the payload has a file header".to_owned());
                }
                Ok(FromGateway::Audio(audio))
            }
            "mark" => {
                let name = message["mark"]["name"].as_str().ok_or("`mark` without a name")?;
                Ok(FromGateway::Mark(name.to_owned()))
            }
            "clear" => Ok(FromGateway::Clear),
            other => Err(format!("unknown event `{other}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(parameters: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn signs_as_in_the_documentation() {
        let parameters = bytes(&[
            ("CallSid", "CA1234567890ABCDE"),
            ("To", "+18005551212"),
            ("Digits", "1234"),
            ("From", "+12349013030"),
            ("Caller", "+12349013030"),
        ]);
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        assert_eq!(
            signature(url, &parameters, "12345", false),
            "0/KCTR6DLpKmkAf8muzZqo1nDgQ="
        );
        // Computed with the vendor's own library, version 9.13.
        assert_eq!(
            signature(url, &parameters, "12345", true),
            "Rmm4Vzj+Ky7JGoWXMCsZDZuHDszLr9xvdbvitrDr4/M="
        );
    }

    #[test]
    fn repeated_names_are_signed_with_their_distinct_values_in_order() {
        let url = "https://example.com/";
        let repeated = bytes(&[("A", "2"), ("A", "1"), ("A", "2")]);
        assert_eq!(
            signature(url, &repeated, "k", false),
            signature(&format!("{url}A1A2"), &[], "k", false)
        );
    }

    #[test]
    fn connection_overrides_change_the_retries() {
        let usual = retry_policy("https://example.com/x");
        assert!(usual.retries_max == 1 && usual.connection_failed && !usual.status_5xx);
        let all = retry_policy("https://example.com/x#rc=3&rp=5xx,rt&rt=2000");
        assert!(all.retries_max == 3 && all.status_5xx && all.read_timed_out && !all.connection_failed);
        assert_eq!(all.attempt_timeout, Duration::from_secs(2));
    }

    #[test]
    fn a_webhook_tells_the_call_and_is_recognisable() {
        let mut call = CallRecord::new("CA1".into(), Direction::Inbound, "+442071838750", OWN_NUMBER);
        call.status_sequence = 2;
        let target = WebhookTarget::post("https://voice.example.com/in#rc=2");
        let request = Twilio.webhook(&call, &WebhookKind::Incoming, &target, &Tamper::default());
        assert_eq!(request.url, "https://voice.example.com/in");
        let body = String::from_utf8(request.body).unwrap();
        for expected in [
            "AccountSid=AC",
            "CallSid=CA1",
            "From=%2B442071838750",
            "CallStatus=ringing",
            "Direction=inbound",
            "FromCountry=GB",
        ] {
            assert!(body.contains(expected), "{expected} is missing in {body}");
        }
        let get = WebhookTarget {
            method: "GET".into(),
            ..target
        };
        let request = Twilio.webhook(
            &call,
            &WebhookKind::Incoming,
            &get,
            &Tamper {
                signing: Signing::Missing,
                ..Tamper::default()
            },
        );
        assert!(request.url.contains("?AccountSid=AC") && request.body.is_empty());
        assert!(!request.headers.iter().any(|(name, _)| name == "x-twilio-signature"));
    }

    #[test]
    fn a_stream_numbers_its_messages_and_reads_the_gateways() {
        let call = CallRecord::new("CA1".into(), Direction::Inbound, "+1", "+2");
        let mut stream = Twilio.open_stream(&call, &StreamInstruction::default());
        assert_eq!(stream.opening().len(), 2);
        stream.audio(&[0xff; 160]);
        let WireMessage::Text(second) = stream.audio(&[0xff; 160]) else {
            panic!("not text")
        };
        let second: Value = serde_json::from_str(&second).unwrap();
        assert_eq!(second["sequenceNumber"], "3");
        assert_eq!(
            (second["media"]["chunk"].as_str(), second["media"]["timestamp"].as_str()),
            (Some("2"), Some("20"))
        );

        let id = stream.stream_id().to_owned();
        let mut read = |text: String| stream.read(&WireMessage::Text(text));
        assert_eq!(
            read(format!(
                r#"{{"event":"media","streamSid":"{id}","media":{{"payload":"AAE="}}}}"#
            )),
            Ok(FromGateway::Audio(vec![0, 1]))
        );
        assert_eq!(
            read(format!(r#"{{"event":"clear","streamSid":"{id}"}}"#)),
            Ok(FromGateway::Clear)
        );
        assert!(read(r#"{"event":"clear","streamSid":"MZother"}"#.to_owned()).is_err());
        assert!(read("{".to_owned()).is_err());
    }
}
