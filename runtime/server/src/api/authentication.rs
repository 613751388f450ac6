//! Who is asking.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::{ApiError, Operations};
use crate::store::{ApiKey, OrganizationId};

/// The longest key that is looked up, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// The organisation that the request's API key acts for. A handler that takes it is behind the key.
#[derive(Debug)]
pub(super) struct Caller(pub(super) OrganizationId);

impl<O: Operations> FromRequestParts<Arc<O>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, operations: &Arc<O>) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(ApiError::Unauthorized);
        };
        let key = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, key)| {
                scheme.eq_ignore_ascii_case("bearer") && (1..=KEY_BYTES_MAX).contains(&key.trim().len())
            })
            .map(|(_, key)| ApiKey::new(key.trim()))
            .ok_or(ApiError::Unauthorized)?;
        let organization = operations.store().authenticate(&key).await?;
        organization.map(Self).ok_or(ApiError::Unauthorized)
    }
}
