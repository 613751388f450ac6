//! Every request of every operation fails in every way: whose fault it is, what to do about it, and that nothing else is
//! written afterwards.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;
use strowger_host::operation::{Failure, FailureKind, FailureOwner};
use strowger_host::{IncomingResponse, OutgoingRequest, Reply};

use super::bench::{Account, Answers as _, Asked, Bench, CALLEE, Ended, benches, run, run_with};
use super::operations::{Case, Purpose, cases};

/// Where no request may be led.
const PRIVATE_ADDRESS: &str = "http://169.254.169.254/latest/meta-data/";

/// How one request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The carrier refuses it, in its own words.
    Status(u16),
    /// No answer: not reachable, timed out, cut off.
    Unreachable,
    /// A success, and the first half of what it says.
    HalfBody,
    /// A success, and a page for people.
    Html,
    /// The answer is elsewhere.
    Redirect,
}

const FAULTS: [Fault; 10] = [
    Fault::Status(401),
    Fault::Status(403),
    Fault::Status(404),
    Fault::Status(409),
    Fault::Status(429),
    Fault::Status(500),
    Fault::Unreachable,
    Fault::HalfBody,
    Fault::Html,
    Fault::Redirect,
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::HalfBody => f.write_str("half a body"),
            Self::Html => f.write_str("HTML"),
            Self::Redirect => f.write_str("redirect"),
        }
    }
}

impl Fault {
    /// What comes in place of the carrier's answer; `None` when there is no such answer.
    fn reply(self, account: &mut Account, request: &OutgoingRequest) -> Option<Reply> {
        let response = |status, content_type: &str, body: Vec<u8>| {
            Some(Reply::Http(IncomingResponse {
                status,
                headers: vec![("content-type".to_owned(), content_type.as_bytes().to_vec())],
                body,
            }))
        };
        match self {
            Self::Status(404) if account.subject.name() == "ari" && names_a_channel(request) => {
                // Two different things at Asterisk: that there is no such channel, and that there is no ARI.
                response(404, "application/json", br#"{"message":"Channel not found"}"#.to_vec())
            }
            Self::Status(status) => {
                let refusal = account.subject.carrier.rest_error(status);
                response(status, refusal.content_type, talkative(&refusal.body))
            }
            Self::Unreachable => Some(Reply::Unreachable("the connection was closed".to_owned())),
            Self::HalfBody => {
                let mut tried = account.clone();
                let answer = tried.serve(request).response;
                let half = answer.body.len() / 2;
                if half == 0 || !(200..300).contains(&answer.status) {
                    return None;
                }
                // It was carried out; only the answer was cut off.
                *account = tried;
                response(answer.status, answer.content_type, answer.body[..half].to_vec())
            }
            Self::Html => {
                let page = format!("<!doctype html><html><body><h1>Sign in to reach {CALLEE}</h1></body></html>");
                response(200, "text/html", page.into_bytes())
            }
            Self::Redirect => Some(Reply::Http(IncomingResponse {
                status: 302,
                headers: vec![("location".to_owned(), PRIVATE_ADDRESS.as_bytes().to_vec())],
                body: Vec::new(),
            })),
        }
    }

    /// Kinds that fit, who has to act, and whether a repetition can help (where that is clear).
    fn expected(self) -> (&'static [FailureKind], FailureOwner, Option<bool>) {
        use FailureKind::{Carrier, Configuration, Quota, Request};
        match self {
            Self::Status(401 | 403) => (&[Configuration], FailureOwner::User, Some(false)),
            Self::Status(404) => (&[Request, Configuration], FailureOwner::User, Some(false)),
            Self::Status(409) => (&[Request], FailureOwner::User, None),
            Self::Status(429) => (&[Quota], FailureOwner::User, Some(true)),
            Self::Redirect => (&[Configuration], FailureOwner::User, Some(false)),
            Self::Status(_) | Self::Unreachable | Self::HalfBody | Self::Html => {
                (&[Carrier], FailureOwner::Operator, Some(true))
            }
        }
    }
}

/// Whether the request is about a channel or bridge that should be there, rather than one to be made.
fn names_a_channel(request: &OutgoingRequest) -> bool {
    let path = request.url.path();
    let made = request.method == "POST" && path.split('/').count() <= "/ari/channels/1".split('/').count();
    (path.contains("/channels/") || path.contains("/bridges/")) && !made
}

/// Carriers quote what they were asked: numbers that have no business in a message.
fn talkative(body: &[u8]) -> Vec<u8> {
    fn quote(value: &mut Value) {
        match value {
            Value::String(text) if text.contains(' ') => text.push_str(&format!(" while calling {CALLEE}")),
            Value::Array(items) => items.iter_mut().for_each(quote),
            Value::Object(members) => members.values_mut().for_each(quote),
            _ => {}
        }
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(mut document) => {
            // Asterisk's own words decide what is meant, and never quote a number.
            if document.get("message").is_none() || document.get("code").is_some() {
                quote(&mut document);
            }
            document.to_string().into_bytes()
        }
        Err(_) => body.to_vec(),
    }
}

/// What was found wrong, one line for each.
#[derive(Default)]
struct Findings(BTreeSet<String>);

impl Findings {
    fn note(&mut self, place: &str, what: impl fmt::Display) {
        self.0.insert(format!("{place}: {what}"));
    }

    #[track_caller]
    fn none(self) {
        assert!(
            self.0.is_empty(),
            "{} findings\n{}",
            self.0.len(),
            self.0.into_iter().collect::<Vec<_>>().join("\n")
        );
    }
}

/// Requests without which an operation has done what it is for: their failure must not undo that.
fn is_beside_the_point(provider: &str, case: &Case, asked: &Asked) -> bool {
    match (provider, case.name) {
        // Takes the bridge away, and the media channel that ends by itself.
        ("ari", "hang-up outbound" | "hang-up inbound") => asked.url.contains("/bridges/"),
        ("ari", "connect") => asked.method == "DELETE",
        // Has the caller's leg end with the destination's; both talk already.
        ("telnyx", "connect") => matches!(asked.method.as_str(), "GET" | "PATCH"),
        _ => false,
    }
}

#[test]
fn a_request_that_fails_is_told_right_and_ends_the_operation() {
    let mut findings = Findings::default();
    for bench in benches() {
        let subject = &bench.account.subject;
        for case in cases(bench) {
            let (ended, asked) = run(&mut *case.start(bench), &mut bench.account.clone());
            if let Ended::Failed(failure) = ended {
                findings.note(
                    &format!("{} {}", subject.name(), case.name),
                    format!("fails over a carrier in good health: {failure:?}"),
                );
                continue;
            }
            for (at, asked) in asked.iter().enumerate() {
                for fault in FAULTS {
                    let place = format!(
                        "{} {}, {} answered with {fault}",
                        subject.name(),
                        case.name,
                        asked.shape()
                    );
                    check(bench, &case, at, fault, &place, &mut findings);
                }
            }
        }
    }
    findings.none();
}

fn check(bench: &Bench, case: &Case, at: usize, fault: Fault, place: &str, findings: &mut Findings) {
    let provider = bench.account.subject.name().to_owned();
    let mut account = bench.account.clone();
    let mut failed: Option<Asked> = None;
    let mut count = 0;
    let mut there_is_none = false;
    let (ended, asked) = run_with(&mut *case.start(bench), &mut account, |account, request| {
        let this = Asked::of(request);
        let now = count == at || failed.as_ref() == Some(&this);
        count += 1;
        if now {
            failed = Some(this);
            match fault.reply(account, request) {
                Some(reply) => return reply,
                None => there_is_none = true,
            }
        }
        account.answer(request)
    });
    let Some(failed) = failed.filter(|_| !there_is_none) else {
        return;
    };

    for later in &asked[at + 1..] {
        if later.url.starts_with(PRIVATE_ADDRESS) {
            findings.note(place, "the redirect was followed");
        }
        // The same once more, a look, and undoing what was done, are no new writing.
        let harmless = *later == failed || later.reads() || later.method == "DELETE";
        if !harmless && matches!(ended, Ended::Failed(_)) {
            findings.note(place, format!("goes on to write: {}", later.shape()));
        }
    }

    match &ended {
        Ended::Done(_) if is_beside_the_point(&provider, case, &failed) => {}
        Ended::Done(value) => {
            if !may_succeed(case, fault, &failed) {
                findings.note(place, format!("is taken for a success: {value}"));
            }
        }
        Ended::Failed(failure) => {
            if case.purpose == Purpose::End && fault == Fault::Status(404) {
                findings.note(place, format!("is not taken for an end: {}", failure.code));
            }
            check_failure(bench, fault, failure, place, findings);
        }
    }

    // What was written before the failure is in nobody's way: with the carrier well again the same operation succeeds. How
    // the request failed makes no difference to that, unless it was carried out; and what has begun like that may not begin
    // a second time.
    let left = match fault {
        Fault::Status(500) => true,
        Fault::HalfBody => case.purpose != Purpose::Begin,
        _ => false,
    };
    if matches!(ended, Ended::Failed(_)) && left {
        let (again, _) = run(&mut *case.start(bench), &mut account);
        if let Ended::Failed(failure) = again {
            findings.note(place, format!("cannot be repeated afterwards: {failure:?}"));
        }
    }
}

/// Whether an operation may succeed although one of its requests went wrong.
fn may_succeed(case: &Case, fault: Fault, failed: &Asked) -> bool {
    match fault {
        // What is to end is not there: that is an end. What is looked up is not there: that is an answer. What is to begin
        // may still be made, if this was only a look.
        Fault::Status(404) => case.purpose != Purpose::Begin || failed.reads(),
        // The status says all, unless something in the answer is needed.
        Fault::HalfBody => !failed.reads(),
        _ => false,
    }
}

fn check_failure(bench: &Bench, fault: Fault, failure: &Failure, place: &str, findings: &mut Findings) {
    let (kinds, owner, retryable) = fault.expected();
    if !kinds.contains(&failure.kind) || failure.owner != owner {
        findings.note(
            place,
            format!("is {:?} of {:?} ({})", failure.kind, failure.owner, failure.code),
        );
    }
    if retryable.is_some_and(|retryable| retryable != failure.retryable) {
        let can = if failure.retryable { "can" } else { "cannot" };
        findings.note(place, format!("{can} be retried, it says ({})", failure.code));
    }
    check_words(bench, failure, place, findings);
}

/// Nothing is left to do about these.
const FINAL: [&str; 4] = ["call-not-found", "call-ended", "call-gone", "leg-gone"];

/// What somebody can do.
const ADVICE: [&str; 24] = [
    "add", "allow", "change", "check", "choose", "compare", "copy", "correct", "create", "delete", "enter", "give",
    "link", "look", "make", "permit", "release", "remove", "save", "set", "switch", "try", "unlink", "wait",
];

fn check_words(bench: &Bench, failure: &Failure, place: &str, findings: &mut Findings) {
    let Failure { code, message, .. } = failure;
    let kebab = code
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if code.is_empty() || !kebab {
        findings.note(place, format!("the code `{code}` is not in kebab case"));
    }
    if message.is_empty() || message.chars().count() > 500 {
        findings.note(place, format!("a message of {} characters", message.chars().count()));
    }
    let longest_digits = message
        .split(|c: char| !c.is_ascii_digit())
        .map(str::len)
        .max()
        .unwrap_or_default();
    if longest_digits >= 7 {
        findings.note(
            place,
            format!("the message seems to have a telephone number: {message}"),
        );
    }
    for (field, value) in bench.credentials.expose().as_object().into_iter().flatten() {
        let secret = bench.account.subject.provider.spec().is_sealed(field);
        if secret && value.as_str().is_some_and(|value| message.contains(value)) {
            findings.note(place, format!("the message has the secret `{field}`"));
        }
    }
    let words: Vec<String> = message
        .split(|c: char| !c.is_ascii_alphabetic())
        .map(str::to_ascii_lowercase)
        .collect();
    let advises = words.iter().any(|word| ADVICE.contains(&word.as_str()));
    if !advises && !FINAL.contains(&code.as_str()) {
        findings.note(place, format!("the message does not say what to do: {message}"));
    }
}

/// What each operation asks of the carrier, in order: no operation of the matrix is empty by mistake.
#[test]
fn what_the_operations_ask_for_is_known() {
    for bench in benches() {
        let subject = &bench.account.subject;
        let lines: Vec<String> = cases(bench)
            .iter()
            .map(|case| {
                let (ended, asked) = run(&mut *case.start(bench), &mut bench.account.clone());
                let asked: Vec<String> = asked.iter().map(|asked| format!("\n  {}", asked.shape())).collect();
                let failed = match ended {
                    Ended::Done(_) => String::new(),
                    Ended::Failed(failure) => format!("\n  ! {}", failure.code),
                };
                format!("{}{}{failed}", case.name, asked.concat())
            })
            .collect();
        insta::assert_snapshot!(format!("{}-requests", subject.name()), lines.join("\n"));
    }
}

/// A carrier has words of its own for a call that has ended before we ended it.
#[test]
fn a_call_that_has_ended_already_is_ended() {
    let told = [
        (
            "twilio",
            400,
            r#"{"code":21220,"message":"Call is not in-progress. Cannot redirect.","status":400}"#,
        ),
        (
            "telnyx",
            422,
            r#"{"errors":[{"code":"90018","title":"Call has already ended"}]}"#,
        ),
        (
            "telnyx",
            422,
            r#"{"errors":[{"code":90018,"title":"Call has already ended"}]}"#,
        ),
        ("ari", 404, r#"{"message":"Channel not found"}"#),
        ("plivo", 404, r#"{"api_id":"1","error":"not found"}"#),
        ("plivo", 404, ""),
        ("vobiz", 404, ""),
        (
            "vonage",
            404,
            r#"{"type":"https://developer.nexmo.com/api-errors#not-found","title":"Not Found"}"#,
        ),
        ("cloudonix", 404, r#"{"message":"Not found"}"#),
    ];
    let mut findings = Findings::default();
    for bench in benches() {
        let subject = &bench.account.subject;
        let own: Vec<_> = told.iter().filter(|(name, _, _)| *name == subject.name()).collect();
        assert!(!own.is_empty(), "{}: what does it say?", subject.name());
        for (_, status, body) in own {
            for case in cases(bench) {
                if !(case.name.starts_with("hang-up") || case.name == "cancel") {
                    continue;
                }
                let (ended, _) = run_with(&mut *case.start(bench), &mut bench.account.clone(), |_, _| {
                    Reply::Http(IncomingResponse {
                        status: *status,
                        headers: vec![("content-type".to_owned(), b"application/json".to_vec())],
                        body: body.as_bytes().to_vec(),
                    })
                });
                // Of a hang-up the host gives whether it was too late.
                if ended != Ended::Done("true".to_owned()) {
                    findings.note(
                        &format!("{} {}, {status} {body}", subject.name(), case.name),
                        format!("{ended:?}"),
                    );
                }
            }
        }
    }
    findings.none();
}
