//! What the exports are given: a call, a webhook, a transfer, with words that are harmless or hostile.

use strowger_host::operation::{
    Call, Direction, Facts, MediaAddress, Occasion, Outbound, PublicUrls, RouteUrl, Saving, TransferLeg, TransferState,
    Trunk,
};
use strowger_host::spec::{FieldType, RoutePurpose};
use strowger_host::{Ability, Header, Provider, Webhook};

use super::subject::NOW_MS;

const CALL_ID: &str = "0199d9d4-7a11-7bbb-8ccc-00000000c0de";
const TRANSFER_ID: &str = "6f1d0a52-3a6f-4f0e-9d53-00000000beef";
const GATEWAY: &str = "https://gateway.example/api/v1/telephony";

/// What strangers choose: it passes through the component into markup, addresses and documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) provider_call_id: &'static str,
    pub(super) caller: &'static str,
    pub(super) callee: &'static str,
    pub(super) media_base: &'static str,
    pub(super) announcement: &'static str,
}

/// What honest people use.
pub(super) const HARMLESS: Words = Words {
    provider_call_id: "kit0call0identifier0of0the0carrier",
    caller: "+14155550123",
    callee: "+442071838750",
    media_base: "wss://gateway.example/api/v1/telephony/media",
    announcement: "Somebody calls for you",
};

/// Identifiers and texts that end an attribute, a string, a path or a query where they are not escaped.
pub(super) const HOSTILE: Words = Words {
    provider_call_id: "k\"i't<c>&amp;/../x?y=z#f%41;é",
    media_base: "wss://gateway.example/api/v1/telephony/o'media&copy=1",
    announcement: "Tom & \"Jerry\" <script>'</Say>é",
    ..HARMLESS
};

/// Addresses that are none: a stranger may be called anything.
pub(super) const HOSTILE_NUMBERS: Words = Words {
    caller: "sip:a\"b<c>&'d/../e?f=g#h%41;é@x.example",
    callee: "sip:k\"i't<c>&amp;/../x?y=z#f%41;é@y.example",
    ..HARMLESS
};

impl Words {
    /// Each word with the one that stands in its place in another set, where they differ.
    pub(super) fn changed(&self, other: &Self) -> Vec<(&'static str, &'static str)> {
        [
            (self.provider_call_id, other.provider_call_id),
            (self.caller, other.caller),
            (self.callee, other.callee),
            (self.media_base, other.media_base),
            (self.announcement, other.announcement),
        ]
        .into_iter()
        .filter(|(one, two)| one != two)
        .collect()
    }
}

pub(super) fn call(provider: &Provider, words: &Words, direction: Direction) -> Call {
    let spec = provider.spec();
    Call {
        id: CALL_ID.to_owned(),
        provider_call_id: Some(words.provider_call_id.to_owned()),
        direction,
        caller: words.caller.to_owned(),
        callee: words.callee.to_owned(),
        routes: spec
            .routes
            .iter()
            .filter(|route| route.names_call())
            .map(|route| RouteUrl {
                name: route.name.clone(),
                url: route.url(&format!("{GATEWAY}/{}", spec.name), CALL_ID),
            })
            .collect(),
        attachment: None,
    }
}

pub(super) fn media(words: &Words) -> MediaAddress {
    let token = "kitMediaTokenkitMediaTokenkitMediaTokenkitM";
    MediaAddress {
        url: format!("{}/{token}", words.media_base),
        base_url: words.media_base.to_owned(),
        token: token.to_owned(),
    }
}

pub(super) fn outbound(provider: &Provider, words: &Words) -> Outbound {
    let spec = provider.spec();
    let answer = spec.routes.iter().find(|route| route.purpose == RoutePurpose::Answer);
    Outbound {
        caller_id: Some(words.caller.to_owned()),
        answer_url: answer.map(|route| route.url(&format!("{GATEWAY}/{}", spec.name), CALL_ID)),
        media: media(words),
        ring_timeout_s: 30,
        detect_machine: None,
        trunk: provider.can(Ability::Trunks).then(|| "trunk-1".to_owned()),
    }
}

pub(super) fn leg(provider: &Provider, words: &Words, state: TransferState) -> TransferLeg {
    let spec = provider.spec();
    TransferLeg {
        id: TRANSFER_ID.to_owned(),
        state,
        destination: words.callee.to_owned(),
        caller_id: Some(words.caller.to_owned()),
        trunk: provider.can(Ability::Trunks).then(|| "trunk-1".to_owned()),
        ring_timeout_s: 30,
        announcement: Some(words.announcement.to_owned()),
        provider_call_id: (state != TransferState::Dialing).then(|| words.provider_call_id.to_owned()),
        routes: spec
            .routes
            .iter()
            .filter(|route| route.purpose == RoutePurpose::Transfer)
            .map(|route| RouteUrl {
                name: route.name.clone(),
                url: route.url(&format!("{GATEWAY}/{}", spec.name), TRANSFER_ID),
            })
            .collect(),
        attachment: None,
    }
}

pub(super) fn urls(provider: &Provider) -> PublicUrls {
    PublicUrls {
        dispatcher: format!("{GATEWAY}/inbound/run"),
        routes: format!("{GATEWAY}/{}", provider.name()),
        media: HARMLESS.media_base.to_owned(),
    }
}

pub(super) fn saving(provider: &Provider, occasion: Occasion) -> Saving {
    Saving {
        occasion,
        urls: urls(provider),
        unique: "0123456789ab".to_owned(),
    }
}

pub(super) fn facts() -> Facts {
    Facts {
        active_numbers: 1,
        inbound_numbers: 1,
        enabled_trunks: 1,
        numbers_without_trunk: 0,
    }
}

/// A trunk with a value in each of its settings.
pub(super) fn trunk(provider: &Provider) -> Trunk {
    let mut settings = serde_json::Map::new();
    for field in provider.trunk_fields() {
        let value = match field.kind {
            FieldType::Boolean => serde_json::json!(false),
            FieldType::Number => serde_json::json!(1),
            FieldType::StringArray => serde_json::json!([]),
            FieldType::Select => field
                .options
                .first()
                .map_or(serde_json::Value::Null, |choice| serde_json::json!(choice.value)),
            _ => serde_json::json!(field.placeholder.clone().unwrap_or_else(|| "example".to_owned())),
        };
        settings.insert(field.name.clone(), value);
    }
    Trunk {
        name: "trunk-1".to_owned(),
        enabled: true,
        settings: serde_json::Value::Object(settings).to_string(),
        external_id: Some("kit-trunk-7".to_owned()),
    }
}

/// A webhook that nobody signed, at the common dispatcher.
pub(super) fn webhook(content_type: &str, body: &[u8]) -> Webhook {
    Webhook {
        method: "POST".to_owned(),
        url: format!("{GATEWAY}/inbound/run"),
        headers: vec![Header {
            name: "content-type".to_owned(),
            value: content_type.to_owned(),
        }],
        body: body.to_vec(),
        received_at: NOW_MS,
    }
}

/// Webhooks that mean nothing, or pretend to, each with what it is.
pub(super) fn garbage() -> Vec<(&'static str, Webhook)> {
    let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let deep_object = "{\"a\":".repeat(20_000);
    let many: String = (0..2_000).map(|n| format!("k{n}=v%2{n}&")).collect();
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    let mut all = vec![
        ("an empty body", webhook(json, b"")),
        ("a body that is no text", webhook(json, &[0xff, 0x00, 0xfe, 0x80, 0x01])),
        (
            "JSON that is cut short",
            webhook(json, b"{\"event\":\"call.incoming\",\"data\":{\"id\":\"x"),
        ),
        (
            "JSON of another shape",
            webhook(json, b"[1,\"two\",null,{\"three\":[]}]"),
        ),
        ("JSON null", webhook(json, b"null")),
        (
            "numbers beyond every integer",
            webhook(json, b"{\"id\":123456789012345678901234567890,\"n\":-1.5e400}"),
        ),
        ("20 000 nested arrays", webhook(json, nested.as_bytes())),
        (
            "20 000 nested objects, cut short",
            webhook(json, deep_object.as_bytes()),
        ),
        ("a form with bad escapes", webhook(form, b"a=%zz&=&&b=%&%=1&\xff=\xfe")),
        ("a form of 2 000 fields", webhook(form, many.as_bytes())),
        (
            "a page of HTML",
            webhook("text/html", b"<html><body>Bad gateway</body></html>"),
        ),
    ];
    let mut bare = webhook(json, b"{}");
    bare.headers.clear();
    all.push(("no headers", bare));
    let mut strange = webhook(json, b"{}");
    strange.url = format!("{GATEWAY}/inbound/run?a=%00&b=%ff&&&=%zz&a=%2e%2e#f");
    strange.method = "GET".to_owned();
    all.push(("a GET with a strange query", strange));
    let mut claims = webhook(json, b"{}");
    for name in [
        "authorization",
        "x-signature",
        "x-webhook-signature",
        "x-hub-signature-256",
        "x-request-timestamp",
    ] {
        for value in ["", "\u{fffd}", "Bearer x", "sha256=zz", "99999999999999999999"] {
            claims.headers.push(Header {
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
    }
    all.push(("headers that look like a signature", claims));
    all
}
