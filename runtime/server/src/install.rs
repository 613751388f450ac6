//! The way in: what a component must pass before it is installed, and what is shown of it before anything is granted.
//!
//! In this order, each step cheaper than what it protects: who signed it and whether it is the file that was meant; its
//! structure, read without running anything of it; compilation, in a process that can be killed; loading, in the sandbox; the
//! conformance suite, in another such process. What comes out is a [`Page`], which says what the component may ever do, read
//! from the component itself.

mod examine;
mod page;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use strowger_host::child::ChildError;
use strowger_host::{Engine, LoadError, Provider};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::examine::Report;
pub use self::examine::{COMMAND, serve};
pub use self::page::{Cost, Field, Finding, HostRequest, Page, Route};
use crate::catalogue::{Catalogue, CatalogueError, NewVersion};
use crate::settings::Settings;
use crate::signature::{self, SignatureError, TrustedSigner};
use crate::store::{Installed, Party};

/// Examinations at once: each may take a processor for minutes, and calls need processors too.
const EXAMINATIONS_MAX: usize = 2;
/// Uploads at once, of different organisations: each is held in memory.
const UPLOADS_MAX: usize = 8;

/// Versions that an organisation may have installed, of all its providers together.
pub const VERSIONS_MAX: usize = 50;
/// Bytes of their components.
pub const COMPONENTS_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Why a component is not installed. Each says what to do.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The same organisation, or too many, are at it.
    #[error("{0}; try again when it is done")]
    Busy(&'static str),
    /// The organisation has as much as it may have.
    #[error(
        "the organization has {versions} versions installed, {bytes} bytes in all; at most {VERSIONS_MAX} versions and \
         {COMPONENTS_BYTES_MAX} bytes are allowed. Remove versions that are not needed any more"
    )]
    TooMuchInstalled {
        /// How many versions, with this one.
        versions: usize,
        /// How large, with this one.
        bytes: u64,
    },
    /// Nobody vouches for it.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Another file than was meant.
    #[error("the file is not the one that was meant: its digest is sha256:{found}, and sha256:{pinned} was asked for")]
    OtherDigest {
        /// What was asked for.
        pinned: String,
        /// What it is.
        found: String,
    },
    /// Not SHA-256.
    #[error("`{0}` is no digest: write sha256: and 64 hexadecimal digits")]
    NoDigest(String),
    /// It is not fit to be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The conformance suite did not come to an end.
    #[error("the component was not examined to the end: {0}")]
    Examination(ChildError),
    /// It breaks the contract.
    #[error("the component does not conform to the contract:\n{text}")]
    NotConformant {
        /// Every problem: what, why, how to mend it.
        text: String,
    },
    /// Its name is taken, or it cannot be written down.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Ours.
    #[error("internal error: {0}")]
    Internal(String),
}

impl InstallError {
    /// A stable name, in snake case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy(_) => "examination_busy",
            Self::TooMuchInstalled { .. } => "too_much_installed",
            Self::Signature(_) => "signature",
            Self::OtherDigest { .. } | Self::NoDigest(_) => "digest",
            Self::Load(LoadError::OtherContract { .. }) => "other_contract",
            Self::Load(_) => "not_a_provider",
            Self::Examination(_) => "not_examined",
            Self::NotConformant { .. } => "not_conformant",
            Self::Catalogue(_) => "not_installed",
            Self::Internal(_) => "internal",
        }
    }
}

/// What the operator decides about installations.
#[derive(Debug, Clone, Default)]
pub struct InstallOptions {
    /// Whose signatures count.
    pub trusted_signers: Vec<TrustedSigner>,
    /// Whether a component needs one.
    pub require_signature: bool,
    /// The program whose child processes examine components; without one this process does, as only tests should.
    pub program: Option<PathBuf>,
}

impl InstallOptions {
    /// As the operator has set them.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            trusted_signers: settings.trusted_signers.clone(),
            require_signature: settings.require_signature,
            program: settings.program.clone(),
        }
    }
}

/// A component that somebody wants to install.
#[derive(Debug, Default)]
pub struct Upload {
    /// The component.
    pub bytes: Vec<u8>,
    /// Its detached signature, as it is in its file.
    pub signature: Option<Vec<u8>>,
    /// The digest that it must have, with or without `sha256:`.
    pub digest: Option<String>,
    /// Where it came from, for people.
    pub source: String,
}

/// Examines components. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Installer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    options: InstallOptions,
    parties: Mutex<HashSet<Party>>,
    uploads: Arc<Semaphore>,
    examinations: Semaphore,
}

/// The right to bring one component.
#[derive(Debug)]
pub struct Admission {
    party: Party,
    inner: Arc<Inner>,
    _upload: OwnedSemaphorePermit,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut parties = self.inner.parties.lock().unwrap_or_else(PoisonError::into_inner);
        parties.remove(&self.party);
    }
}

/// A component that has passed, and may be installed.
#[derive(Debug)]
pub struct Examined {
    /// Loaded in the installer's engine.
    pub provider: Provider,
    /// What it may ever do.
    pub page: Page,
    bytes: Vec<u8>,
    source: String,
}

impl Installer {
    /// Loads what it examines into this engine.
    #[must_use]
    pub fn new(engine: Engine, options: InstallOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                engine,
                options,
                parties: Mutex::default(),
                uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
                examinations: Semaphore::new(EXAMINATIONS_MAX),
            }),
        }
    }

    /// Lets somebody bring a component, one at a time.
    ///
    /// # Errors
    /// `Busy`.
    pub fn admit(&self, party: &Party) -> Result<Admission, InstallError> {
        let inner = &self.inner;
        let upload = inner.uploads.clone().try_acquire_owned();
        let upload =
            upload.map_err(|_| InstallError::Busy("as many components are being examined as may be at once"))?;
        let mut parties = inner.parties.lock().unwrap_or_else(PoisonError::into_inner);
        if !parties.insert(party.clone()) {
            return Err(InstallError::Busy(
                "another component of this organization is being examined",
            ));
        }
        Ok(Admission {
            party: party.clone(),
            inner: inner.clone(),
            _upload: upload,
        })
    }

    /// Makes sure that what an organisation brings has room beside what it has.
    ///
    /// # Errors
    /// `TooMuchInstalled`; the same component again needs no room.
    pub async fn make_room(catalogue: &Catalogue, owner: &Party, bytes: &[u8]) -> Result<(), InstallError> {
        if *owner == Party::Operator {
            return Ok(());
        }
        let digest = strowger_host::engine::digest(bytes);
        let mut sum = (1, bytes.len() as u64);
        for provider in catalogue.list(owner).await? {
            if provider.channel.owner == *owner {
                for version in provider.versions.iter().filter(|version| version.digest != digest) {
                    sum = (sum.0 + 1, sum.1 + version.size_bytes);
                }
            }
        }
        let (versions, bytes) = sum;
        if versions > VERSIONS_MAX || bytes > COMPONENTS_BYTES_MAX {
            return Err(InstallError::TooMuchInstalled { versions, bytes });
        }
        Ok(())
    }

    /// Removes what was compiled of a version that is gone.
    pub fn forget(&self, digest: &str) {
        self.inner.engine.forget(digest);
    }

    /// Examines a component. Nothing is installed by it, and what is refused leaves nothing behind.
    ///
    /// # Errors
    /// The first thing that it does not pass.
    pub async fn examine(&self, admission: &Admission, upload: Upload) -> Result<Examined, InstallError> {
        let permit = self.inner.examinations.acquire().await;
        let _permit = permit.map_err(|error| InstallError::Internal(error.to_string()))?;
        let organization = admission.party.organization().map(|id| id.as_str().to_owned());
        tracing::info!(
            organization,
            source = upload.source,
            bytes = upload.bytes.len(),
            "examining a component"
        );
        let inner = self.inner.clone();
        let examined = tokio::task::spawn_blocking(move || inner.examine(upload)).await;
        let examined = examined.unwrap_or_else(|error| Err(InstallError::Internal(error.to_string())));
        match &examined {
            Ok(examined) => {
                let (provider, digest) = (examined.provider.name(), examined.provider.digest());
                tracing::info!(organization, provider, digest, "a component has passed its examination");
            }
            Err(error) => tracing::info!(organization, code = error.code(), "a component was refused"),
        }
        examined
    }
}

impl Inner {
    /// Takes seconds: not for threads that serve sockets.
    fn examine(&self, upload: Upload) -> Result<Examined, InstallError> {
        let Upload {
            bytes,
            signature,
            digest: pinned,
            source,
        } = upload;
        if let Some(pinned) = pinned {
            is_pinned(&bytes, &pinned)?;
        }
        let InstallOptions {
            trusted_signers,
            require_signature,
            program,
        } = &self.options;
        let signer = signature::check(trusted_signers, *require_signature, &bytes, signature.as_deref())?;
        let passed = self.load_and_ask(&bytes, program.as_deref());
        let (provider, report) = passed.inspect_err(|_| {
            // What is refused leaves nothing behind.
            self.engine.forget(&strowger_host::engine::digest(&bytes));
        })?;
        let page = Page::new(&provider, signer, report.findings, report.costs);
        Ok(Examined {
            provider,
            page,
            bytes,
            source,
        })
    }
}

impl Inner {
    fn load_and_ask(&self, bytes: &[u8], program: Option<&Path>) -> Result<(Provider, Report), InstallError> {
        let provider = Provider::load(&self.engine, bytes)?;
        tracing::debug!(
            provider = provider.name(),
            "compiled and loaded; asking the questions of the contract"
        );
        let report = examine::conformance(&provider, bytes, program)?;
        if report.passed {
            Ok((provider, report))
        } else {
            Err(InstallError::NotConformant { text: report.text })
        }
    }
}

impl Examined {
    /// Installs it for somebody. It takes no calls before it is adopted.
    ///
    /// # Errors
    /// When its name is somebody else's.
    pub async fn install(&self, catalogue: &Catalogue, owner: Party) -> Result<Installed, InstallError> {
        let report = serde_json::to_value(&self.page).map_err(|error| InstallError::Internal(error.to_string()))?;
        let new = NewVersion {
            owner,
            provider: &self.provider,
            bytes: &self.bytes,
            source: self.source.clone(),
            signer: self.page.signer.clone(),
            report: Some(report),
        };
        Ok(catalogue.add(new).await?)
    }
}

fn is_pinned(bytes: &[u8], pinned: &str) -> Result<(), InstallError> {
    let digits = pinned.strip_prefix("sha256:").unwrap_or(pinned).to_ascii_lowercase();
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(InstallError::NoDigest(pinned.to_owned()));
    }
    let found = strowger_host::engine::digest(bytes);
    if found == digits {
        Ok(())
    } else {
        Err(InstallError::OtherDigest { pinned: digits, found })
    }
}
