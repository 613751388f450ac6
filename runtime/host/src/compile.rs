//! The compiler in a process of its own.
//!
//! A compiler is a large program that eats a stranger's bytes, and some inputs cost it minutes and gigabytes. So it runs in a
//! child process, which has bounded address space and processor time, no environment, no files, and can be killed. The child
//! is this same program: it reads the component from standard input and writes machine code to standard output.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use thiserror::Error;

use crate::engine;
use crate::error::LoadError;
use crate::structure::COMPONENT_BYTES_MAX;

/// The hidden command of the program that is started: its name, then bytes of address space, then seconds of processor time.
pub const COMMAND: &str = "compile-component";
/// Machine code of the largest honest component (an interpreter with its libraries) is a fifth of this.
const CODE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// What the child says besides machine code is one line.
const MESSAGE_BYTES_MAX: u64 = 2_048;
/// The child found that the component cannot be compiled, and says why.
const REFUSED: u8 = 3;
/// More threads compile no faster on the components there are, and each costs address space.
const THREADS_MAX: usize = 4;

/// How to start the compiler, and how much it may use.
#[derive(Debug, Clone)]
pub struct IsolatedCompiler {
    /// The program: it must answer [`COMMAND`] with [`serve`].
    pub program: PathBuf,
    /// Address space of the process. It is more than what is used: every thread reserves some.
    pub memory_bytes_max: u64,
    /// Processor time, over all threads.
    pub cpu_s_max: u64,
    /// From start to end. Beyond the processor time, because a machine may be busy.
    pub wall: Duration,
}

impl IsolatedCompiler {
    /// Starts `program` with the limits that every honest component keeps: the largest known one, an interpreter with its
    /// libraries, takes a quarter of each.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            memory_bytes_max: 4 << 30,
            cpu_s_max: 120,
            wall: Duration::from_secs(300),
        }
    }

    /// The program that runs, even when its file has been replaced since.
    #[must_use]
    pub fn this_program() -> Self {
        Self::new("/proc/self/exe")
    }

    /// Compiles a component: machine code for this machine and this version of the engine.
    pub(crate) fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        let mut child = Command::new(&self.program)
            .args([COMMAND, &self.memory_bytes_max.to_string(), &self.cpu_s_max.to_string()])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| CompilerError::Unavailable(format!("cannot start {}: {error}", self.program.display())))?;
        let output = self.exchange(&mut child, bytes);
        // Whatever happened: nothing of it stays behind. It has usually ended by itself already.
        if let Err(error) = child.kill() {
            tracing::debug!(%error, "the compiler could not be killed");
        }
        let status = child
            .wait()
            .map_err(|error| CompilerError::Unavailable(format!("it cannot be waited for: {error}")))?;
        let output = output?;
        if output.code.len() as u64 > CODE_BYTES_MAX {
            return Err(CompilerError::TooMuchCode { max: CODE_BYTES_MAX }.into());
        }
        if status.success() {
            return Ok(output.code);
        }
        Err(self.failure(status, &output.message))
    }

    /// Writes the component, reads what comes back, and gives up at the deadline.
    fn exchange(&self, child: &mut Child, bytes: &[u8]) -> Result<Output, LoadError> {
        let missing = || CompilerError::Unavailable("it has no standard streams".to_owned());
        let mut stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let deadline = self.wall;
        std::thread::scope(|scope| {
            let (done, ended) = channel();
            let reading = scope.spawn(move || {
                // A child that dies early does not read on: its status tells more than the broken pipe.
                let written = stdin.write_all(bytes);
                drop(stdin);
                let mut output = Output::default();
                let read = stdout
                    .take(CODE_BYTES_MAX + 1)
                    .read_to_end(&mut output.code)
                    .and_then(|_| stderr.take(MESSAGE_BYTES_MAX).read_to_end(&mut output.message));
                // The receiver is gone when the deadline has passed, and with it whoever wants to know.
                let _ = done.send(());
                read.map(|_| (output, written))
            });
            let in_time = ended.recv_timeout(deadline);
            if in_time == Err(RecvTimeoutError::Timeout) {
                // Its pipes close with it, and the reader ends.
                child
                    .kill()
                    .map_err(|error| CompilerError::Unavailable(format!("it cannot be killed: {error}")))?;
            }
            let result = reading.join();
            if in_time == Err(RecvTimeoutError::Timeout) {
                return Err(CompilerError::Wall { max: deadline }.into());
            }
            match result {
                Ok(Ok((output, _))) => Ok(output),
                Ok(Err(error)) => Err(CompilerError::Unavailable(format!("its output cannot be read: {error}")).into()),
                Err(_) => Err(CompilerError::Unavailable("its reader panicked".to_owned()).into()),
            }
        })
    }

    /// Which limit it was, as far as the end of a process tells.
    fn failure(&self, status: ExitStatus, message: &[u8]) -> LoadError {
        use std::os::unix::process::ExitStatusExt as _;
        let message: String = String::from_utf8_lossy(message)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let message = message.trim();
        let out_of_memory = [
            "memory allocation",
            "Cannot allocate memory",
            "os error 12",
            "failed to spawn thread",
        ]
        .iter()
        .any(|sign| message.contains(sign));
        if status.code() == Some(i32::from(REFUSED)) && !out_of_memory {
            return LoadError::Invalid(message.to_owned());
        }
        match status.signal() {
            Some(SIGXCPU | SIGKILL) => CompilerError::Processor { max_s: self.cpu_s_max },
            _ if out_of_memory => CompilerError::Memory {
                max: self.memory_bytes_max,
            },
            _ => CompilerError::Crashed(format!("{status}: {}", message.chars().take(300).collect::<String>())),
        }
        .into()
    }
}

const SIGXCPU: i32 = 24;
const SIGKILL: i32 = 9;

#[derive(Default)]
struct Output {
    code: Vec<u8>,
    message: Vec<u8>,
}

/// Why the compiler did not deliver. The first four are the component's doing.
#[derive(Debug, Error)]
pub enum CompilerError {
    /// It ran too long, on the processor.
    #[error(
        "compiling the component takes more than {max_s} s of processor time; make it smaller, and its largest functions first"
    )]
    Processor {
        /// What is allowed.
        max_s: u64,
    },
    /// It ran too long, on the clock.
    #[error("compiling the component takes more than {} s; make it smaller, or try again when this machine is less busy", max.as_secs())]
    Wall {
        /// What is allowed.
        max: Duration,
    },
    /// It wanted too much memory.
    #[error("compiling the component takes more than {} MiB of memory; make it smaller, and its largest functions first", max >> 20)]
    Memory {
        /// Bytes that are allowed.
        max: u64,
    },
    /// It wrote too much.
    #[error("the compiled component is larger than {} MiB; make it smaller", max >> 20)]
    TooMuchCode {
        /// Bytes that are allowed.
        max: u64,
    },
    /// It ended in a way that no limit explains.
    #[error(
        "the compiler failed on this component ({0}); this is a defect of the compiler: please report it with the component"
    )]
    Crashed(String),
    /// It could not be started or heard.
    #[error(
        "the compiler could not be used: {0}. This is not the component's fault; look at this machine's limits for processes and memory"
    )]
    Unavailable(String),
}

/// The child's side: bounds itself, then reads, compiles and writes. Nothing of the component has been looked at before the
/// bounds are in force.
#[must_use]
pub fn serve(memory_bytes_max: u64, cpu_s_max: u64) -> ExitCode {
    match confine(memory_bytes_max, cpu_s_max).and_then(|()| work()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent reads the status even when it cannot hear why.
            drop(io::stderr().write_all(error.to_string().as_bytes()));
            ExitCode::from(REFUSED)
        }
    }
}

fn confine(memory_bytes_max: u64, cpu_s_max: u64) -> io::Result<()> {
    let limits = [
        (Resource::As, memory_bytes_max),
        (Resource::Cpu, cpu_s_max),
        // A crash leaves no dump of somebody else's bytes; nothing is written but the pipe; nothing else is opened.
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, 16),
    ];
    for (resource, max) in limits {
        let limit = Rlimit {
            current: Some(max),
            maximum: Some(max),
        };
        setrlimit(resource, limit)?;
    }
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS_MAX);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(io::Error::other)
}

fn work() -> io::Result<()> {
    let mut bytes = Vec::new();
    io::stdin()
        .take(COMPONENT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    let refused = |error: wasmtime::Error| io::Error::other(engine::one_line(&error));
    let code = engine::compiler()
        .and_then(|engine| engine.precompile_component(&bytes))
        .map_err(refused)?;
    io::stdout().write_all(&code)
}
