//! What is refused when it is loaded: components that are none, reach out, or fail before they have done anything.

use std::panic::{AssertUnwindSafe, catch_unwind};

use strowger_host::{GuestFault, InvokeError, LoadError, Provider};
use strowger_hostile::Guest;
use strowger_tests::{engine, guest_bytes};

use crate::neighbour::neighbour;

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
        refusal(&vec![0; strowger_host::structure::COMPONENT_BYTES_MAX + 1]),
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
        .import("(import \"strowger:provider/evil@0.1.0\" \"reach-out\" (func))");
    let sockets = Guest::new()
        .wit(
            "world provider {",
            "world provider { import wasi:sockets/network@0.2.0;",
        )
        .more_wit("package wasi:sockets@0.2.0 { interface network { connect: func(); } }")
        .import("(import \"wasi:sockets/network@0.2.0\" \"connect\" (func))");
    let bare = Guest::new()
        .wit("world provider {", "world provider { import reach-out: func();")
        .import("(import \"$root\" \"reach-out\" (func))");
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
        .import("(import \"wasi:cli/environment@0.2.0\" \"set-environment\" (func))");
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
            LoadError::MissingExport { interface: named } => {
                assert_eq!(named, format!("strowger:provider/{interface}@0.1.0"));
            }
            other => panic!("{interface}: {other}"),
        }
    }
    let other_version = Guest::new().wit("package strowger:provider@0.1.0;", "package strowger:provider@0.2.0;");
    match refusal(&other_version.build()) {
        LoadError::OtherContract { found, spoken } => assert_eq!((found.as_str(), spoken), ("0.2.0", "0.1.0")),
        other => panic!("{other}"),
    }
    let empty = wat::parse_str("(component)").unwrap();
    assert!(matches!(refusal(&empty), LoadError::MissingExport { .. }));
}

#[test]
fn an_interface_of_other_types_is_named() {
    for (guest, expected) in [
        (
            Guest::new().wit("spec: func() -> provider-spec;", "spec: func() -> string;"),
            "descriptor",
        ),
        (Guest::new().wit("requires-caller-id: bool,", ""), "descriptor"),
        (
            Guest::new().wit("enum hash { sha1, sha256, sha512 }", "enum hash { sha1, sha256 }"),
            "webhook",
        ),
        (
            Guest::new().wit("record answered {", "record answered { more: string,"),
            "answer",
        ),
        (
            Guest::new()
                .wit("world provider {", "world provider { export numbers;")
                .wit("enum ownership {", "enum ownership { borrowed,"),
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
    for (guest, expected) in [
        (Guest::new().more(&"(table 1 funcref)\n".repeat(17)), "has 17 tables"),
        (
            Guest::new().memory("3000"),
            "has 196608000 bytes of memory at the start",
        ),
        (
            Guest::new().more("(table 1000000 funcref)"),
            "has 1000000 table elements at the start",
        ),
    ] {
        let refusal = refusal(&guest.build());
        assert!(matches!(refusal, LoadError::Structure { .. }), "{refusal}");
        assert!(refusal.to_string().contains(expected), "{refusal}");
    }
}
