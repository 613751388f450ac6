//! What one call's provider was asked and what each time cost: the account that every call keeps.
//!
//! Invocations off the media path are noted one by one. They leave by a bounded queue to a task that writes them down; when it
//! is full, or the call has had its share, they are counted and nothing else. Frames are summed up where they pass, in a few
//! atomic numbers, and written down when the call is over.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strowger_host::tally::{Frame, Spent};
use strowger_host::{Provider, Tally};
use tokio::sync::mpsc;

use crate::store::{FrameTimes, InvocationRecord};

/// Invocations that wait for the database. An operation has at most 16 rounds.
const QUEUE_LENGTH: usize = 128;
/// Invocations of a call that are kept, its frames aside: ten times what a call with transfers has.
const KEPT_MAX: u64 = 500;
/// Invocations that are written at once.
const BATCH: usize = 32;

const FRAMES: [&str; 2] = ["media.deserialize-frame", "media.serialize-frame"];

/// The account of one call.
#[derive(Debug)]
pub struct CallCosts {
    version: String,
    entries: mpsc::Sender<Entry>,
    /// Until somebody writes: what comes before the call has its record waits.
    queue: Mutex<Option<mpsc::Receiver<Entry>>>,
    noted: AtomicU64,
    dropped: AtomicU64,
    frames: [Frames; 2],
}

#[derive(Debug)]
enum Entry {
    Spent(Spent),
    /// The call is over.
    End,
}

impl CallCosts {
    /// The account of a call that this version serves.
    #[must_use]
    pub fn open(provider: &Provider) -> Arc<Self> {
        Self::of_version(provider.digest())
    }

    fn of_version(digest: &str) -> Arc<Self> {
        let (entries, queue) = mpsc::channel(QUEUE_LENGTH);
        Arc::new(Self {
            version: digest.to_owned(),
            entries,
            queue: Mutex::new(Some(queue)),
            noted: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            frames: Default::default(),
        })
    }

    /// The provider, on this account.
    #[must_use]
    pub fn charge(self: &Arc<Self>, provider: &Provider) -> Provider {
        provider.tallied(self.clone())
    }

    /// Writes invocations down as they come, in batches, until [`Self::end`]. Only the first who asks does.
    pub async fn write<F: Future<Output = ()>>(&self, write: impl Fn(Vec<InvocationRecord>) -> F) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut queue) = queue else { return };
        let (mut sequence, mut batch, mut over) = (0, Vec::new(), false);
        while !over && queue.recv_many(&mut batch, BATCH).await > 0 {
            let mut records = Vec::with_capacity(batch.len());
            for entry in batch.drain(..) {
                match entry {
                    Entry::Spent(spent) => {
                        sequence += 1;
                        records.push(self.record(sequence, &spent));
                    }
                    Entry::End => over = true,
                }
            }
            if over {
                for (export, frames) in FRAMES.into_iter().zip(&self.frames) {
                    if let Some(record) = frames.record(sequence + 1, export, &self.version) {
                        sequence += 1;
                        records.push(record);
                    }
                }
            }
            if !records.is_empty() {
                write(records).await;
            }
        }
    }

    /// The call is over: what comes now belongs to nobody.
    pub async fn end(&self) {
        // Without a writer there is nobody to wait for.
        drop(self.entries.send(Entry::End).await);
    }

    /// How many invocations were not kept.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn record(&self, sequence: u64, spent: &Spent) -> InvocationRecord {
        InvocationRecord {
            sequence,
            export: spent.export.to_owned(),
            version: self.version.clone(),
            at: i64::try_from(spent.at_ms).unwrap_or(i64::MAX),
            round: spent.round,
            count: 1,
            faults: 0,
            cpu_ns: nanoseconds(spent.cpu),
            wall_ns: nanoseconds(spent.wall),
            frames: None,
            memory_bytes: Some(spent.memory_bytes as u64),
            outcome: spent.outcome.to_owned(),
        }
    }
}

impl Tally for CallCosts {
    fn invocation(&self, spent: Spent) {
        if spent.export == "media.leg" {
            let opened = i64::try_from(spent.at_ms).unwrap_or(i64::MAX);
            for frames in &self.frames {
                frames.since_ms.store(opened, Ordering::Relaxed);
            }
        }
        let may = self.noted.fetch_add(1, Ordering::Relaxed) < KEPT_MAX;
        let taken = may && {
            match self.entries.try_send(Entry::Spent(spent)) {
                Ok(()) => true,
                // After the end, which is nobody's loss.
                Err(mpsc::error::TrySendError::Closed(_)) => return,
                Err(mpsc::error::TrySendError::Full(_)) => false,
            }
        };
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn frame(&self, frame: Frame) {
        if let Some(at) = FRAMES.iter().position(|export| *export == frame.export) {
            self.frames[at].add(frame);
        }
    }
}

/// Buckets of a quarter of an octave each, from 0 to beyond a minute.
const BUCKETS: usize = 4 * 36;

/// All frames of one direction.
#[derive(Debug)]
struct Frames {
    /// Unix milliseconds at which their leg was opened.
    since_ms: AtomicI64,
    count: AtomicU64,
    faults: AtomicU64,
    cpu_ns: AtomicU64,
    wall_ns: AtomicU64,
    max_ns: AtomicU64,
    buckets: [AtomicU32; BUCKETS],
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            since_ms: AtomicI64::new(0),
            count: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            cpu_ns: AtomicU64::new(0),
            wall_ns: AtomicU64::new(0),
            max_ns: AtomicU64::new(0),
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }
}

impl Frames {
    fn add(&self, frame: Frame) {
        let wall_ns = nanoseconds(frame.wall);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.faults.fetch_add(u64::from(frame.faulted), Ordering::Relaxed);
        self.cpu_ns.fetch_add(nanoseconds(frame.cpu), Ordering::Relaxed);
        self.wall_ns.fetch_add(wall_ns, Ordering::Relaxed);
        self.max_ns.fetch_max(wall_ns, Ordering::Relaxed);
        self.buckets[bucket(wall_ns)].fetch_add(1, Ordering::Relaxed);
    }

    fn record(&self, sequence: u64, export: &str, version: &str) -> Option<InvocationRecord> {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (count, faults) = (read(&self.count), read(&self.faults));
        let max_ns = read(&self.max_ns);
        (count > 0).then(|| InvocationRecord {
            sequence,
            export: export.to_owned(),
            version: version.to_owned(),
            at: self.since_ms.load(Ordering::Relaxed),
            round: 0,
            count,
            faults,
            cpu_ns: read(&self.cpu_ns),
            wall_ns: read(&self.wall_ns),
            frames: Some(FrameTimes {
                p50_ns: self.quantile(count.div_ceil(2)).min(max_ns),
                p99_ns: self.quantile((count * 99).div_ceil(100)).min(max_ns),
                max_ns,
            }),
            memory_bytes: None,
            outcome: if faults == 0 { "done" } else { "faulted" }.to_owned(),
        })
    }

    /// What `rank` of the frames do not exceed.
    fn quantile(&self, rank: u64) -> u64 {
        let mut seen = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            seen += u64::from(bucket.load(Ordering::Relaxed));
            if seen >= rank {
                return upper_ns(at);
            }
        }
        u64::MAX
    }
}

/// By the highest bit and the two after it. Nothing is quicker than four nanoseconds.
fn bucket(ns: u64) -> usize {
    let ns = ns.max(4);
    let octave = ns.ilog2();
    let quarter = (ns >> (octave - 2)) & 3;
    (((octave - 2) * 4) as usize + quarter as usize).min(BUCKETS - 1)
}

/// The largest time in a bucket: at most a fifth more than any other in it.
fn upper_ns(bucket: usize) -> u64 {
    let (octave, quarter) = (bucket as u32 / 4 + 2, bucket as u64 % 4);
    ((5 + quarter) << (octave - 2)) - 1
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(export: &'static str) -> Spent {
        Spent {
            export,
            at_ms: 1,
            round: 0,
            cpu: Duration::from_micros(60),
            wall: Duration::from_micros(80),
            memory_bytes: 1 << 20,
            outcome: "done",
        }
    }

    async fn written(costs: &CallCosts) -> Vec<InvocationRecord> {
        let records = Mutex::new(Vec::new());
        costs
            .write(|batch| {
                records.lock().unwrap().extend(batch);
                std::future::ready(())
            })
            .await;
        records.into_inner().unwrap()
    }

    #[test]
    fn buckets_follow_each_other() {
        let mut last = 0;
        for ns in (0..100_000_u64).chain([1 << 20, 1 << 37, u64::MAX]) {
            let bucket = bucket(ns);
            assert!(bucket == last || bucket == last + 1 || ns >= 100_000, "{ns}");
            if bucket < BUCKETS - 1 {
                let upper = upper_ns(bucket);
                assert!(ns <= upper && (ns < 16 || upper - ns <= ns / 4), "{ns}: {upper}");
            }
            last = bucket;
        }
    }

    #[tokio::test]
    async fn invocations_come_first_and_frames_last() {
        let costs = CallCosts::of_version("v");
        costs.invocation(spent("webhook.verify-signature"));
        costs.invocation(spent("answer.answer-markup"));
        for n in 1..=1_000 {
            costs.frame(Frame {
                export: "media.serialize-frame",
                wall: Duration::from_nanos(n * 10),
                cpu: Duration::ZERO,
                faulted: n == 7,
            });
        }
        costs.end().await;
        costs.invocation(spent("calling.fetch-cost"));
        let records = written(&costs).await;
        let exports: Vec<_> = records
            .iter()
            .map(|record| (record.sequence, record.export.as_str(), record.count))
            .collect();
        assert_eq!(
            exports,
            [
                (1, "webhook.verify-signature", 1),
                (2, "answer.answer-markup", 1),
                (3, "calling.fetch-cost", 1),
                (4, "media.serialize-frame", 1_000)
            ]
        );
        let frames = records[3].frames.unwrap();
        assert_eq!((frames.max_ns, records[3].faults), (10_000, 1));
        assert!((5_000..=6_250).contains(&frames.p50_ns), "{frames:?}");
        assert!((9_900..=10_000).contains(&frames.p99_ns), "{frames:?}");
    }

    #[tokio::test]
    async fn a_call_that_asks_for_ever_keeps_some_and_counts_the_rest() {
        let costs = CallCosts::of_version("v");
        for _ in 0..QUEUE_LENGTH + 10 {
            costs.invocation(spent("a"));
        }
        assert_eq!(costs.dropped(), 10, "nobody writes yet");
        let writing = tokio::spawn({
            let costs = costs.clone();
            async move { written(&costs).await.len() as u64 }
        });
        while costs.noted.load(Ordering::Relaxed) < 3 * KEPT_MAX {
            costs.invocation(spent("a"));
            tokio::task::yield_now().await;
        }
        costs.end().await;
        let kept = writing.await.unwrap();
        assert!(kept <= KEPT_MAX);
        assert_eq!(kept + costs.dropped(), costs.noted.load(Ordering::Relaxed));
        // Whoever comes after the end is not told, and not counted.
        costs.invocation(spent("a"));
    }
}
