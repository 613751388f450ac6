//! Embeds what a new project is made of: the contract, the SDKs and their templates, as they are in this checkout.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Below the repository's root; folders with all that is in them.
const EMBEDDED: [&str; 23] = [
    "Cargo.lock",
    "Cargo.toml",
    "wit",
    "sdk/c/README.md",
    "sdk/c/memory.c",
    "sdk/c/requirements.txt",
    "sdk/c/strowger.c",
    "sdk/c/strowger.h",
    "sdk/c/template",
    "sdk/c/test.h",
    "sdk/c/yyjson",
    "sdk/js/README.md",
    "sdk/js/build",
    "sdk/js/package.json",
    "sdk/js/src",
    "sdk/js/template",
    "sdk/python/README.md",
    "sdk/python/componentize_py_types.py",
    "sdk/python/requirements.txt",
    "sdk/python/strowger_sdk",
    "sdk/python/template",
    "sdk/python/wit_world",
    "sdk/rust",
];
/// What tools leave behind, and what only this repository needs.
const LEFT_OUT: [&str; 4] = ["node_modules", "__pycache__", "target", "sdk/rust/example"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..");
    let root = root.canonicalize()?;
    let mut files = Vec::new();
    for entry in EMBEDDED {
        println!("cargo::rerun-if-changed={}", root.join(entry).display());
        collect(&root, Path::new(entry), &mut files)?;
    }
    files.sort();
    let mut code = String::from("&[\n");
    for file in &files {
        let path = file.to_str().ok_or("a file's name is not UTF-8")?;
        writeln!(code, "    ({path:?}, include_bytes!({:?})),", root.join(file))?;
    }
    code.push_str("]\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("embedded.rs"), code)?;
    Ok(())
}

fn collect(root: &Path, entry: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if LEFT_OUT.iter().any(|name| entry.ends_with(name)) {
        return Ok(());
    }
    let path = root.join(entry);
    if path.is_dir() {
        for child in fs::read_dir(path)? {
            collect(root, &entry.join(child?.file_name()), files)?;
        }
    } else if path.is_file() {
        files.push(entry.to_owned());
    }
    Ok(())
}
