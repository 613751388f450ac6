//! Ringing a browser. Nobody is told: the page that asked for the call picks it up.

use strowger_sdk::{Call, Failure, Outcome, Placed, StatusReport};

/// What is dialled. A configuration that is chosen by accident for a telephone number must not seem to ring somewhere.
const CALLEE: &str = "browser";

pub(crate) fn place(call: &Call) -> Outcome<Placed> {
    if call.callee != CALLEE {
        return Err(Failure::request(
            "not-a-telephone",
            "This configuration rings in a browser and dials no telephone; choose another telephony configuration for this call.",
        )
        .into());
    }
    // There is no other name of the call than ours.
    Ok(Placed::new(call.id.as_str()))
}

/// Asked for only when the socket has ended without a word: the call has ended with it.
pub(crate) fn status() -> Outcome<StatusReport> {
    Err(Failure::request("call-not-found", "A browser's call ends with its socket.").into())
}

#[cfg(test)]
mod tests {
    use strowger_sdk::testing::call;
    use strowger_sdk::{Direction, FailureKind, Interruption};

    use super::*;

    #[test]
    fn a_browser_rings_and_a_telephone_does_not() {
        let mut ringing = call(Direction::Outbound, None);
        ringing.callee = CALLEE.to_owned();
        assert_eq!(place(&ringing).unwrap().provider_call_id, "1");
        for other in ["+12025550123", "", "100", "browser2"] {
            ringing.callee = other.to_owned();
            let Interruption::Failed(failure) = *place(&ringing).unwrap_err() else {
                panic!("{other}")
            };
            assert_eq!(
                (failure.kind, failure.code.as_str()),
                (FailureKind::Request, "not-a-telephone")
            );
        }
    }
}
