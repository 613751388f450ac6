//! Requests to a carrier's REST API, and answers.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{Directive, WebhookTarget};

#[derive(Debug, Clone, Default)]
pub struct RestRequest {
    pub method: String,
    /// As it arrived: percent-encoded, without the query.
    pub path: String,
    pub query: String,
    /// Names in lower case. `host` tells which of a carrier's hosts was meant only when the gateway goes through a proxy.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl RestRequest {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    #[must_use]
    pub fn path_and_query(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }

    /// User and password of HTTP Basic authentication (RFC 7617).
    #[must_use]
    pub fn basic(&self) -> Option<(String, String)> {
        let encoded = self.header("authorization")?.strip_prefix("Basic ")?;
        let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    /// The bearer token (RFC 6750).
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The body as JSON; `Null` when it is not.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as a form.
    #[must_use]
    pub fn form(&self) -> Form {
        Form::read(&self.body)
    }

    /// The query's parameters.
    #[must_use]
    pub fn parameters(&self) -> Form {
        Form::read(self.query.as_bytes())
    }

    /// The path's segments, percent-decoded; empty ones are left out.
    #[must_use]
    pub fn segments(&self) -> Vec<String> {
        self.path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| {
                percent_encoding::percent_decode_str(segment)
                    .decode_utf8_lossy()
                    .into_owned()
            })
            .collect()
    }
}

/// The parameters of a form or query, in order; names may repeat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Form(pub Vec<(String, String)>);

impl Form {
    #[must_use]
    pub fn read(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// A parameter that is there and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// A parameter that is there.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// An address for webhooks in the parameter `url`, with the method in the parameter `method` or POST.
    #[must_use]
    pub fn target(&self, url: &str, method: &str) -> Option<WebhookTarget> {
        let method = self.get(method).unwrap_or("POST").to_owned();
        Some(WebhookTarget {
            url: self.get(url)?.to_owned(),
            method,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestResponse {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

impl RestResponse {
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            content_type: "application/json",
            body: body.to_string().into_bytes(),
        }
    }

    /// Nothing but a status.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            content_type: "",
            body: Vec::new(),
        }
    }

    /// With something that it sets going.
    #[must_use]
    pub fn and(self, directive: Directive) -> RestAnswer {
        RestAnswer::from(self).and(directive)
    }
}

/// A response, and what it sets going, in order.
#[derive(Debug)]
pub struct RestAnswer {
    pub response: RestResponse,
    pub directives: Vec<Directive>,
}

impl RestAnswer {
    #[must_use]
    pub fn and(mut self, directive: Directive) -> Self {
        self.directives.push(directive);
        self
    }
}

impl From<RestResponse> for RestAnswer {
    fn from(response: RestResponse) -> Self {
        Self {
            response,
            directives: Vec::new(),
        }
    }
}

/// So many requests in so long a time; more are answered with [`super::Carrier::rest_error`] of 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    pub requests: usize,
    pub per: Duration,
}

/// A socket on which the carrier tells what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSocket {
    /// What is subscribed to. Only the latest subscriber of a key hears anything.
    pub key: String,
    /// Said to the subscriber before, which then is left alone with its open socket.
    pub farewell: Option<String>,
}
