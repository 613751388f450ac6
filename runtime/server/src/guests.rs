//! Threads for guest code that may take its time, of lower priority than those that serve sockets.
//!
//! What runs here only gets the processor time that calls in progress leave over, so a guest that uses all of its bounds in
//! every invocation delays its own call, and those that it shares a thread with here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

/// Guest invocations off the media path that run at once. They are short; more at once would only take processor time from
/// each other.
const GUESTS_AT_ONCE: usize = 4;
/// Webhooks are answered in milliseconds, frames must be on time.
const GUEST_NICENESS: i32 = 5;
/// Work that waits; more waits for room here.
const QUEUE_LENGTH: usize = 64;

type Job = Box<dyn FnOnce() + Send>;

/// Some threads. Cloning shares them; they end with the last clone.
#[derive(Debug, Clone)]
pub struct GuestThreads {
    jobs: mpsc::Sender<Job>,
}

impl GuestThreads {
    /// Starts threads. `niceness` is from 0, that of the process, to 19.
    ///
    /// # Errors
    /// When the machine has no thread left.
    pub fn start(name: &str, threads: usize, niceness: i32) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>(QUEUE_LENGTH);
        let queue = Arc::new(Mutex::new(queue));
        for n in 0..threads {
            let queue = queue.clone();
            std::thread::Builder::new().name(format!("{name}-{n}")).spawn(move || {
                // On Linux this is about the calling thread alone. A thread without it is as good as any other.
                if let Err(error) = rustix::process::setpriority_process(None, niceness) {
                    tracing::warn!(%error, "guests run with the priority of calls");
                }
                work(&queue);
            })?;
        }
        Ok(Self { jobs })
    }

    /// Those for everything but media.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn off_media() -> std::io::Result<Self> {
        Self::start("guest", GUESTS_AT_ONCE, GUEST_NICENESS)
    }

    /// Runs something on one of them, in turn. None when it panicked, or the process ends.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, result) = oneshot::channel();
        let span = tracing::Span::current();
        // Whoever asked may be gone; then nobody wants the result.
        let job: Job = Box::new(move || drop(done.send(span.in_scope(work))));
        self.jobs.send(job).await.ok()?;
        result.await.ok()
    }
}

fn work(queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = job else { return };
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("an invocation panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_elsewhere_and_a_panic_costs_only_its_own() {
        let threads = GuestThreads::start("test", 1, 5).unwrap();
        assert_eq!(threads.run(|| 1 + 1).await, Some(2));
        assert_eq!(threads.run(|| -> i32 { panic!("on purpose") }).await, None);
        let name = threads.run(|| std::thread::current().name().map(str::to_owned)).await;
        assert_eq!(name, Some(Some("test-0".to_owned())));
        let niceness = threads
            .run(|| rustix::process::getpriority_process(None).unwrap())
            .await;
        assert!(niceness.unwrap() >= 5, "{niceness:?}");
    }
}
