//! Plivo XML: <https://docs.plivo.com/docs/voice/xml/overview>.

use std::io;

use strowger_sdk::xml::{self, BytesText, Writer};
use strowger_sdk::{Direction, NOT_AVAILABLE, Refusal, RejectionReason, Response};

use crate::spec::AudioFormat;

/// Connects the call to the media socket. Nothing follows the stream, so that a call whose stream has ended is over
/// instead of silent.
pub(crate) fn stream(media_url: &str, format: AudioFormat, status_callback: &str) -> Response {
    let content_type = format!("{};rate={}", format.encoding(), format.sample_rate_hz());
    respond(|xml| {
        xml.create_element("Stream")
            .with_attribute(("bidirectional", "true"))
            .with_attribute(("keepCallAlive", "true"))
            .with_attribute(("contentType", content_type.as_str()))
            .with_attribute(("statusCallbackUrl", status_callback))
            .with_attribute(("statusCallbackMethod", "POST"))
            .write_text_content(BytesText::new(media_url))
            .map(|_| ())
    })
}

/// Joins a leg to a conference, whose end it is when the leg leaves. Who comes first waits alone; the attribute that
/// allows it is written because documentation and practice differ about what happens without it.
pub(crate) fn conference(name: &str, announcement: Option<&str>) -> Response {
    respond(|xml| {
        if let Some(announcement) = announcement.filter(|text| !text.trim().is_empty()) {
            let spoken: String = announcement.chars().filter(|char| !char.is_control()).collect();
            xml.create_element("Speak")
                .write_text_content(BytesText::new(&spoken))?;
        }
        xml.create_element("Conference")
            .with_attribute(("startConferenceOnEnter", "true"))
            .with_attribute(("endConferenceOnExit", "true"))
            .with_attribute(("stayAlone", "true"))
            .write_text_content(BytesText::new(name))
            .map(|_| ())
    })
}

pub(crate) fn hang_up() -> Response {
    respond(|xml| xml.create_element("Hangup").write_empty().map(|_| ()))
}

/// Nothing to do for a call.
pub(crate) fn nothing() -> Response {
    respond(|_| Ok(()))
}

/// Refuses an inbound call that has not been answered. A `<Hangup>` at the beginning does not answer it, so nobody is
/// billed; who reaches a number that works but has nobody to talk to right now is told so.
pub(crate) fn refuse(reason: RejectionReason) -> Response {
    let reject = |reason: &'static str| {
        respond(move |xml| {
            xml.create_element("Hangup")
                .with_attribute(("reason", reason))
                .write_empty()
                .map(|_| ())
        })
    };
    match reason.refusal() {
        Refusal::Busy => reject("busy"),
        Refusal::Rejected => reject("rejected"),
        Refusal::Spoken => respond(|xml| {
            xml.create_element("Speak")
                .write_text_content(BytesText::new(NOT_AVAILABLE))?;
            xml.create_element("Hangup").write_empty().map(|_| ())
        }),
    }
}

/// A call that we placed has been answered already; it is hung up.
pub(crate) fn refuse_call(direction: Direction, reason: RejectionReason) -> Response {
    match direction {
        Direction::Inbound => refuse(reason),
        Direction::Outbound => hang_up(),
    }
}

fn respond(elements: impl FnOnce(&mut Writer) -> io::Result<()>) -> Response {
    Response::xml(xml::document("Response", elements))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(response: &Response) -> &str {
        assert_eq!(
            (response.status, response.header("content-type")),
            (200, Some("application/xml"))
        );
        let text = std::str::from_utf8(&response.body).unwrap();
        text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").unwrap()
    }

    #[test]
    fn a_call_is_connected_to_the_media_socket() {
        let response = stream(
            "wss://g.example/ws/t?a=1&b",
            AudioFormat::Pcmu8000,
            "https://g.example/cb/\"<1>&",
        );
        assert_eq!(
            text(&response),
            "<Response><Stream bidirectional=\"true\" keepCallAlive=\"true\" contentType=\"audio/x-mulaw;rate=8000\" \
             statusCallbackUrl=\"https://g.example/cb/&quot;&lt;1&gt;&amp;\" statusCallbackMethod=\"POST\">\
             wss://g.example/ws/t?a=1&amp;b</Stream></Response>"
        );
        let wide = stream("wss://g.example/", AudioFormat::L16At16000, "https://g.example/");
        assert!(text(&wide).contains("contentType=\"audio/x-l16;rate=16000\""));
    }

    #[test]
    fn a_leg_joins_a_conference() {
        let room = "startConferenceOnEnter=\"true\" endConferenceOnExit=\"true\" stayAlone=\"true\"";
        assert_eq!(
            text(&conference("a\"/<>&", Some("A & B\u{7}"))),
            format!(
                "<Response><Speak>A &amp; B</Speak><Conference {room}>a&quot;/&lt;&gt;&amp;</Conference></Response>"
            )
        );
        for silent in [None, Some(" ")] {
            assert_eq!(
                text(&conference("a", silent)),
                format!("<Response><Conference {room}>a</Conference></Response>")
            );
        }
    }

    #[test]
    fn strangers_are_refused_without_a_word_and_without_being_answered() {
        for reason in [
            RejectionReason::UnknownNumber,
            RejectionReason::AccountMismatch,
            RejectionReason::Signature,
            RejectionReason::ProviderMismatch,
        ] {
            assert_eq!(
                text(&refuse(reason)),
                "<Response><Hangup reason=\"rejected\"/></Response>"
            );
        }
        assert_eq!(
            text(&refuse(RejectionReason::AtCapacity)),
            "<Response><Hangup reason=\"busy\"/></Response>"
        );
    }

    #[test]
    fn callers_of_a_number_that_works_are_told() {
        for reason in [
            RejectionReason::NoAgent,
            RejectionReason::Quota,
            RejectionReason::Unavailable,
        ] {
            let refusal = refuse(reason);
            assert!(text(&refusal).starts_with("<Response><Speak>This number"), "{reason:?}");
            assert!(text(&refusal).ends_with("</Speak><Hangup/></Response>"), "{reason:?}");
        }
    }

    #[test]
    fn calls_of_ours_are_hung_up() {
        let refusal = refuse_call(Direction::Outbound, RejectionReason::AtCapacity);
        assert_eq!(text(&refusal), "<Response><Hangup/></Response>");
        assert_eq!(text(&nothing()), "<Response></Response>");
    }
}
