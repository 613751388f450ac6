//! Keeps what providers did: every invocation of a call when the operator asks for it, and by itself those that ended in a
//! fault. `strowger replay` runs them again. What each cost is kept always ([`costs`]).
//!
//! One thread writes. Guests are never waited for: when the disk does not keep up, a recording ends and says so.

pub mod costs;
pub mod shadow;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sha2::{Digest as _, Sha256};
use strowger_host::Provider;
use strowger_host::recording::{Header, Observer, Recorded, write_header, write_invocation};

use self::shadow::Shadows;
use crate::metrics::Metrics;

/// Invocations that wait for the disk: some seconds of many calls.
const QUEUE_LENGTH: usize = 4_096;
/// A recording ends when its file is this long: an hour of a call's frames.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Distinct faults that are kept; the oldest go first.
const FAULT_FILES_MAX: usize = 200;
/// Legs whose history waits for their fault.
const HISTORIES_MAX: usize = 64;

struct Entry {
    header: Arc<Header>,
    /// The file of a call; none for faults, which are named after what happened.
    call: Option<PathBuf>,
    recorded: Recorded,
}

/// Everybody who watches what providers do.
#[derive(Debug, Clone)]
pub struct Watchers {
    log: InvocationLog,
    shadows: Shadows,
    metrics: Metrics,
    /// Whether calls are recorded whole.
    calls: bool,
}

impl Watchers {
    /// Starts their threads. `folder` gets `faults/`, `calls/` and `shadows/`.
    ///
    /// # Errors
    /// When the machine has no thread left.
    pub fn start(folder: &Path, calls: bool, metrics: Metrics) -> std::io::Result<Self> {
        Ok(Self {
            log: InvocationLog::start(folder.to_owned())?,
            shadows: Shadows::start(folder.join("shadows"))?,
            metrics,
            calls,
        })
    }

    /// A version that takes calls: what it does is counted, its faults are kept, and another version may do the same beside it.
    #[must_use]
    pub fn version(&self, provider: &Provider, shadow: Option<&Provider>) -> Provider {
        let watched = provider
            .observed(self.metrics.invocations_of(provider))
            .observed(self.log.faults(provider));
        match shadow {
            Some(shadow) => watched.observed(self.shadows.watch(provider, shadow)),
            None => watched,
        }
    }

    /// A version as it serves one call: everything is recorded, if the operator wants that.
    #[must_use]
    pub fn call(&self, provider: &Provider, call: &str) -> Provider {
        if self.calls {
            provider.observed(self.log.call(provider, call))
        } else {
            provider.clone()
        }
    }
}

/// The way to the thread. Cloning shares it; the thread ends with the last clone.
#[derive(Debug, Clone)]
pub struct InvocationLog {
    entries: SyncSender<Entry>,
    folder: PathBuf,
}

impl InvocationLog {
    /// Starts the thread, which writes below this folder: `faults/` and `calls/`.
    ///
    /// # Errors
    /// When the machine has no thread left.
    pub fn start(folder: PathBuf) -> std::io::Result<Self> {
        let (entries, queue) = sync_channel(QUEUE_LENGTH);
        let faults = folder.join("faults");
        std::thread::Builder::new()
            .name("invocations".to_owned())
            .spawn(move || Writer::new(faults).run(&queue))?;
        Ok(Self { entries, folder })
    }

    /// Watches a provider for faults, and writes a file for each that is new.
    #[must_use]
    pub fn faults(&self, provider: &Provider) -> Arc<dyn Observer> {
        Arc::new(Watch {
            entries: self.entries.clone(),
            header: Arc::new(Header::of(provider, None)),
            call: None,
            broken: AtomicBool::new(false),
        })
    }

    /// Records everything that a provider does for one call.
    #[must_use]
    pub fn call(&self, provider: &Provider, call: &str) -> Arc<dyn Observer> {
        Arc::new(Watch {
            entries: self.entries.clone(),
            header: Arc::new(Header::of(provider, Some(call.to_owned()))),
            call: Some(self.folder.join("calls").join(format!("{call}.jsonl"))),
            broken: AtomicBool::new(false),
        })
    }
}

#[derive(Debug)]
struct Watch {
    entries: SyncSender<Entry>,
    header: Arc<Header>,
    call: Option<PathBuf>,
    /// One invocation is missing, so that the rest would only mislead.
    broken: AtomicBool,
}

impl Observer for Watch {
    fn wants(&self, _export: &'static str, faulted: bool) -> bool {
        (faulted || self.call.is_some()) && !self.broken.load(Ordering::Relaxed)
    }

    fn observe(&self, recorded: Recorded) {
        let entry = Entry {
            header: self.header.clone(),
            call: self.call.clone(),
            recorded,
        };
        if self.entries.try_send(entry).is_err() && self.call.is_some() && !self.broken.swap(true, Ordering::Relaxed) {
            tracing::error!(
                call = self.header.call.as_deref(),
                "the disk does not keep up; the recording of invocations ends here"
            );
        }
    }
}

struct Writer {
    faults: PathBuf,
    /// What faulting legs went through, by provider and leg, until the fault itself comes.
    histories: BTreeMap<(String, u64), Vec<Recorded>>,
}

impl Writer {
    fn new(faults: PathBuf) -> Self {
        Self {
            faults,
            histories: BTreeMap::new(),
        }
    }

    fn run(mut self, queue: &Receiver<Entry>) {
        while let Ok(entry) = queue.recv() {
            let (what, written) = match &entry.call {
                Some(path) => (
                    "a call",
                    append(path, &entry.header, std::slice::from_ref(&entry.recorded)),
                ),
                None => ("a fault", self.fault(entry)),
            };
            if let Err(error) = written {
                tracing::error!(%error, what, "cannot record invocations");
            }
        }
    }

    fn fault(&mut self, entry: Entry) -> std::io::Result<()> {
        let Entry { header, recorded, .. } = entry;
        let leg = recorded.leg.map(|leg| (header.digest.clone(), leg));
        let Some(fault) = recorded.fault.clone() else {
            if let Some(leg) = leg
                && (self.histories.len() < HISTORIES_MAX || self.histories.contains_key(&leg))
            {
                self.histories.entry(leg).or_default().push(recorded);
            }
            return Ok(());
        };
        let mut lines = leg.and_then(|leg| self.histories.remove(&leg)).unwrap_or_default();
        let path = self
            .faults
            .join(fault_name(&header, &recorded.export, &fault.code, &fault.message));
        lines.push(recorded);
        if path.exists() {
            return Ok(());
        }
        make_room(&self.faults)?;
        append(&path, &header, &lines)?;
        tracing::error!(
            provider = %header.provider,
            digest = %header.digest,
            fault = %fault.code,
            file = %path.display(),
            "a provider's fault was recorded; `strowger replay` runs it again"
        );
        Ok(())
    }
}

/// The same fault of the same version has the same name, so that a trap storm is one file.
fn fault_name(header: &Header, export: &str, code: &str, message: &str) -> String {
    let tag = hex::encode(&Sha256::digest(message.as_bytes())[..4]);
    let version = header.digest.get(..12).unwrap_or_default();
    format!("{}-{version}-{export}-{code}-{tag}.jsonl", header.provider)
}

fn append(path: &Path, header: &Header, lines: &[Recorded]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Numbers and words of a conversation are in it.
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    if length > FILE_BYTES_MAX {
        return Ok(());
    }
    let mut writer = BufWriter::new(file);
    if length == 0 {
        write_header(&mut writer, header)?;
    }
    for line in lines {
        write_invocation(&mut writer, line)?;
    }
    writer.flush()
}

fn make_room(folder: &Path) -> std::io::Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    files.sort();
    let surplus = (files.len() + 1).saturating_sub(FAULT_FILES_MAX);
    for (_, path) in files.into_iter().take(surplus) {
        fs::remove_file(path)?;
    }
    Ok(())
}
