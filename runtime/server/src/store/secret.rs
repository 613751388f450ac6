//! Values that do not show themselves in logs.

use std::fmt;

use serde_json::Value;

/// A JSON document with secrets in it. It is sealed in the database and shows itself only through [`SecretJson::expose`].
#[derive(Clone, PartialEq, Default)]
pub struct SecretJson(Value);

impl SecretJson {
    /// Takes a document into custody.
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self(value)
    }

    /// The document in the clear.
    #[must_use]
    pub fn expose(&self) -> &Value {
        &self.0
    }
}

impl fmt::Debug for SecretJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretJson(…)")
    }
}

/// HTTP headers that may carry credentials. Names are shown, values are not.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretHeaders(Vec<(String, String)>);

impl SecretHeaders {
    /// Takes headers into custody, in their order.
    #[must_use]
    pub fn new(headers: Vec<(String, String)>) -> Self {
        Self(headers)
    }

    /// Names and values.
    #[must_use]
    pub fn expose(&self) -> &[(String, String)] {
        &self.0
    }
}

impl fmt::Debug for SecretHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// What identifies an account at its carrier. Half of a credential, so logs do not get it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountId(String);

impl AccountId {
    /// Takes an account id as the carrier writes it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The id itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountId(…)")
    }
}

/// A phone address exactly as a user entered it: what the carrier is asked for, never what is compared.
#[derive(Clone, PartialEq, Eq)]
pub struct WrittenAddress(String);

impl WrittenAddress {
    /// Takes an address as entered.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The whole address.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for WrittenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrittenAddress(…)")
    }
}
