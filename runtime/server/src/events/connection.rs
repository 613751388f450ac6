//! One open event socket: text comes in, pings go out, and its end has a reason.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use super::policy::Failure;
use crate::egress::WebSocket;

/// The largest message, in bytes. Events have a few thousand.
pub(super) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// How often the carrier is asked for a sign of life. Nothing else notices a connection that has died quietly.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long the answer may take.
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// What came of waiting.
#[derive(Debug)]
pub(super) enum Signal {
    /// A text message.
    Text(Utf8Bytes),
    /// The carrier closed the socket as it should.
    Closed,
    /// The socket is of no use any more.
    Broken(Failure),
}

/// An open event socket.
#[derive(Debug)]
pub(super) struct Connection {
    socket: WebSocket,
    next_ping: Instant,
    /// When the answer to a ping is due.
    pong_due: Option<Instant>,
    binary_told: bool,
}

impl Connection {
    pub(super) fn new(socket: WebSocket) -> Self {
        Self {
            socket,
            next_ping: Instant::now() + PING_EVERY,
            pong_due: None,
            binary_told: false,
        }
    }

    /// Waits for the next thing. Can be dropped and called again at any time.
    pub(super) async fn next(&mut self) -> Signal {
        loop {
            let due = self.pong_due.unwrap_or(self.next_ping);
            let received = tokio::select! {
                biased;
                received = self.socket.next() => received,
                () = sleep_until(due) => {
                    if let Some(failure) = self.due().await {
                        return Signal::Broken(failure);
                    }
                    continue;
                }
            };
            match received {
                Some(Ok(Message::Text(text))) => return Signal::Text(text),
                Some(Ok(Message::Pong(_))) => self.pong_due = None,
                Some(Ok(Message::Close(_))) => return Signal::Closed,
                Some(Ok(Message::Binary(_))) => {
                    if !self.binary_told {
                        tracing::warn!("an event socket carries binary messages; they are passed over");
                        self.binary_told = true;
                    }
                }
                // Pings are answered below this layer.
                Some(Ok(Message::Ping(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Signal::Broken(broken(&error)),
                None => return Signal::Closed,
            }
        }
    }

    async fn due(&mut self) -> Option<Failure> {
        if self.pong_due.is_some() {
            let limit = PONG_WITHIN.as_secs();
            return Some(Failure::passing(
                "no-pong",
                format!("the carrier did not answer a ping on the event socket within {limit} seconds"),
            ));
        }
        let now = Instant::now();
        self.next_ping = now + PING_EVERY;
        self.pong_due = Some(now + PONG_WITHIN);
        match timeout(PONG_WITHIN, self.socket.send(Message::Ping(bytes::Bytes::new()))).await {
            Ok(Ok(())) | Err(_) => None,
            Ok(Err(error)) => Some(broken(&error)),
        }
    }

    /// Takes leave, for at most this long. After this the carrier tells us nothing.
    pub(super) async fn close(mut self, at_most: Duration) {
        let leaving = async {
            let frame = CloseFrame {
                code: CloseCode::Normal,
                reason: Utf8Bytes::from_static(""),
            };
            if self.socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        if timeout(at_most, leaving).await.is_err() {
            tracing::debug!("the carrier did not take part in closing the event socket");
        }
    }
}

fn broken(error: &tungstenite::Error) -> Failure {
    match error {
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. }) => Failure::passing(
            "message-too-large",
            format!("the carrier sent a message of more than {MESSAGE_BYTES_MAX} bytes over the event socket"),
        ),
        tungstenite::Error::Io(error) => Failure::passing(
            "connection-lost",
            format!("the connection of the event socket broke: {}", error.kind()),
        ),
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Failure::passing(
            "connection-lost",
            "the carrier ended the connection without closing the event socket",
        ),
        tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_) => Failure::passing(
            "protocol-violated",
            "the carrier violated the WebSocket protocol on the event socket",
        ),
        _ => Failure::passing("connection-lost", "the connection of the event socket broke"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
    use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_async};

    use super::*;

    /// A carrier and our end of its socket, over a real connection.
    async fn pair() -> (WebSocketStream<tokio::net::TcpStream>, Connection) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let connecting = tokio_tungstenite::connect_async(url);
        let accepting = async { accept_async(listener.accept().await.unwrap().0).await.unwrap() };
        let (connected, carrier) = tokio::join!(connecting, accepting);
        (carrier, Connection::new(connected.unwrap().0))
    }

    #[tokio::test]
    async fn texts_come_in_order_and_a_close_is_told() {
        let (mut carrier, mut ours) = pair().await;
        for message in [Message::text("one"), Message::binary(vec![1, 2]), Message::text("two")] {
            carrier.send(message).await.unwrap();
        }
        carrier.close(None).await.unwrap();
        for expected in ["one", "two"] {
            assert!(matches!(ours.next().await, Signal::Text(text) if text.as_str() == expected));
        }
        assert!(matches!(ours.next().await, Signal::Closed));
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_a_failure() {
        let (carrier, mut ours) = pair().await;
        drop(carrier);
        assert!(matches!(ours.next().await, Signal::Broken(failure) if failure.code == "connection-lost"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_carrier_that_answers_no_ping_is_left() {
        // A paused clock does not wait for the network, so the handshake is left out.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = std::net::TcpStream::connect(address).unwrap();
        let (peer, _) = listener.accept().unwrap();
        for stream in [&stream, &peer] {
            stream.set_nonblocking(true).unwrap();
        }
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let socket = WebSocketStream::from_raw_socket(
            MaybeTlsStream::Plain(stream),
            Role::Client,
            Some(WebSocketConfig::default()),
        )
        .await;
        let mut ours = Connection::new(socket);
        let began = Instant::now();
        // The other side is there, but nobody reads.
        assert!(matches!(ours.next().await, Signal::Broken(failure) if failure.code == "no-pong"));
        assert_eq!(began.elapsed(), PING_EVERY + PONG_WITHIN);
        drop(peer);
    }
}
