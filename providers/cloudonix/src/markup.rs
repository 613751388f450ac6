//! CXML: <https://developers.cloudonix.com/Documentation/voiceApplication/Verbs>.
//!
//! The same documents are answers to webhooks and travel inline with requests to the API.

use std::io;

use strowger_sdk::xml::{self, BytesText, Writer};
use strowger_sdk::{Direction, NOT_AVAILABLE, Refusal, RejectionReason};

/// After the media socket has closed, the session lives on for this long, so that a request to the REST API still finds it.
const PAUSE_S: &str = "40";

/// Connects the call to the media socket. The document goes on only when the stream has ended.
pub(crate) fn connect_stream(media_url: &str) -> String {
    document(|xml| {
        xml.create_element("Connect").write_inner_content(|xml| {
            xml.create_element("Stream")
                .with_attribute(("url", media_url))
                .write_empty()?;
            Ok(())
        })?;
        xml.create_element("Pause")
            .with_attribute(("length", PAUSE_S))
            .write_empty()?;
        Ok(())
    })
}

/// What the second leg of a transfer does once it is answered: hears the announcement, then waits in the conference, whose
/// arrival is told to `status_callback`.
pub(crate) fn wait_in_conference(name: &str, announcement: Option<&str>, status_callback: &str) -> String {
    document(|xml| {
        if let Some(words) = announcement {
            xml.create_element("Say").write_text_content(BytesText::new(words))?;
        }
        dial_conference(
            xml,
            name,
            &[
                ("statusCallback", status_callback),
                ("statusCallbackEvent", "join"),
                ("statusCallbackMethod", "POST"),
            ],
        )
    })
}

/// What the caller does when the second leg is there.
pub(crate) fn join_conference(name: &str) -> String {
    document(|xml| dial_conference(xml, name, &[]))
}

/// Whoever leaves ends the conference, and with it the other's call.
fn dial_conference(xml: &mut Writer, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
    xml.create_element("Dial").write_inner_content(|xml| {
        xml.create_element("Conference")
            .with_attribute(("endConferenceOnExit", "true"))
            .with_attribute(("beep", "false"))
            .with_attribute(("holdMusic", "false"))
            .with_attributes(attributes.iter().copied())
            .write_text_content(BytesText::new(name))?;
        Ok(())
    })?;
    xml.create_element("Hangup").write_empty()?;
    Ok(())
}

/// Nothing to do for a call.
pub(crate) fn nothing() -> String {
    document(|_| Ok(()))
}

pub(crate) fn hang_up() -> String {
    document(|xml| xml.create_element("Hangup").write_empty().map(|_| ()))
}

/// Refuses an inbound call that has not been answered. Strangers are rejected without a word; who reaches a number that
/// works but has nobody to talk to right now is told so.
pub(crate) fn refuse(reason: RejectionReason) -> String {
    let reject = |reason: &str| {
        document(|xml| {
            xml.create_element("Reject")
                .with_attribute(("reason", reason))
                .write_empty()
                .map(|_| ())
        })
    };
    match reason.refusal() {
        Refusal::Busy => reject("busy"),
        Refusal::Rejected => reject("rejected"),
        Refusal::Spoken => document(|xml| {
            xml.create_element("Say")
                .write_text_content(BytesText::new(NOT_AVAILABLE))?;
            xml.create_element("Hangup").write_empty()?;
            Ok(())
        }),
    }
}

/// `<Reject>` is for calls that come in; one that we placed is hung up.
pub(crate) fn refuse_call(direction: Direction, reason: RejectionReason) -> String {
    match direction {
        Direction::Inbound => refuse(reason),
        Direction::Outbound => hang_up(),
    }
}

fn document(verbs: impl FnOnce(&mut Writer) -> io::Result<()>) -> String {
    xml::document("Response", verbs)
}
