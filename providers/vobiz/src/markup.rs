//! Vobiz XML: <https://docs.vobiz.ai/xml/overview>.

use std::io;

use strowger_sdk::xml::{self, BytesText, Writer};
use strowger_sdk::{Direction, NOT_AVAILABLE, Refusal, RejectionReason, Response};

/// Connects the call to the media socket. Nothing follows the stream, so that a call whose stream has ended is over
/// instead of silent.
pub(crate) fn stream(media_url: &str) -> Response {
    respond(|xml| {
        xml.create_element("Stream")
            .with_attribute(("bidirectional", "true"))
            .with_attribute(("keepCallAlive", "true"))
            .with_attribute(("contentType", "audio/x-mulaw;rate=8000"))
            .write_text_content(BytesText::new(media_url))
            .map(|_| ())
    })
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
                .with_attribute(("voice", "WOMAN"))
                .write_text_content(BytesText::new(NOT_AVAILABLE))?;
            xml.create_element("Hangup").write_empty().map(|_| ())
        }),
    }
}

/// A call that we placed has been answered already; it is hung up.
pub(crate) fn refuse_call(direction: Direction, reason: RejectionReason) -> Response {
    match direction {
        Direction::Inbound => refuse(reason),
        Direction::Outbound => respond(|xml| xml.create_element("Hangup").write_empty().map(|_| ())),
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
        assert_eq!(
            text(&stream("wss://g.example/ws/\"t\"?a=1&b")),
            "<Response><Stream bidirectional=\"true\" keepCallAlive=\"true\" contentType=\"audio/x-mulaw;rate=8000\">\
             wss://g.example/ws/&quot;t&quot;?a=1&amp;b</Stream></Response>"
        );
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
            assert!(
                text(&refusal).starts_with("<Response><Speak voice=\"WOMAN\">This number"),
                "{reason:?}"
            );
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
