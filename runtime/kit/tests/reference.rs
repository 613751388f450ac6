//! The committed reference is the contract's.
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

#[test]
fn the_reference_is_up_to_date() {
    let root = strowger_tests::root();
    let generated = strowger_kit::reference::markdown(&root.join("wit")).unwrap();
    let committed = std::fs::read_to_string(root.join("docs/providers/reference.md")).unwrap();
    assert!(
        committed == generated,
        "docs/providers/reference.md is not what wit/ says; run `just provider-reference`"
    );
}
