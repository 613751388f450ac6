//! The XML that answers a call, or refuses it.

use strowger_sdk::xml;
use strowger_sdk::{RejectionReason, Response};

/// Connects the call to the media socket.
pub(crate) fn stream(url: &str) -> Response {
    Response::xml(xml::document("Response", |xml| {
        xml.create_element("Stream")
            .with_attribute(("url", url))
            .write_empty()?;
        Ok(())
    }))
}

/// Strangers learn nothing but whether to try again.
pub(crate) fn reject(reason: RejectionReason) -> Response {
    let word = match reason {
        RejectionReason::UnknownNumber => "unallocated",
        RejectionReason::AtCapacity => "busy",
        RejectionReason::Quota | RejectionReason::Unavailable => "unavailable",
        RejectionReason::NoAgent
        | RejectionReason::AccountMismatch
        | RejectionReason::Signature
        | RejectionReason::ProviderMismatch => "rejected",
    };
    Response::xml(xml::document("Response", |xml| {
        xml.create_element("Reject")
            .with_attribute(("reason", word))
            .write_empty()?;
        Ok(())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_cannot_leave_its_attribute() {
        let response = stream("wss://a/?x=\"><Reject/>&y='1'");
        assert_eq!(
            String::from_utf8(response.body).unwrap(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>\
             <Stream url=\"wss://a/?x=&quot;&gt;&lt;Reject/&gt;&amp;y=&apos;1&apos;\"/></Response>"
        );
    }
}
