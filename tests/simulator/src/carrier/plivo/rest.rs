//! The REST API, version 1: calls, applications and numbers.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    super::{
        CallRecord, Carrier, Directive, Ledger, NumberRecord, RestAnswer, RestRequest, RestResponse, Subscription,
    },
    AUTH_ID, AUTH_TOKEN, Plivo, RATE, cost, datetime, dialled, direction, hangup_cause, status_name,
};
use crate::carrier::parameters::{change, e164, is_web_address, target, text};
use crate::report::{CallStatus, Direction};

pub(super) fn application_key(id: &str) -> String {
    format!("application/{id}")
}

pub(super) fn error(status: u16, message: &str) -> RestResponse {
    RestResponse::json(status, &json!({ "api_id": api_id(), "error": message }))
}

fn api_id() -> String {
    Uuid::new_v4().to_string()
}

fn not_found() -> RestAnswer {
    error(404, "not found").into()
}

/// A success, with the request's own id.
fn success(status: u16, mut body: Value) -> RestResponse {
    body["api_id"] = api_id().into();
    RestResponse::json(status, &body)
}

pub(super) fn handle(ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
    let authorised = request.basic();
    if authorised.is_none_or(|(user, password)| (user.as_str(), password.as_str()) != (AUTH_ID, AUTH_TOKEN)) {
        return error(401, "Could not verify your access level for that URL.").into();
    }
    // Every address of this API ends with a slash.
    if !request.path.ends_with('/') {
        return not_found();
    }
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["v1", "Account", AUTH_ID, resource @ ..] = segments.as_slice() else {
        return not_found();
    };
    let body = body(request);
    match (request.method.as_str(), resource) {
        ("GET", []) => success(
            200,
            json!({ "auth_id": AUTH_ID, "account_type": "standard", "cash_credits": "20.00000" }),
        )
        .into(),
        ("POST", ["Call"]) => create_call(ledger, &body),
        ("GET", ["Call", id]) => look_up_call(ledger, id, request.parameters().get("status")),
        ("POST", ["Call", id]) => transfer(ledger, id, &body),
        ("DELETE", ["Call", id]) => hang_up(ledger, id),
        ("POST", ["Application"]) => create_application(ledger, &body),
        ("GET", ["Application", id]) => match ledger.objects.get(&application_key(id)) {
            Some(application) => success(200, application.clone()).into(),
            None => not_found(),
        },
        ("POST", ["Application", id]) => update_application(ledger, id, &body),
        ("GET", ["Number", digits]) => match number(ledger, digits) {
            Some(number) => success(200, number_json(number)).into(),
            None => not_found(),
        },
        ("POST", ["Number", digits]) => assign_number(ledger, digits, &body),
        (_, [] | ["Call" | "Application" | "Number", ..]) => error(405, "method not allowed").into(),
        _ => not_found(),
    }
}

/// The parameters, which come as JSON or as a form.
fn body(request: &RestRequest) -> Map<String, Value> {
    match request.json() {
        Value::Object(body) => body,
        _ => request
            .form()
            .0
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect(),
    }
}

/// Plivo would fire the call and end it with "Unknown Caller ID" when the caller is nobody's here; this says it at once.
fn create_call(ledger: &mut Ledger, body: &Map<String, Value>) -> RestAnswer {
    let missing = |name: &str| -> RestAnswer { error(400, &format!("{name} parameter not present")).into() };
    let Some(from) = text(body, "from") else {
        return missing("from");
    };
    let Some(to) = text(body, "to") else {
        return missing("to");
    };
    let Some(answer) = target(body, "answer_url", "answer_method") else {
        return missing("answer_url");
    };
    if to.contains('<') {
        return error(400, "calls in bulk are not simulated").into();
    }
    let targets = [
        Some(&answer),
        target(body, "ring_url", "ring_method").as_ref(),
        target(body, "hangup_url", "hangup_method").as_ref(),
    ]
    .map(|target| target.cloned());
    if targets.iter().flatten().any(|target| !is_web_address(&target.url)) {
        return error(400, "an URL is not valid").into();
    }
    let (from, to) = (e164(from), e164(to));
    if !ledger.owns(&from) {
        return error(400, "from is not a number of this account").into();
    }
    let ring_timeout = match body.get("ring_timeout") {
        None => 120,
        Some(Value::String(text)) => text.parse().unwrap_or(120),
        Some(value) => value.as_u64().unwrap_or(120),
    };

    let request_uuid = Plivo.new_call_id();
    let mut call = CallRecord::new(Plivo.new_call_id(), Direction::Outbound, &from, &to);
    call.earlier_id = Some(request_uuid.clone());
    call.ring_timeout = Some(Duration::from_secs(ring_timeout));
    let [answer, ring, ended] = targets;
    if let Some(ring) = ring {
        call.callbacks.push(Subscription::new(ring, [CallStatus::Ringing]));
    }
    // The end is told to the answer URL when there is no other place.
    if let Some(ended) = ended.or_else(|| answer.clone()) {
        call.callbacks.push(Subscription::new(ended, [CallStatus::Completed]));
    }
    call.answer = answer;
    let id = call.id.clone();
    ledger.enter(call);
    success(201, json!({ "message": "call fired", "request_uuid": request_uuid })).and(Directive::Dial(id))
}

/// A call is looked up among the live ones, the queued ones, or the records of those that ended.
fn look_up_call(ledger: &mut Ledger, id: &str, place: Option<&str>) -> RestAnswer {
    let Some(call) = ledger.call_mut(id) else {
        return not_found();
    };
    let is_queued = matches!(call.status, CallStatus::Queued | CallStatus::Initiated);
    let over = call.status.is_final();
    match place {
        Some("live") if !over && !is_queued => success(200, alive_json(call)).into(),
        Some("queued") if is_queued => success(200, alive_json(call)).into(),
        Some(_) => not_found(),
        None if over => {
            call.lookups_after_end += 1;
            // Written some time after the end.
            if call.lookups_after_end == 1 {
                return not_found();
            }
            success(200, record_json(call)).into()
        }
        None => not_found(),
    }
}

/// Only under the name that the call has since it rings; the request's will not do.
fn transfer(ledger: &Ledger, id: &str, body: &Map<String, Value>) -> RestAnswer {
    let Some(call) = ledger.calls.get(id).filter(|call| !call.status.is_final()) else {
        return not_found();
    };
    if text(body, "legs").unwrap_or("aleg") != "aleg" {
        return error(400, "the call has no other leg").into();
    }
    let Some(next) = target(body, "aleg_url", "aleg_method").filter(|target| is_web_address(&target.url)) else {
        return error(400, "aleg_url parameter not present").into();
    };
    if call.answered.is_none() {
        return not_found();
    }
    success(202, json!({ "message": "transfer executed", "call_uuids": [call.id] }))
        .and(Directive::Redirect(call.id.clone(), next))
}

fn hang_up(ledger: &mut Ledger, id: &str) -> RestAnswer {
    match ledger.call_mut(id).filter(|call| !call.status.is_final()) {
        Some(call) => {
            call.end();
            RestResponse::empty(204).and(Directive::HangUp(call.id.clone()))
        }
        None => not_found(),
    }
}

fn create_application(ledger: &mut Ledger, body: &Map<String, Value>) -> RestAnswer {
    if text(body, "app_name").is_none() {
        return error(400, "app_name parameter not present").into();
    }
    if let Some(refusal) = unusable_url(body) {
        return refusal.into();
    }
    // 17 digits.
    let number = u64::from_str_radix(&super::random_hex(12), 16).unwrap_or_default();
    let id = format!("2{:016}", number % 10_u64.pow(16));
    let mut application = json!({
        "app_id": id,
        "resource_uri": format!("/v1/Account/{AUTH_ID}/Application/{id}/"),
        "answer_method": "POST",
        "hangup_method": "POST",
        "enabled": true,
        "default_app": false,
        "sub_account": null,
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
    if let Some(refusal) = unusable_url(body) {
        return refusal.into();
    }
    change(application, body);
    success(202, json!({ "message": "changed" })).into()
}

fn unusable_url(body: &Map<String, Value>) -> Option<RestResponse> {
    ["answer_url", "hangup_url", "fallback_answer_url"]
        .into_iter()
        .find(|name| text(body, name).is_some_and(|url| !is_web_address(url)))
        .map(|name| error(400, &format!("{name} is not a valid URL")))
}

fn number<'a>(ledger: &'a Ledger, digits: &str) -> Option<&'a NumberRecord> {
    ledger.numbers.iter().find(|number| dialled(&number.number) == digits)
}

fn assign_number(ledger: &mut Ledger, digits: &str, body: &Map<String, Value>) -> RestAnswer {
    let application = text(body, "app_id").map(str::to_owned);
    if let Some(id) = &application
        && !ledger.objects.contains_key(&application_key(id))
    {
        return error(400, "the application does not exist").into();
    }
    let found = ledger
        .numbers
        .iter_mut()
        .find(|number| dialled(&number.number) == digits);
    let Some(number) = found else {
        return not_found();
    };
    if body.contains_key("app_id") {
        number.application = application;
        number.updated = SystemTime::now();
    }
    success(202, json!({ "message": "changed" })).into()
}

fn number_json(number: &NumberRecord) -> Value {
    let application = number
        .application
        .as_ref()
        .map(|id| format!("/v1/Account/{AUTH_ID}/Application/{id}/"));
    json!({
        "number": dialled(&number.number),
        "application": application,
        "country": "United States",
        "type": "local",
        "voice_enabled": true,
        "voice_rate": format!("{RATE:.5}"),
        "resource_uri": format!("/v1/Account/{AUTH_ID}/Number/{}/", dialled(&number.number)),
    })
}

fn alive_json(call: &CallRecord) -> Value {
    json!({
        "call_uuid": call.id,
        "request_uuid": call.earlier_id,
        "call_status": status_name(call, call.status),
        "direction": direction(call),
        "from": dialled(&call.from),
        "to": dialled(&call.to),
        "caller_name": dialled(&call.from),
        "session_start": datetime(call.created),
    })
}

fn record_json(call: &CallRecord) -> Value {
    let time = |time: Option<SystemTime>| time.map(|time| format!("{}+00:00", datetime(time)));
    let (_, code, name, source) = hangup_cause(call, call.status);
    let seconds = call.duration_s();
    json!({
        "call_uuid": call.id,
        "parent_call_uuid": null,
        "call_direction": direction(call),
        "call_state": if call.answered.is_some() { "ANSWER" } else { "NOANSWER" },
        "from_number": dialled(&call.from),
        "to_number": dialled(&call.to),
        "initiation_time": time(Some(call.created)),
        "answer_time": time(call.answered),
        "end_time": time(call.ended),
        "call_duration": seconds,
        "bill_duration": seconds,
        "billed_duration": seconds.div_ceil(60) * 60,
        "total_amount": cost(call),
        "total_rate": format!("{RATE:.5}"),
        "hangup_cause_code": code,
        "hangup_cause_name": name,
        "hangup_source": source,
        "resource_uri": format!("/v1/Account/{AUTH_ID}/Call/{}/", call.id),
    })
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::{
        super::{OTHER_APPLICATION, OTHER_NUMBER, OWN_NUMBER},
        *,
    };
    use crate::carrier::WebhookTarget;

    fn request(method: &str, path: &str, body: &Value) -> RestRequest {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        RestRequest {
            method: method.into(),
            path: format!("/v1/Account/{AUTH_ID}{path}"),
            query: query.into(),
            headers: vec![(
                "authorization".into(),
                format!("Basic {}", STANDARD.encode(format!("{AUTH_ID}:{AUTH_TOKEN}"))),
            )],
            body: if body.is_null() {
                Vec::new()
            } else {
                body.to_string().into_bytes()
            },
        }
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger {
            numbers: vec![NumberRecord::new(OWN_NUMBER.into(), OWN_NUMBER)],
            ..Ledger::default()
        };
        Plivo.open_account(&mut ledger);
        ledger
    }

    fn ask(ledger: &mut Ledger, method: &str, path: &str, body: &Value) -> (u16, Value, Vec<Directive>) {
        let answer = handle(ledger, &request(method, path, body));
        let body = serde_json::from_slice(&answer.response.body).unwrap_or(Value::Null);
        (answer.response.status, body, answer.directives)
    }

    fn dial() -> Value {
        json!({
            "from": "14085550131", "to": "12025550147", "answer_url": "https://e.example/a", "answer_method": "POST",
            "ring_url": "https://e.example/r", "hangup_url": "https://e.example/h", "ring_timeout": 30,
        })
    }

    #[test]
    fn a_call_is_fired_looked_up_transferred_and_ended_once() {
        let mut ledger = ledger();
        let (status, fired, directives) = ask(&mut ledger, "POST", "/Call/", &dial());
        assert_eq!((status, fired["message"].as_str()), (201, Some("call fired")));
        let request = fired["request_uuid"].as_str().unwrap().to_owned();
        let [Directive::Dial(live)] = &directives[..] else {
            panic!("{directives:?}")
        };
        assert_ne!(*live, request);
        let call = &ledger.calls[live];
        assert_eq!((call.from.as_str(), call.to.as_str()), ("+14085550131", "+12025550147"));
        assert_eq!(call.ring_timeout, Some(Duration::from_secs(30)));
        assert!(call.callbacks[0].covers(CallStatus::Ringing) && call.callbacks[1].covers(CallStatus::Failed));

        let of_request = format!("/Call/{request}/");
        let queued = ask(&mut ledger, "GET", &format!("{of_request}?status=queued"), &Value::Null);
        assert_eq!((queued.0, queued.1["call_status"].as_str()), (200, Some("queued")));
        let call = ledger.calls.get_mut(live).unwrap();
        call.status = CallStatus::InProgress;
        call.answered = Some(SystemTime::now() - Duration::from_secs(61));
        let alive = ask(&mut ledger, "GET", &format!("/Call/{live}/?status=live"), &Value::Null);
        assert_eq!((alive.0, alive.1["call_status"].as_str()), (200, Some("in-progress")));
        assert_eq!(ask(&mut ledger, "GET", &format!("/Call/{live}/"), &Value::Null).0, 404);

        let next = json!({ "legs": "aleg", "aleg_url": "https://e.example/t", "aleg_method": "POST" });
        assert_eq!(ask(&mut ledger, "POST", &of_request, &next).0, 404);
        let (status, _, directives) = ask(&mut ledger, "POST", &format!("/Call/{live}/"), &next);
        let target = WebhookTarget::post("https://e.example/t");
        assert_eq!(
            (status, directives),
            (202, vec![Directive::Redirect(live.clone(), target)])
        );

        let ended = ask(&mut ledger, "DELETE", &of_request, &Value::Null);
        assert_eq!((ended.0, ended.2), (204, vec![Directive::HangUp(live.clone())]));
        assert_eq!(ask(&mut ledger, "DELETE", &of_request, &Value::Null).0, 404);
        // The record is written late.
        assert_eq!(ask(&mut ledger, "GET", &of_request, &Value::Null).0, 404);
        let (status, record, _) = ask(&mut ledger, "GET", &of_request, &Value::Null);
        assert_eq!((status, record["total_amount"].as_str()), (200, Some("0.01100")));
        assert_eq!(
            (record["call_duration"].as_u64(), record["billed_duration"].as_u64()),
            (Some(62), Some(120))
        );
    }

    #[test]
    fn requests_are_checked() {
        let mut ledger = ledger();
        let mut without = |name: &str| {
            let mut body = dial();
            body.as_object_mut().unwrap().remove(name);
            ask(&mut ledger, "POST", "/Call/", &body).0
        };
        assert_eq!((without("from"), without("to"), without("answer_url")), (400, 400, 400));
        // Where the call ends is then told to the answer URL.
        assert_eq!(without("hangup_url"), 201);
        for (name, value) in [
            ("from", "12025550147"),
            ("to", "12025550147<12025550148"),
            ("answer_url", "ftp://e.example/"),
        ] {
            let mut body = dial();
            body[name] = json!(value);
            assert_eq!(ask(&mut ledger, "POST", "/Call/", &body).0, 400, "{name}");
        }
        for (method, path, status) in [
            ("GET", "/", 200),
            ("GET", "/Call/nobody/?status=live", 404),
            ("DELETE", "/Call/nobody/", 404),
            ("PUT", "/Call/", 405),
            ("GET", "/Nothing/", 404),
            ("GET", "/Number/14085550131", 404),
            ("GET", "/Application/0/", 404),
        ] {
            assert_eq!(
                ask(&mut ledger, method, path, &Value::Null).0,
                status,
                "{method} {path}"
            );
        }
        let mut stranger = request("GET", "/", &Value::Null);
        stranger.headers.clear();
        assert_eq!(handle(&mut ledger, &stranger).response.status, 401);
    }

    #[test]
    fn applications_are_made_changed_and_get_numbers() {
        let mut ledger = ledger();
        let make = json!({ "app_name": "strowger-1", "answer_url": "https://e.example/in", "answer_method": "POST" });
        let (status, made, _) = ask(&mut ledger, "POST", "/Application/", &make);
        assert_eq!((status, made["message"].as_str()), (201, Some("created")));
        let id = made["app_id"].as_str().unwrap();
        assert_eq!(id.len(), 17);
        let path = format!("/Application/{id}/");
        let (_, application, _) = ask(&mut ledger, "GET", &path, &Value::Null);
        assert_eq!(application["hangup_url"], "https://e.example/in");

        let change = json!({ "answer_url": "https://e.example/new" });
        assert_eq!(ask(&mut ledger, "POST", &path, &change).0, 202);
        assert_eq!(
            ask(&mut ledger, "POST", &path, &json!({ "answer_url": "nowhere" })).0,
            400
        );

        let own = format!("/Number/{}/", dialled(OWN_NUMBER));
        assert_eq!(
            ask(&mut ledger, "GET", &own, &Value::Null).1["application"],
            Value::Null
        );
        assert_eq!(ask(&mut ledger, "POST", &own, &json!({ "app_id": "0" })).0, 400);
        assert_eq!(ask(&mut ledger, "POST", &own, &json!({ "app_id": id })).0, 202);
        let (_, number, _) = ask(&mut ledger, "GET", &own, &Value::Null);
        assert_eq!(
            number["application"],
            format!("/v1/Account/{AUTH_ID}/Application/{id}/")
        );
        let route = Plivo.inbound_route(&ledger, OWN_NUMBER);
        assert_eq!(route.voice, Some(WebhookTarget::post("https://e.example/new")));

        let other = format!("/Number/{}/", dialled(OTHER_NUMBER));
        let (_, number, _) = ask(&mut ledger, "GET", &other, &Value::Null);
        assert!(number["application"].as_str().unwrap().contains(OTHER_APPLICATION));
        assert_eq!(ask(&mut ledger, "GET", "/Number/12025550147/", &Value::Null).0, 404);
    }
}
