//! When to connect, when to wait, and when to give up: the life of one configuration's event socket, without clock or I/O.
//!
//! `handle_*` take what happened, [`Policy::state`] tells what to do now. Time and jitter are parameters.

use std::time::Duration;

use strowger_call::Monotonic;

/// The first wait after a failure; it doubles with each further one.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// Part of a wait that the jitter may take off, so that gateways do not all come back at once.
const JITTER_SHARE: f64 = 0.25;
/// How long a connection must stay up before what failed earlier is forgotten.
const PROVEN: Duration = Duration::from_secs(30);
/// Failures in a row after which nobody expects that the next attempt succeeds although nothing was changed.
const REFUSALS_MAX: u32 = 5;
/// How long it may go on failing for reasons that pass by themselves.
const FAILING_MAX: Duration = Duration::from_secs(3600);
/// How often a failure that goes on is told.
const TOLD_EVERY: Duration = Duration::from_secs(900);
/// Longest reason of a parked configuration, in characters.
pub(super) const REASON_CHARS_MAX: usize = 255;

/// Why there is no socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// Stable, in kebab case.
    pub(super) code: String,
    /// For the configuration's user: no addresses, no secrets.
    pub(super) message: String,
    /// Whether it may pass by itself.
    pub(super) retryable: bool,
}

impl Failure {
    /// One that may pass by itself.
    pub(super) fn passing(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            retryable: true,
        }
    }

    /// As a parked configuration tells it.
    pub(super) fn reason(&self) -> String {
        format!("{}: {}", self.code, self.message)
            .chars()
            .take(REASON_CHARS_MAX)
            .collect()
    }
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Obtain the lease.
    Waiting,
    /// Open the socket.
    Connecting,
    /// Serve it.
    Up {
        /// When it was opened.
        since: Monotonic,
    },
    /// Do nothing until then, then call [`Policy::handle_wake`].
    Backoff {
        /// When to try again.
        until: Monotonic,
    },
    /// Write down that the configuration is parked, then call [`Policy::handle_parked`].
    Parking {
        /// `{code}: {message}`.
        reason: String,
    },
    /// Nothing any more.
    Parked,
}

/// What a failure led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether to write it to the log. The first is told, one with another code, and else one in 15 minutes.
    pub(super) told: bool,
    /// Failures in a row, this one included.
    pub(super) failures: u32,
}

/// A run of failures.
#[derive(Debug)]
struct Streak {
    since: Monotonic,
    failures: u32,
    /// Those at its end that do not pass by themselves.
    refusals: u32,
    told_at: Monotonic,
    told_code: String,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Policy {
    state: State,
    streak: Option<Streak>,
}

impl Policy {
    /// For a configuration whose socket is to be opened.
    pub(super) fn new() -> Self {
        Self {
            state: State::Waiting,
            streak: None,
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The lease is ours.
    pub(super) fn handle_lease(&mut self) {
        if self.state == State::Waiting {
            self.state = State::Connecting;
        }
    }

    /// The lease is not ours any more. What failed so far is the new holder's to find out.
    pub(super) fn handle_lease_lost(&mut self) {
        if !matches!(self.state, State::Parking { .. } | State::Parked) {
            self.state = State::Waiting;
            self.streak = None;
        }
    }

    /// Somebody changed what decides about the socket: begin anew.
    pub(super) fn handle_changed(&mut self) {
        *self = Self::new();
    }

    /// The socket is open.
    pub(super) fn handle_open(&mut self, now: Monotonic) {
        if self.state == State::Connecting {
            self.state = State::Up { since: now };
        }
    }

    /// The carrier closed the socket in an orderly way.
    pub(super) fn handle_closed(&mut self, now: Monotonic, jitter: f64) -> (Failure, Verdict) {
        let failure = if self.is_proven(now) {
            Failure::passing("closed", "the carrier closed the event socket")
        } else {
            let within = PROVEN.as_secs();
            Failure::passing(
                "closed-immediately",
                format!("the carrier closes the event socket within {within} seconds"),
            )
        };
        let verdict = self.handle_failure(&failure, now, jitter);
        (failure, verdict)
    }

    /// The socket could not be opened, or broke. `jitter` is from 0 to 1.
    pub(super) fn handle_failure(&mut self, failure: &Failure, now: Monotonic, jitter: f64) -> Verdict {
        if self.is_proven(now) {
            self.streak = None;
        }
        let first = self.streak.is_none();
        let streak = self.streak.get_or_insert_with(|| Streak {
            since: now,
            failures: 0,
            refusals: 0,
            told_at: now,
            told_code: failure.code.clone(),
        });
        streak.failures = streak.failures.saturating_add(1);
        streak.refusals = if failure.retryable { 0 } else { streak.refusals + 1 };
        let told = first || streak.told_code != failure.code || now.since(streak.told_at) >= TOLD_EVERY;
        if told {
            streak.told_at = now;
            streak.told_code.clone_from(&failure.code);
        }
        let verdict = Verdict {
            told,
            failures: streak.failures,
        };
        let hopeless = streak.refusals >= REFUSALS_MAX || (failure.retryable && now.since(streak.since) >= FAILING_MAX);
        self.state = if hopeless {
            State::Parking {
                reason: failure.reason(),
            }
        } else {
            State::Backoff {
                until: now + delay(streak.failures, jitter),
            }
        };
        verdict
    }

    /// The provider cannot say where the socket is. What does not pass by itself parks at once: no attempt would differ.
    pub(super) fn handle_misconfigured(&mut self, failure: &Failure, now: Monotonic, jitter: f64) -> Verdict {
        let verdict = self.handle_failure(failure, now, jitter);
        if !failure.retryable {
            self.state = State::Parking {
                reason: failure.reason(),
            };
        }
        verdict
    }

    /// The wait is over, perhaps.
    pub(super) fn handle_wake(&mut self, now: Monotonic) {
        if matches!(self.state, State::Backoff { until } if now >= until) {
            self.state = State::Waiting;
        }
    }

    /// Whether it was written down that the configuration is parked. If not, the attempts go on: nobody would know why
    /// they ended.
    pub(super) fn handle_parked(&mut self, written: bool, now: Monotonic) {
        if matches!(self.state, State::Parking { .. }) {
            self.state = if written {
                State::Parked
            } else {
                State::Backoff {
                    until: now + BACKOFF_MAX,
                }
            };
        }
    }

    fn is_proven(&self, now: Monotonic) -> bool {
        matches!(self.state, State::Up { since } if now.since(since) >= PROVEN)
    }
}

fn delay(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let delay = BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX);
    delay.mul_f64(1.0 - JITTER_SHARE * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing(code: &str) -> Failure {
        Failure::passing(code, "it does not work")
    }

    fn lasting(code: &str) -> Failure {
        Failure {
            retryable: false,
            ..passing(code)
        }
    }

    /// A policy with a clock that the test turns, and no jitter.
    struct Story {
        policy: Policy,
        now: Monotonic,
    }

    impl Story {
        fn new() -> Self {
            Self {
                policy: Policy::new(),
                now: Monotonic::from_millis(1_000),
            }
        }

        fn after(&mut self, seconds: u64) -> &mut Self {
            self.now = self.now + Duration::from_secs(seconds);
            self
        }

        /// With the lease, at the next attempt.
        fn connecting(&mut self) -> &mut Self {
            if let State::Backoff { until } = *self.policy.state() {
                self.now = self.now.max(until);
                self.policy.handle_wake(self.now);
            }
            assert_eq!(*self.policy.state(), State::Waiting);
            self.policy.handle_lease();
            assert_eq!(*self.policy.state(), State::Connecting);
            self
        }

        fn up(&mut self) -> &mut Self {
            self.connecting();
            self.policy.handle_open(self.now);
            assert_eq!(*self.policy.state(), State::Up { since: self.now });
            self
        }

        fn fail(&mut self, failure: &Failure) -> Verdict {
            self.policy.handle_failure(failure, self.now, 0.0)
        }

        /// Seconds until the next attempt; none when there is none.
        fn wait(&self) -> Option<u64> {
            match *self.policy.state() {
                State::Backoff { until } => Some(until.since(self.now).as_secs()),
                _ => None,
            }
        }

        #[track_caller]
        fn parks(&self, reason: &str) {
            let reason = reason.to_owned();
            assert_eq!(*self.policy.state(), State::Parking { reason });
        }
    }

    #[test]
    fn the_waits_double_up_to_five_minutes() {
        let mut story = Story::new();
        let waits: Vec<_> = (0..11)
            .map(|_| {
                story.connecting().fail(&passing("connect"));
                story.wait().unwrap()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn jitter_only_shortens_a_wait() {
        for (jitter, expected) in [(0.0, 8_000), (0.5, 7_000), (1.0, 6_000), (7.0, 6_000), (-1.0, 8_000)] {
            assert_eq!(delay(4, jitter).as_millis(), expected, "{jitter}");
        }
    }

    #[test]
    fn only_a_connection_that_lasted_makes_failures_forgotten() {
        let mut story = Story::new();
        for _ in 0..4 {
            story.connecting().fail(&passing("connect"));
        }
        story.up().after(29).fail(&passing("connection-lost"));
        assert_eq!(story.wait(), Some(16));
        story.up().after(30).fail(&passing("connection-lost"));
        assert_eq!(story.wait(), Some(1));
    }

    #[test]
    fn a_connection_that_is_closed_at_once_is_a_failure_of_its_own() {
        let mut story = Story::new();
        story.up();
        let (failure, _) = story.policy.handle_closed(story.now, 0.0);
        assert_eq!((failure.code.as_str(), failure.retryable), ("closed-immediately", true));
        story.up().after(31);
        let (failure, verdict) = story.policy.handle_closed(story.now, 0.0);
        assert_eq!(failure.code, "closed");
        assert_eq!((verdict.failures, story.wait()), (1, Some(1)));
    }

    #[test]
    fn five_refusals_in_a_row_park() {
        let mut story = Story::new();
        for _ in 0..4 {
            story.connecting().fail(&lasting("http-401"));
            assert!(story.wait().is_some());
        }
        // One that passes by itself begins the count anew.
        story.connecting().fail(&passing("connect"));
        for _ in 0..4 {
            story.connecting().fail(&lasting("http-401"));
            assert!(story.wait().is_some());
        }
        story.connecting().fail(&lasting("http-403"));
        story.parks("http-403: it does not work");
        assert_eq!(story.wait(), None);
        story.policy.handle_parked(true, story.now);
        assert_eq!(*story.policy.state(), State::Parked);
    }

    #[test]
    fn an_hour_of_failures_parks_and_a_good_connection_in_between_does_not() {
        let mut story = Story::new();
        story.connecting().fail(&passing("connect"));
        story.after(3_000).connecting().fail(&passing("resolve"));
        assert!(story.wait().is_some());
        story.after(599).connecting().fail(&passing("connect"));
        assert!(story.wait().is_some());
        // Up, but not for long enough to count.
        story.up().after(1).fail(&passing("connection-lost"));
        story.parks("connection-lost: it does not work");

        let mut story = Story::new();
        story.connecting().fail(&passing("connect"));
        story.after(3_000).up().after(30).fail(&passing("connection-lost"));
        story.after(3_000).connecting().fail(&passing("connect"));
        assert!(story.wait().is_some());
    }

    #[test]
    fn settings_that_cannot_work_park_at_once_and_others_do_not() {
        let mut story = Story::new();
        story.connecting();
        story
            .policy
            .handle_misconfigured(&lasting("ws-client-missing"), story.now, 0.0);
        story.parks("ws-client-missing: it does not work");

        let mut story = Story::new();
        story.policy.handle_misconfigured(&passing("internal"), story.now, 0.0);
        assert_eq!(story.wait(), Some(1));
    }

    #[test]
    fn while_the_parking_cannot_be_written_the_attempts_go_on() {
        let mut story = Story::new();
        for _ in 0..5 {
            story.connecting().fail(&lasting("http-404"));
        }
        story.parks("http-404: it does not work");
        story.policy.handle_parked(false, story.now);
        assert_eq!(story.wait(), Some(300));
        story.connecting().fail(&lasting("http-404"));
        story.parks("http-404: it does not work");
        // And what works again is not parked.
        story.policy.handle_parked(false, story.now);
        story.up().after(40).fail(&passing("connection-lost"));
        assert_eq!(story.wait(), Some(1));
    }

    #[test]
    fn a_reason_is_never_longer_than_its_column() {
        let long = Failure {
            code: "code".to_owned(),
            message: "ä".repeat(400),
            retryable: false,
        };
        assert_eq!(long.reason().chars().count(), 255);
    }

    #[test]
    fn a_failure_is_told_first_when_it_changes_and_every_quarter_of_an_hour() {
        let mut story = Story::new();
        assert!(story.connecting().fail(&passing("connect")).told);
        assert!(!story.connecting().fail(&passing("connect")).told);
        assert!(story.connecting().fail(&passing("resolve")).told);
        assert!(!story.after(899 - 4).connecting().fail(&passing("resolve")).told);
        let verdict = story.after(10).connecting().fail(&passing("resolve"));
        assert_eq!((verdict.told, verdict.failures), (true, 5));
        // A new run of failures.
        assert!(story.up().after(60).fail(&passing("resolve")).told);
    }

    #[test]
    fn a_lease_that_is_lost_makes_it_wait_for_the_next() {
        let mut story = Story::new();
        story.connecting().fail(&passing("connect"));
        story.up().policy.handle_lease_lost();
        assert_eq!(*story.policy.state(), State::Waiting);
        story.connecting().fail(&passing("connect"));
        assert_eq!(story.wait(), Some(1), "another gateway's time is not counted");
    }

    #[test]
    fn changed_settings_are_tried_at_once() {
        let mut story = Story::new();
        for _ in 0..4 {
            story.connecting().fail(&lasting("http-401"));
        }
        story.policy.handle_changed();
        assert_eq!(*story.policy.state(), State::Waiting);
        story.connecting().fail(&lasting("http-401"));
        assert_eq!(story.wait(), Some(1));
    }
}
