//! Plivo XML: the documents that say what to do with a call.

use std::time::Duration;

use super::super::{ConferenceChange, ConferenceInstruction, Instruction, StreamInstruction, WebhookResponse};
use crate::carrier::parameters::address;
use crate::markup::{self, Element};

/// What a stream may carry. There are 24 kHz as well, which nobody here plays.
const CONTENT_TYPES: [&str; 3] = [
    "audio/x-mulaw;rate=8000",
    "audio/x-l16;rate=8000",
    "audio/x-l16;rate=16000",
];
const EXTRA_HEADERS_BYTES_MAX: usize = 512;

/// Reads the response of a webhook that asked for instructions.
pub(super) fn read_response(response: &WebhookResponse) -> Result<Vec<Instruction>, String> {
    if !(200..300).contains(&response.status) {
        return Err(format!(
            "7011 Error Reaching Answer URL: the gateway answered {}",
            response.status
        ));
    }
    let media_type = response.content_type.split(';').next().unwrap_or_default().trim();
    if !matches!(media_type, "application/xml" | "text/xml") {
        return Err(invalid(&format!(
            "`{media_type}` is not the content type of a document"
        )));
    }
    read(&response.body)
}

fn invalid(reason: &str) -> String {
    format!("8011 Invalid Answer XML: {reason}")
}

fn read(document: &[u8]) -> Result<Vec<Instruction>, String> {
    let root = markup::parse(document).map_err(|error| invalid(&error.to_string()))?;
    if root.name != "Response" {
        return Err(invalid(&format!("the document is a `{}`", root.name)));
    }
    root.children.iter().map(instruction).collect()
}

fn instruction(element: &Element) -> Result<Instruction, String> {
    Ok(match element.name.as_str() {
        "Stream" => stream(element)?,
        "Speak" => Instruction::Say(element.text.clone()),
        "Play" => Instruction::Play(element.text.clone()),
        "Wait" => {
            let seconds = element.attribute("length").and_then(|length| length.parse().ok());
            Instruction::Pause(Duration::from_secs(seconds.unwrap_or(1)))
        }
        "Hangup" => match element.attribute("reason") {
            None => Instruction::HangUp,
            Some("busy") => Instruction::Reject { busy: true },
            Some("rejected") => Instruction::Reject { busy: false },
            Some(other) => return Err(invalid(&format!("a call is not hung up for `{other}`"))),
        },
        "Redirect" => {
            let target = address(&element.text, element.attribute("method"));
            Instruction::Redirect(target.ok_or_else(|| invalid("an empty Redirect"))?)
        }
        "Conference" => Instruction::Conference(conference(element)),
        "Dial" | "GetDigits" | "GetInput" | "Record" | "Message" | "DTMF" | "PreAnswer" | "MultiPartyCall" => {
            Instruction::Unknown(element.name.clone())
        }
        other => return Err(invalid(&format!("`{other}` is not an element"))),
    })
}

fn stream(element: &Element) -> Result<Instruction, String> {
    let is = |name| element.attribute(name) == Some("true");
    // Nobody would hear the gateway, or nothing would keep the call alive while the stream runs.
    if !is("bidirectional") || !is("keepCallAlive") {
        return Ok(Instruction::Unknown(
            "a Stream without conversation: bidirectional and keepCallAlive must be true".to_owned(),
        ));
    }
    if element.text.is_empty() {
        return Err(invalid("a Stream without an address"));
    }
    let content_type = element.attribute("contentType").unwrap_or_default();
    if !content_type.is_empty() && !CONTENT_TYPES.contains(&content_type) {
        return Err(invalid(&format!("a stream cannot carry `{content_type}`")));
    }
    let headers = element.attribute("extraHeaders").unwrap_or_default();
    if headers.len() > EXTRA_HEADERS_BYTES_MAX {
        return Err(invalid("more extraHeaders than a stream takes"));
    }
    let parameters = headers.split(',').filter_map(|pair| pair.split_once('='));
    let status = element.attribute("statusCallbackUrl").unwrap_or_default();
    Ok(Instruction::Stream(StreamInstruction {
        url: element.text.clone(),
        parameters: parameters
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        status: address(status, element.attribute("statusCallbackMethod")),
        content_type: content_type.to_owned(),
        ..StreamInstruction::default()
    }))
}

fn conference(element: &Element) -> ConferenceInstruction {
    let status = element.attribute("callbackUrl").unwrap_or_default();
    ConferenceInstruction {
        name: element.text.clone(),
        ends_on_exit: element.attribute("endConferenceOnExit") == Some("true"),
        status: address(status, element.attribute("callbackMethod")),
        events: vec![ConferenceChange::Joined, ConferenceChange::Left],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::WebhookTarget;

    #[test]
    fn the_answer_of_a_voice_agent_is_read() {
        let document = br#"<Response><Stream bidirectional="true" keepCallAlive="true"
            contentType="audio/x-l16;rate=16000" extraHeaders="a=1,b=2"
            statusCallbackUrl="https://voice.example.com/s?a=1&amp;b=2">
            wss://voice.example.com/ws/1 </Stream></Response>"#;
        let [Instruction::Stream(stream)] = &read(document).unwrap()[..] else {
            panic!("not a stream")
        };
        assert_eq!(stream.url, "wss://voice.example.com/ws/1");
        assert_eq!(stream.content_type, "audio/x-l16;rate=16000");
        assert_eq!(
            stream.status,
            Some(WebhookTarget::post("https://voice.example.com/s?a=1&b=2"))
        );
        assert_eq!(
            stream.parameters,
            [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]
        );
        // What only listens, or lets the call end at once, is no conversation.
        for lame in [
            r#"<Response><Stream keepCallAlive="true">wss://a.example/</Stream></Response>"#,
            r#"<Response><Stream bidirectional="true">wss://a.example/</Stream></Response>"#,
        ] {
            assert!(matches!(&read(lame.as_bytes()).unwrap()[..], [Instruction::Unknown(_)]));
        }
    }

    #[test]
    fn refusals_waits_and_conferences_are_read() {
        let document = br#"<Response><Speak>Hello</Speak><Wait length="3"/><Wait/>
            <Conference endConferenceOnExit="true" callbackUrl="https://a.example/c">room</Conference>
            <Redirect>https://a.example/next</Redirect><Hangup reason="busy"/><Hangup reason="rejected"/><Hangup/></Response>"#;
        assert_eq!(
            read(document).unwrap(),
            [
                Instruction::Say("Hello".into()),
                Instruction::Pause(Duration::from_secs(3)),
                Instruction::Pause(Duration::from_secs(1)),
                Instruction::Conference(ConferenceInstruction {
                    name: "room".into(),
                    ends_on_exit: true,
                    status: Some(WebhookTarget::post("https://a.example/c")),
                    events: vec![ConferenceChange::Joined, ConferenceChange::Left],
                }),
                Instruction::Redirect(WebhookTarget::post("https://a.example/next")),
                Instruction::Reject { busy: true },
                Instruction::Reject { busy: false },
                Instruction::HangUp,
            ]
        );
    }

    #[test]
    fn what_plivo_would_refuse_is_refused() {
        let response = |status, content_type: &str, body: &str| WebhookResponse {
            status,
            content_type: content_type.to_owned(),
            body: body.as_bytes().to_vec(),
        };
        let empty = response(200, "text/xml; charset=utf-8", "<Response/>");
        assert_eq!(read_response(&empty).unwrap(), []);
        for bad in [
            response(403, "text/xml", "<Response/>"),
            response(200, "application/json", "{}"),
            response(200, "text/xml", ""),
            response(200, "text/xml", "<Response>"),
            response(200, "text/xml", "<html/>"),
            response(200, "text/xml", "<Response><Reject/></Response>"),
            response(200, "text/xml", "<Response><Hangup reason=\"tired\"/></Response>"),
            response(200, "text/xml", "<Response><Redirect/></Response>"),
            response(
                200,
                "text/xml",
                r#"<Response><Stream bidirectional="true" keepCallAlive="true"/></Response>"#,
            ),
            response(
                200,
                "text/xml",
                r#"<Response><Stream bidirectional="true" keepCallAlive="true" contentType="audio/x-mulaw;rate=16000">wss://a.example/</Stream></Response>"#,
            ),
        ] {
            assert!(read_response(&bad).is_err(), "accepted {bad:?}");
        }
    }
}
