//! Constructors for checklists, and for what a person enters at the carrier.

use serde::Serialize;

use crate::{Detail, DetailGroup, FieldValue, Step};

impl Step {
    /// `key` in snake_case; the description says what to do. Calls can be placed without it.
    pub fn new(key: &str, title: &str, description: &str, complete: bool) -> Self {
        Self {
            key: key.to_owned(),
            title: title.to_owned(),
            description: description.to_owned(),
            complete,
            blocks_outbound: false,
        }
    }

    /// No call can be placed before it is complete.
    #[must_use]
    pub fn blocks_outbound(self) -> Self {
        self.blocks_outbound_if(true)
    }

    /// No call can be placed before it is complete, if `blocks`.
    #[must_use]
    pub fn blocks_outbound_if(self, blocks: bool) -> Self {
        Self {
            blocks_outbound: blocks,
            ..self
        }
    }
}

impl DetailGroup {
    /// A group without a description and without details.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            description: None,
            details: Vec::new(),
        }
    }

    #[must_use]
    pub fn describe(mut self, description: &str) -> Self {
        self.description = Some(description.to_owned());
        self
    }

    /// Another name and its value.
    #[must_use]
    pub fn detail(mut self, label: &str, value: impl Into<String>) -> Self {
        self.details.push(Detail {
            label: label.to_owned(),
            value: value.into(),
        });
        self
    }
}

impl FieldValue {
    /// A field of the configuration, and what is to be stored in it.
    pub fn new(name: &str, value: &impl Serialize) -> Self {
        Self {
            name: name.to_owned(),
            value: serde_json::to_string(value).expect("a value with string keys is JSON"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_blocks_when_told_so() {
        let step = Step::new("caller_id", "Phone number", "Add a number.", true);
        assert_eq!(
            (step.key.as_str(), step.complete, step.blocks_outbound),
            ("caller_id", true, false)
        );
        assert!(step.clone().blocks_outbound().blocks_outbound);
        assert!(!step.blocks_outbound_if(false).blocks_outbound);
    }

    #[test]
    fn details_keep_their_order() {
        let group = DetailGroup::new("Webhook")
            .describe("Enter it.")
            .detail("a", "1")
            .detail("b", "2");
        let labels: Vec<&str> = group.details.iter().map(|detail| detail.label.as_str()).collect();
        assert_eq!(
            (group.description.as_deref(), labels),
            (Some("Enter it."), vec!["a", "b"])
        );
    }

    #[test]
    fn a_stored_value_is_json() {
        assert_eq!(FieldValue::new("id", &"a\"b").value, r#""a\"b""#);
        assert_eq!(FieldValue::new("id", &7).value, "7");
    }
}
