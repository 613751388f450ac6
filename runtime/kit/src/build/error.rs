//! Why there is no component: what, where, why, and how to mend it.

use std::io;
use std::path::Path;

use thiserror::Error;

/// A build that came to nothing.
#[derive(Debug, Error)]
#[error("{what}\n  where: {place}{}\n  mend:  {mend}", self.why.as_ref().map(|why| format!("\n  why:   {why}")).unwrap_or_default())]
pub struct BuildError {
    /// What happened, one sentence.
    pub what: String,
    /// The file, the folder or the command.
    pub place: String,
    /// The reason, when it is known.
    pub why: Option<String>,
    /// What the compiler said, as it said it; to be shown before the rest.
    pub output: String,
    /// What to do about it.
    pub mend: String,
}

impl BuildError {
    pub(crate) fn new(what: impl Into<String>, place: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            place: place.into(),
            why: None,
            output: String::new(),
            mend: mend.into(),
        }
    }

    pub(crate) fn because(self, why: impl Into<String>) -> Self {
        Self {
            why: Some(why.into()),
            ..self
        }
    }

    pub(crate) fn io(path: &Path, source: &io::Error) -> Self {
        Self::new(
            "a file could not be read or written",
            path.display().to_string(),
            "make it readable and writable for this user, and see that the disk is not full",
        )
        .because(source.to_string())
    }

    pub(crate) fn no_component(path: &Path, why: &str) -> Self {
        Self::new(
            "what was built is no WebAssembly component",
            path.display().to_string(),
            "build into an empty folder again; if it stays like this, the language's tools do not fit this version of strowger",
        )
        .because(why)
    }
}
