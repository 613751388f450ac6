//! A gateway that does nothing but copy: what two sockets cost, to be subtracted from what a real one costs.
//!
//! It answers every webhook with a stream to itself, dials the agent, and passes messages on unread. It verifies nothing,
//! decodes nothing and paces nothing, and can therefore serve only agents that speak the carrier's own language.

use std::{io, net::SocketAddr};

use axum::{
    Router,
    body::Bytes,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::{IntoResponse, Response},
    routing::{any, get},
    serve::ListenerExt,
};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio_tungstenite::{connect_async_with_config, tungstenite};

use crate::exchange::socket_config;

#[derive(Debug, Clone)]
struct Relay {
    address: SocketAddr,
    agent: String,
}

/// Listens on loopback until it fails; `ready` gets the address.
///
/// # Errors
/// When it cannot listen.
pub async fn serve(agent: String, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let app = Router::new()
        .route("/media", get(media))
        .fallback(any(answer))
        .with_state(Relay { address, agent });
    ready(address);
    // A connection on which this fails will fail on its own.
    let listener = listener.tap_io(|tcp| drop(tcp.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// The caller travels through the carrier as a parameter of the stream, because the agent is not told of it otherwise.
async fn answer(State(relay): State<Relay>, body: Bytes) -> Response {
    let from: String = form_urlencoded::parse(&body)
        .find(|(name, _)| name == "From")
        .map(|(_, from)| from.chars().filter(|c| *c == '+' || c.is_ascii_digit()).collect())
        .unwrap_or_default();
    let document = format!(
        r#"<Response><Connect><Stream url="ws://{}/media"><Parameter name="from" value="{from}"/></Stream></Connect></Response>"#,
        relay.address
    );
    ([("content-type", "application/xml")], document).into_response()
}

async fn media(State(relay): State<Relay>, upgrade: WebSocketUpgrade) -> Response {
    let upgrade = upgrade.read_buffer_size(socket_config().read_buffer_size);
    upgrade.on_upgrade(move |socket| async move { copy(socket, &relay.agent).await })
}

async fn copy(carrier: WebSocket, agent: &str) {
    let Ok((agent, _)) = connect_async_with_config(agent, Some(socket_config()), true).await else {
        return;
    };
    let (mut to_agent, mut from_agent) = agent.split();
    let (mut to_carrier, mut from_carrier) = carrier.split();
    let up = async {
        while let Some(Ok(Message::Text(text))) = from_carrier.next().await {
            if to_agent.send(tungstenite::Message::text(text.as_str())).await.is_err() {
                break;
            }
        }
        // Whichever end is gone already cannot be told so.
        drop(to_agent.close().await);
    };
    let down = async {
        while let Some(Ok(tungstenite::Message::Text(text))) = from_agent.next().await {
            if to_carrier.send(Message::text(text.as_str())).await.is_err() {
                break;
            }
        }
        drop(to_carrier.close().await);
    };
    tokio::join!(up, down);
}
