//! One task for each call: it owns the call's state, its component instance, and its ends of the sockets.
//!
//! Others reach it through a bounded mailbox. The task waits for one thing, hands it to the pure parts ([`Call`], the audio
//! path), and does what they ask for. What a call means is decided in `strowger-call`; nothing here waits for the database,
//! for another call, or for an unbounded queue.

pub mod lane;
mod media;
mod transfer;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::extract::ws::WebSocket;
use serde_json::{Value, json};
use strowger_call::timeline::{Entry, Kind, Timeline};
use strowger_call::{
    Action, AnsweredBy, Call, CallStatus, Digit, EndReason, Event, Monotonic, Outcome, ProviderCallId, Recorded, State,
    TransferFailure, TransferId, TransferProgress, Verdict,
};
use strowger_host::Provider;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use self::media::{Carried, MediaPath};
use self::transfer::LiveTransfer;
use crate::agent::{self, AgentCall, AgentCommand, AgentEvent, AgentLink, TransferRequest};
use crate::exchange::{CallContext, Closing, Kept};
use crate::store::NewEvent;

/// Messages that wait for a session. More than a few wait only when something floods the call.
const MAILBOX_LENGTH: usize = 256;
/// How long the agent's last words may play before its hang-up is carried out.
const LAST_WORDS_MAX: Duration = Duration::from_secs(30);

/// Entries of the picture that are kept; it draws fewer.
const ENTRIES_MAX: usize = 2_000;
/// A pause of the agent that the picture does not show.
const BREATH_MS: u64 = 300;
/// How often it is looked whether they have been heard.
const LAST_WORDS_CHECK: Duration = Duration::from_millis(20);

/// How three things that have no kind of their own are named in the picture.
pub(crate) const MEDIA_SOCKET: &str = "media socket";
pub(crate) const MEDIA_STARTED: &str = "media started";
pub(crate) const AGENT_CONNECTED: &str = "agent connected";

/// What a session is told from outside.
#[derive(Debug)]
pub enum SessionMessage {
    /// Something happened to the call.
    Event(Event),
    /// The provider attached something to the call.
    Attach(Value),
    /// The carrier opened the media socket; its token was claimed for this call.
    Media(Box<WebSocket>),
    /// A client wants the caller connected with somebody else.
    Transfer {
        /// Whom, and how.
        request: TransferRequest,
        /// The transfer's identifier, or why there is none.
        reply: oneshot::Sender<Result<TransferId, TransferFailure>>,
    },
    /// A client withdraws the transfer.
    CancelTransfer {
        /// Whether there was one that could be withdrawn.
        reply: oneshot::Sender<bool>,
    },
    /// The gateway stops: a call that was handed over need not be waited for.
    Drain,
    /// A webhook was answered: for the picture of the call.
    Webhook {
        /// Which route.
        name: String,
        /// How long the answer took.
        latency: Duration,
    },
}

/// The way to a session.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    /// Bounded; a session that does not empty it is ending.
    pub mailbox: mpsc::Sender<SessionMessage>,
    /// The version of the provider that the call keeps.
    pub provider: Provider,
    /// What the call is.
    pub context: Arc<CallContext>,
    /// What the carrier was answered, once it is known: the same for every repetition of its webhook.
    pub answer: watch::Receiver<Option<strowger_host::Response>>,
    /// Sets `answer`.
    pub answered: watch::Sender<Option<strowger_host::Response>>,
    /// Set by whoever answers the carrier: it is answered once, whoever asks.
    pub answering: Arc<AtomicBool>,
}

impl SessionHandle {
    /// Tells the session that something happened. `false` when it is gone.
    pub async fn event(&self, event: Event) -> bool {
        self.mailbox.send(SessionMessage::Event(event)).await.is_ok()
    }
}

/// Starts the session of a call. `closing` is told when the call has finished and its record is closed.
pub fn spawn(context: Arc<CallContext>, call: Call, closing: Closing) -> SessionHandle {
    let (mailbox, messages) = mpsc::channel(MAILBOX_LENGTH);
    let (answered, answer) = watch::channel(None);
    let handle = SessionHandle {
        mailbox: mailbox.clone(),
        provider: context.provider.clone(),
        context: context.clone(),
        answer,
        answered,
        answering: Arc::default(),
    };
    context.record_costs();
    let session = Session {
        started_us: context.clock.host_us(),
        started_ms: context.clock.unix_ms(),
        attachment: None,
        media: None,
        media_refused: false,
        agent: None,
        agent_started: false,
        last_words: None,
        transfer: None,
        draining: false,
        entries: Vec::new(),
        speaking_since_ms: None,
        events: context.record_events(),
        answer_kept: false,
        mailbox,
        messages,
        call,
        context,
    };
    let span = tracing::info_span!("call", call = %session.context.call_id.as_str(), provider = session.context.provider.name());
    let run = async move {
        // Whatever happens in there, a panic too, the exchange learns that the call is over.
        let _closing = closing;
        session.run().await;
    };
    tokio::spawn(tracing::Instrument::instrument(run, span));
    handle
}

struct Session {
    context: Arc<CallContext>,
    call: Call,
    messages: mpsc::Receiver<SessionMessage>,
    /// For tasks that report back.
    mailbox: mpsc::Sender<SessionMessage>,
    events: mpsc::Sender<Kept>,
    /// The record says that the call was answered.
    answer_kept: bool,
    attachment: Option<Value>,
    media: Option<MediaPath>,
    /// The media is over: a socket that arrives now is turned away.
    media_refused: bool,
    agent: Option<AgentLink>,
    agent_started: bool,
    /// The agent wants to end the call, once it has been heard.
    last_words: Option<LastWords>,
    /// The newest transfer.
    transfer: Option<LiveTransfer>,
    draining: bool,
    started_us: u64,
    started_ms: i64,
    entries: Vec<Entry>,
    speaking_since_ms: Option<u64>,
}

struct LastWords {
    event: Event,
    until: Monotonic,
}

/// What the session waits for.
enum Woken {
    Message(SessionMessage),
    Carrier(Carried),
    Agent(Option<AgentEvent>),
    Time,
}

impl Session {
    async fn run(mut self) {
        let outcome = loop {
            // Playing first: what it brings to light may ask for something to be done before anything is waited for.
            self.play().await;
            if let Some(outcome) = self.act().await {
                break outcome;
            }
            let wake = self.wake();
            let woken = tokio::select! {
                message = self.messages.recv() => match message {
                    Some(message) => Woken::Message(message),
                    // Impossible while the session holds a sender of its own.
                    None => Woken::Time,
                },
                carried = media::next(&mut self.media) => Woken::Carrier(carried),
                event = next_agent_event(&mut self.agent) => Woken::Agent(event),
                () = sleep_until(self.context.clock.instant(wake.as_micros())) => Woken::Time,
            };
            match woken {
                Woken::Message(message) => self.message(message).await,
                Woken::Carrier(carried) => self.carrier(carried).await,
                Woken::Agent(event) => self.agent_event(event).await,
                Woken::Time => self.time().await,
            }
        };
        self.finish(outcome).await;
    }

    fn now(&self) -> Monotonic {
        Monotonic::from_micros(self.context.clock.host_us())
    }

    /// Milliseconds since the session began: the time axis of the call's picture.
    fn at_ms(&self) -> u64 {
        self.context.clock.host_us().saturating_sub(self.started_us) / 1_000
    }

    fn wake(&self) -> Monotonic {
        let idle = self.now() + Duration::from_secs(60);
        [
            self.call.poll_timeout(),
            self.media.as_ref().and_then(MediaPath::next_wake),
            // The end of the last words is not an event of its own.
            self.last_words
                .as_ref()
                .map(|words| words.until.min(self.now() + LAST_WORDS_CHECK)),
        ]
        .into_iter()
        .flatten()
        .fold(idle, Ord::min)
    }

    fn event(&mut self, event: Event) -> Verdict {
        let now = self.now();
        self.call.handle_event(event, now)
    }

    async fn message(&mut self, message: SessionMessage) {
        match message {
            SessionMessage::Event(event) => {
                self.event(event);
            }
            SessionMessage::Attach(attachment) => self.attachment = Some(attachment),
            SessionMessage::Transfer { request, reply } => drop(reply.send(self.request_transfer(request))),
            SessionMessage::CancelTransfer { reply } => drop(reply.send(self.withdraw_transfer())),
            SessionMessage::Drain => self.draining = true,
            SessionMessage::Media(socket) => self.open_media(*socket).await,
            SessionMessage::Webhook { name, latency } => {
                let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
                let at_ms = self.at_ms().saturating_sub(latency_ms);
                self.draw(Entry::webhook(at_ms, latency_ms, &name));
            }
        }
    }

    async fn open_media(&mut self, socket: WebSocket) {
        if self.media_refused || self.media.is_some() {
            return;
        }
        let call = self
            .context
            .guest_call(self.call.provider_call_id(), self.attachment.as_ref());
        match self.context.open_leg(call).await {
            Ok(leg) => {
                self.media = Some(MediaPath::new(&self.context, leg, socket, self.now()));
                self.event(Event::MediaConnected);
            }
            Err(error) => {
                tracing::error!(%error, "the provider cannot take the media");
                self.event(Event::MediaFailed {
                    reason: error.to_string(),
                });
            }
        }
    }

    /// Does what the call asks for; the outcome, when it is closed.
    async fn act(&mut self) -> Option<Outcome> {
        if self.draining && self.call.state() == State::Transferred {
            self.event(Event::ShutdownRequested);
        }
        while let Some(action) = self.call.poll_action() {
            match action {
                Action::ConnectAgent => self.connect_agent(),
                Action::StartAgent => self.start_agent(),
                Action::CloseMedia => self.close_media().await,
                Action::CloseAgent { reason } => self.close_agent(reason),
                Action::HangUp { provider_call_id, .. } => self.hang_up(&provider_call_id),
                Action::FetchStatus { provider_call_id } => self.fetch_status(&provider_call_id),
                Action::FetchCost { provider_call_id } => self.fetch_cost(&provider_call_id),
                Action::DialDestination { transfer } => self.dial_destination(&transfer),
                Action::ConnectTransfer { transfer } => self.connect_transfer(&transfer),
                Action::CancelTransfer { transfer } => self.cancel_transfer(&transfer),
                Action::TransferChanged { transfer, progress } => self.transfer_changed(&transfer, progress),
                Action::Record(recorded) => self.record(&recorded),
                Action::Finish(outcome) => return Some(outcome),
            }
        }
        self.keep_answer();
        None
    }

    /// Has it written down, once, that the call was answered.
    fn keep_answer(&mut self) {
        let Some(at) = self.call.answered_at().filter(|_| !self.answer_kept) else {
            return;
        };
        let at_ms = self.wall(at);
        // A queue that is full has more to tell soon, and this is asked again then.
        self.answer_kept = self.events.try_send(Kept::Answered(at_ms)).is_ok();
    }

    /// A moment of the call by the clock on the wall.
    fn wall(&self, at: Monotonic) -> i64 {
        self.started_ms + i64::try_from(at.as_micros().saturating_sub(self.started_us) / 1_000).unwrap_or(0)
    }

    fn connect_agent(&mut self) {
        let agent = &self.context.agent;
        let mut capabilities = vec!["clear", "mark", "dtmf"];
        if self.context.can_hang_up() {
            capabilities.push("hang_up");
        }
        if self.context.can_transfer() {
            capabilities.push("transfer");
        }
        let call = AgentCall {
            call_id: self.context.call_id.as_str().to_owned(),
            direction: match self.call.direction() {
                strowger_call::Direction::Inbound => "inbound",
                strowger_call::Direction::Outbound => "outbound",
            },
            caller: self.context.caller.clone(),
            callee: self.context.callee.clone(),
            frame_ms: self.context.provider.spec().media.frame_ms,
            capabilities,
        };
        self.agent = Some(agent::connect(
            agent.clone(),
            call,
            self.context.agent_limits.clone(),
            self.context.dialler.clone(),
        ));
    }

    fn start_agent(&mut self) {
        self.agent_started = true;
        self.command(AgentCommand::Start);
        let frames = self.media.as_mut().map(MediaPath::take_pre_roll).unwrap_or_default();
        for frame in frames {
            self.command(AgentCommand::Audio(frame));
        }
    }

    /// Hands a command to the agent. One that does not take them any more has stalled.
    fn command(&mut self, command: AgentCommand) {
        let Some(agent) = &self.agent else { return };
        match agent.commands.try_send(command) {
            // An agent whose task is gone reports why as its last event.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => drop(self.event(Event::AgentStalled)),
        }
    }

    async fn close_media(&mut self) {
        self.media_refused = true;
        if let Some(media) = &mut self.media {
            media.close(self.context.clock.host_us()).await;
        }
    }

    fn close_agent(&mut self, reason: EndReason) {
        if let Some(agent) = self.agent.take() {
            let reason = serde_json::to_value(reason)
                .ok()
                .and_then(|name| name.as_str().map(str::to_owned))
                .unwrap_or_default();
            stop(&agent, reason);
        }
        self.last_words = None;
    }

    fn hang_up(&self, id: &ProviderCallId) {
        let call = self.context.guest_call(Some(id), self.attachment.as_ref());
        let context = self.context.clone();
        self.report(async move {
            match context.hang_up(call).await {
                Ok(already_ended) => Event::HangUpDone { already_ended },
                Err(error) => {
                    tracing::warn!(%error, "hanging up failed");
                    Event::HangUpFailed {
                        code: error.code(),
                        message: error.to_string(),
                        retryable: error.is_retryable(),
                    }
                }
            }
        });
    }

    fn fetch_status(&self, id: &ProviderCallId) {
        let call = self.context.guest_call(Some(id), self.attachment.as_ref());
        let context = self.context.clone();
        self.report(async move {
            match context.fetch_status(call).await {
                Ok((status, duration_ms)) => Event::Status {
                    status,
                    duration_ms,
                    cause: None,
                },
                Err(error) => Event::StatusUnavailable {
                    reason: error.to_string(),
                },
            }
        });
    }

    fn fetch_cost(&self, id: &ProviderCallId) {
        let call = self.context.guest_call(Some(id), self.attachment.as_ref());
        let context = self.context.clone();
        self.report(async move {
            match context.fetch_cost(call).await {
                Ok(Some(cost)) => Event::CostKnown { cost },
                Ok(None) => Event::CostUnavailable {
                    reason: "not rated yet".to_owned(),
                },
                Err(error) => Event::CostUnavailable {
                    reason: error.to_string(),
                },
            }
        });
    }

    /// Runs something beside the session and tells it what came of it.
    fn report(&self, work: impl Future<Output = Event> + Send + 'static) {
        let mailbox = self.mailbox.clone();
        let work = async move {
            let event = work.await;
            drop(mailbox.send(SessionMessage::Event(event)).await);
        };
        tokio::spawn(tracing::Instrument::instrument(work, tracing::Span::current()));
    }

    /// Sends what is due to the carrier, and tells the agent about the marks that were reached.
    async fn play(&mut self) {
        let Some(media) = &mut self.media else { return };
        let now_us = self.context.clock.host_us();
        let played = media.play(now_us).await;
        let at_ms = now_us.saturating_sub(self.started_us) / 1_000;
        match (played.speaking && !media.is_holding(), self.speaking_since_ms) {
            (true, None) => self.speaking_since_ms = Some(at_ms),
            (false, Some(since)) => {
                self.spoke(since, at_ms);
                self.speaking_since_ms = None;
            }
            _ => {}
        }
        for (name, heard_ms) in played.marks {
            self.draw(Entry::point(Kind::Mark, at_ms, format!("mark {name}")));
            self.command(AgentCommand::MarkPlayed { name, heard_ms });
        }
        if let Some(fault) = played.fault {
            self.event(fault);
        }
        if self.last_words.is_some() && self.media.as_ref().is_none_or(MediaPath::is_silent) {
            self.say_goodbye();
        }
    }

    /// Draws that the agent spoke. A breath is not the end of what it says.
    fn draw(&mut self, entry: Entry) {
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push(entry);
        }
    }

    fn spoke(&mut self, from_ms: u64, to_ms: u64) {
        let last = self
            .entries
            .iter_mut()
            .rev()
            .find(|entry| entry.kind == Kind::AgentSpeaking);
        match last {
            Some(last) if last.to_ms.is_some_and(|end| from_ms <= end + BREATH_MS) => last.to_ms = Some(to_ms),
            _ => self.draw(Entry::span(Kind::AgentSpeaking, from_ms, to_ms, "agent speaks")),
        }
    }

    fn say_goodbye(&mut self) {
        if let Some(words) = self.last_words.take() {
            self.event(words.event);
        }
    }

    async fn time(&mut self) {
        let now = self.now();
        if self.last_words.as_ref().is_some_and(|words| words.until <= now) {
            self.say_goodbye();
        }
        if let Some(media) = &mut self.media
            && let Some(fault) = media.watch(now.as_micros()).await
        {
            self.event(fault);
        }
        self.call.handle_timeout(now);
    }

    async fn carrier(&mut self, carried: Carried) {
        let Some(media) = &mut self.media else { return };
        let now_us = self.context.clock.host_us();
        let heard = media.hear(carried, now_us).await;
        if heard.started {
            self.draw(Entry::point(Kind::Media, self.at_ms(), MEDIA_STARTED));
            if let Some(id) = heard.provider_call_id
                && self.call.provider_call_id().is_none()
                && let Ok(id) = ProviderCallId::new(id)
            {
                self.event(Event::Identified { provider_call_id: id });
            }
            self.event(Event::MediaStarted);
        }
        if self.agent_started {
            for frame in heard.frames {
                self.command(AgentCommand::Audio(frame));
            }
        } else if let Some(media) = &mut self.media {
            media.keep_pre_roll(heard.frames);
        }
        for digit in heard.digits {
            self.command(AgentCommand::Dtmf(digit));
            if let Some(digit) = Digit::new(digit) {
                self.draw(Entry::point(Kind::Dtmf, self.at_ms(), "DTMF"));
                self.event(Event::Dtmf { digit });
            }
        }
        if let Some(event) = heard.ended {
            self.event(event);
        }
    }

    async fn agent_event(&mut self, event: Option<AgentEvent>) {
        match event {
            Some(AgentEvent::Connected) => {
                self.draw(Entry::point(Kind::Agent, self.at_ms(), AGENT_CONNECTED));
                self.event(Event::AgentConnected);
            }
            Some(AgentEvent::Audio(pcm)) => {
                if let Some(media) = &mut self.media
                    && !self.transfer.as_ref().is_some_and(LiveTransfer::mutes_agent)
                {
                    media.say(&pcm);
                }
            }
            Some(AgentEvent::Transfer(request)) => {
                if let Err(reason) = self.request_transfer(request) {
                    self.command(AgentCommand::Transfer(TransferProgress::Failed(reason)));
                }
            }
            Some(AgentEvent::CancelTransfer) => drop(self.withdraw_transfer()),
            Some(AgentEvent::Clear) => self.barge_in().await,
            Some(AgentEvent::Mark(name)) => {
                if let Some(media) = &mut self.media {
                    media.mark(name);
                }
            }
            Some(AgentEvent::SendDtmf(digits)) => {
                if let Some(media) = &mut self.media
                    && let Some(fault) = media.send_dtmf(&digits).await
                {
                    self.event(fault);
                }
            }
            Some(AgentEvent::HangUp { reason }) => self.end_after_last_words(Event::AgentHungUp { reason }),
            Some(AgentEvent::Failed { reason }) => drop(self.event(Event::AgentFailed { reason })),
            Some(AgentEvent::Closed { code, reason }) => {
                self.agent = None;
                self.end_after_last_words(Event::AgentClosed { code, reason });
            }
            Some(AgentEvent::Stalled) => drop(self.event(Event::AgentStalled)),
            None => {
                self.agent = None;
                self.event(Event::AgentFailed {
                    reason: "the agent's connection ended".to_owned(),
                });
            }
        }
    }

    fn end_after_last_words(&mut self, event: Event) {
        if self.media.as_ref().is_none_or(MediaPath::is_silent) {
            self.event(event);
        } else {
            // The first reason stays: an agent that asked for the end may drop its connection before it comes.
            let until = self.now() + LAST_WORDS_MAX;
            self.last_words.get_or_insert(LastWords { event, until });
        }
    }

    async fn barge_in(&mut self) {
        let now_us = self.context.clock.host_us();
        let at_ms = self.at_ms();
        let Some(media) = &mut self.media else { return };
        let Some((cleared, fault)) = media.clear(now_us).await else {
            return;
        };
        if let Some(since) = self.speaking_since_ms.take() {
            self.spoke(since, at_ms);
        }
        let heard_ms = cleared.heard_ms;
        self.command(AgentCommand::Cleared {
            heard_ms,
            marks: cleared.marks,
        });
        self.draw(Entry::point(
            Kind::BargeIn,
            at_ms,
            format!("barge-in · {heard_ms} ms heard"),
        ));
        self.event(Event::BargedIn { heard_ms });
        if let Some(fault) = fault {
            self.event(fault);
        }
    }

    fn record(&mut self, recorded: &Recorded) {
        let at_ms = self.wall(recorded.at);
        let on_axis = recorded.at.as_micros().saturating_sub(self.started_us) / 1_000;
        if let Some(entry) = drawn(&recorded.event, on_axis) {
            self.draw(entry);
        }
        let detail = serde_json::to_value(&recorded.event).unwrap_or(Value::Null);
        let kind = detail
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or("unknown")
            .to_owned();
        tracing::info!(event = kind, late = recorded.late, "call event");
        // A status that the carrier repeats after the end finds this key taken.
        let dedupe_key = matches!(recorded.event, Event::Status { .. }).then(|| format!("told:{detail}"));
        let event = NewEvent {
            at: at_ms,
            kind,
            detail: json!({ "event": detail, "late": recorded.late }),
            dedupe_key,
        };
        // The queue holds as many as a call may record.
        if self.events.try_send(Kept::Event(event)).is_err() {
            tracing::error!("a call event could not be kept");
        }
    }

    async fn finish(mut self, outcome: Outcome) {
        // From here on nobody listens: what is sent later goes to the record as late, and so does what waits already.
        self.messages.close();
        while let Ok(message) = self.messages.try_recv() {
            if let SessionMessage::Event(event) = message {
                if let Event::TransferIdentified { transfer } | Event::TransferStatus { transfer, .. } = &event {
                    // Whoever told this was told that it was taken: nobody else will let the leg go.
                    self.cancel_transfer(transfer);
                }
                let now = self.now();
                self.record(&Recorded {
                    at: now,
                    event,
                    late: true,
                });
            }
        }
        if let Some(agent) = self.agent.take() {
            stop(&agent, "call_ended".to_owned());
        }
        let ended_ms = self.at_ms();
        if let Some(since) = self.speaking_since_ms.take() {
            self.spoke(since, ended_ms);
        }
        let mut recording = None;
        let mut levels = strowger_call::timeline::Levels::default();
        let mut statistics = Value::Null;
        if let Some(media) = self.media.take() {
            let mut closed = media.finish().await;
            closed.levels.start_ms = closed.started_us.saturating_sub(self.started_us) / 1_000;
            (recording, levels, statistics) = (closed.recording, closed.levels, closed.statistics);
        }
        let timeline = Timeline {
            title: vec![
                format!("Call {}", self.context.call_id.as_str()),
                format!(
                    "{} · {} · {}",
                    self.context.provider.spec().display_name,
                    serde_json::to_value(outcome.status)
                        .ok()
                        .and_then(|v| v.as_str().map(str::to_owned))
                        .unwrap_or_default(),
                    serde_json::to_value(outcome.reason)
                        .ok()
                        .and_then(|v| v.as_str().map(|s| s.replace('_', " ")))
                        .unwrap_or_default(),
                ),
            ],
            duration_ms: ended_ms,
            levels,
            entries: std::mem::take(&mut self.entries),
        };
        let summary = self.call.summary();
        drop(self.events);
        self.context
            .close_record(
                &outcome,
                &summary,
                self.started_ms,
                self.started_us,
                recording,
                &timeline,
                &statistics,
            )
            .await;
        tracing::info!(status = ?outcome.status, reason = ?outcome.reason, duration_ms = outcome.duration_ms, "call ended");
    }
}

/// Takes leave of the agent; the link's end does the rest.
fn stop(agent: &AgentLink, reason: String) {
    // An agent that takes nothing any more does not take leave either.
    drop(agent.commands.try_send(AgentCommand::Stop { reason }));
}

async fn next_agent_event(agent: &mut Option<AgentLink>) -> Option<AgentEvent> {
    match agent {
        Some(agent) => agent.events.recv().await,
        None => std::future::pending().await,
    }
}

/// How an event of the record looks in the picture, unless the session draws it itself.
fn drawn(event: &Event, at_ms: u64) -> Option<Entry> {
    let (kind, label) = match event {
        Event::WebhookAnswered => (Kind::Answered, "answered".to_owned()),
        Event::Status { status, .. } => {
            let name = serde_json::to_value(status)
                .ok()
                .and_then(|name| name.as_str().map(str::to_owned))
                .unwrap_or_default();
            (
                if *status == CallStatus::Ringing {
                    Kind::Ringing
                } else {
                    Kind::Status
                },
                name,
            )
        }
        Event::Placed { .. } => (Kind::Status, "placed".to_owned()),
        Event::AnsweredBy { by } => {
            let who = if *by == AnsweredBy::Human {
                "a human answered"
            } else {
                "a machine may have answered"
            };
            (Kind::Status, who.to_owned())
        }
        Event::MediaConnected => (Kind::Media, MEDIA_SOCKET.to_owned()),
        Event::MediaStopped => (Kind::Media, "media stopped".to_owned()),
        Event::HangUpDone { .. } => (Kind::HangUp, "hung up".to_owned()),
        Event::HangUpRequested { .. } => (Kind::HangUp, "hang-up asked for".to_owned()),
        Event::AgentHungUp { .. } => (Kind::HangUp, "agent hangs up".to_owned()),
        Event::AgentClosed { .. } => (Kind::Agent, "agent closed".to_owned()),
        Event::MediaLost { .. } => (Kind::Fault, "media lost".to_owned()),
        Event::MediaFailed { .. } => (Kind::Fault, "provider failed".to_owned()),
        Event::AgentFailed { .. } => (Kind::Fault, "agent failed".to_owned()),
        Event::AgentStalled => (Kind::Fault, "agent stalled".to_owned()),
        Event::HangUpFailed { .. } => (Kind::Fault, "hang-up failed".to_owned()),
        Event::PlaceFailed { .. } => (Kind::Fault, "placing failed".to_owned()),
        Event::TransferDialFailed { .. } => (Kind::Fault, "transfer: dialling failed".to_owned()),
        Event::TransferConnectFailed { .. } => (Kind::Fault, "transfer: connecting failed".to_owned()),
        _ => return None,
    };
    Some(Entry::point(kind, at_ms, label))
}
