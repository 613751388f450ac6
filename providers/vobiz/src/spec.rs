//! What Vobiz is, which settings an account has, and the configuration that they become.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strowger_sdk::{Encoding, Field, FieldProblem, MediaProfile, ProviderSpec, Route, Sealed, read_credentials};

pub(crate) const ANSWER: &str = "answer";
pub(crate) const RING_CALLBACK: &str = "ring-callback";
pub(crate) const HANGUP_CALLBACK: &str = "hangup-callback";

pub(crate) const API_HOST: &str = "api.vobiz.ai";

pub(crate) fn spec() -> ProviderSpec {
    ProviderSpec::new(
        "vobiz",
        "Vobiz",
        env!("CARGO_PKG_VERSION"),
        MediaProfile::new(Encoding::Pcmu, 8000).echoes_marks(),
    )
    .docs_url("https://docs.vobiz.ai/")
    .field(
        Field::text("auth_id", "Account ID")
            .required()
            .sensitive()
            .placeholder("MA_XXXXXXXX")
            .describe("On the overview page of the Vobiz console; it starts with MA_, or with SA_ for a sub-account."),
    )
    .field(
        Field::password("auth_token", "Auth Token")
            .required()
            .sensitive()
            .account_scoped()
            .describe("Beside the Account ID in the Vobiz console. Signs webhooks and authorises API requests."),
    )
    .field(
        Field::text("application_id", "Application ID")
            .account_scoped()
            .placeholder("12345678901234567")
            .describe(
                "The Vobiz application that your numbers are attached to. Left empty, one is made when you save.",
            ),
    )
    .account_id_field("auth_id")
    .route(Route::answer(ANSWER))
    .route(Route::callback(RING_CALLBACK))
    .route(Route::callback(HANGUP_CALLBACK))
    .egress_host(API_HOST)
}

/// What every operation gets.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub auth_id: String,
    pub auth_token: Sealed,
    /// The application whose answer URL decides where the calls of its numbers go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_id: Option<String>,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    auth_id: String,
    #[serde(default)]
    auth_token: String,
    application_id: Option<String>,
}

pub(crate) fn load(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
    let credentials: Credentials = read_credentials(credentials, "auth_id")?;
    let mut problems = Vec::new();
    if !is_account_id(&credentials.auth_id) {
        problems.push(FieldProblem::new(
            "auth_id",
            "An Account ID is MA_ or SA_ followed by letters and digits; copy it from the Vobiz console.",
        ));
    }
    if credentials.auth_token.is_empty() {
        problems.push(FieldProblem::new(
            "auth_token",
            "Enter the Auth Token from the Vobiz console.",
        ));
    }
    let application_id = credentials.application_id.filter(|id| !id.is_empty());
    if application_id.as_deref().is_some_and(|id| !is_application_id(id)) {
        problems.push(FieldProblem::new(
            "application_id",
            "An Application ID consists of letters and digits; copy it from the Vobiz console, or leave it empty.",
        ));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Config {
        auth_id: credentials.auth_id,
        auth_token: Sealed::new(credentials.auth_token),
        application_id,
    })
}

/// A master account or a sub-account.
fn is_account_id(text: &str) -> bool {
    let rest = text.strip_prefix("MA_").or_else(|| text.strip_prefix("SA_"));
    rest.is_some_and(|rest| (1..=60).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn is_application_id(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text.len() <= 64 && text.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(credentials: Value) -> Vec<String> {
        let problems = load(credentials).unwrap_err();
        problems.into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn credentials_become_a_configuration() {
        let config = load(json!({ "auth_id": "MA_1", "auth_token": "sealed:a", "application_id": "" })).unwrap();
        assert_eq!(config.application_id, None);
        let config = load(json!({ "auth_id": "SA_1", "auth_token": "sealed:a", "application_id": "app_1" })).unwrap();
        assert_eq!(config.application_id.as_deref(), Some("app_1"));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        assert_eq!(problems(json!({})), ["auth_id", "auth_token"]);
        let wrong = json!({ "auth_id": "MA_/../X", "auth_token": "a", "application_id": "1/2" });
        assert_eq!(problems(wrong), ["auth_id", "application_id"]);
        assert_eq!(problems(json!([])), ["auth_id"]);
    }
}
