//! What must hold of any component, whatever it does.
//!
//! The host does not panic; every invocation ends, within its processor time and what the scheduler adds; what comes out is
//! bounded, says whose fault it is in one line, and tells no secret; and an honest component on the same engine works as
//! before.

use std::fmt::Debug;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use strowger_host::operation::{Call, Direction, MediaAddress, Outbound};
use strowger_host::{
    Ability, Credentials, Effect, Engine, Header, IncomingResponse, InvokeError, LoadError, MediaFrame, Message,
    Moment, Operation, Provider, RejectionReason, Reply, Step, Webhook,
};

/// The secret of every configuration; nothing that comes out may contain it.
const SECRET: &str = "hush-hush-4711";
/// Far above every budget, far below what a hang would take: the time of a loaded machine is not the guest's.
const INVOCATION_MAX: Duration = Duration::from_secs(8);
/// Above what any invocation may return, written out for people.
const SHOWN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Of an error.
const LINE_BYTES_MAX: usize = 4 * 1024;

/// How far a component came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It was not loaded.
    Refused,
    /// It was called; so many of its invocations ended in a fault.
    Called {
        /// All of them.
        invocations: usize,
        /// Those that broke a rule.
        faults: usize,
    },
}

/// Loads a component and calls everything that it exports.
///
/// # Panics
/// When something does not hold that must.
#[must_use]
pub fn judge(engine: &Engine, component: &[u8]) -> Came {
    let provider = match timed(|| Provider::load(engine, component)) {
        Ok(provider) => provider,
        Err(error) => {
            assert!(
                !matches!(error, LoadError::Failed(InvokeError::Host(_))),
                "a guest's fault is not ours: {error}"
            );
            hold_line(&error.to_string());
            return Came::Refused;
        }
    };
    let mut judge = Judge {
        invocations: 0,
        faults: 0,
    };
    let Ok(credentials) = Credentials::check(provider.spec(), &json!({ "secret": SECRET })) else {
        // It asks for settings that nobody has.
        return judge.came();
    };
    judge.core(&provider, &credentials);
    judge.abilities(&provider, &credentials);
    judge.media(&provider, &credentials);
    judge.came()
}

struct Judge {
    invocations: usize,
    faults: usize,
}

impl Judge {
    fn came(&self) -> Came {
        Came::Called {
            invocations: self.invocations,
            faults: self.faults,
        }
    }

    fn core(&mut self, provider: &Provider, credentials: &Credentials) {
        let moment = Moment::at(1);
        self.ask(|| provider.check_credentials(credentials, &moment));
        self.ask(|| provider.recognise(&webhook(), &moment));
        self.ask(|| provider.verify(credentials, &webhook(), &moment));
        self.drive(provider.handle_callback(credentials, "status".to_owned(), call(), webhook(), moment));
        self.drive(provider.answer(credentials, call(), media(), Some(webhook()), moment));
        self.drive(provider.reject_call(credentials, call(), RejectionReason::Quota, moment));
    }

    fn abilities(&mut self, provider: &Provider, credentials: &Credentials) {
        let moment = Moment::at(1);
        let number = || "+14155550100".to_owned();
        if provider.can(Ability::Calling) {
            self.operation(provider.place_call(credentials, call(), outbound(), moment));
            self.operation(provider.hang_up(credentials, call(), moment));
            self.operation(provider.fetch_status(credentials, call(), moment));
            self.operation(provider.fetch_cost(credentials, call(), moment));
        }
        if provider.can(Ability::Detection) {
            self.ask(|| provider.detection_modes(credentials, &moment));
            self.ask(|| provider.detection_result(credentials, &webhook(), &moment));
        }
        if provider.can(Ability::Numbers) {
            self.operation(provider.validate_number(credentials, number(), moment));
            self.operation(provider.provision_number(credentials, number(), moment));
            let url = "https://gateway.example/in".to_owned();
            self.operation(provider.configure_inbound(credentials, number(), url, true, moment));
        }
        if provider.can(Ability::Events) {
            self.ask(|| provider.event_socket(credentials, &moment));
            self.operation(provider.handle_event(credentials, "{}".to_owned(), moment));
        }
    }

    fn media(&mut self, provider: &Provider, credentials: &Credentials) {
        let Some(mut leg) = self.ask(|| provider.open_leg(credentials, call(), Moment::at(1))) else {
            return;
        };
        for message in [
            Message::Text("{\"event\":\"start\"}".to_owned()),
            Message::Binary(vec![7; 160]),
        ] {
            self.ask(|| leg.deserialize(message));
        }
        for frame in [
            MediaFrame::Audio(vec![7; 160]),
            MediaFrame::Mark("m".to_owned()),
            MediaFrame::Clear,
        ] {
            self.ask(|| leg.serialize(&frame));
        }
    }

    fn operation<T: Debug>(&mut self, operation: Result<Operation<T>, InvokeError>) {
        match operation {
            Ok(operation) => self.drive(operation),
            Err(error) => panic!("an ability that it exports is missing: {error}"),
        }
    }

    /// Answers effects as a carrier that echoes the secret would, until the operation is over.
    fn drive<T: Debug>(&mut self, mut operation: Operation<T>) {
        for _ in 0..4 {
            let Some(Step::Perform(effect)) = self.ask(|| operation.step()) else {
                return;
            };
            operation.reply(match effect {
                Effect::Http(_) => Reply::Http(IncomingResponse {
                    status: 200,
                    headers: vec![("x-echo".to_owned(), SECRET.as_bytes().to_vec())],
                    body: SECRET.as_bytes().to_vec(),
                }),
                Effect::Load { .. } => Reply::Value(None),
                Effect::Save { .. } => Reply::Saved,
                Effect::Claim { .. } => Reply::Claimed(true),
            });
        }
    }

    /// One invocation, and what must hold of it.
    fn ask<T: Debug>(&mut self, invoke: impl FnOnce() -> Result<T, InvokeError>) -> Option<T> {
        self.invocations += 1;
        match timed(invoke) {
            Ok(value) => {
                let shown = format!("{value:?}");
                assert!(shown.len() <= SHOWN_BYTES_MAX, "{} bytes came out", shown.len());
                assert!(!shown.contains(SECRET), "a secret came out: {shown}");
                Some(value)
            }
            Err(error) => {
                assert!(
                    !matches!(error, InvokeError::Host(_)),
                    "a guest's fault is not ours: {error}"
                );
                self.faults += 1;
                hold_line(&error.to_string());
                None
            }
        }
    }
}

/// One line of bounded length, without a secret.
fn hold_line(message: &str) {
    assert!(message.len() <= LINE_BYTES_MAX, "an error of {} bytes", message.len());
    assert!(
        !message.contains('\n') && !message.contains('\x1b'),
        "an error with control characters: {message:?}"
    );
    assert!(!message.contains(SECRET), "an error with a secret: {message}");
}

fn timed<T>(work: impl FnOnce() -> T) -> T {
    let before = processor_time();
    let value = work();
    let used = processor_time().saturating_sub(before);
    assert!(used <= INVOCATION_MAX, "{used:?} of processor time");
    value
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

fn webhook() -> Webhook {
    Webhook {
        method: "POST".to_owned(),
        url: "https://gateway.example/x?a=b".to_owned(),
        headers: vec![Header {
            name: "x-a".to_owned(),
            value: "1".to_owned(),
        }],
        body: b"a=b".to_vec(),
        received_at: 1,
    }
}

fn call() -> Call {
    Call {
        id: "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192".to_owned(),
        provider_call_id: Some("call-1".to_owned()),
        direction: Direction::Outbound,
        caller: "+14155550100".to_owned(),
        callee: "+14155550199".to_owned(),
        routes: vec![],
        attachment: None,
    }
}

fn media() -> MediaAddress {
    MediaAddress {
        url: "wss://gateway.example/ws/t".to_owned(),
        base_url: "wss://gateway.example/ws".to_owned(),
        token: "t".to_owned(),
    }
}

fn outbound() -> Outbound {
    Outbound {
        caller_id: None,
        answer_url: None,
        media: media(),
        ring_timeout_s: 30,
        detect_machine: None,
        trunk: None,
    }
}
