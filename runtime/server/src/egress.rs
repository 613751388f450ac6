//! The one door for outgoing HTTP.
//!
//! A request passes when its host was granted, its parts are well-formed and every address of the host is public or in
//! a range that the operator granted; then the connection goes to exactly the addresses that were checked. Redirects
//! are answers like any other, proxies in the environment are ignored, and time and sizes are bounded. Whatever is
//! refused is refused before a byte leaves, with an [`EgressError`] that says whose move it is.
//!
//! Not for secrets: what this module is given is final. Credentials are put in place before, replies are sealed after.
//!
//! The most important types: [`Egress`], [`EgressConfig`], [`HostGrant`], [`EgressError`]. Beside requests there are
//! WebSockets: [`Egress::open_socket`].

mod address;
mod dial;
mod grant;
mod resolve;
mod socket;
#[cfg(test)]
mod tests;
pub(crate) mod websocket;

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use reqwest::redirect;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use url::{Host, Url};

pub use self::address::{AddressPolicy, IpNetwork, IpNetworkError, NetworkClass};
pub use self::dial::{CheckedDial, Dial, DialError, tls_config};
pub use self::grant::{HostGrant, HostGrantError};
use self::resolve::{CheckedResolver, Refusal, RoutedResolver};
pub use self::resolve::{Lookup, Resolver, SystemResolver};
pub use self::socket::{SocketError, SocketRequest};
pub use self::websocket::WebSocket;

/// What carriers are told that we are. A provider cannot change it.
const USER_AGENT: &str = concat!("strowger/", env!("CARGO_PKG_VERSION"));

const METHODS: [(&str, Method); 5] = [
    ("GET", Method::GET),
    ("POST", Method::POST),
    ("PUT", Method::PUT),
    ("PATCH", Method::PATCH),
    ("DELETE", Method::DELETE),
];

/// Beyond this length servers begin to refuse URLs; no carrier's API comes near.
const URL_BYTES_MAX: usize = 8 * 1024;

/// Generous for an API request; keeps a request head within what servers accept.
const REQUEST_HEADERS_MAX: usize = 64;
const REQUEST_HEADER_BYTES_MAX: usize = 16 * 1024;

/// Names and values together. Larger heads are an attack or an accident.
const RESPONSE_HEADER_BYTES_MAX: usize = 64 * 1024;

/// Shorter than the usual keep-alive of servers and load balancers, so that a reused connection is seldom a dead one.
const POOL_IDLE: Duration = Duration::from_secs(50);
const POOL_IDLE_CONNECTIONS_PER_HOST_MAX: usize = 32;

/// What is read of a body that nobody wants, in bytes: an acknowledgement, not a page.
const IGNORED_BYTES_MAX: usize = 16 * 1024;
/// How long it is read.
const IGNORED_WITHIN: Duration = Duration::from_secs(1);

/// Headers that belong to the connection or that the runtime sets itself. A caller who could set them could make two
/// servers disagree about where a request ends (RFC 9112 §11.2), or name another host than the one that was checked.
const RUNTIME_HEADERS: [&str; 15] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// The bounds and the operator's permissions of outgoing HTTP.
#[derive(Debug, Clone)]
pub struct EgressConfig {
    /// For name lookup, TCP and TLS together.
    pub connect_timeout: Duration,
    /// From handing over the request to the last byte of the response.
    pub total_timeout: Duration,
    /// Of the request's body.
    pub request_bytes_max: usize,
    /// Of the response's body, as it comes over the wire; nothing is decompressed.
    pub response_bytes_max: usize,
    /// Number of header lines in a response.
    pub response_headers_max: usize,
    /// Ranges that are not public and that granted hosts may lie in all the same: a PBX on the operator's own network.
    pub allow_networks: Vec<IpNetwork>,
    /// Whether hosts may lie in those ranges only, and not on the public internet.
    pub granted_only: bool,
    /// Hosts that something else stands in for.
    pub routes: Vec<Route>,
    /// Certificate authorities that are trusted beside the public ones, for a PBX with certificates of its own.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

/// What is meant for one host goes to another base URL: a simulator, a recording proxy, a regional gateway.
///
/// Permission is decided for the original host. The base is the operator's own word and may lie in any network, but
/// only for requests that come by this route; a provider that names the base itself gains nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Scheme, host and port that requests are meant for.
    pub host: HostGrant,
    /// Where they go instead: `http` or `https`. The path and query of the request are appended to its path.
    pub base: Url,
}

/// A request to be sent. Its `Debug` shows neither path, header values nor body: secrets and phone numbers live there.
pub struct Request<'a> {
    /// GET, POST, PUT, PATCH or DELETE, in capitals.
    pub method: String,
    /// Absolute, without user name and password.
    pub url: String,
    /// In order, repeated names allowed. Not those that the runtime sets, such as `host` and `content-length`.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Raw bytes; empty for none.
    pub body: Bytes,
    /// The hosts that this caller may reach.
    pub grants: &'a [HostGrant],
}

/// What came back, whatever its status. Its `Debug` shows neither header values nor body.
pub struct Response {
    /// Any final status; a redirect is returned like everything else.
    pub status: u16,
    /// Names in lower case, in order of arrival as far as the client keeps it, values as raw bytes.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Raw bytes, not decompressed.
    pub body: Bytes,
}

/// Why there is no response. No text of it contains a path, a query, a header value or an address.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The request itself cannot be sent: the provider's fault.
    #[error("invalid request: {what}")]
    InvalidRequest {
        /// The cause and the cure.
        what: String,
    },
    /// Nobody granted this host: the provider must declare it and the operator grant it.
    #[error("`{host}` is not a host that this provider may reach; declare it in `egress-hosts` and have it granted")]
    HostNotAllowed {
        /// In the spelling of a grant, with the port when it is not the scheme's own.
        host: String,
    },
    /// The host may be reached, but not in this way; or it is not HTTP at all.
    #[error("`{scheme}` is not allowed for `{host}`; only what is granted, `https` unless the grant says `http://`")]
    SchemeNotAllowed {
        /// As the request had it.
        scheme: String,
        /// Without the scheme.
        host: String,
    },
    /// The host has an address that is not public: an attack, or a PBX whose network the operator has yet to grant.
    #[error(
        "`{host}` has an address in a {network} network; if it is meant, the operator adds its range to `allow_networks`"
    )]
    PrivateAddress {
        /// In the spelling of a grant.
        host: String,
        /// Of the first such address. Which one it is stays untold: it would map the operator's network.
        network: NetworkClass,
    },
    /// The name has no address: misspelt, or the name service is out of order.
    #[error("the name of `{host}` cannot be resolved; check its spelling and the name service of this machine")]
    Resolve {
        /// In the spelling of a grant.
        host: String,
        /// The resolver's own words.
        #[source]
        source: Arc<io::Error>,
    },
    /// No address accepted a connection: the remote side is down or something between is closed.
    #[error("cannot connect to `{host}`: {reason}; check that it is up and that no firewall is between")]
    Connect {
        /// In the spelling of a grant.
        host: String,
        /// What the operating system said.
        reason: io::ErrorKind,
    },
    /// The remote side did not prove that it is the host.
    #[error("no trustworthy TLS with `{host}`; it needs a valid certificate for this name from a known authority")]
    Tls {
        /// In the spelling of a grant.
        host: String,
        /// What was wrong with the handshake.
        #[source]
        source: rustls::Error,
    },
    /// The remote side is too slow, or the path to it loses packets.
    #[error("`{host}` did not {} within {limit_ms} ms", match .phase { Phase::Connect => "accept a connection", Phase::Response => "complete its response" })]
    Timeout {
        /// In the spelling of a grant.
        host: String,
        /// How far it came.
        phase: Phase,
        /// The limit that passed, in milliseconds.
        limit_ms: u128,
    },
    /// The provider sends or the remote side answers with more than is allowed.
    #[error("the {part} is larger than the limit of {limit} {}", .part.unit())]
    TooLarge {
        /// What is too large.
        part: Part,
        /// In the unit of the part.
        limit: usize,
    },
    /// The connection stood, but no complete and well-formed response came over it: the remote side's fault.
    #[error("`{host}` ended the exchange before its response was complete, or did not answer in HTTP")]
    Interrupted {
        /// In the spelling of a grant.
        host: String,
    },
}

/// How far an exchange came before its time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was sent.
    Connect,
    /// The request may have arrived.
    Response,
}

/// The part of an exchange that has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// In bytes.
    Url,
    /// In bytes.
    RequestBody,
    /// In lines.
    RequestHeaders,
    /// In bytes.
    RequestHeaderBytes,
    /// In bytes.
    ResponseBody,
    /// In lines.
    ResponseHeaders,
    /// In bytes.
    ResponseHeaderBytes,
}

/// Why the door cannot be set up: the operator's fault, or that of this build.
#[derive(Debug, thiserror::Error)]
pub enum EgressConfigError {
    /// Two routes for one host; which one holds would be a guess.
    #[error("there are two routes for `{host}`; remove one")]
    RouteTwice {
        /// The host of both.
        host: HostGrant,
    },
    /// The base of a route is not a plain HTTP URL.
    #[error("the base of the route for `{host}` must be an http or https URL without user name, query and fragment")]
    RouteBase {
        /// The host of the route.
        host: HostGrant,
    },
    /// An extra root is not a certificate.
    #[error("an extra root is not a usable certificate")]
    Root(#[source] rustls::Error),
    /// The TLS provider lacks a protocol version.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client does not accept its settings.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// The door. Cheap to clone; all clones share one set of pooled connections.
#[derive(Debug, Clone)]
pub struct Egress {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: EgressConfig,
    policy: Arc<AddressPolicy>,
    routes: HashMap<HostGrant, Url>,
    /// Connects only to addresses that `policy` accepts.
    checked: reqwest::Client,
    /// Connects to the bases of routes. A client, and so a pool and a resolver, of its own: a connection that a route
    /// opened into a private network is out of reach for a request that merely names the same host.
    routed: reqwest::Client,
    /// The same two for WebSockets.
    checked_dial: CheckedDial,
    routed_dial: CheckedDial,
}

/// Which part of a response the caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Everything,
    Status,
}

/// What is logged of a request, filled in as it becomes known.
struct Record {
    method: &'static str,
    host: String,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(15),
            request_bytes_max: 1024 * 1024,
            response_bytes_max: 1024 * 1024,
            response_headers_max: 100,
            allow_networks: Vec::new(),
            granted_only: false,
            routes: Vec::new(),
            extra_roots: Vec::new(),
        }
    }
}

impl Egress {
    /// A door with these bounds, using the machine's name service.
    pub fn new(config: EgressConfig) -> Result<Self, EgressConfigError> {
        Self::with_resolver(config, Arc::new(SystemResolver))
    }

    /// As [`Egress::new`], with names resolved by something else.
    pub fn with_resolver(config: EgressConfig, resolver: Arc<dyn Resolver>) -> Result<Self, EgressConfigError> {
        let routes = routes(&config.routes)?;
        let policy = Arc::new(if config.granted_only {
            AddressPolicy::only(config.allow_networks.clone())
        } else {
            AddressPolicy::new(config.allow_networks.clone())
        });
        let tls = tls(&config.extra_roots)?;

        let hosts = routes
            .values()
            .filter_map(|base| base.host_str().map(str::to_owned))
            .collect::<HashSet<_>>();
        let checked = CheckedResolver {
            resolver: Arc::clone(&resolver),
            policy: Arc::clone(&policy),
        };
        let checked = client(&config, tls.clone())
            .dns_resolver(checked)
            .build()
            .map_err(EgressConfigError::Client)?;
        let routed = client(&config, tls)
            .dns_resolver(RoutedResolver {
                resolver: Arc::clone(&resolver),
                hosts,
            })
            .build()
            .map_err(EgressConfigError::Client)?;

        let tls = tls_config(&config.extra_roots).map_err(EgressConfigError::Tls)?;
        let addresses = Arc::clone(&policy);
        let checked_dial = CheckedDial::new(
            move |address| addresses.check(address),
            Arc::clone(&resolver),
            Arc::clone(&tls),
        );
        // A route's base is the operator's own word.
        let routed_dial = CheckedDial::new(|_| Ok(()), resolver, tls);
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                policy,
                routes,
                checked,
                routed,
                checked_dial,
                routed_dial,
            }),
        })
    }

    /// Sends one request and waits for the whole response. Called for every request that leaves this process.
    ///
    /// Nothing is retried after it may have arrived; [`EgressError::may_have_arrived`] tells the caller whether a
    /// repetition could act twice. Dropping the future abandons the exchange.
    pub async fn send(&self, request: Request<'_>) -> Result<Response, EgressError> {
        self.logged(request, Wanted::Everything).await
    }

    /// The same when only the status matters. What the remote side says beyond its head, whatever its size, is not kept, and
    /// not read to an end that is far.
    pub async fn send_for_status(&self, request: Request<'_>) -> Result<u16, EgressError> {
        let response = self.logged(request, Wanted::Status).await?;
        Ok(response.status)
    }

    async fn logged(&self, request: Request<'_>, wanted: Wanted) -> Result<Response, EgressError> {
        let started = Instant::now();
        let mut record = Record {
            method: "-",
            host: "-".to_owned(),
        };
        let outcome = self.attempt(request, wanted, &mut record).await;
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Record { method, host } = record;
        match &outcome {
            Ok(response) => tracing::info!(method, host, status = response.status, milliseconds, "egress"),
            Err(error) => tracing::warn!(method, host, status = error.code(), milliseconds, "egress"),
        }
        outcome
    }

    async fn attempt(
        &self,
        request: Request<'_>,
        wanted: Wanted,
        record: &mut Record,
    ) -> Result<Response, EgressError> {
        let (method_name, method) = METHODS
            .iter()
            .find(|(name, _)| *name == request.method)
            .ok_or_else(|| invalid("the method is not one of GET, POST, PUT, PATCH and DELETE"))?;
        record.method = method_name;

        let mut url = parse_url(&request.url)?;
        let target = target_of(&url)?;
        let host = target.to_string();
        record.host.clone_from(&host);
        check_grant(&target, &host, url.scheme(), request.grants)?;

        let headers = header_map(&request.headers)?;
        let limit = self.inner.config.request_bytes_max;
        if request.body.len() > limit {
            return Err(EgressError::TooLarge {
                part: Part::RequestBody,
                limit,
            });
        }

        let client = match self.inner.routes.get(&target) {
            Some(base) => {
                url = routed_url(base, &url);
                &self.inner.routed
            }
            None => {
                self.check_literal(&target, &host)?;
                normalise_host(&mut url, &target)?;
                &self.inner.checked
            }
        };
        check_client_agrees(&url)?;

        let mut sending = client.request(method.clone(), url).headers(headers);
        if !request.body.is_empty() {
            sending = sending.body(request.body);
        } else if matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
            // The client leaves the length of an empty body out, and some servers answer 411 (RFC 9110 §8.6).
            sending = sending.header(CONTENT_LENGTH, 0);
        }
        let total = self.inner.config.total_timeout;
        match tokio::time::timeout(total, self.exchange(sending, wanted, &host)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(EgressError::Timeout {
                host,
                phase: Phase::Response,
                limit_ms: total.as_millis(),
            }),
        }
    }

    /// Addresses in a URL are connected to without a lookup, so the resolver never sees them.
    fn check_literal(&self, target: &HostGrant, host: &str) -> Result<(), EgressError> {
        let address = match target.host() {
            Host::Ipv4(address) => (*address).into(),
            Host::Ipv6(address) => (*address).into(),
            Host::Domain(name) => match name.parse() {
                // The URL standard lets no domain look like an address; the HTTP client would take this one for one.
                Ok(address) => address,
                Err(_) => return Ok(()),
            },
        };
        self.inner
            .policy
            .check(address)
            .map_err(|network| EgressError::PrivateAddress {
                host: host.to_owned(),
                network,
            })
    }

    async fn exchange(
        &self,
        sending: reqwest::RequestBuilder,
        wanted: Wanted,
        host: &str,
    ) -> Result<Response, EgressError> {
        let config = &self.inner.config;
        let mut response = sending.send().await.map_err(|error| self.failure(host, &error))?;
        if wanted == Wanted::Status {
            // A connection whose answer was read to its end can be used again; one with more to say is closed.
            let mut left = IGNORED_BYTES_MAX;
            let ignored = async {
                while let Ok(Some(chunk)) = response.chunk().await {
                    match left.checked_sub(chunk.len()) {
                        Some(rest) => left = rest,
                        None => break,
                    }
                }
            };
            drop(tokio::time::timeout(IGNORED_WITHIN, ignored).await);
            return Ok(Response {
                status: response.status().as_u16(),
                headers: Vec::new(),
                body: Bytes::new(),
            });
        }

        if response.headers().len() > config.response_headers_max {
            return Err(EgressError::TooLarge {
                part: Part::ResponseHeaders,
                limit: config.response_headers_max,
            });
        }
        let header_bytes: usize = response
            .headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if header_bytes > RESPONSE_HEADER_BYTES_MAX {
            return Err(EgressError::TooLarge {
                part: Part::ResponseHeaderBytes,
                limit: RESPONSE_HEADER_BYTES_MAX,
            });
        }
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect();

        let limit = config.response_bytes_max;
        let too_large = EgressError::TooLarge {
            part: Part::ResponseBody,
            limit,
        };
        let announced = response.content_length().unwrap_or(0);
        if announced > limit as u64 {
            return Err(too_large);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failure(host, &error))? {
            if chunk.len() > limit - body.len() {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response {
            status: response.status().as_u16(),
            headers,
            body: body.into(),
        })
    }

    /// Finds in the client's chain of errors what went wrong. The chain itself is dropped: it contains addresses.
    fn failure(&self, host: &str, error: &reqwest::Error) -> EgressError {
        let host = host.to_owned();
        match find::<Refusal>(error) {
            Some(Refusal::NotPublic(network)) => {
                return EgressError::PrivateAddress {
                    host,
                    network: *network,
                };
            }
            Some(Refusal::Unresolved(source)) => {
                return EgressError::Resolve {
                    host,
                    source: Arc::clone(source),
                };
            }
            Some(Refusal::NotRouted) => return EgressError::HostNotAllowed { host },
            None => {}
        }
        if error.is_connect() {
            if let Some(source) = find::<rustls::Error>(error) {
                return EgressError::Tls {
                    host,
                    source: source.clone(),
                };
            }
            if error.is_timeout() {
                let limit_ms = self.inner.config.connect_timeout.as_millis();
                return EgressError::Timeout {
                    host,
                    phase: Phase::Connect,
                    limit_ms,
                };
            }
            let reason = find::<io::Error>(error).map_or(io::ErrorKind::Other, io::Error::kind);
            return EgressError::Connect { host, reason };
        }
        // The client's type for this is not public; a test notices when its words change.
        if chain(error).any(|error| error.to_string() == "message head is too large") {
            return EgressError::TooLarge {
                part: Part::ResponseHeaders,
                limit: self.inner.config.response_headers_max,
            };
        }
        EgressError::Interrupted { host }
    }
}

impl EgressError {
    /// A short stable name of the variant, for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest { .. } => "invalid-request",
            Self::HostNotAllowed { .. } => "host-not-allowed",
            Self::SchemeNotAllowed { .. } => "scheme-not-allowed",
            Self::PrivateAddress { .. } => "private-address",
            Self::Resolve { .. } => "resolve",
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::Timeout { .. } => "timeout",
            Self::TooLarge { .. } => "too-large",
            Self::Interrupted { .. } => "interrupted",
        }
    }

    /// Whether the remote side may have received the request and acted on it: a call may ring although this is an error.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Timeout { phase, .. } => *phase == Phase::Response,
            Self::TooLarge { part, .. } => matches!(
                part,
                Part::ResponseBody | Part::ResponseHeaders | Part::ResponseHeaderBytes
            ),
            Self::Interrupted { .. } => true,
            Self::InvalidRequest { .. }
            | Self::HostNotAllowed { .. }
            | Self::SchemeNotAllowed { .. }
            | Self::PrivateAddress { .. }
            | Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Tls { .. } => false,
        }
    }
}

impl Part {
    fn unit(self) -> &'static str {
        match self {
            Self::RequestHeaders | Self::ResponseHeaders => "lines",
            Self::Url
            | Self::RequestBody
            | Self::RequestHeaderBytes
            | Self::ResponseBody
            | Self::ResponseHeaderBytes => "bytes",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "URL",
            Self::RequestBody => "request's body",
            Self::RequestHeaders | Self::RequestHeaderBytes => "request's head",
            Self::ResponseBody => "response's body",
            Self::ResponseHeaders | Self::ResponseHeaderBytes => "response's head",
        })
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = Url::parse(&self.url).ok().and_then(|url| HostGrant::of_url(&url).ok());
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("target", &target.map(|target| target.to_string()))
            .field("headers", &names(&self.headers))
            .field("body_bytes", &self.body.len())
            .field("grants", &self.grants)
            .finish()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &names(&self.headers))
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

fn names(headers: &[(String, Vec<u8>)]) -> Vec<&str> {
    headers.iter().map(|(name, _)| name.as_str()).collect()
}

fn invalid(what: &str) -> EgressError {
    EgressError::InvalidRequest { what: what.to_owned() }
}

fn parse_url(text: &str) -> Result<Url, EgressError> {
    if text.len() > URL_BYTES_MAX {
        return Err(EgressError::TooLarge {
            part: Part::Url,
            limit: URL_BYTES_MAX,
        });
    }
    // The URL standard drops tabs and line ends wherever they stand and trims spaces: `exa\nmple.com` would pass.
    if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(invalid(
            "the URL contains a space or a control character; percent-encode it",
        ));
    }
    let mut url =
        Url::parse(text).map_err(|_| invalid("the URL is not an absolute http or https URL with a valid host"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "the URL contains a user name or password; use the request's authorization",
        ));
    }
    url.set_fragment(None);
    Ok(url)
}

fn target_of(url: &Url) -> Result<HostGrant, EgressError> {
    HostGrant::of_url(url).map_err(|error| match error {
        HostGrantError::Scheme => EgressError::SchemeNotAllowed {
            // Long enough for every scheme there is, short enough for a log line.
            scheme: url.scheme().chars().take(16).collect(),
            host: url.host_str().unwrap_or("-").chars().take(253).collect(),
        },
        HostGrantError::Wildcard | HostGrantError::NotOnlyHost | HostGrantError::Host => {
            invalid("the URL's host is not a host name or address, or its port is 0")
        }
    })
}

fn check_grant(target: &HostGrant, host: &str, scheme: &str, grants: &[HostGrant]) -> Result<(), EgressError> {
    if grants.contains(target) {
        return Ok(());
    }
    let mut same_host = grants.iter().filter(|grant| grant.same_host(target)).peekable();
    if same_host.peek().is_some() && !same_host.any(|grant| grant.same_scheme(target)) {
        let host = host.strip_prefix("http://").unwrap_or(host).to_owned();
        return Err(EgressError::SchemeNotAllowed {
            scheme: scheme.to_owned(),
            host,
        });
    }
    Err(EgressError::HostNotAllowed { host: host.to_owned() })
}

fn header_map(headers: &[(String, Vec<u8>)]) -> Result<HeaderMap, EgressError> {
    if headers.len() > REQUEST_HEADERS_MAX {
        return Err(EgressError::TooLarge {
            part: Part::RequestHeaders,
            limit: REQUEST_HEADERS_MAX,
        });
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > REQUEST_HEADER_BYTES_MAX {
        return Err(EgressError::TooLarge {
            part: Part::RequestHeaderBytes,
            limit: REQUEST_HEADER_BYTES_MAX,
        });
    }
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid("a header's name is not a token; letters, digits and hyphens"))?;
        if RUNTIME_HEADERS.contains(&name.as_str()) {
            return Err(EgressError::InvalidRequest {
                what: format!("the header `{name}` is set by the runtime; leave it out"),
            });
        }
        let mut value = HeaderValue::from_bytes(value).map_err(|_| EgressError::InvalidRequest {
            what: format!("the value of the header `{name}` contains a control character"),
        })?;
        // Which values are secret is not known here; none is put into a compression table or into a debug output.
        value.set_sensitive(true);
        map.append(name, value);
    }
    Ok(map)
}

/// The host in the form that was compared and that certificates have: without a trailing dot.
fn normalise_host(url: &mut Url, target: &HostGrant) -> Result<(), EgressError> {
    if let Host::Domain(name) = target.host() {
        url.set_host(Some(name))
            .map_err(|_| invalid("the URL's host is not a host name"))?;
    }
    Ok(())
}

/// The client reads the URL again with another parser. What was checked and what is connected to must be one thing.
fn check_client_agrees(url: &Url) -> Result<(), EgressError> {
    let agrees = |uri: &Uri| {
        uri.host() == url.host_str() && uri.port_u16() == url.port() && uri.scheme_str() == Some(url.scheme())
    };
    match url.as_str().parse::<Uri>() {
        Ok(uri) if agrees(&uri) => Ok(()),
        _ => Err(invalid(
            "the URL contains characters that HTTP does not allow; percent-encode them",
        )),
    }
}

fn routed_url(base: &Url, url: &Url) -> Url {
    let mut routed = base.clone();
    routed.set_path(&format!("{}{}", base.path().trim_end_matches('/'), url.path()));
    routed.set_query(url.query());
    routed
}

fn routes(routes: &[Route]) -> Result<HashMap<HostGrant, Url>, EgressConfigError> {
    let mut map = HashMap::with_capacity(routes.len());
    for Route { host, base } in routes {
        let plain = matches!(base.scheme(), "http" | "https")
            && base.has_host()
            && base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none();
        if !plain {
            return Err(EgressConfigError::RouteBase { host: host.clone() });
        }
        if map.insert(host.clone(), base.clone()).is_some() {
            return Err(EgressConfigError::RouteTwice { host: host.clone() });
        }
    }
    Ok(map)
}

fn tls(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, EgressConfigError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for root in extra_roots {
        roots.add(root.clone()).map_err(EgressConfigError::Root)?;
    }
    let mut tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(EgressConfigError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A ready-made configuration is used as it is: the client offers HTTP/2 only if we do.
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

fn client(config: &EgressConfig, tls: ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_IDLE_CONNECTIONS_PER_HOST_MAX)
        .http1_max_headers(config.response_headers_max)
        .http2_max_header_list_size(u32::try_from(RESPONSE_HEADER_BYTES_MAX).unwrap_or(u32::MAX))
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // An I/O error that wraps another one names as its source not that one but what is behind it.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}
