//! Components that mean harm, or are broken. Each costs the call that it served; its neighbour works on.

mod text;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::json;
use strowger_host::cache::CompiledCache;
use strowger_host::operation::{Call, Direction, MediaAddress, Outbound};
use strowger_host::{
    Effect, Engine, EngineOptions, GuestFault, HostFault, IncomingResponse, InvokeError, LoadError, MediaEvent,
    MediaFrame, Message, Moment, Provider, Refusal, Reply, Step, Verdict, Webhook,
};
use strowger_tests::{credentials, engine, guest, guest_bytes};
use text::Guest;

use crate::components::neighbour;

const SECRET: &str = "hush-hush";
/// The one size of argument at which the hostile guest's allocator strikes, when it is armed.
const STRIKE_BYTES: usize = 31_337;

fn hostile() -> Provider {
    guest("strowger_hostile_guest")
}

fn webhook(body: usize) -> Webhook {
    Webhook {
        method: "POST".to_owned(),
        url: "https://gateway.example/x".to_owned(),
        headers: vec![],
        body: vec![b'x'; body],
        received_at: 1,
    }
}

fn call() -> Call {
    Call {
        id: "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192".to_owned(),
        provider_call_id: None,
        direction: Direction::Outbound,
        caller: "+14155550100".to_owned(),
        callee: "+14155550199".to_owned(),
        routes: vec![],
        attachment: None,
    }
}

fn media_address() -> MediaAddress {
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
        media: media_address(),
        ring_timeout_s: 30,
        detect_machine: None,
        trunk: None,
    }
}

fn code(error: &InvokeError) -> &'static str {
    match error {
        InvokeError::Guest(fault) => fault.code(),
        InvokeError::Host(_) => "host",
        InvokeError::Configuration(_) => "configuration",
    }
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
        cache: None,
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
        cache: None,
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

// What is refused when it is loaded.

#[track_caller]
fn refusal(bytes: &[u8]) -> LoadError {
    let result = catch_unwind(AssertUnwindSafe(|| Provider::load(engine(), bytes)));
    let refusal = result.expect("loading does not panic").expect_err("it is refused");
    let message = refusal.to_string();
    assert!(!message.contains('\n') && message.len() < 1500, "{message}");
    neighbour();
    refusal
}

#[test]
fn what_is_not_a_component_is_told_apart() {
    for bytes in [
        &b""[..],
        b"\0as",
        b"\x7fELF and more",
        b"#!/bin/sh",
        b"(component)",
        b"PK\x03\x04",
    ] {
        assert!(matches!(refusal(bytes), LoadError::NotWasm), "{bytes:?}");
    }
    assert!(matches!(refusal(b"\0asm"), LoadError::Invalid(_)));
    assert!(matches!(refusal(b"\0asm\x01\0\0"), LoadError::Invalid(_)));
    let module = wat::parse_str("(module)").unwrap();
    assert!(matches!(refusal(&module), LoadError::CoreModule));
    assert!(matches!(refusal(b"\0asm\x63\0\x01\0garbage"), LoadError::Invalid(_)));
    assert!(matches!(
        refusal(&vec![0; strowger_host::engine::COMPONENT_BYTES_MAX + 1]),
        LoadError::TooLarge { .. }
    ));
}

#[test]
fn a_truncated_file_is_refused() {
    let whole = guest_bytes("strowger_hostile_guest");
    for part in 1..16 {
        let refusal = refusal(&whole[..whole.len() * part / 16]);
        assert!(
            matches!(refusal, LoadError::Invalid(_) | LoadError::MissingExport { .. }),
            "{part}/16: {refusal}"
        );
    }
}

#[test]
fn a_forbidden_import_is_named() {
    let evil = Guest::new()
        .wit(
            "world provider {",
            "interface evil { reach-out: func(); }\nworld provider { import evil;",
        )
        .more("(import \"strowger:provider/evil@0.1.0\" \"reach-out\" (func))");
    let sockets = Guest::new()
        .wit(
            "world provider {",
            "world provider { import wasi:sockets/network@0.2.0;",
        )
        .more_wit("package wasi:sockets@0.2.0 { interface network { connect: func(); } }")
        .more("(import \"wasi:sockets/network@0.2.0\" \"connect\" (func))");
    let bare = Guest::new()
        .wit("world provider {", "world provider { import reach-out: func();")
        .more("(import \"$root\" \"reach-out\" (func))");
    for (guest, expected) in [
        (evil, "strowger:provider/evil@0.1.0"),
        (sockets, "wasi:sockets/network@0.2.0"),
        (bare, "reach-out"),
    ] {
        match refusal(&guest.build()) {
            LoadError::ForbiddenImport { import } => assert_eq!(import, expected),
            other => panic!("{expected}: {other}"),
        }
    }
}

#[test]
fn an_allowed_interface_offers_no_more_than_is_linked() {
    let guest = Guest::new()
        .wit(
            "world provider {",
            "world provider { import wasi:cli/environment@0.2.0;",
        )
        .more_wit("package wasi:cli@0.2.0 { interface environment { set-environment: func(); } }")
        .more("(import \"wasi:cli/environment@0.2.0\" \"set-environment\" (func))");
    match refusal(&guest.build()) {
        LoadError::Incompatible { interface, .. } => assert_eq!(interface, "imports"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_missing_interface_is_named() {
    for interface in ["webhook", "answer", "media"] {
        let guest = Guest::new().wit(&format!("export {interface};"), "");
        match refusal(&guest.build()) {
            LoadError::MissingExport {
                interface: named,
                found,
            } => {
                assert_eq!(named, format!("strowger:provider/{interface}@0.1.0"));
                assert_eq!(found, "");
            }
            other => panic!("{interface}: {other}"),
        }
    }
    let other_version = Guest::new().wit("package strowger:provider@0.1.0;", "package strowger:provider@0.2.0;");
    match refusal(&other_version.build()) {
        LoadError::MissingExport { found, .. } => {
            assert!(found.contains("strowger:provider/descriptor@0.2.0"), "{found}")
        }
        other => panic!("{other}"),
    }
    let empty = wat::parse_str("(component)").unwrap();
    assert!(matches!(refusal(&empty), LoadError::MissingExport { .. }));
}

#[test]
fn an_interface_of_other_types_is_named() {
    for (guest, expected) in [
        (Guest::new().wit("spec: func() -> provider-spec;", "spec: func() -> string;"), "descriptor"),
        (Guest::new().wit("requires-caller-id: bool,", ""), "descriptor"),
        (Guest::new().wit("enum hash { sha1, sha256, sha512 }", "enum hash { sha1, sha256 }"), "webhook"),
        (Guest::new().wit("record answered {", "record answered { more: string,"), "answer"),
        (
            Guest::new()
                .wit("world provider {", "world provider { export numbers;")
                .wit("enum ownership {", "enum ownership { borrowed,")
                .more(&["validate-number", "provision-number", "configure-inbound"].map(|name| {
                    let params = match name {
                        "configure-inbound" => "i32 i32 i32 i32 i32 i32 i32 i32 i32",
                        _ => "i32 i32 i32 i32 i32 i32",
                    };
                    format!("(func (export \"strowger:provider/numbers@0.1.0#{name}\") (param {params}) (result i32) unreachable)")
                }).join("\n")),
            "numbers",
        ),
    ] {
        match refusal(&guest.build()) {
            LoadError::Incompatible { interface, .. } => assert_eq!(interface, expected),
            other => panic!("{expected}: {other}"),
        }
    }
}

#[track_caller]
fn failure(guest: &Guest) -> GuestFault {
    match refusal(&guest.build()) {
        LoadError::Failed(InvokeError::Guest(fault)) => fault,
        other => panic!("{other}"),
    }
}

#[test]
fn a_spec_that_is_not_in_memory_is_malformed() {
    for (what, guest) in [
        ("beyond the end", Guest::new().spec("(i32.const 0xfffffff0)")),
        ("across the end", Guest::new().spec("(i32.const 65532)")),
        ("misaligned", Guest::new().spec("(i32.const 1025)")),
        // display-name: address and length.
        (
            "a string beyond the end",
            Guest::new().data(8, "\\00\\00\\01\\00\\01\\00\\00\\00"),
        ),
        (
            "a string that wraps around",
            Guest::new().data(8, "\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\ff"),
        ),
        (
            "not UTF-8",
            Guest::new()
                .data(8, "\\00\\08\\00\\00\\02\\00\\00\\00")
                .more("(data (i32.const 2048) \"\\c3\\28\")"),
        ),
        // docs-url: the discriminant of an option.
        ("neither none nor some", Guest::new().data(24, "\\02")),
        // connectivity: 0 or 1.
        ("an enum without such a case", Guest::new().data(36, "\\07")),
        // fields: a list whose length overflows when multiplied.
        (
            "a list longer than memory",
            Guest::new().data(40, "\\00\\08\\00\\00\\ff\\ff\\ff\\7f"),
        ),
        (
            "a misaligned list",
            Guest::new().data(40, "\\01\\08\\00\\00\\01\\00\\00\\00"),
        ),
    ] {
        let fault = failure(&guest);
        assert!(
            matches!(fault.code(), "malformed-output" | "too-much-output"),
            "{what}: {fault}"
        );
    }
}

#[test]
fn a_spec_without_a_name_is_refused_for_that() {
    match refusal(&Guest::new().build()) {
        LoadError::Spec(error) => assert_eq!(error.place, "name"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_spec_of_many_megabytes_is_too_much() {
    // 3 MiB of zero bytes, which are text.
    let guest = Guest::new().memory("64").data(8, "\\00\\00\\08\\00\\00\\00\\30\\00");
    assert_eq!(failure(&guest).code(), "too-much-output");
}

#[test]
fn a_guest_that_fails_while_it_is_loaded_is_not_loaded() {
    let post = "(func (export \"cabi_post_strowger:provider/descriptor@0.1.0#spec\") (param i32) unreachable)";
    let recursion =
        "(func $deeper (param i64 i64 i64 i64) (call $deeper (local.get 0) (local.get 1) (local.get 2) (local.get 3)))";
    for (what, guest, expected) in [
        ("unreachable", Guest::new().spec("unreachable"), "trap"),
        (
            "divides by zero",
            Guest::new().spec("(i32.div_u (i32.const 1) (i32.const 0))"),
            "trap",
        ),
        (
            "spins",
            Guest::new().spec("(loop $again (br $again)) unreachable"),
            "deadline",
        ),
        ("traps in post-return", Guest::new().more(post), "trap"),
        (
            "traps in its start function",
            Guest::new().more("(func $start unreachable) (start $start)"),
            "trap",
        ),
        (
            "spins in its start function",
            Guest::new().more("(func $start (loop $again (br $again))) (start $start)"),
            "deadline",
        ),
        (
            "writes data outside its memory",
            Guest::new().more("(data (i32.const 65535) \"xx\")"),
            "trap",
        ),
        (
            "recurses for ever",
            Guest::new()
                .more(recursion)
                .spec("(call $deeper (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)) unreachable"),
            "stack",
        ),
        (
            "wants more memory than there is",
            Guest::new().spec("(drop (memory.grow (i32.const 1000))) unreachable"),
            "memory",
        ),
    ] {
        let fault = failure(&guest);
        assert_eq!(fault.code(), expected, "{what}: {fault}");
    }
}

#[test]
fn what_no_instance_may_have_is_refused_before_there_is_one() {
    let tables = "(table 1 funcref)\n".repeat(17);
    let tables = refusal(&Guest::new().more(&tables).build());
    assert!(tables.to_string().contains("tables count of 17 exceeds"), "{tables}");
    let memory = refusal(&Guest::new().memory("300").build());
    assert!(
        memory
            .to_string()
            .contains("minimum byte size of 19660800 which exceeds the limit"),
        "{memory}"
    );
    let table = refusal(&Guest::new().more("(table 1000000 funcref)").build());
    assert!(
        matches!(
            table,
            LoadError::Resources { .. } | LoadError::Failed(_) | LoadError::Invalid(_)
        ),
        "{table}"
    );
}

// Compiled code on disk.

struct Cached {
    folder: tempfile::TempDir,
}

impl Cached {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn engine(&self, key: u8) -> Engine {
        let cache = Some(CompiledCache::new(self.folder.path().join("compiled"), [key; 32]));
        Engine::new(EngineOptions {
            instances_max: 4,
            cache,
        })
        .unwrap()
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("compiled")).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn only_file(&self) -> std::path::PathBuf {
        match self.files().as_slice() {
            [file] => file.clone(),
            files => panic!("{files:?}"),
        }
    }
}

/// What the cache writes behind machine code.
fn tag(key: u8, digest: &str, engine: u64, code: &[u8]) -> Vec<u8> {
    use hmac::{KeyInit as _, Mac as _};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&[key; 32]).unwrap();
    mac.update(digest.as_bytes());
    mac.update(&engine.to_be_bytes());
    mac.update(code);
    mac.finalize().into_bytes().to_vec()
}

/// Two small components that differ in what their loading says.
fn two() -> (Vec<u8>, Vec<u8>) {
    (Guest::new().build(), Guest::new().spec("unreachable").build())
}

fn says(engine: &Engine, bytes: &[u8]) -> &'static str {
    match Provider::load(engine, bytes) {
        Err(LoadError::Spec(_)) => "nameless",
        Err(LoadError::Failed(_)) => "traps",
        other => panic!("{other:?}"),
    }
}

#[test]
fn compiled_code_is_kept_and_used() {
    let cached = Cached::new();
    let (nameless, traps) = two();
    assert_eq!(says(&cached.engine(1), &nameless), "nameless");
    let file = cached.only_file();
    let name = file.file_stem().unwrap().to_str().unwrap();
    let (digest, engine) = name.rsplit_once('-').unwrap();
    let engine = u64::from_str_radix(engine, 16).unwrap();
    // To see that it is used: put the other component's code in its place, as only this installation could.
    assert_eq!(says(&cached.engine(1), &traps), "traps");
    let other = cached.files().into_iter().find(|path| *path != file).unwrap();
    let mut code = std::fs::read(other).unwrap();
    code.truncate(code.len() - 32);
    let tag = tag(1, digest, engine, &code);
    std::fs::write(&file, [code, tag].concat()).unwrap();
    assert_eq!(says(&cached.engine(1), &nameless), "traps");
}

/// Makes a damaged file of this component's and another's.
type Change = fn(&[u8], &[u8]) -> Vec<u8>;

#[test]
fn compiled_code_that_is_not_authentic_is_never_run() {
    let (nameless, traps) = two();
    let changes: [(&str, Change); 6] = [
        ("another component's file", |_, other| other.to_vec()),
        ("another component's code under the old tag", |whole, other| {
            [&other[..other.len() - 32], &whole[whole.len() - 32..]].concat()
        }),
        ("one bit", |whole, _| {
            let mut changed = whole.to_vec();
            changed[whole.len() / 2] ^= 1;
            changed
        }),
        ("truncated", |whole, _| whole[..whole.len() / 2].to_vec()),
        ("empty", |_, _| Vec::new()),
        ("garbage", |_, _| vec![0xcc; 4096]),
    ];
    for (what, change) in changes {
        let cached = Cached::new();
        assert_eq!(says(&cached.engine(1), &nameless), "nameless");
        let file = cached.only_file();
        assert_eq!(says(&cached.engine(1), &traps), "traps");
        let other = cached.files().into_iter().find(|path| *path != file).unwrap();
        let (whole, other) = (std::fs::read(&file).unwrap(), std::fs::read(other).unwrap());
        std::fs::write(&file, change(&whole, &other)).unwrap();
        assert_eq!(says(&cached.engine(1), &nameless), "nameless", "{what}");
        assert_eq!(
            std::fs::read(&file).unwrap().len(),
            whole.len(),
            "{what}: it is compiled and kept again"
        );
    }
}

#[test]
fn a_cache_of_another_installation_is_not_trusted() {
    let cached = Cached::new();
    let (nameless, _) = two();
    assert_eq!(says(&cached.engine(1), &nameless), "nameless");
    let before = std::fs::read(cached.only_file()).unwrap();
    assert_eq!(says(&cached.engine(2), &nameless), "nameless");
    let after = std::fs::read(cached.only_file()).unwrap();
    assert_ne!(
        before[before.len() - 32..],
        after[after.len() - 32..],
        "it is made again under this installation's key"
    );
}

#[test]
fn a_damaged_component_leaves_nothing_in_the_cache() {
    let cached = Cached::new();
    let whole = guest_bytes("strowger_hostile_guest");
    assert!(Provider::load(&cached.engine(1), &whole[..whole.len() / 2]).is_err());
    assert!(!cached.folder.path().join("compiled").exists());
}
