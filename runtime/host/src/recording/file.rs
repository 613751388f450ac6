//! The file of a recording: JSON lines, a header and then one invocation in each. What was written before a crash can be
//! read, and a person can look at it with the usual tools.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Recorded;
use crate::provider::Provider;

/// The only format there is.
const FORMAT: &str = "strowger-recording/1";
/// What the recorded components were built for.
const CONTRACT: &str = "strowger:provider@0.1.0";
/// Longest line that is read: one invocation with its input and output, both bounded.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a recording is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    format: String,
    /// The provider's name.
    pub provider: String,
    /// Its version, as it says.
    pub version: String,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    /// Package and version of the contract.
    pub contract: String,
    /// Our identifier of the call, when it is the recording of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

impl Header {
    /// For a recording of this provider.
    #[must_use]
    pub fn of(provider: &Provider, call: Option<String>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            provider: provider.name().to_owned(),
            version: provider.spec().version.clone(),
            digest: provider.digest().to_owned(),
            contract: CONTRACT.to_owned(),
            call,
        }
    }
}

/// A recording that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// What it is of.
    pub header: Header,
    /// In the order in which they happened.
    pub invocations: Vec<Recorded>,
}

/// Why a file is no recording.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The disk.
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// It begins with something else.
    #[error("it is not a recording: its first line must be the header of a file in the format `{FORMAT}`")]
    NotARecording,
    /// A line is damaged.
    #[error("line {line} is not an invocation: {problem}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

/// Writes the header.
///
/// # Errors
/// The writer's.
pub fn write_header(writer: &mut impl Write, header: &Header) -> std::io::Result<()> {
    write_line(writer, header)
}

/// Writes one invocation.
///
/// # Errors
/// The writer's.
pub fn write_invocation(writer: &mut impl Write, recorded: &Recorded) -> std::io::Result<()> {
    write_line(writer, recorded)
}

/// A whole line at once, so that a crash leaves at most the last one unfinished.
fn write_line(writer: &mut impl Write, line: &impl Serialize) -> std::io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    writer.write_all(&bytes)
}

impl Recording {
    /// Reads a recording. A last line that was not finished is passed over.
    ///
    /// # Errors
    /// When it is none, or damaged.
    pub fn read(reader: impl BufRead) -> Result<Self, RecordingError> {
        let mut lines = reader.lines();
        let first = lines.next().ok_or(RecordingError::NotARecording)??;
        let header: Header = serde_json::from_str(&first).map_err(|_| RecordingError::NotARecording)?;
        if header.format != FORMAT {
            return Err(RecordingError::NotARecording);
        }
        let mut invocations = Vec::new();
        let mut damaged = None;
        for (at, line) in lines.enumerate() {
            if let Some(error) = damaged.take() {
                return Err(error);
            }
            let line = line?;
            if line.len() > LINE_BYTES_MAX {
                return Err(RecordingError::Line {
                    line: at + 2,
                    problem: format!("it has {} bytes; at most {LINE_BYTES_MAX} are read", line.len()),
                });
            }
            match serde_json::from_str(&line) {
                Ok(recorded) => invocations.push(recorded),
                Err(error) => {
                    damaged = Some(RecordingError::Line {
                        line: at + 2,
                        problem: error.to_string(),
                    });
                }
            }
        }
        Ok(Self { header, invocations })
    }
}
