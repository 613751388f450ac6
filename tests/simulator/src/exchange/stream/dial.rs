//! Opening media sockets.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue},
        protocol::WebSocketConfig,
    },
};

use super::{
    super::{Call, line::Line},
    CLOSE_TIMEOUT, event, raw,
};
use crate::{
    carrier::{StreamInstruction, WireMessage},
    gateway::Gateway,
    report::CallEvent,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) type MediaSocket = WebSocketStream<TcpStream>;

/// For sockets with a small message every 20 ms. The library clears its whole read buffer, 128 KiB unless told otherwise, for
/// every message, which would be most of the work of a process with many calls.
pub(crate) fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(8 * 1024)
}

/// Opens a media socket as a carrier does.
pub(crate) async fn dial_media(
    gateway: &Gateway,
    url: &str,
    headers: &[(String, String)],
) -> Result<MediaSocket, String> {
    let route = gateway.route(url).map_err(|error| error.to_string())?;
    let scheme = if route.secure { "wss" } else { "ws" };
    let mut request = format!("{scheme}://{}{}", route.host, route.path_and_query)
        .into_client_request()
        .map_err(|error| error.to_string())?;
    for (name, value) in headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(format!("`{name}` is not a header that can be sent"));
        };
        request.headers_mut().insert(name, value);
    }
    let socket = async {
        let tcp = TcpStream::connect(&route.authority)
            .await
            .map_err(|error| format!("cannot connect: {error}"))?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        match client_async_with_config(request, tcp, Some(socket_config())).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => {
                Err(format!("the upgrade was answered with {}", response.status()))
            }
            Err(error) => Err(format!("the upgrade failed: {error}")),
        }
    };
    timeout(CONNECT_TIMEOUT, socket)
        .await
        .unwrap_or_else(|_| Err("the upgrade took too long".to_owned()))
}

/// Opens the same address once more and notes what the gateway makes of it.
pub(super) fn try_second_socket(
    line: &Line,
    home: &Arc<Call>,
    instruction: &StreamInstruction,
    headers: &[(String, String)],
) {
    let (call, gateway, url, headers) = (
        Arc::clone(home),
        line.courier.gateway.clone(),
        instruction.url.clone(),
        headers.to_vec(),
    );
    let mut dialect = line.exchange.carrier.open_stream(&line.record(), instruction);
    let opening: Vec<WireMessage> = dialect.connected().into_iter().chain(dialect.opening()).collect();
    let task = tokio::spawn(async move {
        let (accepted, detail) = match dial_media(&gateway, &url, &headers).await {
            Err(reason) => (false, reason),
            Ok(mut socket) => {
                for message in opening {
                    // A gateway that closes at once makes this fail; reading on tells how.
                    let _ = socket.send(raw(message)).await;
                }
                let closed = async {
                    loop {
                        match socket.next().await {
                            Some(Ok(Message::Close(frame))) => {
                                break format!("closed with {}", frame.map_or(1005, |frame| frame.code.into()));
                            }
                            Some(Ok(_)) => {}
                            Some(Err(_)) | None => break "dropped".to_owned(),
                        }
                    }
                };
                match timeout(CLOSE_TIMEOUT, closed).await {
                    Ok(how) => (false, how),
                    Err(_) => (true, "stayed open".to_owned()),
                }
            }
        };
        event(&call, CallEvent::SecondSocket { accepted, detail });
    });
    line.exchange.track(task.abort_handle());
}
