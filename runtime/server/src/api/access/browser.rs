//! What a browser says about a request: the session's cookie, and from which page it comes.

use axum::http::{HeaderMap, HeaderName, Method, header};

use super::policy::is_safe;
use crate::api::ApiError;
use crate::store::SessionToken;

/// The cookie of a session.
const COOKIE: &str = "strowger_session";
/// Beside the cookie, whatever changes something has the session's CSRF token.
const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The longest token that is looked up, in bytes.
const TOKEN_BYTES_MAX: usize = 128;

/// The session's token, if there is exactly one: of two, one is somebody else's.
pub(in crate::api) fn session_token(headers: &HeaderMap) -> Option<SessionToken> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut tokens = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .map(|(_, token)| token);
    match (tokens.next(), tokens.next()) {
        (Some(token), None) if (1..=TOKEN_BYTES_MAX).contains(&token.len()) => Some(SessionToken::new(token)),
        _ => None,
    }
}

/// The header that gives a browser the cookie of a session. `secure` where it is only ever sent over TLS.
pub(in crate::api) fn cookie(token: &SessionToken, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict{secure}", token.expose())
}

/// The header that takes it away.
pub(in crate::api) fn no_cookie(secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict{secure}; Max-Age=0")
}

/// Whether the request comes from a page of ours, or from no page. Browsers say it themselves, and a page cannot make them lie.
///
/// # Errors
/// `Forbidden` when it comes from somebody else's.
pub(in crate::api) fn check_origin(method: &Method, headers: &HeaderMap, public_base: &str) -> Result<(), ApiError> {
    let foreign = || {
        Err(ApiError::Forbidden(
            "foreign_origin",
            "the request comes from a page of another origin; open the console of this gateway itself".to_owned(),
        ))
    };
    match headers.get(SEC_FETCH_SITE).map(|site| site.as_bytes()) {
        None | Some(b"same-origin") => {}
        // Typed into the address bar, or opened from a bookmark.
        Some(b"none") if is_safe(method) => {}
        Some(_) => return foreign(),
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => Ok(()),
        (Some(origin), None) => {
            let origin = origin.to_str().unwrap_or_default();
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
            let is_ours = origin == public_base || (authority.is_some() && authority == host);
            if is_ours { Ok(()) } else { foreign() }
        }
        _ => foreign(),
    }
}

/// Whether a request that changes something with a session has its CSRF token.
///
/// # Errors
/// `Forbidden` when it has none, another's, or more than one.
pub(super) fn check_csrf(method: &Method, headers: &HeaderMap, token: &SessionToken) -> Result<(), ApiError> {
    if is_safe(method) {
        return Ok(());
    }
    let mut presented = headers.get_all(CSRF).iter();
    match (presented.next(), presented.next()) {
        (Some(presented), None) if token.is_csrf_token(presented.as_bytes()) => Ok(()),
        _ => Err(ApiError::Forbidden(
            "csrf",
            format!(
                "what changes something with a session needs the header {CSRF} with the csrf_token that `GET /api/v1/session` tells"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_cookie_counts_when_it_is_the_only_one() {
        let token = |values: &[&str]| {
            let pairs: Vec<_> = values.iter().map(|value| (header::COOKIE, *value)).collect();
            session_token(&headers(&pairs)).map(|token| token.expose().to_owned())
        };
        assert_eq!(token(&["strowger_session=abc"]).as_deref(), Some("abc"));
        assert_eq!(token(&["a=b; strowger_session=abc; c=d"]).as_deref(), Some("abc"));
        assert_eq!(token(&["a=b", "strowger_session=abc"]).as_deref(), Some("abc"));
        for values in [
            &["strowger_session=abc; strowger_session=def"][..],
            &["strowger_session=abc", "strowger_session=abc"],
            &["strowger_session="],
            &["xstrowger_session=abc"],
            &["strowger_session"],
        ] {
            assert_eq!(token(values), None, "{values:?}");
        }
        assert_eq!(
            token(&[&format!("strowger_session={}", "a".repeat(TOKEN_BYTES_MAX + 1))]),
            None
        );
    }

    #[test]
    fn a_page_of_somebody_else_is_refused() {
        const BASE: &str = "https://voice.example.com";
        let check = |method: Method, pairs: &[(HeaderName, &str)]| check_origin(&method, &headers(pairs), BASE).is_ok();
        assert!(check(Method::POST, &[]));
        assert!(check(
            Method::POST,
            &[(header::ORIGIN, BASE), (SEC_FETCH_SITE, "same-origin")]
        ));
        let local = [
            (header::ORIGIN, "http://127.0.0.1:8080"),
            (header::HOST, "127.0.0.1:8080"),
        ];
        assert!(check(Method::POST, &local));
        assert!(check(Method::GET, &[(SEC_FETCH_SITE, "none")]));
        assert!(!check(Method::POST, &[(SEC_FETCH_SITE, "none")]));
        for site in ["cross-site", "same-site", ""] {
            assert!(!check(Method::GET, &[(SEC_FETCH_SITE, site)]), "{site}");
        }
        for origin in [
            "null",
            "https://evil.example",
            "https://voice.example.com.evil.example",
            "",
            "://",
        ] {
            let pairs = [(header::ORIGIN, origin), (header::HOST, "127.0.0.1:8080")];
            assert!(!check(Method::POST, &pairs), "{origin}");
        }
        assert!(!check(
            Method::POST,
            &[(header::ORIGIN, BASE), (header::ORIGIN, "null")]
        ));
    }
}
