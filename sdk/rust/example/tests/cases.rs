//! The cases that the samples of all languages share, natively. The runtime runs the same files against the built component.

use strowger_example_rust::ExampleTelecom;
use strowger_sdk::testing::Cases;

#[test]
fn shared_cases_hold() {
    let cases = Cases::<ExampleTelecom>::new().calling().numbers();
    cases.check(concat!(env!("CARGO_MANIFEST_DIR"), "/../../example-telecom/cases"));
}
