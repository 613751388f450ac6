//! Independent witnesses: programs that others wrote for these carriers, on ours.
//!
//! Whoever reads a specification wrongly writes the same mistake into the product and into its tests. So the carriers'
//! own packages sign webhooks for our verifiers ([`twilio`], [`plivo`], [`telnyx`], [`vonage`]), write the answers that
//! ours are compared with ([`markup`]), and drive the simulator that all other tests trust; a voice agent framework
//! reads and writes the same media messages ([`framing`]); an agent on somebody else's WebSocket library follows the
//! documentation of Media Streams ([`agent`]); and a library of telephone numbers reads the same numbers ([`numbers`]).
//! Where a witness and we differ, the difference is in a table of the test, with its reason, and the test fails when
//! the table is no longer true.
//!
//! The programs are in `tests/oracles`; each prints lines of JSON. Ours is always the built component, called through
//! the runtime's own host. A witness that is not installed is a failure, and never a test that passed.

mod agent;
mod framing;
mod markup;
mod numbers;
mod plivo;
mod telnyx;
mod twilio;
mod vonage;
pub(crate) mod witness;

use serde_json::Value;
use strowger_host::operation::{Call, Direction, RouteUrl};
use strowger_host::{Credentials, Header, Moment, Provider, Refusal, Verdict, Webhook};

use self::witness::{bytes, text};

/// What the clock says where a test is free to choose.
const NOW_MS: u64 = 1_763_800_000_000;
/// Always the same random cases: a failure can be looked at again.
const SEED: &str = "1";

/// A webhook as the programs print one.
fn webhook(case: &Value, received_at: u64) -> Webhook {
    let headers = case["headers"].as_array().unwrap().iter();
    Webhook {
        method: text(case, "method").to_owned(),
        url: text(case, "url").to_owned(),
        headers: headers
            .map(|pair| Header {
                name: pair[0].as_str().unwrap().to_owned(),
                value: pair[1].as_str().unwrap().to_owned(),
            })
            .collect(),
        body: bytes(case, "body"),
        received_at,
    }
}

/// What our verifier finds: `genuine`, or the code of the refusal.
fn verdict(provider: &Provider, credentials: &Credentials, webhook: &Webhook) -> String {
    match provider.verify(credentials, webhook, &Moment::at(webhook.received_at)) {
        Ok(Verdict::Genuine { .. }) => "genuine".to_owned(),
        Ok(Verdict::Refused(Refusal::Rejected { code, .. })) => code,
        Ok(Verdict::Refused(Refusal::NoProof)) => "no-proof".to_owned(),
        Ok(Verdict::Refused(Refusal::NotProved(_))) => "not-proved".to_owned(),
        Err(error) => panic!("{error}: {webhook:?}"),
    }
}

/// A call of `provider`, with a URL for each route of its spec that names a call.
fn call(provider: &Provider, id: &str, direction: Direction) -> Call {
    let routes = provider.spec().routes.iter();
    Call {
        id: id.to_owned(),
        provider_call_id: Some("CAabcdef0123456789abcdef0123456789".to_owned()),
        direction,
        caller: "+12025550147".to_owned(),
        callee: "+12025550188".to_owned(),
        routes: routes
            .map(|route| RouteUrl {
                name: route.name.clone(),
                url: format!("https://gateway.example/{}", route.name),
            })
            .collect(),
        attachment: None,
    }
}
