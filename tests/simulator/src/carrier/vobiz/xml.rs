//! Vobiz XML: the documents that say what to do with a call.

use std::time::Duration;

use super::super::{ConferenceChange, ConferenceInstruction, Instruction, StreamInstruction, WebhookResponse};
use crate::carrier::parameters::address;
use crate::markup::{self, Element};

/// What a stream may carry.
const CONTENT_TYPES: [&str; 3] = [
    "audio/x-l16;rate=8000",
    "audio/x-l16;rate=16000",
    "audio/x-mulaw;rate=8000",
];

/// Reads the response of a webhook that asked for instructions.
pub(super) fn read_response(response: &WebhookResponse) -> Result<Vec<Instruction>, String> {
    if response.status != 200 {
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
    let root = markup::parse(&response.body).map_err(|error| invalid(&error.to_string()))?;
    if root.name != "Response" {
        return Err(invalid(&format!("the document is a `{}`", root.name)));
    }
    root.children.iter().map(instruction).collect()
}

fn invalid(reason: &str) -> String {
    format!("8011 Invalid Answer XML: {reason}")
}

fn instruction(element: &Element) -> Result<Instruction, String> {
    let instruction = match element.name.as_str() {
        "Stream" => return stream(element),
        "Speak" => Instruction::Say(element.text.clone()),
        "Play" => Instruction::Play(element.text.clone()),
        "Wait" => {
            let seconds = element.attribute("length").and_then(|length| length.parse().ok());
            Instruction::Pause(Duration::from_secs(seconds.unwrap_or(1)))
        }
        "Hangup" => match element.attribute("reason") {
            Some(reason @ ("busy" | "rejected")) => Instruction::Reject { busy: reason == "busy" },
            _ => Instruction::HangUp,
        },
        "Redirect" => {
            let method = element.attribute("method");
            let target = address(&element.text, method).ok_or_else(|| invalid("an empty Redirect"))?;
            Instruction::Redirect(target)
        }
        "Conference" => Instruction::Conference(ConferenceInstruction {
            name: element.text.clone(),
            ends_on_exit: element.attribute("endConferenceOnExit") == Some("true"),
            status: address(
                element.attribute("callbackUrl").unwrap_or_default(),
                element.attribute("callbackMethod"),
            ),
            events: vec![ConferenceChange::Joined, ConferenceChange::Left],
        }),
        "Dial" | "Gather" | "Record" | "DTMF" | "PreAnswer" => Instruction::Unknown(element.name.clone()),
        other => return Err(invalid(&format!("`{other}` is not an element"))),
    };
    Ok(instruction)
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
    // Linear audio unless something else is asked for.
    let content_type = element.attribute("contentType").unwrap_or(CONTENT_TYPES[0]);
    if !CONTENT_TYPES.contains(&content_type) {
        return Err(invalid(&format!("a stream cannot carry `{content_type}`")));
    }
    let headers = element.attribute("extraHeaders").unwrap_or_default();
    let parameters = headers.split(',').filter_map(|pair| pair.split_once('='));
    Ok(Instruction::Stream(StreamInstruction {
        url: element.text.clone(),
        parameters: parameters
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        status: address(
            element.attribute("statusCallbackUrl").unwrap_or_default(),
            element.attribute("statusCallbackMethod"),
        ),
        content_type: content_type.to_owned(),
        ..StreamInstruction::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::WebhookTarget;

    fn response(status: u16, content_type: &str, body: &str) -> WebhookResponse {
        WebhookResponse {
            status,
            content_type: content_type.to_owned(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn read(body: &str) -> Result<Vec<Instruction>, String> {
        read_response(&response(200, "application/xml", body))
    }

    #[test]
    fn the_answer_of_a_voice_agent_is_read() {
        let document = r#"<Response><Stream bidirectional="true" keepCallAlive="true"
            contentType="audio/x-mulaw;rate=8000">wss://voice.example.com/ws/1</Stream></Response>"#;
        let [Instruction::Stream(stream)] = &read(document).unwrap()[..] else {
            panic!("not a stream")
        };
        assert_eq!(
            (stream.url.as_str(), stream.content_type.as_str()),
            ("wss://voice.example.com/ws/1", "audio/x-mulaw;rate=8000")
        );
        let linear =
            r#"<Response><Stream bidirectional="true" keepCallAlive="true">wss://a.example/</Stream></Response>"#;
        let [Instruction::Stream(stream)] = &read(linear).unwrap()[..] else {
            panic!("not a stream")
        };
        assert_eq!(stream.content_type, "audio/x-l16;rate=8000");
        let lame = "<Response><Stream>wss://a.example/</Stream></Response>";
        assert!(matches!(&read(lame).unwrap()[..], [Instruction::Unknown(_)]));
    }

    #[test]
    fn refusals_and_other_elements_are_read() {
        let document = r#"<Response><Speak voice="WOMAN">Hello</Speak><Wait length="2"/><Gather/><Hangup reason="busy"/>
            <Hangup reason="rejected"/><Hangup/><Redirect method="GET">https://a.example/n</Redirect></Response>"#;
        assert_eq!(
            read(document).unwrap(),
            [
                Instruction::Say("Hello".into()),
                Instruction::Pause(Duration::from_secs(2)),
                Instruction::Unknown("Gather".into()),
                Instruction::Reject { busy: true },
                Instruction::Reject { busy: false },
                Instruction::HangUp,
                Instruction::Redirect(WebhookTarget::get("https://a.example/n")),
            ]
        );
    }

    #[test]
    fn what_is_no_document_is_refused() {
        assert_eq!(read("<Response/>").unwrap(), []);
        for bad in [
            response(201, "application/xml", "<Response/>"),
            response(403, "application/xml", "<Response/>"),
            response(200, "application/json", "<Response/>"),
            response(200, "", ""),
            response(200, "text/xml", "<Response>"),
            response(200, "text/xml", "<html/>"),
            response(200, "text/xml", "<Response><Reject/></Response>"),
            response(200, "text/xml", "<Response><GetDigits/></Response>"),
            response(
                200,
                "text/xml",
                r#"<Response><Stream bidirectional="true" keepCallAlive="true" contentType="audio/x-l16;rate=24000">wss://a.example/</Stream></Response>"#,
            ),
        ] {
            assert!(read_response(&bad).is_err(), "accepted {bad:?}");
        }
    }
}
