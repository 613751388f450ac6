//! The recorded cases, natively. The runtime runs the same files against the built component.

use strowger_provider_browser::Browser;
use strowger_sdk::testing::Cases;

#[test]
fn recorded_cases_hold() {
    let cases = Cases::<Browser>::new().calling();
    cases.check(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
