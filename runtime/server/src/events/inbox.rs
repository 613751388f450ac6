//! From the socket to the calls: messages wait here, bounded, and are handled in order, one at a time.
//!
//! The inbox outlives a connection: what was heard over one that broke is handled before what is heard over the next.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use strowger_host::operation::FailureKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::policy::Failure;
use crate::exchange::{EventSource, Exchange, News, Obeyed, Reception};
use crate::perform::PerformError;
use crate::store::UnixMs;

/// Messages that wait: seconds of a busy PBX.
const MESSAGES_MAX: usize = 1024;
/// Their bytes together; each may have as many as a message may.
const BYTES_MAX: u32 = 8 * 1024 * 1024;

/// How long news of a call waits for the call: the carrier may tell of one before it has answered the request that placed
/// it. Longer than such a request may take.
const EARLY_FOR: Duration = Duration::from_secs(20);
/// How often it is looked for.
const EARLY_RETRY: Duration = Duration::from_millis(100);
/// News that waits.
const EARLY_MAX: usize = 256;

/// A message, and which connection it came over.
#[derive(Debug)]
struct Received {
    text: Utf8Bytes,
    at: UnixMs,
    connection: u64,
    _room: OwnedSemaphorePermit,
}

/// A message said that its connection is of no use any more.
#[derive(Debug)]
pub(super) struct Complaint {
    pub(super) connection: u64,
    pub(super) failure: Failure,
}

/// Handling has fallen behind.
#[derive(Debug)]
pub(super) struct Full;

/// The end where messages are put in.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: mpsc::Sender<Received>,
    bytes: Arc<Semaphore>,
}

impl Inbox {
    pub(super) fn push(&self, text: Utf8Bytes, at: UnixMs, connection: u64) -> Result<(), Full> {
        let bytes = u32::try_from(text.len().max(1)).map_err(|_| Full)?;
        let room = self.bytes.clone().try_acquire_many_owned(bytes).map_err(|_| Full)?;
        let received = Received {
            text,
            at,
            connection,
            _room: room,
        };
        self.queue.try_send(received).map_err(|_| Full)
    }

    /// Waits until half of it is free. Whoever opens a socket before has to close it again, and loses what comes meanwhile.
    pub(super) fn room(&self) -> impl Future<Output = ()> + use<> {
        let (queue, bytes) = (self.queue.clone(), self.bytes.clone());
        async move {
            // Neither fails while the handler lives, and without it there is nothing to wait for.
            drop(queue.reserve_many(MESSAGES_MAX / 2).await);
            drop(bytes.acquire_many(BYTES_MAX / 2).await);
        }
    }
}

/// The end where they are handled.
#[derive(Debug)]
pub(super) struct Handler {
    exchange: Exchange,
    source: watch::Receiver<EventSource>,
    queue: mpsc::Receiver<Received>,
    complaints: mpsc::Sender<Complaint>,
    early: Early,
}

/// Both ends.
pub(super) fn inbox(
    exchange: Exchange,
    source: watch::Receiver<EventSource>,
    complaints: mpsc::Sender<Complaint>,
) -> (Inbox, Handler) {
    let (queue, messages) = mpsc::channel(MESSAGES_MAX);
    let inbox = Inbox {
        queue,
        bytes: Arc::new(Semaphore::new(BYTES_MAX as usize)),
    };
    let handler = Handler {
        exchange,
        source,
        queue: messages,
        complaints,
        early: Early::default(),
    };
    (inbox, handler)
}

impl Handler {
    /// Handles what comes until the inbox is gone and nothing is left.
    pub(super) async fn run(mut self) {
        let mut open = true;
        while open || !self.early.is_empty() {
            let retry = self.early.retry_at();
            tokio::select! {
                received = self.queue.recv(), if open => match received {
                    Some(received) => self.handle(received).await,
                    None => open = false,
                },
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => self.retry().await,
            }
        }
    }

    async fn handle(&mut self, received: Received) {
        let source = self.source.borrow().clone();
        let text = received.text.as_str().to_owned();
        let directives = match self.exchange.read_event(&source, text, received.at).await {
            Ok(directives) => directives,
            Err(PerformError::Failed(failure)) if failure.kind == FailureKind::Configuration => {
                let complaint = Complaint {
                    connection: received.connection,
                    failure: Failure {
                        code: failure.code,
                        message: failure.message,
                        retryable: failure.retryable,
                    },
                };
                // One is enough.
                drop(self.complaints.try_send(complaint));
                return;
            }
            // Without the message: it has phone numbers in it.
            Err(error) => {
                let bytes = received.text.len();
                tracing::error!(%error, bytes, "a message of an event socket could not be handled and is passed over");
                return;
            }
        };
        for directive in directives {
            match self.exchange.obey(&source, directive).await {
                Obeyed::Done => {}
                Obeyed::Tell(id, news) => self.tell(&source, id, news).await,
            }
        }
    }

    async fn tell(&mut self, source: &EventSource, id: String, news: News) {
        let now = Instant::now();
        // What the call will be told first is waiting already.
        if self.early.is_waiting(&id) {
            self.early.wait(id, news, now);
            return;
        }
        match self.exchange.tell_news(source, &id, &news).await {
            Reception::Told => {}
            // The end of a call that was refused, most likely.
            Reception::Nobody => tracing::debug!("an event names a call that this configuration does not have"),
            Reception::Perhaps => self.early.wait(id, news, now),
        }
    }

    async fn retry(&mut self) {
        let source = self.source.borrow().clone();
        let now = Instant::now();
        let mut not_yet = BTreeSet::new();
        for waiting in self.early.take(now) {
            if !not_yet.contains(&waiting.id) {
                match self.exchange.tell_news(&source, &waiting.id, &waiting.news).await {
                    Reception::Told => continue,
                    Reception::Perhaps if now < waiting.until => drop(not_yet.insert(waiting.id.clone())),
                    Reception::Perhaps | Reception::Nobody => {
                        tracing::debug!("an event names a call that this configuration does not have");
                        continue;
                    }
                }
            }
            self.early.keep(waiting);
        }
    }
}

/// News of calls that are not known yet, in order.
#[derive(Debug, Default)]
struct Early {
    waiting: VecDeque<Waiting>,
    retry_at: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    id: String,
    news: News,
    until: Instant,
}

impl Early {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn is_waiting(&self, id: &str) -> bool {
        self.waiting.iter().any(|waiting| waiting.id == id)
    }

    fn retry_at(&self) -> Option<Instant> {
        self.retry_at.filter(|_| !self.is_empty())
    }

    fn wait(&mut self, id: String, news: News, now: Instant) {
        if self.waiting.len() >= EARLY_MAX {
            tracing::error!("too much is told of calls that are being placed; the oldest news is dropped");
            self.waiting.pop_front();
        }
        if self.is_empty() {
            self.retry_at = Some(now + EARLY_RETRY);
        }
        let until = now + EARLY_FOR;
        self.waiting.push_back(Waiting { id, news, until });
    }

    /// Everything, to be told or to be kept again.
    fn take(&mut self, now: Instant) -> VecDeque<Waiting> {
        self.retry_at = Some(now + EARLY_RETRY);
        std::mem::take(&mut self.waiting)
    }

    fn keep(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread() -> (Inbox, mpsc::Receiver<Received>) {
        let (queue, messages) = mpsc::channel(MESSAGES_MAX);
        let bytes = Arc::new(Semaphore::new(BYTES_MAX as usize));
        (Inbox { queue, bytes }, messages)
    }

    #[test]
    fn an_inbox_is_full_by_number() {
        let (inbox, mut messages) = unread();
        for _ in 0..MESSAGES_MAX {
            inbox.push("{}".into(), 0, 1).unwrap();
        }
        assert!(inbox.push("{}".into(), 0, 1).is_err());
        drop(messages.try_recv().unwrap());
        inbox.push("{}".into(), 0, 1).unwrap();
    }

    #[tokio::test]
    async fn there_is_room_again_when_half_of_it_was_handled() {
        let (inbox, mut messages) = unread();
        inbox.room().await;
        for _ in 0..MESSAGES_MAX {
            inbox.push("{}".into(), 0, 1).unwrap();
        }
        let room = tokio::spawn(inbox.room());
        for _ in 0..MESSAGES_MAX / 2 {
            tokio::task::yield_now().await;
            assert!(!room.is_finished());
            drop(messages.recv().await.unwrap());
        }
        room.await.unwrap();
    }

    #[test]
    fn an_inbox_is_full_by_size() {
        let (inbox, mut messages) = unread();
        let large = "x".repeat(1024 * 1024);
        for _ in 0..8 {
            inbox.push(large.as_str().into(), 0, 1).unwrap();
        }
        assert!(inbox.push("{}".into(), 0, 1).is_err());
        drop(messages.try_recv().unwrap());
        inbox.push("{}".into(), 0, 1).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn early_news_keeps_its_order_and_is_bounded() {
        let mut early = Early::default();
        let now = Instant::now();
        assert_eq!(early.retry_at(), None);
        for number in 0..=EARLY_MAX {
            early.wait(format!("call {number}"), News::Answered, now);
        }
        assert_eq!(early.retry_at(), Some(now + EARLY_RETRY));
        let taken = early.take(now);
        assert_eq!((taken.len(), taken[0].id.as_str()), (EARLY_MAX, "call 1"));
        assert!(early.is_empty() && early.retry_at().is_none());
    }
}
