//! Call control objects: <https://developer.vonage.com/en/voice/voice-api/ncco-reference>.
//!
//! A list of actions; the call ends when the list does. There is no action that hangs up, and a list with an action that
//! Vonage does not know is not carried out at all.

use serde::Serialize;
use strowger_sdk::{Direction, NOT_AVAILABLE, RejectionReason, Response};

/// The content type of the media socket: signed 16-bit samples, little endian whatever RFC 3551 says of L16.
pub(crate) const CONTENT_TYPE: &str = "audio/l16;rate=16000";

/// Spoken to whoever called.
const BUSY: &str = "All lines are busy right now. Please try again later.";
/// Spoken to whom we called.
const NOT_CONNECTED: &str = "We are sorry, this call cannot be connected. Goodbye.";

#[derive(Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
enum Action<'a> {
    Connect {
        /// Where Vonage tells what becomes of the socket's own leg; without it that would go to the application's.
        #[serde(rename = "eventUrl")]
        event_url: [&'a str; 1],
        endpoint: [Endpoint<'a>; 1],
    },
    Talk {
        text: &'a str,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Endpoint<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    uri: &'a str,
    content_type: &'static str,
    headers: Headers<'a>,
}

/// Come back in the first text message of the socket. At most 512 bytes.
#[derive(Serialize)]
struct Headers<'a> {
    call: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_uuid: Option<&'a str>,
}

/// Connects the call to the media socket.
pub(crate) fn connect_socket(media_url: &str, event_url: &str, call_id: &str, call_uuid: Option<&str>) -> Response {
    Response::json(&[Action::Connect {
        event_url: [event_url],
        endpoint: [Endpoint {
            kind: "websocket",
            uri: media_url,
            content_type: CONTENT_TYPE,
            headers: Headers {
                call: call_id,
                call_uuid,
            },
        }],
    }])
}

/// Refuses an inbound call.
pub(crate) fn refuse(reason: RejectionReason) -> Response {
    talk(match reason {
        RejectionReason::AtCapacity => BUSY,
        RejectionReason::UnknownNumber
        | RejectionReason::NoAgent
        | RejectionReason::AccountMismatch
        | RejectionReason::Signature
        | RejectionReason::ProviderMismatch
        | RejectionReason::Quota
        | RejectionReason::Unavailable => NOT_AVAILABLE,
    })
}

pub(crate) fn refuse_call(direction: Direction, reason: RejectionReason) -> Response {
    match direction {
        Direction::Inbound => refuse(reason),
        Direction::Outbound => talk(NOT_CONNECTED),
    }
}

fn talk(text: &str) -> Response {
    Response::json(&[Action::Talk { text }])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn actions(response: &Response) -> Value {
        assert_eq!(
            (response.status, response.header("content-type")),
            (200, Some("application/json"))
        );
        response.read_json().unwrap()
    }

    #[test]
    fn a_call_is_connected_to_the_media_socket() {
        let response = connect_socket(
            "wss://g.example/ws/t0k-en",
            "https://g.example/events/1",
            "1",
            Some("a\"b<&>"),
        );
        assert_eq!(
            std::str::from_utf8(&response.body).unwrap(),
            "[{\"action\":\"connect\",\"eventUrl\":[\"https://g.example/events/1\"],\"endpoint\":[{\"type\":\"websocket\",\
             \"uri\":\"wss://g.example/ws/t0k-en\",\"content-type\":\"audio/l16;rate=16000\",\
             \"headers\":{\"call\":\"1\",\"call_uuid\":\"a\\\"b<&>\"}}]}]"
        );
        let unnamed = actions(&connect_socket("wss://g", "https://g", "1", None));
        assert_eq!(unnamed[0]["endpoint"][0]["headers"], json!({ "call": "1" }));
    }

    #[test]
    fn the_longest_identifiers_fit_into_the_headers() {
        let headers = Headers {
            call: &"1".repeat(36),
            call_uuid: Some(&"a".repeat(255)),
        };
        assert!(serde_json::to_vec(&headers).unwrap().len() <= 512);
    }

    #[test]
    fn every_refusal_is_spoken_and_nothing_else() {
        for reason in [
            RejectionReason::UnknownNumber,
            RejectionReason::NoAgent,
            RejectionReason::AccountMismatch,
            RejectionReason::Signature,
            RejectionReason::ProviderMismatch,
            RejectionReason::AtCapacity,
            RejectionReason::Quota,
            RejectionReason::Unavailable,
        ] {
            let text = if reason == RejectionReason::AtCapacity {
                BUSY
            } else {
                NOT_AVAILABLE
            };
            let expected = json!([{ "action": "talk", "text": text }]);
            assert_eq!(actions(&refuse(reason)), expected, "{reason:?}");
            assert_eq!(actions(&refuse_call(Direction::Inbound, reason)), expected);
            assert_eq!(
                actions(&refuse_call(Direction::Outbound, reason)),
                json!([{ "action": "talk", "text": NOT_CONNECTED }])
            );
        }
    }
}
