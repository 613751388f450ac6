//! What an agent, or a client of the API, says when the caller is to be connected with somebody else.

use std::fmt;
use std::time::Duration;

use strowger_call::{Address, AddressKind};
use thiserror::Error;

/// How long a destination rings unless somebody says otherwise.
const RING_TIMEOUT_DEFAULT_S: u64 = 30;
const RING_TIMEOUT_S: std::ops::RangeInclusive<u64> = 5..=120;
/// As the contract allows.
const ANNOUNCEMENT_CHARS_MAX: usize = 500;

/// What the caller hears while the destination rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    /// A ringing tone.
    #[default]
    Ringback,
    /// Nothing.
    Silence,
    /// Whatever the agent says or plays.
    Agent,
}

/// A transfer as it is asked for; its `Debug` shows no number.
#[derive(Clone, PartialEq, Eq)]
pub struct TransferRequest {
    /// Whom to connect the caller with.
    pub destination: Address,
    /// What the destination sees; the carrier's usual choice when absent.
    pub caller_id: Option<Address>,
    /// How long it may ring.
    pub ring_timeout: Duration,
    /// Said to the destination before the caller is there.
    pub announcement: Option<String>,
    /// What the caller hears meanwhile.
    pub hold: Hold,
}

impl fmt::Debug for TransferRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferRequest")
            .field("ring_timeout", &self.ring_timeout)
            .field("hold", &self.hold)
            .finish_non_exhaustive()
    }
}

/// Which member of a request is wrong, and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TransferProblem {
    /// No `destination`.
    #[error("`destination` is missing: give a number in E.164 with `+`, a SIP URI or an extension")]
    NoDestination,
    /// One that cannot be called.
    #[error("`{0}` is no number in E.164 with `+`, no SIP URI and no extension")]
    Address(&'static str),
    /// Too short or too long.
    #[error("`ring_timeout_s` must be 5 to 120")]
    RingTimeout,
    /// Too long, or not speakable.
    #[error("`announcement` must have at most 500 characters and no control characters")]
    Announcement,
    /// No such word.
    #[error("`hold` must be `ringback`, `silence` or `agent`")]
    Hold,
}

impl TransferRequest {
    /// Reads what was written.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(
        destination: Option<&str>,
        caller_id: Option<&str>,
        ring_timeout_s: Option<u64>,
        announcement: Option<&str>,
        hold: Option<&str>,
    ) -> Result<Self, TransferProblem> {
        let address = |member, text: &str| dialable(text).ok_or(TransferProblem::Address(member));
        let destination = destination
            .filter(|text| !text.trim().is_empty())
            .ok_or(TransferProblem::NoDestination)?;
        let ring_timeout_s = ring_timeout_s.unwrap_or(RING_TIMEOUT_DEFAULT_S);
        if !RING_TIMEOUT_S.contains(&ring_timeout_s) {
            return Err(TransferProblem::RingTimeout);
        }
        let announcement = announcement.map(str::trim).filter(|text| !text.is_empty());
        if announcement
            .is_some_and(|text| text.chars().count() > ANNOUNCEMENT_CHARS_MAX || text.chars().any(char::is_control))
        {
            return Err(TransferProblem::Announcement);
        }
        Ok(Self {
            destination: address("destination", destination)?,
            caller_id: caller_id.map(|text| address("caller_id", text)).transpose()?,
            ring_timeout: Duration::from_secs(ring_timeout_s),
            announcement: announcement.map(str::to_owned),
            hold: match hold {
                None | Some("ringback") => Hold::Ringback,
                Some("silence") => Hold::Silence,
                Some("agent") => Hold::Agent,
                Some(_) => return Err(TransferProblem::Hold),
            },
        })
    }
}

/// Somebody who can be called. A national number is a guess, and a wrong guess calls a stranger.
pub(crate) fn dialable(written: &str) -> Option<Address> {
    let digits = written.trim_start().trim_start_matches('(');
    let international = digits.starts_with('+') || digits.starts_with("00");
    Address::parse(written, None)
        .ok()
        .filter(|address| address.kind() != AddressKind::Pstn || (international && address.e164().is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_national_number_is_not_guessed_at() {
        for (written, called) in [
            ("+1 (415) 555-0100", Some("+14155550100")),
            ("(+1) 415 555 0100", Some("+14155550100")),
            ("4155550100", None),
            ("(415) 555-0100", None),
            ("0171 5550100", None),
            ("8000", Some("8000")),
            ("sip:desk@pbx.example.com", Some("sip:desk@pbx.example.com")),
            ("", None),
        ] {
            let address = dialable(written);
            assert_eq!(address.as_ref().map(Address::expose), called, "{written}");
        }
    }
}
