//! The recorded cases, natively. The runtime runs the same files against the built component.

use strowger_provider_ari::Ari;
use strowger_sdk::testing::Cases;

#[test]
fn recorded_cases_hold() {
    let cases = Cases::<Ari>::new().calling().numbers().transfer().setup().events();
    cases.check(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
