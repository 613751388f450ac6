//! The author's recorded cases: data files that say what an export returns for an input.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use strowger_host::Provider;
use strowger_host::invoke::cases::{self, Case, CaseError};
use thiserror::Error;

/// A file of cases that cannot be used.
#[derive(Debug, Error)]
#[error("{}: {problem}", .file.display())]
pub struct CasesError {
    /// Which.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// Cases, and the file that they are in.
#[derive(Debug, Clone)]
pub struct CaseFile {
    /// Where.
    pub file: PathBuf,
    /// In order.
    pub cases: Vec<Case>,
}

/// A case that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedCase {
    /// Where it is.
    pub file: PathBuf,
    /// Its own name.
    pub case: String,
    /// What it calls.
    pub export: String,
    /// Where the result differs, or why there is none.
    pub problem: String,
}

/// Reads the `*.json` files of a folder. A folder that is not there has no cases.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub fn read(folder: &Path) -> Result<Vec<CaseFile>, CasesError> {
    let unreadable = |file: &Path, error: &io::Error| CasesError {
        file: file.to_owned(),
        problem: error.to_string(),
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder, &error)),
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(folder, &error))?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
            match cases::read(&text) {
                Ok(cases) => Ok(CaseFile { file, cases }),
                Err(error) => Err(CasesError {
                    file,
                    problem: error.to_string(),
                }),
            }
        })
        .collect()
}

/// Runs cases against a component. What is returned did not hold.
#[must_use]
pub fn run(provider: &Provider, files: &[CaseFile]) -> Vec<FailedCase> {
    let mut failed = Vec::new();
    for CaseFile { file, cases } in files {
        for case in cases {
            if let Err(error) = case.run(provider) {
                failed.push(FailedCase {
                    file: file.clone(),
                    case: case.name.clone(),
                    export: case.export.clone(),
                    problem: told(&error),
                });
            }
        }
    }
    failed
}

fn told(error: &CaseError) -> String {
    match error {
        CaseError::Mismatch(mismatch) => mismatch.to_string(),
        other => other.to_string(),
    }
}
