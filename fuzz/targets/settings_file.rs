//! The settings file, and settings on the command line.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use strowger_server::settings::{Flags, Settings};

fuzz_target!(|input: (&str, &str)| {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("there is room for a file"));
    let (file, listen) = input;
    let path = folder.path().join("strowger.toml");
    std::fs::write(&path, file).expect("the file is written");
    let flags = Flags::default()
        .config(Some(path))
        .set("data_dir", Some(folder.path().display()))
        .set("listen", (!listen.is_empty()).then_some(listen));
    if let Err(error) = Settings::load(&flags) {
        assert!(!error.to_string().is_empty());
    }
});
