//! Requests to the carrier's API, its responses, and the responses to its webhooks.

use std::ops::RangeBounds;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Authorization, Failure, Header, Jwt, JwtAlgorithm, Request, Response, Sealed};

/// Everything that RFC 3986 §2.3 does not call unreserved.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Appends path segments to a base such as `https://api.example.com`, each escaped, so that an identifier cannot reach
/// another resource. Fails for a segment that no escaping makes a name of something: an empty one, `.` and `..`.
pub fn join_path(base: &str, segments: &[&str]) -> Result<String, Failure> {
    let mut url = base.trim_end_matches('/').to_owned();
    for segment in segments {
        if matches!(*segment, "" | "." | "..") {
            return Err(Failure::request(
                "identifier-unusable",
                "An identifier cannot be part of a web address.",
            ));
        }
        url.push('/');
        url.extend(utf8_percent_encode(segment, SEGMENT));
    }
    Ok(url)
}

impl Header {
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

impl Request {
    /// A request without a body. `method` is GET, POST, PUT, PATCH or DELETE.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            authorization: Authorization::None,
        }
    }

    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    pub fn patch(url: impl Into<String>) -> Self {
        Self::new("PATCH", url)
    }

    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// RFC 7617.
    #[must_use]
    pub fn basic(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.authorization = Authorization::Basic((user.into(), password.into()));
        self
    }

    /// RFC 6750.
    #[must_use]
    pub fn bearer(mut self, token: impl Into<String>) -> Self {
        self.authorization = Authorization::Bearer(token.into());
        self
    }

    /// A header that carries a credential. May be repeated.
    #[must_use]
    pub fn credential_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let header = Header::new(name, value);
        match &mut self.authorization {
            Authorization::Headers(headers) => headers.push(header),
            other => *other = Authorization::Headers(vec![header]),
        }
        self
    }

    /// A bearer token that the runtime signs (RFC 7519); `lifetime_s` is 1 to 3600 seconds. The runtime adds `iat`, `exp`
    /// and `jti` to the claims.
    #[must_use]
    pub fn jwt(mut self, algorithm: JwtAlgorithm, key: &Sealed, claims: &serde_json::Value, lifetime_s: u32) -> Self {
        self.authorization = Authorization::Jwt(Jwt {
            algorithm,
            key: key.into(),
            claims: claims.to_string(),
            lifetime_s,
        });
        self
    }

    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }

    /// Adds query parameters to the URL, escaped.
    #[must_use]
    pub fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        self.url.push(if self.url.contains('?') { '&' } else { '?' });
        self.url.push_str(&encode_form(pairs));
        self
    }

    /// A body as an HTML form sends it. Names may repeat.
    #[must_use]
    pub fn form(mut self, pairs: &[(&str, &str)]) -> Self {
        self.body = encode_form(pairs).into_bytes();
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    #[must_use]
    pub fn json(mut self, value: &impl Serialize) -> Self {
        self.body = to_json(value);
        self.header("content-type", "application/json")
    }
}

impl Response {
    /// A response without a body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// 200 with an XML document.
    pub fn xml(document: impl Into<Vec<u8>>) -> Self {
        Self::with_body("application/xml", document.into())
    }

    /// 200 with a JSON document; see [`read_json`](Self::read_json) for the way back.
    pub fn json(value: &impl Serialize) -> Self {
        Self::with_body("application/json", to_json(value))
    }

    /// 200 with plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::with_body("text/plain; charset=utf-8", text.into().into_bytes())
    }

    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// The response itself if its status is within `accepted`, for example `200..300`; otherwise the failure that the
    /// status stands for.
    pub fn require(self, accepted: impl RangeBounds<u16>) -> Result<Self, Failure> {
        if accepted.contains(&self.status) {
            Ok(self)
        } else {
            Err(Failure::from_status(self.status))
        }
    }

    /// The body as JSON of this shape. A body of another shape is the carrier's failure.
    pub fn read_json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        // The error's own text could quote the carrier's values, which may be personal.
        serde_json::from_slice(&self.body).map_err(|_| Failure::unexpected_answer("the body has another shape"))
    }

    /// The response itself, when nobody reads its body, and that is empty or JSON: the page of a proxy that answers everything
    /// with a success is none.
    pub fn confirmed(self) -> Result<Self, Failure> {
        if !self.body.is_empty() {
            self.read_json::<serde::de::IgnoredAny>()?;
        }
        Ok(self)
    }

    fn with_body(content_type: &str, body: Vec<u8>) -> Self {
        Self {
            status: 200,
            headers: vec![Header::new("content-type", content_type)],
            body,
        }
    }
}

pub(crate) fn find_header<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.as_str())
}

fn encode_form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a value with string keys is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;

    #[test]
    fn identifiers_cannot_leave_their_path_segment() {
        let url = join_path("https://api.example.com/", &["v1", "calls", "a/../b?x=1#y é.json"]);
        assert_eq!(
            url.unwrap(),
            "https://api.example.com/v1/calls/a%2F..%2Fb%3Fx%3D1%23y%20%C3%A9.json"
        );
        for segment in ["", ".", ".."] {
            assert_eq!(
                join_path("https://a", &[segment]).unwrap_err().kind,
                FailureKind::Request
            );
        }
    }

    #[test]
    fn a_form_keeps_order_and_repetition() {
        let request = Request::post("https://a/b")
            .basic("me", &Sealed::new("sealed:x"))
            .form(&[("Event", "ringing"), ("Event", "answered"), ("To", "+1 2")]);
        assert_eq!(request.body, b"Event=ringing&Event=answered&To=%2B1+2");
        assert_eq!(
            request.authorization,
            Authorization::Basic(("me".to_owned(), "sealed:x".to_owned()))
        );
        assert_eq!(
            find_header(&request.headers, "Content-Type"),
            Some("application/x-www-form-urlencoded")
        );
    }

    #[test]
    fn query_parameters_are_appended_to_those_present() {
        assert_eq!(
            Request::get("https://a/b")
                .query(&[("n", "+1")])
                .query(&[("m", "&")])
                .url,
            "https://a/b?n=%2B1&m=%26"
        );
    }

    #[test]
    fn credential_headers_accumulate() {
        let request = Request::get("https://a")
            .credential_header("x-id", "i")
            .credential_header("x-key", "k");
        assert_eq!(
            request.authorization,
            Authorization::Headers(vec![Header::new("x-id", "i"), Header::new("x-key", "k")])
        );
    }

    #[test]
    fn a_response_of_another_shape_is_the_carriers_failure() {
        let failure = Response::text("<html>").read_json::<Vec<u8>>().unwrap_err();
        assert_eq!(
            (failure.kind, failure.code.as_str()),
            (FailureKind::Carrier, "unexpected-answer")
        );
        assert_eq!(Response::json(&[1, 2]).read_json::<Vec<u8>>(), Ok(vec![1, 2]));
    }

    #[test]
    fn a_page_of_something_between_confirms_nothing() {
        assert!(Response::empty(204).confirmed().is_ok());
        assert!(Response::json(&serde_json::json!({ "ok": true })).confirmed().is_ok());
        assert_eq!(
            Response::text("<html>").confirmed().unwrap_err().code,
            "unexpected-answer"
        );
    }

    #[test]
    fn require_takes_a_range_of_statuses() {
        assert!(Response::empty(204).require(200..300).is_ok());
        assert_eq!(
            Response::empty(404).require(200..=299).unwrap_err().code,
            "request-refused"
        );
    }
}
