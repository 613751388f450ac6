//! Writes the stereo recordings of all calls, on one thread of its own.
//!
//! Sessions hand over a second of samples at a time and never wait: when the disk is so slow that the queue is full, the
//! recording ends there and says so, and the call goes on.

use std::collections::HashMap;
use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use hound::{SampleFormat, WavSpec, WavWriter};
use tokio::sync::oneshot;

/// Seconds of calls that wait for the disk.
const QUEUE_LENGTH: usize = 4_096;

/// What the thread is asked to do.
enum Command {
    Samples {
        path: PathBuf,
        rate_hz: u32,
        stereo: Vec<i16>,
    },
    Close {
        path: PathBuf,
        done: oneshot::Sender<bool>,
    },
}

/// The way to the thread. Cloning shares it; the thread ends with the last clone.
#[derive(Debug, Clone)]
pub struct RecordingWriter {
    commands: SyncSender<Command>,
}

impl RecordingWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the machine has no thread left.
    pub fn start() -> std::io::Result<Self> {
        let (commands, queue) = sync_channel(QUEUE_LENGTH);
        std::thread::Builder::new()
            .name("recordings".to_owned())
            .spawn(move || write_all(&queue))?;
        Ok(Self { commands })
    }

    /// A recording that will be at `path` once it is closed.
    #[must_use]
    pub fn open(&self, path: PathBuf, rate_hz: u32) -> Recording {
        Recording {
            writer: self.clone(),
            path,
            rate_hz,
            broken: false,
            closed: false,
        }
    }
}

/// One recording in progress.
#[derive(Debug)]
pub struct Recording {
    writer: RecordingWriter,
    path: PathBuf,
    rate_hz: u32,
    broken: bool,
    closed: bool,
}

impl Recording {
    /// Hands over interleaved samples, left the caller, right the agent.
    pub fn push(&mut self, stereo: Vec<i16>) {
        if self.broken || stereo.is_empty() {
            return;
        }
        let command = Command::Samples {
            path: self.path.clone(),
            rate_hz: self.rate_hz,
            stereo,
        };
        if let Err(error) = self.writer.commands.try_send(command) {
            self.broken = true;
            let why = if matches!(error, TrySendError::Full(_)) {
                "the disk does not keep up"
            } else {
                "its writer is gone"
            };
            tracing::error!(why, "the recording ends here");
        }
    }

    /// Ends the recording. Its file, if there is one.
    pub async fn close(mut self) -> Option<PathBuf> {
        self.closed = true;
        let (done, written) = oneshot::channel();
        let commands = self.writer.commands.clone();
        let command = Command::Close {
            path: self.path.clone(),
            done,
        };
        // The queue may be full for a moment; the end of a call may wait for the disk, its media no more.
        let sent = tokio::task::spawn_blocking(move || commands.send(command).is_ok())
            .await
            .unwrap_or(false);
        (sent && written.await.unwrap_or(false)).then(|| self.path.clone())
    }
}

/// A call that ends without closing its recording leaves a file that can be read all the same.
impl Drop for Recording {
    fn drop(&mut self) {
        if !self.closed {
            let (done, _) = oneshot::channel();
            if self
                .writer
                .commands
                .try_send(Command::Close {
                    path: self.path.clone(),
                    done,
                })
                .is_err()
            {
                tracing::error!("a recording was left open");
            }
        }
    }
}

type Open = WavWriter<BufWriter<fs::File>>;

fn write_all(queue: &Receiver<Command>) {
    let mut open: HashMap<PathBuf, Open> = HashMap::new();
    while let Ok(command) = queue.recv() {
        match command {
            Command::Samples { path, rate_hz, stereo } => {
                if let Err(error) = append(&mut open, &path, rate_hz, &stereo) {
                    open.remove(&path);
                    tracing::error!(%error, "cannot write a recording");
                }
            }
            Command::Close { path, done } => {
                let written = open.remove(&path).is_some_and(|file| match finish(file, &path) {
                    Ok(()) => true,
                    Err(error) => {
                        tracing::error!(%error, "cannot finish a recording");
                        false
                    }
                });
                // Whoever asked may be gone; the file is there all the same.
                let _ = done.send(written);
            }
        }
    }
}

fn partial(path: &Path) -> PathBuf {
    path.with_extension("wav.partial")
}

fn append(open: &mut HashMap<PathBuf, Open>, path: &Path, rate_hz: u32, stereo: &[i16]) -> Result<(), hound::Error> {
    if !open.contains_key(path) {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let spec = WavSpec {
            channels: 2,
            sample_rate: rate_hz,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        open.insert(path.to_owned(), WavWriter::create(partial(path), spec)?);
    }
    let Some(file) = open.get_mut(path) else { return Ok(()) };
    let mut samples = file.get_i16_writer(u32::try_from(stereo.len()).unwrap_or(u32::MAX));
    for &sample in stereo {
        samples.write_sample(sample);
    }
    samples.flush()
}

fn finish(file: Open, path: &Path) -> Result<(), hound::Error> {
    file.finalize()?;
    fs::rename(partial(path), path)?;
    Ok(())
}
