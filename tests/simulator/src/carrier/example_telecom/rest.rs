//! The REST API: calls and numbers.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::super::{
    CallRecord, Carrier, Directive, Ledger, RestAnswer, RestRequest, RestResponse, Subscription, WebhookTarget,
};
use super::{ACCOUNT, API_KEY, ExampleTelecom, status_word};
use crate::carrier::parameters::{is_web_address, text};
use crate::report::Direction;

/// What a begun minute costs, in ten thousandths of a dollar.
const RATE: u64 = 85;

pub(super) fn error(status: u16, message: &str) -> RestResponse {
    RestResponse::json(status, &json!({ "error": message }))
}

fn not_found() -> RestAnswer {
    error(404, "not found").into()
}

pub(super) fn handle(ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
    if request.bearer() != Some(API_KEY) {
        return error(401, "unauthorized").into();
    }
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["v1", "accounts", ACCOUNT, resource @ ..] = segments.as_slice() else {
        return error(403, "another account").into();
    };
    let has_body = matches!(request.method.as_str(), "POST" | "PUT");
    let body = match request.json() {
        Value::Object(body) if has_body && request.header("content-type") == Some("application/json") => body,
        _ if has_body => return error(400, "the body is not a JSON object").into(),
        _ => Map::new(),
    };
    match (request.method.as_str(), resource) {
        ("POST", ["calls"]) => place(ledger, &body),
        ("GET", ["calls", id]) => match ledger.calls.get_mut(*id) {
            Some(call) => RestResponse::json(200, &call_json(call)).into(),
            None => not_found(),
        },
        ("DELETE", ["calls", id]) => match ledger.calls.get_mut(*id) {
            Some(call) if call.status.is_final() => error(409, "the call has ended").into(),
            Some(call) => {
                call.end();
                RestResponse::empty(204).and(Directive::HangUp(call.id.clone()))
            }
            None => not_found(),
        },
        (method @ ("GET" | "PUT"), ["numbers", number]) => {
            let Some(record) = ledger.numbers.iter_mut().find(|record| record.number == *number) else {
                return not_found();
            };
            if method == "PUT" {
                match body.get("webhook_url") {
                    Some(Value::Null) => record.voice = WebhookTarget::post(""),
                    Some(Value::String(url)) if is_web_address(url) => record.voice = WebhookTarget::post(url),
                    _ => return error(400, "webhook_url is neither an address nor null").into(),
                }
                record.updated = SystemTime::now();
            }
            let url = Some(&record.voice.url).filter(|url| !url.is_empty());
            RestResponse::json(200, &json!({ "number": number, "webhook_url": url })).into()
        }
        (_, ["calls" | "numbers", ..]) => error(405, "method not allowed").into(),
        _ => not_found(),
    }
}

fn place(ledger: &mut Ledger, body: &Map<String, Value>) -> RestAnswer {
    let (Some(from), Some(to)) = (text(body, "from"), text(body, "to")) else {
        return error(400, "from and to are required").into();
    };
    let address = |name| {
        text(body, name)
            .filter(|url| is_web_address(url))
            .map(WebhookTarget::post)
    };
    let (Some(answer), Some(status)) = (address("answer_url"), address("status_url")) else {
        return error(400, "answer_url and status_url are required").into();
    };
    let ring_timeout_s = body.get("ring_timeout_s").and_then(Value::as_u64);
    let Some(ring_timeout_s) = ring_timeout_s.filter(|seconds| (5..=120).contains(seconds)) else {
        return error(400, "ring_timeout_s is not 5 to 120").into();
    };
    if body.len() != 5 {
        return error(400, "there are five members").into();
    }
    if !ledger.owns(from) {
        return error(403, "from is not a number of this account").into();
    }
    let mut call = CallRecord::new(ExampleTelecom.new_call_id(), Direction::Outbound, from, to);
    call.ring_timeout = Some(Duration::from_secs(ring_timeout_s));
    call.answer = Some(answer);
    call.callbacks.push(Subscription::to_all(status));
    let id = call.id.clone();
    ledger.enter(call);
    RestResponse::json(201, &json!({ "call": id, "status": "queued" })).and(Directive::Dial(id))
}

/// The price of a call appears some time after its end: not in the first answer.
fn call_json(call: &mut CallRecord) -> Value {
    let is_over = call.status.is_final();
    call.lookups_after_end += u32::from(is_over);
    let minutes = call.duration_s().div_ceil(60);
    let price = minutes * RATE;
    let cost = json!({
        "amount": format!("{}.{:04}", price / 10_000, price % 10_000), "currency": "USD", "seconds": minutes * 60,
    });
    json!({
        "call": call.id,
        "status": status_word(call.status),
        "duration_s": is_over.then(|| call.duration_s()),
        "cost": (call.lookups_after_end > 1).then_some(cost),
    })
}

#[cfg(test)]
mod tests {
    use super::super::OWN_NUMBER;
    use super::*;
    use crate::carrier::NumberRecord;
    use crate::report::CallStatus;

    fn ask(ledger: &mut Ledger, method: &str, path: &str, body: &Value) -> (u16, Value, Vec<Directive>) {
        let request = RestRequest {
            method: method.into(),
            path: format!("/v1/accounts/{ACCOUNT}{path}"),
            headers: vec![
                ("authorization".into(), format!("Bearer {API_KEY}")),
                ("content-type".into(), "application/json".into()),
            ],
            body: body.to_string().into_bytes(),
            ..RestRequest::default()
        };
        let answer = handle(ledger, &request);
        let body = serde_json::from_slice(&answer.response.body).unwrap_or(Value::Null);
        (answer.response.status, body, answer.directives)
    }

    fn ledger() -> Ledger {
        Ledger {
            numbers: vec![NumberRecord::new("n1".into(), OWN_NUMBER)],
            ..Ledger::default()
        }
    }

    #[test]
    fn a_call_is_placed_ended_once_and_rated_late() {
        let mut ledger = ledger();
        let body = json!({
            "from": OWN_NUMBER, "to": "+12025550188", "answer_url": "https://g.example/a",
            "status_url": "https://g.example/s", "ring_timeout_s": 30,
        });
        let (status, placed, directives) = ask(&mut ledger, "POST", "/calls", &body);
        assert_eq!(status, 201);
        let id = placed["call"].as_str().unwrap().to_owned();
        assert_eq!(directives, [Directive::Dial(id.clone())]);
        let path = format!("/calls/{id}");
        let call = ledger.calls.get_mut(&id).unwrap();
        call.status = CallStatus::InProgress;
        call.answered = Some(SystemTime::now() - Duration::from_secs(61));
        assert_eq!(ask(&mut ledger, "GET", &path, &Value::Null).1["status"], "in-progress");
        assert_eq!(ask(&mut ledger, "DELETE", &path, &Value::Null).0, 204);
        assert_eq!(ask(&mut ledger, "DELETE", &path, &Value::Null).0, 409);
        assert_eq!(ask(&mut ledger, "GET", &path, &Value::Null).1["cost"], Value::Null);
        let (_, over, _) = ask(&mut ledger, "GET", &path, &Value::Null);
        assert_eq!(
            over["cost"],
            json!({ "amount": "0.0170", "currency": "USD", "seconds": 120 })
        );
        assert_eq!(ask(&mut ledger, "GET", "/calls/ET-0", &Value::Null).0, 404);
    }

    #[test]
    fn what_is_missing_or_too_much_is_refused() {
        let body = json!({
            "from": OWN_NUMBER, "to": "+12025550188", "answer_url": "https://g.example/a",
            "status_url": "https://g.example/s", "ring_timeout_s": 30,
        });
        for (name, value, status) in [
            ("from", json!("+12025550199"), 403),
            ("to", json!(7), 400),
            ("answer_url", json!("ftp://g.example"), 400),
            ("status_url", json!(null), 400),
            ("ring_timeout_s", json!(121), 400),
            ("detect", json!(true), 400),
        ] {
            let mut body = body.clone();
            body[name] = value;
            assert_eq!(ask(&mut ledger(), "POST", "/calls", &body).0, status, "{name}");
        }
        let stranger = RestRequest {
            method: "GET".into(),
            path: format!("/v1/accounts/{ACCOUNT}/calls/1"),
            ..RestRequest::default()
        };
        assert_eq!(handle(&mut ledger(), &stranger).response.status, 401);
    }

    #[test]
    fn a_number_points_somewhere_or_nowhere() {
        let mut ledger = ledger();
        let path = "/numbers/%2B12025550123";
        assert_eq!(
            ask(&mut ledger, "GET", path, &Value::Null).1["webhook_url"],
            Value::Null
        );
        let to = |url: Value| json!({ "webhook_url": url });
        assert_eq!(ask(&mut ledger, "PUT", path, &to(json!("https://g.example/w"))).0, 200);
        assert_eq!(ledger.numbers[0].voice, WebhookTarget::post("https://g.example/w"));
        assert_eq!(
            ask(&mut ledger, "GET", path, &Value::Null).1["webhook_url"],
            "https://g.example/w"
        );
        assert_eq!(
            ask(&mut ledger, "PUT", path, &to(Value::Null)).1["webhook_url"],
            Value::Null
        );
        assert_eq!(ask(&mut ledger, "PUT", path, &json!({})).0, 400);
        assert_eq!(ask(&mut ledger, "GET", "/numbers/%2B12025550199", &Value::Null).0, 404);
    }
}
