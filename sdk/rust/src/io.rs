//! Effects as straight-line code.
//!
//! An operation runs from its beginning each time, with the replies to the effects that it asked for so far. [`Io`] hands
//! them out in that order; the first effect without a reply interrupts the operation. That works because a provider is
//! deterministic: the same arguments and the same replies lead to the same effects.

use std::time::Duration;
use std::vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::proof::milliseconds;
use crate::{Claim, Effect, Entry, Failure, Interrupted, Outcome, Reply, Request, Response};

/// The effects of one operation: replies of earlier rounds first, then the effect to perform next.
#[derive(Debug)]
pub struct Io {
    history: vec::IntoIter<Reply>,
}

/// No response arrived from the carrier. The reason is for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable(pub String);

impl Io {
    pub fn new(replies: Vec<Reply>) -> Self {
        Self {
            history: replies.into_iter(),
        }
    }

    /// Sends a request to the carrier and gives its response, whatever its status; see [`Response::require`]. That no
    /// response arrived is a carrier failure which may be retried.
    pub fn http(&mut self, request: Request) -> Outcome<Response> {
        self.try_http(request)?.map_err(|Unreachable(_)| {
            Failure::carrier("unreachable", "The carrier could not be reached; try again later.").into()
        })
    }

    /// Like [`http`](Self::http), for an operation that can go on without a response.
    pub fn try_http(&mut self, request: Request) -> Outcome<Result<Response, Unreachable>> {
        match self.next(|| Effect::Http(request))? {
            Reply::Http(response) => Ok(Ok(response)),
            Reply::Unreachable(reason) => Ok(Err(Unreachable(reason))),
            _ => Err(out_of_step()),
        }
    }

    /// Reads what was kept under a key; `None` when there is nothing, or it is forgotten by now.
    pub fn load<T: DeserializeOwned>(&mut self, key: &str) -> Outcome<Option<T>> {
        match self.next(|| Effect::Load(key.to_owned()))? {
            Reply::Value(None) => Ok(None),
            Reply::Value(Some(json)) => match serde_json::from_str(&json) {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(Failure::internal("kept-value", "A value that was kept has another shape.").into()),
            },
            _ => Err(out_of_step()),
        }
    }

    /// Keeps a value under a key, 1 to 128 characters, replacing the one before; for at most 24 hours.
    pub fn save(&mut self, key: &str, value: &impl Serialize, ttl: Duration) -> Outcome<()> {
        let value = serde_json::to_string(value).expect("a value with string keys is JSON");
        match self.next(|| {
            Effect::Save(Entry {
                key: key.to_owned(),
                value,
                ttl_ms: milliseconds(ttl),
            })
        })? {
            Reply::Saved => Ok(()),
            _ => Err(out_of_step()),
        }
    }

    /// True for the first who asks, once per key and time to live, across all nodes.
    pub fn claim(&mut self, key: &str, ttl: Duration) -> Outcome<bool> {
        match self.next(|| {
            Effect::Claim(Claim {
                key: key.to_owned(),
                ttl_ms: milliseconds(ttl),
            })
        })? {
            Reply::Claimed(won) => Ok(won),
            _ => Err(out_of_step()),
        }
    }

    /// An answer must have used up the history: replies to effects that were not asked for in this round mean that the
    /// operation is not deterministic.
    pub(crate) fn finish<T>(mut self, outcome: Outcome<T>) -> Outcome<T> {
        match outcome {
            Ok(_) if self.history.next().is_some() => Err(out_of_step()),
            outcome => outcome,
        }
    }

    fn next(&mut self, effect: impl FnOnce() -> Effect) -> Outcome<Reply> {
        self.history.next().ok_or_else(|| effect().into())
    }
}

fn out_of_step() -> Interrupted {
    Failure::internal(
        "replay",
        "The provider asked for other effects than in the round before.",
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailureKind, Interruption};

    const HOUR: Duration = Duration::from_secs(3600);

    fn operation(io: &mut Io) -> Outcome<String> {
        if let Some(kept) = io.load::<String>("greeting")? {
            return Ok(kept);
        }
        if !io.claim("turn", HOUR)? {
            return Ok("not my turn".to_owned());
        }
        let greeting = io
            .http(Request::get("https://api.example.com/greeting"))?
            .require(200..300)?;
        let greeting: String = greeting.read_json()?;
        io.save("greeting", &greeting, HOUR)?;
        Ok(greeting)
    }

    fn run(replies: Vec<Reply>) -> Outcome<String> {
        let mut io = Io::new(replies);
        let outcome = operation(&mut io);
        io.finish(outcome)
    }

    fn effect(outcome: Outcome<String>) -> Effect {
        match *outcome.unwrap_err() {
            Interruption::Perform(effect) => effect,
            Interruption::Failed(failure) => panic!("failed: {failure:?}"),
        }
    }

    fn failure(outcome: Outcome<String>) -> Failure {
        match *outcome.unwrap_err() {
            Interruption::Failed(failure) => failure,
            Interruption::Perform(effect) => panic!("asked for {effect:?}"),
        }
    }

    #[test]
    fn each_round_goes_one_effect_further() {
        let mut replies = vec![];
        assert_eq!(effect(run(replies.clone())), Effect::Load("greeting".to_owned()));
        replies.push(Reply::Value(None));
        assert_eq!(
            effect(run(replies.clone())),
            Effect::Claim(Claim {
                key: "turn".to_owned(),
                ttl_ms: 3_600_000
            })
        );
        replies.push(Reply::Claimed(true));
        assert_eq!(
            effect(run(replies.clone())),
            Effect::Http(Request::get("https://api.example.com/greeting"))
        );
        replies.push(Reply::Http(Response::json(&"hello")));
        let entry = Entry {
            key: "greeting".to_owned(),
            value: "\"hello\"".to_owned(),
            ttl_ms: 3_600_000,
        };
        assert_eq!(effect(run(replies.clone())), Effect::Save(entry));
        replies.push(Reply::Saved);
        assert_eq!(run(replies).unwrap(), "hello");
    }

    #[test]
    fn an_unreachable_carrier_is_a_failure_that_may_be_retried() {
        let replies = vec![
            Reply::Value(None),
            Reply::Claimed(true),
            Reply::Unreachable("refused".to_owned()),
        ];
        let failure = failure(run(replies));
        assert_eq!(
            (failure.kind, failure.retryable, failure.code.as_str()),
            (FailureKind::Carrier, true, "unreachable")
        );
    }

    #[test]
    fn a_reply_of_another_kind_is_a_defect() {
        for replies in [
            vec![Reply::Saved],
            vec![Reply::Value(None), Reply::Saved],
            vec![Reply::Value(None), Reply::Claimed(true), Reply::Claimed(true)],
            vec![Reply::Value(Some("{}".to_owned()))],
        ] {
            assert_eq!(failure(run(replies)).kind, FailureKind::Internal);
        }
    }

    #[test]
    fn replies_that_nobody_asked_for_are_a_defect() {
        let replies = vec![Reply::Value(Some("\"kept\"".to_owned())), Reply::Saved];
        assert_eq!(failure(run(replies)).code, "replay");
    }
}
