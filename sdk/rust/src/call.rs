//! Constructors for what happened to a call, and for the answers about one.

use crate::{CallEvent, CallStatus, Cost, Failure, Placed, RejectionReason, StatusEvent};

/// The contract's bound on [`StatusEvent::cause`], in characters.
const CAUSE_CHARS_MAX: usize = 100;

/// Spoken to whoever calls a number that has nobody to talk to right now: it must not tell how the gateway is set up.
pub const NOT_AVAILABLE: &str = "This number cannot take your call right now. Please try again later.";

/// In what manner a caller is turned away, where a carrier's markup can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All lines are taken.
    Busy,
    /// Strangers learn nothing.
    Rejected,
    /// The number works, and has nobody to talk to right now: whoever calls is told [`NOT_AVAILABLE`].
    Spoken,
}

impl RejectionReason {
    pub fn refusal(self) -> Refusal {
        match self {
            Self::AtCapacity => Refusal::Busy,
            Self::UnknownNumber | Self::AccountMismatch | Self::Signature | Self::ProviderMismatch => Refusal::Rejected,
            Self::NoAgent | Self::Quota | Self::Unavailable => Refusal::Spoken,
        }
    }
}

impl StatusEvent {
    /// A status without a duration and without a cause.
    pub fn new(status: CallStatus) -> Self {
        Self {
            status,
            duration_ms: None,
            cause: None,
        }
    }

    /// How long it was talked, in milliseconds, where the carrier says so.
    #[must_use]
    pub fn lasted_ms(self, duration_ms: Option<u64>) -> Self {
        Self { duration_ms, ..self }
    }

    /// Why the call ended as it did, in the carrier's words. What exceeds the contract's bound is cut off.
    #[must_use]
    pub fn because(self, cause: Option<String>) -> Self {
        let cut = |cause: String| cause.chars().take(CAUSE_CHARS_MAX).collect();
        Self {
            cause: cause.filter(|cause| !cause.is_empty()).map(cut),
            ..self
        }
    }
}

impl CallEvent {
    /// A status without a duration and without a cause.
    pub fn status(status: CallStatus) -> Self {
        Self::Status(StatusEvent::new(status))
    }
}

impl From<StatusEvent> for CallEvent {
    fn from(event: StatusEvent) -> Self {
        Self::Status(event)
    }
}

impl Placed {
    /// A call that the carrier knows by this identifier, with nothing attached to it.
    pub fn new(provider_call_id: impl Into<String>) -> Self {
        Self {
            provider_call_id: provider_call_id.into(),
            attachment: None,
        }
    }
}

impl Cost {
    /// A price as the carrier writes it, digits with or without a fraction; `currency` is an ISO 4217 code, and
    /// `duration_s` the seconds that are billed.
    ///
    /// # Errors
    ///
    /// The price is no number, which is the carrier's failure.
    pub fn new(amount: &str, currency: &str, duration_s: u32) -> Result<Self, Failure> {
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(Failure::unexpected_answer("a price that is no number"));
        }
        Ok(Self {
            amount: amount.to_owned(),
            currency: currency.to_ascii_uppercase(),
            duration_s,
        })
    }
}

/// Milliseconds of a duration that a carrier writes in whole seconds.
pub fn seconds_to_ms(seconds: &str) -> Option<u64> {
    seconds.trim().parse::<u64>().ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_keeps_within_the_contract() {
        let event = StatusEvent::new(CallStatus::Failed).because(Some("é".repeat(300)));
        assert_eq!(event.cause.map(|cause| cause.chars().count()), Some(CAUSE_CHARS_MAX));
        let empty = StatusEvent::new(CallStatus::Failed).because(Some(String::new()));
        assert_eq!(empty, StatusEvent::new(CallStatus::Failed));
    }

    #[test]
    fn a_price_is_a_decimal_number() {
        let cost = Cost::new("0.0130", "usd", 61).unwrap();
        assert_eq!(
            (cost.amount.as_str(), cost.currency.as_str(), cost.duration_s),
            ("0.0130", "USD", 61)
        );
        assert!(Cost::new("12", "USD", 0).is_ok());
        for amount in ["", ".", "1.", ".5", "-1", "1e3", "1,5", "NaN"] {
            assert!(Cost::new(amount, "USD", 0).is_err(), "{amount}");
        }
    }

    #[test]
    fn seconds_become_milliseconds() {
        for (seconds, expected) in [
            ("61", Some(61_000)),
            (" 0 ", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(seconds_to_ms(seconds), expected, "{seconds}");
        }
        assert_eq!(seconds_to_ms(&u64::MAX.to_string()), None);
    }
}
