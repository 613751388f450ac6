//! The canonical ABI, abused: pointers, lengths, discriminants, encodings and handles that no compiler would make.
//!
//! Where a record's fields lie follows from the contract: `recognise` returns `option<variant>`, whose first case begins with
//! three strings at 8, 16 and 24; `verify-signature` returns `result<list<proof>, rejection>`, its list at 4.

use serde_json::json;
use strowger_host::{InvokeError, LoadError, Moment, Provider};
use strowger_hostile::Guest;
use strowger_hostile::component::{ZEROS_AT, word};
use strowger_tests::{credentials, engine};

use crate::fixtures::{call, code, load, recognise, webhook};
use crate::neighbour::neighbour;

/// Where these guests return their results from.
const AT: u32 = 8320;
/// 255 letters.
const LETTERS_AT: u32 = 9000;

/// A guest whose `recognise` returns these bytes.
fn recognises(bytes: &str) -> Guest {
    Guest::loadable()
        .data_at(AT, bytes)
        .data_at(LETTERS_AT, &"a".repeat(255))
        .body("webhook#recognise", &format!("(i32.const {AT})"))
}

/// An inbound call with these three strings, and nothing else.
fn inbound(strings: [(u32, u32); 3]) -> String {
    let strings: String = strings
        .iter()
        .map(|(address, length)| word(*address) + &word(*length))
        .collect();
    format!("\\01\\00\\00\\00\\00\\00\\00\\00{strings}")
}

#[track_caller]
fn check(what: &str, guest: &Guest, expected: &str) {
    let ended = recognise(guest);
    assert!(
        expected.split('|').any(|expected| expected == ended),
        "{what}: expected {expected}, ended as {ended}"
    );
}

#[test]
fn an_honest_pointer_is_followed() {
    let text = (LETTERS_AT, 255);
    check("three strings", &recognises(&inbound([text; 3])), "done");
    check(
        "three times nothing",
        &recognises(&inbound([(LETTERS_AT, 1), (0, 0), (0, 0)])),
        "done",
    );
    neighbour();
}

#[test]
fn a_result_that_is_not_in_memory_is_malformed() {
    for address in [
        65_536_u32,
        65_532,
        0xffff_fff0,
        0xffff_ffff,
        0x8000_0000,
        AT + 1,
        AT + 2,
        AT + 3,
    ] {
        let guest = recognises(&inbound([(LETTERS_AT, 4); 3]))
            .body("webhook#recognise", &format!("(i32.const {})", address.cast_signed()));
        check(&format!("{address:#x}"), &guest, "malformed-output|trap");
    }
    neighbour();
}

#[test]
fn a_string_that_is_not_in_memory_is_malformed() {
    for (address, length) in [
        (65_536, 1),
        (65_535, 2),
        (0xffff_ffff, 1),
        (0xffff_ffff, 0xffff_ffff),
        (1, 0xffff_ffff),
        (0, 0x8000_0000),
        (0x8000_0000, 0x8000_0000),
        (LETTERS_AT, 0x7fff_ffff),
    ] {
        let guest = recognises(&inbound([(address, length), (0, 0), (0, 0)]));
        check(
            &format!("{address:#x}, {length:#x}"),
            &guest,
            "malformed-output|too-much-output|trap",
        );
    }
    neighbour();
}

#[test]
fn a_discriminant_that_names_no_case_is_malformed() {
    for bytes in ["\\02", "\\ff", "\\01\\00\\00\\00\\02", "\\01\\00\\00\\00\\ff"] {
        check(bytes, &recognises(bytes), "malformed-output|trap");
    }
    // The option behind the three strings.
    let option = inbound([(LETTERS_AT, 4); 3]) + "\\02";
    check("an option", &recognises(&option), "malformed-output|trap");
    neighbour();
}

#[test]
fn text_that_is_not_utf_8_is_malformed() {
    for (what, bytes) in [
        ("a byte that never occurs", "\\ff"),
        ("a continuation without a start", "\\80"),
        ("a start without its continuation", "a\\c3"),
        ("an overlong slash", "\\c0\\af"),
        ("an overlong zero", "\\e0\\80\\80"),
        ("a surrogate", "\\ed\\a0\\80"),
        ("beyond U+10FFFF", "\\f4\\90\\80\\80"),
        ("five bytes", "\\f8\\88\\80\\80\\80"),
    ] {
        let length = u32::try_from(bytes.matches('\\').count() + usize::from(bytes.starts_with('a'))).unwrap();
        let guest = recognises(&inbound([(10_000, length), (0, 0), (0, 0)])).data_at(10_000, bytes);
        check(what, &guest, "malformed-output");
    }
    neighbour();
}

/// Text in any other encoding would run a transcoder that nobody needs, and that has had holes.
#[test]
fn only_utf_8_is_spoken() {
    use wit_component::StringEncoding;
    for encoding in [StringEncoding::UTF16, StringEncoding::CompactUTF16] {
        let refused = Provider::load(engine(), &Guest::loadable().encoding(encoding).build());
        match refused {
            Err(error) => assert!(error.to_string().contains("UTF-8"), "{encoding:?}: {error}"),
            Ok(_) => panic!("{encoding:?} is accepted"),
        }
    }
    neighbour();
}

/// A guest whose `verify-signature` returns so many elements from this address.
fn proves(address: u32, count: u32, memory: &str) -> Guest {
    // webhook-proof: required, so that it is asked at all.
    Guest::loadable()
        .data(100, "\\00")
        .memory(memory)
        .data_at(AT, &format!("\\00\\00\\00\\00{}{}", word(address), word(count)))
        .body("webhook#verify-signature", &format!("(i32.const {AT})"))
}

#[track_caller]
fn verified(guest: &Guest) -> &'static str {
    let provider = load(guest);
    match provider.verify(&credentials(&provider, &json!({})), &webhook(1), &Moment::at(1)) {
        Ok(_) => "done",
        Err(error) => code(&error),
    }
}

#[test]
fn a_length_that_overflows_when_multiplied_is_malformed() {
    for count in [0x1000_0000, 0x1000_0001, 0x2000_0001, 0x7fff_ffff, 0xffff_ffff] {
        let ended = verified(&proves(ZEROS_AT, count, "1"));
        assert!(
            matches!(ended, "malformed-output" | "too-much-output" | "trap"),
            "{count:#x}: {ended}"
        );
    }
    let ended = verified(&proves(ZEROS_AT + 1, 1, "1"));
    assert!(
        matches!(ended, "malformed-output" | "trap"),
        "a misaligned list: {ended}"
    );
    neighbour();
}

/// Each costs the host an allocation and the guest nothing: what is copied is bounded, however little it says.
#[test]
fn a_flood_of_empty_lists_is_refused() {
    // Element for element zeros: an empty label and no checks.
    assert_eq!(verified(&proves(65_536, 200_000, "64")), "too-much-output");
    assert_eq!(
        verified(&proves(65_536, 17, "64")),
        "malformed-output",
        "more than a list may have"
    );
    neighbour();
}

/// Types are fixed by the contract, so only JSON nests.
#[test]
fn json_that_nests_without_end_is_malformed() {
    const DEPTH: u32 = 300_000;
    let guest = Guest::loadable().memory("16").body(
        "descriptor#config-loader",
        &format!(
            "(memory.fill (i32.const 65536) (i32.const 0x5b) (i32.const {DEPTH}))
             (i32.store (i32.const {}) (i32.const 65536)) (i32.store (i32.const {}) (i32.const {DEPTH}))
             (i32.const {AT})",
            AT + 4,
            AT + 8
        ),
    );
    let provider = load(&guest);
    let error = provider
        .check_credentials(&credentials(&provider, &json!({})), &Moment::at(1))
        .unwrap_err();
    assert_eq!(code(&error), "malformed-output", "{error}");
    neighbour();
}

#[test]
fn an_allocator_that_lies_is_found_out() {
    let honest = recognises(&inbound([(LETTERS_AT, 4), (0, 0), (0, 0)]));
    for (what, body, expected) in [
        ("null", "(i32.const 0)", "done|trap|malformed-output"),
        ("beyond the end", "(i32.const 65536)", "trap|malformed-output"),
        ("wraps around", "(i32.const -1)", "trap|malformed-output"),
        ("across the end", "(i32.const 65534)", "trap|malformed-output"),
        ("misaligned", "(i32.const 20001)", "trap|malformed-output"),
        ("always the same place", "(i32.const 20000)", "done"),
        (
            "onto its own result",
            &format!("(i32.const {AT})"),
            "done|trap|malformed-output",
        ),
        ("traps", "unreachable", "trap"),
        ("spins", "(loop $again (br $again)) unreachable", "deadline"),
        (
            "calls itself for ever",
            "(call $realloc (local.get 0) (local.get 1) (local.get 2) (local.get 3))",
            "stack",
        ),
        (
            "grows for ever",
            "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
            "memory",
        ),
    ] {
        check(what, &honest.clone().realloc(body), expected);
    }
    neighbour();
}

#[test]
fn what_happens_after_the_result_counts() {
    let honest = recognises(&inbound([(LETTERS_AT, 4), (0, 0), (0, 0)]));
    for (what, body, expected) in [
        ("nothing", "", "done"),
        ("traps", "unreachable", "trap"),
        ("spins", "(loop $again (br $again))", "deadline"),
        (
            "overwrites the result",
            "(memory.fill (i32.const 0) (i32.const 0xff) (i32.const 16384))",
            "done",
        ),
        (
            "eats memory",
            "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
            "memory",
        ),
    ] {
        check(what, &honest.clone().post_return("webhook#recognise", body), expected);
    }
    neighbour();
}

/// What the host calls while it hands over the result of an import cannot call an import: there is no host recursion.
#[test]
fn an_allocator_that_calls_the_host_is_stopped() {
    let guest = Guest::loadable()
        .wit("world provider {", "world provider { import wasi:random/random@0.2.0;")
        .more_wit("package wasi:random@0.2.0 { interface random { get-random-bytes: func(len: u64) -> list<u8>; } }")
        .import("(import \"wasi:random/random@0.2.0\" \"get-random-bytes\" (func $random (param i64 i32)))")
        .body(
            "webhook#recognise",
            &format!("(call $random (i64.const 8) (i32.const {AT})) (i32.const {ZEROS_AT})"),
        );
    check("asks once", &guest, "done");
    let recursive = guest.realloc(
        "(if (i32.eq (local.get 3) (i32.const 8)) (then (call $random (i64.const 8) (i32.const 8320)))) (i32.const 20000)",
    );
    check("asks while it is answered", &recursive, "trap|stack");
    neighbour();
}

#[track_caller]
fn opened(constructor: &str) -> &'static str {
    let drop = "(import \"[export]strowger:provider/media@0.1.0\" \"[resource-drop]leg\" (func $leg-drop (param i32)))";
    let guest = Guest::loadable()
        .import(drop)
        .more("(global $leg (mut i32) (i32.const 0))")
        .body("media#[constructor]leg", constructor);
    let provider = load(&guest);
    match provider.open_leg(&credentials(&provider, &json!({})), call(), Moment::at(1)) {
        Ok(_) => "done",
        Err(error) => code(&error),
    }
}

#[test]
fn a_forged_handle_is_refused() {
    assert_eq!(opened("(call $leg-new (i32.const 7))"), "done");
    for handle in ["0", "1", "2", "7", "-1", "0x7fffffff"] {
        let ended = opened(&format!("(i32.const {handle})"));
        assert!(matches!(ended, "trap" | "malformed-output"), "{handle}: {ended}");
    }
    let dropped =
        opened("(global.set $leg (call $leg-new (i32.const 7))) (call $leg-drop (global.get $leg)) (global.get $leg)");
    assert!(
        matches!(dropped, "trap" | "malformed-output"),
        "used after its end: {dropped}"
    );
    let twice = opened(
        "(global.set $leg (call $leg-new (i32.const 7)))
         (call $leg-drop (global.get $leg)) (call $leg-drop (global.get $leg)) (global.get $leg)",
    );
    assert!(matches!(twice, "trap" | "malformed-output"), "dropped twice: {twice}");
    neighbour();
}

#[test]
fn a_flood_of_handles_is_refused() {
    let flood = "(loop $again (drop (call $leg-new (i32.const 7))) (br $again)) unreachable";
    let ended = opened(flood);
    assert!(matches!(ended, "trap" | "malformed-output"), "{ended}");
    neighbour();
}

#[test]
fn a_spec_that_lies_is_refused() {
    // A name of a megabyte less a little: its text fits what may be copied, and breaks the bound on names.
    let long = Guest::loadable()
        .memory("32")
        .data(8, &(word(65_536) + &word(1_000_000)));
    // 65 fields, 33 routes, 17 hosts: more than the contract allows of each; their content is zeros.
    let many = |offset: u32, count: u32| {
        Guest::loadable()
            .memory("4")
            .data(offset, &(word(131_072) + &word(count)))
    };
    for (what, guest) in [
        ("a display name of a megabyte", long),
        ("65 fields", many(40, 65)),
        ("33 routes", many(84, 33)),
        ("17 hosts", many(92, 17)),
    ] {
        match Provider::load(engine(), &guest.build()) {
            Err(LoadError::Spec(_) | LoadError::Failed(InvokeError::Guest(_))) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
    neighbour();
}
