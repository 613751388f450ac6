use super::*;

const DAY_MS: i64 = 24 * 3600 * 1000;

#[test]
fn an_answer_decides_what_follows() {
    let delivered = judge(Answer::Taken(204), 3, Some(0), 9 * DAY_MS, 0.5);
    assert_eq!(
        delivered,
        Attempted {
            status: Some(204),
            error: None,
            retry_at: None,
            disable: None
        }
    );
    let refused = judge(Answer::Refused(500), 1, None, 1_000, 0.0);
    assert_eq!(
        (
            refused.status,
            refused.error.as_deref(),
            refused.retry_at,
            refused.disable
        ),
        (Some(500), Some("http-500"), Some(6_000), None)
    );
    // A redirect is an answer like any other: it is not followed, and nobody has the event.
    assert_eq!(
        judge(Answer::Refused(302), 1, None, 0, 0.0).error.as_deref(),
        Some("http-302")
    );
    let nothing = judge(Answer::Nothing("connect"), 2, Some(0), 1_000, 1.0);
    assert_eq!(
        (nothing.status, nothing.error.as_deref(), nothing.retry_at),
        (None, Some("connect"), Some(1_000 + 360_000))
    );
}

#[test]
fn after_the_last_attempt_it_is_a_dead_letter() {
    let last = judge(Answer::Refused(503), 10, Some(2 * DAY_MS), 3 * DAY_MS, 0.0);
    assert_eq!((last.retry_at, last.disable), (None, None));
}

#[test]
fn an_endpoint_that_is_gone_or_fails_for_days_is_given_up() {
    let gone = judge(Answer::Refused(410), 1, None, 0, 0.0);
    assert!(gone.disable.is_some() && gone.retry_at.is_none() && gone.error.is_some());
    let days = judge(Answer::Nothing("timeout"), 2, Some(0), 3 * DAY_MS, 0.0);
    assert!(days.disable.is_some() && days.retry_at.is_none());
    let nearly = judge(Answer::Nothing("timeout"), 2, Some(1), 3 * DAY_MS, 0.0);
    assert!(nearly.disable.is_none() && nearly.retry_at.is_some());
    // What comes through ends the failing, however long it was.
    assert_eq!(judge(Answer::Taken(200), 2, Some(0), 9 * DAY_MS, 0.0).disable, None);
}
