//! Helpers of the black-box suite: where the built components are, and one engine for all tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;
use strowger_host::{Credentials, Engine, EngineOptions, Provider};

/// The repository.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the suite is a folder of the repository")
}

/// Where the built components are: `STROWGER_PROVIDERS_DIR`, or where `just providers` puts them.
#[must_use]
pub fn components() -> PathBuf {
    let target = || std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    std::env::var_os("STROWGER_PROVIDERS_DIR").map_or_else(|| target().join("wasm32-wasip2/component"), PathBuf::from)
}

/// The bytes of a built component, by the name of its file without the extension.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn component(file: &str) -> Vec<u8> {
    let path = components().join(format!("{file}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; build the components with `just providers`", path.display()))
}

/// The engine that tests share.
///
/// # Panics
/// When the machine cannot run one.
#[must_use]
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(EngineOptions { instances_max: 64, cache: None }).expect("an engine starts"))
}

/// A built component, loaded once for all tests.
///
/// # Panics
/// When it is missing or refused.
#[must_use]
pub fn load(file: &str) -> Provider {
    static LOADED: Mutex<BTreeMap<String, Provider>> = Mutex::new(BTreeMap::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let provider = loaded
        .entry(file.to_owned())
        .or_insert_with(|| Provider::load(engine(), &component(file)).unwrap_or_else(|error| panic!("{file}: {error}")));
    provider.clone()
}

/// The component of a folder in `providers/`.
///
/// # Panics
/// As [`load`].
#[must_use]
pub fn provider(name: &str) -> Provider {
    load(&format!("strowger_provider_{}", name.replace('-', "_")))
}

/// Credentials that the spec accepts.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn credentials(provider: &Provider, entered: &Value) -> Credentials {
    Credentials::check(provider.spec(), entered).unwrap_or_else(|problems| panic!("{problems:?}"))
}
