//! The hosts that requests may go to. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The longest name that DNS can carry, in bytes of its ASCII form (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// One place that requests may go to: scheme, host and port, all exact. There are no wildcards.
///
/// Written `api.example.com`, `api.example.com:8443` or `http://pbx.example.com:8088`; without a scheme it is HTTPS,
/// without a port the scheme's own. Two spellings of one host are equal: letter case, a trailing dot, IDNA and the
/// many ways to write an address are normalised exactly as in the URL of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostGrant {
    scheme: Scheme,
    host: Host<String>,
    port: u16,
}

/// Why a text is not a [`HostGrant`]: the fault of whoever wrote the provider's spec, a route or a credential field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostGrantError {
    /// Neither `https` nor `http`.
    #[error("only https and http can be granted")]
    Scheme,
    /// A `*` in the host.
    #[error("wildcards cannot be granted; name each host")]
    Wildcard,
    /// A path, query, fragment or user name beside the host.
    #[error("a grant names a host and nothing more; leave out user name, path, query and fragment")]
    NotOnlyHost,
    /// Not a host name or address, or not a port.
    #[error("not a host; write `api.example.com`, `api.example.com:8443` or `http://pbx.example.com:8088`")]
    Host,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scheme {
    Https,
    Http,
}

impl HostGrant {
    /// Where a request with this URL goes.
    pub fn of_url(url: &Url) -> Result<Self, HostGrantError> {
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(HostGrantError::Scheme),
        };
        let host = match url.host() {
            Some(Host::Domain(name)) => Host::Domain(domain(name)?),
            Some(Host::Ipv4(address)) => Host::Ipv4(address),
            Some(Host::Ipv6(address)) => Host::Ipv6(address),
            None => return Err(HostGrantError::Host),
        };
        match url.port().unwrap_or(scheme.port()) {
            0 => Err(HostGrantError::Host),
            port => Ok(Self { scheme, host, port }),
        }
    }

    /// The host as the URL standard normalises it, without a trailing dot.
    #[must_use]
    pub fn host(&self) -> &Host<String> {
        &self.host
    }

    /// Whether the other is the same host, whatever its scheme and port.
    #[must_use]
    pub fn same_host(&self, other: &Self) -> bool {
        self.host == other.host
    }

    /// Whether the other has the same scheme.
    #[must_use]
    pub fn same_scheme(&self, other: &Self) -> bool {
        self.scheme == other.scheme
    }
}

impl FromStr for HostGrant {
    type Err = HostGrantError;

    fn from_str(text: &str) -> Result<Self, HostGrantError> {
        let (scheme, authority) = text.split_once("://").unwrap_or(("https", text));
        if authority.contains('*') {
            return Err(HostGrantError::Wildcard);
        }
        if authority.contains(['/', '\\', '?', '#', '@']) {
            return Err(HostGrantError::NotOnlyHost);
        }
        // The URL parser drops tabs, line ends and an empty port, and decodes percent signs. In a grant each is a mistake.
        if authority.ends_with(':') || authority.contains(|c: char| c == '%' || c.is_whitespace() || c.is_control()) {
            return Err(HostGrantError::Host);
        }
        if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
            return Err(HostGrantError::Scheme);
        }
        let url = Url::parse(&format!("{scheme}://{authority}/")).map_err(|_| HostGrantError::Host)?;
        Self::of_url(&url)
    }
}

impl TryFrom<String> for HostGrant {
    type Error = HostGrantError;

    fn try_from(text: String) -> Result<Self, HostGrantError> {
        text.parse()
    }
}

impl From<HostGrant> for String {
    fn from(grant: HostGrant) -> Self {
        grant.to_string()
    }
}

/// The shortest spelling that parses to the same grant.
impl fmt::Display for HostGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme == Scheme::Http {
            f.write_str("http://")?;
        }
        write!(f, "{}", self.host)?;
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

/// The name without its trailing dot, lower case and ASCII already by the URL parser.
fn domain(name: &str) -> Result<String, HostGrantError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > HOST_BYTES_MAX || name.split('.').any(str::is_empty) {
        return Err(HostGrantError::Host);
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn grant(text: &str) -> HostGrant {
        text.parse().unwrap()
    }

    #[test]
    fn spellings_of_one_place_are_equal() {
        for (one, other) in [
            ("api.example.com", "https://API.Example.COM"),
            ("api.example.com", "api.example.com:443"),
            ("api.example.com", "api.example.com."),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "bücher。example"),
            ("http://pbx.local", "HTTP://pbx.local:80"),
            ("127.0.0.1", "0x7f.1"),
            ("[::1]:8443", "[0:0:0:0:0:0:0:1]:8443"),
        ] {
            assert_eq!(grant(one), grant(other), "{one} {other}");
        }
    }

    #[test]
    fn different_places_are_different() {
        for other in [
            "http://api.example.com",
            "http://api.example.com:443",
            "api.example.com:8443",
            "example.com",
            "a.api.example.com",
        ] {
            assert_ne!(grant("api.example.com"), grant(other), "{other}");
        }
        assert_ne!(grant("[::ffff:127.0.0.1]"), grant("127.0.0.1"));
    }

    #[test]
    fn the_display_is_the_shortest_spelling_and_parses_back() {
        for text in [
            "api.example.com",
            "api.example.com:8443",
            "http://pbx.local:8088",
            "http://10.0.0.1",
            "[::1]:8443",
        ] {
            assert_eq!(grant(text).to_string(), text);
        }
        assert_eq!(grant("https://api.example.com.:443").to_string(), "api.example.com");
    }

    #[test]
    fn what_is_not_exactly_a_host_is_refused() {
        for (text, error) in [
            ("*.example.com", HostGrantError::Wildcard),
            ("https://*", HostGrantError::Wildcard),
            ("ftp://example.com", HostGrantError::Scheme),
            ("wss://example.com", HostGrantError::Scheme),
            ("://example.com", HostGrantError::Scheme),
            ("example.com/", HostGrantError::NotOnlyHost),
            ("https://example.com/v1", HostGrantError::NotOnlyHost),
            ("example.com?x", HostGrantError::NotOnlyHost),
            ("example.com#x", HostGrantError::NotOnlyHost),
            ("user@example.com", HostGrantError::NotOnlyHost),
            ("user:secret@example.com", HostGrantError::NotOnlyHost),
            ("example.com\\evil", HostGrantError::NotOnlyHost),
            ("", HostGrantError::Host),
            ("https://", HostGrantError::Host),
            ("exa mple.com", HostGrantError::Host),
            ("exam\nple.com", HostGrantError::Host),
            ("ex%61mple.com", HostGrantError::Host),
            ("example.com:", HostGrantError::Host),
            ("example.com:0", HostGrantError::Host),
            ("example.com:65536", HostGrantError::Host),
            ("example.com:https", HostGrantError::Host),
            ("a..example.com", HostGrantError::Host),
            ("example.com..", HostGrantError::Host),
            (".", HostGrantError::Host),
            ("::1", HostGrantError::Host),
            ("1.2.3.4.5", HostGrantError::Host),
        ] {
            assert_eq!(text.parse::<HostGrant>(), Err(error), "{text}");
        }
        let long = format!("{}.example", "a.".repeat(140));
        assert_eq!(long.parse::<HostGrant>(), Err(HostGrantError::Host));
    }
}
