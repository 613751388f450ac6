//! CXML: the documents that say what to do with a session.

use std::time::Duration;

use super::super::{
    ConferenceChange, ConferenceInstruction, Instruction, StreamInstruction, WebhookResponse, WebhookTarget,
};
use crate::markup::{self, Element};

/// Reads the response of a webhook that asked.
pub(super) fn read_response(response: &WebhookResponse) -> Result<Vec<Instruction>, String> {
    if !(200..300).contains(&response.status) {
        return Err(format!("the application answered {}", response.status));
    }
    if response.body.is_empty() {
        return Ok(Vec::new());
    }
    let media_type = response.content_type.split(';').next().unwrap_or_default().trim();
    if !matches!(media_type, "application/xml" | "text/xml") {
        return Err(format!("`{media_type}` is not a document"));
    }
    read(&response.body)
}

/// Reads a document, which may also have come inline with a request.
pub(super) fn read(document: &[u8]) -> Result<Vec<Instruction>, String> {
    let root = markup::parse(document).map_err(|error| error.to_string())?;
    if root.name != "Response" {
        return Err(format!("the document is a `{}`", root.name));
    }
    root.children.iter().map(verb).collect()
}

fn verb(verb: &Element) -> Result<Instruction, String> {
    Ok(match verb.name.as_str() {
        "Connect" => match verb.child("Stream") {
            Some(noun) => Instruction::Stream(stream(noun)?),
            None => Instruction::Unknown("Connect without a Stream".to_owned()),
        },
        "Dial" => match verb.child("Conference") {
            Some(noun) => Instruction::Conference(conference(noun)),
            None => Instruction::Unknown("Dial without a Conference".to_owned()),
        },
        "Pause" => {
            let length = verb.attribute("length").and_then(|length| length.parse().ok());
            Instruction::Pause(Duration::from_secs(length.unwrap_or(1)))
        }
        "Say" => Instruction::Say(verb.text.clone()),
        "Play" => Instruction::Play(verb.text.clone()),
        "Hangup" => Instruction::HangUp,
        "Reject" => match verb.attribute("reason").unwrap_or("rejected") {
            "busy" => Instruction::Reject { busy: true },
            "rejected" | "congestion" | "failed" => Instruction::Reject { busy: false },
            other => return Err(format!("`{other}` is no reason to reject")),
        },
        "Redirect" => Instruction::Redirect(WebhookTarget {
            url: verb.text.clone(),
            method: verb.attribute("method").unwrap_or("POST").to_owned(),
        }),
        other => Instruction::Unknown(other.to_owned()),
    })
}

/// An address that is none stops the application.
fn stream(noun: &Element) -> Result<StreamInstruction, String> {
    let url = noun.attribute("url").unwrap_or_default();
    if !url.starts_with("wss://") && !url.starts_with("ws://") {
        return Err(format!("`{url}` is not the address of a WebSocket"));
    }
    let parameters = noun.children.iter().filter(|child| child.name == "Parameter");
    Ok(StreamInstruction {
        url: url.to_owned(),
        name: noun.attribute("name").unwrap_or_default().to_owned(),
        parameters: parameters
            .filter_map(|parameter| {
                let attribute = |name| parameter.attribute(name).map(str::to_owned);
                Some((attribute("name")?, attribute("value")?))
            })
            .collect(),
        status: callback(noun),
        ..StreamInstruction::default()
    })
}

/// Without a name everybody meets in `default`.
fn conference(noun: &Element) -> ConferenceInstruction {
    let wanted = noun.attribute("statusCallbackEvent").unwrap_or_default();
    let events = wanted.split([' ', ',']).filter_map(|event| match event {
        "join" => Some(ConferenceChange::Joined),
        "leave" => Some(ConferenceChange::Left),
        _ => None,
    });
    ConferenceInstruction {
        name: if noun.text.is_empty() {
            "default".to_owned()
        } else {
            noun.text.clone()
        },
        ends_on_exit: noun.attribute("endConferenceOnExit") == Some("true"),
        status: callback(noun),
        events: events.collect(),
    }
}

fn callback(noun: &Element) -> Option<WebhookTarget> {
    Some(WebhookTarget {
        url: noun.attribute("statusCallback")?.to_owned(),
        method: noun.attribute("statusCallbackMethod").unwrap_or("POST").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_documentation() {
        let stream = read(
            br#"<?xml version="1.0" encoding="UTF-8"?><Response><Connect><Stream url="wss://stream-listener.example.com/my-app"/></Connect><Hangup /></Response>"#,
        );
        let expected = StreamInstruction {
            url: "wss://stream-listener.example.com/my-app".to_owned(),
            ..StreamInstruction::default()
        };
        assert_eq!(stream, Ok(vec![Instruction::Stream(expected), Instruction::HangUp]));
        let conference = read(b"<Response><Dial><Conference>Room 5000</Conference></Dial></Response>");
        let expected = ConferenceInstruction {
            name: "Room 5000".to_owned(),
            ..ConferenceInstruction::default()
        };
        assert_eq!(conference, Ok(vec![Instruction::Conference(expected)]));
        assert_eq!(
            read(b"<Response><Reject /></Response>"),
            Ok(vec![Instruction::Reject { busy: false }])
        );
    }

    #[test]
    fn a_conference_tells_who_comes() {
        let document = br#"<Response><Say>One &amp; two</Say><Dial><Conference endConferenceOnExit="true"
            statusCallback="https://voice.example.com/r?a=1&amp;b=2" statusCallbackEvent="join">t-1</Conference></Dial></Response>"#;
        let expected = ConferenceInstruction {
            name: "t-1".to_owned(),
            ends_on_exit: true,
            status: Some(WebhookTarget::post("https://voice.example.com/r?a=1&b=2")),
            events: vec![ConferenceChange::Joined],
        };
        assert_eq!(
            read(document),
            Ok(vec![
                Instruction::Say("One & two".to_owned()),
                Instruction::Conference(expected)
            ])
        );
    }

    #[test]
    fn what_stops_an_application() {
        for document in [
            "<Response>",
            "<html/>",
            r#"<Response><Connect><Stream url="https://voice.example.com"/></Connect></Response>"#,
            r#"<Response><Reject reason="shy"/></Response>"#,
        ] {
            assert!(read(document.as_bytes()).is_err(), "{document}");
        }
        let response = |status, content_type: &str, body: &str| WebhookResponse {
            status,
            content_type: content_type.to_owned(),
            body: body.as_bytes().to_vec(),
        };
        assert_eq!(read_response(&response(204, "", "")), Ok(Vec::new()));
        assert!(read_response(&response(500, "text/xml", "<Response/>")).is_err());
        assert!(read_response(&response(200, "application/json", "{}")).is_err());
    }
}
