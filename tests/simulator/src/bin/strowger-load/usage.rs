//! What processes use of the machine, from Linux's `/proc`.

use std::{fs, time::Duration};

use anyhow::{Context, bail};
use tokio::time::Instant;

/// The unit of times in `/proc/stat`; Linux has it for programs on every platform whatever the kernel's own tick is.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of a process so far, in the kernel's accounting of its threads: exact to the scheduler's last look, where
/// the ticks of `/proc/PID/stat` are too coarse for one call. Threads that have ended are not in it.
pub(crate) fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let mut total_ns = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the two looks.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        total_ns += text
            .split_whitespace()
            .next()
            .and_then(|run| run.parse::<u64>().ok())
            .context("schedstat has no run time")?;
    }
    Ok(Duration::from_nanos(total_ns))
}

/// Memory that a process occupies, in KiB. A page that it has mapped many times, as the image from which all instances of a
/// component are made, counts once.
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("process {pid} does not tell its memory"))
}

/// Time that all processors together were busy, including what the host took away.
fn machine_time() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u32> = line.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else {
        bail!("/proc/stat is not as expected");
    };
    Ok(TICK * (user + nice + system + irq + softirq + steal))
}

/// The present state of the gateway, of this process and of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    at: Instant,
    gateway: Duration,
    generator: Duration,
    machine: Duration,
}

/// Who used how many cores between two readings.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Usage {
    pub(crate) seconds: f64,
    pub(crate) gateway_cores: f64,
    pub(crate) generator_cores: f64,
    /// Everything else on the machine: what disturbed the measurement.
    pub(crate) others_cores: f64,
}

impl Reading {
    pub(crate) fn take(gateway: u32) -> anyhow::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            gateway: processor_time(gateway)?,
            generator: processor_time(std::process::id())?,
            machine: machine_time()?,
        })
    }

    pub(crate) fn since(&self, earlier: &Self) -> Usage {
        let seconds = (self.at - earlier.at).as_secs_f64();
        let cores = |now: Duration, before: Duration| now.saturating_sub(before).as_secs_f64() / seconds;
        let gateway_cores = cores(self.gateway, earlier.gateway);
        let generator_cores = cores(self.generator, earlier.generator);
        Usage {
            seconds,
            gateway_cores,
            generator_cores,
            others_cores: (cores(self.machine, earlier.machine) - gateway_cores - generator_cores).max(0.0),
        }
    }
}

/// Model and number of the processors.
pub(crate) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(':').nth(1))
        .map_or("unknown processor", str::trim);
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count} x {model}")
}
