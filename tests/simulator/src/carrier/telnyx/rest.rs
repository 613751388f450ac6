//! The REST API, version 2: calls and commands to them, conferences, numbers, Voice API applications.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::{
    super::{
        CallRecord, Carrier, ConferenceChange, ConferenceInstruction, Directive, Instruction, Ledger, Notice,
        NumberRecord, RestAnswer, RestRequest, RestResponse, StreamInstruction, Subscription, WebhookKind,
        WebhookTarget, random_hex,
    },
    API_KEY, Telnyx, leg_id, media, rfc3339, uuid,
};
use crate::report::Direction;

const REJECTIONS: [&str; 4] = ["CALL_REJECTED", "USER_BUSY", "NOT_FOUND", "TEMPORARILY_UNAVAILABLE"];

/// Keys of the ledger's objects.
const APPLICATION: &str = "application/";
const CONFERENCE: &str = "conference/";
const COMMAND: &str = "command/";

pub(super) fn handle(ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
    if request.bearer() != Some(API_KEY) {
        return error(401, "10009", "Authentication failed").into();
    }
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let body = request.json();
    match (request.method.as_str(), segments.as_slice()) {
        ("POST", ["v2", "calls"]) => dial(ledger, &body),
        ("GET", ["v2", "calls", id]) => match ledger.call(id) {
            Some(call) => data(200, &call_json(call)).into(),
            None => not_found().into(),
        },
        ("POST", ["v2", "calls", id, "actions", action]) => command(ledger, id, action, &body),
        ("POST", ["v2", "conferences"]) => create_conference(ledger, &body),
        ("POST", ["v2", "conferences", id, "actions", "join"]) => join_conference(ledger, id, &body),
        ("GET", ["v2", "conferences", id, "participants"]) => participants(ledger, id).into(),
        ("PATCH", ["v2", "conferences", id, "participants", participant]) => {
            update_participant(ledger, id, participant)
        }
        ("GET", ["v2", "phone_numbers"]) => list_numbers(ledger, request).into(),
        ("PATCH", ["v2", "phone_numbers", id]) => assign_number(ledger, id, &body).into(),
        ("POST", ["v2", "call_control_applications"]) => create_application(ledger, &body).into(),
        ("GET", ["v2", "call_control_applications", id]) => match ledger.objects.get(&key(APPLICATION, id)) {
            Some(application) => data(200, application).into(),
            None => not_found().into(),
        },
        ("PATCH", ["v2", "call_control_applications", id]) => update_application(ledger, id, &body).into(),
        _ => not_found().into(),
    }
}

pub(super) fn error(status: u16, code: &str, title: &str) -> RestResponse {
    let body = json!({ "errors": [{
        "code": code,
        "title": title,
        "detail": format!("{title}."),
        "meta": { "url": format!("https://developers.telnyx.com/docs/overview/errors/{code}") },
    }] });
    RestResponse::json(status, &body)
}

/// Where the webhooks of an application go: to the gateway's dispatcher, as in a portal filled in by hand, unless the API has
/// been told otherwise.
pub(super) fn webhook_url(ledger: &Ledger, application: &str) -> String {
    let application = ledger.objects.get(&key(APPLICATION, application));
    let url = application.and_then(|application| application["webhook_event_url"].as_str());
    match url.filter(|url| !url.is_empty()) {
        Some(url) => url.to_owned(),
        None => format!("{}/api/v1/telephony/inbound/run", ledger.gateway),
    }
}

pub(super) fn add_application(ledger: &mut Ledger, id: &str, name: &str, url: &str, version: &str) -> Value {
    let application = json!({
        "id": id,
        "record_type": "call_control_application",
        "application_name": name,
        "webhook_event_url": url,
        "webhook_event_failover_url": null,
        "webhook_api_version": version,
        "active": true,
    });
    ledger.objects.insert(key(APPLICATION, id), application.clone());
    application
}

/// Keeps the list of who is in a conference: one that everybody has left is over.
pub(super) fn conference_changed(ledger: &mut Ledger, id: &str, call: &str, change: ConferenceChange) {
    let Some(conference) = ledger.objects.get_mut(&key(CONFERENCE, id)) else {
        return;
    };
    let Some(participants) = conference["participants"].as_array_mut() else {
        return;
    };
    participants.retain(|participant| participant != call);
    match change {
        ConferenceChange::Joined => participants.push(json!(call)),
        ConferenceChange::Left if participants.is_empty() => conference["status"] = json!("completed"),
        ConferenceChange::Left => {}
    }
}

fn dial(ledger: &mut Ledger, body: &Value) -> RestAnswer {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let (connection, to, from) = (text("connection_id"), text("to"), text("from"));
    if connection.is_empty() || to.is_empty() || from.is_empty() {
        return error(422, "10004", "Missing required parameter").into();
    }
    if !ledger.objects.contains_key(&key(APPLICATION, connection)) {
        return error(422, "10015", "Invalid value for connection_id (Call Control App ID)").into();
    }
    if !is_dialable(to) {
        return error(422, "10016", "Phone number must be in +E.164 format").into();
    }
    if !ledger.owns(from) {
        // Which code it is for a number of somebody else is not documented for this request.
        return error(403, "10010", "Authorization failed").into();
    }
    let timeout_s = match &body["timeout_secs"] {
        Value::Null => 30,
        given => match given.as_u64().filter(|seconds| (5..=600).contains(seconds)) {
            Some(seconds) => seconds,
            None => return error(422, "10015", "Invalid value for timeout_secs").into(),
        },
    };
    let command_id = text("command_id");
    if let Some(known) = ledger.objects.get(&key(COMMAND, command_id)).and_then(Value::as_str)
        && let Some(call) = ledger.call(known)
    {
        // Others with the same `command_id` are ignored.
        return data(200, &call_json(call)).into();
    }
    let mut call = CallRecord::new(Telnyx.new_call_id(), Direction::Outbound, from, to);
    call.extra = json!({ "connection_id": connection });
    let mut instructions = vec![Instruction::Await];
    if let Some(stream) = stream(body, true) {
        instructions.insert(0, Instruction::Stream(stream));
    }
    call.instructions = Some(instructions);
    call.ring_timeout = Some(Duration::from_secs(timeout_s));
    let url = webhook_url(ledger, connection);
    call.callbacks = vec![Subscription::to_all(WebhookTarget::post(url))];
    take_over(&mut call, body);
    let response = data(200, &call_json(&call));
    let id = call.id.clone();
    if !command_id.is_empty() {
        ledger.objects.insert(key(COMMAND, command_id), json!(id));
    }
    ledger.enter(call);
    response.and(Directive::Dial(id))
}

fn command(ledger: &mut Ledger, id: &str, action: &str, body: &Value) -> RestAnswer {
    let commands = match is_repeated(ledger, id, body) {
        Ok(true) => return ok().into(),
        Ok(false) => &mut ledger.calls,
        Err(response) => return response.into(),
    };
    let Some(call) = commands.get_mut(id) else {
        return not_found().into();
    };
    let answered = call.answered.is_some();
    let id = call.id.clone();
    match action {
        "answer" => {
            if call.direction == Direction::Outbound || answered {
                return error(422, "10015", "The call cannot be answered").into();
            }
            let mut instructions = vec![Instruction::Await];
            if let Some(stream) = stream(body, false) {
                instructions.insert(0, Instruction::Stream(stream));
            }
            take_over(call, body);
            ok().and(Directive::Instruct(id, instructions))
        }
        "reject" => match body["cause"].as_str() {
            None => error(422, "10004", "Missing required parameter").into(),
            Some(cause) if !REJECTIONS.contains(&cause) => error(422, "10015", "Invalid value for cause").into(),
            Some(_) if call.direction == Direction::Outbound || answered => {
                error(422, "10015", "The call cannot be rejected").into()
            }
            Some(cause) => {
                let busy = cause == "USER_BUSY";
                ok().and(Directive::Instruct(id, vec![Instruction::Reject { busy }]))
            }
        },
        "hangup" => {
            call.end();
            ok().and(Directive::HangUp(id))
        }
        "speak" => {
            if !answered {
                return not_answered().into();
            }
            let Some(text) = body["payload"].as_str().filter(|_| body["voice"].is_string()) else {
                return error(422, "10004", "Missing required parameter").into();
            };
            let said = vec![Instruction::Say(text.to_owned()), Instruction::Await];
            let target = call.callbacks.first().map(|subscription| subscription.target.clone());
            let told = |event: &str| {
                let target = target.clone().unwrap_or_default();
                let kind = WebhookKind::Other(event.to_owned());
                Directive::Tell(id.clone(), Notice::Webhook { kind, target })
            };
            // As far as the webhooks are concerned, speech takes no time here.
            let (started, ended) = (told("call.speak.started"), told("call.speak.ended"));
            ok().and(Directive::Instruct(id, said)).and(started).and(ended)
        }
        "send_dtmf" => match body["digits"].as_str() {
            Some(digits) => ok().and(Directive::Digits(id, digits.to_owned())),
            None => error(422, "10004", "Missing required parameter").into(),
        },
        _ => not_found().into(),
    }
}

/// Whether this command was carried out before; an error when there is no such call to command.
fn is_repeated(ledger: &mut Ledger, id: &str, body: &Value) -> Result<bool, RestResponse> {
    let Some(call) = ledger.calls.get(id) else {
        return Err(not_found());
    };
    let over = call.status.is_final();
    let given = body["command_id"].as_str().filter(|command| !command.is_empty());
    let command = given.map(|command| key(COMMAND, &format!("{id}/{command}")));
    let repeated = command
        .as_ref()
        .is_some_and(|command| ledger.objects.contains_key(command));
    match command {
        _ if repeated => Ok(true),
        _ if over => Err(error(422, "90018", "Call has already ended")),
        Some(command) => {
            ledger.objects.insert(command, json!(id));
            Ok(false)
        }
        None => Ok(false),
    }
}

fn create_conference(ledger: &mut Ledger, body: &Value) -> RestAnswer {
    let (Some(call_id), Some(name)) = (body["call_control_id"].as_str(), body["name"].as_str()) else {
        return error(422, "10004", "Missing required parameter").into();
    };
    let known = |conference: &&Value| conference["name"] == name && conference["status"] != "completed";
    let existing = ledger.objects.values().find(known).cloned();
    match is_repeated(ledger, call_id, body) {
        Err(response) => return response.into(),
        // Ignored; what it had made is what is answered.
        Ok(true) => return data(200, &existing.unwrap_or_default()).into(),
        Ok(false) if existing.is_some() => return error(422, "10012", "Duplicate resource").into(),
        Ok(false) => {}
    }
    if ledger.calls.get(call_id).is_some_and(|call| call.answered.is_none()) {
        return not_answered().into();
    }
    let id = uuid();
    let conference = json!({
        "id": id,
        "record_type": "conference",
        "name": name,
        "status": "in_progress",
        "created_at": rfc3339(SystemTime::now()),
        "expires_at": rfc3339(SystemTime::now() + Duration::from_secs(4 * 3600)),
        "participants": [call_id],
    });
    ledger.objects.insert(key(CONFERENCE, &id), conference.clone());
    data(200, &conference).and(Directive::Instruct(call_id.to_owned(), stay(&id, false)))
}

fn join_conference(ledger: &mut Ledger, id: &str, body: &Value) -> RestAnswer {
    let Some(call_id) = body["call_control_id"].as_str() else {
        return error(422, "10004", "Missing required parameter").into();
    };
    // By its id or its name.
    let running = |conference: &&Value| conference["status"] == "in_progress";
    let wanted = |conference: &&Value| conference["id"] == id || conference["name"] == id;
    let Some(conference) = ledger.objects.values().filter(running).find(wanted).cloned() else {
        return not_found().into();
    };
    match is_repeated(ledger, call_id, body) {
        Err(response) => return response.into(),
        Ok(true) => return ok().into(),
        Ok(false) => {}
    }
    if ledger.calls.get(call_id).is_some_and(|call| call.answered.is_none()) {
        return not_answered().into();
    }
    let ends_on_exit = body["end_conference_on_exit"] == true;
    let name = conference["id"].as_str().unwrap_or_default();
    ok().and(Directive::Instruct(call_id.to_owned(), stay(name, ends_on_exit)))
}

/// A participant's id is not its call's.
fn participants(ledger: &Ledger, id: &str) -> RestResponse {
    let Some(conference) = ledger.objects.get(&key(CONFERENCE, id)) else {
        return not_found();
    };
    let participant = |call: &Value| {
        json!({
            "id": participant_id(call.as_str().unwrap_or_default()),
            "record_type": "participant",
            "call_control_id": call,
            "conference": { "id": id, "name": conference["name"] },
            "status": "joined",
        })
    };
    let listed = conference["participants"].as_array().into_iter().flatten();
    data(200, &listed.map(participant).collect())
}

fn update_participant(ledger: &Ledger, id: &str, participant: &str) -> RestAnswer {
    let conference = ledger.objects.get(&key(CONFERENCE, id));
    let listed = conference.and_then(|conference| conference["participants"].as_array());
    let calls = listed.into_iter().flatten().filter_map(Value::as_str);
    let Some(call) = calls.into_iter().find(|call| participant_id(call) == participant) else {
        return not_found().into();
    };
    data(200, &json!({ "id": participant, "call_control_id": call })).into()
}

fn participant_id(call: &str) -> String {
    format!("participant-{}", call.trim_start_matches("v3:"))
}

/// Without a next instruction: who is left when the conference ends is hung up.
fn stay(conference: &str, ends_on_exit: bool) -> Vec<Instruction> {
    vec![Instruction::Conference(ConferenceInstruction {
        name: conference.to_owned(),
        ends_on_exit,
        ..ConferenceInstruction::default()
    })]
}

/// What a command changes for all later webhooks of the call.
fn take_over(call: &mut CallRecord, body: &Value) {
    if let Some(state) = body["client_state"].as_str() {
        call.extra["client_state"] = json!(state);
    }
    if let Some(url) = body["webhook_url"].as_str() {
        call.callbacks = vec![Subscription::to_all(WebhookTarget::post(url))];
    }
}

fn stream(body: &Value, before_answer: bool) -> Option<StreamInstruction> {
    Some(StreamInstruction {
        url: body["stream_url"].as_str()?.to_owned(),
        content_type: media::content_type(body),
        before_answer,
        ..StreamInstruction::default()
    })
}

fn list_numbers(ledger: &Ledger, request: &RestRequest) -> RestResponse {
    let query = request.parameters();
    // Parts of numbers match too; a client that looks for one number must compare.
    let wanted = query.get("filter[phone_number]").unwrap_or_default();
    let matching: Vec<Value> = ledger
        .numbers
        .iter()
        .filter(|number| number.number.contains(wanted))
        .map(number_json)
        .collect();
    let meta = json!({ "page_number": 1, "page_size": 100, "total_pages": 1, "total_results": matching.len() });
    RestResponse::json(200, &json!({ "data": matching, "meta": meta }))
}

fn assign_number(ledger: &mut Ledger, id: &str, body: &Value) -> RestResponse {
    let application = body["connection_id"].as_str().map(str::to_owned);
    match ledger.numbers.iter_mut().find(|number| number.id == id) {
        Some(number) => {
            number.application = application;
            number.updated = SystemTime::now();
            data(200, &number_json(number))
        }
        None => not_found(),
    }
}

fn create_application(ledger: &mut Ledger, body: &Value) -> RestResponse {
    let (Some(name), Some(url)) = (body["application_name"].as_str(), body["webhook_event_url"].as_str()) else {
        return error(422, "10004", "Missing required parameter");
    };
    // Nineteen digits, as theirs have.
    let digits: String = random_hex(19)
        .chars()
        .map(|digit| char::from(b'0' + digit as u8 % 10))
        .collect();
    let id = format!("1{}", &digits[1..]);
    let version = body["webhook_api_version"].as_str().unwrap_or("2");
    data(201, &add_application(ledger, &id, name, url, version))
}

fn update_application(ledger: &mut Ledger, id: &str, body: &Value) -> RestResponse {
    let Some(application) = ledger.objects.get_mut(&key(APPLICATION, id)) else {
        return not_found();
    };
    // Both are required, with every change.
    if !body["application_name"].is_string() || !body["webhook_event_url"].is_string() {
        return error(422, "10004", "Missing required parameter");
    }
    if let (Some(application), Some(changes)) = (application.as_object_mut(), body.as_object()) {
        let changes: Map<String, Value> = changes.clone();
        application.extend(changes);
    }
    data(200, application)
}

fn call_json(call: &CallRecord) -> Value {
    let over = call.status.is_final();
    let mut json = json!({
        "call_control_id": call.id,
        "call_leg_id": leg_id(call),
        "call_session_id": leg_id(call),
        "client_state": call.extra["client_state"],
        // Dialling is asynchronous: not yet.
        "is_alive": call.answered.is_some() && !over,
        "record_type": "call",
    });
    if call.answered.is_some() || over {
        json["start_time"] = json!(rfc3339(call.created));
        json["call_duration"] = json!(call.duration_s());
    }
    if let Some(ended) = call.ended {
        json["end_time"] = json!(rfc3339(ended));
    }
    json
}

fn number_json(number: &NumberRecord) -> Value {
    json!({
        "id": number.id,
        "record_type": "phone_number",
        "phone_number": number.number,
        "status": "active",
        "connection_id": number.application,
    })
}

fn is_dialable(to: &str) -> bool {
    let digits = to.strip_prefix('+').unwrap_or_default();
    to.starts_with("sip:") || ((7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn key(kind: &str, id: &str) -> String {
    format!("{kind}{id}")
}

fn data(status: u16, data: &Value) -> RestResponse {
    RestResponse::json(status, &json!({ "data": data }))
}

fn ok() -> RestResponse {
    data(200, &json!({ "result": "ok" }))
}

fn not_found() -> RestResponse {
    error(404, "10005", "Resource not found")
}

fn not_answered() -> RestResponse {
    error(422, "90034", "This call is not answered yet")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::CallStatus;

    const NUMBER: &str = "+15005550006";

    fn ledger() -> Ledger {
        let mut ledger = Ledger {
            numbers: vec![
                NumberRecord::new("1".into(), NUMBER),
                NumberRecord::new("2".into(), "+150055500061"),
            ],
            ..Ledger::default()
        };
        Telnyx.open_account(&mut ledger);
        ledger
    }

    fn request(method: &str, path: &str, body: &Value) -> RestRequest {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        RestRequest {
            method: method.into(),
            path: format!("/v2{path}"),
            query: query.into(),
            headers: vec![("authorization".into(), format!("Bearer {API_KEY}"))],
            body: body.to_string().into_bytes(),
        }
    }

    fn answer(ledger: &mut Ledger, method: &str, path: &str, body: &Value) -> (u16, Value, Vec<Directive>) {
        let answer = handle(ledger, &request(method, path, body));
        let body = serde_json::from_slice(&answer.response.body).unwrap();
        (answer.response.status, body, answer.directives)
    }

    fn dial_body() -> Value {
        json!({ "connection_id": super::super::APPLICATION, "to": "+14155550100", "from": NUMBER,
            "stream_url": "wss://gateway.example/ws/t", "stream_bidirectional_mode": "rtp", "timeout_secs": 45,
            "webhook_url": "https://gateway.example/events", "client_state": "c3RhdGU=", "command_id": "d-1" })
    }

    fn enter(ledger: &mut Ledger, id: &str, direction: Direction, answered: bool) {
        let mut call = CallRecord::new(id.into(), direction, "+14155550100", NUMBER);
        call.extra = json!({});
        if answered {
            call.answered = Some(SystemTime::now());
            call.status = CallStatus::InProgress;
        }
        ledger.enter(call);
    }

    #[test]
    fn one_command_dials_once() {
        let mut ledger = ledger();
        let (status, body, directives) = answer(&mut ledger, "POST", "/calls", &dial_body());
        let id = body["data"]["call_control_id"].as_str().unwrap().to_owned();
        assert_eq!((status, directives), (200, vec![Directive::Dial(id.clone())]));
        let call = ledger.call(&id).unwrap();
        assert_eq!(
            call.callbacks[0].target,
            WebhookTarget::post("https://gateway.example/events")
        );
        assert_eq!(call.ring_timeout, Some(Duration::from_secs(45)));
        let Some([Instruction::Stream(stream), Instruction::Await]) = call.instructions.as_deref() else {
            panic!("{:?}", call.instructions)
        };
        assert!(stream.before_answer && stream.content_type == "rtp PCMU");

        let (_, again, directives) = answer(&mut ledger, "POST", "/calls", &dial_body());
        assert_eq!(
            (again["data"]["call_control_id"].as_str(), directives),
            (Some(id.as_str()), vec![])
        );
    }

    #[test]
    fn requests_are_checked() {
        let mut ledger = ledger();
        let mut check = |method: &str, path: &str, body: Value, status: u16, code: &str| {
            let (given, answer, directives) = answer(&mut ledger, method, path, &body);
            let given = (given, answer["errors"][0]["code"].as_str(), directives.len());
            assert_eq!(given, (status, Some(code), 0), "{method} {path} {body}");
        };
        let with = |name: &str, value: Value| {
            let mut body = dial_body();
            body[name] = value;
            body
        };
        check("POST", "/calls", json!({}), 422, "10004");
        check("POST", "/calls", with("connection_id", json!("7")), 422, "10015");
        check("POST", "/calls", with("to", json!("14155550100")), 422, "10016");
        check("POST", "/calls", with("from", json!("+19995550006")), 403, "10010");
        check("POST", "/calls", with("timeout_secs", json!(3)), 422, "10015");
        check("GET", "/calls/v3:none", Value::Null, 404, "10005");
        check("POST", "/calls/v3:none/actions/hangup", json!({}), 404, "10005");
        check("GET", "/nothing", Value::Null, 404, "10005");
        check("POST", "/conferences", json!({ "name": "a" }), 422, "10004");
        check(
            "POST",
            "/conferences/none/actions/join",
            json!({ "call_control_id": "v3:a" }),
            404,
            "10005",
        );
        check("PATCH", "/call_control_applications/7", json!({}), 404, "10005");
        let mut stranger = request("GET", "/calls/v3:none", &Value::Null);
        stranger.headers.clear();
        assert_eq!(handle(&mut ledger, &stranger).response.status, 401);
    }

    #[test]
    fn a_call_is_answered_or_rejected_and_ends_once() {
        let mut ledger = ledger();
        enter(&mut ledger, "v3:a", Direction::Inbound, false);
        let body = json!({ "stream_url": "wss://gateway.example/ws/t", "webhook_url": "https://gateway.example/e",
            "client_state": "c3RhdGU=", "command_id": "answer-1" });
        let (status, _, directives) = answer(&mut ledger, "POST", "/calls/v3%3Aa/actions/answer", &body);
        assert_eq!((status, directives.len()), (200, 1));
        assert_eq!(
            ledger.call("v3:a").unwrap().callbacks[0].target.url,
            "https://gateway.example/e"
        );
        // A repetition is ignored.
        let (status, _, directives) = answer(&mut ledger, "POST", "/calls/v3:a/actions/answer", &body);
        assert_eq!((status, directives), (200, vec![]));

        enter(&mut ledger, "v3:b", Direction::Inbound, false);
        let (_, _, directives) = answer(
            &mut ledger,
            "POST",
            "/calls/v3:b/actions/reject",
            &json!({ "cause": "USER_BUSY" }),
        );
        assert_eq!(
            directives,
            [Directive::Instruct(
                "v3:b".into(),
                vec![Instruction::Reject { busy: true }]
            )]
        );
        let (status, ..) = answer(
            &mut ledger,
            "POST",
            "/calls/v3:b/actions/reject",
            &json!({ "cause": "BUSY" }),
        );
        assert_eq!(status, 422);

        let (status, _, directives) = answer(&mut ledger, "POST", "/calls/v3:b/actions/hangup", &json!({}));
        assert_eq!((status, directives), (200, vec![Directive::HangUp("v3:b".into())]));
        let (status, body, _) = answer(&mut ledger, "POST", "/calls/v3:b/actions/hangup", &json!({}));
        assert_eq!((status, body["errors"][0]["code"].as_str()), (422, Some("90018")));
        let (_, body, _) = answer(&mut ledger, "GET", "/calls/v3:b", &Value::Null);
        assert_eq!(
            (&body["data"]["is_alive"], body["data"]["end_time"].is_string()),
            (&json!(false), true)
        );
    }

    #[test]
    fn two_calls_meet_in_a_conference() {
        let mut ledger = ledger();
        enter(&mut ledger, "v3:caller", Direction::Inbound, true);
        enter(&mut ledger, "v3:callee", Direction::Outbound, false);
        let body = json!({ "call_control_id": "v3:callee", "name": "room" });
        assert_eq!(
            answer(&mut ledger, "POST", "/conferences", &body).1["errors"][0]["code"],
            "90034"
        );
        ledger.call_mut("v3:callee").unwrap().answered = Some(SystemTime::now());
        let (status, made, directives) = answer(&mut ledger, "POST", "/conferences", &body);
        let id = made["data"]["id"].as_str().unwrap().to_owned();
        assert_eq!(
            (status, directives),
            (200, vec![Directive::Instruct("v3:callee".into(), stay(&id, false))])
        );
        assert_eq!(answer(&mut ledger, "POST", "/conferences", &body).0, 422);

        let join = json!({ "call_control_id": "v3:caller", "end_conference_on_exit": true });
        let path = format!("/conferences/{id}/actions/join");
        let (_, _, directives) = answer(&mut ledger, "POST", &path, &join);
        assert_eq!(directives, [Directive::Instruct("v3:caller".into(), stay(&id, true))]);
        assert_eq!(
            answer(&mut ledger, "POST", "/conferences/room/actions/join", &join).0,
            200
        );

        for call in ["v3:caller", "v3:callee"] {
            conference_changed(&mut ledger, &id, call, ConferenceChange::Joined);
        }
        for call in ["v3:caller", "v3:callee"] {
            conference_changed(&mut ledger, &id, call, ConferenceChange::Left);
        }
        assert_eq!(answer(&mut ledger, "POST", &path, &join).0, 404);
    }

    #[test]
    fn an_announcement_is_said_and_told() {
        let mut ledger = ledger();
        enter(&mut ledger, "v3:a", Direction::Outbound, true);
        let body = json!({ "payload": "Hello.", "voice": "female" });
        let (_, _, directives) = answer(&mut ledger, "POST", "/calls/v3:a/actions/speak", &body);
        assert!(matches!(
            directives.as_slice(),
            [Directive::Instruct(..), Directive::Tell(..), Directive::Tell(..)]
        ));
    }

    #[test]
    fn numbers_and_applications_are_kept() {
        let mut ledger = ledger();
        let (_, found, _) = answer(
            &mut ledger,
            "GET",
            "/phone_numbers?filter%5Bphone_number%5D=%2B15005550006",
            &Value::Null,
        );
        assert_eq!(found["data"].as_array().unwrap().len(), 2);
        assert_eq!(found["data"][0]["connection_id"], super::super::APPLICATION);

        let body = json!({ "application_name": "strowger-1", "webhook_event_url": "https://gateway.example/in" });
        let (status, made, _) = answer(&mut ledger, "POST", "/call_control_applications", &body);
        let id = made["data"]["id"].as_str().unwrap().to_owned();
        assert_eq!((status, id.len()), (201, 19));
        let path = format!("/call_control_applications/{id}");
        let url_only = json!({ "webhook_event_url": "https://elsewhere.example/" });
        assert_eq!(answer(&mut ledger, "PATCH", &path, &url_only).0, 422);
        let both = json!({ "application_name": "strowger-1", "webhook_event_url": "https://elsewhere.example/" });
        assert_eq!(answer(&mut ledger, "PATCH", &path, &both).0, 200);
        assert_eq!(webhook_url(&ledger, &id), "https://elsewhere.example/");

        answer(
            &mut ledger,
            "PATCH",
            "/phone_numbers/1",
            &json!({ "connection_id": id }),
        );
        let route = Telnyx.inbound_route(&ledger, NUMBER);
        assert_eq!(route.voice, Some(WebhookTarget::post("https://elsewhere.example/")));
        assert_eq!(route.extra["connection_id"], id);
    }
}
