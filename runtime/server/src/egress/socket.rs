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
            // Request timeout, too early, too many requests; and whatever the server says that is its own trouble. A server
            // that starts answers 404 until the part of it that serves the socket is there.
            Self::Status { status, .. } => matches!(status, 404 | 408 | 425 | 429 | 500..),
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures_util::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;
    use tokio_tungstenite::accept_hdr_async;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

    use super::super::{EgressConfig, Route};
    use super::*;

    /// A server that agrees to everything, says one thing, and remembers what was asked of it.
    #[expect(clippy::result_large_err, reason = "the library's own type")]
    async fn server() -> (SocketAddr, JoinHandle<Request>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let mut asked = None;
            let stream = listener.accept().await.unwrap().0;
            let mut socket = accept_hdr_async(stream, |request: &Request, mut response: Response| {
                asked = Some(request.clone());
                if let Some(subprotocol) = request.headers().get("sec-websocket-protocol") {
                    response
                        .headers_mut()
                        .insert("sec-websocket-protocol", subprotocol.clone());
                }
                Ok(response)
            })
            .await
            .unwrap();
            futures_util::SinkExt::send(&mut socket, Message::text("hello"))
                .await
                .unwrap();
            asked.unwrap()
        });
        (address, serving)
    }

    /// A server that answers with this and nothing else.
    async fn refusing(head: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        address
    }

    fn lan() -> EgressConfig {
        EgressConfig {
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            ..EgressConfig::default()
        }
    }

    async fn open(config: EgressConfig, url: &str, grants: &[&str]) -> Result<WebSocket, SocketError> {
        let grants: Vec<HostGrant> = grants.iter().map(|grant| grant.parse().unwrap()).collect();
        let headers = [("authorization".to_owned(), Secret::new("Basic aHVzaA=="))];
        Egress::new(config)
            .unwrap()
            .open_socket(SocketRequest {
                url: &url.parse().unwrap(),
                headers: &headers,
                subprotocol: Some("events"),
                grants: &grants,
                message_bytes_max: 1024,
            })
            .await
    }

    /// Why it is not opened, and whether that may pass.
    async fn refused(config: EgressConfig, url: &str, grants: &[&str]) -> (String, bool) {
        let error = open(config, url, grants).await.unwrap_err();
        let text = error.to_string();
        assert!(!text.contains("secret") && !text.contains("aHVzaA"), "{text}");
        (error.code(), error.is_retryable())
    }

    #[tokio::test]
    async fn a_granted_host_is_asked_with_headers_and_subprotocol() {
        let (address, serving) = server().await;
        let url = format!("ws://{address}/pbx/events?app=mine#top");
        let mut socket = open(lan(), &url, &[&format!("http://{address}")]).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
        let asked = serving.await.unwrap();
        assert_eq!(asked.uri(), "/pbx/events?app=mine");
        assert_eq!(asked.headers()["authorization"], "Basic aHVzaA==");
        assert_eq!(asked.headers()["sec-websocket-protocol"], "events");
        assert_eq!(asked.headers()["host"], address.to_string());
    }

    #[tokio::test]
    async fn a_routed_host_is_reached_at_the_base_of_its_route() {
        let (address, serving) = server().await;
        let config = EgressConfig {
            routes: vec![Route {
                host: "http://pbx.example:8088".parse().unwrap(),
                base: format!("http://{address}/base").parse().unwrap(),
            }],
            ..EgressConfig::default()
        };
        let url = "ws://pbx.example:8088/pbx/events?app=mine";
        open(config, url, &["http://pbx.example:8088"]).await.unwrap();
        assert_eq!(serving.await.unwrap().uri(), "/base/pbx/events?app=mine");
    }

    #[tokio::test]
    async fn what_is_not_granted_is_refused_before_a_byte_leaves() {
        let (address, _serving) = server().await;
        let (ws, wss) = (format!("ws://{address}/secret"), format!("wss://{address}/secret"));
        let (http, https) = (format!("http://{address}"), format!("https://{address}"));
        for (config, url, grants, code) in [
            (lan(), &ws, vec![], "host-not-allowed"),
            // Another port is another place.
            (lan(), &ws, vec!["http://127.0.0.1:1"], "host-not-allowed"),
            (lan(), &ws, vec![https.as_str()], "scheme-not-allowed"),
            (lan(), &wss, vec![http.as_str()], "scheme-not-allowed"),
            (EgressConfig::default(), &ws, vec![http.as_str()], "private-address"),
        ] {
            assert_eq!(
                refused(config, url, &grants).await,
                (code.to_owned(), false),
                "{url} {grants:?}"
            );
        }
        let plain = format!("http://{address}/");
        assert_eq!(refused(lan(), &plain, &[&http]).await.0, "scheme-not-allowed");
    }

    #[tokio::test]
    async fn a_refusal_tells_whether_it_may_pass() {
        for (head, code, retryable) in [
            (
                "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
                "http-401",
                false,
            ),
            ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "http-403", false),
            ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "http-404", true),
            (
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
                "http-503",
                true,
            ),
            (
                "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\n\r\n",
                "http-302",
                false,
            ),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", "http-200", false),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "not-a-websocket", false),
            ("", "interrupted", true),
        ] {
            let address = refusing(head).await;
            let url = format!("ws://{address}/secret");
            let told = refused(lan(), &url, &[&format!("http://{address}")]).await;
            assert_eq!(told, (code.to_owned(), retryable), "{head}");
        }
        // Nobody listens any more.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let told = refused(lan(), &format!("ws://{address}/"), &[&format!("http://{address}")]).await;
        assert_eq!(told, ("connect".to_owned(), true));
    }
}
