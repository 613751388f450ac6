//! What makes a webhook genuine, carrier by carrier: what its proof covers is changed bit by bit, what it does not cover is
//! listed here with what protects instead.
//!
//! | carrier | proof covers | replay | what else protects |
//! |---|---|---|---|
//! | Twilio | the whole URL, the form (or the digest of the body); not where a name ends and its value begins | none: neither nonce nor time | a repeated call is the same call, a repeated status is told once |
//! | Plivo | URL with query, form, nonce | nonce, once | |
//! | Vobiz | URL without query, nonce; **neither query nor body** | nonce, once | TLS, until the nonce is spent |
//! | Vonage | body of a POST, query of a GET, account, application; **no URL** | 5 minutes | an event names its call, and another call does not listen to it |
//! | Telnyx | timestamp, body; **no URL** | 5 minutes each way | `client_state` and the call's identifier: another call does not listen |
//! | Cloudonix | **nothing**: it presents a shared key | none | TLS; the domain must be the configured one; an event names its session |
//! | a browser (`crate::browser`) | route, call, body with time and nonce; **not the host, no query** | nonce, once; 5 minutes | nothing of the query is read; a call's identifier is one gateway's |

mod carriers;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::json;
use strowger_host::operation::{Direction, TransferState};
use strowger_host::spec::RoutePurpose;
use strowger_host::{Credentials, Refusal, Step, Verdict, Webhook};
use strowger_simulator::Signing;
use strowger_simulator::carrier::{Tamper, WebhookTarget};

use self::carriers::{PROOFS, Proof, Replay};
use super::bench::{self, Bench, benches, settled};
use super::corpus::{Entry, Is, one_of_each_kind, route_target, routes, simulated};
use super::{DISPATCHER, Subject, moment, subjects};

/// Bits flipped in one part of a webhook.
const FLIPS_MAX: usize = 12;

/// One carrier with its account, its webhooks, and how they are proved.
struct Lab {
    subject: &'static Subject,
    proof: &'static Proof,
    bench: &'static Bench,
    corpus: Vec<Entry>,
}

/// All carriers that send webhooks.
fn labs() -> &'static [Lab] {
    static LABS: OnceLock<Vec<Lab>> = OnceLock::new();
    LABS.get_or_init(|| {
        let benches = benches().iter().filter(|bench| bench.account.subject.name() != "ari");
        benches
            .map(|bench| {
                let subject = &bench.account.subject;
                let proof = PROOFS.iter().find(|proof| proof.carrier == subject.name());
                Lab {
                    subject,
                    proof: proof.unwrap_or_else(|| panic!("how does {} prove its webhooks?", subject.name())),
                    bench,
                    corpus: simulated(bench),
                }
            })
            .collect()
    })
}

impl Lab {
    fn verify(&self, credentials: &Credentials, webhook: &Webhook) -> Verdict {
        self.subject
            .provider
            .verify(credentials, webhook, &moment())
            .unwrap_or_else(|fault| panic!("{}: {fault}", self.subject.name()))
    }

    fn is_genuine(&self, webhook: &Webhook) -> bool {
        matches!(self.verify(&self.bench.credentials, webhook), Verdict::Genuine { .. })
    }

    /// A few webhooks of different kinds, also as the same by GET where the carrier can be told so.
    fn samples(&self) -> Vec<Entry> {
        let mut samples: Vec<Entry> = one_of_each_kind(&self.corpus).into_iter().cloned().collect();
        for method in ["GET", "POST"] {
            // Vonage does not say whether it hashes parameters that an address had before; no address of ours has any.
            let query = if self.subject.name() == "vonage" {
                ""
            } else {
                "?campaign=a%20b%26c&x=&y=1"
            };
            let mut other = samples[0].at(&WebhookTarget {
                url: format!("{DISPATCHER}{query}"),
                method: method.to_owned(),
            });
            other.shown = format!("{} by {method}", other.shown);
            samples.push(other);
        }
        samples
    }

    fn right(&self, entry: &Entry) -> Webhook {
        entry.sent(self.subject, &Tamper::default())
    }

    #[track_caller]
    fn refused(&self, webhook: &Webhook, what: &str) -> Refusal {
        match self.verify(&self.bench.credentials, webhook) {
            Verdict::Refused(refusal) => refusal,
            Verdict::Genuine { label, .. } => panic!("{}: {what} is taken for genuine ({label})", self.subject.name()),
        }
    }
}

#[test]
fn what_a_carrier_signs_is_genuine_and_what_it_does_not_is_refused() {
    for lab in labs() {
        let secrets = lab.bench.credentials.expose();
        for entry in lab.corpus.iter().chain(&lab.samples()) {
            let shown = format!("{} {}", lab.subject.name(), entry.shown);
            let right = lab.verify(&lab.bench.credentials, &lab.right(entry));
            assert!(matches!(right, Verdict::Genuine { .. }), "{shown}: {right:?}");
            for signing in [Signing::Wrong, Signing::Missing] {
                let tamper = Tamper {
                    signing,
                    ..Tamper::default()
                };
                let refusal = lab.refused(
                    &entry.sent(lab.subject, &tamper),
                    &format!("{} {signing:?}", entry.shown),
                );
                if let (Refusal::Rejected { code, message }, Signing::Missing) = (&refusal, signing) {
                    assert!(
                        code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                        "{shown}: {code}"
                    );
                    assert!(!message.is_empty());
                } else {
                    assert_eq!(signing, Signing::Wrong, "{shown}: not signed, but {refusal:?}");
                }
                let told = format!("{refusal:?}");
                for (field, value) in secrets.as_object().into_iter().flatten() {
                    let sealed = lab.subject.provider.spec().is_sealed(field);
                    let quoted = sealed && value.as_str().is_some_and(|value| told.contains(value));
                    assert!(!quoted, "{shown}: the refusal has `{field}`");
                }
            }
        }
    }
}

/// Bytes that are not text, and a lot of text, are signed like everything else.
#[test]
fn odd_bytes_do_not_spoil_a_proof() {
    for lab in labs() {
        for (invalid_utf8, padding_bytes) in [(true, 0), (false, 200_000)] {
            let tamper = Tamper {
                invalid_utf8,
                padding_bytes,
                ..Tamper::default()
            };
            for entry in lab.samples().iter().filter(|entry| entry.target.method != "GET") {
                let webhook = entry.sent(lab.subject, &tamper);
                let verdict = lab.verify(&lab.bench.credentials, &webhook);
                // No fault, in any case; and never another verdict because of the length.
                if !invalid_utf8 {
                    assert!(
                        matches!(verdict, Verdict::Genuine { .. }),
                        "{} {}: {verdict:?}",
                        lab.subject.name(),
                        entry.shown
                    );
                }
            }
        }
    }
}

#[test]
fn the_newer_way_to_sign_needs_its_own_key() {
    let newer = Tamper {
        newer_signature: true,
        ..Tamper::default()
    };
    for lab in labs() {
        let Some(key) = (lab.proof.newer)() else {
            continue;
        };
        let with_key = lab.subject.credentials(&key);
        for entry in lab.samples() {
            let webhook = entry.sent(lab.subject, &newer);
            let verdict = lab.verify(&with_key, &webhook);
            assert!(
                matches!(verdict, Verdict::Genuine { .. }),
                "{} {}: {verdict:?}",
                lab.subject.name(),
                entry.shown
            );
            if key != json!({}) {
                let refusal = lab.refused(&webhook, "a signature with a key that is not configured");
                assert!(matches!(refusal, Refusal::Rejected { .. }), "{refusal:?}");
            }
        }
    }
}

#[test]
fn a_webhook_without_a_header_of_its_proof_is_refused() {
    for lab in labs() {
        for entry in lab.samples() {
            for group in lab.proof.headers {
                let mut webhook = lab.right(&entry);
                let before = webhook.headers.len();
                webhook.headers.retain(|header| !in_group(group, &header.name));
                assert_ne!(
                    webhook.headers.len(),
                    before,
                    "{}: nothing is signed with {group:?}",
                    lab.subject.name()
                );
                let refusal = lab.refused(&webhook, &format!("{} without {group:?}", entry.shown));
                assert!(matches!(refusal, Refusal::Rejected { .. }), "{refusal:?}");
                // One that is there and empty is none.
                let mut webhook = lab.right(&entry);
                for header in &mut webhook.headers {
                    if in_group(group, &header.name) {
                        header.value.clear();
                    }
                }
                lab.refused(&webhook, &format!("{} with an empty {group:?}", entry.shown));
            }
        }
    }
}

fn in_group(group: &[&str], name: &str) -> bool {
    group.iter().any(|member| member.eq_ignore_ascii_case(name))
}

/// A part of a webhook in which a bit can be flipped.
#[derive(Debug, Clone, Copy)]
enum Part {
    Address,
    Query,
    Body,
    Header(&'static [&'static str]),
}

/// How long a part is, in bytes.
fn length(webhook: &Webhook, part: Part) -> usize {
    match part {
        Part::Address => webhook.url.find('?').unwrap_or(webhook.url.len()),
        Part::Query => webhook.url.find('?').map_or(0, |at| webhook.url.len() - at - 1),
        Part::Body => webhook.body.len(),
        Part::Header(group) => {
            let headers = webhook.headers.iter().filter(|header| in_group(group, &header.name));
            headers.map(|header| header.value.len()).max().unwrap_or_default()
        }
    }
}

/// The lowest bit of the byte there: of text this makes other text.
fn flip(webhook: &Webhook, part: Part, at: usize) -> Webhook {
    let flipped = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1;
        String::from_utf8(bytes).unwrap()
    };
    let mut webhook = webhook.clone();
    match part {
        Part::Address => webhook.url = flipped(&webhook.url, at),
        Part::Query => {
            let from = webhook.url.find('?').unwrap() + 1;
            webhook.url = flipped(&webhook.url, from + at);
        }
        Part::Body => webhook.body[at] ^= 1,
        Part::Header(group) => {
            for header in &mut webhook.headers {
                if in_group(group, &header.name) && at < header.value.len() {
                    header.value = flipped(&header.value, at);
                }
            }
        }
    }
    webhook
}

#[test]
fn one_flipped_bit_in_what_is_signed_is_refused() {
    for lab in labs() {
        let mut count = 0;
        for entry in lab.samples() {
            let webhook = lab.right(&entry);
            assert!(lab.is_genuine(&webhook), "{} {}", lab.subject.name(), entry.shown);
            let by_get = webhook.method == "GET";
            let covered = [
                (Part::Address, lab.proof.address),
                (Part::Query, if by_get { lab.proof.query.1 } else { lab.proof.query.0 }),
                (Part::Body, lab.proof.body),
            ];
            let headers = lab.proof.headers.iter().map(|group| (Part::Header(group), true));
            for (part, is_covered) in covered.into_iter().chain(headers) {
                let length = length(&webhook, part);
                let step = length.div_ceil(FLIPS_MAX).max(1);
                // The ends too, where padding hides bits.
                let places = (0..length).step_by(step).chain(length.saturating_sub(4)..length);
                for at in places.filter(|_| is_covered) {
                    count += 1;
                    lab.refused(
                        &flip(&webhook, part, at),
                        &format!("{} with a bit flipped in byte {at} of {part:?}", entry.shown),
                    );
                }
            }
            if lab.proof.body && !by_get {
                for added in [&b"&x=1"[..], b" ", b"\0", b"x"] {
                    let mut longer = webhook.clone();
                    longer.body.extend_from_slice(added);
                    lab.refused(&longer, &format!("{} with a longer body", entry.shown));
                }
            }
        }
        assert!(count > 20, "{}", lab.subject.name());
    }
}

/// What a proof does not cover must not be read: a query put behind the address of a POST changes nothing, nor does a body
/// of a GET.
#[test]
fn what_is_not_covered_is_not_read() {
    let words = "CallSid=CA1&CallUUID=1&uuid=1&Session=1&token=1&CallStatus=completed&status=completed&Event=Hangup\
                 &Direction=inbound&From=%2B15550100&To=%2B15550101&AuthID=MA1&ParentAuthID=MA1&AccountSid=AC1\
                 &Domain=other.cloudonix.net&x-cx-apikey=1&HangupCause=USER_BUSY&StatusCallbackEvent=join";
    for lab in labs() {
        for entry in &lab.corpus {
            let webhook = lab.right(entry);
            let mut longer = webhook.clone();
            if webhook.method == "GET" {
                longer.body = words.as_bytes().to_vec();
            } else {
                longer.url = format!("{}?{words}", webhook.url);
            }
            let shown = format!("{} {}", lab.subject.name(), entry.shown);
            if !lab.is_genuine(&longer) {
                assert!(lab.proof.query.0, "{shown}: the proof is said not to cover it");
                continue;
            }
            let recognise = |webhook: &Webhook| lab.subject.provider.recognise(webhook, &moment()).unwrap();
            assert_eq!(recognise(&webhook), recognise(&longer), "{shown}");
            for route in routes(lab.subject, RoutePurpose::Callback) {
                let outcome = |webhook: Webhook| {
                    let call = lab.bench.outbound.clone();
                    let operation = lab.subject.provider.handle_callback(
                        &lab.bench.credentials,
                        route.name.clone(),
                        call,
                        webhook,
                        moment(),
                    );
                    settled(operation, &mut lab.bench.account.clone())
                };
                assert_eq!(
                    outcome(webhook.clone()),
                    outcome(longer.clone()),
                    "{shown} at {}",
                    route.name
                );
            }
        }
    }
}

#[test]
fn a_webhook_counts_once_or_for_a_short_while() {
    for lab in labs() {
        let once = |webhook: &Webhook| match lab.verify(&lab.bench.credentials, webhook) {
            Verdict::Genuine { once, .. } => once.into_iter().map(|key| key.key).collect::<BTreeSet<_>>(),
            Verdict::Refused(refusal) => panic!("{}: {refusal:?}", lab.subject.name()),
        };
        for entry in lab.samples() {
            let webhook = lab.right(&entry);
            let shown = format!("{} {}", lab.subject.name(), entry.shown);
            let keys = once(&webhook);
            assert_eq!(keys.is_empty(), lab.proof.replay != Replay::Once, "{shown}");
            match lab.proof.replay {
                Replay::Once => {
                    assert_eq!(once(&webhook), keys, "{shown}: the same webhook has the same key");
                    assert!(
                        once(&lab.right(&entry)).is_disjoint(&keys),
                        "{shown}: another one has another key"
                    );
                    // Leaving out a header, or changing what is not covered, does not make it new.
                    for left_out in 0..webhook.headers.len() {
                        let mut less = webhook.clone();
                        less.headers.remove(left_out);
                        if lab.is_genuine(&less) {
                            assert!(
                                !once(&less).is_disjoint(&keys),
                                "{shown}: without {:?}",
                                webhook.headers[left_out].name
                            );
                        }
                    }
                    if !lab.proof.body && webhook.method == "POST" {
                        let mut changed = webhook.clone();
                        changed.body.extend_from_slice(b"&x=1");
                        assert_eq!(once(&changed), keys, "{shown}");
                    }
                    let mut spelled = webhook.clone();
                    for header in &mut spelled.headers {
                        header.name = header.name.to_ascii_uppercase();
                    }
                    assert_eq!(once(&spelled), keys, "{shown}");
                }
                Replay::Window { old_s, ahead_s } => {
                    let at = |shift_ms: i64| {
                        let mut webhook = webhook.clone();
                        webhook.received_at = webhook.received_at.checked_add_signed(shift_ms).unwrap();
                        webhook
                    };
                    let (old_ms, ahead_ms) = ((old_s * 1000).cast_signed(), (ahead_s * 1000).cast_signed());
                    for genuine in [old_ms - 5_000, 5_000 - ahead_ms] {
                        assert!(lab.is_genuine(&at(genuine)), "{shown}: {genuine} ms later");
                    }
                    for refused in [old_ms + 5_000, -ahead_ms - 5_000, old_ms * 1000, -old_ms * 1000] {
                        lab.refused(&at(refused), &format!("{} {refused} ms later", entry.shown));
                    }
                }
                Replay::Unprotected => {}
            }
        }
    }
}

#[test]
fn a_configuration_without_the_key_verifies_nothing() {
    for lab in labs() {
        for field in lab.proof.optional {
            let without = lab.subject.credentials(&json!({ *field: null }));
            for entry in lab.samples() {
                let verdict = lab.verify(&without, &lab.right(&entry));
                let Verdict::Refused(refusal) = verdict else {
                    panic!("{} {} without {field}: {verdict:?}", lab.subject.name(), entry.shown);
                };
                // Whoever looks for the reason finds the field; a carrier with another secret to compare says that it differs.
                match refusal {
                    Refusal::Rejected { code, .. } => assert!(code.ends_with("-missing"), "{code}"),
                    Refusal::NotProved(_) => assert_eq!(lab.subject.name(), "cloudonix"),
                    Refusal::NoProof => panic!("{}: no reason is given", lab.subject.name()),
                }
            }
        }
    }
}

#[test]
fn a_webhook_of_another_tenant_is_refused() {
    for lab in labs() {
        for (field, value) in (lab.proof.others)() {
            let other = lab.subject.credentials(&json!({ field: value }));
            for entry in lab.corpus.iter().chain(&lab.samples()) {
                let verdict = lab.verify(&other, &lab.right(entry));
                assert!(
                    matches!(verdict, Verdict::Refused(_)),
                    "{} {} under another {field}: {verdict:?}",
                    lab.subject.name(),
                    entry.shown
                );
            }
        }
    }
}

const OTHER_CALL: &str = "0190c0de-0000-7000-8000-000000000001";

/// Where the address is covered, a webhook is worth nothing anywhere else.
#[test]
fn a_webhook_for_one_address_is_refused_at_another() {
    for lab in labs().iter().filter(|lab| lab.proof.address) {
        for entry in lab.samples() {
            let webhook = lab.right(&entry);
            let mut others: Vec<String> = lab
                .subject
                .provider
                .spec()
                .routes
                .iter()
                .map(|route| route_target(lab.subject, route, OTHER_CALL).url)
                .collect();
            others.extend([
                format!("{DISPATCHER}/fallback"),
                webhook.url.replacen("https://", "http://", 1),
                webhook.url.replacen("gateway.example", "gateway.example.org", 1),
                webhook.url.replacen("/api/", "//api/", 1),
            ]);
            for url in others {
                let mut elsewhere = webhook.clone();
                elsewhere.url.clone_from(&url);
                lab.refused(&elsewhere, &format!("{} at {url}", entry.shown));
            }
        }
    }
}

/// Where it is not covered, what a webhook says about one call is not taken for another's.
#[test]
fn a_webhook_about_one_call_tells_another_nothing() {
    for lab in labs() {
        let provider = &lab.subject.provider;
        let mut other = bench::call(lab.subject, OTHER_CALL, Direction::Outbound);
        other.provider_call_id = Some(lab.subject.carrier.new_call_id());
        let mut count = 0;
        for entry in lab.corpus.iter().filter(|entry| matches!(entry.is, Is::Event { .. })) {
            for route in routes(lab.subject, RoutePurpose::Callback).filter(|route| route.names_call()) {
                // As if it had been given that call's address: without it, the proof does not hold.
                let webhook = lab.right(&entry.at(&route_target(lab.subject, route, OTHER_CALL)));
                let operation = provider.handle_callback(
                    &lab.bench.credentials,
                    route.name.clone(),
                    other.clone(),
                    webhook,
                    moment(),
                );
                if lab.proof.address {
                    continue;
                }
                count += 1;
                let outcome = settled(operation, &mut lab.bench.account.clone());
                assert_eq!(
                    outcome.events,
                    vec![],
                    "{} {} at {}",
                    lab.subject.name(),
                    entry.shown,
                    route.name
                );
            }
        }
        assert!(count > 0 || lab.proof.address, "{}", lab.subject.name());
    }
}

#[test]
fn a_webhook_about_one_transfer_tells_another_nothing() {
    for lab in labs().iter().filter(|lab| !lab.proof.address) {
        let provider = &lab.subject.provider;
        let Some(leg) = &lab.bench.leg else {
            continue;
        };
        let mut other = leg.clone();
        other.id = OTHER_CALL.to_owned();
        other.provider_call_id = Some(lab.subject.carrier.new_call_id());
        other.attachment = None;
        other.state = TransferState::Dialing;
        for entry in lab.corpus.iter().filter(|entry| entry.shown.starts_with("transfer")) {
            for route in routes(lab.subject, RoutePurpose::Transfer) {
                let operation = provider.handle_transfer_callback(
                    &lab.bench.credentials,
                    route.name.clone(),
                    lab.bench.outbound.clone(),
                    other.clone(),
                    lab.right(entry),
                    moment(),
                );
                let outcome = settled(operation.unwrap(), &mut lab.bench.account.clone());
                assert_eq!(
                    outcome.events,
                    vec![],
                    "{} {} at {}",
                    lab.subject.name(),
                    entry.shown,
                    route.name
                );
            }
        }
    }
}

/// The answer to one call's question does not open another call's media socket.
#[test]
fn a_webhook_that_asks_for_one_call_does_not_open_another() {
    for lab in labs().iter().filter(|lab| !lab.proof.address) {
        let provider = &lab.subject.provider;
        let mut other = bench::call(lab.subject, OTHER_CALL, Direction::Outbound);
        other.provider_call_id = Some(lab.subject.carrier.new_call_id());
        for entry in lab.corpus.iter().filter(|entry| entry.shown.starts_with("answered")) {
            let mut operation = provider.answer(
                &lab.bench.credentials,
                other.clone(),
                bench::media(),
                Some(lab.right(entry)),
                moment(),
            );
            if let Step::Done(outcome) = operation.step().unwrap() {
                let body = String::from_utf8_lossy(&outcome.response.body).into_owned();
                assert!(
                    !body.contains(&bench::media().token),
                    "{} {}: the media token of another call is given away",
                    lab.subject.name(),
                    entry.shown
                );
            }
        }
    }
}

/// Asterisk sends no webhooks: whatever comes in its name is refused, whoever signed it.
#[test]
fn a_carrier_without_webhooks_gets_none_accepted() {
    let Some(ari) = subjects().into_iter().find(|subject| subject.name() == "ari") else {
        panic!("there is no component `ari`");
    };
    let credentials = ari.credentials(&json!({}));
    for lab in labs() {
        for entry in lab.samples() {
            let verdict = ari
                .provider
                .verify(&credentials, &lab.right(&entry), &moment())
                .unwrap();
            assert!(matches!(verdict, Verdict::Refused(_)), "{}: {verdict:?}", entry.shown);
        }
    }
}
