//! The cases in `cases/`, natively. `strowger provider test .` runs the same files against the component.

use strowger_sdk::testing::Cases;
use {{snake_name}}::NewProvider;

#[test]
fn recorded_cases_hold() {
    // With abilities: Cases::<NewProvider>::new().calling().numbers()
    Cases::<NewProvider>::new().check(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
