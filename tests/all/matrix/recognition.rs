//! Whose webhook is it? Each of the corpus has one owner, so the order in which providers are asked does not matter.

use strowger_call::Address;
use strowger_call::address::Country;
use strowger_host::operation::Recognition;
use strowger_host::{Header, Webhook};
use strowger_simulator::Signing;
use strowger_simulator::carrier::Tamper;

use super::bench::benches;
use super::corpus::{DocumentedIs, Is, documented, one_of_each_kind, simulated};
use super::{DISPATCHER, Subject, moment, now_ms, subjects};

/// Who claims a webhook, and as what.
#[track_caller]
fn claims(subjects: &[Subject], webhook: &Webhook, shown: &str) -> Vec<(String, Recognition)> {
    subjects
        .iter()
        .filter_map(|subject| {
            let claim = subject
                .provider
                .recognise(webhook, &moment())
                .unwrap_or_else(|fault| panic!("{} fails at {shown}: {fault}", subject.name()));
            claim.map(|claim| (subject.name().to_owned(), claim))
        })
        .collect()
}

/// The ways in which the same webhook may arrive.
fn manners() -> [(&'static str, Tamper); 6] {
    let right = Tamper::default();
    [
        ("as it is", right),
        (
            "signed in the newer way",
            Tamper {
                newer_signature: true,
                ..right
            },
        ),
        (
            "signed with another key",
            Tamper {
                signing: Signing::Wrong,
                ..right
            },
        ),
        (
            "not signed",
            Tamper {
                signing: Signing::Missing,
                ..right
            },
        ),
        (
            "with bytes that are no text",
            Tamper {
                invalid_utf8: true,
                ..right
            },
        ),
        (
            "with a long parameter",
            Tamper {
                padding_bytes: 100_000,
                ..right
            },
        ),
    ]
}

#[test]
fn what_a_carrier_sends_is_claimed_by_its_own_provider_and_no_other() {
    let all = subjects();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for bench in benches() {
        let subject = &bench.account.subject;
        let corpus = simulated(bench);
        // Its calls come over an event socket.
        assert_eq!(corpus.is_empty(), subject.name() == "ari", "{}", subject.name());
        let in_every_manner = one_of_each_kind(&corpus);
        for entry in &corpus {
            let every_manner = in_every_manner.iter().any(|one| std::ptr::eq(*one, entry));
            for (manner, tamper) in manners() {
                if tamper != Tamper::default() && !every_manner {
                    continue;
                }
                count += 1;
                let shown = format!("{} {} {manner}", subject.name(), entry.shown);
                let claims = claims(&all, &entry.sent(subject, &tamper), &shown);
                let owners: Vec<&str> = claims.iter().map(|(name, _)| name.as_str()).collect();
                // Without its marks a webhook may be nobody's; never another's.
                let marked = matches!(tamper.signing, Signing::Right | Signing::Wrong);
                let readable = !tamper.invalid_utf8;
                if owners != [subject.name()] && !(owners.is_empty() && !(marked && readable)) {
                    wrong.push(format!("{shown}: claimed by {owners:?}"));
                }
                let fits = match (&entry.is, claims.first().map(|(_, claim)| claim)) {
                    (_, None) | (Is::Own, Some(_)) => true,
                    (Is::Call { id, caller, callee }, Some(Recognition::InboundCall(call))) => {
                        is_number(&call.caller, call.caller_country.as_deref(), caller)
                            && is_number(&call.callee, call.callee_country.as_deref(), callee)
                            && call.provider_call_id == *id
                    }
                    (Is::Event { id }, Some(Recognition::Event(event))) => event.provider_call_id == *id,
                    (Is::Call { .. } | Is::Event { .. }, Some(_)) => false,
                };
                if !fits {
                    wrong.push(format!("{shown}: {:?}, not {:?}", claims, entry.is));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether the runtime makes this address of what the provider read. Some carriers leave the plus sign out.
fn is_number(claimed: &str, country: Option<&str>, real: &str) -> bool {
    let country = country.map(|code| Country::parse(code).unwrap());
    if real.is_empty() {
        return claimed.is_empty();
    }
    let address = |text: &str, country| Address::parse(text, country).unwrap().expose().to_owned();
    address(claimed, country) == address(real, None)
}

#[test]
fn what_carriers_document_is_claimed_by_their_own_provider_and_no_other() {
    let all = subjects();
    let mut wrong = Vec::new();
    for subject in all.iter().filter(|subject| subject.name() != "ari") {
        let documents = documented(subject.name());
        assert!(documents.len() >= 4, "{}", subject.name());
        for document in documents {
            let shown = format!("{}: {} ({})", subject.name(), document.name, document.source);
            let claims = claims(&all, &document.webhook(), &shown);
            let expected: &[&str] = match document.is {
                DocumentedIs::Nothing => &[],
                _ => &[subject.name()],
            };
            let owners: Vec<&str> = claims.iter().map(|(name, _)| name.as_str()).collect();
            if owners != expected {
                wrong.push(format!("{shown}: claimed by {owners:?}"));
                continue;
            }
            let claim = claims.first().map(|(_, claim)| claim);
            let fits = match (&document.is, claim) {
                (DocumentedIs::Nothing, claim) => claim.is_none(),
                (
                    DocumentedIs::Call {
                        id,
                        caller,
                        callee,
                        account,
                    },
                    Some(Recognition::InboundCall(call)),
                ) => {
                    call.provider_call_id == *id
                        && is_number(&call.caller, call.caller_country.as_deref(), caller)
                        && is_number(&call.callee, call.callee_country.as_deref(), callee)
                        && call.account_id == *account
                }
                (DocumentedIs::Event { id, account }, Some(Recognition::Event(event))) => {
                    event.provider_call_id == *id && event.account_id == *account
                }
                _ => false,
            };
            if !fits {
                wrong.push(format!("{shown}\n  read     {claim:?}\n  expected {:?}", document.is));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What nobody sends: no provider claims it, and none fails over it.
#[test]
fn what_no_carrier_sends_is_claimed_by_nobody() {
    let all = subjects();
    let deep = "[".repeat(200_000);
    let nested = format!("{}1{}", "{\"data\":".repeat(100_000), "}".repeat(100_000));
    let wide = format!("{{{}}}", vec!["\"a\":1"; 100_000].join(","));
    let bodies: Vec<(&str, &[u8])> = vec![
        ("", b""),
        ("application/json", b""),
        ("application/json", b"null"),
        ("application/json", b"{}"),
        ("application/json", b"[]"),
        ("application/json", b"[{}]"),
        ("application/json", b"\"CallSid\""),
        ("application/json", b"{\"data\":null}"),
        ("application/json", b"{\"data\":{\"payload\":[]}}"),
        ("application/json", b"{\"CallSid\":{},\"AccountSid\":[]}"),
        ("application/json", b"\xff\xfe{\x00"),
        ("application/json", deep.as_bytes()),
        ("application/json", nested.as_bytes()),
        ("application/json", wide.as_bytes()),
        ("application/x-www-form-urlencoded", b"=&=&&&=%&%zz=%00"),
        ("application/x-www-form-urlencoded", b"CallSid="),
        ("application/x-www-form-urlencoded", b"CallUUID=1&Direction=inbound"),
        ("application/x-www-form-urlencoded", b"a=1&a=2&a=3"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=\"CallSid\"\r\n\r\nCA1\r\n--x--",
        ),
        ("text/xml", b"<Response/>"),
    ];
    for (content_type, body) in bodies {
        for method in ["POST", "GET"] {
            for headers in [
                vec![],
                vec![("authorization", "Bearer a.b.c")],
                vec![("authorization", "Basic Og==")],
            ] {
                let mut headers: Vec<Header> = headers
                    .into_iter()
                    .map(|(name, value): (&str, &str)| Header {
                        name: name.to_owned(),
                        value: value.to_owned(),
                    })
                    .collect();
                headers.push(Header {
                    name: "content-type".to_owned(),
                    value: content_type.to_owned(),
                });
                let webhook = Webhook {
                    method: method.to_owned(),
                    url: DISPATCHER.to_owned(),
                    headers,
                    body: body.to_vec(),
                    received_at: now_ms(),
                };
                let shown = format!("{method} {content_type} {:.60}", String::from_utf8_lossy(body));
                assert_eq!(claims(&all, &webhook, &shown), vec![], "{shown}");
            }
        }
    }
}
