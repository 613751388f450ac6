//! Files of recorded cases, which come with a stranger's project.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strowger_host::invoke::cases;

fuzz_target!(|text: &str| {
    match cases::read(text) {
        Ok(cases) => {
            for case in cases {
                let input = serde_json::Value::Object(case.input);
                assert!(
                    cases::differences(&input, &input).is_empty(),
                    "the same differs from itself"
                );
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
