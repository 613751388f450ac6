//! A gateway's side of a carrier's account without a gateway: operations are driven by hand, and the simulated carrier's
//! ledger answers what they ask.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::OnceLock;
use std::time::SystemTime;

use serde_json::{Value, json};
use strowger_host::operation::{
    Call, Direction, Failure, MediaAddress, Occasion, Outbound, PublicUrls, RouteUrl, Saving, TransferLeg,
    TransferState, Trunk,
};
use strowger_host::spec::RoutePurpose;
use strowger_host::{
    Ability, Credentials, Effect, IncomingResponse, InvokeError, Operation, OutgoingRequest, Reply, Step,
};
use strowger_simulator::carrier::{CallRecord, Ledger, NumberRecord, RestAnswer, RestRequest, WebhookKind};
use strowger_simulator::report;

use super::{DISPATCHER, GATEWAY, Subject, moment, subjects};

/// Reserved for fiction.
pub(super) const CALLER: &str = "+12025550147";
pub(super) const CALLEE: &str = "+12025550188";
pub(super) const DESTINATION: &str = "+12025550199";
/// Belongs to the account, and is pointed nowhere.
pub(super) const SECOND_NUMBER: &str = "+12025550166";

pub(super) const MOVED: &str = "https://moved.example/api/v1/telephony/inbound/run";

const TALKING_ID: &str = "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192";
const INBOUND_ID: &str = "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708193";
const TRANSFER_ID: &str = "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708194";
const PICKED_UP_ID: &str = "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708195";
pub(super) const NEW_CALL_ID: &str = "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708196";
pub(super) const NEW_TRANSFER_ID: &str = "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708197";

/// An operation, whatever its result.
pub(super) trait Running {
    fn step(&mut self) -> Result<Step<String>, InvokeError>;
    fn reply(&mut self, reply: Reply);
}

impl<T: Debug> Running for Operation<T> {
    fn step(&mut self) -> Result<Step<String>, InvokeError> {
        Ok(match Self::step(self)? {
            Step::Perform(effect) => Step::Perform(effect),
            Step::Done(value) => Step::Done(format!("{value:?}")),
            Step::Failed(failure) => Step::Failed(failure),
        })
    }

    fn reply(&mut self, reply: Reply) {
        Self::reply(self, reply);
    }
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Done(String),
    Failed(Failure),
}

/// A request that an operation made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) body: Vec<u8>,
}

impl Asked {
    pub(super) fn of(request: &OutgoingRequest) -> Self {
        Self {
            method: request.method.clone(),
            url: request.url.to_string(),
            body: request.body.clone(),
        }
    }

    pub(super) fn reads(&self) -> bool {
        self.method == "GET"
    }

    /// Without what differs from run to run.
    pub(super) fn shape(&self) -> String {
        let url = reqwest::Url::parse(&self.url).unwrap();
        let segments = url.path_segments().into_iter().flatten().map(|segment| {
            let named = segment.chars().filter(char::is_ascii_digit).count() >= 5;
            if named { "{id}" } else { segment }
        });
        let path: Vec<&str> = segments.collect();
        format!(
            "{} {}/{}",
            self.method,
            url.host_str().unwrap_or_default(),
            path.join("/")
        )
    }
}

/// What answers the requests of an operation.
pub(super) trait Answers {
    fn answer(&mut self, request: &OutgoingRequest) -> Reply;
}

/// The account at the carrier, and what the runtime keeps for the provider.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) subject: Subject,
    pub(super) ledger: Ledger,
    pub(super) kept: BTreeMap<String, Value>,
}

impl Clone for Account {
    fn clone(&self) -> Self {
        let Ledger {
            numbers,
            calls,
            objects,
            gateway,
            subscribers,
        } = &self.ledger;
        Self {
            subject: self.subject.clone(),
            ledger: Ledger {
                numbers: numbers.clone(),
                calls: calls.clone(),
                objects: objects.clone(),
                gateway: gateway.clone(),
                subscribers: subscribers.clone(),
            },
            kept: self.kept.clone(),
        }
    }
}

impl Account {
    fn open(subject: &Subject) -> Self {
        let mut ledger = Ledger {
            numbers: vec![NumberRecord::new(
                "1a2b3c4d5e6f708192".to_owned(),
                subject.carrier.own_number(),
            )],
            gateway: GATEWAY.to_owned(),
            ..Ledger::default()
        };
        subject.carrier.open_account(&mut ledger);
        ledger
            .numbers
            .push(NumberRecord::new("1a2b3c4d5e6f708193".to_owned(), SECOND_NUMBER));
        Self {
            subject: subject.clone(),
            ledger,
            kept: BTreeMap::new(),
        }
    }

    /// What the carrier's REST API says.
    pub(super) fn serve(&mut self, request: &OutgoingRequest) -> RestAnswer {
        let mut headers: Vec<(String, String)> = request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect();
        headers.push(("host".to_owned(), request.url.host_str().unwrap_or_default().to_owned()));
        let request = RestRequest {
            method: request.method.clone(),
            path: request.url.path().to_owned(),
            query: request.url.query().unwrap_or_default().to_owned(),
            headers,
            body: request.body.clone(),
        };
        self.subject.carrier.handle_rest(&mut self.ledger, &request)
    }

    /// Somebody picked up; what the carrier calls the call from now on.
    fn answered(&mut self, id: &str) -> String {
        let record = self.ledger.call_mut(id).expect("the carrier knows the call");
        record.status = report::CallStatus::InProgress;
        record.answered = Some(SystemTime::now());
        let record = record.clone();
        let told = WebhookKind::Status(report::CallStatus::InProgress);
        self.subject.carrier.notices(&mut self.ledger, &record, &told, None);
        record.id
    }

    /// What the runtime does for everything that is no request.
    fn keep(&mut self, effect: Effect) -> Reply {
        match effect {
            Effect::Load { key } => Reply::Value(self.kept.get(&key).cloned()),
            Effect::Save { key, value, .. } => {
                self.kept.insert(key, value);
                Reply::Saved
            }
            Effect::Claim { key, .. } => {
                Reply::Claimed(self.kept.insert(format!("claim {key}"), Value::Null).is_none())
            }
            Effect::Http(_) => unreachable!("requests are answered elsewhere"),
        }
    }
}

pub(super) fn incoming(answer: RestAnswer) -> Reply {
    let response = answer.response;
    Reply::Http(IncomingResponse {
        status: response.status,
        headers: vec![("content-type".to_owned(), response.content_type.as_bytes().to_vec())],
        body: response.body,
    })
}

impl Answers for Account {
    fn answer(&mut self, request: &OutgoingRequest) -> Reply {
        incoming(self.serve(request))
    }
}

/// Runs an operation to its end. `answer` gets every request, `account` everything else.
#[track_caller]
pub(super) fn run_with(
    operation: &mut dyn Running,
    account: &mut Account,
    mut answer: impl FnMut(&mut Account, &OutgoingRequest) -> Reply,
) -> (Ended, Vec<Asked>) {
    let mut asked = Vec::new();
    loop {
        let step = operation
            .step()
            .unwrap_or_else(|fault| panic!("{}: a fault of the component: {fault}", account.subject.name()));
        match step {
            Step::Done(value) => return (Ended::Done(value), asked),
            Step::Failed(failure) => return (Ended::Failed(failure), asked),
            Step::Perform(Effect::Http(request)) => {
                asked.push(Asked::of(&request));
                operation.reply(answer(account, &request));
            }
            Step::Perform(effect) => operation.reply(account.keep(effect)),
        }
    }
}

/// Runs an operation over a carrier in good health.
#[track_caller]
pub(super) fn run(operation: &mut dyn Running, account: &mut Account) -> (Ended, Vec<Asked>) {
    run_with(operation, account, |account, request| account.answer(request))
}

/// Runs an operation that has to succeed, and gives its result.
#[track_caller]
pub(super) fn settled<T>(mut operation: Operation<T>, account: &mut Account) -> T {
    loop {
        match operation.step().unwrap() {
            Step::Done(value) => return value,
            Step::Failed(failure) => panic!("{} {}: {failure:?}", account.subject.name(), operation.export()),
            Step::Perform(Effect::Http(request)) => {
                let reply = account.answer(&request);
                operation.reply(reply);
            }
            Step::Perform(effect) => {
                let reply = account.keep(effect);
                operation.reply(reply);
            }
        }
    }
}

/// An account in use.
#[derive(Debug, Clone)]
pub(super) struct Bench {
    pub(super) account: Account,
    pub(super) credentials: Credentials,
    /// Placed, and connected to its media socket.
    pub(super) outbound: Call,
    /// Placed, and just picked up.
    pub(super) picked_up: Call,
    /// Comes in, and rings.
    pub(super) inbound: Call,
    /// The second leg of a transfer of `outbound`, just answered.
    pub(super) leg: Option<TransferLeg>,
    pub(super) trunk: Option<Trunk>,
}

/// One for each carrier; nobody changes them.
pub(super) fn benches() -> &'static [Bench] {
    static BENCHES: OnceLock<Vec<Bench>> = OnceLock::new();
    BENCHES.get_or_init(|| subjects().iter().map(Bench::set_up).collect())
}

impl Bench {
    fn set_up(subject: &Subject) -> Self {
        let mut account = Account::open(subject);
        let provider = &subject.provider;
        let mut credentials = subject.credentials(&json!({}));
        if provider.can(Ability::Setup) {
            let saved = provider.prepare_credentials(
                &credentials,
                saving(subject, Occasion::Create, "0123456789ab"),
                moment(),
            );
            let mut entered = credentials.expose();
            for field in settled(saved.unwrap(), &mut account) {
                entered[field.name] = field.value;
            }
            credentials = strowger_tests::credentials(provider, &entered);
        }
        if provider.can(Ability::Numbers) {
            let number = subject.carrier.own_number().to_owned();
            let attached = provider.configure_inbound(&credentials, number, DISPATCHER.to_owned(), true, moment());
            settled(attached.unwrap(), &mut account);
        }

        let mut bench = Self {
            account,
            credentials,
            outbound: call(subject, TALKING_ID, Direction::Outbound),
            picked_up: call(subject, PICKED_UP_ID, Direction::Outbound),
            inbound: call(subject, INBOUND_ID, Direction::Inbound),
            leg: None,
            trunk: None,
        };
        if provider.can(Ability::Events) {
            bench.subscribe();
        }
        bench.outbound = bench.place(bench.outbound.clone());
        bench.picked_up = bench.place(bench.picked_up.clone());
        if provider.can(Ability::Events) {
            // Nobody asks what to do with the call: it is connected by commands.
            let connected = provider.answer(&bench.credentials, bench.outbound.clone(), media(), None, moment());
            settled(connected, &mut bench.account);
        }
        bench.ring();
        if provider.can(Ability::Transfer) {
            let mut leg = leg(subject, TRANSFER_ID);
            let dialled = provider.dial_destination(&bench.credentials, bench.outbound.clone(), leg.clone(), moment());
            let placed = settled(dialled.unwrap(), &mut bench.account);
            leg.provider_call_id = Some(bench.account.answered(&placed.provider_call_id));
            leg.attachment = placed.attachment.map(|attachment| attachment.to_string());
            leg.state = TransferState::Answered;
            bench.leg = Some(leg);
        }
        if provider.can(Ability::Trunks) {
            let mut trunk = trunk(None, true);
            let applied = provider.apply_trunk(&bench.credentials, trunk.clone(), moment());
            trunk.external_id = settled(applied.unwrap(), &mut bench.account).external_id;
            bench.trunk = Some(trunk);
        }
        bench
    }

    pub(super) fn subject(&self) -> &Subject {
        &self.account.subject
    }

    /// Opens the event socket, without which nobody is told of calls.
    fn subscribe(&mut self) {
        let subject = self.subject();
        let socket = subject.provider.event_socket(&self.credentials, &moment());
        let socket = socket.unwrap().unwrap();
        let headers = socket.headers.iter();
        let upgrade = RestRequest {
            method: "GET".to_owned(),
            path: socket.url.path().to_owned(),
            query: socket.url.query().unwrap_or_default().to_owned(),
            headers: headers
                .map(|(name, value)| (name.clone(), value.expose().to_owned()))
                .collect(),
            body: Vec::new(),
        };
        let opened = subject.carrier.event_socket(&self.account.ledger, &upgrade);
        let opened = opened.expect("the carrier has event sockets").expect("it opens one");
        self.account.ledger.subscribers.insert(opened.key);
    }

    /// Calls somebody, who picks up.
    fn place(&mut self, mut call: Call) -> Call {
        let subject = self.subject().clone();
        let outbound = outbound_of(&subject, &call);
        let placed = subject
            .provider
            .place_call(&self.credentials, call.clone(), outbound, moment());
        let placed = settled(placed.unwrap(), &mut self.account);
        call.provider_call_id = Some(self.account.answered(&placed.provider_call_id));
        call.attachment = placed.attachment.map(|attachment| attachment.to_string());
        call
    }

    /// Somebody calls.
    fn ring(&mut self) {
        let carrier = self.subject().carrier;
        let number = carrier.own_number();
        let mut record = CallRecord::new(carrier.new_call_id(), report::Direction::Inbound, CALLER, number);
        let route = carrier.inbound_route(&self.account.ledger, number);
        record.extra = route.extra;
        record.callbacks = route.callbacks;
        self.inbound.provider_call_id = Some(record.id.clone());
        self.account.ledger.enter(record.clone());
        carrier.notices(&mut self.account.ledger, &record, &WebhookKind::Incoming, None);
    }
}

/// A call of ours. `routes` are those of the spec, as the runtime renders them.
pub(super) fn call(subject: &Subject, id: &str, direction: Direction) -> Call {
    let own = subject.carrier.own_number().to_owned();
    let (caller, callee) = match direction {
        Direction::Inbound => (CALLER.to_owned(), own),
        Direction::Outbound => (own, CALLEE.to_owned()),
    };
    Call {
        id: id.to_owned(),
        provider_call_id: None,
        direction,
        caller,
        callee,
        routes: routes(subject, id, |purpose| purpose != RoutePurpose::Transfer),
        attachment: None,
    }
}

fn routes(subject: &Subject, id: &str, wanted: impl Fn(RoutePurpose) -> bool) -> Vec<RouteUrl> {
    let base = subject.base();
    let routes = subject.provider.spec().routes.iter();
    routes
        .filter(|route| wanted(route.purpose) && route.path.contains('{'))
        .map(|route| RouteUrl {
            name: route.name.clone(),
            url: route.url(&base, id),
        })
        .collect()
}

pub(super) fn leg(subject: &Subject, id: &str) -> TransferLeg {
    TransferLeg {
        id: id.to_owned(),
        state: TransferState::Dialing,
        destination: DESTINATION.to_owned(),
        caller_id: Some(subject.carrier.own_number().to_owned()),
        trunk: None,
        ring_timeout_s: 30,
        announcement: None,
        provider_call_id: None,
        routes: routes(subject, id, |purpose| purpose == RoutePurpose::Transfer),
        attachment: None,
    }
}

pub(super) fn media() -> MediaAddress {
    let token = "n0q7rX2vT5yB8eH1kM4pS6uW9zC3fJ-aD_gLiNoQtVx";
    MediaAddress {
        url: format!("wss://gateway.example/api/v1/telephony/ws/{token}"),
        base_url: "wss://gateway.example/api/v1/telephony/ws".to_owned(),
        token: token.to_owned(),
    }
}

pub(super) fn outbound_of(subject: &Subject, call: &Call) -> Outbound {
    let answer = subject
        .provider
        .spec()
        .routes
        .iter()
        .find(|route| route.purpose == RoutePurpose::Answer);
    Outbound {
        caller_id: Some(call.caller.clone()),
        answer_url: answer.map(|route| route.url(&subject.base(), &call.id)),
        media: media(),
        ring_timeout_s: 30,
        detect_machine: None,
        trunk: None,
    }
}

pub(super) fn saving(subject: &Subject, occasion: Occasion, unique: &str) -> Saving {
    Saving {
        occasion,
        urls: PublicUrls {
            dispatcher: DISPATCHER.to_owned(),
            routes: subject.base(),
            media: "wss://gateway.example/api/v1/telephony/ws".to_owned(),
        },
        unique: unique.to_owned(),
    }
}

/// The only trunks that there are have these settings.
pub(super) fn trunk(external_id: Option<String>, enabled: bool) -> Trunk {
    Trunk {
        name: "main".to_owned(),
        enabled,
        settings: json!({ "region": "Global", "sip_domain": "sip.carrier.example" }).to_string(),
        external_id,
    }
}
