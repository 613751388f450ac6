//! The data directory as a place that one gateway has to itself.
//!
//! A gateway that crashed is known to be dead as soon as the next one holds the lock that it held: the operating system gave it
//! back. So the next one closes its calls' records at once, and does not wait for a lease. Gateways that share a data
//! directory are allowed; only the first of them has it to itself, and the others are noticed by their leases.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use crate::store::StoreError;

use super::GatewayId;

/// Name of the file, in the data directory.
const FILE: &str = "gateway.lock";

/// A place that is ours until this is dropped.
#[derive(Debug)]
pub struct Place {
    _locked: File,
    /// Random, and the same after each start.
    pub id: String,
}

impl Place {
    /// Takes the data directory; nothing when another gateway has it, or it cannot be locked.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub fn take(data_dir: &Path) -> Result<Option<Self>, StoreError> {
        let fresh = GatewayId::generate()?;
        match Self::lock(data_dir, fresh.as_str()) {
            Ok(place) => Ok(place),
            Err(error) => {
                tracing::warn!(%error, "the data directory cannot be locked: after a crash the next gateway waits for this one's lease");
                Ok(None)
            }
        }
    }

    fn lock(data_dir: &Path, fresh: &str) -> std::io::Result<Option<Self>> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(data_dir.join(FILE))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        let mut id = String::new();
        file.read_to_string(&mut id)?;
        if GatewayId::try_from(id.clone()).is_err() {
            fresh.clone_into(&mut id);
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(id.as_bytes())?;
        }
        Ok(Some(Self { _locked: file, id }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_the_place_and_it_is_the_same_one_for_the_next() {
        let data = tempfile::tempdir().unwrap();
        let first = Place::take(data.path()).unwrap().unwrap();
        assert!(Place::take(data.path()).unwrap().is_none());
        let id = first.id.clone();
        drop(first);
        let next = Place::take(data.path()).unwrap().unwrap();
        assert_eq!(next.id, id);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(Place::take(elsewhere.path()).unwrap().unwrap().id, id);
    }

    #[test]
    fn a_file_that_was_cut_off_is_written_again() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join(FILE), "0123").unwrap();
        let place = Place::take(data.path()).unwrap().unwrap();
        assert_eq!(place.id.len(), 32);
        assert_eq!(std::fs::read_to_string(data.path().join(FILE)).unwrap(), place.id);
    }
}
