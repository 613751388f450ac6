//! What Twilio is, which settings an account has, and the configuration that they become.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strowger_sdk::{Encoding, Field, FieldProblem, MediaProfile, ProviderSpec, Route, Sealed, read_credentials};

pub(crate) const ANSWER: &str = "answer";
pub(crate) const STATUS_CALLBACK: &str = "status-callback";
/// Events of the `<Stream>`, which are not events of the call.
pub(crate) const STREAM_CALLBACK: &str = "stream-callback";
/// What became of the second leg of a transfer.
pub(crate) const TRANSFER_RESULT: &str = "transfer-result";

const DEFAULT_HOST: &str = "api.twilio.com";

pub(crate) fn spec() -> ProviderSpec {
    ProviderSpec::new(
        "twilio",
        "Twilio",
        env!("CARGO_PKG_VERSION"),
        MediaProfile::new(Encoding::Pcmu, 8000).echoes_marks(),
    )
    .docs_url("https://www.twilio.com/docs/voice")
    .field(
        Field::text("account_sid", "Account SID")
            .required()
            .sensitive()
            .placeholder("AC0123456789abcdef0123456789abcdef")
            .describe("On the front page of the Twilio Console; it starts with AC."),
    )
    .field(
        Field::password("auth_token", "Auth Token")
            .required()
            .sensitive()
            .account_scoped()
            .describe("Signs webhooks and authorises API requests. A region outside the US has a token of its own."),
    )
    .field(
        Field::boolean("amd_enabled", "Answering Machine Detection")
            .describe("Lets outbound calls ask who answered. Twilio bills it separately."),
    )
    .field(
        Field::password("webhook_shared_key", "Webhook Shared Key")
            .sensitive()
            .account_scoped()
            .section("Advanced")
            .describe("Only when the account signs its webhooks with a shared key (HMAC-SHA256)."),
    )
    .field(
        Field::text("region", "Region")
            .section("Advanced")
            .placeholder("ie1")
            .describe("Twilio region that processes the calls; empty for US1. Needs the edge location as well."),
    )
    .field(
        Field::text("edge", "Edge Location")
            .section("Advanced")
            .placeholder("dublin")
            .describe("Edge location through which the region's API is reached."),
    )
    .account_id_field("account_sid")
    .route(Route::answer(ANSWER))
    .route(Route::callback(STATUS_CALLBACK))
    .route(Route::callback(STREAM_CALLBACK))
    .route(Route::transfer(TRANSFER_RESULT))
    .egress_host(DEFAULT_HOST)
    .egress_host("api.{edge}.{region}.twilio.com")
}

/// What every operation gets.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub account_sid: String,
    pub auth_token: Sealed,
    /// Key of HMAC-SHA256 signatures, where the account uses them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_shared_key: Option<Sealed>,
    /// Whether outbound calls may ask for answering-machine detection, which costs extra.
    pub detect_machines: bool,
    /// Host of the REST API.
    pub api_host: String,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    account_sid: String,
    #[serde(default)]
    auth_token: String,
    webhook_shared_key: Option<String>,
    amd_enabled: Option<bool>,
    region: Option<String>,
    edge: Option<String>,
}

pub(crate) fn load(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
    let credentials: Credentials = read_credentials(credentials, "account_sid")?;
    let mut problems = Vec::new();
    if !is_account_sid(&credentials.account_sid) {
        problems.push(FieldProblem::new(
            "account_sid",
            "An Account SID is AC followed by 32 digits and letters a to f; copy it from the Twilio Console.",
        ));
    }
    if credentials.auth_token.is_empty() {
        problems.push(FieldProblem::new(
            "auth_token",
            "Enter the Auth Token from the Twilio Console.",
        ));
    }

    let region = credentials.region.filter(|region| !region.is_empty());
    let edge = credentials.edge.filter(|edge| !edge.is_empty());
    for (field, value) in [("region", &region), ("edge", &edge)] {
        if value.as_deref().is_some_and(|label| !is_host_label(label)) {
            problems.push(FieldProblem::new(
                field,
                "Use Twilio's short name: lower-case letters, digits and hyphens, for example ie1 or dublin.",
            ));
        }
    }
    let api_host = match (region, edge) {
        (Some(region), Some(edge)) => format!("api.{edge}.{region}.twilio.com"),
        (None, None) => DEFAULT_HOST.to_owned(),
        (Some(_), None) => {
            problems.push(FieldProblem::new(
                "edge",
                "A region needs its edge location; enter both or neither.",
            ));
            String::new()
        }
        (None, Some(_)) => {
            problems.push(FieldProblem::new(
                "region",
                "An edge location needs its region; enter both or neither.",
            ));
            String::new()
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Config {
        account_sid: credentials.account_sid,
        auth_token: Sealed::new(credentials.auth_token),
        webhook_shared_key: credentials
            .webhook_shared_key
            .filter(|key| !key.is_empty())
            .map(Sealed::new),
        detect_machines: credentials.amd_enabled.unwrap_or(false),
        api_host,
    })
}

/// Carriers that imitate Twilio's webhooks put other identifiers, with dots, in the same place.
pub(crate) fn is_account_sid(text: &str) -> bool {
    text.strip_prefix("AC")
        .is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// Part of the host name that secrets are sent to, so nothing but a plain label will do (RFC 1123 §2.1).
fn is_host_label(text: &str) -> bool {
    let inner = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'-');
    text.len() <= 63 && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SID: &str = "AC0123456789abcdef0123456789abcdef";

    fn problems(credentials: Value) -> Vec<String> {
        load(credentials)
            .unwrap_err()
            .into_iter()
            .map(|problem| problem.field)
            .collect()
    }

    #[test]
    fn credentials_become_a_configuration() {
        let config = load(json!({ "account_sid": SID, "auth_token": "sealed:a", "region": "", "edge": null })).unwrap();
        assert_eq!(config.api_host, "api.twilio.com");
        assert!(!config.detect_machines);
        assert_eq!(config.webhook_shared_key, None);
        let regional = json!({
            "account_sid": SID, "auth_token": "sealed:a", "amd_enabled": true, "region": "ie1", "edge": "dublin",
            "webhook_shared_key": "sealed:b",
        });
        let config = load(regional).unwrap();
        assert_eq!(config.api_host, "api.dublin.ie1.twilio.com");
        assert!(config.detect_machines);
        assert_eq!(config.webhook_shared_key, Some(Sealed::new("sealed:b")));
    }

    #[test]
    fn region_and_edge_come_together() {
        assert_eq!(
            problems(json!({ "account_sid": SID, "auth_token": "a", "region": "ie1" })),
            ["edge"]
        );
        assert_eq!(
            problems(json!({ "account_sid": SID, "auth_token": "a", "edge": "dublin" })),
            ["region"]
        );
    }

    #[test]
    fn a_region_cannot_name_another_host() {
        let credentials = json!({ "account_sid": SID, "auth_token": "a", "region": "ie1", "edge": "evil.example/x" });
        assert_eq!(problems(credentials), ["edge"]);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        assert_eq!(
            problems(json!({ "edge": "-" })),
            ["account_sid", "auth_token", "edge", "region"]
        );
        assert_eq!(problems(json!([])), ["account_sid"]);
    }

    #[test]
    fn account_sids_are_told_from_imitations() {
        assert!(is_account_sid(SID));
        for other in [
            "",
            "AC",
            "AC0123456789ABCDEF0123456789ABCDEF",
            "tenant.example.net",
            "AC0123456789abcdef.123456789abcdef0",
        ] {
            assert!(!is_account_sid(other), "{other}");
        }
    }
}
