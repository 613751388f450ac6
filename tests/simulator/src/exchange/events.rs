//! Event sockets: where a carrier without webhooks tells what happens.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::extract::ws::{Message, WebSocket};
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use tokio::sync::mpsc;

use super::{Exchange, lock};
use crate::{
    carrier::{EventSocket, RestRequest},
    clock,
    watched::Watched,
};

/// What became of an event socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventSocketState {
    /// It is the one that hears of its key.
    Live,
    /// It is open, but a later subscriber hears instead.
    Starved,
    ClosedByGateway,
    /// By [`super::RunningCarrier::drop_event_sockets`].
    Dropped,
}

/// One subscriber. All times are of [`crate::clock`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventSocketReport {
    pub key: String,
    /// With the query.
    pub path: String,
    /// Of the upgrade, names in lower case.
    pub headers: Vec<(String, String)>,
    pub opened_at: Duration,
    pub ended_at: Option<Duration>,
    pub state: EventSocketState,
    pub sent: Vec<String>,
    /// Text that the gateway sent.
    pub heard: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Hub {
    pub(super) sockets: Watched<Vec<EventSocketReport>>,
    /// In the same order.
    subscribers: Mutex<Vec<mpsc::UnboundedSender<String>>>,
}

impl Hub {
    /// Tells whoever hears of this key, if anybody does.
    pub(super) fn push(&self, key: &str, text: &str) {
        self.push_where(text, |socket| {
            socket.key == key && socket.state == EventSocketState::Live
        });
    }

    fn push_where(&self, text: &str, is_it: impl Fn(&EventSocketReport) -> bool) {
        let subscribers = lock(&self.subscribers);
        self.sockets.update(|sockets| {
            for (socket, subscriber) in sockets.iter_mut().zip(subscribers.iter()) {
                if is_it(socket) && subscriber.send(text.to_owned()).is_ok() {
                    socket.sent.push(text.to_owned());
                }
            }
        });
    }

    /// Cuts all sockets off, without a closing handshake.
    pub(super) fn drop_all(&self) {
        let mut subscribers = lock(&self.subscribers);
        self.sockets.update(|sockets| {
            for (socket, subscriber) in sockets.iter_mut().zip(subscribers.iter_mut()) {
                if socket.ended_at.is_none() {
                    socket.state = EventSocketState::Dropped;
                }
                // Losing its only sender ends the socket's task.
                *subscriber = mpsc::unbounded_channel().0;
            }
        });
    }

    fn subscribe(&self, socket: &EventSocket, request: &RestRequest) -> (usize, mpsc::UnboundedReceiver<String>) {
        if let Some(farewell) = &socket.farewell {
            self.push(&socket.key, farewell);
        }
        let (subscriber, events) = mpsc::unbounded_channel();
        let mut subscribers = lock(&self.subscribers);
        subscribers.push(subscriber);
        self.sockets.update(|sockets| {
            for other in sockets.iter_mut() {
                if other.key == socket.key && other.state == EventSocketState::Live {
                    other.state = EventSocketState::Starved;
                }
            }
            sockets.push(EventSocketReport {
                key: socket.key.clone(),
                path: request.path_and_query(),
                headers: request.headers.clone(),
                opened_at: clock::now(),
                ended_at: None,
                state: EventSocketState::Live,
                sent: Vec::new(),
                heard: Vec::new(),
            });
        });
        (subscribers.len() - 1, events)
    }

    /// Whether the key has no subscriber left that hears it.
    fn leave(&self, index: usize) -> bool {
        self.sockets.update(|sockets| {
            let socket = &mut sockets[index];
            socket.ended_at = Some(clock::now());
            let was_live = socket.state == EventSocketState::Live;
            if was_live || socket.state == EventSocketState::Starved {
                socket.state = EventSocketState::ClosedByGateway;
            }
            let key = socket.key.clone();
            !sockets
                .iter()
                .any(|other| other.key == key && other.state == EventSocketState::Live)
        })
    }
}

/// Keeps one socket until either side ends it.
pub(super) async fn serve(exchange: Arc<Exchange>, socket: WebSocket, subscription: EventSocket, request: RestRequest) {
    let (index, mut events) = exchange.hub.subscribe(&subscription, &request);
    exchange.ledger().subscribers.insert(subscription.key.clone());
    let (mut sink, mut source) = socket.split();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => if sink.send(Message::Text(event.into())).await.is_err() { break },
                None => break,
            },
            message = source.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    exchange.hub.sockets.update(|sockets| sockets[index].heard.push(text.to_string()));
                }
                // The library answers pings.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
            },
        }
    }
    if exchange.hub.leave(index) {
        exchange.ledger().subscribers.remove(&subscription.key);
    }
}
