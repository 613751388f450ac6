//! From where a request comes.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

/// Where a proxy says for whom it speaks; the nearest one writes at the end.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of a request, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) struct From {
    /// Who has opened the connection.
    peer: Option<IpAddr>,
    /// For whom, when that is a proxy on this machine. Others are not asked: everybody can send such a header.
    client: Option<IpAddr>,
}

impl From {
    pub(in crate::api) fn of(parts: &Parts) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(address)| address.ip().to_canonical());
        let mut headers = parts.headers.get_all(FORWARDED_FOR).iter();
        let last = headers.next_back().and_then(|value| value.to_str().ok());
        let client = last
            .and_then(|value| value.rsplit(',').next()?.trim().parse().ok())
            .filter(|_| peer.is_some_and(|peer| peer.is_loopback()));
        Self { peer, client }
    }

    /// Who is asking.
    pub(in crate::api) fn address(&self) -> Option<IpAddr> {
        self.client.or(self.peer)
    }

    /// For the audit log: hearsay is told as such.
    pub(in crate::api) fn told(&self) -> Option<String> {
        let peer = self.peer?;
        Some(match self.client {
            Some(client) => format!("{client} via {peer}"),
            None => peer.to_string(),
        })
    }
}

impl<S: Sync> FromRequestParts<S> for From {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn from(peer: &str, forwarded: &[&str]) -> Option<String> {
        let mut request = Request::builder();
        for value in forwarded {
            request = request.header(FORWARDED_FOR, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let peer: SocketAddr = peer.parse().unwrap();
        parts.extensions.insert(ConnectInfo(peer));
        From::of(&parts).told()
    }

    #[test]
    fn only_a_proxy_on_this_machine_speaks_for_others() {
        for (peer, forwarded, told) in [
            ("203.0.113.7:1", &[][..], "203.0.113.7"),
            ("203.0.113.7:1", &["192.0.2.1"], "203.0.113.7"),
            ("127.0.0.1:1", &["192.0.2.1"], "192.0.2.1 via 127.0.0.1"),
            ("127.0.0.1:1", &["198.51.100.1, 192.0.2.1"], "192.0.2.1 via 127.0.0.1"),
            ("127.0.0.1:1", &["198.51.100.1", "192.0.2.1"], "192.0.2.1 via 127.0.0.1"),
            ("[::1]:1", &["2001:db8::1"], "2001:db8::1 via ::1"),
            ("127.0.0.1:1", &["unknown"], "127.0.0.1"),
            ("127.0.0.1:1", &["192.0.2.1, "], "127.0.0.1"),
        ] {
            assert_eq!(from(peer, forwarded).as_deref(), Some(told), "{peer} {forwarded:?}");
        }
    }
}
