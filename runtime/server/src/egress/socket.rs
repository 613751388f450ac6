//! WebSockets to hosts that a provider names: the permissions, routes and address checks of requests.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use strowger_host::Secret;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use url::Url;

use super::websocket::{self, Upgrade, UpgradeError, WebSocket};
use super::{DialError, Egress, EgressError, HostGrant, Phase, check_grant, routed_url, target_of};

/// What is read at once. Events are small.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// A WebSocket to be opened. Its `Debug` shows neither path nor header values.
pub struct SocketRequest<'a> {
    /// `ws` or `wss`, without user name and password.
    pub url: &'a Url,
    /// Of the upgrade; not those of the handshake itself.
    pub headers: &'a [(String, Secret)],
    /// What the other side must agree to.
    pub subprotocol: Option<&'a str>,
    /// The hosts that this caller may reach: `http` stands for `ws`, `https` for `wss`.
    pub grants: &'a [HostGrant],
    /// Of one message.
    pub message_bytes_max: usize,
}

/// Why there is no WebSocket. No text of it contains a path, a query, a header value or an address.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// It did not come to an answer.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// An HTTP answer that is no upgrade.
    #[error("`{host}` refused the WebSocket with HTTP status {status}")]
    Status {
        /// In the spelling of a grant.
        host: String,
        /// What it answered.
        status: u16,
    },
    /// An upgrade to something else.
    #[error("`{host}` did not agree to the subprotocol")]
    Subprotocol {
        /// In the spelling of a grant.
        host: String,
    },
    /// An answer that is not HTTP, or a broken upgrade.
    #[error("`{host}` did not answer as a WebSocket server")]
    NotWebSocket {
        /// In the spelling of a grant.
        host: String,
    },
}

impl SocketError {
    /// A short stable name, for logs and records.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Egress(error) => error.code().to_owned(),
            Self::Status { status, .. } => format!("http-{status}"),
            Self::Subprotocol { .. } => "subprotocol-refused".to_owned(),
            Self::NotWebSocket { .. } => "not-a-websocket".to_owned(),
        }
    }

    /// Whether the same may succeed later although nobody changes the configuration or a permission.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Egress(error) => !matches!(
                error,
                EgressError::InvalidRequest { .. }
                    | EgressError::HostNotAllowed { .. }
                    | EgressError::SchemeNotAllowed { .. }
                    | EgressError::PrivateAddress { .. }
                    | EgressError::TooLarge { .. }
            ),
            // Request timeout, too early, too many requests; and whatever the server says that is its own trouble.
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            Self::Subprotocol { .. } | Self::NotWebSocket { .. } => false,
        }
    }
}

impl Egress {
    /// Opens a WebSocket, under the rules that requests are sent under.
    ///
    /// # Errors
    /// As for a request, and when the other side refuses.
    pub async fn open_socket(&self, request: SocketRequest<'_>) -> Result<WebSocket, SocketError> {
        let started = Instant::now();
        let mut host = "-".to_owned();
        let outcome = self.attempt_socket(&request, &mut host).await;
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &outcome {
            Ok(_) => tracing::info!(host, milliseconds, "egress: WebSocket open"),
            Err(error) => tracing::debug!(host, status = error.code(), milliseconds, "egress: no WebSocket"),
        }
        outcome
    }

    async fn attempt_socket(&self, request: &SocketRequest<'_>, shown: &mut String) -> Result<WebSocket, SocketError> {
        let asked = as_http(request.url)?;
        let target = target_of(&asked)?;
        let host = target.to_string();
        shown.clone_from(&host);
        check_grant(&target, &host, asked.scheme(), request.grants)?;

        let (url, dial) = match self.inner.routes.get(&target) {
            Some(base) => (as_websocket(&routed_url(base, &asked))?, &self.inner.routed_dial),
            None => (request.url.clone(), &self.inner.checked_dial),
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(request.message_bytes_max))
            .max_frame_size(Some(request.message_bytes_max));
        let upgrade = Upgrade {
            url: &url,
            headers: request.headers,
            subprotocol: request.subprotocol,
            config,
        };
        let limit = self.inner.config.total_timeout;
        match tokio::time::timeout(limit, websocket::open(dial, &upgrade)).await {
            Ok(opened) => opened.map_err(|error| failure(host, error)),
            Err(_) => Err(EgressError::Timeout {
                host,
                phase: Phase::Connect,
                limit_ms: limit.as_millis(),
            }
            .into()),
        }
    }
}

/// The URL under which permission is given and routes are found.
fn as_http(url: &Url) -> Result<Url, EgressError> {
    with_scheme(url, &[("ws", "http"), ("wss", "https")])
}

fn as_websocket(url: &Url) -> Result<Url, EgressError> {
    with_scheme(url, &[("http", "ws"), ("https", "wss")])
}

/// The four schemes are alike to the URL standard, so that nothing but the scheme changes.
fn with_scheme(url: &Url, schemes: &[(&str, &str)]) -> Result<Url, EgressError> {
    let mut url = url.clone();
    let scheme = schemes.iter().find(|(from, _)| *from == url.scheme());
    match scheme {
        Some((_, to)) if url.set_scheme(to).is_ok() => Ok(url),
        _ => Err(EgressError::SchemeNotAllowed {
            scheme: url.scheme().chars().take(16).collect(),
            host: url.host_str().unwrap_or("-").chars().take(253).collect(),
        }),
    }
}

fn failure(host: String, error: UpgradeError) -> SocketError {
    match error {
        UpgradeError::Invalid(what) => EgressError::InvalidRequest { what }.into(),
        UpgradeError::Dial(DialError::Host) => EgressError::InvalidRequest {
            what: DialError::Host.to_string(),
        }
        .into(),
        UpgradeError::Dial(DialError::PrivateAddress(network)) => EgressError::PrivateAddress { host, network }.into(),
        UpgradeError::Dial(DialError::Resolve(source)) => EgressError::Resolve {
            host,
            source: Arc::new(source),
        }
        .into(),
        UpgradeError::Dial(DialError::Connect(source)) => connect(host, &source),
        UpgradeError::Tls(source) => EgressError::Tls { host, source }.into(),
        UpgradeError::Status(status) => SocketError::Status { host, status },
        UpgradeError::Subprotocol => SocketError::Subprotocol { host },
        UpgradeError::NotWebSocket => SocketError::NotWebSocket { host },
        UpgradeError::Interrupted(_) => EgressError::Interrupted { host }.into(),
    }
}

fn connect(host: String, source: &io::Error) -> SocketError {
    EgressError::Connect {
        host,
        reason: source.kind(),
    }
    .into()
}

impl std::fmt::Debug for SocketRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketRequest")
            .field("host", &self.url.host_str())
            .field("subprotocol", &self.subprotocol)
            .field("grants", &self.grants)
            .finish_non_exhaustive()
    }
}
