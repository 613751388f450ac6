//! What Asterisk is, which settings it needs, and the configuration that they become.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strowger_sdk::{Encoding, Field, FieldProblem, MediaProfile, ProviderSpec, Sealed, read_credentials};

use crate::destination;

/// The field that [`crate::setup`] mints.
pub(crate) const STASIS_APP: &str = "stasis_app_name";

/// The audio formats of the media socket, in the order of the media profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Ulaw,
    Alaw,
    /// Linear samples at 8 kHz.
    Slin,
    /// Linear samples at 16 kHz.
    Slin16,
}

impl Format {
    /// By Asterisk's name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "ulaw" => Some(Self::Ulaw),
            "alaw" => Some(Self::Alaw),
            "slin" => Some(Self::Slin),
            "slin16" => Some(Self::Slin16),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ulaw => "ulaw",
            Self::Alaw => "alaw",
            Self::Slin => "slin",
            Self::Slin16 => "slin16",
        }
    }

    /// Its place in the media profile.
    pub(crate) const fn index(self) -> u8 {
        self as u8
    }
}

pub(crate) fn spec() -> ProviderSpec {
    // Asterisk runs on machines that keep the lowest byte first, and writes samples as it has them.
    let media = MediaProfile::new(Encoding::Pcmu, 8000)
        .format(Encoding::Pcma, 8000)
        .format(Encoding::L16Le, 8000)
        .format(Encoding::L16Le, 16000)
        .subprotocol("media")
        .echoes_marks();
    ProviderSpec::new("ari", "Asterisk (ARI)", env!("CARGO_PKG_VERSION"), media)
        .docs_url("https://docs.asterisk.org/Configuration/Interfaces/Asterisk-REST-Interface-ARI/")
        .sip()
        .caller_id_optional()
        .no_webhooks()
        .field(
            Field::text("ari_endpoint", "ARI Endpoint")
                .required()
                .placeholder("https://pbx.example.com:8089")
                .describe("Where the gateway reaches Asterisk's HTTP server, with prefix if http.conf has one. A private address must be granted by the operator."),
        )
        .field(
            Field::text("app_name", "ARI Username")
                .required()
                .placeholder("strowger")
                .describe("Name of the user's section in ari.conf; it may not be read-only."),
        )
        .field(
            Field::password("app_password", "ARI Password")
                .required()
                .sensitive()
                .describe("Password of that user in ari.conf."),
        )
        .field(
            Field::text("ws_client_name", "websocket_client.conf Name")
                .required()
                .placeholder("strowger")
                .describe("Name of the section in websocket_client.conf with which Asterisk opens media sockets to this gateway."),
        )
        .field(
            Field::new(strowger_sdk::FieldType::Readonly, STASIS_APP, "Stasis App Name")
                .describe("Made when the configuration is created. The dialplan hands calls over with Stasis() and this name."),
        )
        .field(
            Field::text("dial_string", "Outbound Dial String")
                .section("Advanced")
                .placeholder("PJSIP/{number}@my-trunk")
                .describe("How Asterisk dials; {number} stands for the number or extension. PJSIP/{number} when empty, which only reaches endpoints of that name."),
        )
        .field(
            Field::select(
                "media_format",
                "Audio Format",
                &[
                    ("ulaw", "µ-law, 8 kHz"),
                    ("alaw", "A-law, 8 kHz"),
                    ("slin16", "Linear, 16 kHz"),
                ],
            )
            .section("Advanced")
            .describe("What Asterisk sends to the gateway; µ-law when empty. It translates from and to the caller's codec."),
        )
        .egress_host("{ari_endpoint}")
}

/// What every operation gets.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// `http://host:8088` or `https://host:8089/prefix`, without `/ari` and without a slash at its end.
    pub endpoint: String,
    pub user: String,
    pub password: Sealed,
    /// Empty until it is minted.
    pub stasis_app: String,
    /// Empty in a configuration that cannot work.
    pub media_client: String,
    pub media_format: Format,
    /// With `{number}` in the place of what is dialled.
    pub dial_string: String,
}

#[derive(Deserialize)]
struct Credentials {
    ari_endpoint: Option<String>,
    app_name: Option<String>,
    app_password: Option<String>,
    ws_client_name: Option<String>,
    stasis_app_name: Option<String>,
    dial_string: Option<String>,
    media_format: Option<String>,
}

pub(crate) fn load(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
    let credentials: Credentials = read_credentials(credentials, "ari_endpoint")?;
    let mut problems = Vec::new();
    let mut expect = |holds: bool, field: &str, problem: &str| {
        if !holds {
            problems.push(FieldProblem::new(field, problem));
        }
    };

    let endpoint = credentials.ari_endpoint.unwrap_or_default();
    let endpoint = endpoint.trim().trim_end_matches('/');
    let endpoint = endpoint.strip_suffix("/ari").unwrap_or(endpoint).to_owned();
    expect(
        is_base_url(&endpoint),
        "ari_endpoint",
        "Enter http:// or https://, a host and a port, for example https://pbx.example.com:8089, without user, query or fragment.",
    );
    let user = credentials.app_name.unwrap_or_default();
    expect(
        !user.is_empty() && !user.contains(|letter: char| letter == ':' || letter.is_control()),
        "app_name",
        "Enter the name of the user in ari.conf; a colon cannot be part of it.",
    );
    let password = credentials.app_password.unwrap_or_default();
    expect(
        !password.is_empty(),
        "app_password",
        "Enter the user's password from ari.conf.",
    );
    let media_client = credentials.ws_client_name.unwrap_or_default();
    expect(
        is_section_name(&media_client),
        "ws_client_name",
        "Use letters, digits, dots, hyphens and underscores, as in the section's name in websocket_client.conf.",
    );
    let stasis_app = credentials.stasis_app_name.unwrap_or_default();
    expect(
        is_section_name(&stasis_app),
        STASIS_APP,
        "A Stasis application's name has letters, digits, dots, hyphens and underscores.",
    );
    let dial_string = credentials
        .dial_string
        .filter(|template| !template.is_empty())
        .unwrap_or_else(|| destination::DEFAULT.to_owned());
    expect(
        destination::is_dial_string(&dial_string),
        "dial_string",
        "Enter one technology and resource with {number} in it once, for example PJSIP/{number}@my-trunk.",
    );
    let media_format = match credentials.media_format.as_deref() {
        None | Some("") => Some(Format::Ulaw),
        Some(name) => Format::named(name),
    };
    expect(
        media_format.is_some(),
        "media_format",
        "Choose one of ulaw, alaw and slin16.",
    );
    match media_format {
        Some(media_format) if problems.is_empty() => Ok(Config {
            endpoint,
            user,
            password: Sealed::new(password),
            stasis_app,
            media_client,
            media_format,
            dial_string,
        }),
        _ => Err(problems),
    }
}

/// Scheme, host, perhaps a port and a path; the password is sent there.
fn is_base_url(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return false;
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.rsplit_once(':') {
        // The last colon of an IPv6 address stands inside its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => {
            !address.is_empty()
                && address
                    .bytes()
                    .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
        }
        None => !host.is_empty() && host.bytes().all(name),
    };
    is_host
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
        && path.split('/').all(|segment| !matches!(segment, "." | ".."))
        && path.bytes().all(|b| name(b) || matches!(b, b'/' | b'~'))
}

/// It stands between slashes and in front of parentheses in a dial string, and in the query of an address.
fn is_section_name(name: &str) -> bool {
    name.len() <= 64
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn credentials() -> Value {
        json!({
            "ari_endpoint": "https://pbx.example.com:8089/", "app_name": "strowger", "app_password": "sealed:p",
            "ws_client_name": "gateway", "stasis_app_name": "strowger-0123456789ab",
        })
    }

    fn with(field: &str, value: &str) -> Result<Config, Vec<String>> {
        let mut credentials = credentials();
        credentials[field] = value.into();
        load(credentials).map_err(|problems| problems.into_iter().map(|problem| problem.field).collect())
    }

    #[test]
    fn credentials_become_a_configuration() {
        let config = load(credentials()).unwrap();
        assert_eq!(config.endpoint, "https://pbx.example.com:8089");
        assert_eq!(
            (config.media_format, config.dial_string.as_str()),
            (Format::Ulaw, "PJSIP/{number}")
        );
        // Before the first saving, and in rows that something has spoiled.
        let young = json!({ "ari_endpoint": "http://10.0.0.1:8088/ari", "app_name": "a", "app_password": "sealed:p" });
        let config = load(young).unwrap();
        assert_eq!(config.endpoint, "http://10.0.0.1:8088");
        assert_eq!((config.stasis_app.as_str(), config.media_client.as_str()), ("", ""));
    }

    #[test]
    fn an_endpoint_is_an_origin_and_a_path() {
        for endpoint in [
            "http://[::1]:8088",
            "http://[::1]",
            "http://pbx",
            "https://pbx.example.com/asterisk",
        ] {
            assert!(with("ari_endpoint", endpoint).is_ok(), "{endpoint}");
        }
        for endpoint in [
            "",
            "pbx.example.com:8088",
            "ws://pbx",
            "http://",
            "http://:8088",
            "http://pbx:0",
            "http://pbx:80880",
            "http://pbx:x",
            "http://user:pass@pbx",
            "http://pbx?x=1",
            "http://pbx#x",
            "http://pbx/../x",
            "http://pbx/%2e",
            "http://[x]",
            "http://p bx",
        ] {
            assert_eq!(
                with("ari_endpoint", endpoint).unwrap_err(),
                ["ari_endpoint"],
                "{endpoint}"
            );
        }
    }

    #[test]
    fn names_cannot_leave_their_place() {
        for name in ["a/b", "a(b)", "a b", "a&b", "ä", &"a".repeat(65)] {
            assert_eq!(with("ws_client_name", name).unwrap_err(), ["ws_client_name"]);
            assert_eq!(with(STASIS_APP, name).unwrap_err(), [STASIS_APP]);
        }
        assert_eq!(with("app_name", "a:b").unwrap_err(), ["app_name"]);
        assert_eq!(with("dial_string", "PJSIP/6001").unwrap_err(), ["dial_string"]);
        assert_eq!(with("media_format", "opus").unwrap_err(), ["media_format"]);
        assert_eq!(with("media_format", "slin16").unwrap().media_format, Format::Slin16);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let problems = load(json!({ "media_format": "opus" })).unwrap_err();
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["ari_endpoint", "app_name", "app_password", "media_format"]);
        assert_eq!(load(json!([])).unwrap_err()[0].field, "ari_endpoint");
    }

    #[test]
    fn formats_stand_in_the_order_of_the_profile() {
        let formats = spec().media.formats;
        for (format, encoding, rate) in [
            (Format::Ulaw, Encoding::Pcmu, 8000),
            (Format::Alaw, Encoding::Pcma, 8000),
            (Format::Slin, Encoding::L16Le, 8000),
            (Format::Slin16, Encoding::L16Le, 16000),
        ] {
            let wire = &formats[usize::from(format.index())];
            assert_eq!((wire.encoding, wire.sample_rate_hz), (encoding, rate));
            assert_eq!(Format::named(format.name()), Some(format));
        }
    }
}
