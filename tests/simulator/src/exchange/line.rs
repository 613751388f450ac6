//! One call from the first ring to the last callback: a task that carries out what the gateway asks for.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use tokio::{
    sync::{broadcast, mpsc},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{Call, Callee, Control, Exchange, lock, stream};
use crate::{
    carrier::{CallRecord, Instruction, WebhookKind, WebhookRequest, WebhookTarget},
    clock,
    misbehaviour::Misbehaviour,
    report::{CallEvent, CallStatus, HangUp, TimedEvent},
    script::CallerScript,
    webhook::Courier,
};

/// What follows an instruction.
#[derive(Debug)]
pub(super) enum Flow {
    /// The one after it.
    Next,
    Replace(Vec<Instruction>),
    /// Whatever the gateway says there.
    Redirect(WebhookTarget),
    Ended(HangUp),
}

impl From<Option<Control>> for Flow {
    fn from(control: Option<Control>) -> Self {
        match control {
            Some(Control::RestHangsUp) => Self::Ended(HangUp::Rest),
            Some(Control::PersonHangsUp) | None => Self::Ended(HangUp::Person),
            Some(Control::Instruct(instructions)) => Self::Replace(instructions),
            Some(Control::Redirect(target)) => Self::Redirect(target),
        }
    }
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) exchange: Arc<Exchange>,
    pub(super) call: Arc<Call>,
    pub(super) control: mpsc::UnboundedReceiver<Control>,
    pub(super) courier: Courier,
    pub(super) misbehaviour: Misbehaviour,
    pub(super) script: CallerScript,
    callee: Callee,
    callbacks: Option<mpsc::UnboundedSender<(String, WebhookRequest)>>,
    callback_task: JoinHandle<()>,
    /// When the person has had enough, once a media stream has ended.
    leaves_at: Option<Instant>,
}

impl Line {
    pub(super) fn new(
        exchange: Arc<Exchange>,
        call: Arc<Call>,
        control: mpsc::UnboundedReceiver<Control>,
        courier: Courier,
        callee: Callee,
        misbehaviour: Misbehaviour,
    ) -> Self {
        let (callbacks, queue) = mpsc::unbounded_channel();
        let task = deliver_callbacks(
            Arc::clone(&exchange),
            Arc::clone(&call),
            courier.clone(),
            misbehaviour.clone(),
            queue,
        );
        let callback_task = tokio::spawn(task);
        exchange.track(callback_task.abort_handle());
        let script = match &callee {
            Callee::Answers { script, .. } => script.clone(),
            _ => CallerScript::new(),
        };
        script.prepare(exchange.carrier.audio().rate_hz());
        Self {
            exchange,
            call,
            control,
            courier,
            misbehaviour,
            script,
            callee,
            callbacks: Some(callbacks),
            callback_task,
            leaves_at: None,
        }
    }

    /// `voice` is where an inbound call is announced; an outbound one has it in its record.
    pub(super) async fn run(mut self, voice: Option<WebhookTarget>) {
        let (hang_up, status) = match voice {
            Some(voice) => self.ring_gateway(voice).await,
            None => self.ring_callee().await,
        };
        self.event(CallEvent::HungUp(hang_up));
        self.call.report.update(|report| report.hang_up = Some(hang_up));
        self.set_status(status);
        // The queue ends when its only sender is gone, and the call when everything in it is delivered.
        drop(self.callbacks.take());
        if let Err(error) = (&mut self.callback_task).await {
            tracing::debug!(%error, "status callbacks were cut short");
        }
        self.call.report.update(|report| report.finished = true);
    }

    pub(super) fn event(&self, event: CallEvent) {
        self.call.report.update(|report| {
            report.events.push(TimedEvent {
                at: clock::now(),
                event,
            })
        });
    }

    pub(super) fn note(&self, note: impl Into<String>) {
        self.event(CallEvent::Note(note.into()));
    }

    pub(super) fn record(&self) -> CallRecord {
        self.exchange
            .ledger()
            .calls
            .get(&self.call.id)
            .cloned()
            .expect("a call that runs is in the ledger")
    }

    /// Moves the call on and tells those who asked to be told.
    fn set_status(&self, status: CallStatus) {
        let record = {
            let mut ledger = self.exchange.ledger();
            let record = ledger
                .calls
                .get_mut(&self.call.id)
                .expect("a call that runs is in the ledger");
            // A call that was ended through the API has its final status already.
            if !record.status.is_final() {
                record.status = status;
            }
            if status == CallStatus::InProgress {
                record.answered = Some(SystemTime::now());
            }
            if record.status.is_final() && record.ended.is_none() {
                record.ended = Some(SystemTime::now());
            }
            record.clone()
        };
        let told = if status.is_final() { record.status } else { status };
        let at = clock::now();
        self.call.report.update(|report| {
            report.status = told;
            if told == CallStatus::InProgress {
                report.answered_at = Some(at);
            }
            if told.is_final() {
                report.ended_at = Some(at);
            }
            report.events.push(TimedEvent {
                at,
                event: CallEvent::Status(told),
            });
        });
        let wanted = record.status_events.contains(&told)
            || (told.is_final() && record.status_events.contains(&CallStatus::Completed));
        if let Some(target) = record.status_target.as_ref().filter(|_| wanted) {
            self.queue_callback(&record, &WebhookKind::Status(told), target);
            if let Some(record) = self.exchange.ledger().calls.get_mut(&self.call.id) {
                record.status_sequence += 1;
            }
        }
    }

    /// Sends a callback after those before it, without waiting for it.
    pub(super) fn queue_callback(&self, record: &CallRecord, kind: &WebhookKind, target: &WebhookTarget) {
        let tamper = self.exchange.tamper(&self.misbehaviour);
        let request = self.exchange.carrier.webhook(record, kind, target, &tamper);
        if let Some(callbacks) = &self.callbacks {
            // The other end stops only when the whole carrier does.
            let _ = callbacks.send((kind.to_string(), request));
        }
    }

    async fn ring_gateway(&mut self, voice: WebhookTarget) -> (HangUp, CallStatus) {
        match self.ask(WebhookKind::Incoming, voice).await {
            Flow::Replace(instructions) => {
                if let Some(Instruction::Reject { busy }) = instructions.first() {
                    self.event(CallEvent::Instruction("reject".to_owned()));
                    return (
                        HangUp::Markup,
                        if *busy { CallStatus::Busy } else { CallStatus::NoAnswer },
                    );
                }
                self.set_status(CallStatus::InProgress);
                (self.execute(instructions).await, CallStatus::Completed)
            }
            Flow::Ended(hang_up @ HangUp::Person) => (hang_up, CallStatus::Canceled),
            Flow::Ended(hang_up) => (hang_up, CallStatus::Failed),
            Flow::Next | Flow::Redirect(_) => (HangUp::Fault, CallStatus::Failed),
        }
    }

    async fn ring_callee(&mut self) -> (HangUp, CallStatus) {
        self.set_status(CallStatus::Initiated);
        if matches!(self.callee, Callee::Unreachable) {
            return (HangUp::Unanswered, CallStatus::Failed);
        }
        self.set_status(CallStatus::Ringing);
        let (after, unanswered) = match &self.callee {
            Callee::Answers { after, .. } => (*after, None),
            Callee::NoAnswer { after } => (*after, Some(CallStatus::NoAnswer)),
            Callee::Busy | Callee::Unreachable => (Duration::ZERO, Some(CallStatus::Busy)),
        };
        if let Flow::Ended(hang_up) = self.wait(after).await {
            return (hang_up, CallStatus::Canceled);
        }
        if let Some(status) = unanswered {
            return (HangUp::Unanswered, status);
        }
        if let Callee::Answers { answered_by, .. } = &self.callee
            && let Some(record) = self.exchange.ledger().calls.get_mut(&self.call.id)
        {
            record.answered_by = Some(answered_by.clone());
        }
        self.set_status(CallStatus::InProgress);
        let record = self.record();
        let first = match (record.answer_document, record.answer) {
            (Some(document), _) => {
                let response = crate::carrier::WebhookResponse {
                    status: 200,
                    content_type: "text/xml".to_owned(),
                    body: document,
                };
                match self.exchange.carrier.read_answer(&response) {
                    Ok(instructions) => Flow::Replace(instructions),
                    Err(reason) => self.fault(reason),
                }
            }
            (None, Some(target)) => self.ask(WebhookKind::Answered, target).await,
            (None, None) => self.fault("nothing says what to do with the call".to_owned()),
        };
        match first {
            Flow::Replace(instructions) => (self.execute(instructions).await, CallStatus::Completed),
            Flow::Ended(hang_up) => (hang_up, CallStatus::Completed),
            Flow::Next | Flow::Redirect(_) => (HangUp::Fault, CallStatus::Completed),
        }
    }

    fn fault(&self, reason: String) -> Flow {
        self.note(reason);
        Flow::Ended(HangUp::Fault)
    }

    /// Asks the gateway what to do: [`Flow::Replace`] with its answer, or the end of the call; it follows redirections itself.
    async fn ask(&mut self, mut kind: WebhookKind, mut target: WebhookTarget) -> Flow {
        loop {
            let record = self.record();
            let carrier = self.exchange.carrier;
            let request = carrier.webhook(&record, &kind, &target, &self.exchange.tamper(&self.misbehaviour));
            let policy = carrier.retry_policy(&target.url);
            let name = kind.to_string();
            let report = &self.call.report;
            let log = |attempt| report.update(|report| report.webhooks.push(attempt));
            let deliveries = (0..=self.misbehaviour.webhook_copies).map(|copy| {
                self.courier
                    .deliver(&request, &name, copy, policy, self.misbehaviour.slow_webhook, &log)
            });
            let answered = tokio::select! {
                responses = join_all(deliveries) => Ok(responses.into_iter().next().flatten()),
                control = self.control.recv() => Err(control),
            };
            match answered {
                Ok(None) => return self.fault(format!("11200: no answer from {}", request.url)),
                Ok(Some(response)) => {
                    return match carrier.read_answer(&response) {
                        Ok(instructions) => Flow::Replace(instructions),
                        Err(reason) => self.fault(reason),
                    };
                }
                Err(Some(Control::Redirect(other))) => (kind, target) = (WebhookKind::Redirected, other),
                Err(control) => return control.into(),
            }
        }
    }

    /// Carries out instructions until the call ends.
    async fn execute(&mut self, instructions: Vec<Instruction>) -> HangUp {
        let mut queue = VecDeque::from(instructions);
        while let Some(instruction) = queue.pop_front() {
            let flow = match instruction {
                Instruction::Stream(stream) => {
                    let flow = stream::run(self, &stream).await;
                    self.leaves_at = Some(Instant::now() + self.script.patience_or_default());
                    flow
                }
                Instruction::Pause(duration) => {
                    self.event(CallEvent::Instruction(format!("pause {duration:?}")));
                    self.wait(duration).await
                }
                Instruction::Say(text) => {
                    // About the speed of a synthetic voice.
                    let duration = Duration::from_millis(60 * text.chars().count() as u64);
                    self.event(CallEvent::Instruction(format!("say {text}")));
                    self.wait(duration).await
                }
                Instruction::Play(url) => {
                    self.event(CallEvent::Instruction(format!("play {url}")));
                    Flow::Next
                }
                Instruction::HangUp => {
                    self.event(CallEvent::Instruction("hang up".to_owned()));
                    return HangUp::Markup;
                }
                Instruction::Reject { .. } => {
                    self.note("a rejection comes too late once the call is answered");
                    return HangUp::Markup;
                }
                Instruction::Redirect(target) => {
                    self.event(CallEvent::Instruction(format!("redirect {}", target.url)));
                    Flow::Redirect(target)
                }
                Instruction::Conference { name, ends_on_exit } => self.join_conference(&name, ends_on_exit).await,
                Instruction::Unknown(verb) => {
                    self.note(format!("an instruction that is not simulated: {verb}"));
                    Flow::Next
                }
            };
            let flow = match flow {
                Flow::Redirect(target) => self.ask(WebhookKind::Redirected, target).await,
                other => other,
            };
            match flow {
                Flow::Next | Flow::Redirect(_) => {}
                Flow::Replace(instructions) => queue = instructions.into(),
                Flow::Ended(hang_up) => return hang_up,
            }
        }
        HangUp::Markup
    }

    async fn wait(&mut self, duration: Duration) -> Flow {
        let leaves_at = self.leaves_at;
        tokio::select! {
            () = sleep(duration) => Flow::Next,
            () = maybe_until(leaves_at) => Flow::Ended(HangUp::Person),
            control = self.control.recv() => control.into(),
        }
    }

    async fn join_conference(&mut self, name: &str, ends_on_exit: bool) -> Flow {
        let ended = lock(&self.exchange.conferences)
            .entry(name.to_owned())
            .or_insert_with(|| broadcast::channel(1).0)
            .clone();
        let mut end = ended.subscribe();
        self.event(CallEvent::ConferenceJoined(name.to_owned()));
        let flow = tokio::select! {
            _ = end.recv() => return Flow::Ended(HangUp::Conference),
            control = self.control.recv() => Flow::from(control),
        };
        if ends_on_exit {
            lock(&self.exchange.conferences).remove(name);
            // An error means that nobody else is in it.
            let _ = ended.send(());
        }
        flow
    }
}

async fn maybe_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Delivers a call's callbacks one after the other, because their order is what a carrier guarantees at best.
async fn deliver_callbacks(
    exchange: Arc<Exchange>,
    call: Arc<Call>,
    courier: Courier,
    misbehaviour: Misbehaviour,
    mut queue: mpsc::UnboundedReceiver<(String, WebhookRequest)>,
) {
    let log = |attempt| call.report.update(|report| report.webhooks.push(attempt));
    let mut kept = Vec::new();
    while let Some((kind, request)) = queue.recv().await {
        if misbehaviour.statuses_reversed {
            kept.push((kind, request));
            continue;
        }
        deliver_copies(&exchange, &courier, &misbehaviour, &kind, &request, &log).await;
    }
    for (kind, request) in kept.into_iter().rev() {
        deliver_copies(&exchange, &courier, &misbehaviour, &kind, &request, &log).await;
    }
}

async fn deliver_copies(
    exchange: &Exchange,
    courier: &Courier,
    misbehaviour: &Misbehaviour,
    kind: &str,
    request: &WebhookRequest,
    log: &(dyn Fn(crate::report::WebhookAttempt) + Sync),
) {
    let policy = exchange.carrier.retry_policy(&request.url);
    for copy in 0..=misbehaviour.status_copies {
        courier
            .deliver(request, kind, copy, policy, misbehaviour.slow_webhook, log)
            .await;
    }
}
