//! TwiML: <https://www.twilio.com/docs/voice/twiml>.

use std::io;

use strowger_sdk::xml::{self, BytesText, Writer};
use strowger_sdk::{Direction, NOT_AVAILABLE, Refusal, RejectionReason, Response};

/// After the media socket has closed, the call lives on for this long, so that a request to the REST API still finds it.
const PAUSE_S: &str = "40";

/// Connects the call to the media socket. Twilio refuses a URL with a query string, so the call's identifier travels as
/// a parameter and comes back when the stream starts.
pub(crate) fn connect_stream(media_url: &str, status_callback: &str, call_id: &str) -> Response {
    respond(|xml| {
        xml.create_element("Connect").write_inner_content(|xml| {
            xml.create_element("Stream")
                .with_attribute(("url", media_url))
                .with_attribute(("statusCallback", status_callback))
                .with_attribute(("statusCallbackMethod", "POST"))
                .write_inner_content(|xml| {
                    xml.create_element("Parameter")
                        .with_attribute(("name", "call"))
                        .with_attribute(("value", call_id))
                        .write_empty()?;
                    Ok(())
                })?;
            Ok(())
        })?;
        xml.create_element("Pause")
            .with_attribute(("length", PAUSE_S))
            .write_empty()?;
        Ok(())
    })
}

/// Lets a leg wait in a conference, or join whoever waits there. Either's end is the end of both: so the caller's media
/// socket is not missed. Without music: the caller comes at once.
pub(crate) fn join_conference(name: &str, announcement: Option<&str>) -> String {
    xml::document("Response", |xml| {
        if let Some(text) = announcement {
            xml.create_element("Say").write_text_content(BytesText::new(text))?;
        }
        xml.create_element("Dial").write_inner_content(|xml| {
            xml.create_element("Conference")
                .with_attribute(("beep", "false"))
                .with_attribute(("waitUrl", ""))
                .with_attribute(("endConferenceOnExit", "true"))
                .write_text_content(BytesText::new(name))?;
            Ok(())
        })?;
        Ok(())
    })
}

/// Nothing to do for a call.
pub(crate) fn nothing() -> Response {
    respond(|_| Ok(()))
}

/// Refuses an inbound call that has not been answered. `<Reject>` is not billed; who reaches a number that works but
/// has nobody to talk to right now is told so.
pub(crate) fn refuse(reason: RejectionReason) -> Response {
    respond(|xml| {
        match reason.refusal() {
            Refusal::Busy => xml
                .create_element("Reject")
                .with_attribute(("reason", "busy"))
                .write_empty()?,
            Refusal::Rejected => xml.create_element("Reject").write_empty()?,
            Refusal::Spoken => {
                xml.create_element("Say")
                    .write_text_content(BytesText::new(NOT_AVAILABLE))?;
                xml.create_element("Hangup").write_empty()?
            }
        };
        Ok(())
    })
}

/// `<Reject>` is for calls that come in; one that we placed is hung up.
pub(crate) fn refuse_call(direction: Direction, reason: RejectionReason) -> Response {
    match direction {
        Direction::Inbound => refuse(reason),
        Direction::Outbound => respond(|xml| xml.create_element("Hangup").write_empty().map(|_| ())),
    }
}

fn respond(verbs: impl FnOnce(&mut Writer) -> io::Result<()>) -> Response {
    Response::xml(xml::document("Response", verbs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(response: &Response) -> &str {
        assert_eq!(
            (response.status, response.header("content-type")),
            (200, Some("application/xml"))
        );
        std::str::from_utf8(&response.body).unwrap()
    }

    #[test]
    fn a_call_is_connected_to_the_media_socket() {
        let response = connect_stream("wss://g.example/ws/t0k-en", "https://g.example/cb?a=1&b=\"2\"", "id<1>");
        assert_eq!(
            text(&response),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Connect>\
             <Stream url=\"wss://g.example/ws/t0k-en\" \
             statusCallback=\"https://g.example/cb?a=1&amp;b=&quot;2&quot;\" statusCallbackMethod=\"POST\">\
             <Parameter name=\"call\" value=\"id&lt;1&gt;\"/></Stream></Connect><Pause length=\"40\"/></Response>"
        );
    }

    #[test]
    fn strangers_are_rejected_without_a_word() {
        for reason in [
            RejectionReason::UnknownNumber,
            RejectionReason::AccountMismatch,
            RejectionReason::Signature,
            RejectionReason::ProviderMismatch,
        ] {
            assert!(
                text(&refuse(reason)).ends_with("<Response><Reject/></Response>"),
                "{reason:?}"
            );
        }
        assert!(text(&refuse(RejectionReason::AtCapacity)).ends_with("<Response><Reject reason=\"busy\"/></Response>"));
    }

    #[test]
    fn callers_of_a_number_that_works_are_told() {
        for reason in [
            RejectionReason::NoAgent,
            RejectionReason::Quota,
            RejectionReason::Unavailable,
        ] {
            let refusal = refuse(reason);
            assert!(text(&refusal).contains("<Say>This number"), "{reason:?}");
            assert!(text(&refusal).ends_with("</Say><Hangup/></Response>"), "{reason:?}");
        }
    }

    #[test]
    fn calls_of_ours_are_hung_up() {
        let refusal = refuse_call(Direction::Outbound, RejectionReason::AtCapacity);
        assert!(text(&refusal).ends_with("<Response><Hangup/></Response>"));
        assert_eq!(
            text(&nothing()),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>"
        );
    }
}
