//! The REST interface: channels, bridges and the media channel.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    super::{
        CallRecord, ConferenceInstruction, Directive, Instruction, Ledger, RestAnswer, RestRequest, RestResponse,
        StreamInstruction,
    },
    MEDIA_CLIENT, PASSWORD, USER, events,
};
use crate::report::{CallStatus, Direction};

/// Where `websocket_client.conf` of the operator leads.
const MEDIA_PATH: &str = "/api/v1/telephony/ws";
/// The longest identifier that Asterisk takes.
const ID_BYTES_MAX: usize = 149;
/// What Asterisk keeps of the media parameters, for all calls of a client.
const CLIENT_QUERY: &str = "websocket_client/query";
/// Set when a request has ended the process.
const CRASHED: &str = "crashed";

pub(super) fn handle(ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
    if ledger.objects.contains_key(CRASHED) {
        return crash(ledger);
    }
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let Some(("ari", resource)) = segments.split_first().map(|(first, rest)| (*first, rest)) else {
        return RestResponse {
            status: 404,
            content_type: "text/html",
            body: b"<html><body><h1>Not Found</h1></body></html>".to_vec(),
        }
        .into();
    };
    if !is_authorised(request) {
        return error(401, "Authentication required").into();
    }
    if !request.body.is_empty() && request.json().is_null() {
        return error(400, "Error parsing request body").into();
    }
    match (request.method.as_str(), resource) {
        ("GET", ["asterisk", "ping"]) => RestResponse::json(200, &json!({ "ping": "pong" })).into(),
        ("POST", ["channels", "externalMedia"]) => external_media(ledger, request),
        ("POST", ["channels"]) => match parameter(request, "channelId") {
            Some(id) => originate(ledger, &id, request),
            None => error(400, "This simulator wants a channelId").into(),
        },
        ("POST", ["channels", id]) => originate(ledger, id, request),
        ("GET", ["channels", id]) => match live(ledger, id) {
            Some(call) => RestResponse::json(200, &events::channel(call, events::state(call))).into(),
            None => channel_not_found(),
        },
        ("DELETE", ["channels", id]) => hang_up(ledger, id, request),
        ("POST", ["channels", id, "answer"]) => answer(ledger, id),
        ("POST", ["bridges"]) => match parameter(request, "bridgeId") {
            Some(id) => create_bridge(ledger, &id, request),
            None => error(400, "This simulator wants a bridgeId").into(),
        },
        ("POST", ["bridges", id]) => create_bridge(ledger, id, request),
        ("GET", ["bridges", id]) => match ledger.objects.get(&bridge_key(id)) {
            Some(bridge) => RestResponse::json(200, bridge).into(),
            None => bridge_not_found(),
        },
        ("DELETE", ["bridges", id]) => destroy_bridge(ledger, id),
        ("POST", ["bridges", id, "addChannel"]) => add_channels(ledger, id, request),
        ("POST", ["bridges", id, "removeChannel"]) => remove_channels(ledger, id, request),
        _ => error(404, "Resource not found").into(),
    }
}

pub(super) fn error(status: u16, message: &str) -> RestResponse {
    RestResponse::json(status, &json!({ "message": message }))
}

pub(super) fn is_authorised(request: &RestRequest) -> bool {
    request
        .basic()
        .is_some_and(|(user, password)| user == USER && password == PASSWORD)
}

/// A parameter of the JSON body or of the query, which are as good.
fn parameter(request: &RestRequest, name: &str) -> Option<String> {
    match &request.json()[name] {
        Value::String(text) => Some(text.clone()),
        Value::Null => request.parameters().get(name).map(str::to_owned),
        other => Some(other.to_string()),
    }
    .filter(|text| !text.is_empty())
}

/// A parameter that may occur many times: a list in JSON, separated by commas otherwise.
fn parameters(request: &RestRequest, name: &str) -> Vec<String> {
    match request.json()[name].as_array() {
        Some(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => parameter(request, name)
            .map(|text| text.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
    }
}

fn live<'a>(ledger: &'a Ledger, id: &str) -> Option<&'a CallRecord> {
    ledger.calls.get(id).filter(|call| !call.status.is_final())
}

fn channel_not_found() -> RestAnswer {
    error(404, "Channel not found").into()
}

fn bridge_not_found() -> RestAnswer {
    error(404, "Bridge not found").into()
}

/// The process is gone. What a client sees of that is an answer that is none; the report shows it.
fn crash(ledger: &mut Ledger) -> RestAnswer {
    ledger.objects.insert(CRASHED.to_owned(), true.into());
    RestResponse {
        status: 503,
        content_type: "text/plain",
        body: b"Asterisk has crashed".to_vec(),
    }
    .into()
}

fn originate(ledger: &mut Ledger, id: &str, request: &RestRequest) -> RestAnswer {
    let Some(endpoint) = parameter(request, "endpoint") else {
        return error(400, "Endpoint must be specified").into();
    };
    if id.len() > ID_BYTES_MAX {
        return error(500, "An internal error prevented this request from being handled").into();
    }
    if live(ledger, id).is_some() {
        return error(409, "Channel with given unique ID already exists").into();
    }
    let allocation_failed = || RestAnswer::from(RestResponse::json(500, &json!({ "error": "Allocation failed" })));
    let Some(("PJSIP", resource)) = endpoint.split_once('/') else {
        return allocation_failed();
    };
    // `6001`, `6001@trunk`, `trunk/sip:desk@example.com`.
    let to = match resource.split_once('/') {
        Some((_, uri)) => uri,
        None => resource.split('@').next().unwrap_or_default(),
    };
    if to.is_empty() {
        return allocation_failed();
    }
    let caller_id = parameter(request, "callerId").unwrap_or_default();
    let from = match caller_id.split_once('<') {
        Some((_, number)) => number.trim_end_matches('>'),
        None => &caller_id,
    };
    let seconds = match parameter(request, "timeout").map(|text| text.parse::<i64>()) {
        None => 30,
        Some(Ok(seconds)) => seconds,
        Some(Err(_)) => return error(400, "timeout is no number").into(),
    };
    let arguments = parameter(request, "appArgs").unwrap_or_default();
    let mut call = CallRecord::new(id.to_owned(), Direction::Outbound, from, to);
    call.extra = json!({
        "app": parameter(request, "app").unwrap_or_default(),
        "args": arguments.split(',').filter(|argument| !argument.is_empty()).collect::<Vec<_>>(),
        "name": format!("PJSIP/{}-00000011", resource.rsplit('@').next().unwrap_or_default()),
    });
    call.instructions = Some(vec![Instruction::Await]);
    call.ring_timeout = u64::try_from(seconds).ok().map(Duration::from_secs);
    let answer = RestResponse::json(200, &events::channel(&call, "Down"));
    ledger.enter(call);
    answer.and(Directive::Dial(id.to_owned()))
}

fn answer(ledger: &mut Ledger, id: &str) -> RestAnswer {
    let Some(call) = live(ledger, id) else {
        return channel_not_found();
    };
    if call.extra["stasis"] != true {
        return error(409, "Channel not in Stasis application").into();
    }
    let done = RestResponse::empty(204);
    if events::state(call) == "Ring" {
        done.and(Directive::Instruct(id.to_owned(), vec![Instruction::Await]))
    } else {
        done.into()
    }
}

fn hang_up(ledger: &mut Ledger, id: &str, request: &RestRequest) -> RestAnswer {
    let cause = match (parameter(request, "reason"), parameter(request, "reason_code")) {
        (Some(_), Some(_)) => return error(400, "The reason and reason_code can't both be specified").into(),
        (None, None) => 16,
        (None, Some(code)) => match code.parse() {
            Ok(code) => code,
            Err(_) => return error(400, "Invalid reason for hangup reason code provided").into(),
        },
        (Some(reason), None) => match reason.as_str() {
            "normal" => 16,
            "busy" => 17,
            "congestion" => 34,
            "no_answer" => 19,
            "timeout" => 102,
            "rejected" => 21,
            "unallocated" => 1,
            "normal_unspecified" => 31,
            "number_incomplete" => 28,
            "codec_mismatch" => 58,
            "interworking" => 127,
            "failure" => 38,
            "answered_elsewhere" => 26,
            _ => return error(400, "Invalid reason for hangup reason provided").into(),
        },
    };
    if live(ledger, id).is_none() {
        return channel_not_found();
    }
    if let Some(call) = ledger.calls.get_mut(id) {
        call.extra["hangup_cause"] = cause.into();
        let refused = call.direction == Direction::Inbound && call.answered.is_none();
        call.end();
        // What the caller's telephone makes of it.
        if refused {
            call.status = match cause {
                17 => CallStatus::Busy,
                21 => CallStatus::Rejected,
                _ => CallStatus::Failed,
            };
        }
    }
    RestResponse::empty(204).and(Directive::HangUp(id.to_owned()))
}

fn external_media(ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
    let internal = || {
        RestAnswer::from(error(
            500,
            "An internal error prevented this request from being handled",
        ))
    };
    let given = |name| parameter(request, name).unwrap_or_default();
    let (app, format) = (given("app"), given("format"));
    if app.is_empty() {
        return error(400, "app cannot be empty").into();
    }
    if format.is_empty() {
        return error(400, "format cannot be empty").into();
    }
    if given("transport") != "websocket" {
        return error(
            400,
            "external_host must be <host>:<port> for all transports other than websocket",
        )
        .into();
    }
    if given("encapsulation") != "none" {
        return error(400, "encapsulation must be 'none' for websocket").into();
    }
    if given("external_host") != MEDIA_CLIENT {
        return error(400, "external_host must be a valid websocket_client connection id.").into();
    }
    let id = given("channelId");
    if id.is_empty() || id.len() > ID_BYTES_MAX || !["ulaw", "alaw", "slin", "slin16"].contains(&format.as_str()) {
        return internal();
    }
    // Asterisk 22.10.1 does not survive this.
    if live(ledger, &id).is_some() {
        return crash(ledger);
    }
    let options = given("transport_data");
    let query = match option(&options, 'v') {
        Some(parameters) if !is_encoded(parameters) => return internal(),
        Some(parameters) => {
            let query = parameters.replace(',', "&");
            ledger.objects.insert(CLIENT_QUERY.to_owned(), query.clone().into());
            query
        }
        // The parameters of an earlier call are still there.
        None => ledger
            .objects
            .get(CLIENT_QUERY)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
    };
    let scheme_and_host = ledger.gateway.replacen("http", "ws", 1);
    let mut call = CallRecord::new(id.clone(), Direction::Outbound, "", "");
    call.extra = json!({
        "app": app,
        "args": given("data").split(',').filter(|argument| !argument.is_empty()).collect::<Vec<_>>(),
        "name": format!("WebSocket/{MEDIA_CLIENT}/0x7f8f40007900"),
        "media": true,
        "format": format,
        "json": option(&options, 'f') == Some("json")
            || ledger.objects.get("chan_websocket/control_message_format") == Some(&json!("json")),
    });
    call.instructions = Some(vec![Instruction::Stream(StreamInstruction {
        url: format!("{scheme_and_host}{MEDIA_PATH}?{query}"),
        ..StreamInstruction::default()
    })]);
    let answer = RestResponse::json(200, &events::channel(&call, "Down"));
    ledger.enter(call);
    answer.and(Directive::OpenMedia(id))
}

/// An argument of a dial string's options, as in `v(a=1)f(json)`.
fn option(options: &str, letter: char) -> Option<&str> {
    let start = options.find(&format!("{letter}("))? + 2;
    options[start..].split(')').next()
}

/// What may stand in `v()`: everything else is refused.
fn is_encoded(parameters: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.=+,%".contains(&b);
    parameters.bytes().all(plain)
}

fn bridge_key(id: &str) -> String {
    format!("bridge/{id}")
}

fn create_bridge(ledger: &mut Ledger, id: &str, request: &RestRequest) -> RestAnswer {
    let kind = parameter(request, "type").unwrap_or_else(|| "mixing".to_owned());
    if !kind
        .split(',')
        .all(|part| ["mixing", "dtmf_events", "proxy_media", "holding"].contains(&part))
    {
        return error(500, "Unable to create bridge").into();
    }
    if ledger.objects.contains_key(&bridge_key(id)) {
        return error(409, &format!("Bridge with id '{id}' already exists")).into();
    }
    let bridge = json!({
        "id": id,
        "technology": "simple_bridge",
        "bridge_type": "mixing",
        "bridge_class": "stasis",
        "creator": "Stasis",
        "name": parameter(request, "name").unwrap_or_default(),
        "channels": [],
        "video_mode": "talker",
    });
    ledger.objects.insert(bridge_key(id), bridge.clone());
    RestResponse::json(200, &bridge).into()
}

fn destroy_bridge(ledger: &mut Ledger, id: &str) -> RestAnswer {
    let Some(bridge) = ledger.objects.remove(&bridge_key(id)) else {
        return bridge_not_found();
    };
    let members = bridge["channels"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    members.fold(
        RestResponse::empty(204).into(),
        |answer: RestAnswer, member| match live(ledger, member) {
            Some(call) => answer.and(seat(call, None)),
            None => answer,
        },
    )
}

fn add_channels(ledger: &mut Ledger, id: &str, request: &RestRequest) -> RestAnswer {
    if !ledger.objects.contains_key(&bridge_key(id)) {
        return bridge_not_found();
    }
    let channels = parameters(request, "channel");
    if channels.is_empty() {
        return error(400, "Missing parameter channel").into();
    }
    let mut answer: RestAnswer = RestResponse::empty(204).into();
    for channel in &channels {
        let Some(call) = live(ledger, channel) else {
            return error(400, "Channel not found").into();
        };
        if call.extra["stasis"] != true {
            return error(422, "Channel not in Stasis application").into();
        }
        answer = answer.and(seat(call, Some(id)));
    }
    for (key, bridge) in ledger.objects.range_mut("bridge/".to_owned()..) {
        // What else is remembered need not be an object, and would not survive the index.
        let Some(members) = bridge.get_mut("channels").and_then(Value::as_array_mut) else {
            continue;
        };
        members.retain(|member| !channels.iter().any(|channel| member == channel.as_str()));
        if *key == bridge_key(id) {
            members.extend(channels.iter().map(|channel| Value::from(channel.as_str())));
        }
    }
    answer
}

fn remove_channels(ledger: &mut Ledger, id: &str, request: &RestRequest) -> RestAnswer {
    let Some(bridge) = ledger.objects.get(&bridge_key(id)).cloned() else {
        return bridge_not_found();
    };
    let mut answer: RestAnswer = RestResponse::empty(204).into();
    for channel in parameters(request, "channel") {
        let Some(call) = live(ledger, &channel) else {
            return error(400, "Channel not found").into();
        };
        let is_member = |member: &Value| member == channel.as_str();
        if !bridge["channels"]
            .as_array()
            .is_some_and(|members| members.iter().any(is_member))
        {
            return error(422, "Channel not in this bridge").into();
        }
        answer = answer.and(seat(call, None));
        if let Some(members) = ledger
            .objects
            .get_mut(&bridge_key(id))
            .and_then(|bridge| bridge["channels"].as_array_mut())
        {
            members.retain(|member| !is_member(member));
        }
    }
    answer
}

/// Into a bridge, or back into Stasis, where nothing is heard.
fn seat(call: &CallRecord, bridge: Option<&str>) -> Directive {
    if call.extra["media"] == true {
        return Directive::Seat(call.id.clone(), bridge.map(str::to_owned));
    }
    let conference = bridge.map(|bridge| {
        Instruction::Conference(ConferenceInstruction {
            name: bridge.to_owned(),
            ..ConferenceInstruction::default()
        })
    });
    Directive::Instruct(
        call.id.clone(),
        conference.into_iter().chain([Instruction::Await]).collect(),
    )
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    fn request(method: &str, path: &str, body: &Value) -> RestRequest {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let credentials = STANDARD.encode(format!("{USER}:{PASSWORD}"));
        RestRequest {
            method: method.to_owned(),
            path: format!("/ari/{path}"),
            query: query.to_owned(),
            headers: vec![("authorization".to_owned(), format!("Basic {credentials}"))],
            body: if body.is_null() {
                vec![]
            } else {
                body.to_string().into_bytes()
            },
        }
    }

    fn ask(ledger: &mut Ledger, method: &str, path: &str, body: &Value) -> (u16, Value, Vec<Directive>) {
        let answer = handle(ledger, &request(method, path, body));
        let body = serde_json::from_slice(&answer.response.body).unwrap_or_default();
        (answer.response.status, body, answer.directives)
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger {
            gateway: "http://127.0.0.1:8080".to_owned(),
            ..Ledger::default()
        };
        let mut caller = CallRecord::new("1.2".to_owned(), Direction::Inbound, "2001", "1001");
        caller.extra = json!({ "app": "app", "stasis": true });
        ledger.enter(caller);
        ledger
    }

    fn media(id: &str, transport_data: &str) -> Value {
        json!({
            "app": "app", "channelId": id, "external_host": MEDIA_CLIENT, "transport": "websocket",
            "encapsulation": "none", "connection_type": "client", "format": "ulaw", "transport_data": transport_data,
        })
    }

    #[test]
    fn only_the_user_is_let_in() {
        let mut stranger = request("GET", "asterisk/ping", &Value::Null);
        assert_eq!(handle(&mut ledger(), &stranger).response.status, 200);
        stranger.headers.clear();
        assert_eq!(handle(&mut ledger(), &stranger).response.status, 401);
        let elsewhere = RestRequest {
            path: "/asterisk/ping".to_owned(),
            ..request("GET", "", &Value::Null)
        };
        assert_eq!(handle(&mut ledger(), &elsewhere).response.status, 404);
    }

    #[test]
    fn parameters_come_in_the_query_or_in_the_body() {
        let mut ledger = ledger();
        let (status, channel, directives) = ask(
            &mut ledger,
            "POST",
            "channels/our.1?endpoint=PJSIP/%2B12025550188@trunk&app=app&appArgs=call%2C7&timeout=20&callerId=%22S%22%20%3C%2B12025550147%3E",
            &Value::Null,
        );
        assert_eq!((status, &channel["state"]), (200, &json!("Down")));
        assert_eq!(directives, [Directive::Dial("our.1".to_owned())]);
        let call = ledger.call("our.1").unwrap();
        assert_eq!((call.to.as_str(), call.from.as_str()), ("+12025550188", "+12025550147"));
        assert_eq!(
            (call.ring_timeout, &call.extra["args"]),
            (Some(Duration::from_secs(20)), &json!(["call", "7"]))
        );

        let body = json!({ "endpoint": "PJSIP/trunk/sip:a@b.example", "app": "app" });
        assert_eq!(ask(&mut ledger, "POST", "channels/our.1", &body).0, 409);
        assert_eq!(ask(&mut ledger, "POST", "channels/our.2", &body).0, 200);
        assert_eq!(ledger.call("our.2").unwrap().to, "sip:a@b.example");
        let body = json!({ "endpoint": "DAHDI/6001", "app": "app" });
        let (status, refusal, _) = ask(&mut ledger, "POST", "channels/our.3", &body);
        assert_eq!((status, refusal), (500, json!({ "error": "Allocation failed" })));
    }

    #[test]
    fn a_call_is_answered_bridged_and_hung_up() {
        let mut ledger = ledger();
        let (status, _, directives) = ask(&mut ledger, "POST", "channels/1.2/answer", &Value::Null);
        assert_eq!((status, directives.len()), (204, 1));
        assert_eq!(
            ask(&mut ledger, "POST", "bridges/b", &json!({ "type": "mixing" })).0,
            200
        );
        assert_eq!(
            ask(&mut ledger, "POST", "bridges/b", &json!({ "type": "mixing" })).0,
            409
        );
        let (status, _, directives) = ask(
            &mut ledger,
            "POST",
            "bridges/b/addChannel",
            &json!({ "channel": ["1.2"] }),
        );
        assert_eq!(status, 204);
        assert!(matches!(&directives[..], [Directive::Instruct(id, with)] if id == "1.2" && with.len() == 2));
        let nobody = json!({ "channel": ["nobody"] });
        assert_eq!(ask(&mut ledger, "POST", "bridges/b/addChannel", &nobody).0, 400);
        assert_eq!(ask(&mut ledger, "POST", "bridges/none/addChannel", &nobody).0, 404);
        assert_eq!(
            ask(&mut ledger, "POST", "bridges/b/removeChannel?channel=1.2", &Value::Null).0,
            204
        );
        assert_eq!(
            ask(&mut ledger, "POST", "bridges/b/removeChannel?channel=1.2", &Value::Null).0,
            422
        );
        assert_eq!(
            ask(&mut ledger, "DELETE", "channels/1.2?reason=bogus", &Value::Null).0,
            400
        );
        assert_eq!(
            ask(&mut ledger, "DELETE", "channels/1.2?reason_code=normal", &Value::Null).0,
            400
        );
        assert_eq!(
            ask(&mut ledger, "DELETE", "channels/1.2?reason=busy", &Value::Null).0,
            204
        );
        assert_eq!(ledger.call("1.2").unwrap().status, CallStatus::Busy);
        assert_eq!(ask(&mut ledger, "DELETE", "channels/1.2", &Value::Null).0, 404);
        assert_eq!(ask(&mut ledger, "GET", "channels/1.2", &Value::Null).0, 404);
        assert_eq!(ask(&mut ledger, "DELETE", "bridges/b", &Value::Null).0, 204);
        assert_eq!(ask(&mut ledger, "DELETE", "bridges/b", &Value::Null).0, 404);
    }

    #[test]
    fn a_media_channel_opens_the_configured_address_with_its_parameters() {
        let mut ledger = ledger();
        let (status, _, directives) = ask(
            &mut ledger,
            "POST",
            "channels/externalMedia",
            &media("m1", "v(token=a%7Eb,call=7)f(json)"),
        );
        assert_eq!(status, 200);
        assert_eq!(directives, [Directive::OpenMedia("m1".to_owned())]);
        let url = |ledger: &Ledger, id: &str| match &ledger.call(id).unwrap().instructions {
            Some(instructions) => match &instructions[..] {
                [Instruction::Stream(stream)] => stream.url.clone(),
                other => panic!("{other:?}"),
            },
            None => panic!("no instructions"),
        };
        assert_eq!(
            url(&ledger, "m1"),
            "ws://127.0.0.1:8080/api/v1/telephony/ws?token=a%7Eb&call=7"
        );
        assert_eq!(ledger.call("m1").unwrap().extra["json"], true);
        // Without any, it gets those of another call.
        ask(&mut ledger, "POST", "channels/externalMedia", &media("m2", ""));
        assert_eq!(url(&ledger, "m2"), url(&ledger, "m1"));
        assert_eq!(
            ask(
                &mut ledger,
                "POST",
                "channels/externalMedia",
                &media("m3", "v(token=a~b)")
            )
            .0,
            500
        );
        assert_eq!(
            ask(
                &mut ledger,
                "POST",
                "channels/externalMedia",
                &media(&"m".repeat(150), "v(a=b)")
            )
            .0,
            500
        );
        let mut unknown = media("m4", "v(a=b)");
        unknown["external_host"] = "nobody".into();
        assert_eq!(ask(&mut ledger, "POST", "channels/externalMedia", &unknown).0, 400);
    }

    #[test]
    fn a_second_media_channel_of_one_name_ends_the_process() {
        let mut ledger = ledger();
        assert_eq!(
            ask(&mut ledger, "POST", "channels/externalMedia", &media("1.2", "v(a=b)")).0,
            503
        );
        assert_eq!(ask(&mut ledger, "GET", "asterisk/ping", &Value::Null).0, 503);
    }
}
