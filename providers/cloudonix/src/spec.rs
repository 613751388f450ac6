//! What Cloudonix is, which settings a domain has, and the configuration that they become.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strowger_sdk::{
    Encoding, Field, FieldProblem, MediaProfile, ProviderSpec, Route, Sealed, filled, read_credentials,
};

use crate::api::HOST;

/// Session updates of a call that we placed.
pub(crate) const STATUS_CALLBACK: &str = "status-callback";
/// Call detail records of the whole domain; the record says which session it is about.
pub(crate) const CDR: &str = "cdr";
/// The second leg of a transfer: its session updates and its arrival in the conference.
pub(crate) const TRANSFER_RESULT: &str = "transfer-result";

/// Names of applications that the gateway has made begin with this.
pub(crate) const OURS: &str = "strowger-";

/// What Cloudonix appends to the name that a tenant chooses.
const DOMAIN_SUFFIX: &str = ".cloudonix.net";

pub(crate) fn spec() -> ProviderSpec {
    ProviderSpec::new(
        "cloudonix",
        "Cloudonix",
        env!("CARGO_PKG_VERSION"),
        // That a mark comes back after it was played is nowhere promised, so the gateway times marks itself.
        MediaProfile::new(Encoding::Pcmu, 8000),
    )
    .docs_url("https://developers.cloudonix.com/")
    .sip()
    .field(
        Field::password("bearer_token", "Bearer Token")
            .required()
            .sensitive()
            .placeholder("XI0123456789ABCDEF0123456789ABCDEF")
            .describe("An API key of the domain, from the Cloudonix Cockpit; it starts with XI."),
    )
    .field(
        Field::text("domain_id", "Domain Name")
            .required()
            .placeholder("acme.cloudonix.net")
            .describe("The name of the Cloudonix domain; a name without a dot stands for one at cloudonix.net."),
    )
    .field(
        Field::text("application_name", "Application Name")
            .placeholder("my-voice-application")
            .describe("The voice application that answers calls. Leave it empty, and one is created."),
    )
    .field(
        Field::password("api_key", "Webhook Key")
            .sensitive()
            .section("Webhooks")
            .describe(
                "What Cloudonix presents in its webhooks: the Request Authorization Key of the domain, or the key in \
                 X-CX-APIKey. Without it the bearer token is expected; a webhook with another key is refused.",
            ),
    )
    .field(
        Field::text("domain_uuid", "Domain UUID")
            .server_managed()
            .account_scoped(),
    )
    .field(
        Field::number("application_id", "Application ID")
            .server_managed()
            .account_scoped(),
    )
    .field(
        Field::text("application_uuid", "Application UUID")
            .server_managed()
            .account_scoped(),
    )
    .field(Field::text("managed_by", "Managed By").server_managed())
    .field(Field::text("provisioning_id", "Provisioning ID").server_managed())
    .account_id_field("domain_id")
    .route(Route::callback(STATUS_CALLBACK))
    .route(Route::callback(CDR).at(CDR))
    .route(Route::transfer(TRANSFER_RESULT))
    .egress_host(HOST)
}

/// What every operation gets.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub bearer_token: Sealed,
    /// What webhooks present, where that is not the bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Sealed>,
    /// The domain as webhooks name it.
    pub domain: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_name: Option<String>,
    /// First label of the domain's SIP hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_uuid: Option<String>,
    /// Who has set the domain up, when that is not the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// Makes the application's name the same whenever the set-up is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_id: Option<String>,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    bearer_token: String,
    #[serde(default)]
    domain_id: String,
    api_key: Option<String>,
    application_name: Option<String>,
    domain_uuid: Option<String>,
    application_uuid: Option<String>,
    managed_by: Option<String>,
    provisioning_id: Option<String>,
}

pub(crate) fn load(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
    let credentials: Credentials = read_credentials(credentials, "domain_id")?;
    let mut problems = Vec::new();
    if credentials.bearer_token.is_empty() {
        problems.push(FieldProblem::new(
            "bearer_token",
            "Enter an API key of the domain from the Cloudonix Cockpit.",
        ));
    }
    let domain = normalise_domain(&credentials.domain_id);
    if !is_domain(&domain) {
        problems.push(FieldProblem::new(
            "domain_id",
            "Enter the domain's name as the Cloudonix Cockpit shows it, for example acme.cloudonix.net.",
        ));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Config {
        bearer_token: Sealed::new(credentials.bearer_token),
        api_key: filled(credentials.api_key).map(Sealed::new),
        domain,
        application_name: filled(credentials.application_name),
        domain_uuid: filled(credentials.domain_uuid),
        application_uuid: filled(credentials.application_uuid),
        managed_by: filled(credentials.managed_by),
        provisioning_id: filled(credentials.provisioning_id),
    })
}

/// A domain in the one form in which names are compared.
pub(crate) fn normalise_domain(text: &str) -> String {
    let mut domain = text.trim().trim_end_matches('.').to_ascii_lowercase();
    if !domain.is_empty() && !domain.contains('.') {
        domain.push_str(DOMAIN_SUFFIX);
    }
    domain
}

/// A host name of several labels (RFC 1123 §2.1). Twilio, whose webhooks look alike, has no dots in this place.
pub(crate) fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_domain_has_one_spelling() {
        for (entered, domain) in [
            ("acme.cloudonix.net", "acme.cloudonix.net"),
            (" ACME. ", "acme.cloudonix.net"),
            ("Voice.Example.COM.", "voice.example.com"),
            ("", ""),
        ] {
            assert_eq!(normalise_domain(entered), domain);
        }
    }

    #[test]
    fn a_domain_is_nothing_but_a_host_name() {
        for text in [
            "acme",
            "",
            "a..b",
            "-a.b",
            "a.b/c",
            "a.b:80",
            "a b.c",
            "a.b?c",
            "é.example",
        ] {
            assert!(!is_domain(text), "{text}");
        }
        assert!(is_domain("acme-1.cloudonix.net"));
    }

    #[test]
    fn credentials_become_a_configuration() {
        let entered = json!({
            "bearer_token": "sealed:bearer", "domain_id": "Acme", "application_name": "  ", "api_key": null,
            "application_id": 4526, "application_uuid": "48e8",
        });
        let config = load(entered).unwrap();
        assert_eq!(
            (config.domain.as_str(), config.application_name, config.api_key),
            ("acme.cloudonix.net", None, None)
        );
        assert_eq!(config.application_uuid.as_deref(), Some("48e8"));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let fields: Vec<String> = load(json!({ "domain_id": "https://acme.cloudonix.net/" }))
            .unwrap_err()
            .into_iter()
            .map(|problem| problem.field)
            .collect();
        assert_eq!(fields, ["bearer_token", "domain_id"]);
    }
}
