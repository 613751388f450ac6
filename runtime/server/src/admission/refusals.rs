//! How many refused calls an organisation gets a record of.
//!
//! Whoever sees that calls are missing wants to know why, and the first ones tell. A flood that a limit keeps out must not fill
//! the database instead.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::store::{OrganizationId, UnixMs};

/// Records of refused calls, for each organisation and minute, of this gateway.
pub const RECORDS_PER_MINUTE_MAX: u32 = 60;

const MINUTE_MS: i64 = 60_000;

/// Counts them.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<(i64, HashMap<OrganizationId, u32>)>);

impl Refusals {
    /// Whether one more refused call gets a record.
    pub fn take(&self, organization: &OrganizationId, now: UnixMs) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.div_euclid(MINUTE_MS);
        if counted.0 != minute {
            *counted = (minute, HashMap::new());
        }
        let count = counted.1.entry(organization.clone()).or_default();
        *count = count.saturating_add(1);
        *count <= RECORDS_PER_MINUTE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_recorded_in_part_and_nobody_elses_records_suffer() {
        let refusals = Refusals::default();
        let (flooded, quiet) = (OrganizationId::generate(), OrganizationId::generate());
        let recorded = |now| (0..1_000).filter(|_| refusals.take(&flooded, now)).count();
        assert_eq!(recorded(30_000), 60);
        assert!(refusals.take(&quiet, 30_000));
        assert_eq!((recorded(59_999), recorded(60_000)), (0, 60));
        // A clock that is set back begins another minute as well.
        assert_eq!((recorded(-1), recorded(0)), (60, 60));
    }
}
