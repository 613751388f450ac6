//! The operations of a provider that may ask the carrier for something, each ready to be started.

use serde_json::Value;
use strowger_host::operation::{Direction, Moment, Occasion, TransferLeg, Trunk};
use strowger_host::{Ability, RejectionReason};

use super::bench::{
    Bench, DESTINATION, MOVED, NEW_CALL_ID, NEW_TRANSFER_ID, Running, SECOND_NUMBER, call, leg, media, outbound_of,
    saving, trunk,
};
use super::{DISPATCHER, moment};

/// What an operation is for: it decides what a failure must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Something begins, and must not seem to have begun when it has not.
    Begin,
    /// Something ends: that it is not there any more is what was wanted.
    End,
    /// Something is looked up, or brought into a state.
    Other,
}

type Start = Box<dyn Fn(&Bench, Moment) -> Box<dyn Running>>;

/// One operation of one provider, ready to be started as often as wanted.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) purpose: Purpose,
    start: Start,
}

impl Case {
    pub(super) fn start(&self, bench: &Bench) -> Box<dyn Running> {
        (self.start)(bench, moment())
    }
}

/// Every operation that a provider has and that may ask the carrier for something.
pub(super) fn cases(bench: &Bench) -> Vec<Case> {
    let provider = &bench.subject().provider;
    let mut cases = vec![
        case("answer inbound", Purpose::Begin, |bench, moment| {
            let provider = &bench.subject().provider;
            Box::new(provider.answer(&bench.credentials, bench.inbound.clone(), media(), None, moment))
        }),
        case("answer outbound", Purpose::Begin, |bench, moment| {
            let provider = &bench.subject().provider;
            Box::new(provider.answer(&bench.credentials, bench.picked_up.clone(), media(), None, moment))
        }),
        case("reject inbound", Purpose::End, |bench, moment| {
            reject(bench, RejectionReason::AtCapacity, moment)
        }),
    ];
    if provider.can(Ability::Setup) {
        cases.push(case("prepare new credentials", Purpose::Begin, |bench, moment| {
            let subject = bench.subject();
            let mut entered = subject.carrier.credentials();
            // As somebody enters them who leaves to us what we can make.
            for field in &subject.provider.spec().fields {
                if !field.required && !field.sensitive {
                    entered[&field.name] = Value::Null;
                }
            }
            let credentials = strowger_tests::credentials(&subject.provider, &entered);
            let saving = saving(subject, Occasion::Create, "0123456789ac");
            Box::new(
                subject
                    .provider
                    .prepare_credentials(&credentials, saving, moment)
                    .unwrap(),
            )
        }));
        cases.push(case("prepare changed credentials", Purpose::Other, |bench, moment| {
            let subject = bench.subject();
            let saving = saving(subject, Occasion::Update, "0123456789ad");
            Box::new(
                subject
                    .provider
                    .prepare_credentials(&bench.credentials, saving, moment)
                    .unwrap(),
            )
        }));
    }
    if provider.can(Ability::Calling) {
        cases.extend(calling());
    }
    if provider.can(Ability::Numbers) {
        cases.extend(numbers());
    }
    if provider.can(Ability::Transfer) {
        cases.extend(transfers());
    }
    if provider.can(Ability::Trunks) {
        cases.extend(trunks());
    }
    cases
}

pub(super) fn reject(bench: &Bench, reason: RejectionReason, moment: Moment) -> Box<dyn Running> {
    let provider = &bench.subject().provider;
    Box::new(provider.reject_call(&bench.credentials, bench.inbound.clone(), reason, moment))
}

fn case(name: &'static str, purpose: Purpose, start: impl Fn(&Bench, Moment) -> Box<dyn Running> + 'static) -> Case {
    Case {
        name,
        purpose,
        start: Box::new(start),
    }
}

fn calling() -> Vec<Case> {
    vec![
        case("place-call", Purpose::Begin, |bench, moment| {
            let subject = bench.subject();
            let call = call(subject, NEW_CALL_ID, Direction::Outbound);
            let outbound = outbound_of(subject, &call);
            let provider = &subject.provider;
            Box::new(provider.place_call(&bench.credentials, call, outbound, moment).unwrap())
        }),
        case("hang-up outbound", Purpose::End, |bench, moment| {
            let provider = &bench.subject().provider;
            Box::new(
                provider
                    .hang_up(&bench.credentials, bench.outbound.clone(), moment)
                    .unwrap(),
            )
        }),
        case("hang-up inbound", Purpose::End, |bench, moment| {
            let provider = &bench.subject().provider;
            Box::new(
                provider
                    .hang_up(&bench.credentials, bench.inbound.clone(), moment)
                    .unwrap(),
            )
        }),
        case("fetch-status", Purpose::Other, |bench, moment| {
            let provider = &bench.subject().provider;
            Box::new(
                provider
                    .fetch_status(&bench.credentials, bench.outbound.clone(), moment)
                    .unwrap(),
            )
        }),
        case("fetch-cost", Purpose::Other, |bench, moment| {
            let provider = &bench.subject().provider;
            Box::new(
                provider
                    .fetch_cost(&bench.credentials, bench.outbound.clone(), moment)
                    .unwrap(),
            )
        }),
    ]
}

fn numbers() -> Vec<Case> {
    fn own(bench: &Bench) -> String {
        bench.subject().carrier.own_number().to_owned()
    }
    fn configure(bench: &Bench, number: String, url: &str, attach: bool, moment: Moment) -> Box<dyn Running> {
        let provider = &bench.subject().provider;
        Box::new(
            provider
                .configure_inbound(&bench.credentials, number, url.to_owned(), attach, moment)
                .unwrap(),
        )
    }
    vec![
        case("validate-number", Purpose::Other, |bench, moment| {
            let provider = &bench.subject().provider;
            Box::new(
                provider
                    .validate_number(&bench.credentials, own(bench), moment)
                    .unwrap(),
            )
        }),
        case("provision-number", Purpose::Other, |bench, moment| {
            let provider = &bench.subject().provider;
            Box::new(
                provider
                    .provision_number(&bench.credentials, DESTINATION.to_owned(), moment)
                    .unwrap(),
            )
        }),
        // The gateway has moved, so that there is something to change.
        case("attach number", Purpose::Other, |bench, moment| {
            configure(bench, own(bench), MOVED, true, moment)
        }),
        case("attach second number", Purpose::Other, |bench, moment| {
            configure(bench, SECOND_NUMBER.to_owned(), MOVED, true, moment)
        }),
        case("detach number", Purpose::Other, |bench, moment| {
            configure(bench, own(bench), DISPATCHER, false, moment)
        }),
    ]
}

fn transfers() -> Vec<Case> {
    fn leg_of(bench: &Bench) -> TransferLeg {
        bench.leg.clone().expect("a leg was dialled")
    }
    vec![
        case("dial-destination", Purpose::Begin, |bench, moment| {
            let subject = bench.subject();
            let dialled = subject.provider.dial_destination(
                &bench.credentials,
                bench.outbound.clone(),
                leg(subject, NEW_TRANSFER_ID),
                moment,
            );
            Box::new(dialled.unwrap())
        }),
        case("connect", Purpose::Begin, |bench, moment| {
            let provider = &bench.subject().provider;
            let connected =
                provider.connect_transfer(&bench.credentials, bench.outbound.clone(), leg_of(bench), moment);
            Box::new(connected.unwrap())
        }),
        case("cancel", Purpose::End, |bench, moment| {
            let provider = &bench.subject().provider;
            let cancelled = provider.cancel_transfer(&bench.credentials, bench.outbound.clone(), leg_of(bench), moment);
            Box::new(cancelled.unwrap())
        }),
    ]
}

fn trunks() -> Vec<Case> {
    fn apply(bench: &Bench, trunk: Trunk, moment: Moment) -> Box<dyn Running> {
        let provider = &bench.subject().provider;
        Box::new(provider.apply_trunk(&bench.credentials, trunk, moment).unwrap())
    }
    fn known(bench: &Bench) -> Option<String> {
        bench.trunk.as_ref().and_then(|trunk| trunk.external_id.clone())
    }
    vec![
        case("apply new trunk", Purpose::Begin, |bench, moment| {
            let trunk = Trunk {
                name: "second".to_owned(),
                ..trunk(None, true)
            };
            apply(bench, trunk, moment)
        }),
        case("apply renamed trunk", Purpose::Other, |bench, moment| {
            let trunk = Trunk {
                name: "renamed".to_owned(),
                ..trunk(known(bench), true)
            };
            apply(bench, trunk, moment)
        }),
        case("apply disabled trunk", Purpose::Other, |bench, moment| {
            apply(bench, trunk(known(bench), false), moment)
        }),
        case("remove-trunk", Purpose::End, |bench, moment| {
            let provider = &bench.subject().provider;
            Box::new(
                provider
                    .remove_trunk(&bench.credentials, trunk(known(bench), true), moment)
                    .unwrap(),
            )
        }),
    ]
}
