//! Where the gateway under test is, as the carrier sees it and as the socket has to go.

use std::net::SocketAddr;

use url::Url;

/// The gateway's address.
///
/// `public_base` is what a carrier has in its configuration and what it signs. In a test the sockets go elsewhere: to the
/// plain-text port on loopback, which is what a proxy that ends TLS does.
#[derive(Debug, Clone)]
pub struct Gateway {
    public_base: Url,
    connect: Option<SocketAddr>,
}

/// The address is not one that a simulated carrier may or can call.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AddressError {
    #[error("`{0}` is not an absolute address")]
    NotAnAddress(String),
    #[error("`{0}` is not the gateway")]
    NotTheGateway(String),
    #[error("`{0}` needs TLS; give the plain-text address behind the proxy as well")]
    NeedsTls(String),
}

/// One resolved request: connect there, ask for that.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// `host:port` to connect to.
    pub(crate) authority: String,
    /// The `Host` that the gateway gets to see.
    pub(crate) host: String,
    pub(crate) path_and_query: String,
    /// Whether the carrier believes to speak TLS.
    pub(crate) secure: bool,
}

impl Gateway {
    /// A gateway without a proxy, as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// When `base` is not an absolute address.
    pub fn at(base: &str) -> Result<Self, AddressError> {
        Ok(Self {
            public_base: parse(base)?,
            connect: None,
        })
    }

    /// A gateway that carriers know as `public_base` (`https://voice.example.com`) and that listens in plain text on `connect`.
    ///
    /// # Errors
    /// When `public_base` is not an absolute address.
    pub fn behind_proxy(public_base: &str, connect: SocketAddr) -> Result<Self, AddressError> {
        Ok(Self {
            public_base: parse(public_base)?,
            connect: Some(connect),
        })
    }

    /// The public address of `path`, which starts with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public_base.as_str().trim_end_matches('/'))
    }

    /// How to reach `url`, which may be relative to `base`.
    pub(crate) fn route(&self, url: &str) -> Result<Route, AddressError> {
        let url = parse(url)?;
        let secure = matches!(url.scheme(), "https" | "wss");
        let host = url
            .host_str()
            .ok_or_else(|| AddressError::NotAnAddress(url.to_string()))?;
        let authority_seen = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let port = url.port().unwrap_or(if secure { 443 } else { 80 });
        let same_host = self.public_base.host_str() == Some(host);
        let public_port = self.public_base.port_or_known_default();
        let authority = match self.connect {
            Some(connect) if same_host && public_port == Some(port) => connect.to_string(),
            _ if !is_loopback(host) && !same_host => return Err(AddressError::NotTheGateway(url.to_string())),
            _ if secure => return Err(AddressError::NeedsTls(url.to_string())),
            _ => format!("{host}:{port}"),
        };
        let path_and_query = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Ok(Route {
            authority,
            host: authority_seen,
            path_and_query,
            secure,
        })
    }
}

fn parse(url: &str) -> Result<Url, AddressError> {
    Url::parse(url)
        .ok()
        .filter(Url::has_host)
        .ok_or_else(|| AddressError::NotAnAddress(url.to_owned()))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_name_goes_to_the_proxied_port_and_strangers_nowhere() {
        let gateway = Gateway::behind_proxy("https://voice.example.com", ([127, 0, 0, 1], 4000).into()).unwrap();
        let route = gateway.route("wss://voice.example.com/ws/1?a=b").unwrap();
        assert_eq!(
            (route.authority.as_str(), route.host.as_str()),
            ("127.0.0.1:4000", "voice.example.com")
        );
        assert_eq!(route.path_and_query, "/ws/1?a=b");
        assert!(gateway.route("https://elsewhere.example.com/").is_err());
        assert_eq!(gateway.url("/x"), "https://voice.example.com/x");
    }
}
