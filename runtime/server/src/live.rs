//! Live calls, for those who watch them: the one picture of an organisation's calls that all its streams are drawn from.
//!
//! While somebody watches an organisation, one task looks at its live calls: when this process has changed one, and every second
//! for what others on the same database did. A stream compares what it has sent with what there is now. So there is no queue that a slow
//! reader could fill: it misses what was between, and never the state of now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{broadcast, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::store::{CallRecord, OrganizationId, PAGE_ROWS_MAX, Store, StoreError};

/// Streams of one organisation at once.
pub const STREAMS_MAX: usize = 20;
/// How often it is looked what other processes did.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest time between two looks, however much happens.
const PAUSE: Duration = Duration::from_millis(50);

/// The live calls of an organisation, newest first.
pub(crate) type Picture = Arc<Vec<CallRecord>>;

/// Why nobody watches.
#[derive(Debug, Error)]
pub enum WatchError {
    /// The organisation has as many streams as it may.
    #[error("{STREAMS_MAX} streams of live calls are open; close one")]
    TooMany,
    /// The gateway stops.
    #[error("the gateway is stopping; try again when it is back")]
    Stopping,
    /// The calls cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Shows live calls. Cloning shares it.
#[derive(Debug, Clone)]
pub struct LiveCalls {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    feeds: Mutex<HashMap<OrganizationId, watch::Receiver<Picture>>>,
    streams: Mutex<HashMap<OrganizationId, usize>>,
    closing: CancellationToken,
}

/// One who watches. Its place is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Watching {
    /// The newest picture; an error when there will be none any more.
    pub(crate) pictures: watch::Receiver<Picture>,
    /// The gateway stops.
    pub(crate) closing: CancellationToken,
    _place: Place,
}

/// Counts among an organisation's streams.
#[derive(Debug)]
struct Place {
    inner: Arc<Inner>,
    organization: OrganizationId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = self.inner.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = streams.get_mut(&self.organization) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.organization);
            }
        }
    }
}

impl LiveCalls {
    /// Shows the calls of this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                feeds: Mutex::default(),
                streams: Mutex::default(),
                closing: CancellationToken::new(),
            }),
        }
    }

    /// Watches the calls of an organisation.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn watch(&self, organization: &OrganizationId) -> Result<Watching, WatchError> {
        if self.inner.closing.is_cancelled() {
            return Err(WatchError::Stopping);
        }
        let place = self.take_place(organization)?;
        let known = self.feed(organization);
        let pictures = match known {
            Some(pictures) => pictures,
            None => self.start_feed(organization).await?,
        };
        Ok(Watching {
            pictures,
            closing: self.inner.closing.clone(),
            _place: place,
        })
    }

    /// Ends all streams, and lets no new ones begin.
    pub fn close(&self) {
        self.inner.closing.cancel();
    }

    fn take_place(&self, organization: &OrganizationId) -> Result<Place, WatchError> {
        let mut streams = self.inner.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let count = streams.entry(organization.clone()).or_default();
        if *count >= STREAMS_MAX {
            return Err(WatchError::TooMany);
        }
        *count += 1;
        Ok(Place {
            inner: self.inner.clone(),
            organization: organization.clone(),
        })
    }

    /// The feed of an organisation, if one runs.
    fn feed(&self, organization: &OrganizationId) -> Option<watch::Receiver<Picture>> {
        let feeds = self.inner.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        // One whose task has ended says so.
        feeds
            .get(organization)
            .filter(|pictures| pictures.has_changed().is_ok())
            .cloned()
    }

    async fn start_feed(&self, organization: &OrganizationId) -> Result<watch::Receiver<Picture>, WatchError> {
        // Before the look: what changes after it is heard.
        let changes = self.inner.store.call_changes();
        let first = look(&self.inner.store, organization).await?;
        let (sender, pictures) = watch::channel(Arc::new(first));
        // Of two who begin at once the second feed wins; the first goes on for those who have it.
        let mut feeds = self.inner.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|_, pictures| pictures.has_changed().is_ok());
        feeds.insert(organization.clone(), pictures.clone());
        drop(feeds);
        tokio::spawn(run_feed(self.inner.clone(), organization.clone(), sender, changes));
        Ok(pictures)
    }
}

/// Keeps the picture current while somebody watches.
async fn run_feed(
    inner: Arc<Inner>,
    organization: OrganizationId,
    sender: watch::Sender<Picture>,
    mut changes: broadcast::Receiver<OrganizationId>,
) {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = inner.closing.cancelled() => return,
            _ = looks.tick() => {}
            () = changed(&mut changes, &organization) => {}
        }
        let watched = inner
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&organization);
        if !watched {
            return;
        }
        match look(&inner.store, &organization).await {
            Ok(calls) => {
                sender.send_if_modified(|picture| {
                    let is_new = **picture != calls;
                    if is_new {
                        *picture = Arc::new(calls);
                    }
                    is_new
                });
            }
            Err(error) => tracing::warn!(%error, "live calls cannot be read"),
        }
        sleep(PAUSE).await;
    }
}

/// Waits until the organisation's calls have changed, or may have.
async fn changed(changes: &mut broadcast::Receiver<OrganizationId>, organization: &OrganizationId) {
    loop {
        match changes.recv().await {
            Ok(other) if other != *organization => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            // The store is gone: there is nothing to wait for but the end.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn look(store: &Store, organization: &OrganizationId) -> Result<Vec<CallRecord>, StoreError> {
    store.live_calls(organization, PAGE_ROWS_MAX).await
}
