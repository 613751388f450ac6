//! The Voice API for calls, the Application API, and the Numbers API of the other host.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::{
    super::{
        CallRecord, Directive, Ledger, NumberRecord, RestAnswer, RestRequest, RestResponse, Subscription, WebhookTarget,
    },
    API_KEY, API_SECRET, APPLICATION_ID, RATE, Vonage, call_extra, date_and_clock, direction, is_signed, ncco, price,
    status_name, token, vonage_number,
};
use crate::{
    carrier::{Carrier, parameters::is_web_address},
    report::{CallStatus, Direction},
};

pub(super) fn handle(ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["v1", "calls", rest @ ..] => match request.bearer().map(token::check) {
            Some(Ok(())) => calls(ledger, request, rest),
            _ => RestResponse::json(401, &json!({ "type": "UNAUTHORIZED", "error_title": "Unauthorized" })).into(),
        },
        ["v2", "applications", id] if is_account(request) => application(ledger, request, id).into(),
        ["v2", "applications", ..] if !is_account(request) => {
            problem(401, "You did not provide correct credentials.").into()
        }
        ["account", "numbers"] | ["number", "update"] if !is_account(request) => {
            numbers_error(401, "authentication failed").into()
        }
        ["account", "numbers"] => list_numbers(ledger, request).into(),
        ["number", "update"] => update_number(ledger, request).into(),
        _ => problem(404, "Not Found").into(),
    }
}

/// The errors of the newer APIs (RFC 9457).
pub(super) fn problem(status: u16, detail: &str) -> RestResponse {
    let body = json!({
        "type": format!("https://developer.vonage.com/api-errors#{status}"),
        "title": detail,
        "detail": detail,
        "instance": "797a8f199c45014ab7b08bfe9cc1c12c",
    });
    RestResponse::json(status, &body)
}

/// The errors of the Numbers API.
fn numbers_error(status: u16, label: &str) -> RestResponse {
    let body = json!({ "error-code": status.to_string(), "error-code-label": label });
    RestResponse::json(status, &body)
}

fn is_account(request: &RestRequest) -> bool {
    request
        .basic()
        .is_some_and(|(user, password)| (user.as_str(), password.as_str()) == (API_KEY, API_SECRET))
}

pub(super) fn application_key(id: &str) -> String {
    format!("application/{id}")
}

fn calls(ledger: &mut Ledger, request: &RestRequest, resource: &[&str]) -> RestAnswer {
    let not_found = || problem(404, "Not Found").into();
    match (request.method.as_str(), resource) {
        ("POST", []) => create_call(ledger, &request.json()).unwrap_or_else(|detail| problem(400, &detail).into()),
        ("GET", [uuid]) => ledger
            .call(uuid)
            .map_or_else(not_found, |call| RestResponse::json(200, &call_json(call)).into()),
        ("PUT", [uuid]) => match ledger.call_mut(uuid).filter(|call| !call.status.is_final()) {
            Some(call) => update_call(call, &request.json()).unwrap_or_else(|detail| problem(400, &detail).into()),
            // A call that has ended is not there any more.
            None => not_found(),
        },
        ("PUT", [uuid, "dtmf"]) => match ledger.call(uuid).filter(|call| call.status == CallStatus::InProgress) {
            Some(call) => match request.json()["digits"].as_str() {
                Some(digits) => RestResponse::json(200, &json!({ "message": "DTMF sent", "uuid": call.id }))
                    .and(Directive::Digits(call.id.clone(), digits.to_owned())),
                None => problem(400, "`digits` is missing").into(),
            },
            None => not_found(),
        },
        (_, [] | [_] | [_, "dtmf"]) => problem(405, "Method Not Allowed").into(),
        _ => not_found(),
    }
}

fn create_call(ledger: &mut Ledger, body: &Value) -> Result<RestAnswer, String> {
    let to = match body["to"].as_array().map(Vec::as_slice) {
        Some([to]) => address(to, "to")?,
        _ => return Err("`to` is a list of one endpoint".to_owned()),
    };
    if body["from"]["type"] != "phone" {
        return Err("`from` is an endpoint of type phone".to_owned());
    }
    let from = address(&body["from"], "from")?;
    let target = |name: &str, method_name: &str, method: &str| -> Result<Option<WebhookTarget>, String> {
        if body[name].is_null() {
            return Ok(None);
        }
        let url = body[name][0].as_str().filter(|url| is_web_address(url));
        let method = body[method_name].as_str().unwrap_or(method);
        if !matches!(method, "GET" | "POST") {
            return Err(format!("`{method_name}` is GET or POST"));
        }
        Ok(Some(WebhookTarget {
            url: url.ok_or(format!("`{name}` is a list of one web address"))?.to_owned(),
            method: method.to_owned(),
        }))
    };
    let application = ledger
        .objects
        .get(&application_key(APPLICATION_ID))
        .unwrap_or(&Value::Null);
    let voice = &application["capabilities"]["voice"];
    let mut call = CallRecord::new(Vonage.new_call_id(), Direction::Outbound, &from, &to);
    call.extra = call_extra(is_signed(voice));
    call.answer = target("answer_url", "answer_method", "GET")?;
    if !body["ncco"].is_null() {
        call.instructions = Some(ncco::read(&body["ncco"])?);
    }
    if call.answer.is_some() == call.instructions.is_some() {
        return Err("one of `answer_url` and `ncco` is needed".to_owned());
    }
    let ringing_s = match &body["ringing_timer"] {
        Value::Null => 60,
        timer => timer
            .as_u64()
            .filter(|timer| (1..=120).contains(timer))
            .ok_or("`ringing_timer` is 1 to 120")?,
    };
    call.ring_timeout = Some(Duration::from_secs(ringing_s));
    let events = target("event_url", "event_method", "POST")?.or_else(|| {
        let webhook = &voice["webhooks"]["event_url"];
        let url = webhook["address"].as_str().filter(|url| !url.is_empty())?;
        Some(WebhookTarget::post(url))
    });
    call.callbacks.push(Subscription::to_all(
        events.ok_or("`event_url` is needed: the application has none")?,
    ));
    let created = json!({
        "uuid": call.id,
        "status": "started",
        "direction": "outbound",
        "conversation_uuid": call.extra["conversation_uuid"],
    });
    let id = call.id.clone();
    ledger.enter(call);
    Ok(RestResponse::json(201, &created).and(Directive::Dial(id)))
}

/// What an endpoint names, in the simulator's own form.
fn address(endpoint: &Value, name: &str) -> Result<String, String> {
    match endpoint["type"].as_str() {
        Some("phone") => {
            let number = endpoint["number"].as_str().unwrap_or_default();
            let is_international = (7..=15).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
            if !is_international || number.starts_with('0') {
                return Err(format!("`{name}.number` must be E.164 without a leading + or 0"));
            }
            Ok(format!("+{number}"))
        }
        Some("sip") => {
            let uri = endpoint["uri"]
                .as_str()
                .filter(|uri| uri.starts_with("sip:") || uri.starts_with("sips:"));
            uri.map(str::to_owned).ok_or(format!("`{name}.uri` is no SIP address"))
        }
        _ => Err(format!("`{name}.type` is not dialled here")),
    }
}

fn update_call(call: &mut CallRecord, body: &Value) -> Result<RestAnswer, String> {
    let id = call.id.clone();
    let directive = match body["action"].as_str() {
        Some("hangup") => {
            call.end();
            Directive::HangUp(id)
        }
        Some("transfer") => {
            let destination = &body["destination"];
            if destination["type"] != "ncco" {
                return Err("`destination.type` is always ncco".to_owned());
            }
            match destination["url"][0].as_str() {
                Some(url) => Directive::Redirect(id, WebhookTarget::get(url)),
                None => Directive::Instruct(id, ncco::read(&destination["ncco"])?),
            }
        }
        // What is heard is not simulated.
        Some("mute" | "unmute" | "earmuff" | "unearmuff") => return Ok(RestResponse::empty(204).into()),
        _ => return Err("`action` is not known".to_owned()),
    };
    Ok(RestResponse::empty(204).and(directive))
}

fn call_json(call: &CallRecord) -> Value {
    let endpoint = |address: &str| {
        if address.starts_with("sip") {
            json!({ "type": "sip", "uri": address })
        } else {
            json!({ "type": "phone", "number": vonage_number(address) })
        }
    };
    let mut resource = json!({
        "_links": { "self": { "href": format!("/calls/{}", call.id) } },
        "uuid": call.id,
        "conversation_uuid": call.extra["conversation_uuid"],
        "to": endpoint(&call.to),
        "from": endpoint(&call.from),
        "status": status_name(call.status),
        "direction": direction(call.direction),
    });
    // "This is only sent if `status` is `completed`."
    if call.status == CallStatus::Completed {
        let date = |time: Option<SystemTime>| {
            let (date, clock) = date_and_clock(time.unwrap_or(call.created));
            format!("{date} {clock}")
        };
        resource["rate"] = json!(format!("{RATE:.8}"));
        resource["price"] = json!(price(call));
        resource["duration"] = json!(call.duration_s().to_string());
        resource["start_time"] = json!(date(call.answered));
        resource["end_time"] = json!(date(call.ended));
        resource["network"] = json!("GB-FIXED");
    }
    resource
}

fn application(ledger: &mut Ledger, request: &RestRequest, id: &str) -> RestResponse {
    let Some(application) = ledger.objects.get_mut(&application_key(id)) else {
        return problem(404, "Application not found.");
    };
    match request.method.as_str() {
        "GET" => {}
        "PUT" => match replace(application, request.json()) {
            Ok(()) => {}
            Err(detail) => return problem(422, &detail),
        },
        _ => return problem(405, "Method Not Allowed"),
    }
    let mut shown = application.clone();
    shown["_links"] = json!({ "self": { "href": format!("/v2/applications/{id}") } });
    RestResponse::json(200, &shown)
}

/// Everything is as it is in the request now: what it leaves out is gone, except for the identifier and the key.
fn replace(application: &mut Value, wanted: Value) -> Result<(), String> {
    let Value::Object(wanted) = wanted else {
        return Err("not an object".to_owned());
    };
    if wanted.get("name").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err("`name` is required".to_owned());
    }
    if wanted.get("id").is_some_and(|id| *id != application["id"]) {
        return Err("`id` is another application's".to_owned());
    }
    let webhooks = wanted
        .get("capabilities")
        .map(|capabilities| &capabilities["voice"]["webhooks"]);
    for (name, webhook) in webhooks.and_then(Value::as_object).into_iter().flatten() {
        let address = webhook["address"].as_str().ok_or(format!("`{name}` has no address"))?;
        if !address.is_empty() && !is_web_address(address) {
            return Err(format!("`{name}.address` is no web address"));
        }
        if !matches!(webhook["http_method"].as_str(), Some("GET" | "POST")) {
            return Err(format!("`{name}.http_method` is GET or POST"));
        }
    }
    let mut replaced = Map::new();
    replaced.insert("id".to_owned(), application["id"].clone());
    replaced.insert("keys".to_owned(), application["keys"].clone());
    for name in ["name", "keys", "capabilities", "privacy"] {
        if let Some(value) = wanted.get(name) {
            replaced.insert(name.to_owned(), value.clone());
        }
    }
    *application = Value::Object(replaced);
    Ok(())
}

fn list_numbers(ledger: &Ledger, request: &RestRequest) -> RestResponse {
    let query = request.parameters();
    let pattern = query.get("pattern").unwrap_or_default();
    let matches = |number: &&NumberRecord| {
        let number = vonage_number(&number.number);
        match query.get("search_pattern").unwrap_or("0") {
            "1" => number.contains(pattern),
            "2" => number.ends_with(pattern),
            _ => number.starts_with(pattern),
        }
    };
    let size = query.get("size").and_then(|size| size.parse().ok()).unwrap_or(10_usize);
    let numbers: Vec<&NumberRecord> = ledger.numbers.iter().filter(matches).collect();
    if numbers.is_empty() {
        return RestResponse::json(200, &json!({}));
    }
    let page: Vec<Value> = numbers
        .iter()
        .take(size.min(100))
        .map(|number| number_json(number))
        .collect();
    RestResponse::json(200, &json!({ "count": numbers.len(), "numbers": page }))
}

fn number_json(number: &NumberRecord) -> Value {
    let mut shown = json!({
        "country": "GB",
        "msisdn": vonage_number(&number.number),
        "type": "landline",
        "features": ["VOICE"],
    });
    if let Some(id) = &number.application {
        shown["app_id"] = json!(id);
    }
    shown
}

fn update_number(ledger: &mut Ledger, request: &RestRequest) -> RestResponse {
    if request.method != "POST" {
        return numbers_error(405, "method not allowed");
    }
    let form = request.form();
    let (Some("GB"), Some(msisdn)) = (form.get("country"), form.get("msisdn")) else {
        return numbers_error(420, "method failed");
    };
    if let Some(id) = form.get("app_id")
        && !ledger.objects.contains_key(&application_key(id))
    {
        return numbers_error(420, "Application not found");
    }
    let wanted = format!("+{msisdn}");
    let Some(number) = ledger.numbers.iter_mut().find(|number| number.number == wanted) else {
        return numbers_error(420, "method failed");
    };
    number.application = form.get("app_id").map(str::to_owned);
    number.updated = SystemTime::now();
    RestResponse::json(200, &json!({ "error-code": "200", "error-code-label": "success" }))
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    const NUMBER: &str = "+442079460123";

    fn account() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.numbers.push(NumberRecord::new("1".into(), NUMBER));
        Vonage.open_account(&mut ledger);
        ledger
    }

    fn request(method: &str, path: &str, authorization: String, body: &Value) -> RestRequest {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        RestRequest {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            headers: vec![("authorization".into(), authorization)],
            body: match body {
                Value::String(form) => form.clone().into_bytes(),
                body => body.to_string().into_bytes(),
            },
        }
    }

    fn as_application(ledger: &mut Ledger, method: &str, path: &str, body: &Value) -> RestAnswer {
        let token = token::of_the_application(&json!({}));
        handle(ledger, &request(method, path, format!("Bearer {token}"), body))
    }

    fn as_account(ledger: &mut Ledger, method: &str, path: &str, body: &Value) -> RestResponse {
        let credentials = STANDARD.encode(format!("{API_KEY}:{API_SECRET}"));
        handle(ledger, &request(method, path, format!("Basic {credentials}"), body)).response
    }

    fn json_of(response: &RestResponse) -> Value {
        serde_json::from_slice(&response.body).unwrap()
    }

    fn new_call(change: &Value) -> Value {
        let mut call = json!({
            "to": [{ "type": "phone", "number": "447700900000" }],
            "from": { "type": "phone", "number": "442079460123" },
            "answer_url": ["https://g.example/ncco/1"], "answer_method": "GET",
            "event_url": ["https://g.example/events/1"], "event_method": "POST",
            "ringing_timer": 30,
        });
        for (name, value) in change.as_object().unwrap() {
            call[name] = value.clone();
        }
        call
    }

    #[test]
    fn each_resource_has_its_own_credentials() {
        let mut ledger = account();
        let basic = format!("Basic {}", STANDARD.encode(format!("{API_KEY}:{API_SECRET}")));
        let wrong = format!("Basic {}", STANDARD.encode(format!("{API_KEY}:other")));
        let bearer = format!("Bearer {}", token::of_the_application(&json!({})));
        for (path, authorization) in [
            ("/v1/calls", basic),
            ("/v1/calls", "Bearer a.b.c".into()),
            ("/v2/applications/1", bearer.clone()),
            ("/v2/applications/1", wrong.clone()),
            ("/account/numbers", bearer),
            ("/number/update", wrong),
        ] {
            let answer = handle(&mut ledger, &request("POST", path, authorization.clone(), &json!({})));
            assert_eq!(answer.response.status, 401, "{path} {authorization}");
        }
    }

    #[test]
    fn a_call_is_placed_looked_up_and_ended() {
        let mut ledger = account();
        let answer = as_application(&mut ledger, "POST", "/v1/calls", &new_call(&json!({})));
        assert_eq!(answer.response.status, 201);
        let created = json_of(&answer.response);
        let uuid = created["uuid"].as_str().unwrap();
        assert_eq!(answer.directives, [Directive::Dial(uuid.to_owned())]);
        let call = ledger.call(uuid).unwrap();
        assert_eq!((call.from.as_str(), call.to.as_str()), (NUMBER, "+447700900000"));
        assert_eq!(call.answer, Some(WebhookTarget::get("https://g.example/ncco/1")));
        assert_eq!(call.ring_timeout, Some(Duration::from_secs(30)));

        let path = format!("/v1/calls/{uuid}");
        let resource = json_of(&as_application(&mut ledger, "GET", &path, &json!({})).response);
        assert_eq!(
            (&resource["status"], &resource["price"]),
            (&json!("started"), &Value::Null)
        );
        let hangup = json!({ "action": "hangup" });
        let answer = as_application(&mut ledger, "PUT", &path, &hangup);
        assert_eq!(
            (answer.response.status, answer.directives),
            (204, vec![Directive::HangUp(uuid.to_owned())])
        );
        assert_eq!(as_application(&mut ledger, "PUT", &path, &hangup).response.status, 404);
        let resource = json_of(&as_application(&mut ledger, "GET", &path, &json!({})).response);
        assert_eq!(resource["status"], "cancelled");
    }

    #[test]
    fn a_call_that_cannot_be_placed_says_why() {
        let mut ledger = account();
        for change in [
            json!({ "to": [{ "type": "phone", "number": "+447700900000" }] }),
            json!({ "to": [{ "type": "phone", "number": "07700900000" }] }),
            json!({ "to": { "type": "phone", "number": "447700900000" } }),
            json!({ "to": [] }),
            json!({ "from": { "type": "phone", "number": "+442079460123" } }),
            json!({ "from": { "number": "442079460123" } }),
            json!({ "answer_url": null }),
            json!({ "answer_url": "https://g.example/ncco/1" }),
            json!({ "answer_method": "PUT" }),
            json!({ "ncco": [{ "action": "talk", "text": "Hello" }] }),
            json!({ "answer_url": null, "ncco": [{ "action": "hangup" }] }),
            json!({ "event_url": null }),
            json!({ "ringing_timer": 121 }),
            json!({ "ringing_timer": 0 }),
        ] {
            let answer = as_application(&mut ledger, "POST", "/v1/calls", &new_call(&change));
            assert_eq!(answer.response.status, 400, "{change}");
            assert!(ledger.calls.is_empty());
        }
    }

    #[test]
    fn a_call_is_steered() {
        let mut ledger = account();
        let mut call = CallRecord::new("63f61863".into(), Direction::Inbound, "+447700900000", NUMBER);
        call.status = CallStatus::InProgress;
        ledger.enter(call);
        let path = "/v1/calls/63f61863";
        let keys = as_application(&mut ledger, "PUT", &format!("{path}/dtmf"), &json!({ "digits": "12" }));
        assert_eq!(keys.directives, [Directive::Digits("63f61863".into(), "12".into())]);
        let talk = json!([{ "action": "talk", "text": "Hello" }]);
        let transfer = json!({ "action": "transfer", "destination": { "type": "ncco", "ncco": talk } });
        let answer = as_application(&mut ledger, "PUT", path, &transfer);
        assert!(matches!(answer.directives[..], [Directive::Instruct(..)]));
        for body in [json!({}), json!({ "action": "fly" }), json!({ "action": "transfer" })] {
            assert_eq!(
                as_application(&mut ledger, "PUT", path, &body).response.status,
                400,
                "{body}"
            );
        }
        assert_eq!(
            as_application(&mut ledger, "PUT", "/v1/calls/other", &transfer)
                .response
                .status,
            404
        );
    }

    #[test]
    fn an_application_is_replaced_and_keeps_its_key() {
        let mut ledger = account();
        let path = format!("/v2/applications/{APPLICATION_ID}");
        let before = json_of(&as_account(&mut ledger, "GET", &path, &json!({})));
        assert!(before["_links"].is_object() && before["capabilities"]["messages"].is_object());
        let address = "https://g.example/inbound/run";
        let voice = json!({ "webhooks": { "answer_url": { "address": address, "http_method": "POST" } } });
        let bare = json!({ "name": "Demo", "capabilities": { "voice": voice } });
        assert_eq!(as_account(&mut ledger, "PUT", &path, &bare).status, 200);
        let after = json_of(&as_account(&mut ledger, "GET", &path, &json!({})));
        assert_eq!(after["keys"], before["keys"]);
        assert_eq!(after["capabilities"]["messages"], Value::Null);
        for wrong in [
            json!([]),
            json!({ "capabilities": {} }),
            json!({ "name": "Demo", "capabilities": { "voice": { "webhooks": { "answer_url": {} } } } }),
        ] {
            assert_eq!(as_account(&mut ledger, "PUT", &path, &wrong).status, 422, "{wrong}");
        }
        assert_eq!(
            as_account(&mut ledger, "GET", "/v2/applications/other", &json!({})).status,
            404
        );
    }

    #[test]
    fn numbers_are_listed_by_their_beginning_and_linked() {
        let mut ledger = account();
        ledger.numbers.push(NumberRecord::new("2".into(), "+4420794601234"));
        let list = "/account/numbers?pattern=442079460123&search_pattern=0&size=100";
        let page = json_of(&as_account(&mut ledger, "GET", list, &json!({})));
        assert_eq!(page["count"], 2);
        assert_eq!(page["numbers"][0]["app_id"], APPLICATION_ID);
        assert_eq!(page["numbers"][1].get("app_id"), None);
        let nothing = as_account(&mut ledger, "GET", "/account/numbers?pattern=1", &json!({}));
        assert_eq!(json_of(&nothing), json!({}));
        let link = |msisdn: &str, id: &str| Value::String(format!("country=GB&msisdn={msisdn}&app_id={id}"));
        let linked = as_account(
            &mut ledger,
            "POST",
            "/number/update",
            &link("4420794601234", APPLICATION_ID),
        );
        assert_eq!(json_of(&linked)["error-code"], "200");
        assert_eq!(ledger.numbers[1].application.as_deref(), Some(APPLICATION_ID));
        for wrong in [
            link("1", APPLICATION_ID),
            link("4420794601234", "other"),
            json!("msisdn=1"),
        ] {
            assert_eq!(as_account(&mut ledger, "POST", "/number/update", &wrong).status, 420);
        }
    }
}
