//! What a browser is, and how the one of a configuration is known: by its public key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strowger_sdk::{Encoding, Field, FieldProblem, MediaProfile, ProviderSpec, Route, filled, read_credentials};

pub(crate) const ANSWER: &str = "answer";
pub(crate) const ENDED: &str = "ended";

/// RFC 8032 §5.1.5.
const KEY_BYTES: usize = 32;

pub(crate) fn spec() -> ProviderSpec {
    ProviderSpec::new(
        "browser",
        "Web browser",
        env!("CARGO_PKG_VERSION"),
        MediaProfile::new(Encoding::L16Le, 16_000).echoes_marks(),
    )
    .caller_id_optional()
    .field(
        Field::text("public_key", "Browser's key")
            .required()
            .placeholder("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
            .describe(
                "Ed25519 public key of the browser that answers, in base64url. The page that talks to agents shows it, and \
                 enters it by itself when you may change settings.",
            ),
    )
    .route(Route::answer(ANSWER))
    .route(Route::callback(ENDED))
}

/// What every operation gets.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Base64url of 32 bytes. The private half never leaves the browser, which cannot read it out itself.
    pub public_key: String,
}

#[derive(Deserialize)]
struct Credentials {
    public_key: Option<String>,
}

pub(crate) fn load(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
    let credentials: Credentials = read_credentials(credentials, "public_key")?;
    let public_key = filled(credentials.public_key).unwrap_or_default();
    if public_key_bytes(&public_key).is_none() {
        return Err(vec![FieldProblem::new(
            "public_key",
            "A browser's key is 43 characters of base64url; copy it from the page that talks to agents.",
        )]);
    }
    Ok(Config { public_key })
}

pub(crate) fn public_key_bytes(written: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(written).ok()?;
    (bytes.len() == KEY_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_32_bytes_of_base64url() {
        let key = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        assert_eq!(
            load(json!({ "public_key": format!(" {key}\n") })).unwrap().public_key,
            key
        );
        let standard = key.replace('_', "/");
        let long = format!("{key}A");
        for wrong in ["", "x", &standard, &long, &key[1..], "é"] {
            let problems = load(json!({ "public_key": wrong })).unwrap_err();
            assert_eq!(problems[0].field, "public_key");
            assert!(wrong.len() < 2 || !problems[0].problem.contains(wrong));
        }
        assert!(load(json!({})).is_err() && load(json!([])).is_err());
    }
}
