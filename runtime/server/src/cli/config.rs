//! `strowger config check`: the settings, where each came from, and whether a gateway could start with them.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use tokio::net::TcpListener;

use crate::settings::{Explained, Flags, Settings};
use crate::store::Store;

/// What came of looking at one thing.
enum Finding {
    Fine(String),
    /// It works, and the operator may want to know.
    Note(String),
    /// The gateway would not start, or would not work.
    Wrong(String),
}

use Finding::{Fine, Note, Wrong};

/// Shows and tries everything; writes nothing.
pub(super) async fn check(flags: Flags) -> anyhow::Result<ExitCode> {
    let (settings, explained) = Settings::explained(&flags)?;
    let widest = explained.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    for Explained {
        name, value, origin, ..
    } in &explained
    {
        match origin {
            Some(origin) => say!("{name:widest$}  {value}  ({origin})"),
            None => say!("{name:widest$}  {value}  (default)"),
        }
    }
    say!("");
    let mut findings = vec![data_dir(&settings.data_dir), key(&settings)];
    findings.push(database(&settings).await);
    findings.push(port("listen", settings.listen).await);
    if let Some(address) = settings.metrics_listen {
        findings.push(port("metrics_listen", address).await);
    }
    findings.push(public_url(&settings));
    findings.extend(settings.providers.iter().map(|folder| providers(folder)));
    let mut wrong = 0;
    for finding in findings {
        match finding {
            Fine(text) => say!("ok     {text}"),
            Note(text) => say!("note   {text}"),
            Wrong(text) => {
                wrong += 1;
                say!("wrong  {text}");
            }
        }
    }
    say!("");
    Ok(if wrong == 0 {
        say!("The gateway can start with these settings.");
        ExitCode::SUCCESS
    } else {
        say!("The gateway cannot work with these settings: {wrong} to mend.");
        ExitCode::from(2)
    })
}

fn data_dir(folder: &Path) -> Finding {
    let shown = folder.display();
    let existing = folder.ancestors().find(|path| path.exists());
    let writable = existing.is_some_and(|path| {
        path.is_dir() && rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
    });
    match (existing == Some(folder), writable) {
        (true, true) => Fine(format!("data_dir: {shown} can be written")),
        (false, true) => Note(format!(
            "data_dir: {shown} does not exist yet; it is made at the first start"
        )),
        (_, false) => Wrong(format!(
            "data_dir: this user cannot write to {shown}; give it permission, or name another folder with --data-dir"
        )),
    }
}

fn key(settings: &Settings) -> Finding {
    match settings.present_keyring() {
        Ok(Some(keyring)) => Fine(format!("the encryption key is there (id {})", keyring.current_id())),
        Ok(None) => Note("there is no encryption key yet; it is made at the first start".to_owned()),
        Err(error) => Wrong(error.to_string()),
    }
}

async fn database(settings: &Settings) -> Finding {
    match Store::probe(&settings.database_url).await {
        Ok(true) => Fine("the database answers".to_owned()),
        Ok(false) => Note("there is no database yet; it is made at the first start".to_owned()),
        Err(error) => Wrong(format!("database_url: {error}")),
    }
}

async fn port(setting: &str, address: std::net::SocketAddr) -> Finding {
    match TcpListener::bind(address).await {
        Ok(_) => Fine(format!("{setting}: {address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Note(format!(
            "{setting}: something listens on {address} already; a gateway that runs, perhaps"
        )),
        Err(error) => Wrong(format!("{setting}: cannot listen on {address}: {error}")),
    }
}

fn public_url(settings: &Settings) -> Finding {
    let url = settings.public_url(settings.listen);
    if url.as_str().starts_with("https://") {
        Fine(format!("carriers reach this server at {url}"))
    } else {
        Note(format!(
            "carriers cannot reach {url}; set public_base_url to the https URL of this server before you add numbers"
        ))
    }
}

fn providers(folder: &Path) -> Finding {
    let shown = folder.display();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return Wrong(format!("providers: cannot read {shown}: {error}")),
    };
    let components = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "wasm"))
        .count();
    match components {
        0 => Note(format!("providers: there is no component (*.wasm) in {shown}")),
        count => Fine(format!("providers: {count} components in {shown}")),
    }
}
