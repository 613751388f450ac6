//! Words of the API's document that several resources share. Most types here exist for their description alone: what is sent
//! is read field by field, so that everything wrong with it can be told at once.

use serde::Serialize;
use utoipa::openapi::schema::{Object, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::timestamp;
use crate::store::UnixMs;

/// The name of a thing here.
#[derive(Debug)]
pub(super) struct Id;

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::Custom("uuid".to_owned())))
            .description(Some("A UUID."))
            .examples(["0193c0de-1a2b-7000-8000-0123456789ab"])
            .into()
    }
}

impl ToSchema for Id {}

/// A moment: RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timestamp(pub(super) UnixMs);

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&timestamp::rfc3339(self.0))
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339 in UTC, with milliseconds."))
            .examples(["2026-11-22T16:30:00.125Z"])
            .into()
    }
}

impl ToSchema for Timestamp {}

/// An object of somebody else's making.
#[derive(Debug)]
pub(super) struct FreeObject;

impl PartialSchema for FreeObject {
    fn schema() -> RefOr<Schema> {
        Object::with_type(Type::Object).into()
    }
}

impl ToSchema for FreeObject {}

/// Bytes as they are.
#[derive(Debug)]
pub(super) struct Binary;

impl PartialSchema for Binary {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .into()
    }
}

impl ToSchema for Binary {}

/// What was done, for people.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Message {
    message: &'static str,
}

impl Message {
    pub(super) fn new(message: &'static str) -> axum::Json<Self> {
        axum::Json(Self { message })
    }
}
