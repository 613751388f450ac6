//! Files that would cost the host minutes or gigabytes. They are refused for what they are, before a compiler sees them.

use strowger_host::{LoadError, Provider};
use strowger_hostile::{Guest, bomb};
use strowger_tests::engine;

use crate::neighbour::neighbour;

/// The refusal says what there is too much of.
#[track_caller]
fn check(bytes: &[u8], expected: &str) {
    match Provider::load(engine(), bytes) {
        Err(LoadError::Structure { what, .. }) => assert!(what.contains(expected), "{what}"),
        Err(LoadError::Invalid(why)) => assert!(why.contains(expected), "{why}"),
        other => panic!("{expected}: {other:?}"),
    }
    neighbour();
}

#[test]
fn a_hundred_thousand_functions_are_too_many() {
    check(&Guest::loadable().more(&"(func)".repeat(100_001)).build(), "functions");
}

#[test]
fn a_function_of_a_megabyte_is_too_long() {
    let body = "(drop (i32.const 1))".repeat(600_000);
    check(
        &Guest::loadable().more(&format!("(func {body})")).build(),
        "bytes in one function",
    );
}

#[test]
fn a_branch_with_a_hundred_thousand_targets_is_too_wide() {
    let targets = "0 ".repeat(100_000);
    check(
        &Guest::loadable()
            .more(&format!("(func (block (br_table {targets} (i32.const 0))))"))
            .build(),
        "branch targets",
    );
}

#[test]
fn sixty_megabytes_of_nothing_are_refused() {
    let honest = Guest::loadable().build();
    check(&bomb::with_custom_section(&honest, 60 * 1024 * 1024), "custom sections");
}

#[test]
fn components_in_components_are_refused() {
    let honest = Guest::loadable().build();
    for levels in [3, 50, 2_000] {
        check(&bomb::with_nesting(&honest, levels), "nest");
    }
}

#[test]
fn types_of_types_of_types_are_refused() {
    for levels in [1_000, 100_000, 1_000_000] {
        let refusal = Provider::load(engine(), &bomb::of_types(levels));
        assert!(refusal.is_err(), "{levels}: {refusal:?}");
        neighbour();
    }
}
