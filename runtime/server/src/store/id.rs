//! The names of rows.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// The text is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an identifier is a UUID of 36 characters")]
pub struct IdError;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new one. They sort by the time they were made, which keeps the database's indexes compact.
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7().hyphenated().to_string())
            }

            /// Reads the hyphenated form of a UUID.
            ///
            /// # Errors
            /// It is none.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                if text.len() != 36 {
                    return Err(IdError);
                }
                Uuid::try_parse(text).map(|id| Self(id.hyphenated().to_string())).map_err(|_| IdError)
            }

            /// The hyphenated lower-case form.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )*};
}

ids! {
    /// Names an organisation.
    OrganizationId;
    /// Names an API key, and opens nothing.
    ApiKeyId;
    /// Names a session of the console, and opens nothing.
    SessionId;
    /// Names an agent.
    AgentId;
    /// Names a telephony configuration.
    ConfigurationId;
    /// Names a phone number's row. It is not the number.
    NumberId;
    /// Names a trunk's row. It is not the trunk's name.
    TrunkId;
    /// Names an endpoint that a tenant's events are sent to.
    WebhookEndpointId;
    /// Names an outgoing event, the same towards every endpoint and in every attempt.
    OutgoingEventId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_a_hyphenated_uuid() {
        let id = AgentId::generate();
        assert_eq!(AgentId::parse(&id.to_string().to_uppercase()).unwrap(), id);
        for wrong in [
            "",
            "7",
            "0193c0de000070008000012345678900",
            "urn:uuid:0193c0de-0000-7000-8000-0123456789ab",
        ] {
            assert_eq!(AgentId::parse(wrong), Err(IdError), "{wrong}");
        }
    }
}
