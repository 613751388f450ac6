//! Operations against carriers that answer in every way but the right one.

use strowger_host::OutgoingRequest;

use super::answers;
use super::carrier::{Answers, Ending};
use super::given::HARMLESS;
use super::operations;
use super::problems::Problems;
use super::shape;
use super::subject::Subject;
use crate::report::{Outcome, Problem};

/// Operations for which nothing but a success of the carrier is a success.
const NEEDS_SUCCESS: [&str; 7] = [
    "calling.place-call",
    "calling.fetch-status",
    "transfer.dial-destination",
    "transfer.connect",
    "trunks.apply-trunk",
    "numbers.provision-number",
    "calling.hang-up",
];

/// Every operation ends, in its result or a failure.
pub(super) fn check(subject: &Subject<'_>) -> Outcome {
    let mut problems = Problems::default();
    for answers in Answers::all() {
        for exercise in operations::all(subject, &HARMLESS) {
            let run = exercise.run(&answers);
            let circumstance = format!("against a carrier that {}", answers.name);
            let export = exercise.export;
            match &run.ending {
                Ending::Fault(fault) => problems.fault(export, &circumstance, fault),
                Ending::Failed(failure) => answers::failure(&mut problems, export, &circumstance, failure),
                Ending::Done(_)
                    if answers.refuses
                        && !answers.is_not_found()
                        && !run.requests.is_empty()
                        && NEEDS_SUCCESS.contains(&export) =>
                {
                    problems.add(export, "success", || Problem {
                        what: format!("{} succeeds {circumstance}", exercise.name),
                        why: "the gateway would go on as if the carrier had done it".to_owned(),
                        mend: "look at the status of the reply, and map every other one to a failure with an owner"
                            .to_owned(),
                    });
                }
                Ending::Done(_) => {}
            }
            for request in &run.requests {
                requested(&mut problems, export, request);
            }
        }
    }
    problems.outcome()
}

/// A request is one that the gateway would send.
fn requested(problems: &mut Problems, export: &str, request: &OutgoingRequest) {
    if !request.grants.iter().any(|grant| grants(grant, &request.url)) {
        problems.add(export, "host", || Problem {
            what: format!(
                "{export} sends a request to {}, which the spec does not declare",
                request.url.origin().ascii_serialization()
            ),
            why: "the gateway sends requests to declared hosts only, so this one fails".to_owned(),
            mend: format!(
                "add the host to `egress-hosts`; this configuration grants {}",
                if request.grants.is_empty() {
                    "none".to_owned()
                } else {
                    request.grants.join(", ")
                }
            ),
        });
    }
    if let Err(what) = shape::of_request(request) {
        problems.add(export, "body", || Problem {
            what: format!(
                "{export} sends a request to {} that is malformed: {what}",
                request.url.path()
            ),
            why: "the carrier cannot read it".to_owned(),
            mend: "build the body with the SDK's writers, and name the content type that it has".to_owned(),
        });
    }
}

/// Whether a granted host is that of a URL. The same rule as the gateway's: scheme, host and port.
fn grants(grant: &str, url: &url::Url) -> bool {
    let origin = if grant.contains("://") {
        grant.to_owned()
    } else {
        format!("https://{grant}")
    };
    url::Url::parse(&origin).is_ok_and(|origin| origin.origin() == url.origin())
}
