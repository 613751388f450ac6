//! Reading what the carrier posted.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use crate::http::find_header;
use crate::{Answered, Call, CallEvent, Direction, Failure, Response, TransferLeg, Webhook};

impl Webhook {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// The media type of the body in lower case, without parameters.
    pub fn content_type(&self) -> Option<String> {
        let value = self.header("content-type")?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// Whether the body says that it is a form.
    pub fn has_form(&self) -> bool {
        self.content_type().as_deref() == Some("application/x-www-form-urlencoded")
    }

    /// The body read as a form, in order and with repetitions. Bytes that are not UTF-8 become U+FFFD.
    pub fn form(&self) -> Form {
        Form::parse(&self.body)
    }

    /// The URL's query string as sent, without the question mark.
    pub fn raw_query(&self) -> &str {
        let url = self.url.split('#').next().unwrap_or_default();
        url.split_once('?').map_or("", |(_, query)| query)
    }

    /// The parameters of the URL, in order and with repetitions.
    pub fn query(&self) -> Form {
        Form::parse(self.raw_query().as_bytes())
    }

    /// The parameters of a webhook that posts forms: its body where it posts one, and the query where it does not post.
    pub fn parameters(&self) -> Form {
        match self.method.as_str() {
            "POST" if self.has_form() => self.form(),
            "POST" => Form::default(),
            _ => self.query(),
        }
    }

    /// The body read as JSON of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// Parameters as a form or a query string has them: names and values in order, names possibly repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    fn parse(encoded: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(encoded);
        Self(
            pairs
                .map(|(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of this name unless it is empty.
    pub fn get_filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

impl FromIterator<(String, String)> for Form {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl Call {
    /// The URL of one of the provider's own routes for this call. Its absence is a mistake in the specification.
    pub fn route(&self, name: &str) -> Result<&str, Failure> {
        self.routes
            .iter()
            .find(|route| route.name == name)
            .map(|route| route.url.as_str())
            .ok_or_else(|| Failure::internal("route-missing", format!("The route {name} does not name the call.")))
    }

    /// The carrier's identifier of this call, for operations that only make sense when the carrier knows the call.
    pub fn carrier_id(&self) -> Result<&str, Failure> {
        self.provider_call_id
            .as_deref()
            .ok_or_else(|| Failure::internal("call-id-missing", "The carrier's identifier of the call is not known."))
    }

    /// Our address in the call: who is called from outside, or who calls somebody outside.
    pub fn our_address(&self) -> &str {
        match self.direction {
            Direction::Inbound => &self.callee,
            Direction::Outbound => &self.caller,
        }
    }

    /// What the provider attached to the call, if it has this shape.
    pub fn attached<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.attachment.as_deref()?).ok()
    }
}

impl TransferLeg {
    /// The URL of one of the provider's own routes for this transfer. Its absence is a mistake in the specification.
    pub fn route(&self, name: &str) -> Result<&str, Failure> {
        self.routes
            .iter()
            .find(|route| route.name == name)
            .map(|route| route.url.as_str())
            .ok_or_else(|| Failure::internal("route-missing", format!("The route {name} does not name the transfer.")))
    }

    /// The carrier's identifier of this leg, for operations that only make sense when the carrier knows it.
    pub fn carrier_id(&self) -> Result<&str, Failure> {
        self.provider_call_id
            .as_deref()
            .ok_or_else(|| Failure::internal("leg-id-missing", "The carrier's identifier of the leg is not known."))
    }

    /// What the provider attached to the leg, if it has this shape.
    pub fn attached<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.attachment.as_deref()?).ok()
    }
}

impl Answered {
    /// An answer that told nothing on the way.
    pub fn with(response: Response) -> Self {
        Self {
            response,
            events: Vec::new(),
        }
    }

    #[must_use]
    pub fn event(mut self, event: CallEvent) -> Self {
        self.events.push(event);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;

    fn webhook(url: &str, content_type: &str, body: &[u8]) -> Webhook {
        Webhook {
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers: vec![
                Header::new("Content-TYPE", content_type),
                Header::new("content-type", "second"),
            ],
            body: body.to_vec(),
            received_at: 0,
        }
    }

    #[test]
    fn a_form_is_ordered_multi_valued_and_total() {
        let webhook = webhook(
            "https://a/b?c=%20d&c=e#f",
            "application/x-www-form-urlencoded; charset=utf-8",
            b"b=1&a=+%FF&b=2&",
        );
        assert!(webhook.has_form());
        let form = webhook.form();
        assert_eq!(webhook.parameters(), form);
        let get = Webhook {
            method: "GET".to_owned(),
            ..webhook.clone()
        };
        assert_eq!(get.parameters(), webhook.query());
        let expected = [("b", "1"), ("a", " \u{fffd}"), ("b", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(form.pairs(), expected);
        assert_eq!(form.get("b"), Some("1"));
        assert_eq!(
            webhook.query().pairs(),
            [(" d", "c"), ("e", "c")].map(|(v, n)| (n.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn headers_compare_without_case() {
        let webhook = webhook("https://a", "text/JSON", b"[1]");
        assert_eq!(webhook.header("content-Type"), Some("text/JSON"));
        assert_eq!(webhook.content_type().as_deref(), Some("text/json"));
        assert_eq!(webhook.json::<Vec<u8>>().unwrap(), [1]);
        assert_eq!(webhook.raw_query(), "");
        assert_eq!(webhook.parameters(), Form::default());
    }
}
