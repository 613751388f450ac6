//! What a webhook says: the JSON object of a POST, the query of a GET. Nothing else of it is covered by the signature, so
//! nothing else is read.

use serde_json::{Map, Value};
use strowger_sdk::Webhook;

/// The members of the JSON object, or the parameters of the query.
#[derive(Debug)]
pub(crate) struct Payload(Map<String, Value>);

impl Payload {
    /// Empty when there is nothing that can be read.
    pub(crate) fn of(webhook: &Webhook) -> Self {
        if webhook.method != "GET" {
            // A name that is not UTF-8, of a caller for example, does not make the rest unreadable.
            let body = String::from_utf8_lossy(&webhook.body);
            return Self(serde_json::from_str(&body).unwrap_or_default());
        }
        let mut members = Map::new();
        for (name, value) in webhook.query().pairs() {
            members
                .entry(name.as_str())
                .or_insert_with(|| Value::String(value.clone()));
        }
        Self(members)
    }

    /// A text that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// A number, which Vonage usually writes as a text.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        match self.0.get(name)? {
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_u64(),
        }
    }

    /// Whether the member is there and not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// The leg that this is about: `uuid`, or `call_uuid` in the verdict of machine detection.
    pub(crate) fn leg(&self) -> Option<&str> {
        self.text("uuid").or_else(|| self.text("call_uuid"))
    }
}

#[cfg(test)]
mod tests {
    use strowger_sdk::testing::webhook as sent;

    use super::*;

    fn webhook(method: &str, url: &str, body: &str) -> Webhook {
        sent(method, url, &[], body)
    }

    #[test]
    fn a_post_has_a_body_and_a_get_a_query() {
        let url = "https://g.example/x?uuid=query&to=1+2&uuid=second";
        let get = Payload::of(&webhook("GET", url, r#"{"uuid":"body"}"#));
        assert_eq!((get.leg(), get.text("to")), (Some("query"), Some("1 2")));
        let post = Payload::of(&webhook(
            "POST",
            url,
            r#"{"uuid":"body","to":"","from":7,"status":null}"#,
        ));
        assert_eq!(post.leg(), Some("body"));
        assert_eq!((post.text("to"), post.text("from")), (None, None));
        assert_eq!(
            (post.has("to"), post.has("status"), post.has("rate")),
            (true, false, false)
        );
    }

    #[test]
    fn numbers_may_be_texts() {
        let payload = Payload::of(&webhook("POST", "", r#"{"a":"12","b":12,"c":"soon","d":-1}"#));
        let numbers: Vec<Option<u64>> = ["a", "b", "c", "d", "e"].map(|name| payload.number(name)).into();
        assert_eq!(numbers, [Some(12), Some(12), None, None, None]);
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_replaced() {
        let mut webhook = webhook("POST", "", r#"{"uuid":"1","from":"?"}"#);
        let at = webhook.body.iter().position(|byte| *byte == b'?').unwrap();
        webhook.body[at] = 0xff;
        let payload = Payload::of(&webhook);
        assert_eq!((payload.leg(), payload.text("from")), (Some("1"), Some("\u{fffd}")));
    }

    #[test]
    fn what_is_no_object_says_nothing() {
        for body in ["", "[]", "null", "{\"uuid\":", "uuid=1"] {
            assert_eq!(
                Payload::of(&webhook("POST", "https://g.example/?uuid=1", body)).leg(),
                None
            );
        }
    }
}
