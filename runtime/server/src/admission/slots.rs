//! The lines that live calls hold, and the one task that gives them back.
//!
//! A [`Slot`] is the right of one call to a line. Its row was written together with the call's; it is given back when the
//! value is dropped, which happens once however the call's session ends, by a panic too. Giving back is left to a
//! [`Bookkeeper`], because whoever drops a slot cannot wait: it deletes the row, again and again while the database is away.
//! A gateway that vanishes drops nothing; its slots count until another one notices that its row in the database, which the
//! bookkeeper renews in one statement however many calls there are, has not changed for the time of its lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::CallLimits;
use super::abandoned::close_abandoned;
use super::watch::Watch;
use crate::clock::Clock;
use crate::store::{NewGateway, Store, StoreError};

/// How often slots are given back again that could not be before.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The name of a running gateway: random, and another one after each start.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatewayId(String);

impl GatewayId {
    /// A new one.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub fn generate() -> Result<Self, StoreError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(hex::encode(bytes)))
    }

    /// As it is in rows.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As it was stored.
impl TryFrom<String> for GatewayId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text))
        } else {
            Err("not 32 hexadecimal digits")
        }
    }
}

/// What calls are admitted with. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Slots {
    /// Whose the slots are.
    pub gateway: GatewayId,
    /// What organisations may do of which the operator has said nothing.
    pub limits: Arc<CallLimits>,
    ended: mpsc::UnboundedSender<String>,
}

impl Slots {
    /// For this gateway, and what is given back to its bookkeeper. The queue has no bound of its own: it is never longer than
    /// there were live calls, and while the database is away there are no new ones.
    #[must_use]
    pub fn new(gateway: GatewayId, limits: CallLimits) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (ended, given_back) = mpsc::unbounded_channel();
        let slots = Self {
            gateway,
            limits: Arc::new(limits),
            ended,
        };
        (slots, given_back)
    }

    /// The slot of a call whose row is written.
    #[must_use]
    pub fn hold(&self, call: impl Into<String>) -> Slot {
        Slot {
            id: call.into(),
            ended: self.ended.clone(),
        }
    }
}

/// The right of a live call to a line. It ends when this is dropped.
#[derive(Debug)]
pub struct Slot {
    id: String,
    ended: mpsc::UnboundedSender<String>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Without a bookkeeper the gateway has stopped, and its lease with it.
        drop(self.ended.send(std::mem::take(&mut self.id)));
    }
}

/// Keeps the gateway's row, gives slots back, and closes what gateways have left that are gone.
#[derive(Debug)]
pub struct Bookkeeper {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Bookkeeper {
    /// Announces the gateway, closes the records of calls that nobody carries any more, and goes on with both. No call may be
    /// admitted before: others would take it for one of a gateway that is gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn start(
        store: Store,
        gateway: NewGateway,
        given_back: mpsc::UnboundedReceiver<String>,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let mut books = Books {
            store,
            gateway,
            clock,
            watch: Watch::default(),
            waiting: Vec::new(),
        };
        let now = books.clock.unix_ms();
        books.store.renew_gateway(&books.gateway, now).await?;
        books.store.succeed_gateways(&books.gateway).await?;
        books.sweep().await?;
        // What ended while nobody could give it back.
        books.store.settle_ended_slots(now).await?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(books.keep(given_back, stop.clone()));
        Ok(Self { task, stop })
    }

    /// Stops: what was given back is written, and so is that this gateway holds no lines any more.
    pub async fn stop(self) {
        self.stop.cancel();
        drop(self.task.await);
    }
}

struct Books {
    store: Store,
    gateway: NewGateway,
    clock: Clock,
    watch: Watch,
    /// Slots whose rows are still there.
    waiting: Vec<String>,
}

impl Books {
    /// How often the row is renewed, and the others' are looked at.
    fn interval(&self) -> Duration {
        self.gateway.lease / 3
    }

    async fn keep(mut self, mut given_back: mpsc::UnboundedReceiver<String>, stop: CancellationToken) {
        let mut renewals = interval(self.interval());
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retries = interval(RETRY_INTERVAL);
        retries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(id) = given_back.recv() => {
                    self.waiting.push(id);
                    while let Ok(id) = given_back.try_recv() {
                        self.waiting.push(id);
                    }
                    self.settle().await;
                }
                _ = renewals.tick() => self.renew().await,
                _ = retries.tick() => self.settle().await,
            }
        }
        given_back.close();
        while let Some(id) = given_back.recv().await {
            self.waiting.push(id);
        }
        self.settle().await;
        if let Err(error) = self.store.end_gateway(&self.gateway.id).await {
            tracing::warn!(%error, "it could not be written that this gateway ends; the others find out");
        }
    }

    async fn renew(&mut self) {
        match self.store.renew_gateway(&self.gateway, self.clock.unix_ms()).await {
            Ok(false) => {}
            Ok(true) => tracing::error!(
                "another gateway took this one for gone, since it has not renewed its row in the database for {} s, and has closed \
                 the records of its calls; they go on",
                self.gateway.lease.as_secs()
            ),
            // Live calls go on. Who cannot say that he lives cannot tell whether others do.
            Err(error) => {
                return tracing::warn!(%error, "this gateway's row in the database could not be renewed");
            }
        }
        if let Err(error) = self.sweep().await {
            tracing::warn!(%error, "it could not be looked whether other gateways have left calls behind");
        }
    }

    async fn sweep(&mut self) -> Result<(), StoreError> {
        let others = self.store.other_gateways(&self.gateway.id).await?;
        let host = Duration::from_micros(self.clock.host_us());
        for dead in self.watch.look(others, self.interval() * 2, host) {
            if self.store.bury_gateway(&dead).await? {
                tracing::warn!(
                    gateway = dead.id.as_str(),
                    "another gateway on this database is gone: it has not renewed its row for {} s",
                    dead.lease.as_secs()
                );
            }
        }
        let closed = close_abandoned(&self.store, self.clock.unix_ms()).await?;
        if closed > 0 {
            tracing::warn!(calls = closed, "closed the records of calls whose gateway is gone");
        }
        Ok(())
    }

    async fn settle(&mut self) {
        let now = self.clock.unix_ms();
        let mut left = Vec::new();
        for id in std::mem::take(&mut self.waiting) {
            // One that fails says how all the others would fare.
            let settled = if left.is_empty() {
                self.store.settle_slot(&id, now).await
            } else {
                Err(StoreError::Locked)
            };
            if let Err(error) = settled {
                if left.is_empty() {
                    tracing::warn!(%error, "a line could not be given back yet");
                }
                left.push(id);
            }
        }
        self.waiting = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_given_back_once_when_it_is_dropped() {
        let (slots, mut given_back) = Slots::new(GatewayId("g".to_owned()), CallLimits::default());
        let slot = slots.hold("one");
        assert!(given_back.try_recv().is_err());
        drop(slot);
        assert_eq!(given_back.try_recv().unwrap(), "one");
        let panicked = std::panic::catch_unwind(|| {
            let _slot = slots.hold("two");
            panic!("the session fails");
        });
        assert!(panicked.is_err());
        assert_eq!(given_back.try_recv().unwrap(), "two");
        assert!(given_back.try_recv().is_err());
    }
}
