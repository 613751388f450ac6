//! What this process has written that others in it wait for. Another process on the same database is not heard: who must know of
//! its writes looks at the database as well, from time to time.

use std::sync::Arc;

use tokio::sync::{Notify, broadcast};

use super::{OrganizationId, Store};

/// Changes that a slow listener may be behind. One that is further behind learns that it is, and looks at everything.
const CALL_CHANGES_MAX: usize = 256;

/// Told after the commit.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    spooled: Arc<Notify>,
    calls: broadcast::Sender<OrganizationId>,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            spooled: Arc::default(),
            calls: broadcast::Sender::new(CALL_CHANGES_MAX),
        }
    }
}

impl Signals {
    /// The calls of an organisation are not what they were.
    pub(super) fn call_changed(&self, organization: &OrganizationId) {
        // Nobody may be listening.
        drop(self.calls.send(organization.clone()));
    }

    /// There may be something to deliver.
    pub(super) fn spooled(&self) {
        self.spooled.notify_one();
    }
}

impl Store {
    /// Told (`notify_one`) when outgoing events may be due. It has one listener.
    pub(crate) fn spooled(&self) -> Arc<Notify> {
        self.signals.spooled.clone()
    }

    /// The organisations whose calls change, from now on.
    pub(crate) fn call_changes(&self) -> broadcast::Receiver<OrganizationId> {
        self.signals.calls.subscribe()
    }
}
