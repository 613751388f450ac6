//! A carrier that answers in every way but the right one, and what comes of an operation against it.

use serde_json::json;
use strowger_host::operation::{CallEvent, Outcome};
use strowger_host::{
    Effect, Failure, IncomingResponse, InvokeError, Operation, OutgoingRequest, Reply, Response, Step,
};

/// Rounds after which a drive gives up; the host ends an operation before that.
const ROUNDS_MAX: usize = 64;

/// How a carrier answers everything.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    /// For people: `answers 200 with …`.
    pub(super) name: &'static str,
    reply: Reply,
    /// Nothing that could be taken for a success.
    pub(super) refuses: bool,
}

/// What came of one operation.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) requests: Vec<OutgoingRequest>,
    pub(super) ending: Ending,
}

/// How an operation ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// With a result; where that is a response for the carrier, this.
    Done(Option<Response>),
    /// With the provider's own verdict.
    Failed(Failure),
    /// It broke the contract.
    Fault(InvokeError),
}

/// Results, as far as the suite looks into them.
pub(super) trait Product {
    /// What is sent to the carrier.
    fn response(&self) -> Option<&Response> {
        None
    }
}

impl Product for Outcome {
    fn response(&self) -> Option<&Response> {
        Some(&self.response)
    }
}

impl Product for Response {
    fn response(&self) -> Option<&Response> {
        Some(self)
    }
}

macro_rules! only_that_it_ended {
    ($($product:ty),+ $(,)?) => { $(impl Product for $product {})+ };
}

only_that_it_ended!(
    (),
    bool,
    CallEvent,
    strowger_host::operation::Placed,
    (strowger_host::operation::CallStatus, Option<u64>),
    Option<strowger_host::operation::Cost>,
    strowger_host::operation::Ownership,
    strowger_host::operation::Provisioning,
    strowger_host::operation::Synchronisation,
    Vec<strowger_host::operation::SetField>,
    strowger_host::operation::AppliedTrunk,
    Vec<strowger_host::operation::Directive>,
);

impl Answers {
    fn http(name: &'static str, status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            name,
            reply: Reply::Http(IncomingResponse {
                status,
                headers: vec![("content-type".to_owned(), content_type.as_bytes().to_vec())],
                body: body.into(),
            }),
            refuses: status >= 300,
        }
    }

    /// A carrier that takes everything and says nothing.
    pub(super) fn agreeable() -> Self {
        Self::http("answers 200 with {}", 200, "application/json", "{}")
    }

    /// A carrier that knows nothing.
    pub(super) fn not_found() -> Self {
        Self::http("answers 404", 404, "application/json", "{}")
    }

    /// Whether it says that there is no such thing, which for some operations is what was wanted.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(&self.reply, Reply::Http(response) if response.status == 404 || response.status == 409)
    }

    /// Every way.
    pub(super) fn all() -> Vec<Self> {
        let json = "application/json";
        let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        let mut all = vec![
            Self::agreeable(),
            Self::http("answers 204 with nothing", 204, json, ""),
            Self::http("answers 200 with an empty body", 200, json, ""),
            Self::http("answers 200 with []", 200, json, "[]"),
            Self::http("answers 200 with null", 200, json, "null"),
            Self::http(
                "answers 200 with JSON that is cut short",
                200,
                json,
                "{\"id\":\"x\",\"data\":{\"sta",
            ),
            Self::http(
                "answers 200 with a proxy's page",
                200,
                "text/html",
                "<html><h1>Welcome</h1></html>",
            ),
            Self::http(
                "answers 200 with bytes that are no text",
                200,
                json,
                vec![0xff, 0x00, 0xfe, 0x80],
            ),
            Self::http(
                "answers 200 with numbers beyond every integer",
                200,
                json,
                "{\"id\":123456789012345678901234567890,\"duration\":1e400,\"price\":-1e400}",
            ),
            Self::http("answers 200 with 20 000 nested arrays", 200, json, nested),
            Self::http("answers 302", 302, "text/html", ""),
        ];
        let error = "{\"message\":\"no\",\"code\":1,\"error\":{\"code\":\"x\"},\"errors\":[{\"code\":1}]}";
        for (name, status) in [
            ("answers 400", 400),
            ("answers 401", 401),
            ("answers 403", 403),
            ("answers 404", 404),
            ("answers 409", 409),
            ("answers 422", 422),
            ("answers 429", 429),
            ("answers 500", 500),
            ("answers 503", 503),
        ] {
            all.push(Self::http(name, status, json, error));
        }
        all.push(Self::http(
            "answers 500 with a page",
            500,
            "text/html",
            "<html>oops</html>",
        ));
        all.push(Self {
            name: "cannot be reached",
            reply: Reply::Unreachable("the connection timed out".to_owned()),
            refuses: true,
        });
        all
    }
}

/// Runs an operation to its end against a carrier that answers like this.
pub(super) fn drive<T: Product>(mut operation: Operation<T>, answers: &Answers) -> Run {
    let mut requests = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let effect = match operation.step() {
            Err(fault) => return ended(requests, Ending::Fault(fault)),
            Ok(Step::Failed(failure)) => return ended(requests, Ending::Failed(failure)),
            Ok(Step::Done(product)) => return ended(requests, Ending::Done(product.response().cloned())),
            Ok(Step::Perform(effect)) => effect,
        };
        operation.reply(match effect {
            Effect::Http(request) => {
                requests.push(request);
                answers.reply.clone()
            }
            Effect::Load { .. } => Reply::Value(Some(json!({ "kept": ["by", "somebody", 1e300] }))),
            Effect::Save { .. } => Reply::Saved,
            Effect::Claim { .. } => Reply::Claimed(true),
        });
    }
    ended(
        requests,
        Ending::Fault(
            strowger_host::GuestFault::TooManyRounds {
                export: "the operation",
                rounds_max: ROUNDS_MAX,
            }
            .into(),
        ),
    )
}

fn ended(requests: Vec<OutgoingRequest>, ending: Ending) -> Run {
    Run { requests, ending }
}
