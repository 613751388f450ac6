//! From the URL of a WebSocket to a connection, through the same check of addresses as all other traffic that leaves.
//!
//! A tenant chooses the URL of an agent or of a PBX, so it is as little to be trusted as the host that a provider names:
//! every address of its host must be public or in a range that the operator granted, and the connection goes to exactly
//! the addresses that were checked.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;
use url::{Host, Url};

use super::{NetworkClass, Resolver};

/// More than any honest name has; bounds what one name can make us try.
const ADDRESSES_MAX: usize = 8;

/// How long one address is tried alone before the next one is tried beside it (RFC 8305 §8: "connection attempt delay").
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Opens connections for WebSockets. A seam: the runtime uses [`CheckedDial`].
pub trait Dial: Send + Sync + 'static {
    /// Opens a TCP connection to the host and port of a `ws` or `wss` URL. The caller bounds the time.
    fn dial(&self, url: &Url) -> impl Future<Output = Result<TcpStream, DialError>> + Send;

    /// How `wss` proves that the other side is the host. Must not offer HTTP/2, which has no upgrade.
    fn tls(&self) -> Arc<ClientConfig>;
}

/// Why there is no connection. No text of it contains an address: it would map the operator's network.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The URL names no host that could be connected to.
    #[error("its URL has no usable host and port")]
    Host,
    /// The host has an address that is not public.
    #[error("its host has an address in a {0} network; if that is meant, the operator grants the range")]
    PrivateAddress(NetworkClass),
    /// The name has no address.
    #[error("the name of its host cannot be resolved")]
    Resolve(#[source] io::Error),
    /// No address accepted a connection.
    #[error("its host does not accept connections: {}", .0.kind())]
    Connect(#[source] io::Error),
}

/// Connects to hosts whose addresses all pass a check.
#[derive(Clone)]
pub struct CheckedDial {
    check: Arc<dyn Fn(IpAddr) -> Result<(), NetworkClass> + Send + Sync>,
    resolver: Arc<dyn Resolver>,
    tls: Arc<ClientConfig>,
}

impl CheckedDial {
    /// Names are resolved by `resolver`; `check` decides whether an address may be connected to.
    pub fn new(
        check: impl Fn(IpAddr) -> Result<(), NetworkClass> + Send + Sync + 'static,
        resolver: Arc<dyn Resolver>,
        tls: Arc<ClientConfig>,
    ) -> Self {
        Self {
            check: Arc::new(check),
            resolver,
            tls,
        }
    }

    async fn addresses(&self, host: Host<&str>) -> Result<Vec<IpAddr>, DialError> {
        let addresses = match host {
            Host::Ipv4(address) => vec![address.into()],
            Host::Ipv6(address) => vec![address.into()],
            Host::Domain(name) => self
                .resolver
                .lookup(name.strip_suffix('.').unwrap_or(name))
                .await
                .map_err(DialError::Resolve)?,
        };
        if addresses.is_empty() {
            return Err(DialError::Resolve(io::ErrorKind::NotFound.into()));
        }
        // One forbidden address refuses the name: an honest name has none.
        addresses
            .iter()
            .try_for_each(|address| (self.check)(*address))
            .map_err(DialError::PrivateAddress)?;
        Ok(addresses)
    }
}

impl Dial for CheckedDial {
    async fn dial(&self, url: &Url) -> Result<TcpStream, DialError> {
        let host = url.host().ok_or(DialError::Host)?;
        let port = url
            .port_or_known_default()
            .filter(|port| *port != 0)
            .ok_or(DialError::Host)?;
        let addresses = self.addresses(host).await?;
        let stream = first_to_connect(&addresses, port).await.map_err(DialError::Connect)?;
        // A frame of audio every 20 ms must not wait for the acknowledgement of the one before.
        stream.set_nodelay(true).map_err(DialError::Connect)?;
        Ok(stream)
    }

    fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }
}

impl fmt::Debug for CheckedDial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedDial")
            .field("resolver", &self.resolver)
            .finish_non_exhaustive()
    }
}

/// TLS as WebSockets get it: the public authorities and `extra_roots`, without HTTP/2. To be made once, not for each call.
pub fn tls_config(extra_roots: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for root in extra_roots {
        roots.add(root.clone())?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Connects to all of the addresses, each a little after the one before, and keeps the first that answers: a host whose
/// IPv6 leads nowhere must not cost the caller seconds of silence.
async fn first_to_connect(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for (delay, address) in (0..)
        .map(|place| ATTEMPT_DELAY * place)
        .zip(addresses.iter().take(ADDRESSES_MAX))
    {
        let address = SocketAddr::new(*address, port);
        attempts.spawn(async move {
            sleep(delay).await;
            TcpStream::connect(address).await
        });
    }
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(error) => failure = io::Error::other(error),
        }
    }
    Err(failure)
}
