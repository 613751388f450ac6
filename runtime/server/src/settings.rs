//! What the operator decides: where data lives, what is public, what is allowed.
//!
//! A setting has one name. It is looked for in the command line, then in the environment (`STROWGER_` and the name in
//! capitals), then in a TOML file (the same name, flat). Whatever is wrong is told with the setting, the place that it came
//! from, and what to write instead. This is the one module that reads the environment.

mod explain;
mod key;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use url::{Host, Url};

pub use self::explain::Explained;
use crate::admission::{CallLimits, Prefix};
use crate::budget::BudgetLimits;
use crate::egress::{HostGrant, IpNetwork, Route};
use crate::keyring::KeyError;
use crate::signature::TrustedSigner;

/// The most bytes that a webhook's body may have: what the contract promises to providers.
pub const WEBHOOK_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Every setting, and what it is for.
const NAMES: [(&str, &str); 32] = [
    ("data_dir", "directory for the database, keys, recordings and caches"),
    ("listen", "address and port to listen on"),
    ("metrics_listen", "address and port where Prometheus may scrape metrics"),
    ("public_base_url", "URL under which carriers reach this server"),
    ("database_url", "database, if not the one in the data directory"),
    ("providers", "folders with provider components"),
    ("allow_networks", "private networks that carriers' APIs may be in"),
    ("egress_routes", "hosts that another server stands in for"),
    ("calls_max", "calls at once"),
    (
        "tenant_cpu_ms_per_s",
        "milliseconds of processor time in each second for the providers of one organization",
    ),
    (
        "tenant_invocations_per_s",
        "invocations in each second of the providers of one organization",
    ),
    (
        "tenant_effects_per_s",
        "requests and kept values in each second of the providers of one organization",
    ),
    (
        "tenant_instances_max",
        "instances at once of the providers of one organization; each of its calls has one",
    ),
    ("tenant_keys_max", "values that the providers of one organization keep"),
    (
        "tenant_kept_bytes_max",
        "bytes of what the providers of one organization keep",
    ),
    ("tenant_calls_max", "calls at once of one organization"),
    ("tenant_number_calls_max", "calls at once over one number"),
    ("tenant_calls_per_s", "calls in each second of one organization"),
    ("tenant_number_calls_per_s", "calls in each second over one number"),
    (
        "tenant_provider_calls_per_s",
        "calls in each second of one organization over one provider",
    ),
    (
        "denied_destinations",
        "beginnings of numbers that are not called, in place of the built-in list; `none` denies nothing",
    ),
    (
        "call_lease_s",
        "seconds after which the lines of a server that vanished are free for others on the same database",
    ),
    ("webhook_body_bytes_max", "bytes of a webhook's body"),
    ("call_duration_max_s", "seconds of a call"),
    (
        "shutdown_grace_s",
        "seconds that calls may go on after a request to stop",
    ),
    (
        "event_lease_s",
        "seconds after which another server takes over an event socket from one that vanished",
    ),
    ("recording", "whether agents may record calls"),
    (
        "trusted_signers",
        "whose signatures of provider components count, each as NAME=KEY",
    ),
    (
        "require_signature",
        "whether a provider component needs the signature of a trusted signer to be installed",
    ),
    (
        "record_invocations",
        "whether everything that providers do for a call is recorded",
    ),
    (
        "encryption_key_file",
        "file with the keys that protect stored credentials",
    ),
    (
        "encryption_key_command",
        "command that prints the keys that protect stored credentials",
    ),
];

/// Read from the environment alone: a key in a command line or a settings file is soon in a backup or a process list.
const KEY_VARIABLE: &str = "STROWGER_ENCRYPTION_KEY";
/// The database in the data directory.
const DATABASE_FILE: &str = "strowger.db";
const CONFIG_VARIABLE: &str = "STROWGER_CONFIG";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag(&'static str),
    /// An environment variable.
    Variable(String),
    /// A settings file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{}", name.replace('_', "-")),
            Self::Variable(name) => write!(f, "${name}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What is wrong with the settings. Every variant names the setting, the cause and the cure.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// A value that cannot be.
    #[error("{setting} (from {origin}): {problem}")]
    Invalid {
        /// Its name.
        setting: &'static str,
        /// Where it came from.
        origin: Origin,
        /// What is wrong and what to write.
        problem: String,
    },
    /// A name that is no setting.
    #[error("{} sets `{name}`, which is not a setting; the settings are {known}", path.display())]
    Unknown {
        /// The settings file.
        path: PathBuf,
        /// The name in it.
        name: String,
        /// All names there are.
        known: String,
    },
    /// A setting without which the others make no sense.
    #[error("{setting} is not set: {cure}")]
    Missing {
        /// Its name.
        setting: &'static str,
        /// Why it is needed, and how to set it.
        cure: String,
    },
    /// The settings file cannot be read.
    #[error("cannot read the settings file {}; check its path and permissions", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The settings file is not TOML.
    #[error("the settings file {} is not valid TOML: {problem}", path.display())]
    Syntax {
        /// Its path.
        path: PathBuf,
        /// Line and cause.
        problem: String,
    },
    /// The data directory cannot be used.
    #[error("cannot write to the data directory {}; give the user that runs strowger write permission to it, or name another with --data-dir", path.display())]
    DataDirectory {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key file cannot be read or made.
    #[error("cannot use the encryption key file {}; it must be readable for the user that runs strowger", path.display())]
    KeyFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read the key.
    #[error("others than its owner have access to the encryption key file {} (mode {mode:03o}); run `chmod 600` on it, and rotate the key if somebody may have read it", path.display())]
    KeyExposed {
        /// Its path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What is there is no key.
    #[error("the encryption key in {place}: {source}")]
    Key {
        /// The file or variable.
        place: String,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The command that prints the keys does not.
    #[error(
        "encryption_key_command {0}; run it by hand as the user that runs strowger: it must print the keys, one a line"
    )]
    KeyCommand(String),
    /// There is no key file.
    #[error(
        "the encryption key file {} is gone; put it back from a backup, since no new one opens the stored credentials",
        key.display()
    )]
    KeyLost {
        /// Where the key was.
        key: PathBuf,
    },
    /// A new key cannot be put where the keys come from.
    #[error("the encryption keys do not come from a file: put a new one above the old one where they come from")]
    KeyElsewhere,
}

/// The URL under which carriers reach this server: a scheme, a host, maybe a port and a path, no trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The URL of a server that only this machine reaches.
    #[must_use]
    pub fn local(address: SocketAddr) -> Self {
        // A server that listens on every address is reached on this machine by the loopback one.
        let address = match address.ip() {
            ip if ip.is_unspecified() => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()),
            _ => address,
        };
        Self(format!("http://{address}"))
    }

    /// The URL, without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same for WebSockets: `wss` for `https`, `ws` for `http`.
    #[must_use]
    pub fn websocket(&self) -> String {
        self.0.replacen("http", "ws", 1)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PublicUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const CURE: &str =
            "must be a URL such as https://voice.example.com, with a host, and without query, fragment and user name";
        let url = Url::parse(text).map_err(|_| CURE)?;
        let is_loopback = match url.host().ok_or(CURE)? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(CURE);
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback => {}
            "http" => {
                return Err(
                    "must begin with https://, because webhooks carry phone numbers; http is for loopback only",
                );
            }
            _ => return Err(CURE),
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

/// Values from the command line, by the names of their settings.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    config: Option<PathBuf>,
    values: Vec<(&'static str, Vec<String>)>,
}

impl Flags {
    /// Names the settings file.
    #[must_use]
    pub fn config(mut self, path: Option<PathBuf>) -> Self {
        self.config = path;
        self
    }

    /// Sets a value; none changes nothing.
    ///
    /// # Panics
    /// When there is no such setting, which is a mistake in the command line's definition.
    #[must_use]
    pub fn set(self, name: &str, value: Option<impl ToString>) -> Self {
        self.set_all(name, value)
    }

    /// Sets the values of a list; an empty one changes nothing.
    ///
    /// # Panics
    /// When there is no such setting, which is a mistake in the command line's definition.
    #[must_use]
    pub fn set_all(mut self, name: &str, values: impl IntoIterator<Item = impl ToString>) -> Self {
        let name = known(name).expect("the command line sets only settings that exist");
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        if !values.is_empty() {
            self.values.push((name, values));
        }
        self
    }
}

/// What the operator decided.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Absolute. See [`Settings::prepare_data_dir`].
    pub data_dir: PathBuf,
    /// Where to listen. Port 0 is any.
    pub listen: SocketAddr,
    /// Where scrapes of metrics are answered; nowhere when it is not set.
    pub metrics_listen: Option<SocketAddr>,
    /// See [`Settings::public_url`].
    pub public_base_url: Option<PublicUrl>,
    /// URL of the database.
    pub database_url: String,
    /// Folders with provider components.
    pub providers: Vec<PathBuf>,
    /// Ranges that requests may go to although they are not public.
    pub allow_networks: Vec<IpNetwork>,
    /// Hosts that another server stands in for.
    pub egress_routes: Vec<Route>,
    /// Calls at once; one more is refused.
    pub calls_max: u32,
    /// What each organization's providers may use together.
    pub budgets: BudgetLimits,
    /// What an organization may do of which the operator says nothing else.
    pub call_limits: CallLimits,
    /// After how long the lines of a gateway that has vanished are free.
    pub call_lease: Duration,
    /// Bytes of a webhook's body; at most [`WEBHOOK_BODY_BYTES_MAX`].
    pub webhook_body_bytes_max: usize,
    /// How long calls may go on after a request to stop.
    pub shutdown_grace: Duration,
    /// After how long another gateway on this database takes an event socket over from one that has vanished.
    pub event_lease: Duration,
    /// Whether agents may record calls.
    pub recording: bool,
    /// Whether everything that providers do for a call is recorded. Their faults are recorded in any case.
    pub record_invocations: bool,
    /// Whose signatures of components count.
    pub trusted_signers: Vec<TrustedSigner>,
    /// Whether a component needs one to be installed.
    pub require_signature: bool,
    /// The program whose child processes compile and examine components. No setting: whoever runs as that program says so.
    pub program: Option<PathBuf>,
    encryption_key: Option<SecretText>,
    encryption_key_command: Option<String>,
    encryption_key_file: PathBuf,
}

#[derive(Clone)]
struct SecretText(String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl Settings {
    /// Reads the environment and the settings file beneath what the command line says. Writes nothing.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn load(flags: &Flags) -> Result<Self, SettingsError> {
        Self::resolve(flags, |name| std::env::var_os(name))
    }

    fn resolve(flags: &Flags, env: impl Fn(&str) -> Option<OsString>) -> Result<Self, SettingsError> {
        // An empty variable is how a service manager says that one is not set.
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let found = Found::open(flags, &env)?;

        let data_dir = found.data_dir()?;
        let listen = found.parse(
            "listen",
            "must be an address and a port such as 127.0.0.1:8080 or [::]:8080",
        )?;
        let listen = listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
        let metrics_listen = found.parse("metrics_listen", "must be an address and a port such as 127.0.0.1:9464")?;
        let public_base_url = found.check("public_base_url", |text| {
            text.parse::<PublicUrl>().map_err(str::to_owned)
        })?;
        if public_base_url.is_none() && !listen.ip().is_loopback() {
            let cure = "carriers must know where to send webhooks; set it to the https URL of this server, \
                        for example --public-base-url https://voice.example.com"
                .to_owned();
            return Err(SettingsError::Missing {
                setting: "public_base_url",
                cure,
            });
        }
        let database_file = data_dir.join(DATABASE_FILE);
        let database_url = found.check("database_url", |text| database_url(text).map_err(str::to_owned))?;
        let encryption_key = match env(KEY_VARIABLE) {
            Some(value) => Some(SecretText(value.into_string().map_err(|_| SettingsError::Key {
                place: format!("${KEY_VARIABLE}"),
                source: KeyError::NotHexadecimal { line: 1 },
            })?)),
            None => None,
        };
        let seconds = |name, range, default| -> Result<Duration, SettingsError> {
            Ok(Duration::from_secs(found.number(name, range)?.unwrap_or(default)))
        };
        Ok(Self {
            listen,
            metrics_listen,
            public_base_url,
            database_url: database_url.unwrap_or_else(|| sqlite_url(&database_file)),
            providers: found.list("providers", |text| Ok(PathBuf::from(text)))?,
            allow_networks: found.list("allow_networks", |text| {
                text.parse::<IpNetwork>()
                    .map_err(|error| format!("`{text}` is {error}"))
            })?,
            egress_routes: found.list("egress_routes", route)?,
            budgets: budgets(&found)?,
            call_limits: call_limits(&found)?,
            call_lease: seconds("call_lease_s", 5..=300, 30)?,
            calls_max: u32::try_from(found.number("calls_max", 1..=10_000)?.unwrap_or(200)).unwrap_or(u32::MAX),
            webhook_body_bytes_max: found
                .number("webhook_body_bytes_max", 1024..=WEBHOOK_BODY_BYTES_MAX as u64)?
                .map_or(WEBHOOK_BODY_BYTES_MAX, |bytes| {
                    usize::try_from(bytes).unwrap_or(WEBHOOK_BODY_BYTES_MAX)
                }),
            shutdown_grace: seconds("shutdown_grace_s", 0..=24 * 3600, 30)?,
            // Renewed three times in this time: shorter ones would suffer from a database that is busy for a moment.
            event_lease: seconds("event_lease_s", 5..=300, 30)?,
            recording: found.parse("recording", "must be true or false")?.unwrap_or(true),
            trusted_signers: found.list("trusted_signers", |text| {
                text.parse::<TrustedSigner>().map_err(str::to_owned)
            })?,
            require_signature: found
                .parse("require_signature", "must be true or false")?
                .unwrap_or(false),
            program: None,
            record_invocations: found
                .parse("record_invocations", "must be true or false")?
                .unwrap_or(false),
            encryption_key,
            encryption_key_command: found.check("encryption_key_command", |text| Ok(text.to_owned()))?,
            encryption_key_file: found
                .check("encryption_key_file", |text| absolute(text.as_ref()))?
                .unwrap_or_else(|| data_dir.join("encryption.key")),
            data_dir,
        })
    }

    /// The URL under which carriers reach a server that is bound to this address: what was set, or else the address itself.
    #[must_use]
    pub fn public_url(&self, bound: SocketAddr) -> PublicUrl {
        self.public_base_url.clone().unwrap_or_else(|| PublicUrl::local(bound))
    }

    /// Where recordings and pictures of calls go.
    #[must_use]
    pub fn recordings_dir(&self) -> PathBuf {
        self.data_dir.join("recordings")
    }

    /// Where recordings of what providers did go.
    #[must_use]
    pub fn invocations_dir(&self) -> PathBuf {
        self.data_dir.join("invocations")
    }

    /// Where compiled components are cached.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.data_dir.join("cache")
    }

    /// Makes the data directory and its folders, for this user only, and proves that they can be written.
    ///
    /// # Errors
    /// `DataDirectory`.
    pub fn prepare_data_dir(&self) -> Result<(), SettingsError> {
        for path in [self.data_dir.clone(), self.recordings_dir(), self.cache_dir()] {
            key::private_dir(&path)
                .and_then(|()| {
                    // Only writing tells: permissions say nothing about a read-only mount or a full quota.
                    let probe = path.join(format!(".probe-{}", std::process::id()));
                    std::fs::write(&probe, b"probe").and_then(|()| std::fs::remove_file(&probe))
                })
                .map_err(|source| SettingsError::DataDirectory { path, source })?;
        }
        Ok(())
    }
}

/// One setting at a time, from the first place that has it.
struct Found<'a, E> {
    flags: &'a Flags,
    env: &'a E,
    file: Option<SettingsFile>,
}

impl<'a, E: Fn(&str) -> Option<OsString>> Found<'a, E> {
    /// Reads the settings file, if there is one.
    fn open(flags: &'a Flags, env: &'a E) -> Result<Self, SettingsError> {
        let mut found = Self { flags, env, file: None };
        let named = flags.config.clone().or_else(|| env(CONFIG_VARIABLE).map(PathBuf::from));
        let path = match &named {
            Some(path) => path.clone(),
            None => found.data_dir()?.join("strowger.toml"),
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => found.file = Some(SettingsFile::parse(path, &text)?),
            // Below a file there is no settings file either; what is wrong with the directory is told when it is used.
            Err(error)
                if named.is_none()
                    && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(source) => return Err(SettingsError::Unreadable { path, source }),
        }
        Ok(found)
    }

    fn values(&self, name: &'static str) -> Result<Option<(Vec<String>, Origin)>, SettingsError> {
        if let Some((_, values)) = self.flags.values.iter().rev().find(|(other, _)| *other == name) {
            return Ok(Some((values.clone(), Origin::Flag(name))));
        }
        let variable = format!("STROWGER_{}", name.to_ascii_uppercase());
        if let Some(value) = (self.env)(&variable) {
            let origin = Origin::Variable(variable);
            let Ok(text) = value.into_string() else {
                return Err(SettingsError::Invalid {
                    setting: name,
                    origin,
                    problem: "is not valid UTF-8".to_owned(),
                });
            };
            return Ok(Some((vec![text], origin)));
        }
        let Some(file) = &self.file else { return Ok(None) };
        let value = file.values.iter().find(|(other, _)| *other == name);
        Ok(value.map(|(_, values)| (values.clone(), Origin::File(file.path.clone()))))
    }

    fn check<T>(
        &self,
        name: &'static str,
        make: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, SettingsError> {
        let Some((values, origin)) = self.values(name)? else {
            return Ok(None);
        };
        let value = match values.as_slice() {
            [value] => make(value.trim()),
            _ => Err("takes one value, not a list".to_owned()),
        };
        value.map(Some).map_err(|problem| SettingsError::Invalid {
            setting: name,
            origin,
            problem,
        })
    }

    fn parse<T: FromStr>(&self, name: &'static str, cure: &str) -> Result<Option<T>, SettingsError> {
        self.check(name, |text| text.parse().map_err(|_| cure.to_owned()))
    }

    fn number(&self, name: &'static str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, SettingsError> {
        self.check(name, |text| {
            text.parse()
                .ok()
                .filter(|number| range.contains(number))
                .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// A list is an array in the file, repeated in the command line, and separated by commas in a variable.
    fn list<T>(&self, name: &'static str, make: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, SettingsError> {
        let Some((values, origin)) = self.values(name)? else {
            return Ok(Vec::new());
        };
        values
            .iter()
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .map(make)
            .collect::<Result<_, _>>()
            .map_err(|problem| SettingsError::Invalid {
                setting: name,
                origin,
                problem,
            })
    }

    fn data_dir(&self) -> Result<PathBuf, SettingsError> {
        let set = self.check("data_dir", |text| absolute(text.as_ref()))?;
        match set {
            Some(path) => Ok(path),
            None => std::path::absolute("strowger-data").map_err(|source| SettingsError::DataDirectory {
                path: PathBuf::from("strowger-data"),
                source,
            }),
        }
    }
}

struct SettingsFile {
    path: PathBuf,
    values: Vec<(&'static str, Vec<String>)>,
}

impl SettingsFile {
    fn parse(path: PathBuf, text: &str) -> Result<Self, SettingsError> {
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                return Err(SettingsError::Syntax {
                    path,
                    problem: toml_problem(&error, text),
                });
            }
        };
        let mut values = Vec::with_capacity(table.len());
        for (name, value) in &table {
            let Some(setting) = known(name) else {
                let known = NAMES.map(|(name, _)| name).join(", ");
                return Err(SettingsError::Unknown {
                    path,
                    name: name.clone(),
                    known,
                });
            };
            let texts = match value {
                toml::Value::Array(items) => items.iter().map(scalar).collect(),
                value => scalar(value).map(|text| vec![text]),
            };
            let Some(texts) = texts else {
                let problem = "must be a text, a number, true or false, or a list of texts".to_owned();
                return Err(SettingsError::Invalid {
                    setting,
                    origin: Origin::File(path),
                    problem,
                });
            };
            values.push((setting, texts));
        }
        Ok(Self { path, values })
    }
}

/// Line and cause, without the text of the line: it may be a secret in the wrong place.
fn toml_problem(error: &toml::de::Error, text: &str) -> String {
    let line = error
        .span()
        .and_then(|span| text.get(..span.start))
        .map(|before| before.matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn known(name: &str) -> Option<&'static str> {
    NAMES.iter().map(|(known, _)| *known).find(|known| *known == name)
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("is not a path: {error}"))
}

/// What an organization's providers may use. After a rest they may use ten seconds' worth at once, and twenty of processor
/// time.
fn budgets(found: &Found<'_, impl Fn(&str) -> Option<OsString>>) -> Result<BudgetLimits, SettingsError> {
    let mut limits = BudgetLimits::default();
    let rate = |name, default: u32| -> Result<u32, SettingsError> {
        let number = found.number(name, 1..=1_000_000)?;
        Ok(number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default))
    };
    let meter = &mut limits.meter;
    meter.cpu_ms_per_s = rate("tenant_cpu_ms_per_s", meter.cpu_ms_per_s)?;
    meter.cpu_ms_burst = meter.cpu_ms_per_s.saturating_mul(20);
    meter.invocations_per_s = rate("tenant_invocations_per_s", meter.invocations_per_s)?;
    meter.invocations_burst = meter.invocations_per_s.saturating_mul(10);
    meter.effects_per_s = rate("tenant_effects_per_s", meter.effects_per_s)?;
    meter.effects_burst = meter.effects_per_s.saturating_mul(10);
    meter.instances_max = rate("tenant_instances_max", meter.instances_max)?;
    let kept = &mut limits.kept;
    kept.keys = found.number("tenant_keys_max", 1..=1_000_000_000)?.unwrap_or(kept.keys);
    kept.bytes = found
        .number("tenant_kept_bytes_max", 1..=1_000_000_000_000)?
        .unwrap_or(kept.bytes);
    Ok(limits)
}

/// What an organization may do of which the operator says nothing else.
fn call_limits(found: &Found<'_, impl Fn(&str) -> Option<OsString>>) -> Result<CallLimits, SettingsError> {
    let mut limits = CallLimits::default();
    let number = |name| -> Result<Option<u32>, SettingsError> {
        let number = found.number(name, 1..=100_000)?;
        Ok(number.and_then(|number| u32::try_from(number).ok()))
    };
    limits.calls_max = number("tenant_calls_max")?.unwrap_or(limits.calls_max);
    limits.number_calls_max = number("tenant_number_calls_max")?;
    limits.calls_per_s = number("tenant_calls_per_s")?.unwrap_or(limits.calls_per_s);
    limits.number_calls_per_s = number("tenant_number_calls_per_s")?.unwrap_or(limits.number_calls_per_s);
    limits.provider_calls_per_s = number("tenant_provider_calls_per_s")?.unwrap_or(limits.provider_calls_per_s);
    limits.call_duration_max_s = found
        .number("call_duration_max_s", 1..=24 * 3600)?
        .unwrap_or(limits.call_duration_max_s);
    let denied = found.list("denied_destinations", |text| match text {
        "none" => Ok(None),
        text => Prefix::parse(text)
            .map(Some)
            .map_err(|error| format!("`{text}` is no prefix: {error}; or `none`")),
    })?;
    if !denied.is_empty() {
        limits.destinations.denied = denied.into_iter().flatten().collect();
    }
    Ok(limits)
}

fn route(text: &str) -> Result<Route, String> {
    let (host, base) = text
        .split_once('=')
        .ok_or("must be `host=URL`, for example api.example.com=http://127.0.0.1:9000")?;
    let host: HostGrant = host
        .trim()
        .parse()
        .map_err(|error| format!("`{}` is {error}", host.trim()))?;
    match Url::parse(base.trim()) {
        Ok(base) if matches!(base.scheme(), "http" | "https") && base.has_host() => Ok(Route { host, base }),
        _ => Err(format!("what stands in for {host} must be an http or https URL")),
    }
}

/// The URL of a database file. What has a meaning in URLs is escaped.
/// The value may have a password in it: whatever is wrong, it is not repeated.
fn database_url(text: &str) -> Result<String, &'static str> {
    const CURE: &str = "must be a URL such as sqlite:///var/lib/strowger/strowger.db?mode=rwc or \
                        postgres://strowger@db.example.com/strowger?sslmode=verify-full";
    let url = Url::parse(text).map_err(|_| CURE)?;
    match url.scheme() {
        "sqlite" => return Ok(text.to_owned()),
        "postgres" | "postgresql" => {}
        _ => return Err(CURE),
    }
    // The last one counts, as for the driver.
    let named = |name: &str| {
        url.query_pairs()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value)
            .last()
    };
    let host = named("host").or_else(|| named("hostaddr")).map(String::from);
    let host = host.or_else(|| url.host_str().map(str::to_owned)).unwrap_or_default();
    let is_local = host.is_empty()
        || host.starts_with('/')
        || host.to_ascii_lowercase().starts_with("%2f")
        || host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    let mode = named("sslmode").or_else(|| named("ssl-mode"));
    // What the driver does by itself is to ask for TLS and to do without it when somebody on the way says no.
    match mode.as_deref() {
        Some("disable" | "require" | "verify-ca" | "verify-full") => Ok(text.to_owned()),
        _ if is_local => Ok(text.to_owned()),
        _ => Err(
            "does not say whether the connection to another machine is encrypted; add sslmode=verify-full to it (with \
             sslrootcert=FILE for a certificate authority of your own), or sslmode=disable within a network that you trust",
        ),
    }
}

fn sqlite_url(path: &Path) -> String {
    let mut url = String::from("sqlite://");
    for char in path.to_string_lossy().chars() {
        match char {
            '%' | '?' | '#' | ' ' => url.push_str(&format!("%{:02X}", u32::from(char))),
            char => url.push(char),
        }
    }
    url.push_str("?mode=rwc");
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(flags: &Flags, env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::resolve(flags, |name| {
            env.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    fn flags(dir: &Path) -> Flags {
        Flags::default().set("data_dir", Some(dir.display()))
    }

    #[test]
    fn the_defaults_serve_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        let settings = resolve(&flags(dir.path()), &[]).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.public_url(settings.listen).as_str(), "http://127.0.0.1:8080");
        assert_eq!(
            settings.database_url,
            format!("sqlite://{}/strowger.db?mode=rwc", dir.path().display())
        );
        assert_eq!(settings.call_limits, CallLimits::default());
        assert_eq!(
            (settings.call_limits.calls_max, settings.call_limits.call_duration_max_s),
            (10, 4 * 3600)
        );
        assert!(settings.recording);
    }

    #[test]
    fn the_command_line_comes_before_the_environment_and_that_before_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file =
            "listen = '127.0.0.1:1'\ncalls_max = 7\nrecording = false\nallow_networks = ['10.0.0.0/8', 'fd00::/8']\n";
        std::fs::write(dir.path().join("strowger.toml"), file).unwrap();
        let env = [
            ("STROWGER_LISTEN", "127.0.0.1:2"),
            ("STROWGER_CALLS_MAX", "8"),
            ("STROWGER_RECORDING", ""),
        ];
        let settings = resolve(&flags(dir.path()).set("listen", Some("127.0.0.1:3")), &env).unwrap();
        assert_eq!(
            (settings.listen.port(), settings.calls_max, settings.recording),
            (3, 8, false)
        );
        assert_eq!(settings.allow_networks.len(), 2);
    }

    #[test]
    fn lists_and_routes_are_read_from_variables() {
        let dir = tempfile::tempdir().unwrap();
        let env = [
            ("STROWGER_ALLOW_NETWORKS", "10.1.0.0/16, 127.0.0.1"),
            ("STROWGER_EGRESS_ROUTES", "api.example.com=http://127.0.0.1:9000/v1"),
            ("STROWGER_PROVIDERS", "a,b"),
        ];
        let settings = resolve(&flags(dir.path()), &env).unwrap();
        assert_eq!((settings.allow_networks.len(), settings.providers.len()), (2, 2));
        assert_eq!(settings.egress_routes[0].base.as_str(), "http://127.0.0.1:9000/v1");
    }

    #[test]
    fn a_wrong_value_is_told_with_its_setting_its_origin_and_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        for (name, value, cure) in [
            ("listen", "8080", "such as 127.0.0.1:8080"),
            (
                "public_base_url",
                "http://voice.example.com",
                "must begin with https://",
            ),
            (
                "public_base_url",
                "voice.example.com",
                "such as https://voice.example.com",
            ),
            ("public_base_url", "https://voice.example.com/?x=1", "without query"),
            ("database_url", "mysql://root:hush@db/x", "such as sqlite://"),
            ("database_url", "postgres://s:hush@db/x", "sslmode=verify-full"),
            (
                "database_url",
                "postgres://s:hush@db/x?sslmode=prefer",
                "sslmode=verify-full",
            ),
            ("calls_max", "0", "from 1 to"),
            ("webhook_body_bytes_max", "10000000", "to 1048576"),
            ("call_duration_max_s", "-1", "from 1 to 86400"),
            ("recording", "maybe", "true or false"),
            ("allow_networks", "10.0.0.1/8", "did you mean"),
            ("egress_routes", "api.example.com", "host=URL"),
            ("egress_routes", "*.example.com=http://127.0.0.1", "wildcards"),
            ("egress_routes", "api.example.com=ftp://127.0.0.1", "http or https URL"),
        ] {
            let variable = format!("STROWGER_{}", name.to_uppercase());
            let error = resolve(&flags(dir.path()), &[(&variable, value)])
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(name) && error.contains(&variable) && error.contains(cure),
                "{error}"
            );
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_database_elsewhere_is_reached_as_was_decided() {
        let dir = tempfile::tempdir().unwrap();
        for url in [
            "postgres://strowger:hush@db.example.com/x?sslmode=verify-full",
            "postgresql://strowger@10.0.0.1/x?sslmode=disable",
            "postgres://strowger@localhost/x",
            "postgres://strowger@[::1]:5433/x",
            "postgres:///x?host=/run/postgresql",
            "postgres://%2Frun%2Fpostgresql/x",
        ] {
            let settings = resolve(&flags(dir.path()).set("database_url", Some(url)), &[]).unwrap();
            assert_eq!(settings.database_url, url);
        }
        let elsewhere = "postgres://localhost/x?host=db.example.com";
        resolve(&flags(dir.path()).set("database_url", Some(elsewhere)), &[]).unwrap_err();
    }

    #[test]
    fn a_public_server_needs_a_public_url() {
        let dir = tempfile::tempdir().unwrap();
        let open = flags(dir.path()).set("listen", Some("0.0.0.0:8080"));
        let error = resolve(&open, &[]).unwrap_err();
        assert!(
            matches!(
                error,
                SettingsError::Missing {
                    setting: "public_base_url",
                    ..
                }
            ),
            "{error}"
        );
        let settings = resolve(
            &open,
            &[("STROWGER_PUBLIC_BASE_URL", "https://voice.example.com/phone/")],
        )
        .unwrap();
        let url = settings.public_url(settings.listen);
        assert_eq!(
            (url.as_str(), &*url.websocket()),
            ("https://voice.example.com/phone", "wss://voice.example.com/phone")
        );
    }

    #[test]
    fn http_is_for_loopback_only() {
        for (text, good) in [
            ("http://localhost:8080", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:8080/", true),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1", false),
            ("ftp://localhost", false),
            ("https://user@voice.example.com", false),
        ] {
            assert_eq!(text.parse::<PublicUrl>().is_ok(), good, "{text}");
        }
    }

    #[test]
    fn a_bad_settings_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my.toml");
        let named = flags(dir.path()).config(Some(path.clone()));
        assert!(matches!(resolve(&named, &[]), Err(SettingsError::Unreadable { .. })));
        std::fs::write(&path, "calls_max = 7\nlisten = [[\n").unwrap();
        let error = resolve(&named, &[]).unwrap_err();
        assert!(
            matches!(error, SettingsError::Syntax { .. }) && error.to_string().contains("line "),
            "{error}"
        );
        std::fs::write(&path, "lisen = '127.0.0.1:1'").unwrap();
        let error = resolve(&named, &[]).unwrap_err().to_string();
        assert!(error.contains("`lisen`") && error.contains("listen"), "{error}");
        std::fs::write(&path, "encryption_key = 'hush'").unwrap();
        let error = resolve(&named, &[]).unwrap_err().to_string();
        assert!(!error.contains("hush"), "{error}");
        std::fs::write(&path, "[calls_max]\nx = 1").unwrap();
        assert!(matches!(
            resolve(&named, &[]),
            Err(SettingsError::Invalid {
                setting: "calls_max",
                ..
            })
        ));
    }

    #[test]
    fn a_data_directory_that_cannot_be_written_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = resolve(&flags(&file.join("data")), &[])
            .and_then(|settings| settings.prepare_data_dir())
            .unwrap_err();
        assert!(
            matches!(
                error,
                SettingsError::DataDirectory { .. } | SettingsError::Unreadable { .. }
            ),
            "{error}"
        );
        let settings = resolve(&flags(&dir.path().join("new")), &[]).unwrap();
        settings.prepare_data_dir().unwrap();
        assert!(settings.recordings_dir().is_dir() && settings.cache_dir().is_dir());
    }

    #[test]
    fn a_path_with_signs_of_urls_names_its_database() {
        assert_eq!(
            sqlite_url(Path::new("/a b/50%?#/x.db")),
            "sqlite:///a%20b/50%25%3F%23/x.db?mode=rwc"
        );
    }
}
