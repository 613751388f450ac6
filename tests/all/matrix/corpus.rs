//! Webhooks as carriers send them: made by the simulators, which share nothing with the providers, and copied from the
//! carriers' documentation.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::{Map, Value};
use strowger_host::operation::{Call, TransferLeg};
use strowger_host::spec::{Route, RoutePurpose};
use strowger_host::{Header, Webhook};
use strowger_simulator::carrier::{
    CallRecord, ConferenceChange, Notice, Subscription, Tamper, WebhookKind, WebhookTarget,
};
use strowger_simulator::report::{CallStatus, HangUp};

use super::bench::Bench;
use super::{DISPATCHER, GATEWAY, Subject, arrived, now_ms};

/// What a webhook is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Is {
    /// Somebody calls.
    Call { id: String, caller: String, callee: String },
    /// Something happened to this call.
    Event { id: String },
    /// Either: the place where it arrives tells.
    Own,
}

/// One webhook, how it was made, and what it is.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) shown: String,
    pub(super) is: Is,
    pub(super) record: CallRecord,
    pub(super) kind: WebhookKind,
    pub(super) target: WebhookTarget,
}

impl Entry {
    /// Signed now, as told.
    pub(super) fn sent(&self, subject: &Subject, tamper: &Tamper) -> Webhook {
        let request = subject.carrier.webhook(&self.record, &self.kind, &self.target, tamper);
        arrived(request)
    }

    /// The same to another address.
    pub(super) fn at(&self, target: &WebhookTarget) -> Self {
        Self {
            target: target.clone(),
            ..self.clone()
        }
    }
}

/// The first of each kind: of calls in each direction, answers, transfers.
pub(super) fn one_of_each_kind(entries: &[Entry]) -> Vec<&Entry> {
    let mut seen = BTreeSet::new();
    let kind = |entry: &Entry| {
        let word = entry.shown.split([':', ' ']).next().unwrap_or_default().to_owned();
        (word, entry.target.method.clone())
    };
    entries.iter().filter(|entry| seen.insert(kind(entry))).collect()
}

/// Where the gateway would be told of this call, or of this transfer.
pub(super) fn route_target(subject: &Subject, route: &Route, id: &str) -> WebhookTarget {
    WebhookTarget {
        url: route.url(&subject.base(), id),
        method: route.method.clone(),
    }
}

pub(super) fn routes(subject: &Subject, purpose: RoutePurpose) -> impl Iterator<Item = &Route> {
    let routes = subject.provider.spec().routes.iter();
    routes.filter(move |route| route.purpose == purpose)
}

/// The address for a call's events that the carrier is given.
fn callback(subject: &Subject, call: &Call) -> WebhookTarget {
    routes(subject, RoutePurpose::Callback)
        .find(|route| route.names_call())
        .map_or_else(
            || WebhookTarget::post(DISPATCHER),
            |route| route_target(subject, route, &call.id),
        )
}

const ENDS: [CallStatus; 6] = [
    CallStatus::Completed,
    CallStatus::Busy,
    CallStatus::NoAnswer,
    CallStatus::Failed,
    CallStatus::Canceled,
    CallStatus::Rejected,
];

/// All that the simulated carrier says about a call in each direction and about a transfer; nothing for a carrier without
/// webhooks.
pub(super) fn simulated(bench: &Bench) -> Vec<Entry> {
    let subject = &bench.account.subject;
    let mut entries = Vec::new();
    let record = |call: &Call| -> CallRecord {
        let id = call.provider_call_id.as_deref().unwrap();
        bench.account.ledger.call(id).unwrap().clone()
    };
    let dispatcher = WebhookTarget::post(DISPATCHER);

    let inbound = record(&bench.inbound);
    let routed = subject
        .carrier
        .inbound_route(&bench.account.ledger, subject.carrier.own_number());
    if let Some(voice) = routed.voice {
        let mut target = voice;
        if target.url.is_empty() {
            target.clone_from(&dispatcher);
        }
        entries.push(Entry {
            shown: "incoming".to_owned(),
            is: Is::Call {
                id: inbound.id.clone(),
                caller: bench.inbound.caller.clone(),
                callee: bench.inbound.callee.clone(),
            },
            record: inbound.clone(),
            kind: WebhookKind::Incoming,
            target,
        });
    }
    tell(bench, &bench.inbound, &dispatcher, &inbound, "inbound", &mut entries);

    let outbound = record(&bench.outbound);
    for route in routes(subject, RoutePurpose::Answer) {
        entries.push(Entry {
            shown: format!("answered at {}", route.name),
            is: Is::Own,
            record: outbound.clone(),
            kind: WebhookKind::Answered,
            target: route_target(subject, route, &bench.outbound.id),
        });
    }
    let given = callback(subject, &bench.outbound);
    tell(bench, &bench.outbound, &given, &outbound, "outbound", &mut entries);
    if let Some(leg) = &bench.leg {
        transfer(bench, leg, &mut entries);
    }
    entries
}

/// What is told of one call from its beginning to each of its ends, at the addresses that the carrier has.
fn tell(
    bench: &Bench,
    call: &Call,
    given: &WebhookTarget,
    record: &CallRecord,
    direction: &str,
    entries: &mut Vec<Entry>,
) {
    let kinds = [CallStatus::Initiated, CallStatus::Ringing, CallStatus::InProgress]
        .into_iter()
        .chain(ENDS)
        .map(WebhookKind::Status)
        .chain(
            ["stream-started", "stream-stopped", "stream-error"].map(|event| WebhookKind::Stream {
                stream_id: "MZ00112233445566778899aabbccddeeff".to_owned(),
                name: String::new(),
                event,
                error: if event == "stream-error" {
                    "the socket was closed".to_owned()
                } else {
                    String::new()
                },
            }),
        )
        .chain([WebhookKind::Digit('5')]);
    for kind in kinds {
        let mut record = record.clone();
        record.callbacks = vec![Subscription::to_all(given.clone())];
        if let WebhookKind::Status(status) = &kind {
            at_status(&mut record, *status);
        }
        notices(bench, &record, &kind, given, direction, call, entries);
    }
}

fn at_status(record: &mut CallRecord, status: CallStatus) {
    record.status = status;
    let began = SystemTime::now() - Duration::from_secs(30);
    record.created = began;
    let talked = matches!(status, CallStatus::InProgress | CallStatus::Completed);
    record.answered = talked.then(|| began + Duration::from_secs(5));
    record.ended = status.is_final().then(|| began + Duration::from_secs(25));
    record.ended_by = status.is_final().then_some(HangUp::Person);
}

fn notices(
    bench: &Bench,
    record: &CallRecord,
    kind: &WebhookKind,
    given: &WebhookTarget,
    direction: &str,
    call: &Call,
    entries: &mut Vec<Entry>,
) {
    let mut account = bench.account.clone();
    let carrier = account.subject.carrier;
    for notice in carrier.notices(&mut account.ledger, record, kind, Some(given)) {
        let Notice::Webhook { kind, target } = notice else {
            continue;
        };
        // A stream, or what a person does on it, may have a name of its own.
        let names_the_call = !matches!(kind, WebhookKind::Stream { .. } | WebhookKind::Digit(_));
        entries.push(Entry {
            shown: format!("{direction}: {kind}"),
            is: if names_the_call {
                Is::Event {
                    id: call.provider_call_id.clone().unwrap(),
                }
            } else {
                Is::Own
            },
            record: record.clone(),
            kind,
            target,
        });
    }
}

/// What is told of the second leg of a transfer.
fn transfer(bench: &Bench, leg: &TransferLeg, entries: &mut Vec<Entry>) {
    let id = leg.provider_call_id.as_deref().unwrap();
    let subject = &bench.account.subject;
    let record = bench.account.ledger.call(id).unwrap().clone();
    for route in routes(subject, RoutePurpose::Transfer) {
        let given = route_target(subject, route, &leg.id);
        let kinds = [CallStatus::Ringing, CallStatus::InProgress]
            .into_iter()
            .chain(ENDS)
            .map(WebhookKind::Status)
            .chain(
                [ConferenceChange::Joined, ConferenceChange::Left].map(|change| WebhookKind::Conference {
                    name: format!("transfer-{}", leg.id),
                    change,
                }),
            );
        for kind in kinds {
            let mut record = record.clone();
            record.callbacks = vec![Subscription::to_all(given.clone())];
            if let WebhookKind::Status(status) = &kind {
                at_status(&mut record, *status);
            }
            let shown = format!("transfer at {}: {kind}", route.name);
            let mut account = bench.account.clone();
            let told = subject
                .carrier
                .notices(&mut account.ledger, &record, &kind, Some(&given));
            for notice in told {
                if let Notice::Webhook { kind, target } = notice {
                    entries.push(Entry {
                        shown: shown.clone(),
                        is: Is::Own,
                        record: record.clone(),
                        kind,
                        target,
                    });
                }
            }
        }
    }
}

/// A webhook in a carrier's documentation, or as its customers have shown one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Documented {
    pub(super) name: String,
    /// Where it is written.
    pub(super) source: String,
    #[serde(default = "post")]
    method: String,
    /// The query of the address that it comes to.
    #[serde(default)]
    query: Map<String, Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    form: Option<Map<String, Value>>,
    json: Option<Value>,
    pub(super) is: DocumentedIs,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DocumentedIs {
    Call {
        id: String,
        caller: String,
        callee: String,
        account: Option<String>,
    },
    Event {
        id: String,
        account: Option<String>,
    },
    /// Nothing that concerns calls.
    Nothing,
}

fn post() -> String {
    "POST".to_owned()
}

fn encoded(parameters: &Map<String, Value>) -> String {
    let pairs = parameters.iter().map(|(name, value)| (name, value.as_str().unwrap()));
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

impl Documented {
    pub(super) fn webhook(&self) -> Webhook {
        let query = encoded(&self.query);
        let separator = if query.is_empty() { "" } else { "?" };
        let mut headers: Vec<Header> = self
            .headers
            .iter()
            .map(|(name, value)| Header {
                name: name.clone(),
                value: value.as_str().unwrap().to_owned(),
            })
            .collect();
        let (content_type, body) = match (&self.form, &self.json) {
            (Some(form), None) => ("application/x-www-form-urlencoded", encoded(form)),
            (None, Some(json)) => ("application/json", json.to_string()),
            (None, None) => ("", String::new()),
            (Some(_), Some(_)) => panic!("{} has two bodies", self.name),
        };
        if !content_type.is_empty() {
            headers.push(Header {
                name: "content-type".to_owned(),
                value: content_type.to_owned(),
            });
        }
        Webhook {
            method: self.method.clone(),
            url: format!("{GATEWAY}/api/v1/telephony/inbound/run{separator}{query}"),
            headers,
            body: body.into_bytes(),
            received_at: now_ms(),
        }
    }
}

/// What is documented of one carrier.
pub(super) fn documented(carrier: &str) -> Vec<Documented> {
    let path = folder().join(format!("{carrier}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folder() -> PathBuf {
    strowger_tests::root().join("tests/all/matrix/documented")
}
