//! What the page is answered, and what it tells: small JSON documents.

use serde::Deserialize;
use serde_json::json;
use strowger_sdk::{
    CallEvent, CallStatus, CallbackOutcome, Header, MediaAddress, Refusal, RejectionReason, Response, StatusEvent,
    Webhook,
};

use crate::spec::ENDED;

/// Where to talk. The address opens one socket once, so no cache may keep it.
pub(crate) fn connect(media: &MediaAddress) -> Response {
    unkept(Response::json(&json!({ "media_url": media.url })))
}

pub(crate) fn refuse(reason: RejectionReason) -> Response {
    let refused = match reason.refusal() {
        Refusal::Busy => "busy",
        Refusal::Rejected => "rejected",
        Refusal::Spoken => "unavailable",
    };
    unkept(Response::json(&json!({ "refused": refused })))
}

/// How the page says that it ended.
#[derive(Deserialize)]
struct Ended {
    status: Word,
    #[serde(default)]
    cause: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Completed,
    Busy,
    Failed,
}

pub(crate) fn told(route: &str, webhook: &Webhook) -> CallbackOutcome {
    let ended = (route == ENDED).then(|| webhook.json::<Ended>().ok()).flatten();
    let event = ended.map(|Ended { status, cause }| {
        let status = match status {
            Word::Completed => CallStatus::Completed,
            Word::Busy => CallStatus::Busy,
            Word::Failed => CallStatus::Failed,
        };
        CallEvent::Status(StatusEvent::new(status).because(cause))
    });
    CallbackOutcome {
        events: event.into_iter().collect(),
        response: Response::empty(204),
    }
}

fn unkept(mut response: Response) -> Response {
    response.headers.push(Header::new("cache-control", "no-store"));
    response
}

#[cfg(test)]
mod tests {
    use strowger_sdk::testing::post_json;

    use super::*;

    #[test]
    fn an_end_has_a_status_and_a_cause() {
        let told = |body| told(ENDED, &post_json(&body)).events;
        let status = |status, cause: Option<&str>| {
            vec![CallEvent::Status(
                StatusEvent::new(status).because(cause.map(str::to_owned)),
            )]
        };
        assert_eq!(
            told(json!({ "status": "completed" })),
            status(CallStatus::Completed, None)
        );
        assert_eq!(told(json!({ "status": "busy" })), status(CallStatus::Busy, None));
        assert_eq!(
            told(json!({ "status": "failed", "cause": "no loudspeaker" })),
            status(CallStatus::Failed, Some("no loudspeaker"))
        );
        for nothing in [json!({}), json!({ "status": "ringing" }), json!([])] {
            assert_eq!(told(nothing), []);
        }
        let elsewhere = super::told("inbound", &post_json(&json!({ "status": "busy" })));
        assert_eq!((elsewhere.events, elsewhere.response.status), (vec![], 204));
    }
}
