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

/// What a component is asked with.
#[derive(Debug, Clone, Copy, PartialEq)]
enum With {
    /// The author's cases. It is measured, too.
    CasesAndCosts,
    /// The author's cases.
    Cases,
    /// Nothing but itself.
    Nothing,
}

fn examined(bytes: &[u8], cases: &[cases::Case], with: With) -> Report {
    let provider = Provider::load(engine(), bytes).unwrap();
    conformance(
        &provider,
        &ConformanceOptions {
            component: (with == With::CasesAndCosts).then(|| Arc::from(bytes)),
            cases: if with == With::Nothing {
                Vec::new()
            } else {
                cases.to_vec()
            },
            credentials: None,
        },
    )
}

fn passes(name: &str, bytes: &[u8], cases: &[cases::Case], ways: &[With]) {
    for with in ways {
        let report = examined(bytes, cases, *with);
        assert!(report.passed(), "{name} {with:?}:\n{report}");
        for check in &report.checks {
            // Only what cannot be asked of this carrier may be skipped.
            if let Outcome::Skipped(why) = &check.outcome {
                let reasons = ["export", "no webhooks", "no recorded case", "was not given"];
                assert!(
                    reasons.iter().any(|reason| why.contains(reason)),
                    "{name} {with:?}: {}: {why}",
                    check.name
                );
            }
        }
    }
}

fn provider_passes(name: &str) {
    let cases = recorded(&strowger_tests::root().join("providers").join(name).join("cases"));
    let bytes = strowger_tests::provider_bytes(name);
    passes(name, &bytes, &cases, &[With::CasesAndCosts, With::Nothing]);
}

fn sample(language: &str, ways: &[With]) {
    let file = strowger_tests::root().join(format!("target/samples/{language}.wasm"));
    let bytes = std::fs::read(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; build it with `just sample-{language}`", file.display()));
    let cases = recorded(&strowger_tests::root().join("sdk/example-telecom/cases"));
    passes(language, &bytes, &cases, ways);
}

fn compact_sample_passes(language: &str) {
    sample(language, &[With::CasesAndCosts, With::Nothing]);
}

/// An interpreter takes its time, and to be counted it would have to be compiled once more.
fn interpreted_sample_passes(language: &str) {
    sample(language, &[With::Cases]);
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
all!(compact_sample_passes: c, rust);
all!(interpreted_sample_passes: javascript, python);
