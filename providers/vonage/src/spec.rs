//! What Vonage is, which settings an account has, and the configuration that they become.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strowger_sdk::{Encoding, Field, FieldProblem, MediaProfile, ProviderSpec, Route, Sealed, read_credentials};

use crate::api;

/// Vonage fetches the call control object of an answered outbound call here.
pub(crate) const ANSWER: &str = "ncco";
pub(crate) const EVENTS: &str = "events";

pub(crate) fn spec() -> ProviderSpec {
    let spec = ProviderSpec::new(
        "vonage",
        "Vonage",
        env!("CARGO_PKG_VERSION"),
        MediaProfile::new(Encoding::L16Le, 16000).echoes_marks(),
    )
    .docs_url("https://developer.vonage.com/en/voice/voice-api/overview")
    .field(
        Field::text("application_id", "Application ID")
            .required()
            .account_scoped()
            .placeholder("aaaaaaaa-bbbb-cccc-dddd-0123456789ab")
            .describe("The Vonage application with the Voice capability; in the Dashboard under Applications."),
    )
    .field(
        Field::textarea("private_key", "Private Key")
            .required()
            .sensitive()
            .account_scoped()
            .placeholder("-----BEGIN PRIVATE KEY-----")
            .describe("The application's private key, the whole file. Vonage shows it only when the key is made."),
    )
    .field(
        Field::text("api_key", "API Key")
            .required()
            .sensitive()
            .placeholder("a1b2c3d4")
            .describe("On the front page of the Vonage Dashboard. It identifies the account in webhooks."),
    )
    .field(
        Field::password("api_secret", "API Secret")
            .required()
            .sensitive()
            .account_scoped()
            .describe("Beside the API Key. Authorises requests about applications and numbers."),
    )
    .field(
        Field::password("signature_secret", "Signature Secret")
            .sensitive()
            .account_scoped()
            .describe(
                "In the Dashboard under API Settings; not the API Secret. Without it no webhook is accepted, so calls \
                 are neither taken nor connected.",
            ),
    )
    .account_id_field("api_key")
    .route(Route::answer(ANSWER).get())
    .route(Route::callback(EVENTS));
    api::HOSTS.iter().fold(spec, |spec, host| spec.egress_host(host))
}

/// What every operation gets.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub application_id: String,
    pub private_key: Sealed,
    /// The account, in webhooks and as the user of Basic authorisation.
    pub api_key: String,
    pub api_secret: Sealed,
    /// Key of the webhooks' signatures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature_secret: Option<Sealed>,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    application_id: String,
    #[serde(default)]
    private_key: String,
    #[serde(default)]
    api_key: String,
    #[serde(default)]
    api_secret: String,
    signature_secret: Option<String>,
}

pub(crate) fn load(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
    let credentials: Credentials = read_credentials(credentials, "application_id")?;
    let checks = [
        (
            is_uuid(&credentials.application_id),
            "application_id",
            "An Application ID is a UUID such as aaaaaaaa-bbbb-cccc-dddd-0123456789ab; copy it from the Vonage \
             Dashboard.",
        ),
        (
            !credentials.private_key.is_empty(),
            "private_key",
            "Enter the private key of the application, from BEGIN to END.",
        ),
        (
            is_api_key(&credentials.api_key),
            "api_key",
            "An API Key has letters and digits only, usually eight; copy it from the Vonage Dashboard.",
        ),
        (
            !credentials.api_secret.is_empty(),
            "api_secret",
            "Enter the API Secret from the Vonage Dashboard.",
        ),
    ];
    let problems: Vec<FieldProblem> = checks
        .into_iter()
        .filter(|(holds, _, _)| !holds)
        .map(|(_, field, problem)| FieldProblem::new(field, problem))
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Config {
        application_id: credentials.application_id,
        private_key: Sealed::new(credentials.private_key),
        api_key: credentials.api_key,
        api_secret: Sealed::new(credentials.api_secret),
        signature_secret: credentials
            .signature_secret
            .filter(|secret| !secret.is_empty())
            .map(Sealed::new),
    })
}

/// RFC 9562 §4, in either case.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_api_key(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn credentials() -> Value {
        json!({
            "application_id": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "private_key": "sealed:private_key",
            "api_key": "a1b2c3d4", "api_secret": "sealed:api_secret", "signature_secret": "sealed:signature_secret",
        })
    }

    fn problems(change: &Value) -> Vec<String> {
        let mut credentials = credentials();
        for (name, value) in change.as_object().unwrap() {
            credentials[name] = value.clone();
        }
        load(credentials)
            .unwrap_err()
            .into_iter()
            .map(|problem| problem.field)
            .collect()
    }

    #[test]
    fn credentials_become_a_configuration() {
        let config = load(credentials()).unwrap();
        assert_eq!(config.signature_secret, Some(Sealed::new("sealed:signature_secret")));
        assert_eq!(config.api_key, "a1b2c3d4");
    }

    #[test]
    fn a_signature_secret_may_come_later() {
        for absent in [json!(""), Value::Null] {
            let mut credentials = credentials();
            credentials["signature_secret"] = absent;
            assert_eq!(load(credentials).unwrap().signature_secret, None);
        }
    }

    #[test]
    fn identifiers_have_a_shape() {
        for id in [
            "",
            "a1b2c3d4",
            "aaaaaaaa-bbbb-cccc-dddd-0123456789a/",
            "aaaaaaaabbbbccccdddd0123456789ab",
        ] {
            assert_eq!(problems(&json!({ "application_id": id })), ["application_id"], "{id}");
        }
        for key in ["", "a1b2/../c", "a b"] {
            assert_eq!(problems(&json!({ "api_key": key })), ["api_key"], "{key}");
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let nothing = load(json!({})).unwrap_err();
        let fields: Vec<&str> = nothing.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["application_id", "private_key", "api_key", "api_secret"]);
        assert_eq!(problems(&json!({ "api_key": 7 })), ["application_id"]);
    }
}
