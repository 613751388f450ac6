//! The REST API: the domain, its applications, numbers and trunks, and the sessions.

use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::{
    CallRecord, Carrier, Directive, Ledger, NumberRecord, RestAnswer, RestRequest, RestResponse, Subscription,
    WebhookTarget,
};
use super::{BEARER_TOKEN, Cloudonix, DOMAIN, DOMAIN_ID, DOMAIN_UUID, cxml, session, session_status};
use crate::report::Direction;

/// How long a call rings unless told otherwise, in seconds: the domain's `call-timeout`.
const RING_TIMEOUT_S: u64 = 60;

const APPLICATION: &str = "application/";
const DNID: &str = "dnid/";
const TRUNK: &str = "trunk/";

pub(super) fn handle(ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
    if request.bearer() != Some(BEARER_TOKEN) {
        return error(401, "Unauthorized").into();
    }
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (calls, domain, resource) = match segments.as_slice() {
        ["calls", domain, resource @ ..] => (true, *domain, resource),
        // The second is an alias of the first.
        ["customers", "self", "domains", domain, resource @ ..] | ["domains", domain, resource @ ..] => {
            (false, *domain, resource)
        }
        _ => return not_found().into(),
    };
    if ![DOMAIN, DOMAIN_UUID].contains(&domain) {
        return not_found().into();
    }
    let body = request.json();
    match (request.method.as_str(), calls, resource) {
        ("POST", true, ["application"]) => place(ledger, &body),
        ("POST", true, ["sessions", token, "application"]) => switch(ledger, token, &body),
        ("GET", _, ["sessions", token]) => match ledger.call(token) {
            Some(call) => RestResponse::json(200, &session(call, session_status(call.status)).into()).into(),
            None => not_found().into(),
        },
        ("DELETE", _, ["sessions", token]) => end(ledger, token),
        (_, true, _) => not_found().into(),
        ("GET", false, []) => RestResponse::json(200, &ledger.objects["domain"]).into(),
        ("PUT" | "PATCH", false, []) => update_domain(ledger, &body).into(),
        ("GET", false, ["applications"]) => list(ledger, APPLICATION, false).into(),
        ("POST", false, ["applications"]) => create_application(ledger, &body).into(),
        (method, false, ["applications", name]) => one_application(ledger, method, name, &body).into(),
        ("POST", false, ["applications", name, "dnids"]) => register(ledger, name, &body).into(),
        ("GET", false, ["dnids"]) => list(ledger, DNID, true).into(),
        ("GET", false, ["dnids", number]) => match ledger.objects.get(&format!("{DNID}{number}")) {
            Some(dnid) => RestResponse::json(200, dnid).into(),
            None => not_found().into(),
        },
        ("GET", false, ["trunks"]) => list(ledger, TRUNK, true).into(),
        ("POST", false, ["trunks"]) => create_trunk(ledger, &body).into(),
        ("PUT", false, ["trunks", uuid]) => update_trunk(ledger, uuid, &body).into(),
        _ => not_found().into(),
    }
}

pub(super) fn error(status: u16, message: &str) -> RestResponse {
    RestResponse::json(status, &json!({ "status": status, "message": message }))
}

/// An application by its name or UUID.
pub(super) fn application<'a>(ledger: &'a Ledger, name: &str) -> Option<&'a Value> {
    objects(ledger, APPLICATION).find(|application| application["name"] == name || application["uuid"] == name)
}

pub(super) fn default_application(ledger: &Ledger) -> Option<&Value> {
    let id = &ledger.objects.get("domain")?["defaultApplication"];
    objects(ledger, APPLICATION).find(|application| application["id"] == *id)
}

fn not_found() -> RestResponse {
    error(404, "Not Found")
}

fn objects<'a>(ledger: &'a Ledger, prefix: &'static str) -> impl Iterator<Item = &'a Value> {
    let found = ledger.objects.iter().filter(move |(key, _)| key.starts_with(prefix));
    found.map(|(_, object)| object)
}

/// Where there never was any, some resources are not found.
fn list(ledger: &Ledger, prefix: &'static str, absent_when_empty: bool) -> RestResponse {
    let all: Vec<&Value> = objects(ledger, prefix).collect();
    if all.is_empty() && absent_when_empty {
        return not_found();
    }
    RestResponse::json(200, &json!(all))
}

fn place(ledger: &mut Ledger, body: &Value) -> RestAnswer {
    let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
    let (Some(destination), Some(caller)) = (text("destination"), text("caller-id")) else {
        return error(400, "destination and caller-id are required").into();
    };
    let Some(document) = text("cxml") else {
        return error(400, "One of application, url or cxml is required").into();
    };
    let instructions = match cxml::read(document.as_bytes()) {
        Ok(instructions) => instructions,
        Err(reason) => return error(400, &reason).into(),
    };
    if let Some(trunk) = text("trunk") {
        let usable = |known: &Value| known["name"] == trunk && known["active"] == true;
        if !objects(ledger, TRUNK).any(usable) {
            return error(400, "The trunk does not exist").into();
        }
    }
    let mut call = CallRecord::new(Cloudonix.new_call_id(), Direction::Outbound, caller, destination);
    call.instructions = Some(instructions);
    call.ring_timeout = Some(Duration::from_secs(body["timeout"].as_u64().unwrap_or(RING_TIMEOUT_S)));
    call.extra = json!({ "trunk": body["trunk"] });
    if let Some(url) = text("callback") {
        call.callbacks.push(Subscription::to_all(WebhookTarget::post(url)));
    }
    let response = json!({
        "domainId": DOMAIN_ID, "subscriberId": 372, "destination": destination, "direction": "outbound-api",
        "token": call.id,
    });
    let id = call.id.clone();
    ledger.enter(call);
    RestResponse::json(200, &response).and(Directive::Dial(id))
}

/// Another application for a session that is going on; whatever it does now ends.
fn switch(ledger: &mut Ledger, token: &str, body: &Value) -> RestAnswer {
    let Some(call) = ledger.call(token).filter(|call| !call.status.is_final()) else {
        return not_found().into();
    };
    match body["cxml"].as_str().map(|document| cxml::read(document.as_bytes())) {
        Some(Ok(instructions)) => {
            RestResponse::json(202, &json!({})).and(Directive::Instruct(call.id.clone(), instructions))
        }
        Some(Err(reason)) => error(400, &reason).into(),
        None => error(400, "One of application, url or cxml is required").into(),
    }
}

fn end(ledger: &mut Ledger, token: &str) -> RestAnswer {
    match ledger.call_mut(token) {
        Some(call) if !call.status.is_final() => {
            call.end();
            RestResponse::empty(204).and(Directive::HangUp(call.id.clone()))
        }
        _ => not_found().into(),
    }
}

fn update_domain(ledger: &mut Ledger, body: &Value) -> RestResponse {
    let id = &body["defaultApplication"];
    if !objects(ledger, APPLICATION).any(|application| application["id"] == *id) {
        return error(400, "The application does not exist");
    }
    let Some(domain) = ledger.objects.get_mut("domain") else {
        return not_found();
    };
    domain["defaultApplication"] = id.clone();
    RestResponse::json(200, domain)
}

fn create_application(ledger: &mut Ledger, body: &Value) -> RestResponse {
    let Some(name) = body["name"].as_str().filter(|name| !name.is_empty()) else {
        return error(400, "name is required");
    };
    if application(ledger, name).is_some() {
        return error(409, "The application exists");
    }
    if !is_address(&body["url"]) || body["type"] != "cxml" {
        return error(400, "type and url are required");
    }
    let id = 4500 + objects(ledger, APPLICATION).count();
    let application = json!({
        "id": id, "domainId": DOMAIN_ID, "name": name, "uuid": Uuid::new_v4().to_string(), "profile": {}, "type": "cxml",
        "url": body["url"], "method": body["method"].as_str().unwrap_or("GET"), "active": true,
    });
    ledger
        .objects
        .insert(format!("{APPLICATION}{name}"), application.clone());
    RestResponse::json(200, &application)
}

fn one_application(ledger: &mut Ledger, method: &str, name: &str, body: &Value) -> RestResponse {
    let Some(name) = application(ledger, name).and_then(|application| application["name"].as_str()) else {
        return not_found();
    };
    let key = format!("{APPLICATION}{name}");
    match (method, ledger.objects.get_mut(&key)) {
        ("GET", Some(application)) => RestResponse::json(200, application),
        ("PATCH", Some(application)) => {
            if !body["url"].is_null() && !is_address(&body["url"]) {
                return error(400, "url is not an address");
            }
            for name in ["url", "method"].into_iter().filter(|name| body[*name].is_string()) {
                application[name] = body[name].clone();
            }
            RestResponse::json(200, application)
        }
        ("DELETE", Some(_)) => {
            ledger.objects.remove(&key);
            RestResponse::empty(204)
        }
        _ => error(405, "Method Not Allowed"),
    }
}

/// A number that Cloudonix has not seen before is taken as well: which calls arrive is up to the trunks.
fn register(ledger: &mut Ledger, name: &str, body: &Value) -> RestResponse {
    let Some(uuid) = application(ledger, name)
        .and_then(|application| application["uuid"].as_str())
        .map(str::to_owned)
    else {
        return not_found();
    };
    let Some(source) = body["source"].as_str().filter(|source| !source.is_empty()) else {
        return error(400, "source is required");
    };
    let key = format!("{DNID}{source}");
    if ledger.objects.contains_key(&key) {
        return error(409, "The DNID exists");
    }
    let dnid = json!({
        "id": 900 + objects(ledger, DNID).count(), "domainId": DOMAIN_ID, "source": source,
        "dnid": format!("^({})$", source.replace('+', "\\+")), "active": true, "prefix": body["prefix"],
        "expression": body["expression"], "asteriskCompatible": body["asteriskCompatible"], "application": uuid,
    });
    match ledger.numbers.iter_mut().find(|number| number.number == source) {
        Some(number) => number.application = Some(uuid),
        None => {
            let mut number = NumberRecord::new(dnid["id"].to_string(), source);
            number.application = Some(uuid);
            ledger.numbers.push(number);
        }
    }
    ledger.objects.insert(key, dnid.clone());
    RestResponse::json(201, &dnid)
}

fn create_trunk(ledger: &mut Ledger, body: &Value) -> RestResponse {
    if let Some(problem) = trunk_problem(ledger, body, None) {
        return problem;
    }
    let mut trunk = json!({ "uuid": Uuid::new_v4().to_string(), "active": true, "domainId": DOMAIN_ID });
    merge(&mut trunk, body);
    let key = format!("{TRUNK}{}", trunk["uuid"].as_str().unwrap_or_default());
    ledger.objects.insert(key, trunk.clone());
    RestResponse::json(201, &trunk)
}

fn update_trunk(ledger: &mut Ledger, uuid: &str, body: &Value) -> RestResponse {
    let key = format!("{TRUNK}{uuid}");
    let Some(mut trunk) = ledger.objects.get(&key).cloned() else {
        return not_found();
    };
    merge(&mut trunk, body);
    if let Some(problem) = trunk_problem(ledger, &trunk, Some(uuid)) {
        return problem;
    }
    ledger.objects.insert(key, trunk.clone());
    RestResponse::json(200, &trunk)
}

fn trunk_problem(ledger: &Ledger, trunk: &Value, own: Option<&str>) -> Option<RestResponse> {
    let complete = trunk["name"].is_string() && trunk["ip"].is_string() && trunk["port"].is_u64();
    let direction = trunk["direction"].as_str().unwrap_or_default();
    let known = ["public-outbound", "public-inbound", "outbound", "inbound"].contains(&direction);
    if !complete || !known {
        return Some(error(400, "name, ip, port and direction are required"));
    }
    objects(ledger, TRUNK)
        .any(|other| other["name"] == trunk["name"] && other["uuid"].as_str() != own)
        .then(|| error(409, "The trunk exists"))
}

fn merge(object: &mut Value, changes: &Value) {
    let nothing = Map::new();
    for (name, value) in changes.as_object().unwrap_or(&nothing) {
        object[name] = value.clone();
    }
}

fn is_address(url: &Value) -> bool {
    let url = url.as_str().unwrap_or_default();
    url.starts_with("https://") || url.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::{ConferenceInstruction, Instruction};
    use crate::report::CallStatus;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger
            .numbers
            .push(NumberRecord::new("1".to_owned(), Cloudonix.own_number()));
        Cloudonix.open_account(&mut ledger);
        ledger
    }

    fn ask(ledger: &mut Ledger, method: &str, path: &str, body: &Value) -> (u16, Value, Vec<Directive>) {
        let request = RestRequest {
            method: method.to_owned(),
            path: path.replace("{d}", &format!("customers/self/domains/{DOMAIN}")),
            headers: vec![("authorization".to_owned(), format!("Bearer {BEARER_TOKEN}"))],
            body: if body.is_null() {
                Vec::new()
            } else {
                body.to_string().into_bytes()
            },
            ..RestRequest::default()
        };
        let RestAnswer { response, directives } = handle(ledger, &request);
        let body = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        (response.status, body, directives)
    }

    const DOCUMENT: &str = r#"<Response><Connect><Stream url="wss://voice.example.com/ws/1"/></Connect></Response>"#;

    #[test]
    fn a_stranger_and_another_domain_are_turned_away() {
        let mut ledger = ledger();
        let request = RestRequest {
            method: "GET".to_owned(),
            path: format!("/customers/self/domains/{DOMAIN}"),
            headers: vec![("authorization".to_owned(), "Bearer XI".to_owned())],
            ..RestRequest::default()
        };
        assert_eq!(handle(&mut ledger, &request).response.status, 401);
        assert_eq!(
            ask(
                &mut ledger,
                "GET",
                "/customers/self/domains/other.cloudonix.net",
                &Value::Null
            )
            .0,
            404
        );
        let (status, domain, _) = ask(&mut ledger, "GET", "/{d}", &Value::Null);
        assert_eq!((status, &domain["uuid"]), (200, &json!(DOMAIN_UUID)));
    }

    #[test]
    fn an_application_becomes_the_default_and_answers_a_number() {
        let mut ledger = ledger();
        let own = Cloudonix.own_number();
        assert_eq!(
            Cloudonix.inbound_route(&ledger, own).voice,
            Some(WebhookTarget::post(""))
        );
        let new =
            json!({ "name": "strowger-1", "type": "cxml", "url": "https://voice.example.com/in", "method": "POST" });
        let (status, made, _) = ask(&mut ledger, "POST", "/{d}/applications", &new);
        assert_eq!(status, 200);
        assert_eq!(ask(&mut ledger, "POST", "/{d}/applications", &new).0, 409);
        assert_eq!(
            ask(&mut ledger, "PUT", "/{d}", &json!({ "defaultApplication": 1 })).0,
            400
        );
        assert_eq!(
            ask(&mut ledger, "PUT", "/{d}", &json!({ "defaultApplication": made["id"] })).0,
            200
        );
        let voice = |ledger: &Ledger| Cloudonix.inbound_route(ledger, own).voice;
        assert_eq!(
            voice(&ledger),
            Some(WebhookTarget::post("https://voice.example.com/in"))
        );

        assert_eq!(ask(&mut ledger, "GET", "/{d}/dnids", &Value::Null).0, 404);
        let path = format!("/{{d}}/applications/{}/dnids", made["uuid"].as_str().unwrap());
        assert_eq!(ask(&mut ledger, "POST", &path, &json!({ "source": own })).0, 201);
        assert_eq!(ask(&mut ledger, "POST", &path, &json!({ "source": own })).0, 409);
        let (status, dnid, _) = ask(&mut ledger, "GET", "/{d}/dnids/%2B17185550142", &Value::Null);
        assert_eq!((status, &dnid["dnid"]), (200, &json!(r"^(\+17185550142)$")));
        assert_eq!(
            ask(&mut ledger, "GET", "/{d}/dnids", &Value::Null)
                .1
                .as_array()
                .map(Vec::len),
            Some(1)
        );

        let change = json!({ "url": "https://voice.example.com/other" });
        assert_eq!(
            ask(&mut ledger, "PATCH", "/{d}/applications/strowger-1", &change).0,
            200
        );
        assert_eq!(
            voice(&ledger),
            Some(WebhookTarget::post("https://voice.example.com/other"))
        );
        assert_eq!(
            ask(&mut ledger, "DELETE", "/{d}/applications/strowger-1", &Value::Null).0,
            204
        );
        assert_eq!(
            ask(&mut ledger, "GET", "/{d}/applications/strowger-1", &Value::Null).0,
            404
        );
    }

    #[test]
    fn a_call_carries_its_document_and_is_ended_once() {
        let mut ledger = ledger();
        let path = format!("/calls/{DOMAIN}/application");
        let new = json!({
            "destination": "+14155550177", "caller-id": Cloudonix.own_number(), "cxml": DOCUMENT,
            "callback": "https://voice.example.com/status", "timeout": 25,
        });
        let (status, made, directives) = ask(&mut ledger, "POST", &path, &new);
        let token = made["token"].as_str().unwrap().to_owned();
        assert_eq!((status, directives), (200, vec![Directive::Dial(token.clone())]));
        let call = ledger.call(&token).unwrap();
        assert_eq!(call.ring_timeout, Some(Duration::from_secs(25)));
        assert!(call.callbacks[0].covers(CallStatus::Ringing) && call.callbacks[0].covers(CallStatus::Busy));
        for missing in ["destination", "caller-id", "cxml"] {
            let mut bad = new.clone();
            bad[missing] = json!("");
            assert_eq!(ask(&mut ledger, "POST", &path, &bad).0, 400, "{missing}");
        }
        let mut over = new.clone();
        over["trunk"] = json!("nowhere");
        assert_eq!(ask(&mut ledger, "POST", &path, &over).0, 400);

        let switched = json!({ "cxml": "<Response><Dial><Conference>c</Conference></Dial></Response>" });
        let (status, _, directives) = ask(
            &mut ledger,
            "POST",
            &format!("/calls/{DOMAIN}/sessions/{token}/application"),
            &switched,
        );
        let room = ConferenceInstruction {
            name: "c".to_owned(),
            ..ConferenceInstruction::default()
        };
        assert_eq!(
            (status, directives),
            (
                202,
                vec![Directive::Instruct(token.clone(), vec![Instruction::Conference(room)])]
            )
        );
        let session = format!("/{{d}}/sessions/{token}");
        assert_eq!(ask(&mut ledger, "GET", &session, &Value::Null).1["token"], token);
        assert_eq!(
            ask(&mut ledger, "DELETE", &session, &Value::Null).2,
            [Directive::HangUp(token.clone())]
        );
        assert_eq!(ledger.call(&token).map(|call| call.status), Some(CallStatus::Canceled));
        assert_eq!(ask(&mut ledger, "DELETE", &session, &Value::Null).0, 404);
        let late = format!("/calls/{DOMAIN}/sessions/{token}/application");
        assert_eq!(ask(&mut ledger, "POST", &late, &switched).0, 404);
    }

    #[test]
    fn trunks_are_made_changed_and_switched_off() {
        let mut ledger = ledger();
        assert_eq!(ask(&mut ledger, "GET", "/{d}/trunks", &Value::Null).0, 404);
        let new = json!({
            "name": "main", "ip": "128.199.27.19", "port": 9060, "transport": "udp", "prefix": "",
            "direction": "public-outbound", "profile": { "domain": "sip.carrier.example" },
        });
        let (status, made, _) = ask(&mut ledger, "POST", "/{d}/trunks", &new);
        assert_eq!((status, &made["active"]), (201, &json!(true)));
        assert_eq!(ask(&mut ledger, "POST", "/{d}/trunks", &new).0, 409);
        assert_eq!(ask(&mut ledger, "POST", "/{d}/trunks", &json!({ "name": "x" })).0, 400);
        let path = format!("/{{d}}/trunks/{}", made["uuid"].as_str().unwrap());
        let (status, off, _) = ask(&mut ledger, "PUT", &path, &json!({ "active": false }));
        assert_eq!(
            (status, &off["active"], &off["name"]),
            (200, &json!(false), &json!("main"))
        );
        let call = json!({ "destination": "+14155550177", "caller-id": "+1", "cxml": DOCUMENT, "trunk": "main" });
        assert_eq!(
            ask(&mut ledger, "POST", &format!("/calls/{DOMAIN}/application"), &call).0,
            400
        );
        ask(&mut ledger, "PUT", &path, &json!({ "active": true }));
        assert_eq!(
            ask(&mut ledger, "POST", &format!("/calls/{DOMAIN}/application"), &call).0,
            200
        );
        assert_eq!(ask(&mut ledger, "PUT", "/{d}/trunks/unknown", &json!({})).0, 404);
    }
}
