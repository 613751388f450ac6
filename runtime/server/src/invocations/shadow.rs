//! Runs a version that is tried out beside the live one, on the same inputs and replies, and writes down every difference.
//! Nothing acts on what it says.
//!
//! It runs on a thread of its own, some time after the live version. When that does not keep up, invocations are passed over
//! and counted: a shadow may miss something, and never costs a call anything.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strowger_host::Provider;
use strowger_host::recording::{Header, Observer, Recorded, Recording};
use strowger_host::replay::{ReplayOutcome, replay};

const QUEUE_LENGTH: usize = 1_024;
/// A leg's first seconds are compared: its opening, and what every frame goes through.
const LEG_INVOCATIONS_MAX: usize = 400;
/// Then what was said so far is compared.
const LEG_QUIET: Duration = Duration::from_secs(2);
/// Legs that are gathered at once; the others are passed over.
const LEGS_MAX: usize = 32;
/// A file of differences ends here; they repeat themselves long before.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// One line of a shadow's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// `interface.function`.
    pub export: String,
    /// None when both said the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// Invocations that were passed over so far, because the shadow did not keep up.
    pub passed_over: u64,
}

/// Where two versions part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// For example `result.ok.response.body`.
    pub path: String,
    /// What the live version has there.
    pub live: Value,
    /// What the shadow has there.
    pub shadow: Value,
}

/// The way to the thread. Cloning shares it; the thread ends with the last clone.
#[derive(Debug, Clone)]
pub struct Shadows {
    jobs: SyncSender<Job>,
    folder: PathBuf,
}

#[derive(Debug)]
struct Job {
    subject: Arc<Subject>,
    recorded: Recorded,
}

/// A live version and its shadow.
#[derive(Debug)]
struct Subject {
    header: Header,
    shadow: Provider,
    path: PathBuf,
    passed_over: AtomicU64,
}

/// The file with the differences between two versions.
#[must_use]
pub fn file(folder: &Path, live: &str, shadow: &str) -> PathBuf {
    let short = |digest: &str| digest.get(..12).unwrap_or(digest).to_owned();
    folder.join(format!("{}-{}.jsonl", short(live), short(shadow)))
}

impl Shadows {
    /// Starts the thread, which writes into this folder.
    ///
    /// # Errors
    /// When the machine has no thread left.
    pub fn start(folder: PathBuf) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE_LENGTH);
        std::thread::Builder::new()
            .name("shadows".to_owned())
            .spawn(move || Runner::default().run(&queue))?;
        Ok(Self { jobs, folder })
    }

    /// Has `shadow` do everything that `live` does.
    #[must_use]
    pub fn watch(&self, live: &Provider, shadow: &Provider) -> Arc<dyn Observer> {
        Arc::new(Watch {
            jobs: self.jobs.clone(),
            subject: Arc::new(Subject {
                header: Header::of(live, None),
                shadow: shadow.clone(),
                path: file(&self.folder, live.digest(), shadow.digest()),
                passed_over: AtomicU64::new(0),
            }),
        })
    }
}

#[derive(Debug)]
struct Watch {
    jobs: SyncSender<Job>,
    subject: Arc<Subject>,
}

impl Observer for Watch {
    fn wants(&self, _export: &'static str, _faulted: bool) -> bool {
        true
    }

    fn observe(&self, recorded: Recorded) {
        let subject = self.subject.clone();
        if self.jobs.try_send(Job { subject, recorded }).is_err() {
            self.subject.passed_over.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What was said to a leg so far.
struct Leg {
    subject: Arc<Subject>,
    invocations: Vec<Recorded>,
    last: Instant,
    compared: bool,
}

#[derive(Default)]
struct Runner {
    legs: BTreeMap<u64, Leg>,
}

impl Runner {
    fn run(mut self, queue: &Receiver<Job>) {
        loop {
            match queue.recv_timeout(LEG_QUIET) {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for leg in self.legs.values_mut().filter(|leg| leg.last.elapsed() >= LEG_QUIET) {
                leg.compare();
            }
            self.legs.retain(|_, leg| leg.last.elapsed() < LEG_QUIET);
        }
    }

    fn take(&mut self, Job { subject, recorded }: Job) {
        let Some(id) = recorded.leg else {
            compare(&subject, vec![recorded]);
            return;
        };
        if recorded.export == "media.leg" && self.legs.len() < LEGS_MAX {
            let leg = Leg {
                subject,
                invocations: vec![recorded],
                last: Instant::now(),
                compared: false,
            };
            // A leg that was opened again after a fault: what it said before is compared first.
            if let Some(mut before) = self.legs.insert(id, leg) {
                before.compare();
            }
        } else if let Some(leg) = self.legs.get_mut(&id) {
            leg.last = Instant::now();
            if !leg.compared {
                leg.invocations.push(recorded);
                if leg.invocations.len() >= LEG_INVOCATIONS_MAX {
                    leg.compare();
                }
            }
        }
    }
}

impl Leg {
    fn compare(&mut self) {
        if !self.compared {
            self.compared = true;
            compare(&self.subject, std::mem::take(&mut self.invocations));
        }
    }
}

fn compare(subject: &Subject, invocations: Vec<Recorded>) {
    let recording = Recording {
        header: subject.header.clone(),
        invocations,
    };
    let mut lines = Vec::new();
    for replayed in replay(&subject.shadow, &recording) {
        let difference = match replayed.outcome {
            ReplayOutcome::Differs { path, recorded, now } => Some(Difference {
                path,
                live: recorded,
                shadow: now,
            }),
            ReplayOutcome::Same => None,
            ReplayOutcome::NotCompared => continue,
        };
        let compared = Compared {
            export: replayed.export,
            difference,
            passed_over: subject.passed_over.load(Ordering::Relaxed),
        };
        if let Ok(line) = serde_json::to_vec(&compared) {
            lines.extend(line);
            lines.push(b'\n');
        }
    }
    if let Err(error) = append(&subject.path, &lines) {
        tracing::error!(%error, "cannot write down what a shadow did");
    }
}

fn append(path: &Path, lines: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Numbers of callers may be in it.
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    if file.metadata()?.len() < FILE_BYTES_MAX {
        file.write_all(lines)?;
    }
    Ok(())
}
