//! Twilio's REST API, version 2010-04-01: addresses, authorisation and what its errors mean.
//!
//! <https://www.twilio.com/docs/api/errors>

use serde::Deserialize;
use strowger_sdk::{Failure, Request, Response, join_path};

use crate::spec::Config;

/// URL of a resource below the account, for example `["Calls", "CA….json"]`.
pub(crate) fn url(config: &Config, resource: &[&str]) -> Result<String, Failure> {
    let base = format!("https://{}/2010-04-01/Accounts", config.api_host);
    let mut segments = vec![config.account_sid.as_str()];
    segments.extend_from_slice(resource);
    join_path(&base, &segments)
}

pub(crate) fn authorised(config: &Config, request: Request) -> Request {
    request.basic(&config.account_sid, &config.auth_token)
}

/// Twilio's own number for what went wrong, from the body of a refusal.
pub(crate) fn error_code(response: &Response) -> Option<u32> {
    #[derive(Deserialize)]
    struct Refusal {
        code: Option<u32>,
    }
    response.read_json::<Refusal>().ok()?.code
}

/// The response if it is a success; otherwise whose fault it is. Twilio's own message is left out: it quotes phone
/// numbers.
pub(crate) fn accept(response: Response) -> Result<Response, Failure> {
    if (200..300).contains(&response.status) {
        return Ok(response);
    }
    let Some(code) = error_code(&response) else {
        return Err(Failure::from_status(response.status));
    };
    Err(match code {
        20005 | 10001 => Failure::configuration(
            "account-suspended",
            format!("The Twilio account is not active (error {code}); look at its state in the Twilio Console."),
        ),
        20404 => Failure::request(
            "not-found",
            "Twilio does not know what was asked for (error 20404): the call has ended, or the number has left the account; \
             check the number in the Twilio Console.",
        ),
        20429 => Failure::quota(
            "rate-limited",
            "Twilio limits the rate of requests (error 20429); try again later.",
        )
        .retryable(),
        21201 | 21211 | 21214 | 21217 | 21401 => Failure::request(
            "callee-invalid",
            format!("Twilio cannot dial this number (error {code}); check it."),
        ),
        21210 | 21212 | 21213 => Failure::request(
            "caller-id-refused",
            format!(
                "The caller id is neither a number of this Twilio account nor a verified one (error {code}); choose one that is."
            ),
        ),
        21215 | 13227 => Failure::configuration(
            "destination-not-permitted",
            format!("The Twilio account may not call this country; see Voice Geographic Permissions (error {code})."),
        ),
        21216 => Failure::request(
            "destination-blocked",
            "Twilio blocks calls to this number (error 21216); call another one, or ask Twilio to allow it.",
        ),
        21219 => Failure::configuration(
            "trial-account",
            "A trial account can only call verified numbers (error 21219); verify the number or upgrade the account.",
        ),
        _ => {
            let failure = Failure::from_status(response.status);
            let message = format!("{} Twilio's error is {code}.", failure.message);
            Failure { message, ..failure }
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strowger_sdk::FailureKind;

    use super::*;

    fn refusal(status: u16, code: u32) -> Failure {
        let body = json!({ "code": code, "message": "The 'To' number +14155550100 …", "status": status });
        accept(Response {
            status,
            ..Response::json(&body)
        })
        .unwrap_err()
    }

    #[test]
    fn twilios_errors_have_an_owner() {
        let table = [
            (401, 20003, FailureKind::Configuration, "credentials-refused", false),
            (400, 21211, FailureKind::Request, "callee-invalid", false),
            (400, 21210, FailureKind::Request, "caller-id-refused", false),
            (
                403,
                21215,
                FailureKind::Configuration,
                "destination-not-permitted",
                false,
            ),
            (429, 20429, FailureKind::Quota, "rate-limited", true),
            (503, 20503, FailureKind::Carrier, "carrier-error", true),
            (400, 99999, FailureKind::Request, "request-refused", false),
        ];
        for (status, code, kind, name, retryable) in table {
            let failure = refusal(status, code);
            assert_eq!(
                (failure.kind, failure.code.as_str(), failure.retryable),
                (kind, name, retryable),
                "{code}"
            );
            assert!(failure.message.contains(&code.to_string()), "{}", failure.message);
            assert!(!failure.message.contains("4155550100"));
        }
    }

    #[test]
    fn a_refusal_without_a_number_goes_by_its_status() {
        assert_eq!(
            accept(Response {
                status: 502,
                ..Response::text("bad gateway")
            })
            .unwrap_err()
            .code,
            "carrier-error"
        );
        assert!(accept(Response::empty(204)).is_ok());
    }
}
