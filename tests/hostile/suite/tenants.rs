//! What one tenant's instance leaves behind, and what an instance knows of the world: nothing.

use serde_json::json;
use strowger_host::{Engine, EngineOptions, Message, Moment, Provider};
use strowger_hostile::Guest;
use strowger_hostile::component::ZEROS_AT;
use strowger_tests::credentials;

use crate::fixtures::{call, code, load, recognised, webhook};
use crate::neighbour::neighbour;

/// As often as fits into a suite; `just soak` goes on to a million, by `STROWGER_SLOT_REUSES`.
const REUSES: u64 = 50_000;
/// Eight bytes that no page has by chance.
const MARKER: i64 = 0x4d41_524b_4d41_524b;

fn small_engine(instances_max: u32) -> Engine {
    Engine::new(EngineOptions {
        instances_max,
        ..EngineOptions::default()
    })
    .unwrap()
}

fn tenant(engine: &Engine, body: &str) -> Provider {
    let guest = Guest::loadable()
        .more("(global $mark (mut i64) (i64.const 0)) (table $more 16 funcref) (elem declare func $realloc)")
        .body("webhook#recognise", body);
    Provider::load(engine, &guest.build()).unwrap_or_else(|error| panic!("it loads: {error}"))
}

/// Writes the marker wherever a guest can write: memory it had, memory it grew, globals, tables.
fn writer() -> String {
    format!(
        "(local $at i32)
         (drop (memory.grow (i32.const 1)))
         (local.set $at (i32.const 16384))
         (loop $next
           (i64.store (local.get $at) (i64.const {MARKER}))
           (local.set $at (i32.add (local.get $at) (i32.const 512)))
           (br_if $next (i32.lt_u (local.get $at) (i32.const 131072))))
         (global.set $mark (i64.const {MARKER}))
         (table.fill $more (i32.const 0) (ref.func $realloc) (i32.const 16))
         (i32.const {ZEROS_AT})"
    )
}

/// Traps when it finds anything that it has not written itself.
fn reader() -> String {
    format!(
        "(local $at i32)
         (drop (memory.grow (i32.const 1)))
         (local.set $at (i32.const 32768))
         (loop $next
           (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
           (local.set $at (i32.add (local.get $at) (i32.const 512)))
           (br_if $next (i32.lt_u (local.get $at) (i32.const 131072))))
         (if (i64.ne (global.get $mark) (i64.const 0)) (then unreachable))
         (local.set $at (i32.const 0))
         (loop $next
           (if (i32.eqz (ref.is_null (table.get $more (local.get $at)))) (then unreachable))
           (local.set $at (i32.add (local.get $at) (i32.const 1)))
           (br_if $next (i32.lt_u (local.get $at) (i32.const 16))))
         (i32.const {ZEROS_AT})"
    )
}

/// One slot, so that each instance gets what the one before had.
#[test]
fn no_byte_of_one_instance_reaches_the_next() {
    let reuses = match std::env::var("STROWGER_SLOT_REUSES") {
        Ok(number) => number.parse().unwrap(),
        Err(_) => REUSES,
    };
    let engine = small_engine(1);
    let (writer, reader) = (tenant(&engine, &writer()), tenant(&engine, &reader()));
    let (webhook, moment) = (webhook(1), Moment::at(1));
    for reuse in 0..reuses / 2 {
        let written = writer.recognise(&webhook, &moment);
        assert_eq!(written, Ok(None), "reuse {reuse}");
        let read = reader.recognise(&webhook, &moment);
        assert_eq!(read, Ok(None), "reuse {reuse}: something was left behind");
    }
    neighbour();
}

/// A guest that counts in a global how often it was asked for a configuration, and traps from the second time on.
#[test]
fn no_configuration_meets_another() {
    let guest = Guest::loadable()
        .more("(global $times (mut i32) (i32.const 0))")
        .body(
            "descriptor#config-loader",
            &format!(
                "(global.set $times (i32.add (global.get $times) (i32.const 1)))
                 (if (i32.gt_u (global.get $times) (i32.const 1)) (then unreachable))
                 (i32.store (i32.const {}) (local.get 0)) (i32.store (i32.const {}) (local.get 1)) (i32.const {ZEROS_AT})",
                ZEROS_AT + 4,
                ZEROS_AT + 8
            ),
        );
    let provider = load(&guest);
    let credentials = credentials(&provider, &json!({}));
    for _ in 0..100 {
        assert_eq!(provider.check_credentials(&credentials, &Moment::at(1)), Ok(()));
    }
    neighbour();
}

/// The leg of one call remembers; the leg of another knows nothing of it.
#[test]
fn no_call_meets_another() {
    let guest = Guest::loadable().more("(global $heard (mut i32) (i32.const 0))").body(
        "media#[method]leg.deserialize-frame",
        &format!(
            "(global.set $heard (i32.add (global.get $heard) (i32.const 1)))
                 (if (i32.gt_u (global.get $heard) (i32.const 3)) (then unreachable))
                 (i32.const {ZEROS_AT})"
        ),
    );
    let provider = load(&guest);
    let credentials = credentials(&provider, &json!({}));
    let mut legs: Vec<_> = (0..8)
        .map(|_| provider.open_leg(&credentials, call(), Moment::at(1)).unwrap())
        .collect();
    for _ in 0..3 {
        for leg in &mut legs {
            assert_eq!(leg.deserialize(Message::Binary(vec![1])), Ok(vec![]));
        }
    }
    let fault = legs[0].deserialize(Message::Binary(vec![1])).unwrap_err();
    assert_eq!(code(&fault), "trap", "a leg does remember: {fault}");
    neighbour();
}

fn with_world(import: &str, package: &str) -> Guest {
    Guest::loadable()
        .wit("world provider {", &format!("world provider {{ import {import};"))
        .more_wit(package)
}

/// Nobody can measure what a secret costs to compare, or who else is running.
#[test]
fn clocks_stand_still() {
    let guest = with_world(
        "wasi:clocks/monotonic-clock@0.2.0",
        "package wasi:clocks@0.2.0 { interface monotonic-clock { now: func() -> u64; } }",
    )
    .import("(import \"wasi:clocks/monotonic-clock@0.2.0\" \"now\" (func $now (result i64)))")
    .body(
        "webhook#recognise",
        &format!(
            "(local $first i64) (local $turns i32)
             (local.set $first (call $now))
             (loop $again
               (if (i64.ne (call $now) (local.get $first)) (then unreachable))
               (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
               (br_if $again (i32.lt_u (local.get $turns) (i32.const 20000))))
             (i32.const {ZEROS_AT})"
        ),
    );
    let provider = load(&guest);
    assert_eq!(recognised(&provider), "done");
    neighbour();
}

/// Randomness follows from the moment, so that a round can be played again; and differs from moment to moment.
#[test]
fn randomness_is_the_moments() {
    let guest = with_world(
        "wasi:random/random@0.2.0",
        "package wasi:random@0.2.0 { interface random { get-random-u64: func() -> u64; } }",
    )
    .import("(import \"wasi:random/random@0.2.0\" \"get-random-u64\" (func $random (result i64)))")
    .body(
        "webhook#recognise",
        &format!(
            "(if (i32.and (i32.wrap_i64 (call $random)) (i32.const 1)) (then unreachable)) (i32.const {ZEROS_AT})"
        ),
    );
    let provider = load(&guest);
    let moments: Vec<_> = (0..64).map(|_| Moment::at(1)).collect();
    let ends = |moment: &Moment| provider.recognise(&webhook(1), moment).is_ok();
    let first: Vec<_> = moments.iter().map(ends).collect();
    let second: Vec<_> = moments.iter().map(ends).collect();
    assert_eq!(first, second, "the same moment, the same randomness");
    assert!(
        first.contains(&true) && first.contains(&false),
        "64 moments, and all the same randomness"
    );
    // More at once than anybody needs is refused.
    let flood = with_world(
        "wasi:random/random@0.2.0",
        "package wasi:random@0.2.0 { interface random { get-random-bytes: func(len: u64) -> list<u8>; } }",
    )
    .import("(import \"wasi:random/random@0.2.0\" \"get-random-bytes\" (func $random (param i64 i32)))")
    .body(
        "webhook#recognise",
        "(call $random (i64.const 1000000000000) (i32.const 8320)) unreachable",
    );
    assert_eq!(recognised(&load(&flood)), "trap");
    neighbour();
}
