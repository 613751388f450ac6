//! Holding a lease: it is renewed in the background, and given up in time when it cannot be.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::store::{LeaseKey, Store, StoreError};

/// How long an attempt that failed is waited after while there is time left.
const RETRY: Duration = Duration::from_secs(1);

/// How long giving a lease back may take: it ends by itself.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long leases last, and what follows from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeaseTimes {
    /// From the moment at which it is taken or renewed.
    pub(super) ttl: Duration,
}

impl LeaseTimes {
    fn renewal(self) -> Duration {
        self.ttl / 3
    }

    /// When a lease that could not be renewed is given up: the rest of its time is for closing the socket, and for clocks
    /// that disagree.
    fn usable(self) -> Duration {
        self.ttl * 2 / 3
    }

    /// How often somebody else's lease is asked for.
    pub(super) fn poll(self) -> Duration {
        self.ttl / 6
    }

    /// How long taking leave of the carrier may last once the lease is lost.
    pub(super) fn farewell(self) -> Duration {
        (self.ttl / 6).min(Duration::from_secs(5))
    }
}

/// Where leases are kept. A seam: the runtime uses [`StoredLeases`].
pub(super) trait LeaseBook: Clone + Send + Sync + 'static {
    /// Takes or renews; `false` when somebody else has it.
    fn take(&self, key: &LeaseKey, owner: &str, ttl: Duration)
    -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Gives back.
    fn release(&self, key: &LeaseKey, owner: &str) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Leases in the database.
#[derive(Debug, Clone)]
pub(super) struct StoredLeases {
    pub(super) store: Store,
    pub(super) clock: Clock,
}

impl LeaseBook for StoredLeases {
    async fn take(&self, key: &LeaseKey, owner: &str, ttl: Duration) -> Result<bool, StoreError> {
        self.store.take_lease(key, owner, ttl, self.clock.unix_ms()).await
    }

    async fn release(&self, key: &LeaseKey, owner: &str) -> Result<(), StoreError> {
        self.store.release_lease(key, owner).await
    }
}

/// A lease that is ours. Dropping it stops the renewals, and others get it when it ends.
pub(super) struct Lease<B: LeaseBook> {
    book: B,
    key: LeaseKey,
    owner: String,
    lost: CancellationToken,
    renewing: JoinHandle<()>,
}

impl<B: LeaseBook> Lease<B> {
    /// Takes the lease; nothing while somebody else has it.
    ///
    /// # Errors
    /// The store fails.
    pub(super) async fn take(
        book: B,
        key: LeaseKey,
        owner: String,
        times: LeaseTimes,
    ) -> Result<Option<Self>, StoreError> {
        // Counted from before the request: the database may count from later on, never from earlier.
        let began = Instant::now();
        if !book.take(&key, &owner, times.ttl).await? {
            return Ok(None);
        }
        let lost = CancellationToken::new();
        let task = {
            let (book, key, owner, lost) = (book.clone(), key.clone(), owner.clone(), lost.clone());
            async move {
                renew(&book, &key, &owner, times, began).await;
                lost.cancel();
            }
        };
        let renewing = tokio::spawn(task.instrument(tracing::Span::current()));
        Ok(Some(Self {
            book,
            key,
            owner,
            lost,
            renewing,
        }))
    }

    pub(super) fn key(&self) -> &LeaseKey {
        &self.key
    }

    /// Becomes ready when the lease is not ours any more, or will soon not be. What it protects must end now.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Gives the lease back. What it protects has ended.
    pub(super) async fn release(self) {
        self.renewing.abort();
        match timeout(RELEASE_TIMEOUT, self.book.release(&self.key, &self.owner)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease of an event socket could not be given back"),
            Err(_) => tracing::warn!("the lease of an event socket could not be given back in time"),
        }
    }
}

impl<B: LeaseBook> Drop for Lease<B> {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl<B: LeaseBook> fmt::Debug for Lease<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// Renews until that fails.
async fn renew(book: &impl LeaseBook, key: &LeaseKey, owner: &str, times: LeaseTimes, taken: Instant) {
    let mut renewed = taken;
    let mut next = renewed + times.renewal();
    loop {
        let end = renewed + times.usable();
        sleep_until(next.min(end)).await;
        let began = Instant::now();
        if began >= end {
            tracing::error!("the lease of an event socket could not be renewed in time");
            return;
        }
        next = match timeout_at(end, book.take(key, owner, times.ttl)).await {
            Ok(Ok(true)) => {
                renewed = began;
                began + times.renewal()
            }
            Ok(Ok(false)) => {
                tracing::warn!("the lease of an event socket was taken over");
                return;
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease of an event socket cannot be renewed");
                Instant::now() + RETRY
            }
            // Seen above.
            Err(_) => end,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use url::Url;

    use super::*;

    const TIMES: LeaseTimes = LeaseTimes {
        ttl: Duration::from_secs(30),
    };

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Mood {
        Works,
        Fails,
        Hangs,
        SomebodyElse,
    }

    /// A book that remembers when it was written, and has moods.
    #[derive(Debug, Clone)]
    struct Book(Arc<Mutex<(Mood, Vec<Instant>)>>);

    impl Book {
        fn new() -> Self {
            Self(Arc::new(Mutex::new((Mood::Works, Vec::new()))))
        }

        fn be(&self, mood: Mood) {
            self.0.lock().unwrap().0 = mood;
        }

        fn written(&self) -> Vec<Instant> {
            self.0.lock().unwrap().1.clone()
        }
    }

    impl LeaseBook for Book {
        async fn take(&self, _: &LeaseKey, _: &str, _: Duration) -> Result<bool, StoreError> {
            let mood = {
                let mut book = self.0.lock().unwrap();
                if book.0 == Mood::Works {
                    book.1.push(Instant::now());
                }
                book.0
            };
            match mood {
                Mood::Works => Ok(true),
                Mood::Fails => Err(StoreError::Locked),
                Mood::Hangs => std::future::pending().await,
                Mood::SomebodyElse => Ok(false),
            }
        }

        async fn release(&self, _: &LeaseKey, _: &str) -> Result<(), StoreError> {
            Ok(())
        }
    }

    async fn held(book: &Book) -> Lease<Book> {
        let key = LeaseKey::of(&Url::parse("ws://pbx.example/events").unwrap());
        Lease::take(book.clone(), key, "me".to_owned(), TIMES)
            .await
            .unwrap()
            .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_renewed_for_as_long_as_it_is_held() {
        let book = Book::new();
        let lease = held(&book).await;
        assert!(timeout(Duration::from_secs(3600), lease.lost()).await.is_err());
        let written = book.written();
        let gaps: Vec<_> = written.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            written.len() > 300 && gaps.iter().all(|gap| *gap < TIMES.ttl / 2),
            "{gaps:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_be_renewed_is_given_up_before_it_ends() {
        for mood in [Mood::Fails, Mood::Hangs] {
            let book = Book::new();
            let lease = held(&book).await;
            assert!(timeout(Duration::from_secs(25), lease.lost()).await.is_err());
            book.be(mood);
            lease.lost().await;
            let last = *book.written().last().unwrap();
            let held = Instant::now() - last;
            assert!(held >= TIMES.ttl / 2, "{mood:?}: no attempt is wasted: {held:?}");
            assert!(
                held + TIMES.farewell() < TIMES.ttl,
                "{mood:?}: nobody else may have it yet: {held:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_trouble_of_the_database_costs_nothing() {
        let book = Book::new();
        let lease = held(&book).await;
        book.be(Mood::Fails);
        assert!(timeout(Duration::from_secs(15), lease.lost()).await.is_err());
        book.be(Mood::Works);
        assert!(timeout(Duration::from_secs(3600), lease.lost()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_taken_over_is_lost_at_once() {
        let book = Book::new();
        let lease = held(&book).await;
        book.be(Mood::SomebodyElse);
        let began = Instant::now();
        lease.lost().await;
        assert!(began.elapsed() <= TIMES.ttl / 3 + Duration::from_secs(1));
    }
}
