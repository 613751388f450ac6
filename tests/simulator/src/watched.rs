//! A value that others can wait on: how tests wait for conditions instead of sleeping.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

/// The condition did not come true in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing of the kind happened within {0:?}")]
pub struct TimedOut(pub Duration);

#[derive(Debug)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changes: watch::Sender<u64>,
}

impl<T: Default> Default for Watched<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Watched<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changes: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        // A reporter that panicked has already failed its test; the others may still read.
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changes.send_modify(|count| *count += 1);
        result
    }

    /// Waits until `look` finds something, looking again after each change.
    pub(crate) async fn wait_for<R>(
        &self,
        within: Duration,
        mut look: impl FnMut(&mut T) -> Option<R>,
    ) -> Result<R, TimedOut> {
        let mut changes = self.changes.subscribe();
        let found = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = look(&mut self.lock()) {
                    return found;
                }
                // The sender lives in `self`, so this cannot fail while we are called.
                let _ = changes.changed().await;
            }
        };
        tokio::time::timeout(within, found).await.map_err(|_| TimedOut(within))
    }
}
