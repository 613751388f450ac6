//! Where a call's media guest runs: on the call's own thread while it is quick, and behind all the other slow ones once it is
//! not.
//!
//! A guest may take 10 ms for every message and never be at fault, and a thread that serves sockets serves many calls. So
//! whoever takes a noticeable share of a processor goes to the slow lane, a thread of low priority. There it delays its own
//! call and others like it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use strowger_host::{HostFault, InvokeError, MediaEvent, MediaFrame, MediaLeg, Message};

use crate::guests::GuestThreads;
use crate::store::OrganizationId;

/// Processor time in one window that makes a leg slow. An honest leg takes less than one millisecond in a second, one in an
/// interpreted language some tens of them.
const SLOW_CPU: Duration = Duration::from_millis(50);
const WINDOW: Duration = Duration::from_secs(1);
/// New legs of a version that was slow for an organisation begin in the slow lane for so long, for that organisation.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Versions that are remembered at once.
const REMEMBERED_MAX: usize = 1_024;

/// The slow lane. Cloning shares it.
#[derive(Debug, Clone)]
pub struct SlowLane {
    threads: GuestThreads,
    slow_until: Arc<Mutex<HashMap<Who, Instant>>>,
}

/// Whose leg of which version. What one organisation's calls make a shared version do is no reason to slow down others'.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    organization: String,
    digest: String,
}

impl SlowLane {
    /// One thread of the lowest priority.
    ///
    /// # Errors
    /// When the machine has no thread left.
    pub fn start() -> std::io::Result<Self> {
        Ok(Self {
            threads: GuestThreads::start("slow-lane", 1, 19)?,
            slow_until: Arc::default(),
        })
    }

    fn remember(&self, who: &Who, now: Instant) {
        let mut slow = self.slow_until.lock().unwrap_or_else(PoisonError::into_inner);
        slow.retain(|_, until| *until > now);
        if slow.len() < REMEMBERED_MAX {
            slow.insert(who.clone(), now + REMEMBERED);
        }
    }

    fn remembers(&self, who: &Who, now: Instant) -> bool {
        let slow = self.slow_until.lock().unwrap_or_else(PoisonError::into_inner);
        slow.get(who).is_some_and(|until| *until > now)
    }
}

/// A leg, and where it runs.
#[derive(Debug)]
pub(super) struct Lane {
    /// Away while the slow lane has it; for good when that lost it.
    leg: Option<MediaLeg>,
    who: Who,
    slow: bool,
    slow_lane: SlowLane,
    window_began: Instant,
    cpu_before: Duration,
}

impl Lane {
    pub(super) fn new(leg: MediaLeg, organization: &OrganizationId, digest: &str, slow_lane: SlowLane) -> Self {
        let now = Instant::now();
        let who = Who {
            organization: organization.as_str().to_owned(),
            digest: digest.to_owned(),
        };
        Self {
            slow: slow_lane.remembers(&who, now),
            cpu_before: leg.cpu_used(),
            leg: Some(leg),
            who,
            slow_lane,
            window_began: now,
        }
    }

    pub(super) async fn deserialize(&mut self, message: Message) -> Result<Vec<MediaEvent>, InvokeError> {
        self.run(message, |leg, message| leg.deserialize(message)).await
    }

    pub(super) async fn serialize(
        &mut self,
        frame: &MediaFrame,
    ) -> Result<Result<Vec<Message>, strowger_host::media::FrameProblem>, InvokeError> {
        if self.slow {
            return self.run(frame.clone(), |leg, frame| leg.serialize(&frame)).await;
        }
        // The quick lane borrows the frame: it allocates nothing for it.
        let result = self
            .leg
            .as_mut()
            .map_or_else(|| Err(lost()), |leg| leg.serialize(frame));
        self.judge();
        result
    }

    async fn run<A: Send + 'static, R: Send + 'static>(
        &mut self,
        argument: A,
        call: impl FnOnce(&mut MediaLeg, A) -> Result<R, InvokeError> + Send + 'static,
    ) -> Result<R, InvokeError> {
        let Some(mut leg) = self.leg.take() else {
            return Err(lost());
        };
        if !self.slow {
            let result = call(&mut leg, argument);
            self.leg = Some(leg);
            self.judge();
            return result;
        }
        let done = self.slow_lane.threads.run(move || {
            let result = call(&mut leg, argument);
            (leg, result)
        });
        let (leg, result) = done.await.ok_or_else(lost)?;
        self.leg = Some(leg);
        result
    }

    /// A look at what the guest has used costs nothing but a subtraction; the clock is read only when it has used something.
    fn judge(&mut self) {
        let Some(leg) = &self.leg else { return };
        let cpu = leg.cpu_used();
        // After a fault the leg was built again, and counts from nothing.
        self.cpu_before = self.cpu_before.min(cpu);
        let used = cpu - self.cpu_before;
        if used.is_zero() {
            return;
        }
        let now = Instant::now();
        if used >= SLOW_CPU && now.duration_since(self.window_began) <= WINDOW {
            self.slow = true;
            self.slow_lane.remember(&self.who, now);
            tracing::warn!(
                organization = %self.who.organization,
                digest = %self.who.digest,
                used_ms = used.as_millis(),
                limit_ms = SLOW_CPU.as_millis(),
                "the media of this call goes on in the slow lane: its provider takes too much processor time"
            );
        } else if now.duration_since(self.window_began) > WINDOW {
            self.window_began = now;
            self.cpu_before = cpu;
        }
    }

    /// A deadline that was missed is proof enough.
    pub(super) fn condemn(&mut self) {
        if !self.slow {
            self.slow = true;
            self.slow_lane.remember(&self.who, Instant::now());
        }
    }
}

fn lost() -> InvokeError {
    HostFault::Engine("the media leg was lost".to_owned()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_version_is_remembered_for_its_organisation_alone_and_for_a_while() {
        let lane = SlowLane::start().unwrap();
        let who = |organization: &str| Who {
            organization: organization.to_owned(),
            digest: "00".to_owned(),
        };
        let now = Instant::now();
        lane.remember(&who("one"), now);
        assert!(lane.remembers(&who("one"), now));
        assert!(!lane.remembers(&who("another"), now));
        assert!(!lane.remembers(&who("one"), now + REMEMBERED));
    }
}
