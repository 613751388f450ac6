//! What our components answer calls with, against what the carriers' own packages write for the same: the same
//! document.
//!
//! TwiML is compared with twilio's, Plivo XML with plivo's, call control objects with Vonage's models. Two carriers
//! have no package, but a form of somebody else's: CXML is TwiML by Cloudonix's own account, and Vobiz's XML is that of
//! Plivo. There the packages write the elements and attributes that the two have in common. They let attributes through
//! that TwiML does not have (`holdMusic`), so of those the test shows only that they are well-formed.

use std::fmt::Write as _;

use serde_json::{Value, json};
use strowger_host::operation::{Direction, MediaAddress, RouteUrl, TransferLeg, TransferState};
use strowger_host::{
    Credentials, Effect, Header, Moment, Operation, Provider, RejectionReason, Response, Step, Webhook,
};
use strowger_tests::{credentials, provider};

use super::witness::{Witness, text};
use super::{NOW_MS, call};

/// What markup, attributes and canonical forms treat in a way of their own.
const NASTY: [&str; 12] = [
    "",
    "a",
    "&",
    "<>\"'",
    "&amp;&lt;&#38;&quot;",
    "]]>",
    "<!--x-->",
    "a  b ",
    "%0A%22",
    "äöü語🎧",
    "\u{a0}\u{2028}\u{85}",
    "\t\n\r",
];
const CALL: &str = "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192";
const TRANSFER: &str = "018f3a5e-9999-7e2a-9b4c-3d5e6f708192";
const SPOKEN: &str = "This number cannot take your call right now. Please try again later.";

/// One document of ours, and the verbs that an official package makes the other one of.
struct Document {
    name: String,
    markup: String,
    verbs: Value,
}

impl Document {
    /// The document in a response, which must have the right type.
    fn answered(name: impl Into<String>, content_type: &str, response: &Response, verbs: Value) -> Self {
        let name = name.into();
        let header = ("content-type".to_owned(), content_type.to_owned());
        assert!(response.headers.contains(&header), "{name}: {:?}", response.headers);
        assert_eq!(response.status, 200, "{name}");
        Self {
            markup: String::from_utf8(response.body.clone()).unwrap(),
            name,
            verbs,
        }
    }
}

/// The result of an operation that needs no effect.
fn done<T: std::fmt::Debug>(mut operation: Operation<T>) -> T {
    match operation.step().unwrap() {
        Step::Done(result) => result,
        other => panic!("{other:?}"),
    }
}

/// The body of the first request of an operation.
fn requested<T: std::fmt::Debug>(mut operation: Operation<T>) -> Vec<u8> {
    match operation.step().unwrap() {
        Step::Perform(Effect::Http(request)) => request.body,
        other => panic!("{other:?}"),
    }
}

/// Connects a call to `media_url`; every route has the URL `callback`.
fn connected(provider: &Provider, account: &Credentials, media_url: &str, callback: &str, id: &str) -> Response {
    let mut call = call(provider, id, Direction::Inbound);
    call.routes.iter_mut().for_each(|route| route.url = callback.to_owned());
    let media = MediaAddress {
        url: media_url.to_owned(),
        base_url: "wss://gateway.example/ws".to_owned(),
        token: "t".to_owned(),
    };
    let webhook = Webhook {
        method: "POST".to_owned(),
        url: "https://gateway.example/answer".to_owned(),
        headers: vec![],
        body: vec![],
        received_at: NOW_MS,
    };
    done(provider.answer(account, call, media, Some(webhook), Moment::at(NOW_MS))).response
}

/// Every way in which calls are refused, with the verbs for a call that comes in and for one that was placed.
fn refusals(
    provider: &Provider,
    account: &Credentials,
    content_type: &str,
    inbound: impl Fn(RejectionReason) -> Value,
    outbound: &Value,
) -> Vec<Document> {
    let mut documents = Vec::new();
    for reason in RejectionReason::ALL {
        for (direction, verbs) in [
            (Direction::Inbound, inbound(reason)),
            (Direction::Outbound, outbound.clone()),
        ] {
            let call = call(provider, CALL, direction);
            let response = done(provider.reject_call(account, call, reason, Moment::at(NOW_MS)));
            let name = format!("{direction:?} {reason:?}");
            documents.push(Document::answered(name, content_type, &response, verbs));
        }
        let name = format!("unconfigured {reason:?}");
        let response = provider.rejection(reason);
        documents.push(Document::answered(name, content_type, response, inbound(reason)));
    }
    documents
}

/// An announcement. Without control characters: the packages write a carriage return into text as it is, where it
/// becomes a line feed for whoever reads it, and ours escapes it or leaves it out.
fn spoken(nasty: &str) -> String {
    let spoken = nasty.chars().filter(|char| !char.is_control());
    format!("A caller for you.{}", spoken.collect::<String>())
}

/// A second leg that has answered. Its routes have the URL `callback`.
fn leg(provider: &Provider, announcement: Option<&str>, callback: &str) -> TransferLeg {
    let routes = provider.spec().routes.iter();
    TransferLeg {
        id: TRANSFER.to_owned(),
        state: TransferState::Answered,
        destination: "+12025550199".to_owned(),
        caller_id: Some("+12025550188".to_owned()),
        trunk: None,
        ring_timeout_s: 30,
        announcement: announcement.map(str::to_owned),
        provider_call_id: Some("second".to_owned()),
        routes: routes
            .map(|route| RouteUrl {
                name: route.name.clone(),
                url: callback.to_owned(),
            })
            .collect(),
        attachment: None,
    }
}

/// Has a program write the other documents, and compares.
async fn same(program: &str, documents: Vec<Document>) {
    let mut input = String::new();
    for document in &documents {
        let line = json!({ "name": document.name, "markup": document.markup, "verbs": document.verbs });
        writeln!(input, "{line}").unwrap();
    }
    let compared = Witness::start_with(program, &[], input).rest().await;
    assert_eq!(compared.len(), documents.len());
    for pair in compared {
        assert_eq!(text(&pair, "ours"), text(&pair, "official"), "{}", pair["name"]);
    }
}

// TwiML, and CXML.

const XML: &str = "application/xml";

fn twiml_refusal(unknown: &Value, reason: RejectionReason) -> Value {
    match reason {
        RejectionReason::AtCapacity => json!([["reject", "busy"]]),
        RejectionReason::UnknownNumber
        | RejectionReason::AccountMismatch
        | RejectionReason::Signature
        | RejectionReason::ProviderMismatch => json!([["reject", unknown]]),
        RejectionReason::NoAgent | RejectionReason::Quota | RejectionReason::Unavailable => {
            json!([["say", SPOKEN], ["hangup"]])
        }
    }
}

/// The markup of both legs of a transfer, in the field of a form or of a JSON object.
fn conferences(provider: &Provider, account: &Credentials, announcement: Option<&str>, callback: &str) -> [Vec<u8>; 2] {
    let leg = leg(provider, announcement, callback);
    let call = call(provider, CALL, Direction::Inbound);
    let dialled = provider.dial_destination(account, call.clone(), leg.clone(), Moment::at(NOW_MS));
    let joined = provider.connect_transfer(account, call, leg, Moment::at(NOW_MS));
    [requested(dialled.unwrap()), requested(joined.unwrap())]
}

#[tokio::test(flavor = "multi_thread")]
async fn our_twiml_is_what_the_official_package_writes() {
    let twilio = provider("twilio");
    let entered = json!({ "account_sid": "AC0123456789abcdef0123456789abcdef", "auth_token": "a" });
    let account = credentials(&twilio, &entered);
    let mut documents = Vec::new();
    for nasty in NASTY {
        let media_url = format!("wss://gateway.example/ws/{nasty}");
        let callback = format!("https://gateway.example/stream?a={nasty}&b=");
        let id = format!("id{nasty}");
        let response = connected(&twilio, &account, &media_url, &callback, &id);
        let attributes = json!({ "status_callback": callback, "status_callback_method": "POST" });
        let verbs = json!([["connect-stream", media_url, attributes, [["call", id]]], ["pause", 40]]);
        documents.push(Document::answered(format!("connect {nasty:?}"), XML, &response, verbs));

        let attributes = json!({ "beep": false, "wait_url": "", "end_conference_on_exit": true });
        let join = json!(["dial-conference", TRANSFER, attributes]);
        let spoken = spoken(nasty);
        let [dialled, joined] = conferences(&twilio, &account, Some(&spoken), "https://gateway.example/transfer");
        for (body, verbs) in [(dialled, json!([["say", spoken], join])), (joined, json!([join]))] {
            let (_, markup) = form_urlencoded::parse(&body).find(|(name, _)| name == "Twiml").unwrap();
            documents.push(Document {
                name: format!("transfer {nasty:?}"),
                markup: markup.into_owned(),
                verbs,
            });
        }
    }
    let refuse = |reason| twiml_refusal(&Value::Null, reason);
    documents.extend(refusals(&twilio, &account, XML, refuse, &json!([["hangup"]])));
    same("twiml.py", documents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cxml_is_twiml() {
    let cloudonix = provider("cloudonix");
    let entered = json!({
        "bearer_token": "XI0123", "domain_id": "acme.cloudonix.net", "application_name": "a", "domain_uuid": "b",
        "application_uuid": "c",
    });
    let account = credentials(&cloudonix, &entered);
    let mut documents = Vec::new();
    for nasty in NASTY {
        let media_url = format!("wss://gateway.example/ws/{nasty}");
        let response = connected(&cloudonix, &account, &media_url, "https://gateway.example/", CALL);
        let verbs = json!([["connect-stream", media_url, {}, []], ["pause", 40]]);
        documents.push(Document::answered(format!("connect {nasty:?}"), XML, &response, verbs));

        let callback = format!("https://gateway.example/transfer?a={nasty}");
        let name = format!("transfer-{TRANSFER}");
        let spoken = spoken(nasty);
        // `holdMusic` is not an attribute of TwiML.
        let plain = json!({ "end_conference_on_exit": true, "beep": false, "hold_music": false });
        let mut watched = plain.clone();
        watched["status_callback"] = json!(callback);
        watched["status_callback_event"] = json!("join");
        watched["status_callback_method"] = json!("POST");
        let [dialled, joined] = conferences(&cloudonix, &account, Some(&spoken), &callback);
        let watched = json!([["say", spoken], ["dial-conference", name, watched], ["hangup"]]);
        let plain = json!([["dial-conference", name, plain], ["hangup"]]);
        for (body, verbs) in [(dialled, watched), (joined, plain)] {
            let body: Value = serde_json::from_slice(&body).unwrap();
            documents.push(Document {
                name: format!("transfer {nasty:?}"),
                markup: text(&body, "cxml").to_owned(),
                verbs,
            });
        }
    }
    let refuse = |reason| twiml_refusal(&json!("rejected"), reason);
    documents.extend(refusals(&cloudonix, &account, XML, refuse, &json!([["hangup"]])));
    same("twiml.py", documents).await;
}

// Plivo XML, and Vobiz's.

fn plivo_refusal(voice: &Value, reason: RejectionReason) -> Value {
    match reason {
        RejectionReason::AtCapacity => json!([["hangup", { "reason": "busy" }]]),
        RejectionReason::UnknownNumber
        | RejectionReason::AccountMismatch
        | RejectionReason::Signature
        | RejectionReason::ProviderMismatch => json!([["hangup", { "reason": "rejected" }]]),
        RejectionReason::NoAgent | RejectionReason::Quota | RejectionReason::Unavailable => {
            json!([["speak", SPOKEN, voice], ["hangup", {}]])
        }
    }
}

/// What the answer webhook of a destination that has answered is answered with.
fn plivo_conference(plivo: &Provider, account: &Credentials, announcement: &str) -> Response {
    let webhook = Webhook {
        method: "POST".to_owned(),
        url: "https://gateway.example/transfer-answer".to_owned(),
        headers: vec![Header {
            name: "content-type".to_owned(),
            value: "application/x-www-form-urlencoded".to_owned(),
        }],
        body: b"CallUUID=second&Event=StartApp".to_vec(),
        received_at: NOW_MS,
    };
    let (call, leg) = (
        call(plivo, CALL, Direction::Inbound),
        leg(plivo, Some(announcement), "https://gateway.example/transfer"),
    );
    let route = "transfer-answer".to_owned();
    let outcome = plivo.handle_transfer_callback(account, route, call, leg, webhook, Moment::at(NOW_MS));
    done(outcome.unwrap()).response
}

#[tokio::test(flavor = "multi_thread")]
async fn our_plivo_xml_is_what_the_official_package_writes() {
    let plivo = provider("plivo");
    let mut documents = Vec::new();
    for (format, content_type) in [
        ("pcmu-8000", "audio/x-mulaw;rate=8000"),
        ("l16-8000", "audio/x-l16;rate=8000"),
        ("l16-16000", "audio/x-l16;rate=16000"),
    ] {
        let entered = json!({ "auth_id": "MAXXXXXXXXXXXXXXXXXX", "auth_token": "a", "audio_format": format });
        let account = credentials(&plivo, &entered);
        for nasty in NASTY {
            let media_url = format!("wss://gateway.example/ws/{nasty}");
            let callback = format!("https://gateway.example/stream?a={nasty}&b=");
            let response = connected(&plivo, &account, &media_url, &callback, CALL);
            let attributes = json!({
                "bidirectional": true, "keepCallAlive": true, "contentType": content_type,
                "statusCallbackUrl": callback, "statusCallbackMethod": "POST",
            });
            let verbs = json!([["stream", media_url, attributes]]);
            documents.push(Document::answered(format!("connect {nasty:?}"), XML, &response, verbs));
        }
    }
    let entered = json!({ "auth_id": "MAXXXXXXXXXXXXXXXXXX", "auth_token": "a" });
    let account = credentials(&plivo, &entered);
    for nasty in NASTY {
        let spoken = spoken(nasty);
        let response = plivo_conference(&plivo, &account, &spoken);
        let attributes =
            json!({ "start_conference_on_enter": true, "end_conference_on_exit": true, "stay_alone": true });
        let verbs = json!([
            ["speak", spoken, {}],
            ["conference", format!("strowger-{TRANSFER}"), attributes]
        ]);
        documents.push(Document::answered(format!("transfer {nasty:?}"), XML, &response, verbs));
    }
    let refuse = |reason| plivo_refusal(&json!({}), reason);
    documents.extend(refusals(&plivo, &account, XML, refuse, &json!([["hangup", {}]])));
    same("plivo_xml.py", documents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vobiz_xml_is_plivo_xml() {
    let vobiz = provider("vobiz");
    let account = credentials(&vobiz, &json!({ "auth_id": "MA_XXXXXXXX", "auth_token": "a" }));
    let mut documents = Vec::new();
    for nasty in NASTY {
        let media_url = format!("wss://gateway.example/ws/{nasty}");
        let response = connected(&vobiz, &account, &media_url, "https://gateway.example/", CALL);
        let attributes =
            json!({ "bidirectional": true, "keepCallAlive": true, "contentType": "audio/x-mulaw;rate=8000" });
        let verbs = json!([["stream", media_url, attributes]]);
        documents.push(Document::answered(format!("connect {nasty:?}"), XML, &response, verbs));
    }
    let refuse = |reason| plivo_refusal(&json!({ "voice": "WOMAN" }), reason);
    documents.extend(refusals(&vobiz, &account, XML, refuse, &json!([["hangup", {}]])));
    same("plivo_xml.py", documents).await;
}

// Call control objects.

fn ncco_refusal(reason: RejectionReason) -> Value {
    let spoken = match reason {
        RejectionReason::AtCapacity => "All lines are busy right now. Please try again later.",
        _ => SPOKEN,
    };
    json!([["talk", spoken]])
}

#[tokio::test(flavor = "multi_thread")]
async fn our_call_control_objects_are_what_the_official_models_write() {
    let vonage = provider("vonage");
    let entered = json!({
        "application_id": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "private_key": "-----BEGIN PRIVATE KEY-----",
        "api_key": "a1b2c3d4", "api_secret": "a", "signature_secret": "b",
    });
    let account = credentials(&vonage, &entered);
    let mut documents = Vec::new();
    for nasty in NASTY {
        let media_url = format!("wss://gateway.example/ws/{nasty}");
        let callback = format!("https://gateway.example/events?a={nasty}");
        let id = format!("id{nasty}");
        let response = connected(&vonage, &account, &media_url, &callback, &id);
        let headers = json!({ "call": id, "call_uuid": "CAabcdef0123456789abcdef0123456789" });
        let verbs = json!([["connect-socket", media_url, "audio/l16;rate=16000", headers, callback]]);
        documents.push(Document::answered(
            format!("connect {nasty:?}"),
            "application/json",
            &response,
            verbs,
        ));
    }
    let placed = json!([["talk", "We are sorry, this call cannot be connected. Goodbye."]]);
    documents.extend(refusals(&vonage, &account, "application/json", ncco_refusal, &placed));
    let mut input = String::new();
    for document in &documents {
        let line = json!({ "name": document.name, "actions": document.verbs });
        writeln!(input, "{line}").unwrap();
    }
    let official = Witness::start_with("ncco.py", &[], input).rest().await;
    assert_eq!(official.len(), documents.len());
    for (document, official) in documents.iter().zip(official) {
        let ours: Value = serde_json::from_str(&document.markup).unwrap();
        assert_eq!(ours, official["official"], "{}", document.name);
    }
}
