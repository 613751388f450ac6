//! The state machine of one call: events in, actions out.
//!
//! ```text
//!   inbound   Created ───────────────────────► Answered ─► Connected ─► Ending ─► Ended
//!   outbound  Created ─► Dialing ─► Ringing ─►    "            "  │        ▲
//!                │          │          │            │            └─► Transferred
//!                └──────────┴──────────┴────────────┴───────────────────────┘
//! ```
//!
//! Decisions that are not obvious from the code:
//!
//! - **The agent is connected when the media socket is**, not when the webhook is answered. A media socket presents a token
//!   that works once, so it proves that a call exists; webhooks are what can be repeated, and many are never followed by
//!   media. The agent's handshake costs a few tens of milliseconds, during which the session keeps the caller's audio as
//!   pre-roll. Where a carrier opens the media while the call still rings, the agent is thereby dialled in advance.
//! - **The agent is started when audio flows and the call is answered**, so never to a ringing tone.
//! - **The carrier's terminal status closes the record.** Anything else that ends a call here (an agent that hangs up, a
//!   media socket that breaks) leaves the carrier possibly holding a live, billed call, so it is hung up; then the callback
//!   is awaited for a grace period, then asked for once, and then the call is closed with what is known.
//! - **The first reason stays.** What follows from ending a call (sockets closing, a hang-up's own status callback) does not
//!   explain it. Only a reason that was a guess, made when the media stopped, gives way to the carrier's word.
//! - **A transfer keeps the call with its agent until the two legs are connected.** While they are being connected the end
//!   of the media says nothing: that is how carriers take the caller away from it. From then on nothing that the agent or
//!   the media socket does ends the call; the end of either leg at the carrier ends the other.

mod action;
mod event;
mod outcome;
mod transfer;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::action::Action;
pub use self::event::{AnsweredBy, CallStatus, Cost, Digit, Event, Recorded, Requester, Verdict};
pub use self::outcome::{EndReason, Outcome, OutcomeStatus, Summary};
use self::transfer::{Step, Transfer};
pub use self::transfer::{TransferFailure, TransferProgress};
use crate::{CallId, Monotonic, ProviderCallId, TransferId};

/// Longest detail kept in an outcome, in characters: a sentence, not a stack trace of somebody's agent.
const DETAIL_CHARS_MAX: usize = 200;

/// Who called whom, seen from the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The carrier brought us the call.
    Inbound,
    /// We asked the carrier for the call.
    Outbound,
}

/// Where a call is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// We know of it.
    Created,
    /// Outbound: the carrier has accepted it.
    Dialing,
    /// Outbound: the other side is being alerted.
    Ringing,
    /// Answered, but media or agent are not there yet.
    Answered,
    /// Caller and agent hear each other.
    Connected,
    /// The caller talks to somebody else, without us.
    Transferred,
    /// Being taken down: hang-up, sockets, the carrier's last word.
    Ending,
    /// Closed.
    Ended,
}

/// The times and numbers that bound a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// From the beginning until we answered (inbound) or the carrier accepted the call (outbound). It must be longer than
    /// the deadline of the request that places a call, or an answer to that request may find the call closed.
    pub setup_timeout: Duration,
    /// From the carrier's acceptance of an outbound call until it is answered. Carriers themselves stop at about a minute.
    pub ring_timeout: Duration,
    /// From the answer until the carrier's audio has begun.
    pub media_connect_timeout: Duration,
    /// From the media socket until the agent is ready. A caller listens to silence meanwhile.
    pub agent_connect_timeout: Duration,
    /// From the answer until the call is ended whatever anybody says, so that a call forgotten by both sides is not billed
    /// for a weekend.
    pub call_duration_max: Duration,
    /// Until a hang-up that got no reply is taken as failed for good.
    pub hang_up_timeout: Duration,
    /// How often a hang-up is attempted in all: with the backoff, for longer than carriers count requests.
    pub hang_up_attempts_max: u32,
    /// From a hang-up's failure to the second attempt; doubled for each further one.
    pub hang_up_backoff: Duration,
    /// From the end of the media or the hang-up until the carrier is asked for the status that it has not reported.
    pub status_grace: Duration,
    /// Until a question for the status or the cost that got no reply is given up.
    pub fetch_timeout: Duration,
    /// Transfers of one call, successful or not.
    pub transfers_max: u32,
    /// From the destination's answer until the carrier has connected it with the caller. It must be longer than the requests
    /// which that takes, or two who talk already may be parted.
    pub transfer_connect_timeout: Duration,
    /// Entries of the record. A call of four hours with a key pressed every ten seconds stays below it.
    pub records_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            setup_timeout: Duration::from_secs(30),
            ring_timeout: Duration::from_secs(60),
            media_connect_timeout: Duration::from_secs(30),
            agent_connect_timeout: Duration::from_secs(5),
            call_duration_max: Duration::from_secs(4 * 60 * 60),
            hang_up_timeout: Duration::from_secs(10),
            hang_up_attempts_max: 6,
            hang_up_backoff: Duration::from_millis(500),
            status_grace: Duration::from_secs(15),
            fetch_timeout: Duration::from_secs(5),
            transfers_max: 20,
            transfer_connect_timeout: Duration::from_secs(60),
            records_max: 2_000,
        }
    }
}

/// What is known about a call when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Our name of the call.
    pub call_id: CallId,
    /// The carrier's name of the call. An outbound call gets it later.
    pub provider_call_id: Option<ProviderCallId>,
    /// Whether to ask for the cost before the record is closed. Only for providers that can tell it.
    pub fetch_cost: bool,
    /// The bounds of the call.
    pub limits: Limits,
}

impl Setup {
    /// A call with the default limits, of whose carrier nothing is known yet.
    pub fn new(call_id: CallId) -> Self {
        Self {
            call_id,
            provider_call_id: None,
            fetch_cost: false,
            limits: Limits::default(),
        }
    }
}

/// One call.
///
/// `handle_event` and `handle_timeout` take what happened; `poll_action` and `poll_timeout` give what to do and when to
/// wake; the rest only tells. The driver's part of the contract: after each `handle_*`, take actions until there are none,
/// then wait for the next event or for the time that `poll_timeout` names, whichever is first.
///
/// In return the actions end with exactly one [`Action::Finish`], after a bounded time without events.
#[derive(Debug)]
pub struct Call {
    setup: Setup,
    direction: Direction,
    state: State,
    media: Media,
    agent: Agent,
    transfer: Option<Transfer>,
    transfers: u32,
    /// How the agent left while a transfer was pending: the end of the call, should the transfer fail.
    deserted: Option<(EndReason, Option<String>)>,
    ending: Option<Ending>,
    timers: Timers,
    actions: VecDeque<Action>,

    created_at: Monotonic,
    answered_at: Option<Monotonic>,
    media_started_at: Option<Monotonic>,
    agent_started_at: Option<Monotonic>,
    transferred_at: Option<Monotonic>,

    /// Statuses that are in the record; a bit for each.
    statuses_seen: u16,
    carrier_status: Option<CallStatus>,
    carrier_duration_ms: Option<u64>,
    answered_by: Option<AnsweredBy>,
    digits: u64,
    barge_ins: u64,
    cost: Option<Cost>,
    records: u64,
    records_dropped: u64,
    outcome: Option<Outcome>,
}

impl Call {
    /// A call that a carrier brought.
    pub fn inbound(setup: Setup, now: Monotonic) -> Self {
        Self::new(Direction::Inbound, setup, now)
    }

    /// A call that we are about to ask a carrier for. Report what comes of it as `Placed` or `PlaceFailed`.
    pub fn outbound(setup: Setup, now: Monotonic) -> Self {
        Self::new(Direction::Outbound, setup, now)
    }

    fn new(direction: Direction, setup: Setup, now: Monotonic) -> Self {
        let mut timers = Timers::default();
        timers.set(Timer::Setup, now + setup.limits.setup_timeout);
        Self {
            setup,
            direction,
            state: State::Created,
            media: Media::Absent,
            agent: Agent::Idle,
            transfer: None,
            transfers: 0,
            deserted: None,
            ending: None,
            timers,
            actions: VecDeque::new(),
            created_at: now,
            answered_at: None,
            media_started_at: None,
            agent_started_at: None,
            transferred_at: None,
            statuses_seen: 0,
            carrier_status: None,
            carrier_duration_ms: None,
            answered_by: None,
            digits: 0,
            barge_ins: 0,
            cost: None,
            records: 0,
            records_dropped: 0,
            outcome: None,
        }
    }

    /// Takes what happened. The verdict is for logs and counters; a driver need not look at it.
    pub fn handle_event(&mut self, event: Event, now: Monotonic) -> Verdict {
        if self.state == State::Ended {
            return Verdict::Closed;
        }
        // The entry comes before the actions that follow from the event, so its place is kept while they are found.
        let actions_before = self.actions.len();
        let verdict = self.apply(&event, now);
        if matches!(verdict, Verdict::Applied | Verdict::Late) {
            if self.records < self.setup.limits.records_max {
                self.records += 1;
                let late = verdict == Verdict::Late;
                self.actions
                    .insert(actions_before, Action::Record(Recorded { at: now, event, late }));
            } else {
                self.records_dropped += 1;
            }
        }
        verdict
    }

    /// Takes the passing of time. Being called early, late or twice does no harm.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        while let Some(timer) = self.timers.expire(now) {
            match timer {
                Timer::Setup => self.end(EndReason::SetupTimeout, None, Next::HangUp, now),
                Timer::Ring => self.end(EndReason::NoAnswer, None, Next::HangUp, now),
                Timer::Media => self.end(EndReason::MediaTimeout, None, Next::HangUp, now),
                Timer::Agent => self.end(EndReason::AgentUnreachable, None, Next::HangUp, now),
                Timer::Duration => self.end(EndReason::DurationLimit, None, Next::HangUp, now),
                Timer::Transfer => self.transfer_timed_out(now),
                Timer::Ending => self.ending_timed_out(now),
            }
        }
    }

    /// The next thing to do, if there is one now.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) if nothing happens before. Nothing only if the call has ended.
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        self.timers.next()
    }

    /// Whether a transfer may be asked for now: how it went, when it cannot.
    pub fn may_transfer(&self) -> Result<(), TransferFailure> {
        if self.state != State::Connected || self.transfers >= self.setup.limits.transfers_max {
            return Err(TransferFailure::NotConnected);
        }
        match &self.transfer {
            Some(transfer) if !transfer.is_settled() => Err(TransferFailure::InProgress),
            _ => Ok(()),
        }
    }

    /// Where the call is in its life.
    pub fn state(&self) -> State {
        self.state
    }

    /// How the call ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Our name of the call.
    pub fn call_id(&self) -> &CallId {
        &self.setup.call_id
    }

    /// When the call was answered, if it was.
    pub fn answered_at(&self) -> Option<Monotonic> {
        self.answered_at
    }

    /// The carrier's name of the call, once known.
    pub fn provider_call_id(&self) -> Option<&ProviderCallId> {
        self.setup.provider_call_id.as_ref()
    }

    /// Who called whom.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The call at a glance.
    pub fn summary(&self) -> Summary {
        Summary {
            call_id: self.setup.call_id.clone(),
            provider_call_id: self.setup.provider_call_id.clone(),
            direction: self.direction,
            state: self.state,
            created_at: self.created_at,
            answered_at: self.answered_at,
            media_started_at: self.media_started_at,
            agent_started_at: self.agent_started_at,
            answered_by: self.answered_by,
            digits: self.digits,
            barge_ins: self.barge_ins,
            transferred_at: self.transferred_at,
            cost: self.cost.clone(),
            records_dropped: self.records_dropped,
            outcome: self.outcome.clone(),
        }
    }

    fn apply(&mut self, event: &Event, now: Monotonic) -> Verdict {
        match event {
            Event::WebhookAnswered => self.webhook_answered(now),
            Event::Rejected { reason } => match (self.direction, self.state) {
                (Direction::Inbound, State::Created) => {
                    self.end(EndReason::Rejected, Some(reason), Next::Close, now);
                    Verdict::Applied
                }
                _ => Verdict::Late,
            },
            Event::Placed { provider_call_id } => self.placed(provider_call_id, now),
            Event::PlaceFailed { code, message, .. } => self.place_failed(code, message, now),
            Event::Status {
                status,
                duration_ms,
                cause,
            } => self.status(*status, *duration_ms, cause.as_deref(), now),
            Event::StatusUnavailable { .. } => match self.phase() {
                Some(Phase::FetchingStatus) => {
                    self.close(now);
                    Verdict::Applied
                }
                _ => Verdict::Late,
            },
            Event::Identified { provider_call_id } => self.identified(provider_call_id, now),
            Event::AnsweredBy { by } if self.answered_by == Some(*by) => Verdict::Repeated,
            Event::AnsweredBy { by } => {
                self.answered_by = Some(*by);
                Verdict::Applied
            }
            Event::MediaConnected => self.media_connected(now),
            Event::MediaStarted => self.media_started(now),
            Event::MediaStopped => self.media_gone(None, now),
            Event::MediaLost { reason } => self.media_gone(Some(reason), now),
            Event::MediaFailed { reason } => match self.state {
                State::Ending | State::Ended => Verdict::Late,
                _ => {
                    self.end(EndReason::ProviderFault, Some(reason), Next::HangUp, now);
                    Verdict::Applied
                }
            },
            Event::AgentConnected => match self.agent {
                Agent::Connecting if self.state != State::Ending => {
                    self.agent = Agent::Ready;
                    self.timers.clear(Timer::Agent);
                    self.start_agent_if_ready(now);
                    Verdict::Applied
                }
                Agent::Ready => Verdict::Repeated,
                Agent::Idle | Agent::Connecting | Agent::Gone => Verdict::Late,
            },
            Event::AgentFailed { reason } => self.agent_gone(EndReason::AgentLost, Some(reason), now),
            Event::AgentClosed { code, reason } => {
                // An agent that speaks the media-streams protocol hangs up by closing. 1005 is a close frame without a
                // code, which is what a browser-like client sends for a plain `close()`.
                let reason_if_ready = match code {
                    Some(1000 | 1005) => EndReason::AgentHungUp,
                    _ => EndReason::AgentLost,
                };
                self.agent_gone(reason_if_ready, Some(reason), now)
            }
            // One that stops listening once it has asked for a transfer is as good as one that leaves.
            Event::AgentStalled if self.transfer_is_pending() && self.agent == Agent::Ready => {
                self.actions.push_back(Action::CloseAgent {
                    reason: EndReason::AgentStalled,
                });
                self.agent_gone(EndReason::AgentStalled, None, now)
            }
            Event::AgentStalled => self.agent_ends(EndReason::AgentStalled, None, now),
            Event::AgentHungUp { reason } => self.agent_ends(EndReason::AgentHungUp, reason.as_deref(), now),
            Event::Dtmf { .. } | Event::BargedIn { .. } if self.state == State::Ending => Verdict::Late,
            Event::Dtmf { .. } => {
                self.digits += 1;
                Verdict::Applied
            }
            Event::BargedIn { .. } => {
                self.barge_ins += 1;
                Verdict::Applied
            }
            Event::HangUpRequested { by } => {
                let reason = match by {
                    Requester::Api => EndReason::ApiRequest,
                    Requester::Operator => EndReason::OperatorRequest,
                };
                self.end_from_outside(reason, now)
            }
            Event::ShutdownRequested => self.end_from_outside(EndReason::Shutdown, now),
            Event::HangUpDone { already_ended } => self.hang_up_done(*already_ended, now),
            Event::HangUpFailed { retryable, .. } => self.hang_up_failed(*retryable, now),
            Event::CostKnown { cost } => {
                if self.cost.as_ref() == Some(cost) {
                    return Verdict::Repeated;
                }
                self.cost = Some(cost.clone());
                if self.phase() == Some(Phase::FetchingCost) {
                    self.close(now);
                }
                Verdict::Applied
            }
            Event::CostUnavailable { .. } => match self.phase() {
                Some(Phase::FetchingCost) => {
                    self.finish(now);
                    Verdict::Applied
                }
                _ => Verdict::Late,
            },
            Event::TransferRequested {
                transfer,
                ring_timeout_ms,
            } => self.transfer_requested(transfer, Duration::from_millis(*ring_timeout_ms), now),
            Event::TransferCanceled { transfer } => match self.transfer_of(transfer) {
                Some(known) if known.phase == transfer::Phase::Dialing => {
                    self.transfer_failed(TransferFailure::Canceled, now);
                    Verdict::Applied
                }
                _ => Verdict::Late,
            },
            Event::TransferIdentified { transfer } => match self.transfer_of(transfer).map(Transfer::identify) {
                Some(true) => {
                    self.cancel_transfer();
                    Verdict::Applied
                }
                Some(false) => Verdict::Applied,
                None => Verdict::Late,
            },
            Event::TransferDialFailed { transfer, refused, .. } => match self.transfer_of(transfer) {
                Some(known) => {
                    known.refused();
                    // The reply to the request may be lost and the leg dialled all the same: an answer counts.
                    if known.phase == transfer::Phase::Dialing {
                        let failure = if *refused {
                            TransferFailure::DestinationRefused
                        } else {
                            TransferFailure::ProviderError
                        };
                        self.transfer_failed(failure, now);
                        Verdict::Applied
                    } else {
                        Verdict::Late
                    }
                }
                None => Verdict::Late,
            },
            Event::TransferStatus { transfer, status, .. } => self.transfer_status(transfer, *status, now),
            Event::TransferConnected { transfer } => self.transfer_connected(transfer, now),
            Event::TransferConnectFailed { transfer, .. } => match self.transfer_of(transfer) {
                Some(known) if known.phase == transfer::Phase::Connecting => {
                    let hung_up = known.destination_gone;
                    self.transfer_failed(
                        if hung_up {
                            TransferFailure::HungUp
                        } else {
                            TransferFailure::ConnectFailed
                        },
                        now,
                    );
                    Verdict::Applied
                }
                _ => Verdict::Late,
            },
        }
    }

    fn transfer_of(&mut self, id: &TransferId) -> Option<&mut Transfer> {
        self.transfer.as_mut().filter(|transfer| transfer.id == *id)
    }

    fn transfer_is_pending(&self) -> bool {
        self.transfer.as_ref().is_some_and(Transfer::is_pending)
    }

    fn transfer_requested(&mut self, id: &TransferId, ring_timeout: Duration, now: Monotonic) -> Verdict {
        if self.may_transfer().is_err() {
            return Verdict::Late;
        }
        self.transfers += 1;
        self.transfer = Some(Transfer::new(id.clone()));
        self.timers.set(Timer::Transfer, now + ring_timeout);
        self.transfer_changed(TransferProgress::Dialing);
        self.actions.push_back(Action::DialDestination { transfer: id.clone() });
        Verdict::Applied
    }

    fn transfer_status(&mut self, id: &TransferId, status: CallStatus, now: Monotonic) -> Verdict {
        let Some(transfer) = self.transfer_of(id) else {
            // One that was settled, and rings or answers all the same.
            if !status.is_terminal() {
                self.actions.push_back(Action::CancelTransfer { transfer: id.clone() });
            }
            return Verdict::Late;
        };
        let over = transfer.phase == transfer::Phase::Over;
        match transfer.status(status) {
            Step::None if over => return Verdict::Late,
            Step::None => {}
            Step::Ringing => self.transfer_changed(TransferProgress::Ringing),
            Step::Connect => {
                let id = id.clone();
                self.timers
                    .set(Timer::Transfer, now + self.setup.limits.transfer_connect_timeout);
                self.transfer_changed(TransferProgress::Answered);
                self.actions.push_back(Action::ConnectTransfer { transfer: id });
            }
            Step::Fail(reason) => self.transfer_failed(reason, now),
            Step::LetGo => {
                self.cancel_transfer();
                return Verdict::Late;
            }
            Step::DestinationLeft => self.end(EndReason::Transferred, None, Next::HangUp, now),
        }
        Verdict::Applied
    }

    fn transfer_connected(&mut self, id: &TransferId, now: Monotonic) -> Verdict {
        let Some(transfer) = self.transfer_of(id) else {
            return Verdict::Late;
        };
        match transfer.phase {
            transfer::Phase::Connecting => {}
            transfer::Phase::Dialing | transfer::Phase::Connected => return Verdict::Repeated,
            transfer::Phase::Over => {
                // The reply came after its time: what it connected is taken apart again.
                if transfer.let_go() {
                    self.cancel_transfer();
                }
                return Verdict::Late;
            }
        }
        transfer.phase = transfer::Phase::Connected;
        let alone = transfer.destination_gone;
        self.state = State::Transferred;
        self.transferred_at = Some(now);
        for timer in [Timer::Transfer, Timer::Media, Timer::Agent] {
            self.timers.clear(timer);
        }
        self.transfer_changed(TransferProgress::Connected);
        self.close_legs(EndReason::Transferred);
        (self.media, self.agent) = (Media::Gone, Agent::Gone);
        if alone {
            self.end(EndReason::Transferred, None, Next::HangUp, now);
        }
        Verdict::Applied
    }

    fn transfer_timed_out(&mut self, now: Monotonic) {
        match self.transfer.as_ref().map(|transfer| transfer.phase) {
            Some(transfer::Phase::Dialing) => self.transfer_failed(TransferFailure::Timeout, now),
            Some(transfer::Phase::Connecting) => self.transfer_failed(TransferFailure::ConnectFailed, now),
            _ => {}
        }
    }

    /// The transfer did not come about: the caller is back with the agent, if both are still there.
    fn transfer_failed(&mut self, reason: TransferFailure, now: Monotonic) {
        self.give_transfer_up(TransferProgress::Failed(reason));
        self.timers.clear(Timer::Transfer);
        if let Some((reason, detail)) = self.deserted.take() {
            self.end(reason, detail.as_deref(), Next::HangUp, now);
        } else if self.media == Media::Gone {
            self.end(EndReason::MediaLost, None, Next::HangUp, now);
        }
    }

    fn give_transfer_up(&mut self, progress: TransferProgress) {
        let cancel = self.transfer.as_mut().is_some_and(Transfer::let_go);
        self.transfer_changed(progress);
        if cancel {
            self.cancel_transfer();
        }
    }

    fn transfer_changed(&mut self, progress: TransferProgress) {
        if let Some(transfer) = &self.transfer {
            self.actions.push_back(Action::TransferChanged {
                transfer: transfer.id.clone(),
                progress,
            });
        }
    }

    fn cancel_transfer(&mut self) {
        if let Some(transfer) = &self.transfer {
            self.actions.push_back(Action::CancelTransfer {
                transfer: transfer.id.clone(),
            });
        }
    }

    fn webhook_answered(&mut self, now: Monotonic) -> Verdict {
        match self.state {
            State::Created | State::Dialing | State::Ringing => {
                self.answered(now);
                Verdict::Applied
            }
            // The status callback was faster.
            State::Answered | State::Connected | State::Transferred => Verdict::Applied,
            State::Ending | State::Ended => Verdict::Late,
        }
    }

    fn answered(&mut self, now: Monotonic) {
        self.state = State::Answered;
        self.answered_at = Some(now);
        self.timers.clear(Timer::Setup);
        self.timers.clear(Timer::Ring);
        self.timers
            .set(Timer::Duration, now + self.setup.limits.call_duration_max);
        // The audio must begin, not only the socket open: a socket that says nothing is as silent for the caller.
        if self.media != Media::Started {
            self.timers
                .set(Timer::Media, now + self.setup.limits.media_connect_timeout);
        }
        self.start_agent_if_ready(now);
    }

    fn dialing(&mut self, now: Monotonic) {
        self.state = State::Dialing;
        self.timers.clear(Timer::Setup);
        self.timers.set(Timer::Ring, now + self.setup.limits.ring_timeout);
    }

    fn placed(&mut self, id: &ProviderCallId, now: Monotonic) -> Verdict {
        if self.direction == Direction::Inbound {
            return Verdict::Late;
        }
        if self.state == State::Created {
            self.dialing(now);
        }
        match &self.setup.provider_call_id {
            // A webhook was faster than the reply, and knows the call by a newer name perhaps.
            Some(known) if known != id => Verdict::Late,
            _ => {
                self.identified(id, now);
                Verdict::Applied
            }
        }
    }

    fn place_failed(&mut self, code: &str, message: &str, now: Monotonic) -> Verdict {
        if self.direction == Direction::Inbound {
            return Verdict::Late;
        }
        // The reply to the request may be lost and the call placed all the same. Whoever has a name for the call has a call.
        if self.setup.provider_call_id.is_some() {
            return Verdict::Late;
        }
        match (self.state, self.phase()) {
            (State::Created, _) => {
                let detail = format!("{code}: {message}");
                self.end(EndReason::PlaceFailed, Some(&detail), Next::Close, now);
                Verdict::Applied
            }
            // Its end was wanted before it began; now there is nothing to end.
            (State::Ending, Some(Phase::AwaitingId)) => {
                self.close(now);
                Verdict::Applied
            }
            _ => Verdict::Late,
        }
    }

    fn identified(&mut self, id: &ProviderCallId, now: Monotonic) -> Verdict {
        match &self.setup.provider_call_id {
            Some(known) if known == id => Verdict::Repeated,
            // Some carriers name the request first, and the call when it is answered: the newest name is what they obey.
            _ => {
                self.setup.provider_call_id = Some(id.clone());
                if self.phase() == Some(Phase::AwaitingId) {
                    self.hang_up(now);
                }
                Verdict::Applied
            }
        }
    }

    fn status(&mut self, status: CallStatus, duration_ms: Option<u64>, cause: Option<&str>, now: Monotonic) -> Verdict {
        let bit = 1_u16 << (status as u16);
        let seen = self.statuses_seen & bit != 0;
        self.statuses_seen |= bit;

        if status.is_terminal() {
            if let Some(first) = self.carrier_status {
                // A second report of the same end may be the first to know the duration.
                if first == status {
                    self.carrier_duration_ms = self.carrier_duration_ms.or(duration_ms);
                }
                return if seen { Verdict::Repeated } else { Verdict::Late };
            }
            self.carrier_status = Some(status);
            self.carrier_duration_ms = duration_ms;
            self.over(now);
            self.end(self.reason_of(status), cause, Next::Close, now);
            let reason = self.reason_of(status);
            if let Some(ending) = &mut self.ending {
                // That it completed says who hung up as little as the media's end did.
                if ending.guessed && status != CallStatus::Completed {
                    ending.reason = reason;
                    ending.detail = cause.map(bounded);
                }
                if !matches!(ending.phase, Phase::FetchingCost | Phase::Closed) {
                    self.close(now);
                }
            }
            return Verdict::Applied;
        }

        // Asked, the carrier says that it still has the call.
        if self.phase() == Some(Phase::FetchingStatus) {
            if self.hang_up_attempted() {
                self.close(now);
            } else {
                self.hang_up(now);
            }
            return if seen { Verdict::Repeated } else { Verdict::Applied };
        }
        if seen {
            return Verdict::Repeated;
        }
        let reached = match status {
            CallStatus::Initiated => State::Dialing,
            CallStatus::Ringing => State::Ringing,
            _ => State::Answered,
        };
        if self.state >= State::Ending {
            return Verdict::Late;
        }
        match (self.state, reached) {
            // Connected is Answered and more, and the carrier's word that it was is welcome.
            (State::Connected | State::Transferred, State::Answered) => Verdict::Applied,
            (state, reached) if reached < state => Verdict::Late,
            (state, reached) if reached == state => Verdict::Applied,
            (_, State::Answered) => {
                self.answered(now);
                Verdict::Applied
            }
            (state, reached) => {
                // An inbound call has rung before we knew of it; it has no such states.
                if self.direction == Direction::Outbound {
                    if state == State::Created {
                        self.dialing(now);
                    }
                    self.state = reached;
                }
                Verdict::Applied
            }
        }
    }

    fn reason_of(&self, status: CallStatus) -> EndReason {
        if self.state == State::Transferred {
            return EndReason::Transferred;
        }
        match status {
            CallStatus::Busy => EndReason::Busy,
            CallStatus::NoAnswer => EndReason::NoAnswer,
            // An inbound call is withdrawn by the one who made it.
            CallStatus::Canceled if self.direction == Direction::Inbound => EndReason::CallerHungUp,
            CallStatus::Canceled => EndReason::Canceled,
            CallStatus::Failed => EndReason::CarrierFailed,
            CallStatus::Completed | CallStatus::Initiated | CallStatus::Ringing | CallStatus::InProgress => {
                self.far_end_hung_up()
            }
        }
    }

    fn far_end_hung_up(&self) -> EndReason {
        match self.direction {
            Direction::Inbound => EndReason::CallerHungUp,
            Direction::Outbound => EndReason::CalleeHungUp,
        }
    }

    fn media_connected(&mut self, now: Monotonic) -> Verdict {
        match self.media {
            Media::Absent => {
                self.media = Media::Connected;
                if self.state == State::Ending {
                    self.actions.push_back(Action::CloseMedia);
                    return Verdict::Late;
                }
                self.agent = Agent::Connecting;
                self.actions.push_back(Action::ConnectAgent);
                self.timers
                    .set(Timer::Agent, now + self.setup.limits.agent_connect_timeout);
                Verdict::Applied
            }
            Media::Connected | Media::Started => Verdict::Repeated,
            Media::Gone => Verdict::Late,
        }
    }

    fn media_started(&mut self, now: Monotonic) -> Verdict {
        match self.media {
            Media::Absent | Media::Connected => {
                if self.media == Media::Absent {
                    // An announcement that overtook its own socket's: it takes a socket to make one.
                    self.media_connected(now);
                }
                if self.state == State::Ending {
                    return Verdict::Late;
                }
                self.media = Media::Started;
                self.media_started_at = Some(now);
                self.timers.clear(Timer::Media);
                self.start_agent_if_ready(now);
                Verdict::Applied
            }
            Media::Started => Verdict::Repeated,
            Media::Gone => Verdict::Late,
        }
    }

    /// The media ended, announced or (with a reason) not.
    fn media_gone(&mut self, lost: Option<&str>, now: Monotonic) -> Verdict {
        if matches!(self.media, Media::Absent | Media::Gone) {
            return Verdict::Late;
        }
        if self
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.phase == transfer::Phase::Connecting)
        {
            self.media = Media::Gone;
            return Verdict::Applied;
        }
        let ending = self.state == State::Ending;
        match lost {
            None => {
                self.end(self.far_end_hung_up(), None, Next::AwaitStatus, now);
                self.over(now);
                if !ending && let Some(ending) = &mut self.ending {
                    ending.guessed = true;
                }
            }
            Some(reason) => {
                // Gone first: there is no socket left to close.
                self.media = Media::Gone;
                self.end(EndReason::MediaLost, Some(reason), Next::HangUp, now);
            }
        }
        self.media = Media::Gone;
        Verdict::Applied
    }

    fn start_agent_if_ready(&mut self, now: Monotonic) {
        if self.state == State::Answered && self.media == Media::Started && self.agent == Agent::Ready {
            self.state = State::Connected;
            self.agent_started_at = Some(now);
            self.actions.push_back(Action::StartAgent);
        }
    }

    /// The agent's socket is gone.
    fn agent_gone(&mut self, reason_if_ready: EndReason, detail: Option<&str>, now: Monotonic) -> Verdict {
        let reason = match self.agent {
            Agent::Idle | Agent::Gone => return Verdict::Late,
            Agent::Connecting => EndReason::AgentUnreachable,
            Agent::Ready => reason_if_ready,
        };
        // Gone first: there is no socket left to close.
        self.agent = Agent::Gone;
        if self.transfer_is_pending() {
            self.deserted = Some((reason, detail.map(bounded)));
        } else {
            self.end(reason, detail, Next::HangUp, now);
        }
        Verdict::Applied
    }

    /// The agent, which is still connected, gives cause to end the call.
    fn agent_ends(&mut self, reason: EndReason, detail: Option<&str>, now: Monotonic) -> Verdict {
        if self.state >= State::Ending || matches!(self.agent, Agent::Idle | Agent::Gone) {
            return Verdict::Late;
        }
        self.end(reason, detail, Next::HangUp, now);
        Verdict::Applied
    }

    fn end_from_outside(&mut self, reason: EndReason, now: Monotonic) -> Verdict {
        match self.state {
            State::Ending | State::Ended => return Verdict::Late,
            // Caller and destination need no gateway to go on.
            State::Transferred if reason == EndReason::Shutdown => {
                self.transfer = None;
                self.end(EndReason::Transferred, None, Next::Close, now);
            }
            _ => self.end(reason, None, Next::HangUp, now),
        }
        Verdict::Applied
    }

    /// Begins to take the call down, unless that has begun: the first reason stays.
    fn end(&mut self, reason: EndReason, detail: Option<&str>, next: Next, now: Monotonic) {
        if self.state >= State::Ending {
            return;
        }
        match self.transfer.as_ref().map(|transfer| transfer.phase) {
            Some(transfer::Phase::Dialing | transfer::Phase::Connecting) => {
                self.give_transfer_up(TransferProgress::Failed(TransferFailure::CallEnded));
            }
            Some(transfer::Phase::Connected) => self.give_transfer_up(TransferProgress::Ended),
            Some(transfer::Phase::Over) | None => {}
        }
        let setup_deadline = self.timers.get(Timer::Setup);
        self.state = State::Ending;
        self.timers = Timers::default();
        self.ending = Some(Ending {
            reason,
            detail: detail.filter(|detail| !detail.is_empty()).map(bounded),
            guessed: false,
            begun_at: now,
            over_at: None,
            hang_ups: 0,
            status_fetched: false,
            phase: Phase::AwaitingStatus,
        });
        match next {
            Next::HangUp => {
                self.hang_up(now);
                if self.phase() == Some(Phase::AwaitingId) {
                    // The request that places the call may be under way: its answer is worth waiting for, because without
                    // it the call would ring on with nobody to hang it up.
                    let deadline = setup_deadline.filter(|deadline| *deadline > now);
                    let deadline = deadline.unwrap_or(now + self.setup.limits.hang_up_timeout);
                    self.timers.set(Timer::Ending, deadline);
                }
                self.close_legs(reason);
            }
            Next::AwaitStatus => {
                self.await_status(now);
                self.close_legs(reason);
            }
            Next::Close => {
                self.close_legs(reason);
                self.close(now);
            }
        }
    }

    /// Closes the sockets that are open. Called once: when the caller is taken elsewhere, or when the call begins to end.
    fn close_legs(&mut self, reason: EndReason) {
        if matches!(self.agent, Agent::Connecting | Agent::Ready) {
            self.actions.push_back(Action::CloseAgent { reason });
        }
        if matches!(self.media, Media::Connected | Media::Started) {
            self.actions.push_back(Action::CloseMedia);
        }
    }

    fn hang_up(&mut self, now: Monotonic) {
        let limits = &self.setup.limits;
        let Some(ending) = &mut self.ending else {
            return;
        };
        let Some(id) = &self.setup.provider_call_id else {
            ending.phase = Phase::AwaitingId;
            self.timers.set(Timer::Ending, now + limits.hang_up_timeout);
            return;
        };
        ending.hang_ups += 1;
        ending.phase = Phase::HangingUp;
        self.timers.set(Timer::Ending, now + limits.hang_up_timeout);
        self.actions.push_back(Action::HangUp {
            provider_call_id: id.clone(),
            attempt: ending.hang_ups,
        });
    }

    fn hang_up_done(&mut self, already_ended: bool, now: Monotonic) -> Verdict {
        // A reply may come after its timeout, when the status is awaited already.
        if !self.hang_up_attempted() {
            return Verdict::Late;
        }
        let far_end = self.far_end_hung_up();
        let Some(ending) = &mut self.ending else {
            return Verdict::Late;
        };
        if already_ended && ending.hang_ups == 1 && ending.reason == EndReason::MediaLost {
            // The call was over when the socket broke: closing it is how this carrier says goodbye. Of a carrier that could
            // not be asked at first nobody knows: it may have lost the call together with the socket.
            ending.reason = far_end;
            ending.detail = None;
            ending.guessed = true;
        }
        let begun_at = ending.begun_at;
        match ending.phase {
            Phase::HangingUp | Phase::Backoff => {
                self.over(if already_ended { begun_at } else { now });
                self.await_status(now);
                Verdict::Applied
            }
            _ => Verdict::Late,
        }
    }

    fn hang_up_failed(&mut self, retryable: bool, now: Monotonic) -> Verdict {
        let limits = &self.setup.limits;
        let Some(ending) = &mut self.ending else {
            return Verdict::Late;
        };
        if ending.phase != Phase::HangingUp {
            return Verdict::Late;
        }
        if retryable && ending.hang_ups < limits.hang_up_attempts_max {
            let doublings = (ending.hang_ups - 1).min(10);
            ending.phase = Phase::Backoff;
            self.timers
                .set(Timer::Ending, now + limits.hang_up_backoff * 2_u32.pow(doublings));
        } else {
            self.await_status(now);
        }
        Verdict::Applied
    }

    fn await_status(&mut self, now: Monotonic) {
        let grace = self.setup.limits.status_grace;
        if let Some(ending) = &mut self.ending {
            ending.phase = Phase::AwaitingStatus;
            self.timers.set(Timer::Ending, now + grace);
        }
    }

    fn ending_timed_out(&mut self, now: Monotonic) {
        let fetch_timeout = self.setup.limits.fetch_timeout;
        let Some(ending) = &mut self.ending else {
            return;
        };
        match ending.phase {
            Phase::Backoff => self.hang_up(now),
            // It may have been carried out all the same, so it is not repeated: the carrier's status will tell.
            Phase::HangingUp => self.await_status(now),
            Phase::AwaitingStatus => match &self.setup.provider_call_id {
                Some(id) if !ending.status_fetched => {
                    ending.status_fetched = true;
                    ending.phase = Phase::FetchingStatus;
                    self.timers.set(Timer::Ending, now + fetch_timeout);
                    self.actions.push_back(Action::FetchStatus {
                        provider_call_id: id.clone(),
                    });
                }
                _ => self.close(now),
            },
            Phase::AwaitingId | Phase::FetchingStatus => self.close(now),
            Phase::FetchingCost | Phase::Closed => self.finish(now),
        }
    }

    /// Everything that will be known is known, save the cost perhaps.
    fn close(&mut self, now: Monotonic) {
        let asks_cost = self.setup.fetch_cost && self.cost.is_none() && self.answered_at.is_some();
        let fetch_timeout = self.setup.limits.fetch_timeout;
        let Some(ending) = &mut self.ending else {
            return;
        };
        match &self.setup.provider_call_id {
            Some(id) if asks_cost && ending.phase != Phase::FetchingCost => {
                ending.phase = Phase::FetchingCost;
                self.timers.set(Timer::Ending, now + fetch_timeout);
                self.actions.push_back(Action::FetchCost {
                    provider_call_id: id.clone(),
                });
            }
            _ => self.finish(now),
        }
    }

    fn finish(&mut self, now: Monotonic) {
        if self.state == State::Ended {
            return;
        }
        let Some(ending) = &mut self.ending else {
            return;
        };
        ending.phase = Phase::Closed;
        let ended_at = ending.over_at.unwrap_or(ending.begun_at).min(now);
        let (reason, detail) = (ending.reason, ending.detail.take());
        let outcome = Outcome {
            status: self.outcome_status(reason),
            reason,
            detail,
            carrier_status: self.carrier_status,
            answered_at: self.answered_at,
            ended_at,
            duration_ms: self
                .answered_at
                .map_or(0, |answered_at| ended_at.millis_since(answered_at)),
            carrier_duration_ms: self.carrier_duration_ms,
        };
        self.state = State::Ended;
        self.timers = Timers::default();
        self.outcome = Some(outcome.clone());
        self.actions.push_back(Action::Finish(outcome));
    }

    fn outcome_status(&self, reason: EndReason) -> OutcomeStatus {
        match reason {
            reason if reason.is_fault() => OutcomeStatus::Failed,
            // Hung up by us for ringing too long, a carrier may call it canceled or even completed.
            EndReason::NoAnswer => OutcomeStatus::NoAnswer,
            EndReason::Busy => OutcomeStatus::Busy,
            _ => match self.carrier_status {
                Some(CallStatus::Failed) => OutcomeStatus::Failed,
                Some(CallStatus::Busy) => OutcomeStatus::Busy,
                Some(CallStatus::NoAnswer) => OutcomeStatus::NoAnswer,
                Some(CallStatus::Canceled) => OutcomeStatus::Canceled,
                Some(CallStatus::Completed) => OutcomeStatus::Completed,
                _ if self.answered_at.is_some() => OutcomeStatus::Completed,
                _ => OutcomeStatus::Canceled,
            },
        }
    }

    /// Notes the first sign that the call is over.
    fn over(&mut self, at: Monotonic) {
        if let Some(ending) = &mut self.ending {
            ending.over_at.get_or_insert(at);
        }
    }

    fn phase(&self) -> Option<Phase> {
        self.ending.as_ref().map(|ending| ending.phase)
    }

    fn hang_up_attempted(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.hang_ups > 0)
    }
}

/// The carrier's leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Absent,
    Connected,
    Started,
    Gone,
}

/// The agent's leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agent {
    Idle,
    Connecting,
    Ready,
    Gone,
}

/// What a call does first when it begins to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The carrier may still hold the call.
    HangUp,
    /// The carrier has let go of the call and will say how it ended.
    AwaitStatus,
    /// Nothing more will come.
    Close,
}

#[derive(Debug)]
struct Ending {
    reason: EndReason,
    detail: Option<String>,
    /// The reason is inferred from the media's end and gives way to the carrier's word.
    guessed: bool,
    begun_at: Monotonic,
    /// The first sign that the call is over at the carrier.
    over_at: Option<Monotonic>,
    hang_ups: u32,
    status_fetched: bool,
    phase: Phase,
}

/// What an ending call waits for. Each has a timer, so each passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// To learn the name of what is to be hung up.
    AwaitingId,
    HangingUp,
    Backoff,
    AwaitingStatus,
    FetchingStatus,
    FetchingCost,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    Setup,
    Ring,
    Media,
    Agent,
    Duration,
    Transfer,
    Ending,
}

impl Timer {
    const ALL: [Self; 7] = [
        Self::Setup,
        Self::Ring,
        Self::Media,
        Self::Agent,
        Self::Duration,
        Self::Transfer,
        Self::Ending,
    ];
}

/// A deadline for each timer that runs.
#[derive(Debug, Default)]
struct Timers([Option<Monotonic>; 7]);

impl Timers {
    fn get(&self, timer: Timer) -> Option<Monotonic> {
        self.0[timer as usize]
    }

    fn set(&mut self, timer: Timer, at: Monotonic) {
        self.0[timer as usize] = Some(at);
    }

    fn clear(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    fn next(&self) -> Option<Monotonic> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes the earliest timer that is due.
    fn expire(&mut self, now: Monotonic) -> Option<Timer> {
        let due = Timer::ALL
            .into_iter()
            .filter(|timer| self.get(*timer).is_some_and(|at| at <= now));
        let timer = due.min_by_key(|timer| self.get(*timer))?;
        self.clear(timer);
        Some(timer)
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(DETAIL_CHARS_MAX).collect()
}
