//! Vonage's APIs: hosts, authorisation and what their errors mean.
//!
//! Calls are the application's and take a token signed with its private key; applications and numbers are the account's
//! and take key and secret. <https://developer.vonage.com/en/getting-started/concepts/authentication>

use serde_json::json;
use strowger_sdk::{Call, Failure, JwtAlgorithm, Request, Response, join_path};

use crate::callbacks::Attachment;
use crate::spec::Config;

/// Every host that a request may go to. After the first two: the regions, and the data centres in them.
/// <https://developer.vonage.com/en/voice/voice-api/concepts/regions>
pub(crate) const HOSTS: [&str; 11] = [
    GLOBAL_HOST,
    ACCOUNT_HOST,
    "api-us.vonage.com",
    "api-eu.vonage.com",
    "api-ap.vonage.com",
    "api-us-3.vonage.com",
    "api-us-4.vonage.com",
    "api-eu-3.vonage.com",
    "api-eu-4.vonage.com",
    "api-ap-3.vonage.com",
    "api-ap-4.vonage.com",
];
const GLOBAL_HOST: &str = "api.nexmo.com";
const ACCOUNT_HOST: &str = "rest.nexmo.com";

/// Used at once; Vonage takes up to 24 hours.
const TOKEN_LIFETIME_S: u32 = 900;

/// The host in `region_url`, when it is one of Vonage's: a webhook does not choose where credentials go.
pub(crate) fn regional_host(region_url: &str) -> Option<&'static str> {
    let host = region_url.strip_prefix("https://")?.trim_end_matches('/');
    HOSTS.into_iter().find(|known| *known == host && *known != ACCOUNT_HOST)
}

pub(crate) fn calls_url() -> String {
    format!("https://{GLOBAL_HOST}/v1/calls")
}

/// URL of a call, in the region that carries it.
pub(crate) fn call_url(call: &Call) -> Result<String, Failure> {
    let attached = call.attached::<Attachment>();
    let host = attached
        .and_then(|attached| HOSTS.into_iter().find(|known| *known == attached.host))
        .unwrap_or(GLOBAL_HOST);
    join_path(&format!("https://{host}/v1/calls"), &[call.carrier_id()?])
}

pub(crate) fn application_url(config: &Config) -> Result<String, Failure> {
    join_path(
        &format!("https://{GLOBAL_HOST}/v2/applications"),
        &[&config.application_id],
    )
}

/// `path` is one of the Numbers API, for example `account/numbers`.
pub(crate) fn numbers_url(path: &str) -> String {
    format!("https://{ACCOUNT_HOST}/{path}")
}

pub(crate) fn as_application(config: &Config, request: Request) -> Request {
    let claims = json!({ "application_id": config.application_id });
    request.jwt(JwtAlgorithm::Rs256, &config.private_key, &claims, TOKEN_LIFETIME_S)
}

pub(crate) fn as_account(config: &Config, request: Request) -> Request {
    request.basic(&config.api_key, &config.api_secret)
}

/// The response if it is a success; otherwise whose fault it is. Vonage's own message is left out: it quotes phone
/// numbers. `credentials` are those that the request went out with.
pub(crate) fn accept(response: Response, credentials: &str) -> Result<Response, Failure> {
    match response.status {
        200..300 => Ok(response),
        status @ (401 | 403) => Err(Failure::configuration(
            "credentials-refused",
            format!("Vonage refused the credentials (HTTP {status}); check {credentials} in the configuration."),
        )),
        status => Err(Failure::from_status(status)),
    }
}

pub(crate) const APPLICATION: &str = "Application ID and Private Key";
pub(crate) const ACCOUNT: &str = "API Key and API Secret";

#[cfg(test)]
mod tests {
    use strowger_sdk::testing::call;
    use strowger_sdk::{Direction, FailureKind, FailureOwner};

    use super::*;

    fn failure(status: u16) -> Failure {
        accept(Response::empty(status), ACCOUNT).unwrap_err()
    }

    #[test]
    fn refusals_have_an_owner() {
        let (user, operator) = (FailureOwner::User, FailureOwner::Operator);
        for (status, kind, code, retryable, owner) in [
            (401, FailureKind::Configuration, "credentials-refused", false, user),
            (403, FailureKind::Configuration, "credentials-refused", false, user),
            (402, FailureKind::Quota, "no-balance", false, user),
            (404, FailureKind::Request, "request-refused", false, user),
            (409, FailureKind::Request, "request-refused", false, user),
            (420, FailureKind::Request, "request-refused", false, user),
            (429, FailureKind::Quota, "rate-limited", true, user),
            (500, FailureKind::Carrier, "carrier-error", true, operator),
            (503, FailureKind::Carrier, "carrier-error", true, operator),
            (302, FailureKind::Configuration, "redirected", false, user),
        ] {
            let failure = failure(status);
            assert_eq!(
                (failure.kind, failure.code.as_str(), failure.retryable, failure.owner),
                (kind, code, retryable, owner),
                "{status}"
            );
        }
        assert!(failure(401).message.contains("API Key and API Secret"));
    }

    #[test]
    fn a_call_is_reached_in_its_region_and_nowhere_else() {
        let mut call = call(Direction::Inbound, Some("a\"/<>&"));
        assert_eq!(
            call_url(&call).unwrap(),
            "https://api.nexmo.com/v1/calls/a%22%2F%3C%3E%26"
        );
        call.provider_call_id = Some("63f61863".to_owned());
        for (attachment, host) in [
            (r#"{"host":"api-us-4.vonage.com"}"#, "api-us-4.vonage.com"),
            (r#"{"host":"evil.example"}"#, "api.nexmo.com"),
            (r"{}", "api.nexmo.com"),
        ] {
            call.attachment = Some(attachment.to_owned());
            assert_eq!(call_url(&call).unwrap(), format!("https://{host}/v1/calls/63f61863"));
        }
        assert_eq!(regional_host("https://api-ap.vonage.com/"), Some("api-ap.vonage.com"));
        assert_eq!(regional_host("https://rest.nexmo.com"), None);
        assert_eq!(regional_host("https://api-ap.vonage.com.evil.example"), None);
    }
}
