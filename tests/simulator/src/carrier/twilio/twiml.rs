//! TwiML: the documents that say what to do with a call.

use std::time::Duration;

use super::super::{
    ConferenceChange, ConferenceInstruction, Instruction, StreamInstruction, WebhookResponse, WebhookTarget,
};
use crate::markup::{self, Element};

/// Reads the response of a webhook that asked for instructions.
pub(super) fn read_response(response: &WebhookResponse) -> Result<Vec<Instruction>, String> {
    if !(200..300).contains(&response.status) {
        return Err(format!("11200: the gateway answered {}", response.status));
    }
    if response.body.is_empty() {
        return Ok(Vec::new());
    }
    let media_type = response.content_type.split(';').next().unwrap_or_default().trim();
    if !matches!(media_type, "application/xml" | "text/xml" | "text/html") {
        return Err(format!("12300: `{media_type}` is not the content type of a document"));
    }
    read(&response.body)
}

/// Reads a document.
pub(super) fn read(document: &[u8]) -> Result<Vec<Instruction>, String> {
    let root = markup::parse(document).map_err(|error| format!("12100: {error}"))?;
    if root.name != "Response" {
        return Err(format!("12102: the document is a `{}`", root.name));
    }
    Ok(root.children.iter().map(instruction).collect())
}

fn instruction(verb: &Element) -> Instruction {
    match verb.name.as_str() {
        "Connect" => match verb.child("Stream") {
            Some(stream) => Instruction::Stream(read_stream(stream)),
            None => Instruction::Unknown("Connect without a Stream".to_owned()),
        },
        "Pause" => {
            let seconds = verb
                .attribute("length")
                .and_then(|length| length.parse().ok())
                .unwrap_or(1);
            Instruction::Pause(Duration::from_secs(seconds))
        }
        "Say" => Instruction::Say(verb.text.clone()),
        "Play" => Instruction::Play(verb.text.clone()),
        "Hangup" => Instruction::HangUp,
        "Reject" => Instruction::Reject {
            busy: verb.attribute("reason") == Some("busy"),
        },
        "Redirect" => Instruction::Redirect(WebhookTarget {
            url: verb.text.clone(),
            method: verb.attribute("method").unwrap_or("POST").to_owned(),
        }),
        "Dial" => match verb.child("Conference") {
            Some(conference) => Instruction::Conference(read_conference(conference)),
            None => Instruction::Unknown("Dial without a Conference".to_owned()),
        },
        other => Instruction::Unknown(other.to_owned()),
    }
}

fn read_conference(conference: &Element) -> ConferenceInstruction {
    let events = conference.attribute("statusCallbackEvent").unwrap_or_default();
    ConferenceInstruction {
        name: conference.text.clone(),
        ends_on_exit: conference.attribute("endConferenceOnExit") == Some("true"),
        status: conference.attribute("statusCallback").map(|url| WebhookTarget {
            url: url.to_owned(),
            method: conference
                .attribute("statusCallbackMethod")
                .unwrap_or("POST")
                .to_owned(),
        }),
        events: events
            .split_whitespace()
            .filter_map(|event| match event {
                "join" => Some(ConferenceChange::Joined),
                "leave" => Some(ConferenceChange::Left),
                _ => None,
            })
            .collect(),
    }
}

fn read_stream(stream: &Element) -> StreamInstruction {
    let attribute = |name| stream.attribute(name).unwrap_or_default().to_owned();
    StreamInstruction {
        url: attribute("url"),
        name: attribute("name"),
        parameters: stream
            .children
            .iter()
            .filter(|child| child.name == "Parameter")
            .filter_map(|child| {
                Some((
                    child.attribute("name")?.to_owned(),
                    child.attribute("value")?.to_owned(),
                ))
            })
            .collect(),
        status: stream.attribute("statusCallback").map(|url| WebhookTarget {
            url: url.to_owned(),
            method: stream.attribute("statusCallbackMethod").unwrap_or("POST").to_owned(),
        }),
        ..StreamInstruction::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_answer_of_a_voice_agent() {
        let document = br#"<?xml version="1.0" encoding="UTF-8"?>
            <Response>
              <Connect><Stream url="wss://voice.example.com/ws/1" statusCallback="https://voice.example.com/s?a=1&amp;b=2">
                <Parameter name="from_number" value="+1 &quot;x&quot;"/>
              </Stream></Connect>
              <Pause length="40"/>
            </Response>"#;
        let instructions = read(document).unwrap();
        let [Instruction::Stream(stream), Instruction::Pause(pause)] = instructions.as_slice() else {
            panic!("read {instructions:?}")
        };
        assert_eq!(stream.url, "wss://voice.example.com/ws/1");
        assert_eq!(
            stream.status,
            Some(WebhookTarget::post("https://voice.example.com/s?a=1&b=2"))
        );
        assert_eq!(stream.parameters, [("from_number".to_owned(), "+1 \"x\"".to_owned())]);
        assert_eq!(*pause, Duration::from_secs(40));
    }

    #[test]
    fn refuses_what_the_carrier_would_refuse() {
        let response = |status, content_type: &str, body: &str| WebhookResponse {
            status,
            content_type: content_type.to_owned(),
            body: body.as_bytes().to_vec(),
        };
        assert!(
            read_response(&response(200, "text/xml; charset=utf-8", "<Response/>"))
                .unwrap()
                .is_empty()
        );
        for bad in [
            response(500, "text/xml", "<Response/>"),
            response(200, "application/json", "<Response/>"),
            response(200, "text/xml", "<Response>"),
            response(200, "text/xml", "<html/>"),
        ] {
            assert!(read_response(&bad).is_err(), "accepted {bad:?}");
        }
    }

    #[test]
    fn reads_rejections_and_conferences() {
        let document = br#"<Response><Reject reason="busy"/><Dial><Conference endConferenceOnExit="true">c</Conference></Dial></Response>"#;
        assert_eq!(
            read(document).unwrap(),
            [
                Instruction::Reject { busy: true },
                Instruction::Conference(ConferenceInstruction {
                    name: "c".into(),
                    ends_on_exit: true,
                    ..ConferenceInstruction::default()
                })
            ]
        );
    }
}
