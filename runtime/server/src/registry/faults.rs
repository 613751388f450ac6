//! Counts the calls that a version fails, and sounds the alarm when there are too many.
//!
//! Only faults after the proof of a webhook count, and those of media: a stranger can make a component look at anything, but
//! not bring its version down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use strowger_call::CallId;
use strowger_host::{GuestFault, Provider};
use tokio::sync::mpsc;

/// Distinct calls that a version fails before it is set aside.
pub const CALLS_TO_QUARANTINE: usize = 5;
/// Within this time.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Alarms that wait for somebody to act on them; more would only say the same.
const ALARMS_LENGTH: usize = 16;

/// A version fails too many calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The provider.
    pub provider: String,
    /// Digest of the version.
    pub digest: String,
    /// What happened, for people.
    pub reason: String,
}

/// Calls that a version failed, and when.
type Failed = Vec<(CallId, Instant)>;

/// The counter. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Faults {
    counted: Arc<Mutex<HashMap<String, Failed>>>,
    alarms: mpsc::Sender<Alarm>,
}

impl Faults {
    /// A counter, and where its alarms come out.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Alarm>) {
        let (alarms, receiver) = mpsc::channel(ALARMS_LENGTH);
        let counted = Arc::default();
        (Self { counted, alarms }, receiver)
    }

    /// A version failed a call. Never waits: media guests fault on threads that serve sockets.
    pub fn note(&self, provider: &Provider, call: &CallId, fault: &GuestFault) {
        let digest = provider.digest();
        if self.count(digest, call, Instant::now()) {
            let reason = format!(
                "{CALLS_TO_QUARANTINE} calls failed within {} s, the last because {fault}",
                WINDOW.as_secs()
            );
            let alarm = Alarm {
                provider: provider.name().to_owned(),
                digest: digest.to_owned(),
                reason,
            };
            drop(self.alarms.try_send(alarm));
        }
    }

    /// Whether that was one too many. The count then begins anew.
    fn count(&self, digest: &str, call: &CallId, now: Instant) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.retain(|_, calls| {
            calls.retain(|(_, at)| now.duration_since(*at) < WINDOW);
            !calls.is_empty()
        });
        let calls = counted.entry(digest.to_owned()).or_default();
        if calls.iter().any(|(counted, _)| counted == call) {
            return false;
        }
        calls.push((call.clone(), now));
        let too_many = calls.len() >= CALLS_TO_QUARANTINE;
        if too_many {
            counted.remove(digest);
        }
        too_many
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::new_call_id;

    #[test]
    fn distinct_calls_within_the_window_sound_the_alarm() {
        let (faults, _alarms) = Faults::new();
        let now = Instant::now();
        let one_call = new_call_id();
        // One call that fails again and again is one call.
        assert!((0..100).all(|_| !faults.count("one", &one_call, now)));
        let others = CALLS_TO_QUARANTINE - 1;
        let more = |digest: &str, at| (0..others).filter(|_| faults.count(digest, &new_call_id(), at)).count() > 0;
        assert!(!more("other", now), "each version is counted for itself");
        assert!(more("one", now));
        // Counted anew, and what is long past does not count.
        assert!(!more("one", now));
        assert!(!more("one", now + WINDOW));
        assert!(faults.count("one", &new_call_id(), now + WINDOW));
    }
}
