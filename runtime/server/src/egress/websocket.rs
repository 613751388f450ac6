//! A WebSocket to somebody else's server: the handshake, as agents and carriers get it.

use std::error::Error;
use std::io;

use http::header::{HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use strowger_host::Secret;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{self, protocol::WebSocketConfig};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};
use url::Url;

use super::{Dial, DialError};

/// An open WebSocket.
pub type WebSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Headers that the handshake sets itself.
const HANDSHAKE_HEADERS: [&str; 5] = ["host", "connection", "upgrade", "content-length", "transfer-encoding"];

/// What to ask for.
pub(crate) struct Upgrade<'a> {
    /// `ws` or `wss`, without user name and password.
    pub(crate) url: &'a Url,
    /// Not those of the handshake itself.
    pub(crate) headers: &'a [(String, Secret)],
    /// What the other side must agree to.
    pub(crate) subprotocol: Option<&'a str>,
    /// Buffers and the bounds of messages.
    pub(crate) config: WebSocketConfig,
}

/// Why there is no WebSocket. No text of it contains a path, a header value or an address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    /// What is asked for cannot be asked.
    #[error("{0}")]
    Invalid(String),
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The other side does not prove that it is the host.
    #[error("its host does not prove by TLS that it is the one: {0}")]
    Tls(rustls::Error),
    /// An HTTP answer that is no upgrade.
    #[error("it refused the WebSocket with HTTP status {0}")]
    Status(u16),
    /// An upgrade without the subprotocol.
    #[error("it did not agree to the subprotocol")]
    Subprotocol,
    /// Something else than an HTTP answer.
    #[error("it did not answer as a WebSocket server")]
    NotWebSocket,
    /// The connection ended during the handshake.
    #[error("its host ended the connection during the handshake: {0}")]
    Interrupted(io::ErrorKind),
}

/// Connects and shakes hands. The caller bounds the time.
pub(crate) async fn open(dial: &impl Dial, upgrade: &Upgrade<'_>) -> Result<WebSocket, UpgradeError> {
    let url = target(upgrade.url)?;
    let request = request(&url, upgrade)?;
    let connector = if url.scheme() == "wss" {
        Connector::Rustls(dial.tls())
    } else {
        Connector::Plain
    };
    let stream = dial.dial(&url).await?;
    let (socket, _) = client_async_tls_with_config(request, stream, Some(upgrade.config), Some(connector))
        .await
        .map_err(|error| refusal(&error))?;
    Ok(socket)
}

fn invalid(what: &str) -> UpgradeError {
    UpgradeError::Invalid(what.to_owned())
}

fn target(url: &Url) -> Result<Url, UpgradeError> {
    let mut url = url.clone();
    if !matches!(url.scheme(), "ws" | "wss") {
        return Err(invalid("its URL must begin with ws:// or wss://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("its URL contains a user name or password; use a header"));
    }
    url.set_fragment(None);
    // Certificates and servers have names without the dot that ends an absolute one.
    if let Some(name) = url.domain().and_then(|name| name.strip_suffix('.')).map(str::to_owned) {
        url.set_host(Some(&name))
            .map_err(|_| invalid("its URL has no usable host"))?;
    }
    Ok(url)
}

fn request(url: &Url, upgrade: &Upgrade<'_>) -> Result<Request, UpgradeError> {
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|_| invalid("its URL is not one that HTTP can carry"))?;
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(super::USER_AGENT));
    if let Some(subprotocol) = upgrade.subprotocol {
        let subprotocol = HeaderValue::from_str(subprotocol)
            .map_err(|_| invalid("its subprotocol is not one that HTTP can carry"))?;
        headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    for (name, value) in upgrade.headers {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid("the name of one of its headers is not a token"))?;
        let name = header.as_str();
        if HANDSHAKE_HEADERS.contains(&name) || name.starts_with("sec-websocket-") {
            return Err(UpgradeError::Invalid(format!(
                "the header `{name}` is set by the gateway; leave it out"
            )));
        }
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| {
            UpgradeError::Invalid(format!("the value of the header `{name}` contains a control character"))
        })?;
        value.set_sensitive(true);
        headers.append(header, value);
    }
    Ok(request)
}

fn refusal(error: &tungstenite::Error) -> UpgradeError {
    match error {
        tungstenite::Error::Http(response) => UpgradeError::Status(response.status().as_u16()),
        tungstenite::Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => UpgradeError::Subprotocol,
        tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            UpgradeError::Interrupted(io::ErrorKind::UnexpectedEof)
        }
        tungstenite::Error::Io(error) => match error.get_ref().and_then(tls_error) {
            Some(error) => UpgradeError::Tls(error.clone()),
            None => UpgradeError::Interrupted(error.kind()),
        },
        _ => UpgradeError::NotWebSocket,
    }
}

fn tls_error<'a>(error: &'a (dyn Error + Send + Sync + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref()
}
