//! Webhooks that mean nothing: nobody's call, no event, no fault.

use strowger_host::operation::{Direction, Recognition, TransferState};
use strowger_host::spec::{ProofPolicy, RoutePurpose};
use strowger_host::{Ability, Webhook};

use super::carrier::{Answers, Ending, Run, drive};
use super::given::{self, HARMLESS};
use super::operations::callback_routes;
use super::problems::Problems;
use super::proofs;
use super::subject::{Subject, moment};
use super::{answers, shape};
use crate::report::{Outcome, Problem};

/// Damaged webhooks that are tried at every route.
const DAMAGED_MAX: usize = 60;

/// Garbage is not recognised.
pub(super) fn recognised(subject: &Subject<'_>) -> Outcome {
    const EXPORT: &str = "webhook.recognise";
    let mut problems = Problems::default();
    for (what, webhook) in given::garbage() {
        match subject.provider.recognise(&webhook, &moment(0)) {
            Err(fault) => problems.fault(EXPORT, &format!("given {what}"), &fault),
            Ok(None) => {}
            Ok(Some(recognition)) => problems.add(EXPORT, "claimed", || {
                let kind = match recognition {
                    Recognition::InboundCall(_) => "a call",
                    Recognition::Event(_) => "an event",
                };
                Problem {
                    what: format!("{EXPORT} takes {what} for {kind} of its carrier"),
                    why: "the dispatcher is common to all carriers: whoever claims too much is asked about webhooks of others"
                        .to_owned(),
                    mend: "ask for what only this carrier sends: its header, its account identifier, its names of events"
                        .to_owned(),
                }
            }),
        }
    }
    // Recorded webhooks, cut short: whatever they are taken for, nothing faults.
    for (name, webhook) in damaged(subject) {
        if let Err(fault) = subject.provider.recognise(&webhook, &moment(0)) {
            problems.fault(EXPORT, &format!("given {name}"), &fault);
        }
    }
    problems.outcome()
}

/// Callbacks with garbage in them are answered. They come after the proof, but a carrier makes mistakes, too.
pub(super) fn handled(subject: &Subject<'_>) -> Outcome {
    let provider = subject.provider;
    if provider.spec().webhook_proof == ProofPolicy::NoWebhooks {
        return Outcome::Skipped("the carrier sends no webhooks; all are refused".to_owned());
    }
    let mut problems = Problems::default();
    let mut webhooks: Vec<(String, Webhook)> = given::garbage()
        .into_iter()
        .map(|(what, webhook)| (what.to_owned(), webhook))
        .collect();
    webhooks.extend(damaged(subject));
    let credentials = &subject.credentials;
    let call = || given::call(provider, &HARMLESS, Direction::Inbound);
    let answers = Answers::agreeable();
    for (what, webhook) in &webhooks {
        for route in callback_routes(subject) {
            const EXPORT: &str = "webhook.handle-callback";
            let operation = provider.handle_callback(credentials, route.clone(), call(), webhook.clone(), moment(0));
            look(
                &mut problems,
                EXPORT,
                &format!("given {what} at the route `{route}`"),
                &drive(operation, &answers),
            );
        }
        const ANSWER: &str = "answer.answer-markup";
        let media = given::media(&HARMLESS);
        let operation = provider.answer(credentials, call(), media, Some(webhook.clone()), moment(0));
        look(
            &mut problems,
            ANSWER,
            &format!("given {what}"),
            &drive(operation, &answers),
        );
        if let Err(fault) = provider.detection_result(credentials, webhook, &moment(0)) {
            problems.fault("detection.detection-result", &format!("given {what}"), &fault);
        }
        let routes = provider.spec().routes.iter();
        for route in routes.filter(|route| route.purpose == RoutePurpose::Transfer) {
            const EXPORT: &str = "transfer.handle-transfer-callback";
            let leg = given::leg(provider, &HARMLESS, TransferState::Dialing);
            if let Ok(operation) = provider.handle_transfer_callback(
                credentials,
                route.name.clone(),
                call(),
                leg,
                webhook.clone(),
                moment(0),
            ) {
                look(
                    &mut problems,
                    EXPORT,
                    &format!("given {what}"),
                    &drive(operation, &answers),
                );
            }
        }
    }
    problems.outcome()
}

/// Messages of an event socket that mean nothing.
pub(super) fn events(subject: &Subject<'_>) -> Outcome {
    const EXPORT: &str = "events.handle-event";
    let provider = subject.provider;
    if !provider.can(Ability::Events) {
        return Outcome::Skipped("the component does not export `events`".to_owned());
    }
    let mut problems = Problems::default();
    if let Err(fault) = provider.event_socket(&subject.credentials, &moment(0)) {
        problems.fault("events.endpoint", "given a configuration that it accepts", &fault);
    }
    let mut messages: Vec<(String, String)> = given::garbage()
        .into_iter()
        .map(|(what, webhook)| (what.to_owned(), String::from_utf8_lossy(&webhook.body).into_owned()))
        .collect();
    for case in subject.cases.iter().filter(|case| case.export == EXPORT) {
        let Some(message) = case.input.get("message") else {
            continue;
        };
        let text = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
        for cut in cuts(&text) {
            messages.push((
                format!("the recorded message of `{}`, cut short", case.name),
                cut.to_owned(),
            ));
        }
    }
    for (what, message) in messages {
        match provider.handle_event(&subject.credentials, message, moment(0)) {
            Err(fault) => problems.fault(EXPORT, &format!("given {what}"), &fault),
            Ok(operation) => {
                let run = drive(operation, &Answers::agreeable());
                look(&mut problems, EXPORT, &format!("given {what}"), &run);
            }
        }
    }
    problems.outcome()
}

/// Adds what is wrong with a run on garbage.
pub(super) fn look(problems: &mut Problems, export: &str, circumstance: &str, run: &Run) {
    match &run.ending {
        Ending::Fault(fault) => problems.fault(export, circumstance, fault),
        Ending::Failed(failure) => answers::failure(problems, export, circumstance, failure),
        Ending::Done(Some(response)) => {
            if let Err(what) = shape::of_response(response) {
                problems.add(export, "not well-formed", || Problem {
                    what: format!("{export} answers with what its content type is not, {circumstance}: {what}"),
                    why: "the carrier cannot read it, and the call hangs or fails there".to_owned(),
                    mend:
                        "build documents with the SDK's writers, which escape, and name the content type that they have"
                            .to_owned(),
                });
            }
        }
        Ending::Done(None) => {}
    }
}

/// The recorded webhooks with their bodies cut short, as many as tell something new.
fn damaged(subject: &Subject<'_>) -> Vec<(String, Webhook)> {
    let mut all: Vec<(String, Webhook)> = Vec::new();
    for (name, webhook, _) in proofs::recorded(subject) {
        let Some(webhook) = proofs::read(&webhook) else {
            continue;
        };
        let body = String::from_utf8_lossy(&webhook.body).into_owned();
        for cut in cuts(&body) {
            if all.len() == DAMAGED_MAX {
                return all;
            }
            let mut short = webhook.clone();
            short.body = cut.as_bytes().to_vec();
            if !all.iter().any(|(_, known)| known.body == short.body) {
                all.push((format!("the recorded webhook `{name}`, cut short"), short));
            }
        }
    }
    all
}

/// A text, cut short in some places.
pub(super) fn cuts(text: &str) -> Vec<&str> {
    let len = text.len();
    let mut ends: Vec<usize> = [1, len / 4, len / 2, len.saturating_sub(1)]
        .into_iter()
        .filter_map(|end| (0..=end.min(len)).rev().find(|&end| text.is_char_boundary(end)))
        .filter(|&end| end < len)
        .collect();
    ends.dedup();
    ends.into_iter().map(|end| &text[..end]).collect()
}
