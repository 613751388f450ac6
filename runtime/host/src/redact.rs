//! What a carrier says of a failure, without what nobody else should read.
//!
//! A carrier's message may quote the request that it refuses: its URL with a password in it, its authorization, the number that
//! was called. Components pass it on, and from there it goes into records, logs and responses. The secrets that the gateway
//! has sealed are sealed again before a component sees them; this is for those that nobody has told it of, and for people's
//! numbers. It rather takes out too much.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// The longest message that is kept, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4_000;

const HIDDEN: &str = "…";

/// What follows "basic" or "bearer" in a sentence rather than in a header.
const PLAIN_WORDS: [&str; 8] = [
    "access",
    "auth",
    "authentication",
    "authorization",
    "credentials",
    "scheme",
    "token",
    "tokens",
];

struct Rule {
    pattern: Regex,
    replacement: &'static str,
}

fn rule(pattern: &str, replacement: &'static str) -> Rule {
    Rule {
        pattern: Regex::new(pattern).expect("the pattern is a constant"),
        replacement,
    }
}

static AUTHORIZATION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(basic|bearer|digest)(\s+)([a-z0-9+/=._~-]{4,})").expect("the pattern is a constant")
});

static RULES: LazyLock<[Rule; 6]> = LazyLock::new(|| {
    [
        // Of a URL: who asks, with his password.
        rule(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@]+@", "${1}…@"),
        // Who is called: sip:somebody@host.
        rule(r"(?i)\b(sips?:)[^\s@;>]+@", "${1}…@"),
        // name=value and "name": "value", wherever the name sounds like a secret's.
        rule(
            r#"(?i)\b([a-z0-9_.-]*(?:passw(?:or)?d|passphrase|pwd|secret|token|signature|credentials?|api[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|session[_-]?key|authorization|cookie|jwt|auth)["']?\s*[=:]\s*["']?)[^\s&"',;)}\]…]+"#,
            "${1}…",
        ),
        // Short names only where a query string has them.
        rule(
            r"(?i)([?&](?:key|sig|pass|user|username|auth|code|hash|hmac)=)[^\s&#]+",
            "${1}…",
        ),
        // Numbers with a plus and any punctuation, or in the American way.
        rule(
            r"\+\s?\d(?:[\s().-]{0,2}\d){6,16}|\(\d{3}\)\s?\d{3}[\s.-]\d{4}\b|\b\d{3}[\s.-]\d{3}[\s.-]\d{4}\b",
            HIDDEN,
        ),
        // As carriers write them: digits and nothing else.
        rule(r"\b\d{8,17}\b", HIDDEN),
    ]
});

/// Takes credentials and phone numbers out of a message, and bounds it to [`MESSAGE_BYTES_MAX`].
#[must_use]
pub fn redacted(message: &str) -> String {
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let mut text = AUTHORIZATION.replace_all(&message[..end], |found: &Captures<'_>| {
        let plain = PLAIN_WORDS.iter().any(|word| found[3].eq_ignore_ascii_case(word));
        if plain {
            found[0].to_owned()
        } else {
            format!("{}{}{HIDDEN}", &found[1], &found[2])
        }
    });
    for Rule { pattern, replacement } in RULES.iter() {
        if let Cow::Owned(changed) = pattern.replace_all(&text, *replacement) {
            text = Cow::Owned(changed);
        }
    }
    text.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_else_should_read_is_taken_out() {
        for (said, kept) in [
            (
                "GET https://AC12:hunter2@api.example/v1?limit=5 failed",
                "GET https://…@api.example/v1?limit=5 failed",
            ),
            (
                "https://api.example/x?api_key=s3cr3t&page=2",
                "https://api.example/x?api_key=…&page=2",
            ),
            ("https://api.example/x?key=s3cr3t", "https://api.example/x?key=…"),
            ("X-Auth-Token: 0123abcd refused", "X-Auth-Token: … refused"),
            ("sent Authorization: Bearer eyJhbGciOi.x.y", "sent Authorization: … …"),
            ("with basic QUMxMjpodW50ZXIy", "with basic …"),
            (
                r#"{"auth_token": "hush-hush", "code": 20003}"#,
                r#"{"auth_token": "…", "code": 20003}"#,
            ),
            ("password=hush;user=me", "password=…;user=me"),
            (
                "The number +1 (415) 555-2671 is not verified",
                "The number … is not verified",
            ),
            ("unverified: +442079460000.", "unverified: …."),
            ("14155552671 does not answer", "… does not answer"),
            ("(415) 555-2671 or 415-555-2671", "… or …"),
            (
                "to sip:alice.smith@pbx.example;transport=tls",
                "to sip:…@pbx.example;transport=tls",
            ),
        ] {
            assert_eq!(redacted(said), kept);
        }
    }

    #[test]
    fn what_helps_stays() {
        for said in [
            "Authentication Error - invalid username (20003)",
            "basic authentication is required",
            "a bearer token is missing",
            "HTTP 503 at 2026-11-23T06:45:00Z: try again in 30 s",
            "the key is too short; see https://www.example.com/docs/errors/21210",
            "account suspended",
        ] {
            assert_eq!(redacted(said), said);
        }
    }

    #[test]
    fn it_is_bounded_and_cut_between_characters() {
        let said = "ü".repeat(5_000);
        let kept = redacted(&said);
        assert_eq!(kept.len(), MESSAGE_BYTES_MAX);
        assert!(kept.chars().all(|character| character == 'ü'));
    }

    #[test]
    fn twice_is_as_good_as_once() {
        let once = redacted("Bearer abcdef123 +14155552671 token=x https://u:p@h/");
        assert_eq!(redacted(&once), once);
    }
}
