//! Helpers of the black-box suite: where the built components are, and one engine for all tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;
use strowger_host::{Credentials, Engine, EngineOptions, Provider};

/// The repository.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the suite is a folder of the repository")
}

/// Where cargo puts components.
fn built() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("wasm32-wasip2/component")
}

fn read(path: &Path, recipe: &str) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}; build it with `just {recipe}`", path.display()))
}

/// The component of a folder in `providers/`: from the folder that `STROWGER_PROVIDERS` names, or as cargo built it.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn provider_bytes(name: &str) -> Vec<u8> {
    let path = match std::env::var_os("STROWGER_PROVIDERS") {
        Some(folder) => PathBuf::from(folder).join(format!("{name}.wasm")),
        None => built().join(format!("strowger_provider_{}.wasm", name.replace('-', "_"))),
    };
    read(&path, "providers")
}

/// A guest of the suite itself, by the name of its file without the extension.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn guest_bytes(file: &str) -> Vec<u8> {
    read(&built().join(format!("{file}.wasm")), "guests")
}

/// The engine that tests share.
///
/// # Panics
/// When the machine cannot run one.
#[must_use]
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        Engine::new(EngineOptions {
            instances_max: 64,
            ..EngineOptions::default()
        })
        .expect("an engine starts")
    })
}

fn load(key: &str, bytes: impl FnOnce() -> Vec<u8>) -> Provider {
    static LOADED: Mutex<BTreeMap<String, Provider>> = Mutex::new(BTreeMap::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let provider = loaded
        .entry(key.to_owned())
        .or_insert_with(|| Provider::load(engine(), &bytes()).unwrap_or_else(|error| panic!("{key}: {error}")));
    provider.clone()
}

/// The component of a folder in `providers/`, loaded once for all tests.
///
/// # Panics
/// When it is missing or refused.
#[must_use]
pub fn provider(name: &str) -> Provider {
    load(name, || provider_bytes(name))
}

/// A guest of the suite itself, loaded once for all tests.
///
/// # Panics
/// When it is missing or refused.
#[must_use]
pub fn guest(file: &str) -> Provider {
    load(file, || guest_bytes(file))
}

/// Credentials that the spec accepts.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn credentials(provider: &Provider, entered: &Value) -> Credentials {
    Credentials::check(provider.spec(), entered).unwrap_or_else(|problems| panic!("{problems:?}"))
}
