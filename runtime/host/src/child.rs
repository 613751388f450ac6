//! Work on a stranger's bytes in a process of its own.
//!
//! The child is this same program under a hidden command: it bounds itself before it reads anything, takes its input from
//! standard input, and writes its result to standard output. It has bounded memory and processor time, no environment, opens
//! and writes no file, and is killed when it takes too long.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use thiserror::Error;

/// The program that runs, even when its file has been replaced since.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

/// What the child says besides its result is one line.
const MESSAGE_BYTES_MAX: u64 = 2_048;
/// The child could not do its work, and says why.
const REFUSED: u8 = 3;
/// What the allocator and the kernel say when there is no more memory.
const NO_MEMORY: [&str; 4] = [
    "memory allocation",
    "Cannot allocate memory",
    "os error 12",
    "failed to spawn thread",
];
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// How much a child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Memory that it can write to, in bytes.
    pub memory_bytes_max: u64,
    /// Address space, in bytes; none for a child that runs guests, for which the engine reserves some that is never used.
    pub address_bytes_max: Option<u64>,
    /// Processor time over all threads, in seconds.
    pub cpu_s_max: u64,
    /// From start to end. Beyond the processor time, because a machine may be busy.
    pub wall: Duration,
    /// Its result, in bytes.
    pub output_bytes_max: u64,
}

/// Why a child has no result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChildError {
    /// It could not do its work, and told why.
    #[error("{0}")]
    Refused(String),
    /// It ran too long, on the processor.
    #[error("it takes more than {max_s} s of processor time")]
    Processor {
        /// What is allowed.
        max_s: u64,
    },
    /// It ran too long, on the clock.
    #[error("it takes more than {} s", max.as_secs())]
    Wall {
        /// What is allowed.
        max: Duration,
    },
    /// It wanted too much memory.
    #[error("it takes more than {} MiB of memory", max >> 20)]
    Memory {
        /// Bytes that are allowed.
        max: u64,
    },
    /// Its result is too large.
    #[error("its result is larger than {} MiB", max >> 20)]
    Output {
        /// Bytes that are allowed.
        max: u64,
    },
    /// It ended in a way that no bound explains.
    #[error("it crashed ({0})")]
    Crashed(String),
    /// It could not be started or heard, which has nothing to do with its input.
    #[error("the process for it could not be used: {0}; look at this machine's limits for processes and memory")]
    Unavailable(String),
}

/// Starts `program` with a command, gives it `input`, and returns what it writes. Nothing of it stays behind.
///
/// # Errors
/// Which bound it met, or what it says.
pub fn run(program: &Path, command: &str, bounds: &Bounds, input: &[&[u8]]) -> Result<Vec<u8>, ChildError> {
    let mut child = Command::new(program)
        .arg(command)
        .args(bounds.arguments())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| ChildError::Unavailable(format!("cannot start {}: {error}", program.display())))?;
    let output = exchange(&mut child, bounds, input);
    // Whatever happened. It has usually ended by itself already.
    if let Err(error) = child.kill() {
        tracing::debug!(%error, "a child process could not be killed");
    }
    let status = child
        .wait()
        .map_err(|error| ChildError::Unavailable(format!("it cannot be waited for: {error}")))?;
    let output = output?;
    if output.result.len() as u64 > bounds.output_bytes_max {
        return Err(ChildError::Output {
            max: bounds.output_bytes_max,
        });
    }
    if status.success() {
        return Ok(output.result);
    }
    Err(bounds.failure(status, &output.message))
}

#[derive(Default)]
struct Output {
    result: Vec<u8>,
    message: Vec<u8>,
}

/// Writes the input, reads what comes back, and gives up at the deadline.
fn exchange(child: &mut Child, bounds: &Bounds, input: &[&[u8]]) -> Result<Output, ChildError> {
    let missing = || ChildError::Unavailable("it has no standard streams".to_owned());
    let mut stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    std::thread::scope(|scope| {
        let (done, ended) = channel();
        let reading = scope.spawn(move || {
            // A child that dies early does not read to the end: how it ended tells more than the broken pipe.
            let written = input.iter().try_for_each(|part| stdin.write_all(part));
            if let Err(error) = written {
                tracing::debug!(%error, "a child process did not read its input");
            }
            drop(stdin);
            let mut output = Output::default();
            // A statement of its own, which closes the pipe: a child with more to write would wait for a reader.
            let read = stdout.take(bounds.output_bytes_max + 1).read_to_end(&mut output.result);
            let read = read.and_then(|_| stderr.take(MESSAGE_BYTES_MAX).read_to_end(&mut output.message));
            // Nobody listens any more when the deadline has passed.
            let _ = done.send(());
            read.map(|_| output)
        });
        let too_late = ended.recv_timeout(bounds.wall) == Err(RecvTimeoutError::Timeout);
        if too_late {
            // Its pipes close with it, and the reader ends.
            child
                .kill()
                .map_err(|error| ChildError::Unavailable(format!("it cannot be killed: {error}")))?;
        }
        match reading.join() {
            _ if too_late => Err(ChildError::Wall { max: bounds.wall }),
            Ok(Ok(output)) => Ok(output),
            Ok(Err(error)) => Err(ChildError::Unavailable(format!("its output cannot be read: {error}"))),
            Err(_) => Err(ChildError::Unavailable("its reader panicked".to_owned())),
        }
    })
}

impl Bounds {
    /// What the child needs of them to bound itself.
    fn arguments(&self) -> [String; 3] {
        [
            self.memory_bytes_max.to_string(),
            self.address_bytes_max.unwrap_or(0).to_string(),
            self.cpu_s_max.to_string(),
        ]
    }

    /// Which bound it met, as far as the end of a process tells.
    fn failure(&self, status: ExitStatus, message: &[u8]) -> ChildError {
        use std::os::unix::process::ExitStatusExt as _;
        let message = String::from_utf8_lossy(message).replace(char::is_control, " ");
        let message = message.trim();
        if NO_MEMORY.iter().any(|sign| message.contains(sign)) {
            return ChildError::Memory {
                max: self.memory_bytes_max,
            };
        }
        match status.signal() {
            Some(SIGXCPU) => ChildError::Processor { max_s: self.cpu_s_max },
            Some(SIGKILL) => ChildError::Unavailable("it was killed, as systems do that run out of memory".to_owned()),
            None if status.code() == Some(i32::from(REFUSED)) => ChildError::Refused(message.to_owned()),
            _ => ChildError::Crashed(format!("{status}: {message}")),
        }
    }
}

/// The child's side: bounds itself as the three arguments after its command say, then reads its input and works on it.
#[must_use]
pub fn serve(arguments: &[u64; 3], input_bytes_max: u64, work: impl FnOnce(&[u8]) -> io::Result<Vec<u8>>) -> ExitCode {
    let done = || {
        confine(arguments)?;
        let mut input = Vec::new();
        io::stdin().lock().take(input_bytes_max).read_to_end(&mut input)?;
        io::stdout().write_all(&work(&input)?)
    };
    match done() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent reads the status even when it cannot hear why.
            let _ = io::stderr().write_all(error.to_string().as_bytes());
            ExitCode::from(REFUSED)
        }
    }
}

fn confine(&[memory_bytes_max, address_bytes_max, cpu_s_max]: &[u64; 3]) -> io::Result<()> {
    // Should the parent be killed, nobody would wait for the result.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut limits = vec![
        (Resource::Data, memory_bytes_max),
        // A crash leaves no dump of somebody else's bytes.
        (Resource::Core, 0),
        // No file is written, but the engine keeps initial images of memories in what the kernel calls files.
        (Resource::Fsize, memory_bytes_max),
        (Resource::Nofile, 64),
    ];
    if address_bytes_max > 0 {
        limits.push((Resource::As, address_bytes_max));
    }
    for (resource, max) in limits {
        let limit = Rlimit {
            current: Some(max),
            maximum: Some(max),
        };
        setrlimit(resource, limit)?;
    }
    // The signal of the first tells this end from any other; the second is for whoever would not die of it.
    let processor = Rlimit {
        current: Some(cpu_s_max),
        maximum: Some(cpu_s_max.saturating_add(5)),
    };
    setrlimit(Resource::Cpu, processor).map_err(io::Error::from)
}
