//! One call from the first ring to the last callback: a task that carries out what the gateway asks for.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{Call, Callee, Control, Exchange, Out, Start, notices, room, stream};
use crate::{
    carrier::{CallRecord, Instruction, WebhookKind, WebhookTarget},
    clock,
    report::{CallEvent, CallStatus, HangUp, TimedEvent},
    script::{CallerScript, Runner},
    webhook::Courier,
};

/// How long a caller lets it ring.
const RINGS_MAX: Duration = Duration::from_secs(60);
/// How long a person stays on a line that is answered and silent, before there was any media.
const SILENCE_MAX: Duration = Duration::from_secs(60);

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

#[derive(Debug)]
pub(super) struct Line {
    pub(super) exchange: Arc<Exchange>,
    pub(super) call: Arc<Call>,
    pub(super) control: mpsc::UnboundedReceiver<Control>,
    pub(super) courier: Courier,
    pub(super) script: CallerScript,
    pub(super) runner: Runner,
    /// When the person goes, whatever happens.
    pub(super) leaves_at: Option<Instant>,
    /// When the person has had enough, once a media stream has ended.
    bored_at: Option<Instant>,
    /// The room that a media channel shall sound in.
    pub(super) seat_wanted: Option<String>,
    /// A media socket that was opened before the answer.
    early: Option<stream::Open>,
    /// Webhooks that were answered otherwise than by their response, which may still come.
    asked: Vec<JoinHandle<()>>,
    notices: JoinHandle<()>,
}

impl Line {
    pub(super) fn new(
        exchange: Arc<Exchange>,
        call: Arc<Call>,
        control: mpsc::UnboundedReceiver<Control>,
        queue: mpsc::UnboundedReceiver<Out>,
        courier: Courier,
        start: &Start,
    ) -> Self {
        let task = notices::deliver(Arc::clone(&exchange), Arc::clone(&call), courier.clone(), queue);
        let notices = tokio::spawn(task);
        exchange.track(notices.abort_handle());
        let script = match start {
            Start::Inbound { script, .. } | Start::Outbound(Callee::Answers { script, .. }) => script.clone(),
            Start::Outbound(_) | Start::Media => CallerScript::new(),
        };
        let audio = exchange.carrier.audio();
        script.prepare(audio.rate_hz());
        Self {
            runner: Runner::new(&script, audio.rate_hz(), audio.frame_samples()),
            exchange,
            call,
            control,
            courier,
            script,
            leaves_at: None,
            bored_at: None,
            seat_wanted: None,
            early: None,
            asked: Vec::new(),
            notices,
        }
    }

    pub(super) async fn run(mut self, start: Start) {
        let (hang_up, status) = match start {
            Start::Inbound { voice, .. } => self.ring_gateway(voice).await,
            Start::Outbound(callee) => self.ring_callee(callee).await,
            Start::Media => self.open_media().await,
        };
        if let Some(early) = self.early.take() {
            early.abandon(&self).await;
        }
        self.event(CallEvent::HungUp(hang_up));
        self.call.report.update(|report| report.hang_up = Some(hang_up));
        self.set_status(status, Some(hang_up));
        for asked in self.asked.drain(..) {
            // Either it comes to its end, or the carrier stops.
            let _ = asked.await;
        }
        // The call has ended when everything that it had to tell is delivered.
        let _ = self.call.notices.send(Out::End);
        if let Err(error) = (&mut self.notices).await {
            tracing::debug!(%error, "notices were cut short");
        }
        self.call.settled.store(true, Ordering::SeqCst);
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

    /// Tells what has just happened, in the carrier's way.
    pub(super) fn tell(&self, what: &WebhookKind, given: Option<&WebhookTarget>) {
        self.exchange.tell(&self.call, what, given);
    }

    /// Moves the call on and tells those who asked to be told.
    fn set_status(&self, status: CallStatus, ended_by: Option<HangUp>) {
        let told = {
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
            record.ended_by = ended_by;
            if status.is_final() { record.status } else { status }
        };
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
        self.tell(&WebhookKind::Status(told), None);
    }

    /// The person is on the line.
    fn answer(&mut self) {
        self.leaves_at = self.script.leaves_after().map(|after| Instant::now() + after);
        self.set_status(CallStatus::InProgress, None);
    }

    /// What somebody else wants done with the call.
    pub(super) async fn order(&mut self) -> Flow {
        loop {
            match self.control.recv().await {
                Some(Control::RestHangsUp) => return Flow::Ended(HangUp::Rest),
                Some(Control::PersonHangsUp) | None => return Flow::Ended(HangUp::Person),
                Some(Control::Instruct(instructions)) => return Flow::Replace(instructions),
                Some(Control::Redirect(target)) => return Flow::Redirect(target),
                Some(Control::Seat(room)) => self.seat_wanted = room,
                Some(Control::Digits(digits)) => digits.chars().for_each(|digit| self.hear_digit(digit)),
            }
        }
    }

    pub(super) fn hear_digit(&self, digit: char) {
        self.call.report.update(|report| report.digits_heard.push(digit));
        self.event(CallEvent::DigitHeard(digit));
    }

    async fn ring_gateway(&mut self, voice: Option<WebhookTarget>) -> (HangUp, CallStatus) {
        let asked = match voice {
            Some(voice) => self.ask(WebhookKind::Incoming, voice).await,
            None => {
                self.tell(&WebhookKind::Incoming, None);
                Flow::Next
            }
        };
        let flow = match asked {
            // Nothing was said yet: it rings on until the API says something.
            Flow::Next => tokio::select! {
                order = self.order() => order,
                () = sleep(RINGS_MAX) => Flow::Ended(HangUp::Person),
            },
            other => other,
        };
        match flow {
            Flow::Replace(instructions) => {
                if let Some(Instruction::Reject { busy }) = instructions.first() {
                    self.event(CallEvent::Instruction("reject".to_owned()));
                    let status = if *busy { CallStatus::Busy } else { CallStatus::NoAnswer };
                    return (HangUp::Markup, status);
                }
                self.answer();
                (self.execute(instructions).await, CallStatus::Completed)
            }
            Flow::Ended(hang_up @ HangUp::Person) => (hang_up, CallStatus::Canceled),
            Flow::Ended(hang_up) => (hang_up, CallStatus::Failed),
            Flow::Next | Flow::Redirect(_) => (HangUp::Fault, CallStatus::Failed),
        }
    }

    async fn ring_callee(&mut self, callee: Callee) -> (HangUp, CallStatus) {
        self.set_status(CallStatus::Initiated, None);
        if matches!(callee, Callee::Unreachable) {
            return (HangUp::Unanswered, CallStatus::Failed);
        }
        let record = self.record();
        if let Some(Instruction::Stream(stream)) = record.instructions.iter().flatten().next()
            && stream.before_answer
        {
            self.early = stream::open(self, stream).await;
        }
        self.set_status(CallStatus::Ringing, None);
        let (mut after, mut unanswered) = match &callee {
            Callee::Answers { after, .. } => (*after, None),
            Callee::NoAnswer { after } => (*after, Some(CallStatus::NoAnswer)),
            Callee::Rejects { after } => (*after, Some(CallStatus::Rejected)),
            Callee::Busy | Callee::Unreachable => (Duration::ZERO, Some(CallStatus::Busy)),
        };
        if let Some(timeout) = record.ring_timeout
            && timeout < after
            && !self.call.misbehaviour.ignores_ring_timeout
        {
            (after, unanswered) = (timeout, Some(CallStatus::NoAnswer));
        }
        let answered_at = Instant::now() + after;
        loop {
            tokio::select! {
                () = sleep_until(answered_at) => break,
                order = self.order() => match order {
                    Flow::Ended(hang_up) => return (hang_up, CallStatus::Canceled),
                    _ => self.note("instructions for a call that is not answered yet"),
                },
            }
        }
        if let Some(status) = unanswered {
            return (HangUp::Unanswered, status);
        }
        if let Callee::Answers { answered_by, .. } = callee
            && let Some(record) = self.exchange.ledger().calls.get_mut(&self.call.id)
        {
            record.answered_by = Some(answered_by);
        }
        self.answer();
        let first = match (record.instructions, record.answer) {
            (Some(instructions), _) => Flow::Replace(instructions),
            (None, Some(target)) => self.ask(WebhookKind::Answered, target).await,
            (None, None) => self.fault("nothing says what to do with the call".to_owned()),
        };
        let hang_up = match first {
            Flow::Replace(instructions) => self.execute(instructions).await,
            // The gateway says later what it wants.
            Flow::Next => self.execute(vec![Instruction::Await]).await,
            Flow::Ended(hang_up) => hang_up,
            Flow::Redirect(_) => HangUp::Fault,
        };
        (hang_up, CallStatus::Completed)
    }

    /// A media channel is there as long as its socket is.
    async fn open_media(&mut self) -> (HangUp, CallStatus) {
        self.set_status(CallStatus::Initiated, None);
        let instructions = self.record().instructions.unwrap_or_default();
        let Some(Instruction::Stream(stream)) = instructions.first() else {
            self.note("a media channel without a stream");
            return (HangUp::Fault, CallStatus::Failed);
        };
        let Some(open) = stream::open(self, stream).await else {
            return (HangUp::Fault, CallStatus::Failed);
        };
        self.set_status(CallStatus::InProgress, None);
        self.settle();
        let hang_up = match stream::run(self, open).await {
            Flow::Ended(hang_up) => hang_up,
            Flow::Next | Flow::Replace(_) | Flow::Redirect(_) => HangUp::Media,
        };
        (hang_up, CallStatus::Completed)
    }

    fn fault(&self, reason: String) -> Flow {
        self.note(reason);
        Flow::Ended(HangUp::Fault)
    }

    /// Asks the gateway what to do: [`Flow::Replace`] with its answer, [`Flow::Next`] when it says nothing yet, or the end of
    /// the call; it follows redirections itself.
    async fn ask(&mut self, mut kind: WebhookKind, mut target: WebhookTarget) -> Flow {
        loop {
            let record = self.record();
            let carrier = self.exchange.carrier;
            let tamper = self.exchange.tamper(&self.call.misbehaviour);
            let request = carrier.webhook(&record, &kind, &target, &tamper);
            let url = request.url.clone();
            let (answered, answer) = oneshot::channel();
            let policy = carrier.retry_policy(&target.url);
            let name = kind.to_string();
            let (call, courier) = (Arc::clone(&self.call), self.courier.clone());
            let mut delivery = tokio::spawn(async move {
                let log = |attempt| call.report.update(|report| report.webhooks.push(attempt));
                let slow = call.misbehaviour.slow_webhook;
                let deliveries = (0..=call.misbehaviour.webhook_copies)
                    .map(|copy| courier.deliver(&request, &name, copy, policy, slow, &log));
                let response = join_all(deliveries).await.into_iter().next().flatten();
                // A call that did not wait for it has its orders already.
                let _ = answered.send(response);
            });
            self.exchange.track(delivery.abort_handle());
            let flow = tokio::select! {
                response = answer => {
                    let Some(response) = response.ok().flatten() else {
                        return self.fault(format!("11200: no answer from {url}"));
                    };
                    return match carrier.read_answer(&response) {
                        Ok(instructions) if instructions.first() == Some(&Instruction::Await) => Flow::Next,
                        Ok(instructions) => Flow::Replace(instructions),
                        Err(reason) => self.fault(reason),
                    };
                }
                order = self.order() => order,
            };
            if let Flow::Ended(_) = flow {
                delivery.abort();
                // Nothing of it is left to be told.
                let _ = (&mut delivery).await;
                return flow;
            }
            // The gateway used its API while it was being asked; its response is still to come.
            self.asked.push(delivery);
            match flow {
                Flow::Redirect(other) => (kind, target) = (WebhookKind::Redirected, other),
                other => return other,
            }
        }
    }

    /// The call has come to where its instructions are carried out.
    fn settle(&self) {
        self.call.settled.store(true, Ordering::SeqCst);
        // Whoever waits for that looks at the report.
        self.call.report.update(|_| ());
    }

    /// Carries out instructions until the call ends.
    async fn execute(&mut self, instructions: Vec<Instruction>) -> HangUp {
        self.settle();
        let mut queue = VecDeque::from(instructions);
        let mut used_up = HangUp::Markup;
        while let Some(instruction) = queue.pop_front() {
            used_up = match instruction {
                Instruction::Conference(_) => HangUp::Conference,
                _ => HangUp::Markup,
            };
            let flow = match instruction {
                Instruction::Stream(stream) => {
                    let open = match self.early.take() {
                        Some(early) => Some(early),
                        None => stream::open(self, &stream).await,
                    };
                    let flow = match open {
                        Some(open) => stream::run(self, open).await,
                        None => Flow::Next,
                    };
                    self.bored_at = Some(Instant::now() + self.script.patience_or_default());
                    flow
                }
                Instruction::Conference(conference) => {
                    let flow = room::run(self, &conference).await;
                    self.bored_at = Some(Instant::now() + self.script.patience_or_default());
                    flow
                }
                Instruction::Await => {
                    self.event(CallEvent::Instruction("await".to_owned()));
                    match self.wait(SILENCE_MAX).await {
                        Flow::Next => Flow::Ended(HangUp::Person),
                        other => other,
                    }
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
        used_up
    }

    async fn wait(&mut self, duration: Duration) -> Flow {
        let (leaves_at, bored_at) = (self.leaves_at, self.bored_at);
        tokio::select! {
            () = sleep(duration) => Flow::Next,
            () = maybe_until(leaves_at) => Flow::Ended(HangUp::Person),
            () = maybe_until(bored_at) => Flow::Ended(HangUp::Person),
            order = self.order() => order,
        }
    }
}

pub(super) async fn maybe_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
