//! Who is asking, for handlers. [`super::access`] has decided by then that they may.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::ApiError;
use super::access::Identity;
use crate::store::{OrganizationId, Party, Power};

/// The organisation that the request is sent for. A handler that takes it is behind a key or a session.
#[derive(Debug)]
pub(super) struct Caller(pub(super) OrganizationId);

/// The organisation, or the operator.
#[derive(Debug)]
pub(super) struct Actor(pub(super) Party);

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Without the layer nobody is let in.
        parts.extensions.get::<Self>().cloned().ok_or(ApiError::Unauthorized)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Identity::from_request_parts(parts, state).await?.holder.power {
            Power::Organization(organization, _) => Ok(Self(organization)),
            Power::Operator => Err(ApiError::Unauthorized),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Actor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self(
            match Identity::from_request_parts(parts, state).await?.holder.power {
                Power::Organization(organization, _) => Party::Organization(organization),
                Power::Operator => Party::Operator,
            },
        ))
    }
}
