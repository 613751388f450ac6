//! Rust: cargo does all of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::tool::Step;
use super::{BuildError, Project};

const TARGET: &str = "wasm32-wasip2";

/// A line of cargo's report.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    #[serde(default)]
    manifest_path: PathBuf,
}

pub(super) fn build(project: &Project, output: &Path, progress: &dyn Fn(&str)) -> Result<(), BuildError> {
    const INSTALL: &str = "install Rust 1.95 or later from https://rustup.rs, then: rustup target add wasm32-wasip2";
    progress("Compiling with cargo (the first time takes a minute or two)");
    let report = Step {
        failed: "cargo could not build the provider",
        mend: "mend what it points at. Where it misses `core` or `std`, the target is not installed: rustup target add wasm32-wasip2",
        install: INSTALL,
    }
    .run(
        Command::new("cargo")
            .args(["build", "--release", "--lib", "--target", TARGET])
            .arg("--message-format=json-render-diagnostics")
            .current_dir(&project.root),
    )?;
    let manifest = project.root.join("Cargo.toml");
    let component = String::from_utf8_lossy(&report.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact" && message.manifest_path == manifest)
        .flat_map(|message| message.filenames)
        .find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
        .ok_or_else(|| {
            BuildError::new(
                "cargo built no component",
                manifest.display().to_string(),
                "give the library crate-type = [\"cdylib\", \"rlib\"]",
            )
        })?;
    fs::copy(&component, output)
        .map(drop)
        .map_err(|source| BuildError::io(output, &source))
}
