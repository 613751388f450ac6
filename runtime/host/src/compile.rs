//! The compiler in a process of its own.
//!
//! A compiler is a large program that eats a stranger's bytes, and some inputs cost it minutes and gigabytes, or bring it
//! down. So it runs in a child that can be killed.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use thiserror::Error;

use crate::child::{self, Bounds, ChildError};
use crate::engine;
use crate::error::LoadError;
use crate::structure::COMPONENT_BYTES_MAX;

/// The hidden command that the program must answer with [`serve`]. The child's bounds follow it as three numbers.
pub const COMMAND: &str = "compile-component";
/// More threads compile no faster on the components there are, and each costs address space.
const THREADS_MAX: usize = 4;

/// How to start the compiler, and how much it may use.
#[derive(Debug, Clone)]
pub struct IsolatedCompiler {
    /// The program.
    pub program: PathBuf,
    /// What it may use.
    pub bounds: Bounds,
}

impl IsolatedCompiler {
    /// Starts `program` with bounds that every honest component keeps: the largest known one, an interpreter with its
    /// libraries, takes a tenth of each (a quarter of the time in a compiler that was itself compiled without optimisation).
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            bounds: Bounds {
                memory_bytes_max: 2 << 30,
                address_bytes_max: Some(4 << 30),
                cpu_s_max: 120,
                wall: Duration::from_secs(300),
                output_bytes_max: 256 << 20,
            },
        }
    }

    /// Compiles a component: machine code for this machine and this version of the engine.
    pub(crate) fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        child::run(&self.program, COMMAND, &self.bounds, &[bytes]).map_err(|error| match error {
            ChildError::Refused(why) => LoadError::Invalid(why),
            cause => CompilerError { cause }.into(),
        })
    }
}

/// Why the compiler did not deliver.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the component was not compiled: {cause}. {}", self.mend())]
pub struct CompilerError {
    cause: ChildError,
}

impl CompilerError {
    /// The bound that was met, or what else happened.
    #[must_use]
    pub fn cause(&self) -> &ChildError {
        &self.cause
    }

    fn mend(&self) -> &'static str {
        match self.cause {
            ChildError::Crashed(_) => "This is a defect of the compiler: please report it, with the component",
            ChildError::Unavailable(_) => "This is not the component's fault",
            _ => "Make the component smaller, and its largest functions first",
        }
    }
}

/// The child's side of it.
#[must_use]
pub fn serve(arguments: &[u64; 3]) -> ExitCode {
    child::serve(arguments, COMPONENT_BYTES_MAX as u64, |bytes| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.min(THREADS_MAX))
            .build_global()
            .map_err(io::Error::other)?;
        engine::compiler()
            .and_then(|engine| engine.precompile_component(bytes))
            .map_err(|error| io::Error::other(engine::one_line(&error)))
    })
}
