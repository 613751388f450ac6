//! Everything that a guest could use up: time, memory, tables, both stacks; and that it is all given back.

use serde_json::json;
use strowger_host::{Engine, EngineOptions, LoadError, MediaFrame, Message, Moment, Provider};
use strowger_hostile::Guest;
use strowger_hostile::component::ZEROS_AT;
use strowger_tests::{credentials, engine};

use crate::fixtures::{call, code, load, recognise, recognised};
use crate::neighbour::neighbour;

/// Grows until it is refused, and traps when it was given more than this.
fn takes(grow: &str, size: &str, most: u32) -> String {
    format!(
        "(loop $again (br_if $again (i32.ne {grow} (i32.const -1))))
         (if (i32.gt_u {size} (i32.const {most})) (then unreachable))
         (i32.const {ZEROS_AT})"
    )
}

#[test]
fn memory_ends_where_the_limit_is() {
    let grow = |most| takes("(memory.grow (i32.const 1))", "(memory.size)", most);
    // 16 MiB off the media path.
    assert_eq!(
        recognise(&Guest::loadable().body("webhook#recognise", &grow(256))),
        "done"
    );
    assert_eq!(
        recognise(&Guest::loadable().body("webhook#recognise", &grow(255))),
        "memory"
    );
    // At once as well as piece by piece.
    let at_once = takes("(memory.grow (i32.const 255))", "(memory.size)", 256);
    assert_eq!(
        recognise(&Guest::loadable().body("webhook#recognise", &at_once)),
        "done"
    );
    let too_much = takes("(memory.grow (i32.const 65535))", "(memory.size)", 1);
    assert_eq!(
        recognise(&Guest::loadable().body("webhook#recognise", &too_much)),
        "done"
    );
    neighbour();
}

#[test]
fn a_legs_memory_is_smaller() {
    // 4 MiB on the media path.
    let grow = |most| takes("(memory.grow (i32.const 1))", "(memory.size)", most);
    for (most, expected) in [(64, "done"), (63, "memory")] {
        let provider = load(&Guest::loadable().body("media#[method]leg.deserialize-frame", &grow(most)));
        let mut leg = provider
            .open_leg(&credentials(&provider, &json!({})), call(), Moment::at(1))
            .unwrap();
        let ended = match leg.deserialize(Message::Binary(vec![1])) {
            Ok(_) => "done",
            Err(error) => code(&error),
        };
        assert_eq!(ended, expected, "{most}");
        leg.serialize(&MediaFrame::Clear).unwrap().unwrap();
    }
    neighbour();
}

#[test]
fn tables_end_where_the_limit_is() {
    let grow = |most| {
        Guest::loadable().more("(table $more 1 funcref)").body(
            "webhook#recognise",
            &takes(
                "(table.grow $more (ref.null func) (i32.const 1000))",
                "(table.size $more)",
                most,
            ),
        )
    };
    assert_eq!(recognise(&grow(20_000)), "done");
    assert_eq!(recognise(&grow(15_000)), "trap", "it was given what it is allowed");
    let at_once = takes(
        "(table.grow $more (ref.null func) (i32.const -2))",
        "(table.size $more)",
        1,
    );
    let at_once = Guest::loadable()
        .more("(table $more 1 funcref)")
        .body("webhook#recognise", &at_once);
    assert_eq!(recognise(&at_once), "done");
    neighbour();
}

#[test]
fn no_component_has_more_of_anything_than_there_is() {
    let module = |text: &str| wat::parse_str(text).unwrap();
    for (what, module, instances) in [
        ("memories", module("(module (memory 1))"), 9),
        ("memory", module("(module (memory 1000))"), 3),
        ("memory of one", module("(module (memory 40000))"), 1),
        ("tables", module("(module (table 1 funcref))"), 17),
        ("table elements", module("(module (table 400000 funcref))"), 1),
        ("instances", module("(module)"), 1_000),
        (
            "globals",
            module(&format!("(module {})", "(global i32 (i32.const 0))".repeat(200_000))),
            1,
        ),
    ] {
        let component = strowger_hostile::bomb::with_instances(&Guest::loadable().build(), &module, instances);
        let refusal = Provider::load(engine(), &component);
        assert!(
            matches!(
                refusal,
                Err(LoadError::Structure { .. } | LoadError::Failed(_) | LoadError::Invalid(_))
            ),
            "{what}: {refusal:?}"
        );
        neighbour();
    }
}

#[test]
fn both_stacks_end() {
    // The engine's own.
    let recursion = "(func $deeper (param i64 i64 i64 i64) (result i32)
        (i32.add (i32.const 1) (call $deeper (local.get 3) (local.get 2) (local.get 1) (local.get 0))))";
    let engine_stack = Guest::loadable().more(recursion).body(
        "webhook#recognise",
        "(call $deeper (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4))",
    );
    assert_eq!(recognise(&engine_stack), "stack");
    // Through a table, where no compiler sees it coming; each of two functions calls the other.
    let indirect = Guest::loadable()
        .more(
            "(type $f (func (param i32) (result i32)))
             (table $functions funcref (elem $ping $pong))
             (func $ping (type $f) (i32.add (i32.const 1) (call_indirect $functions (type $f) (local.get 0) (i32.const 1))))
             (func $pong (type $f) (i32.add (i32.const 1) (call_indirect $functions (type $f) (local.get 0) (i32.const 0))))",
        )
        .body("webhook#recognise", "(call $ping (i32.const 0))");
    assert_eq!(recognise(&indirect), "stack");
    // One that a compiler keeps in linear memory: it runs below the memory's start.
    let shadow = Guest::loadable()
        .more(
            "(global $sp (mut i32) (i32.const 65536))
             (func $deeper (result i32)
               (global.set $sp (i32.sub (global.get $sp) (i32.const 4096)))
               (i64.store (global.get $sp) (i64.const -1))
               (i32.add (i32.const 1) (call $deeper)))",
        )
        .body("webhook#recognise", "(call $deeper)");
    assert_eq!(recognise(&shadow), "trap");
    neighbour();
}

/// A tail call uses no stack: it is a loop, and ends as one.
#[test]
fn a_tail_call_without_end_meets_its_deadline() {
    let guest = Guest::loadable()
        .more("(func $on (param i32) (result i32) (return_call $on (i32.add (local.get 0) (i32.const 1))))")
        .body("webhook#recognise", "(call $on (i32.const 0))");
    assert_eq!(recognise(&guest), "deadline");
    neighbour();
}

/// No deadline interrupts a bulk operation; it ends because memory does.
#[test]
fn bulk_operations_end_within_their_bound() {
    let all = "(drop (memory.grow (i32.const 255)))";
    for (what, operation) in [
        ("fill", "(memory.fill (i32.const 0) (i32.const 1) (i32.const 16777216))"),
        ("copy", "(memory.copy (i32.const 0) (i32.const 1) (i32.const 16777215))"),
        (
            "copy backwards",
            "(memory.copy (i32.const 1) (i32.const 0) (i32.const 16777215))",
        ),
    ] {
        let guest = Guest::loadable().body(
            "webhook#recognise",
            &format!("{all} (loop $again {operation} (br $again)) unreachable"),
        );
        assert_eq!(recognise(&guest), "deadline", "{what}");
        neighbour();
    }
    let tables = Guest::loadable().more("(table $more 20000 funcref)").body(
        "webhook#recognise",
        "(loop $again (table.fill $more (i32.const 0) (ref.null func) (i32.const 20000)) (br $again)) unreachable",
    );
    assert_eq!(recognise(&tables), "deadline");
    let beyond = Guest::loadable().body(
        "webhook#recognise",
        "(memory.fill (i32.const 65535) (i32.const 1) (i32.const 2)) unreachable",
    );
    assert_eq!(recognise(&beyond), "trap");
    neighbour();
}

/// One slot serves it all, so one that is not given back would be missed at once.
#[test]
fn a_storm_of_faults_costs_no_slot() {
    const FAULTS: usize = 3_000;
    let engine = Engine::new(EngineOptions {
        instances_max: 1,
        ..EngineOptions::default()
    })
    .unwrap();
    for (body, expected) in [
        ("unreachable", "trap"),
        ("(i32.const -4)", "malformed-output|trap"),
        ("(i32.div_u (i32.const 1) (i32.const 0))", "trap"),
        (
            "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) unreachable",
            "memory",
        ),
    ] {
        let guest = Guest::loadable().body("webhook#recognise", body);
        let provider = Provider::load(&engine, &guest.build()).unwrap();
        for _ in 0..FAULTS {
            let ended = recognised(&provider);
            assert!(expected.split('|').any(|expected| expected == ended), "{body}: {ended}");
        }
    }
    neighbour();
}

/// The same bits on every machine, so that a recording replays: the canonical quiet NaN, whatever it came of.
#[test]
fn a_nan_is_always_the_same() {
    let ways = [
        "(i32.reinterpret_f32 (f32.div (f32.const 0) (f32.const 0)))",
        "(i32.reinterpret_f32 (f32.sqrt (f32.const -1)))",
        "(i32.reinterpret_f32 (f32.sub (f32.const inf) (f32.const inf)))",
        "(i32.reinterpret_f32 (f32.add (f32.reinterpret_i32 (i32.const 0xffc12345)) (f32.const 1)))",
        "(i32.reinterpret_f32 (f32.min (f32.reinterpret_i32 (i32.const 0x7fe12345)) (f32.const 1)))",
        "(i32.reinterpret_f32 (f32.demote_f64 (f64.reinterpret_i64 (i64.const 0xfff8123456789abc))))",
    ];
    for way in ways {
        let guest = Guest::loadable().body(
            "webhook#recognise",
            &format!("(if (i32.ne {way} (i32.const 0x7fc00000)) (then unreachable)) (i32.const {ZEROS_AT})"),
        );
        assert_eq!(recognise(&guest), "done", "{way}");
    }
}
