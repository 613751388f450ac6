//! Answers that can be told apart, and requests that count for one of them only.
//!
//! An entity tag has two parts: the version of the row, which counts its changes, and a hash of what is shown. The hash lets
//! `If-None-Match` notice whatever changed about an answer, also beside the row, such as the state of a socket; a change with
//! `If-Match` is held against the version alone, because only a change of the row can be lost.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::IntoParams;

use super::ApiError;
use crate::store::StoreError;

/// How much of a hash is in a tag, in bytes: enough against chance, and nobody gains by a collision.
const HASH_BYTES: usize = 8;

/// For changes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `Conditions` reads")]
pub(super) struct IfMatch {
    /// An `ETag` that was read: the request then counts only if nothing was changed since (else 412).
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// For reading.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `Conditions` reads")]
pub(super) struct IfNoneMatch {
    /// An `ETag` that was read: when nothing has changed since, the answer is 304 without a body.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// What a request's conditions are.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// Versions of which the row must have one; none means any.
    if_match: Option<Vec<u64>>,
    if_none_match: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Conditions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let if_match = joined(&parts.headers, &header::IF_MATCH)?;
        let if_match = if_match.filter(|tags| tags.trim() != "*").map(|tags| {
            // A tag that was never given matches nothing, and neither does a weak one (RFC 9110, 13.1.1).
            tags.split(',').filter_map(version).collect()
        });
        Ok(Self {
            if_match,
            if_none_match: joined(&parts.headers, &header::IF_NONE_MATCH)?,
        })
    }
}

impl Conditions {
    /// Whether the client has read this version, or does not say which. Only the writing itself settles the matter.
    ///
    /// # Errors
    /// The row has another version.
    pub(super) fn require(&self, current: u64) -> Result<(), ApiError> {
        match &self.if_match {
            Some(versions) if !versions.contains(&current) => Err(ApiError::Stale),
            _ => Ok(()),
        }
    }

    /// The version that the writing is to be held against, if the client says one.
    ///
    /// # Errors
    /// The row has another version already.
    pub(super) fn expected(&self, current: u64) -> Result<Option<u64>, ApiError> {
        self.require(current)?;
        Ok(self.is_strict().then_some(current))
    }

    /// What a client is told of a failed change.
    pub(super) fn told(&self, error: StoreError) -> ApiError {
        match error {
            StoreError::Stale if self.is_strict() => ApiError::Stale,
            error => error.into(),
        }
    }

    /// Whether the client says which version it has read.
    pub(super) fn is_strict(&self) -> bool {
        self.if_match.is_some()
    }
}

/// The lines of a header as one; none when there is none.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, ApiError> {
    let mut all = Vec::new();
    for value in headers.get_all(name) {
        let Ok(text) = value.to_str() else {
            let message = format!("the header {name} must be `*` or entity tags such as \"1-0a1b2c3d4e5f6071\"");
            return Err(ApiError::Refused("invalid_condition", message));
        };
        all.push(text);
    }
    Ok((!all.is_empty()).then(|| all.join(",")))
}

/// The version in an entity tag of ours.
fn version(tag: &str) -> Option<u64> {
    let (version, hash) = tag.trim().strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
    (hash.len() == 2 * HASH_BYTES).then(|| version.parse().ok())?
}

/// An answer with its entity tag.
pub(super) struct Tagged<T> {
    status: StatusCode,
    version: u64,
    shown: T,
    if_none_match: Option<String>,
}

impl<T> Tagged<T> {
    /// What a change leads to.
    pub(super) fn new(version: u64, shown: T) -> Self {
        Self {
            status: StatusCode::OK,
            version,
            shown,
            if_none_match: None,
        }
    }

    pub(super) fn created(version: u64, shown: T) -> Self {
        Self {
            status: StatusCode::CREATED,
            ..Self::new(version, shown)
        }
    }

    /// What is read, unless the client has it already.
    pub(super) fn read(version: u64, shown: T, conditions: Conditions) -> Self {
        Self {
            if_none_match: conditions.if_none_match,
            ..Self::new(version, shown)
        }
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let text = serde_json::to_vec(&self.shown).unwrap_or_default();
        let hash = hex::encode(&Sha256::digest(&text)[..HASH_BYTES]);
        let tag = format!("\"{}-{hash}\"", self.version);
        let is_known = self.if_none_match.is_some_and(|tags| {
            tags.trim() == "*"
                || tags
                    .split(',')
                    .any(|known| known.trim().trim_start_matches("W/") == tag)
        });
        let mut response = if is_known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            (self.status, Json(self.shown)).into_response()
        };
        if let Ok(tag) = HeaderValue::try_from(tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}
