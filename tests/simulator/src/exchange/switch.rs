//! The lines behind a carrier's front: calls, what others do to them, and what they have to tell.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, task::AbortHandle};

use super::{Callee, RestFailure, RestLogEntry, api::Window, events::Hub, line::Line, rooms::Rooms};
use crate::{
    carrier::{
        CallRecord, Carrier, Directive, Instruction, Ledger, Notice, NumberRecord, RateLimit, RestRequest,
        RestResponse, Tamper, WebhookKind, WebhookRequest, WebhookTarget, random_hex,
    },
    clock,
    misbehaviour::Misbehaviour,
    report::CallReport,
    script::CallerScript,
    watched::Watched,
    webhook::Courier,
};

#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) carrier: &'static dyn Carrier,
    pub(super) newer_signature: bool,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) settings: Mutex<Settings>,
    pub(super) ledger: Mutex<Ledger>,
    pub(super) lines: Watched<Lines>,
    pub(super) rooms: Arc<Rooms>,
    pub(super) hub: Hub,
    pub(super) window: Window,
    pub(super) rest_log: Watched<Vec<RestLogEntry>>,
    pub(super) tasks: Mutex<Vec<AbortHandle>>,
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) courier: Option<Courier>,
    pub(super) misbehaviour: Misbehaviour,
    pub(super) rest_failures: Vec<RestFailure>,
    pub(super) callees: BTreeMap<String, Callee>,
    pub(super) default_callee: Callee,
}

#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) all: Vec<Arc<Call>>,
    pub(super) outbound_unseen: VecDeque<Arc<Call>>,
}

/// One call, as far as others than its own task are concerned.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: String,
    /// There is no person on it: a media channel.
    pub(super) is_media: bool,
    pub(super) misbehaviour: Misbehaviour,
    pub(super) report: Watched<CallReport>,
    pub(super) control: mpsc::UnboundedSender<Control>,
    pub(super) notices: mpsc::UnboundedSender<Out>,
    /// Notices that are not delivered yet.
    pub(super) untold: AtomicUsize,
    /// Its first instructions are being carried out, or it has ended.
    pub(super) settled: AtomicBool,
}

/// What others do to a call.
#[derive(Debug)]
pub(super) enum Control {
    RestHangsUp,
    PersonHangsUp,
    Instruct(Vec<Instruction>),
    Redirect(WebhookTarget),
    Seat(Option<String>),
    Digits(String),
}

/// How a call comes about.
#[derive(Debug)]
pub(super) enum Start {
    Inbound {
        /// Where it is announced.
        voice: Option<WebhookTarget>,
        script: CallerScript,
    },
    Outbound(Callee),
    /// A media channel.
    Media,
}

/// What a call has to tell, in order.
#[derive(Debug)]
pub(super) enum Out {
    Webhook {
        kind: String,
        request: WebhookRequest,
    },
    Event {
        key: String,
        text: String,
    },
    /// Nothing more will come.
    End,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn new_number(number: &str) -> NumberRecord {
    NumberRecord::new(format!("PN{}", random_hex(32)), number)
}

impl Settings {
    /// Takes one count of the first failure that is about this request.
    pub(super) fn next_failure(&mut self, request: &RestRequest) -> Option<RestFailure> {
        self.rest_failures.retain(|failure| failure.times > 0);
        let failure = self
            .rest_failures
            .iter_mut()
            .find(|failure| failure.is_about(request))?;
        failure.times -= 1;
        Some(failure.clone())
    }
}

impl Exchange {
    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.settings)
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    pub(super) fn tamper(&self, misbehaviour: &Misbehaviour) -> Tamper {
        Tamper {
            signing: misbehaviour.signing,
            newer_signature: self.newer_signature,
            padding_bytes: misbehaviour.padding_bytes,
            invalid_utf8: misbehaviour.invalid_utf8,
        }
    }

    /// Begins a call's own task.
    pub(super) fn start_line(
        self: &Arc<Self>,
        record: CallRecord,
        start: Start,
        courier: Courier,
        misbehaviour: Misbehaviour,
    ) -> Arc<Call> {
        let (control, commands) = mpsc::unbounded_channel();
        let (notices, queue) = mpsc::unbounded_channel();
        let report = CallReport {
            carrier: self.carrier.name().to_owned(),
            call_id: record.id.clone(),
            direction: record.direction,
            from: record.from.clone(),
            to: record.to.clone(),
            status: record.status,
            placed_at: clock::now(),
            answered_at: None,
            ended_at: None,
            hang_up: None,
            events: Vec::new(),
            webhooks: Vec::new(),
            streams: Vec::new(),
            rooms: Vec::new(),
            digits_heard: String::new(),
            finished: false,
        };
        let call = Arc::new(Call {
            id: record.id.clone(),
            is_media: matches!(start, Start::Media),
            misbehaviour,
            report: Watched::new(report),
            control,
            notices,
            untold: AtomicUsize::new(0),
            settled: AtomicBool::new(false),
        });
        self.ledger().calls.insert(record.id.clone(), record);
        self.lines.update(|lines| {
            lines.all.push(Arc::clone(&call));
            if matches!(start, Start::Outbound(_)) {
                lines.outbound_unseen.push_back(Arc::clone(&call));
            }
        });
        let line = Line::new(Arc::clone(self), Arc::clone(&call), commands, queue, courier, &start);
        self.track(tokio::spawn(line.run(start)).abort_handle());
        call
    }

    pub(super) fn track(&self, task: AbortHandle) {
        let mut tasks = lock(&self.tasks);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Call>> {
        self.lines
            .read(|lines| lines.all.iter().find(|call| call.id == id).map(Arc::clone))
    }

    pub(super) fn obey(self: &Arc<Self>, directive: Directive) {
        let (id, control) = match directive {
            Directive::Dial(id) => return self.dial(&id, false),
            Directive::OpenMedia(id) => return self.dial(&id, true),
            Directive::EndConference(name) => return self.rooms.end(&name),
            Directive::Tell(id, notice) => {
                if let Some(call) = self.find(&id) {
                    self.send(&call, notice);
                }
                return;
            }
            Directive::HangUp(id) => (id, Control::RestHangsUp),
            Directive::Instruct(id, instructions) => (id, Control::Instruct(instructions)),
            Directive::Redirect(id, target) => (id, Control::Redirect(target)),
            Directive::Seat(id, room) => (id, Control::Seat(room)),
            Directive::Digits(id, digits) => (id, Control::Digits(digits)),
        };
        match self.find(&id) {
            // A call that ends at this very moment is past commands.
            Some(call) => drop(call.control.send(control)),
            None => tracing::warn!(%id, "a directive for a call that there is not"),
        }
    }

    fn dial(self: &Arc<Self>, id: &str, media: bool) {
        let Some(record) = self.ledger().calls.get(id).cloned() else {
            return;
        };
        let (courier, callee, misbehaviour) = {
            let settings = self.settings();
            let callee = settings
                .callees
                .get(&record.to)
                .unwrap_or(&settings.default_callee)
                .clone();
            (settings.courier.clone(), callee, settings.misbehaviour.clone())
        };
        let start = if media { Start::Media } else { Start::Outbound(callee) };
        match courier {
            Some(courier) => {
                self.start_line(record, start, courier, misbehaviour);
            }
            None => tracing::error!("a call was asked for before the carrier was told where the gateway is"),
        }
    }

    /// Tells what has just happened to a call, in the carrier's way.
    pub(super) fn tell(&self, call: &Call, what: &WebhookKind, given: Option<&WebhookTarget>) {
        let notices = {
            let mut ledger = self.ledger();
            let Some(record) = ledger.calls.get(&call.id).cloned() else {
                return;
            };
            self.carrier.notices(&mut ledger, &record, what, given)
        };
        for notice in notices {
            self.send(call, notice);
        }
    }

    /// Sends a notice after those before it, without waiting for it.
    pub(super) fn send(&self, call: &Call, notice: Notice) {
        let out = match notice {
            Notice::Event { key, text } => Out::Event { key, text },
            Notice::Webhook { kind, target } => {
                let tamper = self.tamper(&call.misbehaviour);
                let mut ledger = self.ledger();
                let Some(record) = ledger.calls.get_mut(&call.id) else {
                    return;
                };
                let request = self.carrier.webhook(record, &kind, &target, &tamper);
                record.status_sequence += u32::from(matches!(kind, WebhookKind::Status(_)));
                Out::Webhook {
                    kind: kind.to_string(),
                    request,
                }
            }
        };
        call.untold.fetch_add(1, Ordering::SeqCst);
        if call.notices.send(out).is_err() {
            tracing::debug!("a notice about a call that is past telling");
        }
    }

    /// Waits until a call has been answered or has ended, and all of that has been told.
    pub(super) async fn callbacks_delivered(&self, id: &str, within: Duration) {
        let Some(call) = self.find(id) else { return };
        let delivered = |report: &mut CallReport| {
            let told = call.settled.load(Ordering::SeqCst) && call.untold.load(Ordering::SeqCst) == 0;
            (told || report.finished).then_some(())
        };
        if call.report.wait_for(within, delivered).await.is_err() {
            tracing::warn!(%id, "the callbacks that should have come before a response took too long");
        }
    }

    pub(super) fn log(&self, request: &RestRequest, response: &RestResponse) {
        self.rest_log.update(|log| {
            log.push(RestLogEntry {
                at: clock::now(),
                method: request.method.clone(),
                path: request.path_and_query(),
                body: String::from_utf8_lossy(&request.body).into_owned(),
                status: response.status,
                response: String::from_utf8_lossy(&response.body).into_owned(),
            });
        });
    }
}
