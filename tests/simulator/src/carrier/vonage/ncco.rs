//! Call control objects. An NCCO with a mistake is not carried out, not even in part.

use std::time::Duration;

use serde_json::Value;

use super::super::{
    ConferenceInstruction, Instruction, StreamInstruction, WebhookResponse, WebhookTarget, is_plain_loopback,
};

/// The most that a socket's own headers may take, in bytes of JSON.
const HEADERS_BYTES_MAX: usize = 512;
const SYNTAX: &str = "Syntax error in NCCO. Invalid value type or action.";

/// Reads the response of a webhook that asked for instructions.
pub(super) fn read_response(response: &WebhookResponse) -> Result<Vec<Instruction>, String> {
    if !(200..300).contains(&response.status) {
        return Err(format!("the answer URL returned status {}", response.status));
    }
    let media_type = response.content_type.split(';').next().unwrap_or_default().trim();
    if media_type != "application/json" {
        return Err(format!("`{media_type}` is not the content type of an NCCO"));
    }
    let ncco = serde_json::from_slice(&response.body).map_err(|error| format!("{SYNTAX} {error}"))?;
    read(&ncco)
}

/// Reads an NCCO.
pub(super) fn read(ncco: &Value) -> Result<Vec<Instruction>, String> {
    let actions = ncco.as_array().ok_or(SYNTAX)?;
    actions.iter().map(action).collect()
}

fn action(action: &Value) -> Result<Instruction, String> {
    let text = |name: &str| action[name].as_str();
    match text("action").ok_or(SYNTAX)? {
        "connect" => connect(action),
        "talk" => Ok(Instruction::Say(text("text").ok_or(SYNTAX)?.to_owned())),
        "stream" => Ok(Instruction::Play(
            action["streamUrl"][0].as_str().ok_or(SYNTAX)?.to_owned(),
        )),
        "wait" => Ok(Instruction::Pause(Duration::from_secs_f64(
            action["timeout"].as_f64().unwrap_or(10.0).clamp(0.1, 7200.0),
        ))),
        "conversation" => Ok(Instruction::Conference(ConferenceInstruction {
            name: text("name").ok_or(SYNTAX)?.to_owned(),
            ends_on_exit: action["endOnExit"].as_bool().unwrap_or(false),
            status: None,
            events: Vec::new(),
        })),
        other @ ("record" | "input" | "notify" | "transfer") => Ok(Instruction::Unknown(other.to_owned())),
        // There is no action that hangs up, for one.
        other => Err(format!("{SYNTAX} `{other}`")),
    }
}

fn connect(action: &Value) -> Result<Instruction, String> {
    let endpoints = action["endpoint"].as_array().filter(|endpoints| endpoints.len() == 1);
    let endpoint = &endpoints.ok_or("`connect` takes one endpoint")?[0];
    match endpoint["type"].as_str().ok_or(SYNTAX)? {
        "websocket" => {}
        other @ ("phone" | "sip" | "app" | "vbc") => return Ok(Instruction::Unknown(format!("connect {other}"))),
        other => return Err(format!("{SYNTAX} endpoint `{other}`")),
    }
    let uri = endpoint["uri"].as_str().ok_or(SYNTAX)?;
    if !uri.starts_with("wss://") && !is_plain_loopback(uri) {
        return Err(format!("`{uri}` is not a WebSocket address"));
    }
    let content_type = endpoint["content-type"].as_str().ok_or(SYNTAX)?;
    if rate_hz(content_type).is_none() {
        return Err(format!("`{content_type}` is not a content type of a socket"));
    }
    let headers = &endpoint["headers"];
    if !headers.is_null() && !headers.is_object() || headers.to_string().len() > HEADERS_BYTES_MAX {
        return Err(format!("`headers` is no object of at most {HEADERS_BYTES_MAX} bytes"));
    }
    let event_url = match &action["eventUrl"] {
        Value::Null => None,
        urls => Some(urls[0].as_str().ok_or("`eventUrl` is a list of one address")?),
    };
    let value = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(Instruction::Stream(StreamInstruction {
        url: uri.to_owned(),
        // What the events of the socket's leg say was called.
        name: uri.to_owned(),
        parameters: headers
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, member)| (name.clone(), value(member)))
            .collect(),
        status: event_url.map(|url| WebhookTarget {
            url: url.to_owned(),
            method: action["eventMethod"].as_str().unwrap_or("POST").to_owned(),
        }),
        content_type: content_type.to_owned(),
        before_answer: false,
    }))
}

/// The sample rate that a content type names, if it is one of a socket's.
pub(super) fn rate_hz(content_type: &str) -> Option<u32> {
    match content_type.strip_prefix("audio/l16;rate=")? {
        "8000" => Some(8000),
        "16000" => Some(16_000),
        "24000" => Some(24_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn socket(change: &Value) -> Value {
        let mut endpoint = json!({
            "type": "websocket", "uri": "wss://example.com/socket", "content-type": "audio/l16;rate=16000",
            "headers": { "name": "J Doe", "age": 40 },
        });
        for (name, value) in change.as_object().unwrap() {
            endpoint[name] = value.clone();
        }
        json!([{ "action": "connect", "eventUrl": ["https://example.com/events"], "endpoint": [endpoint] }])
    }

    #[test]
    fn a_call_is_connected_to_a_socket() {
        let instructions = read(&socket(&json!({}))).unwrap();
        let expected = StreamInstruction {
            url: "wss://example.com/socket".into(),
            name: "wss://example.com/socket".into(),
            parameters: vec![("age".into(), "40".into()), ("name".into(), "J Doe".into())],
            status: Some(WebhookTarget::post("https://example.com/events")),
            content_type: "audio/l16;rate=16000".into(),
            before_answer: false,
        };
        assert_eq!(instructions, [Instruction::Stream(expected)]);
    }

    #[test]
    fn the_other_actions_are_read() {
        let ncco = json!([
            { "action": "talk", "text": "Hello" },
            { "action": "wait", "timeout": 0.5 },
            { "action": "stream", "streamUrl": ["https://example.com/a.mp3"] },
            { "action": "conversation", "name": "nexmo-conference", "endOnExit": true },
            { "action": "record" },
        ]);
        let expected = [
            Instruction::Say("Hello".into()),
            Instruction::Pause(Duration::from_millis(500)),
            Instruction::Play("https://example.com/a.mp3".into()),
            Instruction::Conference(ConferenceInstruction {
                name: "nexmo-conference".into(),
                ends_on_exit: true,
                ..ConferenceInstruction::default()
            }),
            Instruction::Unknown("record".into()),
        ];
        assert_eq!(read(&ncco).unwrap(), expected);
        assert_eq!(read(&json!([])).unwrap(), []);
    }

    #[test]
    fn a_mistake_spoils_it_all() {
        for ncco in [
            json!({ "action": "talk", "text": "Hello" }),
            json!([{ "action": "talk", "text": "Hello" }, { "action": "hangup" }]),
            json!([{ "action": "talk" }]),
            json!([{ "text": "Hello" }]),
            json!(["talk"]),
            json!([{ "action": "connect" }]),
            socket(&json!({ "type": "telepathy" })),
            socket(&json!({ "uri": "https://example.com/socket" })),
            socket(&json!({ "content-type": "audio/l16;rate=44100" })),
            socket(&json!({ "content-type": null })),
            socket(&json!({ "headers": { "long": "x".repeat(512) } })),
            socket(&json!({ "headers": [] })),
        ] {
            assert!(read(&ncco).is_err(), "{ncco}");
        }
    }

    #[test]
    fn a_response_is_json_and_a_success() {
        let response = |status: u16, content_type: &str, body: &str| WebhookResponse {
            status,
            content_type: content_type.into(),
            body: body.into(),
        };
        assert_eq!(
            read_response(&response(200, "application/json; charset=utf-8", "[]")),
            Ok(vec![])
        );
        for wrong in [
            response(500, "application/json", "[]"),
            response(200, "application/xml", "<Response><Hangup/></Response>"),
            response(200, "application/json", "<Response/>"),
            response(200, "application/json", ""),
        ] {
            assert!(read_response(&wrong).is_err(), "{wrong:?}");
        }
    }
}
