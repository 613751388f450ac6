//! What Plivo is, which settings an account has, and the configuration that they become.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strowger_sdk::{Encoding, Field, FieldProblem, MediaProfile, ProviderSpec, Route, Sealed, read_credentials};

pub(crate) const ANSWER: &str = "answer";
pub(crate) const RING_CALLBACK: &str = "ring-callback";
pub(crate) const HANGUP_CALLBACK: &str = "hangup-callback";
/// Events of the `<Stream>`, which are not events of the call.
pub(crate) const STREAM_CALLBACK: &str = "stream-callback";
/// Asked for markup by the destination when it has answered, and by the caller when the two are connected.
pub(crate) const TRANSFER_ANSWER: &str = "transfer-answer";
pub(crate) const TRANSFER_RING: &str = "transfer-ring";
pub(crate) const TRANSFER_HANGUP: &str = "transfer-hangup";

pub(crate) const API_HOST: &str = "api.plivo.com";

pub(crate) fn spec() -> ProviderSpec {
    ProviderSpec::new(
        "plivo",
        "Plivo",
        env!("CARGO_PKG_VERSION"),
        MediaProfile::new(Encoding::Pcmu, 8000)
            .format(Encoding::L16Le, 8000)
            .format(Encoding::L16Le, 16000)
            .echoes_marks(),
    )
    .docs_url("https://docs.plivo.com/docs/voice/")
    .field(
        Field::text("auth_id", "Auth ID")
            .required()
            .sensitive()
            .placeholder("MAXXXXXXXXXXXXXXXXXX")
            .describe("On the overview page of the Plivo console; it starts with MA, or with SA for a subaccount."),
    )
    .field(
        Field::password("auth_token", "Auth Token")
            .required()
            .sensitive()
            .account_scoped()
            .describe("Beside the Auth ID in the Plivo console. Signs webhooks and authorises API requests."),
    )
    .field(
        Field::text("application_id", "Application ID")
            .account_scoped()
            .placeholder("20468599130939380")
            .describe("The Plivo application that your numbers belong to. Left empty, one is made when you save."),
    )
    .field(
        Field::select(
            "audio_format",
            "Audio Format",
            &[
                ("pcmu-8000", "PCMU (µ-law), 8 kHz"),
                ("l16-8000", "Linear PCM, 8 kHz"),
                ("l16-16000", "Linear PCM, 16 kHz"),
            ],
        )
        .section("Advanced")
        .describe("How audio travels between Plivo and the gateway; PCMU unless you know better."),
    )
    .account_id_field("auth_id")
    .route(Route::answer(ANSWER))
    .route(Route::callback(RING_CALLBACK))
    .route(Route::callback(HANGUP_CALLBACK))
    .route(Route::callback(STREAM_CALLBACK))
    .route(Route::transfer(TRANSFER_ANSWER))
    .route(Route::transfer(TRANSFER_RING))
    .route(Route::transfer(TRANSFER_HANGUP))
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
    #[serde(default)]
    pub audio_format: AudioFormat,
}

/// What a stream carries, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AudioFormat {
    #[default]
    #[serde(rename = "pcmu-8000")]
    Pcmu8000,
    #[serde(rename = "l16-8000")]
    L16At8000,
    #[serde(rename = "l16-16000")]
    L16At16000,
}

impl AudioFormat {
    /// In the order of the profile's formats.
    pub(crate) const ALL: [Self; 3] = [Self::Pcmu8000, Self::L16At8000, Self::L16At16000];

    /// Plivo's name for the encoding.
    pub(crate) fn encoding(self) -> &'static str {
        match self {
            Self::Pcmu8000 => "audio/x-mulaw",
            Self::L16At8000 | Self::L16At16000 => "audio/x-l16",
        }
    }

    pub(crate) fn sample_rate_hz(self) -> u32 {
        match self {
            Self::Pcmu8000 | Self::L16At8000 => 8000,
            Self::L16At16000 => 16000,
        }
    }
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    auth_id: String,
    #[serde(default)]
    auth_token: String,
    application_id: Option<String>,
    audio_format: Option<String>,
}

pub(crate) fn load(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
    let credentials: Credentials = read_credentials(credentials, "auth_id")?;
    let mut problems = Vec::new();
    if !is_auth_id(&credentials.auth_id) {
        problems.push(FieldProblem::new(
            "auth_id",
            "An Auth ID is MA or SA followed by capital letters and digits; copy it from the Plivo console.",
        ));
    }
    if credentials.auth_token.is_empty() {
        problems.push(FieldProblem::new(
            "auth_token",
            "Enter the Auth Token from the Plivo console.",
        ));
    }
    let application_id = credentials.application_id.filter(|id| !id.is_empty());
    if application_id.as_deref().is_some_and(|id| !is_application_id(id)) {
        problems.push(FieldProblem::new(
            "application_id",
            "An Application ID consists of digits; copy it from Voice, Applications in the Plivo console, or leave it empty.",
        ));
    }
    let audio_format = match credentials.audio_format.as_deref() {
        None | Some("" | "pcmu-8000") => AudioFormat::Pcmu8000,
        Some("l16-8000") => AudioFormat::L16At8000,
        Some("l16-16000") => AudioFormat::L16At16000,
        Some(_) => {
            problems.push(FieldProblem::new(
                "audio_format",
                "Choose one of the formats of the list.",
            ));
            AudioFormat::default()
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Config {
        auth_id: credentials.auth_id,
        auth_token: Sealed::new(credentials.auth_token),
        application_id,
        audio_format,
    })
}

/// A main account or a subaccount.
fn is_auth_id(text: &str) -> bool {
    let digits = text.strip_prefix("MA").or_else(|| text.strip_prefix("SA"));
    digits.is_some_and(|rest| {
        (1..=30).contains(&rest.len()) && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'Z'))
    })
}

fn is_application_id(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
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
        let config = load(json!({ "auth_id": "MA1", "auth_token": "sealed:a", "application_id": "" })).unwrap();
        assert_eq!(
            (config.application_id, config.audio_format),
            (None, AudioFormat::Pcmu8000)
        );
        let full = json!({
            "auth_id": "SA1", "auth_token": "sealed:a", "application_id": "204", "audio_format": "l16-16000",
        });
        let config = load(full).unwrap();
        assert_eq!(config.application_id.as_deref(), Some("204"));
        assert_eq!(config.audio_format, AudioFormat::L16At16000);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        assert_eq!(problems(json!({})), ["auth_id", "auth_token"]);
        let wrong = json!({ "auth_id": "MA/../X", "auth_token": "a", "application_id": "1/2", "audio_format": "opus" });
        assert_eq!(problems(wrong), ["auth_id", "application_id", "audio_format"]);
        assert_eq!(problems(json!([])), ["auth_id"]);
    }
}
