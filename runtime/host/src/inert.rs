//! The inert WASI: everything a guest may import, and nothing that reaches the outside.
//!
//! wasmtime-wasi is a complete WASI; the sandbox needs the opposite, an exact list of interfaces whose every answer is a
//! constant of the invocation. What is not written here cannot be linked, and no answer ever waits, so guests can be called
//! synchronously from anywhere.

use wasmtime::Result;
use wasmtime::component::{HasData, Linker, Resource};

mod generated {
    #![allow(
        unsafe_code,
        missing_debug_implementations,
        unreachable_pub,
        unused_qualifications,
        clippy::all,
        clippy::pedantic,
        reason = "generated code"
    )]

    wasmtime::component::bindgen!({
        path: "wasi/inert.wit",
        world: "inert",
        imports: { default: trappable },
    });
}

use generated::wasi::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};
use generated::wasi::clocks::{monotonic_clock, wall_clock};
use generated::wasi::io::{error, poll, streams};
use generated::wasi::random::{insecure, insecure_seed, random};

/// Interfaces a component may import, without their versions: any 0.2 release of WASI, and our own types.
pub(crate) const ALLOWED_IMPORTS: [&str; 19] = [
    "strowger:provider/types",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// Whether an import, as a component spells it, is on the list.
pub(crate) fn is_allowed(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else {
        return false;
    };
    let known = ALLOWED_IMPORTS.contains(&interface);
    known
        && if interface.starts_with("wasi:") {
            version.starts_with("0.2.")
        } else {
            version == "0.1.0"
        }
}

/// Bytes of captured output kept of one invocation; the rest is counted and dropped.
const OUTPUT_BYTES_MAX: usize = 8 * 1024;
/// Random bytes that one call may ask for.
const RANDOM_BYTES_MAX: u64 = 64 * 1024;

/// A guest asked for what has no inert answer, and ends there.
#[derive(Debug, thiserror::Error)]
#[error("the guest {0}")]
pub(crate) struct Stopped(String);

/// What an invocation sees of the world.
#[derive(Debug)]
pub(crate) struct Inert {
    /// Unix milliseconds; the clock stands still at the moment of the invocation.
    now_ms: u64,
    random: u64,
    output: Vec<u8>,
    output_dropped: usize,
}

impl Inert {
    pub(crate) fn new(now_ms: u64, seed: u64) -> Self {
        Self {
            now_ms,
            random: seed,
            output: Vec::new(),
            output_dropped: 0,
        }
    }

    /// What the guest printed, with control characters made visible so that a log line cannot be forged.
    pub(crate) fn take_output(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.output);
        let dropped = std::mem::take(&mut self.output_dropped);
        if bytes.is_empty() {
            return None;
        }
        let mut text: String = String::from_utf8_lossy(&bytes)
            .trim_end()
            .chars()
            .flat_map(escape)
            .collect();
        if dropped > 0 {
            text.push_str(&format!(" [{dropped} more bytes dropped]"));
        }
        Some(text)
    }

    fn print(&mut self, bytes: &[u8]) {
        let room = OUTPUT_BYTES_MAX.saturating_sub(self.output.len()).min(bytes.len());
        self.output.extend_from_slice(&bytes[..room]);
        self.output_dropped += bytes.len() - room;
    }

    /// SplitMix64: reproducible, because an operation must take the same path in every round.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        if len > RANDOM_BYTES_MAX {
            return Err(Stopped(format!(
                "asked for {len} random bytes at once; at most {RANDOM_BYTES_MAX} are given"
            ))
            .into());
        }
        let mut bytes = Vec::with_capacity(len as usize + 8);
        while (bytes.len() as u64) < len {
            bytes.extend_from_slice(&self.next_random().to_le_bytes());
        }
        bytes.truncate(len as usize);
        Ok(bytes)
    }
}

fn escape(c: char) -> Box<dyn Iterator<Item = char>> {
    if c.is_control() {
        Box::new(c.escape_default())
    } else {
        Box::new(std::iter::once(c))
    }
}

/// Gives a store's data its inert world.
pub(crate) trait HasInert: 'static {
    fn inert(&mut self) -> &mut Inert;
}

struct Access;
impl HasData for Access {
    type Data<'a> = &'a mut Inert;
}

/// Defines the whole allow-list in a linker.
pub(crate) fn add_to_linker<T: HasInert>(linker: &mut Linker<T>) -> Result<()> {
    generated::Inert::add_to_linker::<T, Access>(linker, |state: &mut T| state.inert())
}

/// The only stream of each kind. Handles carry no state, so one representation serves all.
const REP: u32 = 1;
type Streamed<T> = Result<Result<T, streams::StreamError>>;

impl error::Host for Inert {}
impl error::HostError for Inert {
    fn to_debug_string(&mut self, _: Resource<error::Error>) -> Result<String> {
        Ok("inert".to_owned())
    }
    fn drop(&mut self, _: Resource<error::Error>) -> Result<()> {
        Ok(())
    }
}

impl poll::Host for Inert {
    fn poll(&mut self, pollables: Vec<Resource<poll::Pollable>>) -> Result<Vec<u32>> {
        Ok((0..u32::try_from(pollables.len())?).collect())
    }
}
impl poll::HostPollable for Inert {
    fn ready(&mut self, _: Resource<poll::Pollable>) -> Result<bool> {
        Ok(true)
    }
    fn block(&mut self, _: Resource<poll::Pollable>) -> Result<()> {
        Ok(())
    }
    fn drop(&mut self, _: Resource<poll::Pollable>) -> Result<()> {
        Ok(())
    }
}

impl streams::Host for Inert {}
impl streams::HostInputStream for Inert {
    fn read(&mut self, _: Resource<streams::InputStream>, _len: u64) -> Streamed<Vec<u8>> {
        Ok(Err(streams::StreamError::Closed))
    }
    fn blocking_read(&mut self, _: Resource<streams::InputStream>, _len: u64) -> Streamed<Vec<u8>> {
        Ok(Err(streams::StreamError::Closed))
    }
    fn skip(&mut self, _: Resource<streams::InputStream>, _len: u64) -> Streamed<u64> {
        Ok(Err(streams::StreamError::Closed))
    }
    fn blocking_skip(&mut self, _: Resource<streams::InputStream>, _len: u64) -> Streamed<u64> {
        Ok(Err(streams::StreamError::Closed))
    }
    fn subscribe(&mut self, _: Resource<streams::InputStream>) -> Result<Resource<poll::Pollable>> {
        Ok(Resource::new_own(REP))
    }
    fn drop(&mut self, _: Resource<streams::InputStream>) -> Result<()> {
        Ok(())
    }
}
impl streams::HostOutputStream for Inert {
    fn check_write(&mut self, _: Resource<streams::OutputStream>) -> Streamed<u64> {
        Ok(Ok(4096))
    }
    fn write(&mut self, _: Resource<streams::OutputStream>, contents: Vec<u8>) -> Streamed<()> {
        self.print(&contents);
        Ok(Ok(()))
    }
    fn blocking_write_and_flush(&mut self, _: Resource<streams::OutputStream>, contents: Vec<u8>) -> Streamed<()> {
        self.print(&contents);
        Ok(Ok(()))
    }
    fn flush(&mut self, _: Resource<streams::OutputStream>) -> Streamed<()> {
        Ok(Ok(()))
    }
    fn blocking_flush(&mut self, _: Resource<streams::OutputStream>) -> Streamed<()> {
        Ok(Ok(()))
    }
    fn subscribe(&mut self, _: Resource<streams::OutputStream>) -> Result<Resource<poll::Pollable>> {
        Ok(Resource::new_own(REP))
    }
    fn write_zeroes(&mut self, _: Resource<streams::OutputStream>, _len: u64) -> Streamed<()> {
        Ok(Err(streams::StreamError::Closed))
    }
    fn blocking_write_zeroes_and_flush(&mut self, _: Resource<streams::OutputStream>, _len: u64) -> Streamed<()> {
        Ok(Err(streams::StreamError::Closed))
    }
    fn splice(
        &mut self,
        _: Resource<streams::OutputStream>,
        _: Resource<streams::InputStream>,
        _len: u64,
    ) -> Streamed<u64> {
        Ok(Err(streams::StreamError::Closed))
    }
    fn blocking_splice(
        &mut self,
        _: Resource<streams::OutputStream>,
        _: Resource<streams::InputStream>,
        _len: u64,
    ) -> Streamed<u64> {
        Ok(Err(streams::StreamError::Closed))
    }
    fn drop(&mut self, _: Resource<streams::OutputStream>) -> Result<()> {
        Ok(())
    }
}

impl environment::Host for Inert {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }
    fn get_arguments(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn initial_cwd(&mut self) -> Result<Option<String>> {
        Ok(None)
    }
}
impl exit::Host for Inert {
    fn exit(&mut self, _: std::result::Result<(), ()>) -> Result<()> {
        Err(Stopped("called exit".to_owned()).into())
    }
}
impl stdin::Host for Inert {
    fn get_stdin(&mut self) -> Result<Resource<streams::InputStream>> {
        Ok(Resource::new_own(REP))
    }
}
impl stdout::Host for Inert {
    fn get_stdout(&mut self) -> Result<Resource<streams::OutputStream>> {
        Ok(Resource::new_own(REP))
    }
}
impl stderr::Host for Inert {
    fn get_stderr(&mut self) -> Result<Resource<streams::OutputStream>> {
        Ok(Resource::new_own(REP))
    }
}
impl terminal_input::Host for Inert {}
impl terminal_input::HostTerminalInput for Inert {
    fn drop(&mut self, _: Resource<terminal_input::TerminalInput>) -> Result<()> {
        Ok(())
    }
}
impl terminal_output::Host for Inert {}
impl terminal_output::HostTerminalOutput for Inert {
    fn drop(&mut self, _: Resource<terminal_output::TerminalOutput>) -> Result<()> {
        Ok(())
    }
}
impl terminal_stdin::Host for Inert {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<terminal_input::TerminalInput>>> {
        Ok(None)
    }
}
impl terminal_stdout::Host for Inert {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}
impl terminal_stderr::Host for Inert {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl monotonic_clock::Host for Inert {
    fn now(&mut self) -> Result<u64> {
        Ok(self.now_ms.saturating_mul(1_000_000))
    }
    fn resolution(&mut self) -> Result<u64> {
        Ok(1_000_000)
    }
    fn subscribe_instant(&mut self, _: u64) -> Result<Resource<poll::Pollable>> {
        Ok(Resource::new_own(REP))
    }
    fn subscribe_duration(&mut self, _: u64) -> Result<Resource<poll::Pollable>> {
        Ok(Resource::new_own(REP))
    }
}
impl wall_clock::Host for Inert {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime {
            seconds: self.now_ms / 1000,
            nanoseconds: (self.now_ms % 1000) as u32 * 1_000_000,
        })
    }
    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime {
            seconds: 0,
            nanoseconds: 1_000_000,
        })
    }
}

impl random::Host for Inert {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }
    fn get_random_u64(&mut self) -> Result<u64> {
        Ok(self.next_random())
    }
}
impl insecure::Host for Inert {
    fn get_insecure_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }
    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        Ok(self.next_random())
    }
}
impl insecure_seed::Host for Inert {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((self.next_random(), self.next_random()))
    }
}
