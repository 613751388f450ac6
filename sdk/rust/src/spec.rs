//! Builders for what a provider says about itself.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Choice, Condition, Connectivity, Encoding, Field, FieldProblem, FieldType, MediaProfile, ProofPolicy, ProviderSpec,
    Route, RoutePurpose, WireFormat,
};

impl ProviderSpec {
    /// A carrier with an API and signed webhooks, whose outbound calls need a caller id. `name` is the provider's name in
    /// URLs: lower-case letters, digits and hyphens.
    pub fn new(name: &str, display_name: &str, version: &str, media: MediaProfile) -> Self {
        Self {
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            version: version.to_owned(),
            docs_url: None,
            connectivity: Connectivity::Api,
            requires_caller_id: true,
            fields: Vec::new(),
            account_id_field: String::new(),
            media,
            routes: Vec::new(),
            egress_hosts: Vec::new(),
            webhook_proof: ProofPolicy::Required,
        }
    }

    /// Where a user reads how to set this carrier up.
    #[must_use]
    pub fn docs_url(mut self, url: &str) -> Self {
        self.docs_url = Some(url.to_owned());
        self
    }

    /// The user connects SIP trunks.
    #[must_use]
    pub fn sip(mut self) -> Self {
        self.connectivity = Connectivity::Sip;
        self
    }

    /// Outbound calls work without a number of ours.
    #[must_use]
    pub fn caller_id_optional(mut self) -> Self {
        self.requires_caller_id = false;
        self
    }

    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// The field whose value identifies the account in webhooks.
    #[must_use]
    pub fn account_id_field(mut self, name: &str) -> Self {
        name.clone_into(&mut self.account_id_field);
        self
    }

    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// A host that requests may go to; `{field}` stands for the value of a credential field.
    #[must_use]
    pub fn egress_host(mut self, host: &str) -> Self {
        self.egress_hosts.push(host.to_owned());
        self
    }

    /// The carrier sends no webhooks; whatever arrives is refused.
    #[must_use]
    pub fn no_webhooks(mut self) -> Self {
        self.webhook_proof = ProofPolicy::NoWebhooks;
        self
    }
}

impl Field {
    /// An optional field that anybody may read. `name` in snake_case.
    pub fn new(kind: FieldType, name: &str, label: &str) -> Self {
        Self {
            name: name.to_owned(),
            label: label.to_owned(),
            kind,
            required: false,
            sensitive: false,
            server_managed: false,
            account_scoped: false,
            description: None,
            placeholder: None,
            options: Vec::new(),
            visible_when: None,
            section: None,
        }
    }

    pub fn text(name: &str, label: &str) -> Self {
        Self::new(FieldType::Text, name, label)
    }

    pub fn password(name: &str, label: &str) -> Self {
        Self::new(FieldType::Password, name, label)
    }

    pub fn textarea(name: &str, label: &str) -> Self {
        Self::new(FieldType::Textarea, name, label)
    }

    pub fn number(name: &str, label: &str) -> Self {
        Self::new(FieldType::Number, name, label)
    }

    pub fn boolean(name: &str, label: &str) -> Self {
        Self::new(FieldType::Boolean, name, label)
    }

    /// One of `choices`, each a value and its label.
    pub fn select(name: &str, label: &str, choices: &[(&str, &str)]) -> Self {
        let mut field = Self::new(FieldType::Select, name, label);
        field.options = choices
            .iter()
            .map(|(value, label)| Choice {
                value: (*value).to_owned(),
                label: (*label).to_owned(),
            })
            .collect();
        field
    }

    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Masked whenever it is shown; reaches the provider as a [`Sealed`](crate::Sealed) reference, unless it is the
    /// account-id field.
    #[must_use]
    pub fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// Set by the provider's save hook, never by a user.
    #[must_use]
    pub fn server_managed(mut self) -> Self {
        self.server_managed = true;
        self
    }

    /// Discarded when the account id changes.
    #[must_use]
    pub fn account_scoped(mut self) -> Self {
        self.account_scoped = true;
        self
    }

    #[must_use]
    pub fn describe(mut self, description: &str) -> Self {
        self.description = Some(description.to_owned());
        self
    }

    #[must_use]
    pub fn placeholder(mut self, placeholder: &str) -> Self {
        self.placeholder = Some(placeholder.to_owned());
        self
    }

    /// Heading under which the form shows the field.
    #[must_use]
    pub fn section(mut self, section: &str) -> Self {
        self.section = Some(section.to_owned());
        self
    }

    /// Shown and validated only when the other field has this value.
    #[must_use]
    pub fn visible_when(mut self, field: &str, equals: &Value) -> Self {
        self.visible_when = Some(Condition {
            field: field.to_owned(),
            equals: equals.to_string(),
        });
        self
    }
}

impl FieldProblem {
    /// What is wrong with a field's shape and what to enter, in one sentence, never its value.
    pub fn new(field: &str, problem: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            problem: problem.into(),
        }
    }
}

/// Reads credentials in a shape of the provider's own. That they have another one is told as a problem of `field`, without
/// serde's own text, which would quote a value.
pub fn read_credentials<T: DeserializeOwned>(credentials: Value, field: &str) -> Result<T, Vec<FieldProblem>> {
    serde_json::from_value(credentials)
        .map_err(|_| vec![FieldProblem::new(field, "The settings do not have the expected shape.")])
}

/// What was entered in a field, without the white space around it; None when nothing was.
pub fn filled(entered: Option<String>) -> Option<String> {
    let entered = entered?;
    let text = entered.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl MediaProfile {
    /// One format, in frames of 20 milliseconds.
    pub fn new(encoding: Encoding, sample_rate_hz: u32) -> Self {
        Self {
            formats: vec![WireFormat {
                encoding,
                sample_rate_hz,
            }],
            frame_ms: 20,
            subprotocol: None,
            echoes_marks: false,
        }
    }

    /// Another format that this carrier can use.
    #[must_use]
    pub fn format(mut self, encoding: Encoding, sample_rate_hz: u32) -> Self {
        self.formats.push(WireFormat {
            encoding,
            sample_rate_hz,
        });
        self
    }

    /// 10, 20, 30, 40 or 60 milliseconds in each frame.
    #[must_use]
    pub fn frame_ms(mut self, frame_ms: u16) -> Self {
        self.frame_ms = frame_ms;
        self
    }

    /// The carrier asks for this WebSocket subprotocol.
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.subprotocol = Some(name.to_owned());
        self
    }

    /// The carrier echoes a mark when the audio before it has been played.
    #[must_use]
    pub fn echoes_marks(mut self) -> Self {
        self.echoes_marks = true;
        self
    }
}

/// A route is POST at `{name}/{call}` unless it says otherwise.
impl Route {
    /// An outbound call was answered.
    pub fn answer(name: &str) -> Self {
        Self::new(RoutePurpose::Answer, name)
    }

    /// Something happened to a call.
    pub fn callback(name: &str) -> Self {
        Self::new(RoutePurpose::Callback, name)
    }

    /// Something happened to the second leg of a transfer: POST at `{name}/{transfer}`.
    pub fn transfer(name: &str) -> Self {
        Self::new(RoutePurpose::Transfer, name).at(&format!("{name}/{{transfer}}"))
    }

    /// The carrier uses GET here.
    #[must_use]
    pub fn get(mut self) -> Self {
        "GET".clone_into(&mut self.method);
        self
    }

    /// Another path; without `{call}` the call is found through [`recognise`](crate::Provider::recognise).
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    fn new(purpose: RoutePurpose, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            purpose,
            method: "POST".to_owned(),
            path: format!("{name}/{{call}}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_of_another_shape_are_a_problem_that_quotes_nothing() {
        let problems = read_credentials::<Vec<u8>>(json!("secret"), "token").unwrap_err();
        assert_eq!(problems[0].field, "token");
        assert!(!problems[0].problem.contains("secret"));
        assert_eq!(read_credentials::<Vec<u8>>(json!([1]), "token").unwrap(), [1]);
    }

    #[test]
    fn nothing_but_white_space_is_nothing() {
        for (entered, expected) in [
            (None, None),
            (Some(""), None),
            (Some(" \n"), None),
            (Some(" a b\n"), Some("a b")),
        ] {
            assert_eq!(filled(entered.map(str::to_owned)).as_deref(), expected);
        }
    }
}
