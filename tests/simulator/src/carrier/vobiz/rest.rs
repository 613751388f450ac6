//! The REST API, version 1: calls, applications and numbers.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    super::{
        CallRecord, Carrier, Directive, Ledger, NumberRecord, RestAnswer, RestRequest, RestResponse, Subscription,
    },
    AUTH_ID, AUTH_TOKEN, RATE, Vobiz, cost, datetime, dialled, direction, hangup_cause, status_name,
};
use crate::carrier::parameters::{change, e164, is_web_address, target, text};
use crate::report::{CallStatus, Direction};

/// The most numbers on one page.
const PER_PAGE_MAX: usize = 100;

pub(super) fn application_key(id: &str) -> String {
    format!("application/{id}")
}

pub(super) fn error(status: u16, message: &str) -> RestResponse {
    let body = json!({ "api_id": Uuid::new_v4().to_string(), "error": message });
    RestResponse::json(status, &body)
}

fn not_found() -> RestAnswer {
    error(404, "not found").into()
}

fn success(status: u16, mut body: Value) -> RestResponse {
    body["api_id"] = Uuid::new_v4().to_string().into();
    RestResponse::json(status, &body)
}

pub(super) fn handle(ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
    let is_ours = request.header("x-auth-id") == Some(AUTH_ID) && request.header("x-auth-token") == Some(AUTH_TOKEN);
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    // A path whose letters differ is answered like a stranger.
    let ["api", "v1", "Account", AUTH_ID, resource @ ..] = segments.as_slice() else {
        return error(401, "Unauthorized").into();
    };
    if !is_ours || matches!(resource, ["call" | "application" | "Numbers", ..]) {
        return error(401, "Unauthorized").into();
    }
    // Calls and applications end with a slash, numbers do not.
    let slash = request.path.ends_with('/');
    if slash == matches!(resource, ["numbers", ..]) {
        return not_found();
    }
    let body = match request.json() {
        Value::Object(body) => body,
        _ => Map::new(),
    };
    match (request.method.as_str(), resource) {
        ("POST", ["Call"]) => create_call(ledger, &body),
        ("GET", ["Call", id]) => look_up_call(ledger, id, request.parameters().get("status")),
        ("DELETE", ["Call", id]) => match ledger.calls.get_mut(*id).filter(|call| !call.status.is_final()) {
            Some(call) => {
                call.end();
                RestResponse::empty(204).and(Directive::HangUp(call.id.clone()))
            }
            None => not_found(),
        },
        ("POST", ["Call", id]) => transfer(ledger, id, &body),
        ("POST", ["Application"]) => create_application(ledger, &body),
        ("GET", ["Application", id]) => match ledger.objects.get(&application_key(id)) {
            Some(application) => success(200, application.clone()).into(),
            None => not_found(),
        },
        ("POST", ["Application", id]) => update_application(ledger, id, &body),
        ("GET", ["numbers"]) => list_numbers(ledger, request).into(),
        // A plus sign that is not encoded matches nothing.
        (_, ["numbers", ..]) if request.path.contains('+') => not_found(),
        ("POST", ["numbers", number, "application"]) => attach(ledger, number, &body),
        ("DELETE", ["numbers", number, "application"]) => detach(ledger, number),
        (_, ["Call" | "Application" | "numbers", ..]) => error(405, "method not allowed").into(),
        _ => not_found(),
    }
}

fn create_call(ledger: &mut Ledger, body: &Map<String, Value>) -> RestAnswer {
    let (Some(from), Some(to), Some(answer)) = (
        text(body, "from"),
        text(body, "to"),
        target(body, "answer_url", "answer_method"),
    ) else {
        return error(400, "from, to and answer_url are required").into();
    };
    let (from, to) = (e164(from), e164(to));
    if !is_web_address(&answer.url) {
        return error(400, "answer_url is not a valid URL").into();
    }
    if to.contains('<') {
        return error(400, "calls in bulk are not simulated").into();
    }
    if !ledger.owns(&from) {
        return error(400, "from is not a number of this account").into();
    }
    let mut call = CallRecord::new(Vobiz.new_call_id(), Direction::Outbound, &from, &to);
    let seconds = body.get("ring_timeout").and_then(Value::as_u64).unwrap_or(120);
    call.ring_timeout = Some(Duration::from_secs(seconds));
    // The pages do not agree on whether ringing is told at an address of its own; whoever gives one is told there.
    if let Some(ring) = target(body, "ring_url", "ring_method") {
        call.callbacks.push(Subscription::new(ring, [CallStatus::Ringing]));
    }
    let ended = target(body, "hangup_url", "hangup_method").unwrap_or_else(|| answer.clone());
    call.callbacks.push(Subscription::new(ended, [CallStatus::Completed]));
    call.answer = Some(answer);
    let id = call.id.clone();
    ledger.enter(call);
    let fired = json!({ "message": "Call fired", "request_uuid": id, "call_uuid": id });
    success(201, fired).and(Directive::Dial(id))
}

/// A call is looked up among the live ones, the queued ones, or the records of those that ended.
fn look_up_call(ledger: &mut Ledger, id: &str, place: Option<&str>) -> RestAnswer {
    let Some(call) = ledger.calls.get_mut(id) else {
        return not_found();
    };
    let is_queued = matches!(call.status, CallStatus::Queued | CallStatus::Initiated);
    let over = call.status.is_final();
    match place {
        Some("live") if !over && !is_queued => success(200, alive_json(call)).into(),
        Some("queued") if is_queued => success(200, alive_json(call)).into(),
        None if over => {
            call.lookups_after_end += 1;
            // Written some time after the end.
            if call.lookups_after_end == 1 {
                return not_found();
            }
            success(200, record_json(call)).into()
        }
        _ => not_found(),
    }
}

fn transfer(ledger: &Ledger, id: &str, body: &Map<String, Value>) -> RestAnswer {
    let alive = |call: &&CallRecord| !call.status.is_final() && call.answered.is_some();
    let Some(call) = ledger.calls.get(id).filter(alive) else {
        return not_found();
    };
    match target(body, "aleg_url", "aleg_method") {
        Some(next) => {
            success(202, json!({ "message": "call transferred" })).and(Directive::Redirect(call.id.clone(), next))
        }
        None => error(400, "aleg_url is required").into(),
    }
}

fn create_application(ledger: &mut Ledger, body: &Map<String, Value>) -> RestAnswer {
    if text(body, "app_name").is_none() || text(body, "answer_url").is_none_or(|url| !is_web_address(url)) {
        return error(400, "app_name and answer_url are required").into();
    }
    let number = u32::from_str_radix(&super::random_hex(8), 16).unwrap_or_default();
    let id = format!("{:08}", number % 100_000_000);
    let mut application = json!({
        "app_id": id,
        "answer_method": "POST",
        "hangup_method": "POST",
        "application_type": "XML",
        "enabled": true,
        "sub_account": null,
        "resource_uri": format!("/v1/Account/{AUTH_ID}/Application/{id}/"),
    });
    change(&mut application, body);
    // Without a hang-up URL of its own, an application tells the end where it asks.
    if application["hangup_url"].as_str().is_none_or(str::is_empty) {
        application["hangup_url"] = application["answer_url"].clone();
    }
    ledger.objects.insert(application_key(&id), application);
    success(201, json!({ "message": "created", "app_id": id })).into()
}

fn update_application(ledger: &mut Ledger, id: &str, body: &Map<String, Value>) -> RestAnswer {
    let Some(application) = ledger.objects.get_mut(&application_key(id)) else {
        return not_found();
    };
    if text(body, "answer_url").is_some_and(|url| !is_web_address(url)) {
        return error(400, "answer_url is not a valid URL").into();
    }
    change(application, body);
    success(202, json!({ "message": "changed" })).into()
}

/// The search finds numbers that contain what is searched for.
fn list_numbers(ledger: &Ledger, request: &RestRequest) -> RestResponse {
    let query = request.parameters();
    let count = |name: &str, usual: usize| {
        let given = query.get(name).and_then(|value| value.parse::<usize>().ok());
        given.unwrap_or(usual).max(1)
    };
    let (page, per_page) = (count("page", 1), count("per_page", 25).min(PER_PAGE_MAX));
    let wanted = dialled(query.get("search").unwrap_or_default());
    let mut matching: Vec<&NumberRecord> = ledger
        .numbers
        .iter()
        .filter(|number| number.number.contains(wanted))
        .collect();
    // The longer ones first, so that whoever takes the first is wrong.
    matching.sort_by_key(|number| std::cmp::Reverse(number.number.len()));
    let items: Vec<Value> = matching
        .iter()
        .skip((page - 1) * per_page)
        .take(per_page)
        .map(|number| number_json(number))
        .collect();
    let body = json!({ "items": items, "page": page, "per_page": per_page, "total": matching.len() });
    RestResponse::json(200, &body)
}

fn number_json(number: &NumberRecord) -> Value {
    json!({
        "id": number.id,
        "account_id": AUTH_ID,
        "e164": number.number,
        "country": "IN",
        "application_id": number.application,
        "capabilities": { "voice": true, "sms": false },
        "status": "active",
    })
}

/// Whatever the number was attached to before, it is attached to this one then.
fn attach(ledger: &mut Ledger, number: &str, body: &Map<String, Value>) -> RestAnswer {
    let Some(application) = text(body, "application_id").map(str::to_owned) else {
        return error(400, "application_id is required").into();
    };
    let known = ledger.objects.contains_key(&application_key(&application));
    match ledger.numbers.iter_mut().find(|record| record.number == number) {
        Some(record) if known => {
            record.application = Some(application);
            record.updated = SystemTime::now();
            success(200, json!({ "message": "number attached", "e164": number })).into()
        }
        _ => not_found(),
    }
}

fn detach(ledger: &mut Ledger, number: &str) -> RestAnswer {
    let found = ledger.numbers.iter_mut().find(|record| record.number == number);
    match found.filter(|record| record.application.is_some()) {
        Some(record) => {
            record.application = None;
            record.updated = SystemTime::now();
            RestResponse::empty(204).into()
        }
        None => not_found(),
    }
}

fn alive_json(call: &CallRecord) -> Value {
    json!({
        "call_uuid": call.id,
        "request_uuid": call.id,
        "call_status": status_name(call, call.status),
        "direction": direction(call),
        "from": dialled(&call.from),
        "to": dialled(&call.to),
        "session_start": datetime(call.created),
    })
}

/// Records have the causes of Q.850, where callbacks have Vobiz's own.
fn record_json(call: &CallRecord) -> Value {
    let (cause, ..) = hangup_cause(call, call.status);
    let code = match cause {
        "USER_BUSY" => 17,
        "NO_ANSWER" => 19,
        "CALL_REJECTED" => 21,
        "UNALLOCATED_NUMBER" => 1,
        _ => 16,
    };
    let seconds = call.duration_s();
    json!({
        "call_uuid": call.id,
        "status": status_name(call, call.status),
        "call_direction": direction(call),
        "from_number": dialled(&call.from),
        "to_number": dialled(&call.to),
        "initiation_time": datetime(call.created),
        "answer_time": call.answered.map(datetime),
        "end_time": call.ended.map(datetime),
        "duration": seconds,
        "billed_duration": seconds.div_ceil(60) * 60,
        "call_rate": format!("{RATE:.5}"),
        "total_cost": cost(call),
        "currency": "INR",
        "hangup_cause": cause,
        "hangup_cause_code": code,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{OTHER_APPLICATION, OTHER_NUMBER, OWN_NUMBER},
        *,
    };
    use crate::carrier::WebhookTarget;

    const ACCOUNT: &str = "/api/v1/Account/MA_K7QX2VDN";

    fn request(method: &str, path: &str, body: &Value) -> RestRequest {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        RestRequest {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            headers: vec![
                ("x-auth-id".into(), AUTH_ID.into()),
                ("x-auth-token".into(), AUTH_TOKEN.into()),
            ],
            body: if body.is_null() {
                Vec::new()
            } else {
                body.to_string().into_bytes()
            },
        }
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger {
            numbers: vec![NumberRecord::new("n1".into(), OWN_NUMBER)],
            ..Ledger::default()
        };
        Vobiz.open_account(&mut ledger);
        ledger
    }

    fn ask(ledger: &mut Ledger, method: &str, path: &str, body: &Value) -> (u16, Value, Vec<Directive>) {
        let answer = handle(ledger, &request(method, &format!("{ACCOUNT}{path}"), body));
        let body = serde_json::from_slice(&answer.response.body).unwrap_or(Value::Null);
        (answer.response.status, body, answer.directives)
    }

    fn dial() -> Value {
        json!({
            "from": "917971442086", "to": "917983165036", "answer_url": "https://e.example/a",
            "ring_url": "https://e.example/r", "hangup_url": "https://e.example/h", "ring_timeout": 30,
        })
    }

    #[test]
    fn a_call_is_fired_looked_up_and_ended_once() {
        let mut ledger = ledger();
        let (status, fired, directives) = ask(&mut ledger, "POST", "/Call/", &dial());
        assert_eq!((status, fired["message"].as_str()), (201, Some("Call fired")));
        let id = fired["request_uuid"].as_str().unwrap().to_owned();
        assert_eq!(directives, [Directive::Dial(id.clone())]);
        let path = format!("/Call/{id}/");
        assert_eq!(
            ask(&mut ledger, "GET", &format!("{path}?status=queued"), &Value::Null).0,
            200
        );
        let call = ledger.calls.get_mut(&id).unwrap();
        assert_eq!(
            (call.to.as_str(), call.ring_timeout),
            ("+917983165036", Some(Duration::from_secs(30)))
        );
        call.status = CallStatus::InProgress;
        call.answered = Some(SystemTime::now() - Duration::from_secs(61));
        let (_, alive, _) = ask(&mut ledger, "GET", &format!("{path}?status=live"), &Value::Null);
        assert_eq!(alive["call_status"], "in-progress");

        let (status, _, directives) = ask(&mut ledger, "DELETE", &path, &Value::Null);
        assert_eq!((status, directives), (204, vec![Directive::HangUp(id)]));
        assert_eq!(ask(&mut ledger, "DELETE", &path, &Value::Null).0, 404);
        assert_eq!(ask(&mut ledger, "GET", &path, &Value::Null).0, 404);
        let (_, record, _) = ask(&mut ledger, "GET", &path, &Value::Null);
        assert_eq!(
            (record["total_cost"].as_str(), record["currency"].as_str()),
            (Some("1.30000"), Some("INR"))
        );
        assert_eq!(
            (record["status"].as_str(), record["hangup_cause_code"].as_u64()),
            (Some("completed"), Some(16))
        );
    }

    #[test]
    fn letters_and_slashes_decide() {
        let mut ledger = ledger();
        for (method, path, status) in [
            ("GET", "/numbers", 200),
            ("GET", "/numbers/", 404),
            ("GET", "/Numbers", 401),
            ("POST", "/call/", 401),
            ("POST", "/Call", 404),
            ("POST", "/Call/", 400),
            ("GET", "/Call/nobody/", 404),
            ("PUT", "/Application/", 405),
            ("DELETE", "/numbers/+917971442086/application", 404),
        ] {
            assert_eq!(
                ask(&mut ledger, method, path, &Value::Null).0,
                status,
                "{method} {path}"
            );
        }
        let lower = request("GET", "/api/v1/account/MA_K7QX2VDN/numbers", &Value::Null);
        assert_eq!(handle(&mut ledger, &lower).response.status, 401);
        let mut stranger = request("GET", &format!("{ACCOUNT}/numbers"), &Value::Null);
        stranger.headers.pop();
        assert_eq!(handle(&mut ledger, &stranger).response.status, 401);
        let mut body = dial();
        body["from"] = json!("12025550147");
        assert_eq!(ask(&mut ledger, "POST", "/Call/", &body).0, 400);
    }

    #[test]
    fn a_search_finds_more_than_was_asked_for() {
        let mut ledger = ledger();
        let search = format!("/numbers?page=1&per_page=100&search=%2B{}", dialled(OWN_NUMBER));
        let (_, found, _) = ask(&mut ledger, "GET", &search, &Value::Null);
        let numbers: Vec<&str> = found["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["e164"].as_str().unwrap())
            .collect();
        assert_eq!(numbers, [OTHER_NUMBER, OWN_NUMBER]);
        assert_eq!(found["items"][0]["application_id"], OTHER_APPLICATION);
        let (_, second, _) = ask(&mut ledger, "GET", "/numbers?page=2&per_page=1", &Value::Null);
        assert_eq!(
            (second["items"][0]["e164"].as_str(), second["total"].as_u64()),
            (Some(OWN_NUMBER), Some(2))
        );
    }

    #[test]
    fn a_number_is_attached_to_an_application_and_let_go() {
        let mut ledger = ledger();
        let make = json!({ "app_name": "strowger-1", "answer_url": "https://e.example/in" });
        let (status, made, _) = ask(&mut ledger, "POST", "/Application/", &make);
        assert_eq!(status, 201);
        let id = made["app_id"].as_str().unwrap();
        let (_, application, _) = ask(&mut ledger, "GET", &format!("/Application/{id}/"), &Value::Null);
        assert_eq!(application["hangup_url"], "https://e.example/in");
        let change = json!({ "answer_url": "https://e.example/new" });
        assert_eq!(ask(&mut ledger, "POST", &format!("/Application/{id}/"), &change).0, 202);

        let path = format!("/numbers/%2B{}/application", dialled(OWN_NUMBER));
        assert_eq!(ask(&mut ledger, "DELETE", &path, &Value::Null).0, 404);
        assert_eq!(
            ask(&mut ledger, "POST", &path, &json!({ "application_id": "0" })).0,
            404
        );
        assert_eq!(ask(&mut ledger, "POST", &path, &json!({ "application_id": id })).0, 200);
        let route = Vobiz.inbound_route(&ledger, OWN_NUMBER);
        assert_eq!(route.voice, Some(WebhookTarget::post("https://e.example/new")));
        assert_eq!(ask(&mut ledger, "DELETE", &path, &Value::Null).0, 204);
        assert_eq!(
            Vobiz.inbound_route(&ledger, OWN_NUMBER).voice,
            Some(WebhookTarget::post(""))
        );
    }
}
