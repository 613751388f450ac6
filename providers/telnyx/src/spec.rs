//! What Telnyx is, which settings an account has, and the configuration that they become.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strowger_sdk::{
    Encoding, Failure, Field, FieldProblem, MediaProfile, ProviderSpec, Route, Sealed, filled, read_credentials,
};

/// Where Telnyx tells about a call.
pub(crate) const EVENTS: &str = "events";
/// Where Telnyx tells about the second leg of a transfer.
pub(crate) const TRANSFER_RESULT: &str = "transfer-result";

/// Bytes of an Ed25519 public key (RFC 8032 §5.1.5).
pub(crate) const PUBLIC_KEY_BYTES: usize = 32;
/// Telnyx's own identifiers of applications have some twenty digits.
const CONNECTION_ID_MAX_CHARS: usize = 64;

pub(crate) fn spec() -> ProviderSpec {
    ProviderSpec::new(
        "telnyx",
        "Telnyx",
        env!("CARGO_PKG_VERSION"),
        // What is sent is PCMU, what comes is one of both: see `media`.
        MediaProfile::new(Encoding::Pcmu, 8000)
            .format(Encoding::Pcma, 8000)
            .echoes_marks(),
    )
    .docs_url("https://developers.telnyx.com/docs/voice/programmable-voice")
    .field(
        Field::password("api_key", "API Key")
            .required()
            .sensitive()
            .placeholder("KEY0123456789ABCDEF0123456789ABCDEF_abcdefghijklmnopqrstuv")
            .describe("In the Telnyx portal under API Keys; it starts with KEY."),
    )
    .field(
        Field::text("connection_id", "Call Control App ID")
            .placeholder("1293384261075731499")
            .describe(
                "The Voice API application that the numbers are assigned to. Leave it empty to have one made, whose \
                 webhooks come here.",
            ),
    )
    .field(
        Field::textarea("webhook_public_key", "Webhook Public Key")
            .placeholder("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
            .describe(
                "In the Telnyx portal under Keys & Credentials, Public Key. Without it every webhook is refused, and no \
                 call comes in.",
            ),
    )
    .account_id_field("connection_id")
    .route(Route::callback(EVENTS))
    .route(Route::transfer(TRANSFER_RESULT))
    .egress_host("api.telnyx.com")
}

/// What every operation gets.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub api_key: Sealed,
    /// The Voice API application; none until it has been made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    /// Base64 of the 32 bytes that Telnyx's webhooks are proved with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_public_key: Option<String>,
}

impl Config {
    /// The Voice API application, for operations that need one.
    pub(crate) fn connection_id(&self) -> Result<&str, Failure> {
        self.connection_id.as_deref().ok_or_else(|| {
            Failure::configuration(
                "application-missing",
                "This configuration has no Telnyx application yet; save it again to have one made.",
            )
        })
    }
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    api_key: String,
    connection_id: Option<String>,
    webhook_public_key: Option<String>,
}

pub(crate) fn load(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
    let credentials: Credentials = read_credentials(credentials, "api_key")?;
    let connection_id = filled(credentials.connection_id);
    let webhook_public_key = filled(credentials.webhook_public_key);

    let mut problems = Vec::new();
    if credentials.api_key.is_empty() {
        problems.push(FieldProblem::new("api_key", "Enter an API key from the Telnyx portal."));
    }
    if connection_id.as_deref().is_some_and(|id| !is_identifier(id)) {
        problems.push(FieldProblem::new(
            "connection_id",
            "A Call Control App ID is a long number; copy it from the Telnyx portal, or leave it empty.",
        ));
    }
    if webhook_public_key
        .as_deref()
        .is_some_and(|key| public_key(key).is_none())
    {
        problems.push(FieldProblem::new(
            "webhook_public_key",
            "The public key is 44 characters of base64; copy it whole from Keys & Credentials in the Telnyx portal.",
        ));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Config {
        api_key: Sealed::new(credentials.api_key),
        connection_id,
        webhook_public_key,
    })
}

/// The bytes of the key if it is one.
pub(crate) fn public_key(encoded: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(encoded.trim()).ok()?;
    (key.len() == PUBLIC_KEY_BYTES).then_some(key)
}

fn is_identifier(text: &str) -> bool {
    text.len() <= CONNECTION_ID_MAX_CHARS
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The public key of RFC 8032 §7.1, TEST 1.
    const KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    fn problems(credentials: Value) -> Vec<String> {
        load(credentials)
            .unwrap_err()
            .into_iter()
            .map(|problem| problem.field)
            .collect()
    }

    #[test]
    fn credentials_become_a_configuration() {
        let config = load(json!({
            "api_key": "sealed:a", "connection_id": " 1293384261075731499 ", "webhook_public_key": format!("\n{KEY}\n"),
        }))
        .unwrap();
        assert_eq!(config.connection_id.as_deref(), Some("1293384261075731499"));
        assert_eq!(config.webhook_public_key.as_deref(), Some(KEY));
        let bare = load(json!({ "api_key": "sealed:a", "connection_id": "", "webhook_public_key": null })).unwrap();
        assert_eq!((&bare.connection_id, &bare.webhook_public_key), (&None, &None));
        assert_eq!(bare.connection_id().unwrap_err().code, "application-missing");
    }

    #[test]
    fn every_problem_is_told_at_once() {
        assert_eq!(
            problems(json!({ "connection_id": "12/../3", "webhook_public_key": "MCowBQYDK2VwAyEA" })),
            ["api_key", "connection_id", "webhook_public_key"]
        );
        assert_eq!(
            problems(json!({ "api_key": "a", "webhook_public_key": "not base64!" })),
            ["webhook_public_key"]
        );
    }
}
