//! The REST API, version 2010-04-01: calls and incoming phone numbers.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{
    super::{
        CallRecord, Directive, Form, Ledger, NumberRecord, RestAnswer, RestRequest, RestResponse, Subscription, rfc2822,
    },
    ACCOUNT_SID, API_VERSION, AUTH_TOKEN, Twilio, status_name, twiml,
};
use crate::{
    carrier::Carrier,
    report::{CallStatus, Direction},
};

/// What a begun minute costs, in US dollars.
const PRICE_INBOUND: f64 = 0.0085;
const PRICE_OUTBOUND: f64 = 0.014;

pub(super) fn handle(ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
    if !is_authorised(request) {
        return error(401, 20003, "Authenticate").into();
    }
    let account = format!("/{API_VERSION}/Accounts/{ACCOUNT_SID}");
    let Some(resource) = request
        .path
        .strip_prefix(&account)
        .and_then(|rest| rest.strip_suffix(".json"))
    else {
        return not_found(&request.path).into();
    };
    let segments: Vec<&str> = resource.split('/').skip(1).collect();
    let body = request.form();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", []) => account_json(request).into(),
        ("POST", ["Calls"]) => create_call(ledger, &body),
        ("GET", ["Calls", id]) => match ledger.calls.get_mut(*id) {
            Some(call) => {
                call.lookups_after_end += u32::from(call.status.is_final());
                RestResponse::json(200, &call_json(call)).into()
            }
            None => not_found(&request.path).into(),
        },
        ("POST", ["Calls", id]) => match ledger.calls.get_mut(*id) {
            Some(call) => update_call(call, &body, &request.path),
            None => not_found(&request.path).into(),
        },
        ("GET", ["IncomingPhoneNumbers"]) => list_numbers(&ledger.numbers, request).into(),
        ("GET", ["IncomingPhoneNumbers", id]) => match ledger.numbers.iter().find(|number| number.id == *id) {
            Some(number) => RestResponse::json(200, &number_json(number)).into(),
            None => not_found(&request.path).into(),
        },
        ("POST", ["IncomingPhoneNumbers", id]) => match ledger.numbers.iter_mut().find(|number| number.id == *id) {
            Some(number) => update_number(number, &body).into(),
            None => not_found(&request.path).into(),
        },
        (_, [] | ["Calls", ..] | ["IncomingPhoneNumbers", ..]) => error(405, 20004, "Method not allowed").into(),
        _ => not_found(&request.path).into(),
    }
}

pub(super) fn error(status: u16, code: u32, message: &str) -> RestResponse {
    let body = json!({
        "code": code,
        "message": message,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status,
    });
    RestResponse::json(status, &body)
}

fn not_found(path: &str) -> RestResponse {
    error(404, 20404, &format!("The requested resource {path} was not found"))
}

fn is_authorised(request: &RestRequest) -> bool {
    request
        .basic()
        .is_some_and(|(user, password)| (user.as_str(), password.as_str()) == (ACCOUNT_SID, AUTH_TOKEN))
}

fn create_call(ledger: &mut Ledger, form: &Form) -> RestAnswer {
    let Some(to) = form.get("To") else {
        return error(400, 21201, "No 'To' number is specified").into();
    };
    let Some(from) = form.get("From") else {
        return error(400, 21213, "No 'From' number is specified").into();
    };
    if !is_dialable(to) {
        return error(
            400,
            21211,
            &format!("The phone number you are attempting to call, {to}, is not valid."),
        )
        .into();
    }
    if !ledger.numbers.iter().any(|number| number.number == from) {
        let message = format!("The source phone number provided, {from}, is not yet verified for your account.");
        return error(400, 21210, &message).into();
    }
    let answer = form.target("Url", "Method");
    let instructions = match form.get("Twiml").map(|document| twiml::read(document.as_bytes())) {
        None => None,
        Some(Ok(instructions)) => Some(instructions),
        Some(Err(reason)) => return error(400, 21623, &format!("Invalid TwiML: {reason}")).into(),
    };
    if answer.is_none() && instructions.is_none() {
        return error(400, 21205, "Url parameter is required.").into();
    }
    if let Some(target) = &answer
        && !(target.url.starts_with("http://") || target.url.starts_with("https://"))
    {
        return error(400, 21205, &format!("Url is not a valid URL: {}", target.url)).into();
    }
    let mut call = CallRecord::new(Twilio.new_call_id(), Direction::Outbound, from, to);
    call.answer = answer;
    call.instructions = instructions;
    // A minute is what Twilio lets a call ring unless told otherwise; ten are the most.
    let timeout_s = form.get("Timeout").and_then(|timeout| timeout.parse().ok());
    call.ring_timeout = Some(Duration::from_secs(timeout_s.unwrap_or(60).min(600)));
    if let Some(target) = form.target("StatusCallback", "StatusCallbackMethod") {
        let mut statuses: Vec<CallStatus> = form
            .all("StatusCallbackEvent")
            // One parameter with a list is accepted as well as one parameter for each.
            .flat_map(|names| names.split([' ', ',']))
            .filter_map(|name| match name {
                "initiated" => Some(CallStatus::Initiated),
                "ringing" => Some(CallStatus::Ringing),
                "answered" => Some(CallStatus::InProgress),
                "completed" => Some(CallStatus::Completed),
                // Unknown names are ignored with a warning in the console, and the call goes through.
                _ => None,
            })
            .collect();
        if statuses.is_empty() {
            statuses.push(CallStatus::Completed);
        }
        call.callbacks.push(Subscription::new(target, statuses));
    }
    call.detect_machine = form.get("MachineDetection").is_some();
    let response = RestResponse::json(201, &call_json(&call));
    let id = call.id.clone();
    ledger.enter(call);
    response.and(Directive::Dial(id))
}

fn update_call(call: &mut CallRecord, form: &Form, path: &str) -> RestAnswer {
    if call.status.is_final() {
        return if form.get("Status").is_some() {
            not_found(path).into()
        } else {
            error(400, 21220, "Call is not in-progress. Cannot redirect.").into()
        };
    }
    if call.answered.is_none() && form.get("Status").is_none() {
        return error(400, 21220, "Call is not in-progress. Cannot redirect.").into();
    }
    let id = call.id.clone();
    let directive = match (form.get("Status"), form.get("Twiml"), form.target("Url", "Method")) {
        (Some("completed"), ..) => {
            call.end();
            Directive::HangUp(id)
        }
        (Some("canceled"), ..) if call.answered.is_none() => {
            call.end();
            Directive::HangUp(id)
        }
        (Some(_), ..) => return error(400, 20001, "Invalid Status").into(),
        (None, Some(document), _) => match twiml::read(document.as_bytes()) {
            Ok(instructions) => Directive::Instruct(id, instructions),
            Err(reason) => return error(400, 21623, &format!("Invalid TwiML: {reason}")).into(),
        },
        (None, None, Some(target)) => Directive::Redirect(id, target),
        (None, None, None) => return error(400, 20001, "Nothing to update").into(),
    };
    RestResponse::json(200, &call_json(call)).and(directive)
}

fn is_dialable(to: &str) -> bool {
    let digits = to.strip_prefix('+').unwrap_or(to);
    to.starts_with("sip:")
        || to.starts_with("client:")
        || (digits.len() >= 7 && digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn call_json(call: &CallRecord) -> Value {
    let uri = format!("/{API_VERSION}/Accounts/{ACCOUNT_SID}/Calls/{}.json", call.id);
    let date = |time: Option<SystemTime>| time.map(rfc2822);
    let per_minute = match call.direction {
        Direction::Inbound => PRICE_INBOUND,
        Direction::Outbound => PRICE_OUTBOUND,
    };
    // Prices are worked out after the call: not yet there when it is looked up for the first time.
    let price = (call.status == CallStatus::Completed && call.lookups_after_end > 1)
        .then(|| format!("-{:.5}", per_minute * call.duration_s().div_ceil(60) as f64));
    let status = match call.status {
        // "initiated" is an event and not a status of the resource.
        CallStatus::Initiated => "queued",
        other => status_name(other),
    };
    json!({
        "sid": call.id,
        "account_sid": ACCOUNT_SID,
        "parent_call_sid": null,
        "api_version": API_VERSION,
        "from": call.from,
        "from_formatted": call.from,
        "to": call.to,
        "to_formatted": call.to,
        "phone_number_sid": null,
        "status": status,
        "direction": match call.direction { Direction::Inbound => "inbound", Direction::Outbound => "outbound-api" },
        "answered_by": call.answered_by.as_ref().filter(|_| call.detect_machine && call.answered.is_some()),
        "date_created": rfc2822(call.created),
        "date_updated": rfc2822(call.ended.or(call.answered).unwrap_or(call.created)),
        "start_time": date(call.answered),
        "end_time": date(call.ended),
        "duration": call.ended.map(|_| call.duration_s().to_string()),
        "price": price,
        "price_unit": "USD",
        "annotation": null,
        "caller_name": null,
        "forwarded_from": null,
        "group_sid": null,
        "queue_time": "0",
        "trunk_sid": null,
        "uri": uri,
        "subresource_uris": {},
    })
}

fn number_json(number: &NumberRecord) -> Value {
    let status = number.status.as_ref();
    json!({
        "sid": number.id,
        "account_sid": ACCOUNT_SID,
        "api_version": API_VERSION,
        "phone_number": number.number,
        "friendly_name": number.number,
        "beta": false,
        "capabilities": { "voice": true, "sms": false, "mms": false, "fax": false },
        "date_created": rfc2822(SystemTime::UNIX_EPOCH),
        "date_updated": rfc2822(number.updated),
        "origin": "twilio",
        "status": "in-use",
        "voice_url": number.voice.url,
        "voice_method": number.voice.method,
        "voice_fallback_url": "",
        "voice_fallback_method": "POST",
        "voice_application_sid": "",
        "voice_caller_id_lookup": false,
        "voice_receive_mode": "voice",
        "status_callback": status.map_or("", |target| &target.url),
        "status_callback_method": status.map_or("POST", |target| &target.method),
        "trunk_sid": null,
        "uri": format!("/{API_VERSION}/Accounts/{ACCOUNT_SID}/IncomingPhoneNumbers/{}.json", number.id),
    })
}

fn account_json(request: &RestRequest) -> RestResponse {
    let body = json!({
        "sid": ACCOUNT_SID,
        "friendly_name": "Simulated account",
        "status": "active",
        "type": "Full",
        "uri": request.path,
    });
    RestResponse::json(200, &body)
}

fn list_numbers(numbers: &[NumberRecord], request: &RestRequest) -> RestResponse {
    let query = request.parameters();
    // Twilio matches parts of numbers too; a client that looks for one number must compare.
    let wanted = query.get("PhoneNumber").unwrap_or_default();
    let matching: Vec<Value> = numbers
        .iter()
        .filter(|number| number.number.contains(wanted))
        .map(number_json)
        .collect();
    let page_size = query
        .get("PageSize")
        .and_then(|size| size.parse::<usize>().ok())
        .unwrap_or(50)
        .clamp(1, 1000);
    let page = query
        .get("Page")
        .and_then(|page| page.parse::<usize>().ok())
        .unwrap_or(0);
    let link = |page: usize| {
        let wanted: String = form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
        format!("{}?PhoneNumber={wanted}&PageSize={page_size}&Page={page}", request.path)
    };
    let start = (page * page_size).min(matching.len());
    let end = (start + page_size).min(matching.len());
    let body = json!({
        "incoming_phone_numbers": matching[start..end],
        "page": page,
        "page_size": page_size,
        "start": start,
        "end": end.saturating_sub(1),
        "uri": link(page),
        "first_page_uri": link(0),
        "previous_page_uri": (page > 0).then(|| link(page - 1)),
        "next_page_uri": (end < matching.len()).then(|| link(page + 1)),
    });
    RestResponse::json(200, &body)
}

fn update_number(number: &mut NumberRecord, form: &Form) -> RestResponse {
    if let Some(url) = form.raw("VoiceUrl") {
        if !url.is_empty() && !url.starts_with("http://") && !url.starts_with("https://") {
            return error(400, 21502, &format!("VoiceUrl is not valid: {url}"));
        }
        url.clone_into(&mut number.voice.url);
    }
    if let Some(method) = form.get("VoiceMethod") {
        method.clone_into(&mut number.voice.method);
    }
    if form.raw("StatusCallback").is_some() {
        number.status = form.target("StatusCallback", "StatusCallbackMethod");
    }
    number.updated = SystemTime::now();
    RestResponse::json(200, &number_json(number))
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::{super::super::WebhookTarget, *};

    fn request(method: &str, path: &str, body: &str) -> RestRequest {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        RestRequest {
            method: method.into(),
            path: format!("/2010-04-01/Accounts/{ACCOUNT_SID}{path}"),
            query: query.into(),
            headers: vec![(
                "authorization".into(),
                format!("Basic {}", STANDARD.encode(format!("{ACCOUNT_SID}:{AUTH_TOKEN}"))),
            )],
            body: body.as_bytes().to_vec(),
        }
    }

    fn ledger() -> Ledger {
        let number = |id: &str, number: &str| NumberRecord::new(id.into(), number);
        Ledger {
            numbers: vec![number("PN1", "+15005550006"), number("PN2", "+15005550007")],
            ..Ledger::default()
        }
    }

    fn body(answer: &RestAnswer) -> Value {
        serde_json::from_slice(&answer.response.body).unwrap()
    }

    #[test]
    fn a_call_is_created_looked_up_priced_and_ended_once() {
        let mut ledger = ledger();
        let form = "To=%2B14155550100&From=%2B15005550006&Url=https%3A%2F%2Fexample.com%2F&StatusCallback=https%3A%2F%2Fexample.com%2Fs&StatusCallbackEvent=initiated&StatusCallbackEvent=answered";
        let created = handle(&mut ledger, &request("POST", "/Calls.json", form));
        assert_eq!(created.response.status, 201);
        let created_json = body(&created);
        assert_eq!(created_json["status"], "queued");
        assert_eq!(created_json["price"], Value::Null);
        let id = created_json["sid"].as_str().unwrap().to_owned();
        assert_eq!(created.directives, [Directive::Dial(id.clone())]);
        assert_eq!(
            ledger.calls[&id].callbacks[0].statuses,
            [CallStatus::Initiated, CallStatus::InProgress]
        );

        let call = ledger.calls.get_mut(&id).unwrap();
        call.status = CallStatus::InProgress;
        call.answered = Some(SystemTime::now() - Duration::from_secs(61));
        let path = format!("/Calls/{id}.json");
        let ended = handle(&mut ledger, &request("POST", &path, "Status=completed"));
        assert_eq!(
            (ended.response.status, ended.directives),
            (200, vec![Directive::HangUp(id)])
        );
        let again = handle(&mut ledger, &request("POST", &path, "Status=completed"));
        assert_eq!(
            (again.response.status, body(&again)["code"].as_u64()),
            (404, Some(20404))
        );
        assert_eq!(
            body(&handle(&mut ledger, &request("GET", &path, "")))["price"],
            Value::Null
        );
        let looked_up = body(&handle(&mut ledger, &request("GET", &path, "")));
        assert_eq!(
            (looked_up["price"].as_str(), looked_up["price_unit"].as_str()),
            (Some("-0.02800"), Some("USD"))
        );
        assert_eq!(looked_up["duration"], "62");
    }

    #[test]
    fn requests_are_checked() {
        let mut ledger = ledger();
        let mut check = |method: &str, path: &str, form: &str, status: u16, code: u64| {
            let answer = handle(&mut ledger, &request(method, path, form));
            assert_eq!(
                (answer.response.status, body(&answer)["code"].as_u64()),
                (status, Some(code)),
                "{method} {path} {form}"
            );
        };
        check("POST", "/Calls.json", "From=%2B15005550006&Url=https://e/", 400, 21201);
        check("POST", "/Calls.json", "To=%2B14155550100&Url=https://e/", 400, 21213);
        check(
            "POST",
            "/Calls.json",
            "To=%2B14155550100&From=%2B15005550006",
            400,
            21205,
        );
        check(
            "POST",
            "/Calls.json",
            "To=%2B14155550100&From=%2B19995550006&Url=https://e/",
            400,
            21210,
        );
        check(
            "POST",
            "/Calls.json",
            "To=abc&From=%2B15005550006&Url=https://e/",
            400,
            21211,
        );
        check("GET", "/Calls/CA0.json", "", 404, 20404);
        check("GET", "/Nothing.json", "", 404, 20404);
        check("DELETE", "/Calls.json", "", 405, 20004);
        let mut stranger = request("GET", "/Calls/CA0.json", "");
        stranger.headers.clear();
        assert_eq!(body(&handle(&mut ledger, &stranger))["code"], 20003);
    }

    #[test]
    fn numbers_are_listed_in_pages_and_updated() {
        let mut ledger = ledger();
        let found = body(&handle(
            &mut ledger,
            &request("GET", "/IncomingPhoneNumbers.json?PhoneNumber=%2B15005550007", ""),
        ));
        assert_eq!(found["incoming_phone_numbers"][0]["sid"], "PN2");
        assert_eq!(found["next_page_uri"], Value::Null);
        let page = body(&handle(
            &mut ledger,
            &request("GET", "/IncomingPhoneNumbers.json?PageSize=1", ""),
        ));
        assert!(page["next_page_uri"].as_str().unwrap().ends_with("Page=1"));
        let update = request(
            "POST",
            "/IncomingPhoneNumbers/PN2.json",
            "VoiceUrl=https%3A%2F%2Fexample.com%2Fv&VoiceMethod=POST",
        );
        assert_eq!(
            body(&handle(&mut ledger, &update))["voice_url"],
            "https://example.com/v"
        );
        assert_eq!(ledger.numbers[1].voice, WebhookTarget::post("https://example.com/v"));
        handle(
            &mut ledger,
            &request("POST", "/IncomingPhoneNumbers/PN2.json", "VoiceUrl="),
        );
        assert_eq!(ledger.numbers[1].voice.url, "");
    }
}
