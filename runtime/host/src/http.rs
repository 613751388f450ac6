//! Requests and responses as data.

use serde::Serialize;

use crate::bindings::strowger::provider::types as wit;
use crate::sealed::Secret;

pub use crate::bindings::strowger::provider::types::{Header, Webhook};

/// The largest response body that is sent to a carrier.
pub const RESPONSE_BYTES_MAX: usize = 256 * 1024;
const HEADERS_MAX: usize = 64;

/// A response that may be sent: status, headers and size were checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Response {
    /// 200 to 599.
    pub status: u16,
    /// Names are lower-case tokens, values have no line breaks.
    pub headers: Vec<(String, String)>,
    /// At most [`RESPONSE_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// Headers that belong to the connection, not to what a provider says.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-connection",
];

pub(crate) fn check_header(name: &str, value: &str) -> Result<String, String> {
    let token = !name.is_empty()
        && name.len() <= 128
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if !token {
        return Err("a header's name is not a token (RFC 9110 §5.1)".to_owned());
    }
    let name = name.to_ascii_lowercase();
    if HOP_BY_HOP.contains(&name.as_str()) {
        return Err(format!(
            "the header `{name}` belongs to the connection and is set by the runtime"
        ));
    }
    if value.len() > 8192 || value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(format!(
            "the value of `{name}` is too long or contains control characters"
        ));
    }
    Ok(name)
}

impl TryFrom<wit::Response> for Response {
    type Error = String;

    fn try_from(raw: wit::Response) -> Result<Self, String> {
        if !(200..=599).contains(&raw.status) {
            return Err(format!("the status {} is not between 200 and 599", raw.status));
        }
        if raw.headers.len() > HEADERS_MAX {
            return Err(format!("{} headers; at most {HEADERS_MAX} are sent", raw.headers.len()));
        }
        if raw.body.len() > RESPONSE_BYTES_MAX {
            return Err(format!(
                "the body has {} bytes; at most {RESPONSE_BYTES_MAX} are sent",
                raw.body.len()
            ));
        }
        let headers = raw
            .headers
            .into_iter()
            .map(|header| Ok((check_header(&header.name, &header.value)?, header.value)))
            .collect::<Result<_, String>>()?;
        Ok(Self {
            status: raw.status,
            headers,
            body: raw.body,
        })
    }
}

/// A request to the carrier's API, ready to be sent. Its headers contain secrets.
#[derive(Clone)]
pub struct OutgoingRequest {
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: String,
    /// Absolute.
    pub url: url::Url,
    /// Names in lower case.
    pub headers: Vec<(String, Secret)>,
    /// Raw.
    pub body: Vec<u8>,
    /// The hosts that this configuration grants.
    pub grants: Vec<String>,
}

impl std::fmt::Debug for OutgoingRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutgoingRequest")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// What the carrier answered, before it is shown to the guest.
#[derive(Clone)]
pub struct IncomingResponse {
    /// Any status.
    pub status: u16,
    /// As received.
    pub headers: Vec<(String, Vec<u8>)>,
    /// As received.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for IncomingResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IncomingResponse")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
