//! Every provider and every sample passes the suite that strangers' components must pass.
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strowger_host::Provider;
use strowger_host::invoke::cases;
use strowger_kit::{ConformanceOptions, Outcome, Report, conformance};

fn recorded(folder: &Path) -> Vec<cases::Case> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| cases::read(&std::fs::read_to_string(file).unwrap()).unwrap())
        .collect()
}

/// With its cases a component is measured, too; one time is enough.
fn examined(bytes: Vec<u8>, cases: Vec<cases::Case>) -> Report {
    let provider = Provider::load(strowger_tests::engine(), &bytes).unwrap();
    conformance(
        &provider,
        &ConformanceOptions {
            component: (!cases.is_empty()).then(|| Arc::from(bytes)),
            cases,
            credentials: None,
        },
    )
}

fn passes(name: &str) {
    let cases = recorded(&strowger_tests::root().join("providers").join(name).join("cases"));
    for (what, cases) in [("with its cases", cases), ("on its own", Vec::new())] {
        let report = examined(strowger_tests::provider_bytes(name), cases);
        assert!(report.passed(), "{name} {what}:\n{report}");
        for check in &report.checks {
            // Only what cannot be asked of this carrier may be skipped.
            if let Outcome::Skipped(why) = &check.outcome {
                assert!(
                    why.contains("export") || why.contains("no webhooks") || why.contains("no recorded case")
                        || why.contains("was not given"),
                    "{name} {what}: {}: {why}",
                    check.name
                );
            }
        }
    }
}

macro_rules! providers {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            passes(stringify!($name));
        })+
    };
}

providers!(ari, cloudonix, plivo, telnyx, twilio, vobiz, vonage);
