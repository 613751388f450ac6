//! Every provider and every sample passes the suite that strangers' components must pass.
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use strowger_host::cache::CompiledCache;
use strowger_host::invoke::cases;
use strowger_host::{Engine, EngineOptions, Provider};
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

/// One engine for all, which keeps what it has compiled: an interpreter takes a while.
fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("samples/compiled");
        Engine::new(EngineOptions {
            instances_max: 64,
            cache: Some(CompiledCache::new(folder, [7; 32])),
            ..EngineOptions::default()
        })
        .unwrap()
    })
}

/// With its cases a component is measured, too; one time is enough.
fn examined(bytes: Vec<u8>, cases: Vec<cases::Case>) -> Report {
    let provider = Provider::load(engine(), &bytes).unwrap();
    conformance(
        &provider,
        &ConformanceOptions {
            component: (!cases.is_empty()).then(|| Arc::from(bytes)),
            cases,
            credentials: None,
        },
    )
}

fn passes(name: &str, bytes: &[u8], cases: Vec<cases::Case>) {
    for (what, cases) in [("with its cases", cases), ("on its own", Vec::new())] {
        let report = examined(bytes.to_vec(), cases);
        assert!(report.passed(), "{name} {what}:\n{report}");
        for check in &report.checks {
            // Only what cannot be asked of this carrier may be skipped.
            if let Outcome::Skipped(why) = &check.outcome {
                let reasons = ["export", "no webhooks", "no recorded case", "was not given"];
                assert!(
                    reasons.iter().any(|reason| why.contains(reason)),
                    "{name} {what}: {}: {why}",
                    check.name
                );
            }
        }
    }
}

fn provider_passes(name: &str) {
    let cases = recorded(&strowger_tests::root().join("providers").join(name).join("cases"));
    passes(name, &strowger_tests::provider_bytes(name), cases);
}

fn sample_passes(language: &str) {
    let file = strowger_tests::root().join(format!("target/samples/{language}.wasm"));
    let bytes = std::fs::read(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; build it with `just sample-{language}`", file.display()));
    let cases = recorded(&strowger_tests::root().join("sdk/example-telecom/cases"));
    passes(language, &bytes, cases);
}

macro_rules! all {
    ($check:ident: $($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            $check(stringify!($name));
        })+
    };
}

all!(provider_passes: ari, cloudonix, plivo, telnyx, twilio, vobiz, vonage);
all!(sample_passes: c, javascript, python, rust);
