//! From a host name to the addresses that a connection may be made to.
//!
//! The check sits inside the client's own resolver: what it returns is what is connected to, so there is no second
//! lookup whose answer could differ from the one that was checked.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{AddressPolicy, NetworkClass};

/// The answer of a [`Resolver`], to be awaited.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a host name. A seam: the runtime uses [`SystemResolver`], tests answer themselves.
pub trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// Looks up one name, in ASCII and without a trailing dot. The answers are checked by the caller, all of them.
    fn lookup(&self, host: &str) -> Lookup;
}

/// The operating system's resolver: hosts file, search domains and DNS servers as this machine is set up.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn lookup(&self, host: &str) -> Lookup {
        let host = host.to_owned();
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((host, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}

/// Why a name yields no address to connect to. Travels through the client's error chain and is found there again.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the name has an address in a {0} network")]
    NotPublic(NetworkClass),
    #[error("the name could not be resolved")]
    Unresolved(#[source] Arc<io::Error>),
    #[error("the name is not the base of a route")]
    NotRouted,
}

/// Resolves for requests to the host that the provider named: every address must be one that it may reach.
#[derive(Debug)]
pub(super) struct CheckedResolver {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) policy: Arc<AddressPolicy>,
}

/// Resolves for requests that the operator routed: any address, but only for the names in the operator's routes.
#[derive(Debug)]
pub(super) struct RoutedResolver {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) hosts: HashSet<String>,
}

impl CheckedResolver {
    /// One forbidden address refuses the name: an honest name has none, and which of several is tried first is not ours
    /// to decide.
    async fn addresses(
        resolver: Arc<dyn Resolver>,
        policy: Arc<AddressPolicy>,
        host: String,
    ) -> Result<Vec<IpAddr>, Refusal> {
        let addresses = lookup(&*resolver, &host).await?;
        for address in &addresses {
            policy.check(*address).map_err(Refusal::NotPublic)?;
        }
        Ok(addresses)
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, policy) = (Arc::clone(&self.resolver), Arc::clone(&self.policy));
        Box::pin(async move {
            Ok(without_port(
                Self::addresses(resolver, policy, name.as_str().to_owned()).await?,
            ))
        })
    }
}

impl Resolve for RoutedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let known = self.hosts.contains(name.as_str());
        let resolver = Arc::clone(&self.resolver);
        Box::pin(async move {
            if !known {
                return Err(Refusal::NotRouted.into());
            }
            Ok(without_port(lookup(&*resolver, name.as_str()).await?))
        })
    }
}

async fn lookup(resolver: &dyn Resolver, host: &str) -> Result<Vec<IpAddr>, Refusal> {
    match resolver.lookup(host).await {
        Ok(addresses) if addresses.is_empty() => Err(Refusal::Unresolved(Arc::new(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no addresses",
        )))),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(Refusal::Unresolved(Arc::new(error))),
    }
}

/// Port 0 is replaced by that of the URL.
fn without_port(addresses: Vec<IpAddr>) -> Addrs {
    Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)))
}
