//! What tests hand to a provider.

use serde_json::Value;

use crate::{Call, Direction, Header, Leg, MediaEvent, MediaFrame, Message, Webhook};

/// A webhook that arrived at the beginning of 1970.
pub fn webhook(method: &str, url: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Webhook {
    Webhook {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: headers.iter().map(|(name, value)| Header::new(*name, *value)).collect(),
        body: body.into(),
        received_at: 0,
    }
}

/// A form, posted with these headers and that of its type.
pub fn post_form(headers: &[(&str, &str)], body: &str) -> Webhook {
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    webhook("POST", "https://gateway.example/", &[headers, &[form]].concat(), body)
}

/// A JSON document, posted.
pub fn post_json(body: &Value) -> Webhook {
    let json = [("Content-Type", "application/json")];
    webhook("POST", "https://gateway.example/", &json, body.to_string())
}

/// The call `1` of ours, which the carrier knows by this identifier; without numbers, routes and attachment.
pub fn call(direction: Direction, provider_call_id: Option<&str>) -> Call {
    Call {
        id: "1".to_owned(),
        provider_call_id: provider_call_id.map(str::to_owned),
        direction,
        caller: String::new(),
        callee: String::new(),
        routes: Vec::new(),
        attachment: None,
    }
}

/// What a leg makes of a text message.
pub fn hear<C>(leg: &mut impl Leg<C>, text: &str) -> Vec<MediaEvent> {
    leg.deserialize_frame(Message::Text(text.to_owned()))
}

/// The JSON of the one text message that a leg makes of a frame.
///
/// # Panics
///
/// When it makes anything else.
pub fn say<C>(leg: &mut impl Leg<C>, frame: MediaFrame) -> Value {
    match leg.serialize_frame(frame).as_deref() {
        Ok([Message::Text(text)]) => serde_json::from_str(text).expect("the message is not JSON"),
        other => panic!("{other:?}"),
    }
}
