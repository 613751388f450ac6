//! Shows what a provider does, from the recordings that the gateway writes.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use serde_json::Value;
use strowger_host::recording::Recorded;

/// Longest input or output that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 300;

/// Follows the recordings of calls and faults.
pub(super) struct Show {
    folder: PathBuf,
    /// How far each file has been read, and the beginning of a line that was not complete.
    read: BTreeMap<PathBuf, (u64, String)>,
    caller_frames: usize,
    agent_frames: usize,
}

impl Show {
    /// Below this folder there are `calls/` and `faults/`.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            read: BTreeMap::new(),
            caller_frames: 0,
            agent_frames: 0,
        }
    }

    /// Shows what is new.
    pub(super) fn look(&mut self) {
        for kind in ["calls", "faults"] {
            let entries = std::fs::read_dir(self.folder.join(kind)).into_iter().flatten();
            let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            files.sort();
            for file in files {
                self.follow(file, kind == "faults");
            }
        }
    }

    /// Tells how many frames of audio there were, which are not shown one by one.
    pub(super) fn frames(&mut self) {
        say!(
            "  media: {} frames of the caller, {} of the agent",
            std::mem::take(&mut self.caller_frames),
            std::mem::take(&mut self.agent_frames)
        );
    }

    fn follow(&mut self, file: PathBuf, faults: bool) {
        let (mut offset, mut rest) = self.read.remove(&file).unwrap_or_default();
        if let Ok(mut opened) = std::fs::File::open(&file)
            && opened.seek(SeekFrom::Start(offset)).is_ok()
        {
            let mut bytes = Vec::new();
            if let Ok(count) = opened.read_to_end(&mut bytes) {
                offset += count as u64;
                rest.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        while let Some((line, after)) = rest.split_once('\n') {
            // The first line of a file is its header.
            if let Ok(recorded) = serde_json::from_str::<Recorded>(line)
                && !(faults && recorded.fault.is_none())
            {
                self.invocation(&recorded);
            }
            rest = after.to_owned();
        }
        self.read.insert(file, (offset, rest));
    }

    fn invocation(&mut self, recorded: &Recorded) {
        if recorded.fault.is_none() {
            let is_audio = |value: Option<&Value>| value.is_some_and(|value| value.get("audio").is_some());
            match recorded.export.as_str() {
                "media.deserialize-frame" => {
                    let events = recorded.output.as_ref().and_then(Value::as_array);
                    if events
                        .is_some_and(|events| !events.is_empty() && events.iter().all(|event| is_audio(Some(event))))
                    {
                        self.caller_frames += 1;
                        return;
                    }
                }
                "media.serialize-frame" if is_audio(recorded.input.get("frame")) => {
                    self.agent_frames += 1;
                    return;
                }
                // The same for every export of a call, before it.
                "descriptor.config-loader" => return,
                _ => {}
            }
        }
        say!("  {}", recorded.export);
        say!("    in   {}", brief(&without_config(&recorded.input)));
        if let Some(output) = &recorded.output {
            say!("    out  {}", brief(output));
        }
        if let Some(fault) = &recorded.fault {
            say!("    FAULT ({}) {}", fault.code, fault.message);
        }
    }
}

/// What tells one invocation from another.
fn without_config(input: &Value) -> Value {
    let mut input = input.clone();
    if let Some(input) = input.as_object_mut() {
        input.remove("config");
        if input.get("replies") == Some(&serde_json::json!([])) {
            input.remove("replies");
        }
        if let Some(call) = input.get_mut("call") {
            *call = call.get("provider-call-id").cloned().unwrap_or_default();
        }
    }
    input
}

fn brief(value: &Value) -> String {
    clipped(&value.to_string())
}

/// The beginning of a text.
pub(super) fn clipped(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
