//! The parameters of a webhook: JSON in a POST, the query in a GET, and a form where an application was told to send one.
//!
//! <https://developers.cloudonix.com/Documentation/voiceApplication/Request>

use serde_json::{Map, Value};
use strowger_sdk::{Form, Webhook};

pub(crate) enum Fields {
    Json(Map<String, Value>),
    Form(Form),
}

impl Fields {
    pub(crate) fn read(webhook: &Webhook) -> Option<Self> {
        if webhook.method != "POST" {
            return Some(Self::Form(webhook.query()));
        }
        if webhook.has_form() {
            return Some(Self::Form(webhook.form()));
        }
        // A caller's name may be anything; what is no UTF-8 in it must not lose the call.
        let body = String::from_utf8_lossy(&webhook.body);
        match serde_json::from_str(&body).ok()? {
            Value::Object(members) => Some(Self::Json(members)),
            // Session updates may come as a list of one.
            Value::Array(mut items) if items.len() == 1 => match items.remove(0) {
                Value::Object(members) => Some(Self::Json(members)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The text under this name, unless it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self {
            Self::Json(members) => members
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty()),
            Self::Form(form) => form.get_filled(name),
        }
    }

    /// The text under the first of these names that has one.
    pub(crate) fn text_of(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.text(name))
    }

    /// A whole number, also when it is written as text.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        match self {
            Self::Json(members) => members.get(name).and_then(number),
            Self::Form(form) => form.get(name)?.trim().parse().ok(),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Json(members) => members.get(name).is_some_and(|value| !value.is_null()),
            Self::Form(form) => form.get(name).is_some(),
        }
    }

    /// The members of an object under this name.
    pub(crate) fn object(&self, name: &str) -> Option<&Map<String, Value>> {
        match self {
            Self::Json(members) => members.get(name)?.as_object(),
            Self::Form(_) => None,
        }
    }
}

/// The text under a name of an object, unless it is empty.
pub(crate) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str().filter(|text| !text.is_empty())
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64(),
    }
}
