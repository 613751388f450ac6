//! How an operation ends before its answer: with an effect to perform, or with a failure that says whose it is.

use crate::{Effect, Failure, FailureKind, FailureOwner, Interruption};

/// Why an operation has no answer yet, or has none at all. Boxed, because the answer is the usual case.
pub type Interrupted = Box<Interruption>;

/// What an operation of a provider returns; `?` carries the interruption out of it.
pub type Outcome<T> = Result<T, Interrupted>;

impl From<Failure> for Interrupted {
    fn from(failure: Failure) -> Self {
        Self::new(Interruption::Failed(failure))
    }
}

impl From<Effect> for Interrupted {
    fn from(effect: Effect) -> Self {
        Self::new(Interruption::Perform(effect))
    }
}

/// In all of these `code` is stable, short and in kebab case, without the provider's name, and `message` is one sentence
/// for the user that says what happened and what helps, without secrets and without phone numbers.
impl Failure {
    /// The stored credentials or settings cannot work until the user changes them.
    pub fn configuration(code: &str, message: impl Into<String>) -> Self {
        Self::new(
            FailureKind::Configuration,
            code,
            message.into(),
            false,
            FailureOwner::User,
        )
    }

    /// The account has no balance, or hit a rate limit; the latter is [`retryable`](Self::retryable).
    pub fn quota(code: &str, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Quota, code, message.into(), false, FailureOwner::User)
    }

    /// The carrier is down or answered something that it does not document. Retryable unless said otherwise.
    pub fn carrier(code: &str, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Carrier, code, message.into(), true, FailureOwner::Operator)
    }

    /// What was asked cannot be done: a bad number, a call that does not exist.
    pub fn request(code: &str, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Request, code, message.into(), false, FailureOwner::User)
    }

    /// The carrier cannot do that.
    pub fn unsupported(code: &str, message: impl Into<String>) -> Self {
        Self::new(
            FailureKind::Unsupported,
            code,
            message.into(),
            false,
            FailureOwner::User,
        )
    }

    /// A defect of the provider or of the gateway.
    pub fn internal(code: &str, message: impl Into<String>) -> Self {
        Self::new(
            FailureKind::Internal,
            code,
            message.into(),
            false,
            FailureOwner::Operator,
        )
    }

    /// The same request may succeed later without anybody changing anything.
    #[must_use]
    pub fn retryable(self) -> Self {
        Self {
            retryable: true,
            ..self
        }
    }

    /// What the runtime should make of an answer with this HTTP status that is not the documented success: whether the
    /// credentials, the balance, the carrier or the request is at fault.
    pub fn from_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::configuration(
                "credentials-refused",
                format!("The carrier refused the credentials (HTTP {status}); check them in the configuration."),
            ),
            402 => Self::quota(
                "no-balance",
                "The carrier asks for payment (HTTP 402); check the account's balance.",
            ),
            429 => Self::quota(
                "rate-limited",
                "The carrier limits the rate of requests (HTTP 429); try again later.",
            )
            .retryable(),
            408 | 500..=599 => Self::carrier(
                "carrier-error",
                format!("The carrier could not process the request (HTTP {status}); try again later."),
            ),
            400..=499 => Self::request(
                "request-refused",
                format!(
                    "The carrier refused the request (HTTP {status}); check the number and the settings that it is about."
                ),
            ),
            300..=399 => Self::configuration(
                "redirected",
                format!("The carrier answered with a redirect (HTTP {status}); check the configured address."),
            ),
            _ => Self::unexpected_answer(&format!("HTTP {status}")),
        }
    }

    /// The carrier answered with something that its documentation does not have: half a body, a proxy's page. It may be in
    /// order again the next time.
    pub fn unexpected_answer(what: &str) -> Self {
        Self::carrier(
            "unexpected-answer",
            format!("The carrier's answer was not understood ({what}); try again later."),
        )
    }

    /// Calls to a number that the account does not have cannot be directed here. `carrier` is its display name.
    pub fn number_not_owned(carrier: &str) -> Self {
        Self::request(
            "number-not-owned",
            format!(
                "The {carrier} account does not have this number, so its calls cannot be directed here; correct the number, \
                 or add it to the account first."
            ),
        )
    }

    /// Nobody can be dialled without a number to call from. `carrier` is its display name.
    pub fn caller_id_missing(carrier: &str) -> Self {
        Self::request(
            "caller-id-missing",
            format!("A call over {carrier} needs a number to call from; add one to the configuration."),
        )
    }

    fn new(kind: FailureKind, code: &str, message: String, retryable: bool, owner: FailureOwner) -> Self {
        Self {
            kind,
            code: code.to_owned(),
            message,
            retryable,
            owner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_whose_fault_it_is() {
        let table = [
            (401, FailureKind::Configuration, false, FailureOwner::User),
            (403, FailureKind::Configuration, false, FailureOwner::User),
            (302, FailureKind::Configuration, false, FailureOwner::User),
            (402, FailureKind::Quota, false, FailureOwner::User),
            (429, FailureKind::Quota, true, FailureOwner::User),
            (408, FailureKind::Carrier, true, FailureOwner::Operator),
            (503, FailureKind::Carrier, true, FailureOwner::Operator),
            (404, FailureKind::Request, false, FailureOwner::User),
            (204, FailureKind::Carrier, true, FailureOwner::Operator),
        ];
        for (status, kind, retryable, owner) in table {
            let failure = Failure::from_status(status);
            assert_eq!(
                (failure.kind, failure.retryable, failure.owner),
                (kind, retryable, owner),
                "{status}"
            );
        }
    }
}
