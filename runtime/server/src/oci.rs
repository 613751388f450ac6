//! Components in OCI registries, where container images are: fetched by tag or digest, and sent.
//!
//! A tag is resolved to a digest once, and what is fetched is what that digest says; the tag may point elsewhere the moment
//! after. Nothing is fetched while calls run: this is for the operator's command line, not for the gateway.
//!
//! The layout is that of CNCF's "Wasm OCI Artifact": a configuration of type `application/vnd.wasm.config.v0+json`, and the
//! component as the only layer, of type `application/wasm`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use strowger_host::structure::COMPONENT_BYTES_MAX;
use thiserror::Error;

const SCHEME: &str = "oci://";
const LAYER_TYPE: &str = "application/wasm";
const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
/// How long a registry may say nothing.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Where a component is in a registry: `oci://registry/repository:tag` or `…@sha256:digest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciRef {
    reference: Reference,
}

impl fmt::Display for OciRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.reference.whole())
    }
}

impl FromStr for OciRef {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        let refused = |problem: String| OciError::Reference {
            given: text.to_owned(),
            problem,
        };
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| refused("it must begin with oci://".to_owned()))?;
        // The library would take the registry of container images for one that is not named.
        let registry = rest.split('/').next().unwrap_or_default();
        if !rest.contains('/') || !(registry.contains(['.', ':']) || registry == "localhost") {
            return Err(refused("the registry must be named".to_owned()));
        }
        let reference: Reference = rest
            .parse()
            .map_err(|error: oci_client::ParseError| refused(error.to_string()))?;
        Ok(Self { reference })
    }
}

/// Whether something that may be a file is meant to be in a registry.
#[must_use]
pub fn is_reference(text: &str) -> bool {
    text.starts_with(SCHEME)
}

/// Why a registry was of no use. Each says what to do.
#[derive(Debug, Error)]
pub enum OciError {
    /// No place in a registry.
    #[error(
        "`{given}` names no place in a registry: {problem}. Write oci://registry.example/repository:tag, or @sha256:… in place of the tag"
    )]
    Reference {
        /// What was given.
        given: String,
        /// What is wrong.
        problem: String,
    },
    /// It is not there, not to be had, or the registry cannot be reached.
    #[error("{place}: {problem}")]
    Registry {
        /// Which.
        place: String,
        /// What the registry or the network says, on one line.
        problem: String,
    },
    /// There is something else.
    #[error("{place} is no component: {problem}. A component is the only layer of its image, of type {LAYER_TYPE}")]
    NoComponent {
        /// Which.
        place: String,
        /// What there is.
        problem: String,
    },
    /// What came is not what was announced.
    #[error("{place}: the registry sent something else than it announced: {problem}")]
    Damaged {
        /// Which.
        place: String,
        /// What does not fit.
        problem: String,
    },
}

/// Who asks the registry.
#[derive(Clone, Default)]
pub struct Login(Option<(String, String)>);

impl Login {
    /// A name and its password, or token.
    #[must_use]
    pub fn new(user: String, password: String) -> Self {
        Self(Some((user, password)))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Login(…)"
        } else {
            "Login(nobody)"
        })
    }
}

/// A component that was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// The component.
    pub bytes: Vec<u8>,
    /// Where it is for good: its place, by the digest of its manifest.
    pub pinned: OciRef,
}

/// A client of registries.
pub struct Registry {
    client: Client,
    auth: RegistryAuth,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// For one registry: only on this machine may it be without TLS.
    #[must_use]
    pub fn new(place: &OciRef, login: Login) -> Self {
        // The library's connections need a provider of cryptography, and who has installed one before has this one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let registry = place.reference.resolve_registry();
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        let protocol = if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
            ClientProtocol::HttpsExcept(vec![registry.to_owned()])
        } else {
            ClientProtocol::Https
        };
        let config = ClientConfig {
            protocol,
            read_timeout: Some(SILENCE_MAX),
            connect_timeout: Some(SILENCE_MAX),
            user_agent: concat!("strowger/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        Self {
            client: Client::new(config),
            auth: match login.0 {
                Some((user, password)) => RegistryAuth::Basic(user, password),
                None => RegistryAuth::Anonymous,
            },
        }
    }

    /// Fetches the component that a place has now.
    ///
    /// # Errors
    /// When it cannot be had, or is none.
    pub async fn pull(&self, place: &OciRef) -> Result<Fetched, OciError> {
        let failed = |error: oci_client::errors::OciDistributionError| registry_failed(place, &error);
        let (manifest, digest) = self
            .client
            .pull_image_manifest(&place.reference, &self.auth)
            .await
            .map_err(failed)?;
        // From here on only by digest.
        let pinned = OciRef {
            reference: place.reference.clone_with_digest(digest),
        };
        let layer = component_layer(place, &manifest)?;
        let mut bytes = Bounded::default();
        self.client
            .pull_blob(&pinned.reference, layer, &mut bytes)
            .await
            .map_err(failed)?;
        // The library compares as well; what is installed is worth looking twice.
        let found = format!("sha256:{}", hex::encode(Sha256::digest(&bytes.0)));
        if layer.digest != found {
            return Err(OciError::Damaged {
                place: place.to_string(),
                problem: format!("the layer has the digest {found}, and {} was announced", layer.digest),
            });
        }
        Ok(Fetched { bytes: bytes.0, pinned })
    }

    /// Sends a component. The place must have a tag. Returns where it is for good.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn push(&self, place: &OciRef, bytes: &[u8]) -> Result<OciRef, OciError> {
        if place.reference.digest().is_some() || place.reference.tag().is_none() {
            return Err(OciError::Reference {
                given: place.to_string(),
                problem: "a component is sent under a tag, and its digest follows from what it is".to_owned(),
            });
        }
        let failed = |error: oci_client::errors::OciDistributionError| registry_failed(place, &error);
        let layer = ImageLayer::new(bytes.to_vec(), LAYER_TYPE.to_owned(), None);
        // Without a time of creation: the same component is the same image.
        let description = json!({
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [layer.sha256_digest()],
        });
        let config = Config::new(description.to_string().into_bytes(), CONFIG_TYPE.to_owned(), None);
        let layers = [layer];
        let manifest = OciImageManifest::build(&layers, &config, None);
        self.client
            .push(&place.reference, &layers, config, &self.auth, Some(manifest))
            .await
            .map_err(failed)?;
        let digest = self
            .client
            .fetch_manifest_digest(&place.reference, &self.auth)
            .await
            .map_err(failed)?;
        Ok(OciRef {
            reference: place.reference.clone_with_digest(digest),
        })
    }
}

fn component_layer<'a>(
    place: &OciRef,
    manifest: &'a OciImageManifest,
) -> Result<&'a oci_client::manifest::OciDescriptor, OciError> {
    let no_component = |problem: String| OciError::NoComponent {
        place: place.to_string(),
        problem,
    };
    let [layer] = manifest.layers.as_slice() else {
        return Err(no_component(format!("it has {} layers", manifest.layers.len())));
    };
    if layer.media_type != LAYER_TYPE {
        let found: String = layer.media_type.chars().filter(|c| !c.is_control()).take(100).collect();
        return Err(no_component(format!("its layer is of type `{found}`")));
    }
    if !layer.digest.starts_with("sha256:") {
        return Err(no_component("its layer is not named by SHA-256".to_owned()));
    }
    if usize::try_from(layer.size).map_or(true, |size| size > COMPONENT_BYTES_MAX) {
        return Err(no_component(format!(
            "its layer has {} bytes, and a component has at most {COMPONENT_BYTES_MAX}",
            layer.size
        )));
    }
    Ok(layer)
}

fn registry_failed(place: &OciRef, error: &oci_client::errors::OciDistributionError) -> OciError {
    let mut problem = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        problem = format!("{problem}: {inner}");
        cause = inner.source();
    }
    OciError::Registry {
        place: place.to_string(),
        problem: problem
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(500)
            .collect(),
    }
}

/// Takes no more than a component may have, whatever was announced.
#[derive(Default)]
struct Bounded(Vec<u8>);

impl tokio::io::AsyncWrite for Bounded {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(if self.0.len() + bytes.len() > COMPONENT_BYTES_MAX {
            Err(std::io::Error::other("it sends more than a component may have"))
        } else {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        })
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_registry_is_named_in_full() {
        for good in [
            "oci://registry.example/acme/voice:1.0.0",
            "oci://localhost:5000/voice:latest",
            "oci://127.0.0.1:5000/a/b/c:x",
        ] {
            assert_eq!(good.parse::<OciRef>().unwrap().to_string(), good);
        }
        let digest = format!("oci://registry.example/voice@sha256:{}", "0".repeat(64));
        assert_eq!(digest.parse::<OciRef>().unwrap().to_string(), digest);
        for bad in [
            "voice.wasm",
            "oci://",
            "oci://voice",
            "oci://acme/voice:1",
            "oci://registry.example/VOICE",
        ] {
            let error = bad.parse::<OciRef>().unwrap_err().to_string();
            assert!(
                error.contains(bad) && error.contains("oci://registry.example/"),
                "{error}"
            );
        }
    }
}
