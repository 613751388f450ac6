//! Shows what a shadow does otherwise than the live version, while the gateway writes it down.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::cli::shortened;
use crate::invocations::shadow::{Compared, Difference};

/// How often the file is looked at: a person reads along.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What was compared, for the last line.
#[derive(Debug, Default)]
pub(super) struct Tally {
    same: u64,
    differ: BTreeMap<String, u64>,
    passed_over: u64,
}

impl Tally {
    fn count(&mut self, compared: &Compared) {
        self.passed_over = self.passed_over.max(compared.passed_over);
        match compared.difference {
            None => self.same += 1,
            Some(_) => *self.differ.entry(compared.export.clone()).or_default() += 1,
        }
    }

    pub(super) fn show(&self) {
        let differ: u64 = self.differ.values().sum();
        say!(
            "{} invocations compared: {} the same, {differ} different",
            self.same + differ,
            self.same
        );
        for (export, count) in &self.differ {
            say!("  {export}: {count}");
        }
        if self.passed_over > 0 {
            say!("({} were passed over: the shadow did not keep up)", self.passed_over);
        }
    }
}

/// Prints every difference that is added to the file, until it is interrupted.
pub(super) async fn follow(path: &Path) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let mut read = std::fs::metadata(path).map_or(0, |file| file.len());
    let mut unfinished = Vec::new();
    loop {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("cannot wait for an interruption")?;
                return Ok(tally);
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let Ok(mut file) = tokio::fs::File::open(path).await else {
            continue;
        };
        file.seek(std::io::SeekFrom::Start(read)).await?;
        read += file.read_to_end(&mut unfinished).await? as u64;
        while let Some(end) = unfinished.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = unfinished.drain(..=end).collect();
            if let Ok(compared) = serde_json::from_slice::<Compared>(&line) {
                tally.count(&compared);
                if let Some(difference) = &compared.difference {
                    show(&compared.export, difference);
                }
            }
        }
    }
}

fn show(export: &str, difference: &Difference) {
    say!("{export}: {}", difference.path);
    say!("  live    {}", shortened(&difference.live));
    say!("  shadow  {}", shortened(&difference.shadow));
}
