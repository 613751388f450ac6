//! What a call is, for as long as it lives: whose, over what, to whom. It does not change.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use strowger_call::timeline::Timeline;
use strowger_call::{
    Address, CallId, Cost, Direction, Limits, Outcome, ProviderCallId, Summary, TransferId, TransferProgress,
};
use strowger_host::operation::{self, FailureKind, MediaAddress, RouteUrl};
use strowger_host::{Ability, Credentials, InvokeError, MediaLeg, Moment, Operation, Provider};
use thiserror::Error;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::admission::{Refusal, Slots};
use crate::agent::{AgentLimits, AgentSpec, CheckedDial};
use crate::clock::Clock;
use crate::invocations::costs::CallCosts;
use crate::metrics::{EndedCall, Metrics};
use crate::perform::{PerformError, Performer};
use crate::recording::RecordingWriter;
use crate::registry::faults::Faults;
use crate::session::lane::SlowLane;
use crate::store::{CallFinish, NewEvent, NewTransfer, Scope, Store, StoreError, Terms, TransferState, UnixMs};

/// Entries of a call's record that wait for the store: as many as a call may have.
const EVENTS_LENGTH: usize = 2_100;
/// Entries that are written at once.
const EVENTS_BATCH: usize = 64;

/// How often the end of a transfer's second leg is asked for, and how long it is waited between the first two times.
const CANCEL_ATTEMPTS_MAX: u32 = 6;
const CANCEL_PAUSE: Duration = Duration::from_millis(500);

/// What a session has written down while its call goes on.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Something happened.
    Event(NewEvent),
    /// The call was answered, at this time.
    Answered(UnixMs),
}

/// Why the carrier could not be asked.
#[derive(Debug, Error)]
pub enum CarrierError {
    /// The operation failed.
    #[error(transparent)]
    Perform(#[from] PerformError),
    /// The component cannot do that.
    #[error("the provider cannot do that")]
    Unsupported,
    /// A limit of the organisation does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Calls show numbers of the configuration's own only.
    #[error("the caller id is no active number of this configuration")]
    ForeignCallerId,
}

impl CarrierError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Perform(error) if error.is_retryable())
    }

    /// A short code for records.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Perform(error) => error.code(),
            Self::Unsupported => "unsupported".to_owned(),
            Self::ForeignCallerId => "foreign-caller-id".to_owned(),
            Self::Refused(refusal) => refusal.code().replace('_', "-"),
        }
    }
}

/// The fixed facts of a call, and what it may use.
pub struct CallContext {
    /// Our name of the call.
    pub call_id: CallId,
    /// Who called whom.
    pub direction: Direction,
    /// The version that the call keeps.
    pub provider: Provider,
    /// The configuration's.
    pub credentials: Credentials,
    /// What the provider's keys belong to.
    pub scope: Scope,
    /// Exposed: a number or a SIP address.
    pub caller: String,
    /// Exposed: a number or a SIP address.
    pub callee: String,
    /// The carrier's name of the call, if known at the beginning.
    pub provider_call_id: Option<ProviderCallId>,
    /// The bounds of the call.
    pub limits: Limits,
    /// Where the media socket is opened.
    pub media: MediaAddress,
    /// Where this provider's routes begin.
    pub callback_base: String,
    /// Who takes the call.
    pub agent: AgentSpec,
    /// The patience with it.
    pub agent_limits: AgentLimits,
    /// How it is reached.
    pub dialler: CheckedDial,
    /// Where recordings are written.
    pub recordings: RecordingWriter,
    /// For a media guest that is not quick.
    pub slow_lane: SlowLane,
    /// The folder for this gateway's recordings and pictures.
    pub folder: PathBuf,
    /// Whether this call is recorded.
    pub record: bool,
    /// What the provider's invocations for this call cost.
    pub costs: Arc<CallCosts>,
    /// The clocks.
    pub clock: Clock,
    /// Where its end is counted.
    pub metrics: Metrics,
    pub(super) slots: Slots,
    pub(super) performer: Performer,
    pub(super) store: Store,
    pub(super) faults: Faults,
    pub(super) writers: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for CallContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallContext")
            .field("call_id", &self.call_id)
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

impl CallContext {
    /// The call as a component sees it.
    #[must_use]
    pub fn guest_call(&self, provider_call_id: Option<&ProviderCallId>, attachment: Option<&Value>) -> operation::Call {
        let facts = CallFacts {
            call_id: &self.call_id,
            direction: self.direction,
            caller: &self.caller,
            callee: &self.callee,
            provider_call_id,
            attachment,
        };
        facts.describe(&self.provider, &self.callback_base)
    }

    /// Whether the carrier can connect the caller with somebody else.
    #[must_use]
    pub fn can_transfer(&self) -> bool {
        self.provider.can(Ability::Transfer)
    }

    /// The number of ours that the call goes over, which a destination sees.
    #[must_use]
    pub fn own_number(&self) -> Option<Address> {
        let own = match self.direction {
            Direction::Inbound => &self.callee,
            Direction::Outbound => &self.caller,
        };
        Address::parse(own, None).ok()
    }

    /// Whether the carrier can be told to end the call.
    #[must_use]
    pub fn can_hang_up(&self) -> bool {
        self.provider.can(Ability::Calling)
    }

    /// This moment, for an operation.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment::at(self.clock.unix_ms_unsigned())
    }

    /// Opens the media leg, away from the threads that serve sockets: starting a component may take its time.
    ///
    /// # Errors
    /// A fault of the component, or ours.
    pub async fn open_leg(&self, call: operation::Call) -> Result<MediaLeg, PerformError> {
        let (provider, credentials, moment) = (self.provider.clone(), self.credentials.clone(), self.moment());
        let open = move || {
            provider
                .open_leg(&credentials, call, moment)
                .map_err(PerformError::from)
        };
        let opened = self.performer.invoke(Some(&self.scope.organization), open).await;
        opened.inspect_err(|error| self.note_fault(error))
    }

    /// Runs an operation for this call. What goes wrong in the component counts against its version.
    pub(super) async fn run<T: Send + 'static>(&self, operation: Operation<T>) -> Result<T, PerformError> {
        let done = self.performer.run(operation, &self.scope).await;
        done.inspect_err(|error| self.note_fault(error))
    }

    pub(super) fn note_fault(&self, error: &PerformError) {
        if let PerformError::Invoke(error) = error {
            self.note_invocation(error);
        }
    }

    /// The component failed in this call, if it was the component.
    pub(crate) fn note_invocation(&self, error: &InvokeError) {
        if let InvokeError::Guest(fault) = error {
            self.faults.note(&self.provider, &self.call_id, fault);
        }
    }

    /// Ends the call at the carrier. `true` when it had ended.
    ///
    /// # Errors
    /// When the carrier cannot or would not.
    pub async fn hang_up(&self, call: operation::Call) -> Result<bool, CarrierError> {
        let operation = self
            .provider
            .hang_up(&self.credentials, call, self.moment())
            .map_err(|_| CarrierError::Unsupported)?;
        Ok(self.run(operation).await?)
    }

    /// What has become of the call at the carrier.
    ///
    /// # Errors
    /// As for [`Self::hang_up`].
    pub async fn fetch_status(
        &self,
        call: operation::Call,
    ) -> Result<(strowger_call::CallStatus, Option<u64>), CarrierError> {
        let operation = self
            .provider
            .fetch_status(&self.credentials, call, self.moment())
            .map_err(|_| CarrierError::Unsupported)?;
        match self.run(operation).await {
            Ok((status, duration_ms)) => Ok((super::callback::status(status), duration_ms)),
            Err(error) if is_forgotten(&error) => Ok((strowger_call::CallStatus::Completed, None)),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a transfer down, with its caller id and trunk, then has its destination dialled.
    ///
    /// # Errors
    /// When it cannot be written down, or the carrier would not.
    pub async fn dial_destination(
        &self,
        call: operation::Call,
        new: &NewTransfer,
        writing: Option<OwnedMutexGuard<()>>,
    ) -> Result<(), CarrierError> {
        let (caller_id, foreign) = self.shown_caller_id(new.caller_id.as_ref()).await?;
        let trunk = self
            .store
            .trunk_for(&self.scope.configuration, caller_id.as_ref().map(Address::expose))
            .await
            .map_err(PerformError::from)?;
        let new = &NewTransfer {
            caller_id,
            trunk,
            ..new.clone()
        };
        self.store
            .create_transfer(new, self.clock.unix_ms())
            .await
            .map_err(PerformError::from)?;
        drop(writing);
        if foreign {
            return Err(CarrierError::ForeignCallerId);
        }
        self.admit_leg(new).await?;
        let leg = self.transfer_leg(&new.id).await?;
        let operation = self
            .provider
            .dial_destination(&self.credentials, call, leg, self.moment())
            .map_err(|_| CarrierError::Unsupported)?;
        let placed = self.run(operation).await?;
        if let Ok(id) = ProviderCallId::new(placed.provider_call_id) {
            stubborn("a leg's identifier", || {
                self.store.identify_transfer(&new.id, &id, true)
            })
            .await;
        }
        if let Some(attachment) = &placed.attachment {
            stubborn("a leg's attachment", || {
                self.store.attach_to_transfer(&new.id, attachment)
            })
            .await;
        }
        Ok(())
    }

    /// Whether the limits of the organisation, as they are now, allow the second leg.
    async fn admit_leg(&self, new: &NewTransfer) -> Result<(), CarrierError> {
        let organization = &self.scope.organization;
        let own = self.store.organization_limits(organization).await;
        let limits = self.slots.limits.with(own.map_err(PerformError::from)?);
        let terms = Terms {
            limits: &limits,
            gateway: &self.slots.gateway,
        };
        let admitted = match limits.destinations.permit(&new.destination) {
            Err(prefix) => Err(Refusal::denied(prefix)),
            Ok(()) => self
                .store
                .admit_transfer(
                    &new.id,
                    &new.call,
                    organization,
                    &new.destination,
                    terms,
                    self.clock.unix_ms(),
                )
                .await
                .map_err(PerformError::from)?,
        };
        Ok(admitted?)
    }

    /// The number that a destination sees, and whether it was asked for and is not ours to show. Without a wish it is the
    /// number that the call itself goes over, while that is active.
    async fn shown_caller_id(&self, wanted: Option<&Address>) -> Result<(Option<Address>, bool), CarrierError> {
        let Some(shown) = wanted.cloned().or_else(|| self.own_number()) else {
            return Ok((None, false));
        };
        let ours = self
            .store
            .is_active_number(&self.scope.configuration, &shown)
            .await
            .map_err(PerformError::from)?;
        Ok(match (ours, wanted) {
            (true, _) => (Some(shown), false),
            (false, None) => (None, false),
            (false, Some(_)) => (Some(shown), true),
        })
    }

    /// Has the caller and the destination connected.
    ///
    /// # Errors
    /// When the carrier cannot or would not.
    pub async fn connect_transfer(&self, call: operation::Call, id: &TransferId) -> Result<(), CarrierError> {
        let leg = self.transfer_leg(id).await?;
        let operation = self
            .provider
            .connect_transfer(&self.credentials, call, leg, self.moment())
            .map_err(|_| CarrierError::Unsupported)?;
        Ok(self.run(operation).await?)
    }

    /// Ends the second leg; a leg that nobody wants must not stay, so it is tried more than once.
    pub async fn cancel_transfer(&self, call: operation::Call, id: &TransferId) {
        let mut pause = CANCEL_PAUSE;
        for attempt in 1..=CANCEL_ATTEMPTS_MAX {
            let ended = async {
                let leg = self.transfer_leg(id).await?;
                let operation = self
                    .provider
                    .cancel_transfer(&self.credentials, call.clone(), leg, self.moment())
                    .map_err(|_| CarrierError::Unsupported)?;
                Ok::<_, CarrierError>(self.run(operation).await?)
            };
            match ended.await {
                Ok(_) => return,
                Err(error) if error.is_retryable() && attempt < CANCEL_ATTEMPTS_MAX => {
                    tracing::warn!(%error, attempt, "the second leg of a transfer could not be ended yet");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(error) => {
                    tracing::error!(%error, "the second leg of a transfer could not be ended");
                    return;
                }
            }
        }
    }

    /// Keeps in its record how far a transfer has come.
    pub async fn keep_progress(&self, id: &TransferId, progress: TransferProgress) {
        let (state, failure) = match progress {
            TransferProgress::Dialing | TransferProgress::Ringing => return,
            TransferProgress::Answered => (TransferState::Answered, None),
            TransferProgress::Connected => (TransferState::Connected, None),
            TransferProgress::Failed(failure) => (TransferState::Over, Some(failure)),
            TransferProgress::Ended => (TransferState::Over, None),
        };
        let now = self.clock.unix_ms();
        stubborn("a transfer's progress", || {
            self.store.advance_transfer(id, state, failure, now)
        })
        .await;
    }

    async fn transfer_leg(&self, id: &TransferId) -> Result<operation::TransferLeg, CarrierError> {
        let transfer = self.store.transfer_by_id(id).await.map_err(PerformError::from)?;
        let transfer = transfer.ok_or(PerformError::Store(StoreError::NotFound { what: "transfer" }))?;
        Ok(super::transfer::transfer_leg(
            &self.provider,
            &self.callback_base,
            &transfer,
        ))
    }

    /// What the call cost.
    ///
    /// # Errors
    /// As for [`Self::hang_up`].
    pub async fn fetch_cost(&self, call: operation::Call) -> Result<Option<Cost>, CarrierError> {
        let operation = self
            .provider
            .fetch_cost(&self.credentials, call, self.moment())
            .map_err(|_| CarrierError::Unsupported)?;
        let cost = self.run(operation).await?;
        Ok(cost.map(|cost| Cost {
            amount: cost.amount,
            currency: cost.currency,
        }))
    }

    /// Where the recording goes, if there is one.
    #[must_use]
    pub fn recording_path(&self) -> Option<PathBuf> {
        self.record
            .then(|| self.folder.join(format!("{}.wav", self.call_id.as_str())))
    }

    /// The queue into the call's record, emptied by a task of its own: the session never waits for the store.
    pub(crate) fn record_events(&self) -> mpsc::Sender<Kept> {
        let (events, mut queue) = mpsc::channel(EVENTS_LENGTH);
        let (store, call_id) = (self.store.clone(), self.call_id.clone());
        let task = async move {
            let mut batch = Vec::new();
            let mut number = 0u64;
            while queue.recv_many(&mut batch, EVENTS_BATCH).await > 0 {
                let (mut new, mut answered) = (Vec::new(), None);
                for entry in batch.drain(..) {
                    match entry {
                        Kept::Event(mut event) => {
                            // Each has a key: a batch whose commit was not acknowledged may be there already.
                            number += 1;
                            event.dedupe_key.get_or_insert_with(|| format!("written:{number}"));
                            new.push(event);
                        }
                        Kept::Answered(at) => answered = Some(at),
                    }
                }
                if let Some(at) = answered {
                    stubborn("a call's answer", || store.set_answered(&call_id, at)).await;
                }
                if !new.is_empty() {
                    stubborn("call events", || store.append_events(&call_id, &new)).await;
                }
            }
        };
        let task = tokio::spawn(tracing::Instrument::instrument(task, tracing::Span::current()));
        self.writers.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        events
    }

    /// Begins to write down what invocations cost, in a task of its own.
    pub(crate) fn record_costs(&self) {
        let (costs, store, call_id) = (self.costs.clone(), self.store.clone(), self.call_id.clone());
        let task = async move {
            let write = |records: Vec<_>| {
                let (store, call_id) = (&store, &call_id);
                async move { stubborn("invocations", || store.append_invocations(call_id, &records)).await }
            };
            costs.write(write).await;
        };
        let task = tokio::spawn(tracing::Instrument::instrument(task, tracing::Span::current()));
        self.writers.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// Closes the record: what is not written yet, the picture, the recording's place, the outcome.
    #[expect(clippy::too_many_arguments, reason = "everything that is left of a call, once")]
    pub(crate) async fn close_record(
        &self,
        outcome: &Outcome,
        summary: &Summary,
        started_ms: i64,
        started_us: u64,
        recording: Option<PathBuf>,
        timeline: &Timeline,
        statistics: &Value,
    ) {
        self.costs.end().await;
        let writers = std::mem::take(&mut *self.writers.lock().unwrap_or_else(PoisonError::into_inner));
        for writer in writers {
            if writer.await.is_err() {
                tracing::error!("a task that writes a call's record failed");
            }
        }
        let dropped = self.costs.dropped();
        if dropped > 0 {
            let count = || self.store.set_invocations_dropped(&self.call_id, dropped);
            stubborn("the number of invocations", count).await;
        }
        if let Err(error) = self.keep_timeline(timeline).await {
            tracing::error!(%error, "the call's timeline could not be kept");
        }
        let wall = |at: strowger_call::Monotonic| {
            started_ms + i64::try_from(at.as_micros().saturating_sub(started_us) / 1_000).unwrap_or(0)
        };
        let finish = CallFinish {
            outcome: json!({
                "status": outcome.status,
                "reason": outcome.reason,
                "detail": outcome.detail,
                "carrier_status": outcome.carrier_status,
                "carrier_duration_ms": outcome.carrier_duration_ms,
                "digits": summary.digits,
                "barge_ins": summary.barge_ins,
                "media": statistics,
            }),
            answered_at: outcome.answered_at.map(wall),
            ended_at: wall(outcome.ended_at),
            duration_ms: outcome.duration_ms,
        };
        // Relative to the folder of recordings, so that the data directory can move.
        if let Some(name) = recording
            .as_ref()
            .and_then(|path| path.file_name())
            .map(|name| name.to_string_lossy())
        {
            stubborn("a recording's place", || self.store.set_recording(&self.call_id, &name)).await;
        }
        if let Some(cost) = summary.cost.as_ref().map(|cost| json!(cost)) {
            stubborn("a call's price", || {
                self.store.set_cost(&self.call_id, &cost, finish.ended_at)
            })
            .await;
        }
        // Last: a record that is closed is complete.
        stubborn("a call's end", || self.store.finish_call(&self.call_id, &finish)).await;
        self.count(&finish);
    }

    fn count(&self, finish: &CallFinish) {
        let word = |name: &str| finish.outcome[name].as_str().unwrap_or("unknown");
        self.metrics.call_ended(&EndedCall {
            provider: self.provider.name(),
            direction: match self.direction {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
            },
            status: word("status"),
            reason: word("reason"),
            duration: finish.answered_at.map(|_| Duration::from_millis(finish.duration_ms)),
            caller_frames_lost: finish.outcome["media"]["caller_frames_lost"].as_u64().unwrap_or(0),
        });
    }

    async fn keep_timeline(&self, timeline: &Timeline) -> std::io::Result<()> {
        tokio::fs::create_dir_all(&self.folder).await?;
        let text = serde_json::to_vec(timeline)?;
        tokio::fs::write(
            self.folder.join(format!("{}.timeline.json", self.call_id.as_str())),
            text,
        )
        .await
    }
}

/// The carrier does not know the call any more: it forgets a call with its end.
pub(super) fn is_forgotten(error: &PerformError) -> bool {
    matches!(error, PerformError::Failed(failure) if failure.kind == FailureKind::Request && failure.code == "call-not-found")
}

/// What a component is told about a call.
pub(super) struct CallFacts<'a> {
    pub(super) call_id: &'a CallId,
    pub(super) direction: Direction,
    pub(super) caller: &'a str,
    pub(super) callee: &'a str,
    pub(super) provider_call_id: Option<&'a ProviderCallId>,
    pub(super) attachment: Option<&'a Value>,
}

impl CallFacts<'_> {
    /// In the contract's words. `base` is where the provider's routes begin.
    pub(super) fn describe(&self, provider: &Provider, base: &str) -> operation::Call {
        let routes = provider.spec().routes.iter().filter(|route| route.names_call());
        operation::Call {
            id: self.call_id.as_str().to_owned(),
            provider_call_id: self.provider_call_id.map(|id| id.expose().to_owned()),
            direction: match self.direction {
                Direction::Inbound => operation::Direction::Inbound,
                Direction::Outbound => operation::Direction::Outbound,
            },
            caller: self.caller.to_owned(),
            callee: self.callee.to_owned(),
            routes: routes
                .map(|route| RouteUrl {
                    name: route.name.clone(),
                    url: route.url(base, self.call_id.as_str()),
                })
                .collect(),
            attachment: self.attachment.map(Value::to_string),
        }
    }
}

/// How long something is tried to be written, in a row: a database that is restarted, moved, or restored comes back within it.
const WRITE_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// The pauses between attempts, doubled from the first to the last.
const WRITE_PAUSE_MIN: Duration = Duration::from_millis(250);
const WRITE_PAUSE_MAX: Duration = Duration::from_secs(5);
/// After this an attempt counts as failed: a database that hangs tells nobody.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// Writes what must not be lost because a database is busy or away for a while. Nobody's media waits for it. `write` may have
/// been done although it failed: it must not matter that it is done again.
async fn stubborn<T, F: Future<Output = Result<T, StoreError>>>(what: &'static str, write: impl Fn() -> F) {
    let began = Instant::now();
    let mut pause = WRITE_PAUSE_MIN;
    loop {
        let written = timeout(WRITE_TIMEOUT, write()).await.unwrap_or(Err(StoreError::Locked));
        match written {
            Ok(_) => return,
            Err(error @ (StoreError::Locked | StoreError::Unavailable(_))) if began.elapsed() < WRITE_PATIENCE => {
                tracing::warn!(%error, what, "could not be written yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(WRITE_PAUSE_MAX);
            }
            Err(error) => {
                tracing::error!(%error, what, "could not be written");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// How often something is written that fails for so long.
    async fn attempts(away: Duration) -> (u32, bool) {
        let (began, attempts) = (Instant::now(), AtomicU32::new(0));
        let done = AtomicU32::new(0);
        stubborn("a test", || async {
            attempts.fetch_add(1, Ordering::Relaxed);
            if began.elapsed() < away {
                return Err(StoreError::Locked);
            }
            done.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .await;
        (attempts.into_inner(), done.into_inner() == 1)
    }

    #[tokio::test(start_paused = true)]
    async fn what_must_be_written_waits_for_a_database_that_is_away() {
        assert_eq!(attempts(Duration::ZERO).await, (1, true));
        let (count, written) = attempts(Duration::from_secs(60)).await;
        assert!(written && (10..30).contains(&count), "{count}");
        let (count, written) = attempts(WRITE_PATIENCE * 2).await;
        assert!(!written && count < 200, "{count}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_is_given_up() {
        let attempts = AtomicU32::new(0);
        stubborn("a test", || async {
            if attempts.fetch_add(1, Ordering::Relaxed) == 0 {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
        .await;
        assert_eq!(attempts.into_inner(), 2);
    }
}
