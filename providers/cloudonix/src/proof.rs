//! What makes a webhook genuine: Cloudonix presents a shared key.
//!
//! It comes as `X-CX-APIKey`, and as a bearer token once the domain has a Request Authorization Key
//! (`authorization-api-key` of the domain's profile). Nothing is signed, so there is neither a nonce nor a time to check.
//! <https://developers.cloudonix.com/Documentation/dataModels/domain>

use strowger_sdk::{Proof, Rejection, Webhook};

use crate::fields::Fields;
use crate::inbound::domain;
use crate::spec::Config;

const KEY_HEADER: &str = "x-cx-apikey";

pub(crate) fn proofs(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
    // The key says nothing about the body: one that names another domain was meant for another configuration.
    let named = Fields::read(webhook).and_then(|fields| domain(&fields, webhook));
    if named.is_some_and(|domain| domain != config.domain) {
        return Err(Rejection::new(
            "domain-mismatch",
            "The webhook names another domain than the one that is configured.",
        ));
    }
    let key = config.api_key.as_ref().unwrap_or(&config.bearer_token);
    let presented = [
        (KEY_HEADER, webhook.header(KEY_HEADER)),
        ("bearer token", webhook.header("authorization").and_then(bearer)),
    ];
    let proofs: Vec<Proof> = presented
        .into_iter()
        .filter_map(|(label, presented)| Some((label, presented.filter(|key| !key.is_empty())?)))
        .map(|(label, presented)| Proof::new(label).equals(key, presented))
        .collect();
    if proofs.is_empty() {
        return Err(Rejection::new(
            "key-missing",
            "The webhook presents no key; set a Request Authorization Key for the domain in the Cloudonix Cockpit, and \
             enter the same key here.",
        ));
    }
    Ok(proofs)
}

/// RFC 6750 §2.1; the scheme compares without regard to case.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
