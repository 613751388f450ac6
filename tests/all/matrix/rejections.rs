//! How calls are refused: eight reasons, in every carrier's own form. What the documents look like in full is in the snapshots
//! of `components`.

use strowger_host::{RejectionReason, Reply, Response};

use super::bench::{Ended, benches, run, run_with};
use super::operations::reject;
use super::{Subject, moment, subjects};

/// Reasons that only tell an attacker how far they came. To them all three look the same.
const NOT_FOR_STRANGERS: [RejectionReason; 3] = [
    RejectionReason::AccountMismatch,
    RejectionReason::Signature,
    RejectionReason::ProviderMismatch,
];

/// Words about the gateway, its tenants and its checks. Whoever calls learns from none of them.
const TELLING: [&str; 24] = [
    "account",
    "agent",
    "api key",
    "apikey",
    "capacity",
    "config",
    "credential",
    "disabled",
    "forged",
    "gateway",
    "hmac",
    "license",
    "mismatch",
    "organisation",
    "organization",
    "plan",
    "provider",
    "quota",
    "secret",
    "signature",
    "strowger",
    "tenant",
    "webhook",
    "workflow",
];

fn body(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

fn content_type(response: &Response) -> Option<&str> {
    let header = response.headers.iter().find(|(name, _)| name == "content-type");
    header.map(|(_, value)| value.split(';').next().unwrap_or_default())
}

#[test]
fn no_rejection_tells_a_stranger_how_the_gateway_is_set_up() {
    for subject in subjects() {
        let mut strangers = Vec::new();
        for reason in RejectionReason::ALL {
            let rejection = subject.provider.rejection(reason);
            let said = format!("{:?} {}", rejection.headers, body(rejection)).to_lowercase();
            for word in TELLING {
                assert!(
                    !said.contains(word),
                    "{} {reason:?} says `{word}`: {said}",
                    subject.name()
                );
            }
            assert!(
                (200..300).contains(&rejection.status),
                "{} {reason:?}: an error page would have the carrier try again, or play its own error",
                subject.name()
            );
            if NOT_FOR_STRANGERS.contains(&reason) {
                strangers.push(rejection.clone());
            }
        }
        strangers.dedup();
        assert_eq!(strangers.len(), 1, "{} tells how far a forgery came", subject.name());
    }
}

/// A document that its carrier would carry out, as its documentation has it.
#[test]
fn every_rejection_has_its_carriers_form() {
    for subject in subjects() {
        for reason in RejectionReason::ALL {
            let rejection = subject.provider.rejection(reason);
            let shown = format!("{} {reason:?}: {}", subject.name(), body(rejection));
            match subject.name() {
                "twilio" | "plivo" | "vobiz" | "cloudonix" => {
                    assert!(
                        matches!(content_type(rejection), Some("application/xml" | "text/xml")),
                        "{shown}"
                    );
                    let verbs = verbs(&body(rejection));
                    let speaks = if matches!(subject.name(), "plivo" | "vobiz") {
                        "Speak"
                    } else {
                        "Say"
                    };
                    let spoken = [speaks, "Hangup"];
                    assert!(verbs == ["Reject"] || verbs == ["Hangup"] || verbs == spoken, "{shown}");
                }
                "vonage" => {
                    assert_eq!(content_type(rejection), Some("application/json"), "{shown}");
                    let actions: serde_json::Value = serde_json::from_slice(&rejection.body).unwrap();
                    let actions = actions.as_array().unwrap_or_else(|| panic!("{shown}"));
                    // There is no action that hangs up: the call ends with the list.
                    assert!(!actions.is_empty(), "{shown}");
                    assert!(actions.iter().all(|action| action["action"] == "talk"), "{shown}");
                }
                // Nobody reads these.
                "telnyx" | "ari" => {
                    assert_eq!(content_type(rejection), Some("application/json"), "{shown}");
                    serde_json::from_slice::<serde_json::Value>(&rejection.body).unwrap();
                }
                other => panic!("what is the form of {other}?"),
            }
        }
    }
}

/// Names of the elements below the root.
fn verbs(document: &str) -> Vec<String> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(document);
    let (mut depth, mut verbs) = (0, Vec::new());
    loop {
        let name = |start: &quick_xml::events::BytesStart<'_>| start.name().as_ref().to_owned();
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                if depth == 1 {
                    verbs.push(name(&start));
                }
                depth += 1;
            }
            Event::Empty(start) if depth == 1 => verbs.push(name(&start)),
            Event::End(_) => depth -= 1,
            Event::Eof => return verbs,
            _ => {}
        }
    }
}

/// What the carrier is asked for, and told, when a genuine call is refused.
#[test]
fn a_genuine_call_is_refused_in_the_carriers_way() {
    for bench in benches() {
        let subject = &bench.account.subject;
        let mut lines = Vec::new();
        for reason in RejectionReason::ALL {
            let mut requests = Vec::new();
            let (ended, _) = run_with(
                &mut *reject(bench, reason, moment()),
                &mut bench.account.clone(),
                |account, request| {
                    let body = String::from_utf8(request.body.clone()).unwrap();
                    let place = format!("{}?{}", request.url.path(), request.url.query().unwrap_or_default());
                    requests.push(format!("{} {place} {body}", request.method));
                    super::bench::incoming(account.serve(request))
                },
            );
            let Ended::Done(response) = &ended else {
                panic!("{} {reason:?}: {ended:?}", subject.name());
            };
            let asks_over_rest = matches!(subject.name(), "telnyx" | "ari");
            assert_eq!(
                !requests.is_empty(),
                asks_over_rest,
                "{} {reason:?}: a carrier that reads the answer is refused there, another one over its API: {requests:?}",
                subject.name()
            );
            if asks_over_rest {
                let id = bench.inbound.provider_call_id.as_deref().unwrap();
                lines.push(format!("{reason:?}\n  {}", masked(&requests.join("\n  "), id)));
            } else {
                same_as_without_configuration(subject, reason, response);
            }
        }
        if !lines.is_empty() {
            insta::assert_snapshot!(format!("{}-rejects-over-rest", subject.name()), lines.join("\n"));
        }
    }
}

fn masked(text: &str, id: &str) -> String {
    let escaped: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
    text.replace(id, "{call}").replace(&escaped, "{call}")
}

fn same_as_without_configuration(subject: &Subject, reason: RejectionReason, response: &str) {
    let expected = format!("{:?}", subject.provider.rejection(reason));
    assert_eq!(response, expected, "{} {reason:?}", subject.name());
}

/// A caller who has hung up meanwhile needs no refusal, and a carrier that fails is told.
#[test]
fn a_refusal_that_comes_too_late_is_a_refusal() {
    for bench in benches() {
        let subject = &bench.account.subject;
        if !matches!(subject.name(), "telnyx" | "ari") {
            continue;
        }
        let mut account = bench.account.clone();
        let id = bench.inbound.provider_call_id.as_deref().unwrap();
        let record = account.ledger.call_mut(id).unwrap();
        record.end();
        let (ended, asked) = run(&mut *reject(bench, RejectionReason::Quota, moment()), &mut account);
        assert!(matches!(ended, Ended::Done(_)), "{}: {ended:?}", subject.name());
        assert!(!asked.is_empty());
        let (ended, _) = run_with(
            &mut *reject(bench, RejectionReason::Quota, moment()),
            &mut account,
            |_, _| Reply::Unreachable("no route to host".to_owned()),
        );
        assert!(matches!(ended, Ended::Failed(_)), "{}: {ended:?}", subject.name());
    }
}
