//! The providers as they ship: the built component behind the real limits, without a network.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha1::Sha1;
use strowger_host::invoke::cases::{self, Case};
use strowger_host::operation::{Call, Direction, MediaAddress, Outbound, RouteUrl};
use strowger_host::{
    Credentials, Effect, Header, IncomingResponse, InvokeJsonError, Moment, Provider, Refusal, RejectionReason, Reply,
    Step, Verdict, Webhook,
};
use strowger_tests::{credentials, provider, root};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const NOW_MS: u64 = 1_763_800_000_000;

/// The folders of `providers/`.
fn folders() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("providers"))
        .unwrap()
        .map(|entry| entry.unwrap());
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

fn account(provider: &Provider) -> Credentials {
    credentials(provider, &json!({ "account_sid": ACCOUNT, "auth_token": TOKEN }))
}

fn signed_with(token: &str, parameters: &[(&str, &str)]) -> Webhook {
    let url = "https://gateway.example/api/v1/telephony/inbound/run".to_owned();
    let mut sorted = parameters.to_vec();
    sorted.sort_unstable();
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let header = |name: &str, value: &str| Header {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    Webhook {
        method: "POST".to_owned(),
        url,
        headers: vec![
            header("content-type", "application/x-www-form-urlencoded; charset=UTF-8"),
            header("X-Twilio-Signature", &signature),
        ],
        body: form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish()
            .into_bytes(),
        received_at: NOW_MS,
    }
}

fn inbound() -> Webhook {
    signed_with(
        TOKEN,
        &[
            ("CallSid", "CAabcdef0123456789abcdef0123456789"),
            ("AccountSid", ACCOUNT),
            ("From", "+14155550100"),
            ("To", "+14155550199"),
            ("CallStatus", "ringing"),
            ("Direction", "inbound"),
        ],
    )
}

#[test]
fn a_genuine_webhook_is_genuine() {
    let twilio = provider("twilio");
    let verdict = twilio.verify(&account(&twilio), &inbound(), &Moment::at(NOW_MS));
    assert!(matches!(verdict, Ok(Verdict::Genuine { .. })), "{verdict:?}");
}

fn call() -> Call {
    let id = "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192";
    let route = |name: &str| RouteUrl {
        name: name.to_owned(),
        url: format!("https://gateway.example/api/v1/telephony/twilio/{name}/{id}"),
    };
    Call {
        id: id.to_owned(),
        provider_call_id: None,
        direction: Direction::Outbound,
        caller: "+14155550100".to_owned(),
        callee: "+14155550199".to_owned(),
        routes: ["answer", "status-callback", "stream-callback"].map(route).to_vec(),
        attachment: None,
    }
}

fn outbound() -> Outbound {
    Outbound {
        caller_id: Some("+14155550100".to_owned()),
        answer_url: Some(call().routes[0].url.clone()),
        media: MediaAddress {
            url: "wss://gateway.example/api/v1/telephony/ws/t".to_owned(),
            base_url: "wss://gateway.example/api/v1/telephony/ws".to_owned(),
            token: "t".to_owned(),
        },
        ring_timeout_s: 30,
        detect_machine: None,
        trunk: None,
    }
}

#[test]
fn recorded_cases_hold() {
    let mut failures = Vec::new();
    let mut count = 0;
    for name in folders() {
        let provider = provider(&name);
        let folder = root().join("providers").join(&name).join("cases");
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        assert!(!files.is_empty(), "{name} has no recorded cases");
        for file in files {
            let shown = format!("{name}/{}", file.file_name().unwrap().to_string_lossy());
            match cases::read(&std::fs::read_to_string(&file).unwrap()) {
                Err(error) => failures.push(format!("{shown}: {error}")),
                Ok(cases) => {
                    for case in cases {
                        count += 1;
                        if let Err(error) = case.run(&provider) {
                            failures.push(format!("{shown}: {}\n{error}", case.name));
                        }
                    }
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {count} cases fail\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

/// Every export of every provider has a recorded case.
#[test]
fn recorded_cases_cover_every_export() {
    for name in folders() {
        let provider = provider(&name);
        let mut exports: BTreeSet<String> = provider.export_names().into_iter().collect();
        // The spec is a snapshot; the methods of a leg are run by its script, or alone.
        for beside in ["descriptor.spec", "media.deserialize-frame", "media.serialize-frame"] {
            exports.remove(beside);
        }
        for entry in std::fs::read_dir(root().join("providers").join(&name).join("cases")).unwrap() {
            for case in cases::read(&std::fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap() {
                exports.remove(&case.export);
            }
        }
        assert_eq!(exports, BTreeSet::new(), "{name}: these exports have no case");
    }
}

#[test]
fn what_a_component_imports_is_known() {
    for name in folders() {
        let provider = provider(&name);
        insta::assert_snapshot!(format!("{name}-imports"), provider.imports().join("\n"));
        insta::assert_json_snapshot!(format!("{name}-abilities"), provider.abilities());
    }
}

#[test]
fn what_a_provider_says_about_itself_is_known() {
    for name in folders() {
        let provider = provider(&name);
        assert_eq!(provider.name(), name, "a provider's folder has its name");
        insta::assert_json_snapshot!(format!("{name}-spec"), provider.spec());
        assert_eq!(provider.digest().len(), 64);
    }
}

#[test]
fn every_rejection_can_be_sent_and_tells_nothing() {
    for name in folders() {
        let provider = provider(&name);
        let rejections: Vec<String> = RejectionReason::ALL
            .into_iter()
            .map(|reason| {
                let rejection = provider.rejection(reason);
                let body = String::from_utf8(rejection.body.clone()).unwrap();
                format!("{reason:?}: {} {:?}\n{body}", rejection.status, rejection.headers)
            })
            .collect();
        insta::assert_snapshot!(format!("{name}-rejections"), rejections.join("\n\n"));
    }
}

#[test]
fn a_genuine_webhook_is_told_from_a_forged_one() {
    let twilio = provider("twilio");
    let account = account(&twilio);
    let verify = |webhook: &Webhook| twilio.verify(&account, webhook, &Moment::at(NOW_MS)).unwrap();
    assert!(matches!(verify(&inbound()), Verdict::Genuine { .. }));
    let forged = signed_with("another token", &[("CallSid", "CA1"), ("AccountSid", ACCOUNT)]);
    assert!(matches!(verify(&forged), Verdict::Refused(Refusal::NotProved(_))));
    let mut changed = inbound();
    changed.body.extend_from_slice(b"&Extra=1");
    assert!(matches!(verify(&changed), Verdict::Refused(Refusal::NotProved(_))));
    let mut elsewhere = inbound();
    elsewhere.url.push('x');
    assert!(matches!(verify(&elsewhere), Verdict::Refused(Refusal::NotProved(_))));
    let mut unsigned = inbound();
    unsigned.headers.truncate(1);
    assert!(matches!(verify(&unsigned), Verdict::Refused(Refusal::Rejected { .. })));
}

#[test]
fn a_call_is_placed_in_two_rounds() {
    let twilio = provider("twilio");
    let mut operation = twilio
        .place_call(&account(&twilio), call(), outbound(), Moment::at(NOW_MS))
        .unwrap();
    let request = match operation.step().unwrap() {
        Step::Perform(Effect::Http(request)) => request,
        other => panic!("{other:?}"),
    };
    assert_eq!(request.method, "POST");
    assert_eq!(
        request.url.as_str(),
        format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Calls.json")
    );
    assert_eq!(request.grants, ["api.twilio.com"]);
    // The secret stands in the authorization, and nowhere else.
    let basic = format!("Basic {}", STANDARD.encode(format!("{ACCOUNT}:{TOKEN}")));
    let authorization: Vec<&str> = request
        .headers
        .iter()
        .filter(|(name, _)| name == "authorization")
        .map(|(_, value)| value.expose())
        .collect();
    assert_eq!(authorization, [basic.as_str()]);
    let body = String::from_utf8(request.body.clone()).unwrap();
    assert!(!body.contains(TOKEN) && !body.contains("sealed-"), "{body}");
    for (name, value) in &request.headers {
        assert!(!value.expose().contains("sealed-"), "{name}");
    }
    assert!(
        !format!("{request:?}").contains(TOKEN),
        "a request does not show its secret"
    );
    let form: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    insta::assert_json_snapshot!("twilio-place-call-form", form);

    operation.reply(Reply::Http(IncomingResponse {
        status: 201,
        headers: vec![("content-type".to_owned(), b"application/json".to_vec())],
        body: json!({ "sid": "CAabcdef0123456789abcdef0123456789", "status": "queued", "echo": TOKEN })
            .to_string()
            .into_bytes(),
    }));
    match operation.step().unwrap() {
        Step::Done(placed) => assert_eq!(placed.provider_call_id, "CAabcdef0123456789abcdef0123456789"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failure_of_the_carrier_is_a_verdict() {
    let twilio = provider("twilio");
    let replies = [
        Reply::Unreachable("connection refused".to_owned()),
        Reply::Http(IncomingResponse {
            status: 401,
            headers: vec![],
            body: b"{\"code\":20003}".to_vec(),
        }),
        Reply::Http(IncomingResponse {
            status: 503,
            headers: vec![],
            body: b"<html>".to_vec(),
        }),
        Reply::Http(IncomingResponse {
            status: 201,
            headers: vec![],
            body: vec![0xff; 100],
        }),
    ];
    for reply in replies {
        let shown = format!("{reply:?}");
        let mut operation = twilio
            .place_call(&account(&twilio), call(), outbound(), Moment::at(NOW_MS))
            .unwrap();
        assert!(matches!(operation.step(), Ok(Step::Perform(_))));
        operation.reply(reply);
        match operation.step().unwrap() {
            Step::Failed(failure) => assert!(!failure.message.contains(TOKEN)),
            other => panic!("{shown}: {other:?}"),
        }
    }
}

/// Every round runs in a fresh instance, and comes to the same request.
#[test]
fn an_operation_is_the_same_in_every_round() {
    let twilio = provider("twilio");
    let moment = Moment::at(NOW_MS);
    let requests: Vec<_> = (0..2)
        .map(|_| {
            match twilio
                .place_call(&account(&twilio), call(), outbound(), moment)
                .unwrap()
                .step()
                .unwrap()
            {
                Step::Perform(Effect::Http(request)) => (request.url, request.body),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(requests[0], requests[1]);
}

// Any export, on JSON.

fn invoke(export: &str, input: &Value) -> Result<Value, InvokeJsonError> {
    provider("twilio").invoke_json(export, input)
}

fn config() -> Value {
    let credentials = json!({ "credentials": { "account_sid": ACCOUNT, "auth_token": "sealed:auth_token" } });
    invoke("descriptor.config-loader", &credentials).unwrap()["ok"].clone()
}

#[test]
fn an_unknown_export_lists_those_that_exist() {
    for export in [
        "",
        "spec",
        "descriptor",
        "descriptor.spec ",
        "media.[constructor]leg",
        "calling.place_call",
    ] {
        let error = invoke(export, &json!({})).unwrap_err();
        assert!(
            error.to_string().contains("descriptor.spec, descriptor.config-loader"),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains("media.leg, media.deserialize-frame, media.serialize-frame"),
            "{error}"
        );
    }
}

#[test]
fn input_that_does_not_fit_is_told_by_its_place() {
    let webhook = json!({ "method": "POST", "url": "https://a.example/", "body": "a=b", "received-at": 1 });
    let with = |place: &str, value: Value| {
        let mut webhook = webhook.clone();
        webhook[place] = value;
        json!({ "webhook": webhook })
    };
    invoke("webhook.recognise", &json!({ "webhook": webhook })).unwrap();
    for (input, expected) in [
        (
            json!([]),
            "input: must be an object with one entry for each parameter, not an array",
        ),
        (
            json!({}),
            "input.webhook: is missing; it is an object with method, url, headers, body, received-at",
        ),
        (
            json!({ "webhook": webhook, "config": {} }),
            "input.config: is not a parameter; there are webhook",
        ),
        (
            json!({ "webhook": {} }),
            "input.webhook.method: is missing; it is a text, or JSON to embed",
        ),
        (
            with("methd", json!("POST")),
            "input.webhook.methd: is not a field; there are method, url, headers, body, received-at",
        ),
        (
            with("received-at", json!(-1)),
            "input.webhook.received-at: must be an integer that is not negative, not the number -1",
        ),
        (
            with("received-at", json!("1")),
            "input.webhook.received-at: must be an integer that is not negative, not the text \"1\"",
        ),
        (
            with("headers", json!([{ "name": "a" }])),
            "input.webhook.headers[0].value: is missing; it is a text, or JSON to embed",
        ),
        (
            with("body", json!({ "base64": "!" })),
            "input.webhook.body.base64: is not base64 with padding (RFC 4648 §4)",
        ),
        (
            with("body", json!(7)),
            "input.webhook.body: must be a text or {\"base64\": \"…\"}, not the number 7",
        ),
    ] {
        assert_eq!(invoke("webhook.recognise", &input).unwrap_err().to_string(), expected);
    }
    let reason = invoke("answer.rejection-markup", &json!({ "reason": "bad mood" }))
        .unwrap_err()
        .to_string();
    assert!(
        reason.starts_with("input.reason: must be one of \"unknown-number\", "),
        "{reason}"
    );
    let mut hang_up =
        json!({ "config": config(), "call": { "id": "1", "direction": "inbound", "caller": "", "callee": "" } });
    hang_up["replies"] = json!([{ "https": {} }]);
    let reply = invoke("calling.hang-up", &hang_up).unwrap_err().to_string();
    assert!(
        reply.starts_with("input.replies[0]: must be one of {\"http\": …}, "),
        "{reply}"
    );
    hang_up["replies"] = json!([{ "http": { "status": 70000 } }]);
    let status = invoke("calling.hang-up", &hang_up).unwrap_err().to_string();
    assert_eq!(status, "input.replies[0].http.status: must be at most 65535");
}

#[test]
fn a_leg_is_run_on_a_script() {
    let call = json!({ "id": "1", "direction": "inbound", "caller": "", "callee": "" });
    let start = json!({
        "event": "start", "sequenceNumber": "1", "streamSid": "MZ1",
        "start": {
            "streamSid": "MZ1", "accountSid": ACCOUNT, "callSid": "CA1", "tracks": ["inbound"], "customParameters": {},
            "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
        },
    });
    let audio = STANDARD.encode([0x7f; 160]);
    let media = json!({
        "event": "media", "sequenceNumber": "2", "streamSid": "MZ1",
        "media": { "track": "inbound", "chunk": "1", "timestamp": "5", "payload": audio },
    });
    let input = json!({
        "config": config(),
        "call": call,
        "script": [
            { "serialize": "clear" },
            { "deserialize": { "text": start } },
            { "deserialize-frame": { "text": media } },
            { "serialize": { "audio": { "base64": audio } } },
            { "serialize": { "mark": "m" } },
        ],
    });
    let results = invoke("media.leg", &input).unwrap();
    assert_eq!(results[0], json!({ "err": "not-started" }));
    assert_eq!(results[1][0]["started"]["stream-id"], "MZ1");
    assert_eq!(results[2][0]["audio"]["timestamp-ms"], 5);
    // The message is shown as the document that it is.
    assert_eq!(results[3]["ok"][0]["text"]["media"]["payload"], audio);
    assert_eq!(results[4]["ok"][0]["text"]["mark"]["name"], "m");
    let alone = json!({
        "config": config(), "call": call, "messages": [{ "text": start }], "frame": { "mark": "m" },
    });
    assert_eq!(invoke("media.serialize-frame", &alone).unwrap(), results[4]);
    for (script, expected) in [
        (
            json!(null),
            "input.script: must be an array of objects such as {\"deserialize\": message}, not null",
        ),
        (
            json!([{ "play": 1 }]),
            "input.script[0]: `play` is not a method; the methods are deserialize, serialize",
        ),
        (
            json!(["clear"]),
            "input.script[0]: must be an object with one entry, the method and its argument, not the text \"clear\"",
        ),
    ] {
        let mut input = input.clone();
        input["script"] = script;
        assert_eq!(invoke("media.leg", &input).unwrap_err().to_string(), expected);
    }
}

/// A body as large as webhooks may be is not too much for the dynamic door.
#[test]
fn a_large_body_fits() {
    let body = format!("a={}", "x".repeat(1024 * 1024 - 2));
    let input = json!({ "webhook": { "method": "POST", "url": "https://a.example/", "body": body, "received-at": 1 } });
    assert_eq!(invoke("webhook.recognise", &input).unwrap(), Value::Null);
}

#[test]
fn a_case_that_does_not_hold_says_where() {
    let case = |expect: Value| Case {
        name: "example".to_owned(),
        export: "answer.rejection-markup".to_owned(),
        config: None,
        credentials: None,
        input: serde_json::Map::from_iter([("reason".to_owned(), json!("quota"))]),
        replies: None,
        expect,
    };
    let twilio = provider("twilio");
    let actual = twilio
        .invoke_json("answer.rejection-markup", &json!({ "reason": "quota" }))
        .unwrap();
    case(actual.clone()).run(&twilio).unwrap();
    let mut wrong = actual;
    wrong["status"] = json!(500);
    let report = case(wrong).run(&twilio).unwrap_err().to_string();
    assert_eq!(report, "expect.status\n  expected 500\n  returned 200");
}
