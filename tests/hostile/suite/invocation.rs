//! A guest that is honest but for one thing at a time. Each fault costs the call that it served; its neighbour works on.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::json;
use strowger_host::{
    Effect, Engine, EngineOptions, GuestFault, HostFault, IncomingResponse, InvokeError, MediaEvent, MediaFrame,
    Message, Moment, Provider, Refusal, Reply, Step, Verdict,
};
use strowger_hostile::Guest;
use strowger_tests::{credentials, engine, guest, guest_bytes};

use crate::fixtures::{call, code, media_address, outbound, webhook};
use crate::neighbour::neighbour;

const SECRET: &str = "hush-hush";
/// The one size of argument at which the hostile guest's allocator strikes, when it is armed.
const STRIKE_BYTES: usize = 31_337;

fn hostile() -> Provider {
    guest("strowger_hostile_guest")
}

/// How the operation behind `misbehave` ends: the code of its fault, or what it did instead.
fn end(misbehave: &str) -> String {
    let provider = hostile();
    let credentials = credentials(&provider, &json!({ "misbehave": misbehave, "secret": SECRET }));
    let moment = Moment::at(1);
    let place = misbehave.split(':').next().unwrap_or_default();
    let fault = |error: InvokeError| {
        assert!(!error.to_string().contains(SECRET), "{error}");
        code(&error).to_owned()
    };
    fn first<T>(step: Result<Step<T>, InvokeError>) -> Result<&'static str, InvokeError> {
        Ok(match step? {
            Step::Perform(_) => "performs",
            Step::Done(_) => "done",
            Step::Failed(_) => "failed",
        })
    }
    let ended = match place {
        "config" => provider.check_credentials(&credentials, &moment).map(|()| "done"),
        "verify" => provider
            .verify(&credentials, &webhook(1), &moment)
            .map(|verdict| match verdict {
                Verdict::Genuine { .. } => "genuine",
                Verdict::Refused(_) => "refused",
            }),
        "callback" => first(
            provider
                .handle_callback(&credentials, "status".to_owned(), call(), webhook(1), moment)
                .step(),
        ),
        "answer" | "realloc" | "post-return" => first(
            provider
                .answer(
                    &credentials,
                    call(),
                    media_address(),
                    Some(webhook(STRIKE_BYTES)),
                    moment,
                )
                .step(),
        ),
        "place-call" => provider
            .place_call(&credentials, call(), outbound(), moment)
            .and_then(|mut op| first(op.step())),
        "hang-up" => provider
            .hang_up(&credentials, call(), moment)
            .and_then(|mut op| first(op.step())),
        "cost" => provider
            .fetch_cost(&credentials, call(), moment)
            .and_then(|mut op| first(op.step())),
        "open-leg" => provider.open_leg(&credentials, call(), moment).map(|_| "done"),
        other => panic!("nothing misbehaves at {other}"),
    };
    ended.map_or_else(fault, str::to_owned)
}

#[track_caller]
fn check(misbehave: &str, expected: &str) {
    let ended = end(misbehave);
    assert!(
        expected.split('|').any(|expected| expected == ended),
        "{misbehave}: expected {expected}, ended as {ended}"
    );
    neighbour();
}

#[test]
fn the_hostile_guest_is_honest_when_it_is_not_told_otherwise() {
    for (place, expected) in [
        ("config", "done"),
        ("verify", "genuine"),
        ("callback", "done"),
        ("answer", "done"),
        ("place-call", "done"),
        ("hang-up", "done"),
        ("cost", "done"),
        ("open-leg", "done"),
    ] {
        check(place, expected);
    }
}

#[test]
fn a_guest_that_spins_meets_its_deadline() {
    for place in ["config", "verify", "answer", "place-call", "open-leg"] {
        check(&format!("{place}:spin"), "deadline");
    }
    check("answer:copy", "deadline");
    check("realloc:spin", "deadline");
    check("post-return:spin", "deadline");
}

#[test]
fn a_guest_that_crashes_loses_its_call() {
    for how in ["trap", "panic", "exit"] {
        for place in ["config", "verify", "callback", "hang-up"] {
            check(&format!("{place}:{how}"), "trap");
        }
    }
    // Rust keeps its stack in linear memory, so it may run out of that, or of the engine's own.
    check("answer:recursion", "stack|trap|memory");
    check("post-return:trap", "trap");
}

#[test]
fn a_guest_that_eats_memory_is_refused_it() {
    check("verify:memory", "memory");
    check("open-leg:memory", "memory");
}

#[test]
fn a_guest_that_lies_about_its_memory_is_found_out() {
    check("realloc:trap", "trap");
    check("realloc:wild", "trap|malformed-output");
    check("realloc:null", "trap|malformed-output");
    // Where the arguments overwrite the guest's own data, anything may come of it but harm to others.
    let ended = end("realloc:overlap");
    assert!(
        matches!(ended.as_str(), "done" | "trap" | "malformed-output" | "failed"),
        "{ended}"
    );
    neighbour();
}

#[test]
fn what_a_guest_prints_is_bounded() {
    check("verify:print", "genuine|deadline");
}

/// Everything that is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Its words are a stranger's, and may quote what it was given.
#[test]
fn no_word_of_a_guest_is_in_the_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // With one subscriber in the process, a statement that another thread reaches first is switched off for all threads.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    tracing::subscriber::with_default(subscriber, || {
        for misbehave in [
            "verify:print",
            "verify:panic",
            "answer:secret-in-failure",
            "verify:memory",
            "verify:secret-in-rejection",
        ] {
            end(misbehave);
        }
    });
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(
        log.contains("the guest printed something"),
        "the log is not what this test believes: {log}"
    );
    for word in ["forged", "on purpose", "xxxx", "\u{1b}", SECRET, "sealed-"] {
        assert!(!log.contains(word), "{word:?} is in the log: {log}");
    }
}

#[test]
fn output_that_breaks_a_bound_is_refused() {
    check("verify:flood", "too-much-output");
    check("answer:flood", "too-much-output");
    check("answer:much", "malformed-output");
    check("verify:many", "malformed-output");
    check("callback:many", "too-much-output");
    for how in [
        "long-cause",
        "empty-id",
        "attach-garbage",
        "attach-much",
        "status",
        "header",
        "hop-header",
    ] {
        check(&format!("callback:{how}"), "malformed-output");
    }
    for how in ["negative", "exponent", "dots", "currency"] {
        check(&format!("cost:{how}"), "malformed-output");
    }
    check("config:not-text", "malformed-output");
}

#[test]
fn the_problems_of_a_configuration_are_bounded_and_tell_no_secret() {
    let provider = hostile();
    let credentials = credentials(&provider, &json!({ "misbehave": "config:problems", "secret": SECRET }));
    let Err(InvokeError::Configuration(problems)) = provider.check_credentials(&credentials, &Moment::at(1)) else {
        panic!("the configuration is refused");
    };
    assert_eq!(problems.len(), 64);
    assert!(problems.iter().all(|problem| !problem.problem.contains(SECRET)));
}

#[test]
fn effects_that_break_a_bound_are_refused() {
    for how in [
        "method",
        "relative",
        "scheme",
        "host-header",
        "long-key",
        "long-value",
        "long-time",
        "much",
        "empty-id",
    ] {
        check(&format!("place-call:{how}"), "malformed-output");
    }
}

#[test]
fn no_header_becomes_two() {
    for how in ["line-in-header", "line-in-header-name", "line-in-method"] {
        check(&format!("place-call:{how}"), "malformed-output");
    }
    for how in ["header", "header-name", "header-null"] {
        check(&format!("callback:{how}"), "malformed-output");
    }
}

#[test]
fn a_sealed_reference_stays_where_secrets_may_go() {
    for misplaced in [
        "answer:secret-in-markup",
        "answer:secret-in-header",
        "answer:secret-in-failure",
        "callback:attach-secret",
        "place-call:secret-in-url",
        "place-call:secret-in-body",
        "place-call:secret-in-header",
        "place-call:secret-in-header-name",
        "place-call:secret-in-value",
        "place-call:secret-in-key",
    ] {
        check(misplaced, "misplaced-secret");
    }
    check("place-call:foreign-reference", "malformed-output");
    check("verify:secret-in-rejection", "malformed-output");
    check("verify:key-in-the-clear", "malformed-output");
}

#[test]
fn a_guest_does_not_hear_a_secret_that_the_carrier_echoes() {
    let provider = hostile();
    for (misbehave, expected) in [("answer:echo", None), ("answer:echo-twice", Some("<Nothing/>"))] {
        let credentials = credentials(&provider, &json!({ "misbehave": misbehave, "secret": SECRET }));
        let mut operation = provider.answer(&credentials, call(), media_address(), Some(webhook(1)), Moment::at(1));
        let Ok(Step::Perform(Effect::Http(request))) = operation.step() else {
            panic!("it asks for a request")
        };
        assert_eq!(
            request.headers.last().map(|(_, value)| value.expose()),
            Some("Bearer hush-hush")
        );
        operation.reply(Reply::Http(IncomingResponse {
            status: 200,
            headers: vec![],
            body: b"you are hush-hush, in base64 aHVzaC1odXNo".to_vec(),
        }));
        match (operation.step(), expected) {
            (Ok(Step::Done(outcome)), Some(expected)) => assert_eq!(outcome.response.body, expected.as_bytes()),
            (Err(InvokeError::Guest(GuestFault::MisplacedSecret { .. })), None) => {}
            (other, _) => panic!("{misbehave}: {other:?}"),
        }
    }
    neighbour();
}

#[test]
fn a_webhook_that_nothing_proves_is_refused() {
    check("verify:no-proof", "refused");
    check("verify:keyless", "refused");
    let provider = hostile();
    let credentials = credentials(&provider, &json!({ "misbehave": "verify:keyless", "secret": SECRET }));
    match provider.verify(&credentials, &webhook(0), &Moment::at(1)) {
        Ok(Verdict::Refused(Refusal::NotProved(failed))) => {
            assert!(failed[0].failed.contains("no check that involves a key"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_operation_without_end_is_ended() {
    let provider = hostile();
    let credentials = credentials(
        &provider,
        &json!({ "misbehave": "place-call:endless", "secret": SECRET }),
    );
    let mut operation = provider
        .place_call(&credentials, call(), outbound(), Moment::at(1))
        .unwrap();
    let mut rounds = 0;
    let fault = loop {
        match operation.step() {
            Ok(Step::Perform(Effect::Http(_))) => {
                rounds += 1;
                operation.reply(Reply::Http(IncomingResponse {
                    status: 200,
                    headers: vec![],
                    body: vec![],
                }));
            }
            Ok(other) => panic!("{other:?}"),
            Err(fault) => break fault,
        }
    };
    assert_eq!(
        fault,
        InvokeError::Guest(GuestFault::TooManyRounds {
            export: "calling.place-call",
            rounds_max: 16
        })
    );
    assert_eq!(rounds, 16);
    neighbour();
}

#[test]
fn recognition_is_checked_like_everything_else() {
    let provider = hostile();
    for (how, expected) in [
        ("spin", "deadline"),
        ("trap", "trap"),
        ("empty-id", "malformed-output"),
        ("long-id", "malformed-output"),
        ("line-break", "malformed-output"),
        ("not-text", "malformed-output"),
        ("flood", "too-much-output"),
    ] {
        let mut webhook = webhook(1);
        webhook.headers.push(strowger_host::Header {
            name: "X-Misbehave".to_owned(),
            value: how.to_owned(),
        });
        let error = provider.recognise(&webhook, &Moment::at(1)).unwrap_err();
        assert_eq!(code(&error), expected, "{how}: {error}");
        neighbour();
    }
    assert_eq!(provider.recognise(&webhook(1), &Moment::at(1)), Ok(None));
}

#[test]
fn a_leg_that_faults_is_built_again_from_the_carriers_first_messages() {
    let provider = hostile();
    let credentials = credentials(&provider, &json!({ "secret": SECRET }));
    let mut leg = provider.open_leg(&credentials, call(), Moment::at(1)).unwrap();
    let text = |text: &str| Message::Text(text.to_owned());
    assert!(matches!(
        leg.deserialize(text("start")).as_deref(),
        Ok([MediaEvent::Started(_)])
    ));
    for (message, expected) in [
        ("spin", "deadline"),
        ("trap", "trap"),
        ("panic", "trap"),
        ("exit", "trap"),
        ("memory", "memory"),
        ("unknown-format", "malformed-output"),
        ("many", "too-much-output"),
        ("flood", "too-much-output"),
        ("much", "too-much-output"),
        ("dtmf", "malformed-output"),
        ("dtmf-empty", "malformed-output"),
        ("not-text", "malformed-output"),
    ] {
        let fault = leg.deserialize(text(message)).unwrap_err();
        assert_eq!(code(&fault), expected, "{message}: {fault}");
        // A leg that forgot that the stream has started would call this malformed.
        let events = leg.deserialize(Message::Binary(vec![7; 160])).unwrap();
        assert!(
            matches!(events.as_slice(), [MediaEvent::Audio { .. }]),
            "{message}: {events:?}"
        );
    }
    for (mark, expected) in [
        ("spin", "deadline"),
        ("trap", "trap"),
        ("memory", "memory"),
        ("many", "too-much-output"),
        ("much", "too-much-output"),
        ("secret", "misplaced-secret"),
        ("secret-binary", "misplaced-secret"),
    ] {
        let fault = leg.serialize(&MediaFrame::Mark(mark.to_owned())).unwrap_err();
        assert_eq!(code(&fault), expected, "{mark}: {fault}");
        let messages = leg.serialize(&MediaFrame::Audio(vec![7; 160])).unwrap().unwrap();
        assert!(matches!(messages.as_slice(), [Message::Binary(_)]), "{mark}");
    }
    neighbour();
}

#[test]
fn a_leg_that_faults_needs_no_second_slot_to_be_built_again() {
    let engine = Engine::new(EngineOptions {
        instances_max: 1,
        ..EngineOptions::default()
    })
    .unwrap();
    let provider = Provider::load(&engine, &guest_bytes("strowger_hostile_guest")).unwrap();
    let credentials = credentials(&provider, &json!({ "secret": SECRET }));
    let mut leg = provider.open_leg(&credentials, call(), Moment::at(1)).unwrap();
    leg.deserialize(Message::Text("start".to_owned())).unwrap();
    assert_eq!(
        code(&leg.deserialize(Message::Text("trap".to_owned())).unwrap_err()),
        "trap"
    );
    assert!(matches!(
        leg.deserialize(Message::Binary(vec![7; 160])).as_deref(),
        Ok([MediaEvent::Audio { .. }])
    ));
}

#[test]
fn a_carrier_without_webhooks_gets_none_accepted() {
    let provider = Provider::load(engine(), &Guest::loadable().build()).unwrap();
    match provider.verify(&credentials(&provider, &json!({})), &webhook(1), &Moment::at(1)) {
        Ok(Verdict::Refused(Refusal::Rejected { code, .. })) => assert_eq!(code, "no-webhooks"),
        other => panic!("{other:?}"),
    }
    // It was refused before the guest was asked, which would have trapped.
    let error = provider.recognise(&webhook(1), &Moment::at(1)).unwrap_err();
    assert_eq!(code(&error), "trap", "{error}");
}

#[test]
fn without_a_free_instance_the_fault_is_ours() {
    let engine = Engine::new(EngineOptions {
        instances_max: 1,
        ..EngineOptions::default()
    })
    .unwrap();
    let provider = Provider::load(&engine, &guest_bytes("strowger_hostile_guest")).unwrap();
    let credentials = credentials(&provider, &json!({ "secret": SECRET }));
    let leg = provider.open_leg(&credentials, call(), Moment::at(1)).unwrap();
    match provider.verify(&credentials, &webhook(1), &Moment::at(1)) {
        Err(InvokeError::Host(HostFault::AtCapacity(_))) => {}
        other => panic!("{other:?}"),
    }
    drop(leg);
    assert!(matches!(
        provider.verify(&credentials, &webhook(1), &Moment::at(1)),
        Ok(Verdict::Genuine { .. })
    ));
}
