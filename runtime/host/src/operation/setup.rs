//! What happens around a configuration: saving it, what is left to do, what to enter elsewhere.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::{Checker, Moment, Operation, settle};
use crate::bindings::exports::strowger::provider::setup as wit;
use crate::credentials::{Credentials, VALUE_BYTES_MAX};
use crate::error::InvokeError;
use crate::limits::Limits;
use crate::provider::{Ability, Provider, seal};
use crate::recording::arguments;
use crate::spec::ProviderSpec;

pub use crate::bindings::exports::strowger::provider::setup::{Facts, Occasion, PublicUrls, Saving};

const SET_FIELDS_MAX: usize = 64;
const STEPS_MAX: usize = 32;
const GROUPS_MAX: usize = 16;
const DETAILS_MAX: usize = 32;

/// A field that the provider set while the configuration was saved.
#[derive(Debug, Clone, PartialEq)]
pub struct SetField {
    /// Of the spec, and not sensitive.
    pub name: String,
    /// Not checked against the field's type yet.
    pub value: Value,
}

/// One step towards calls that work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetupStep {
    /// snake_case.
    pub key: String,
    /// For people.
    pub title: String,
    /// What to do and where.
    pub description: String,
    /// It is done.
    pub complete: bool,
    /// No outbound call before it is done.
    pub blocks_outbound: bool,
}

/// Something to be copied elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// For people.
    pub label: String,
    /// May have several lines.
    pub value: String,
}

/// Details that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DetailGroup {
    /// For people.
    pub title: String,
    /// Where they are to be entered.
    pub description: Option<String>,
    /// At most 32.
    pub details: Vec<Detail>,
}

impl Provider {
    /// Makes at the carrier what a configuration needs, before it is stored.
    ///
    /// # Errors
    /// When the provider has no set-up.
    pub fn prepare_credentials(
        &self,
        credentials: &Credentials,
        saving: Saving,
        moment: Moment,
    ) -> Result<Operation<Vec<SetField>>, InvokeError> {
        const EXPORT: &str = "setup.prepare-credentials";
        self.require(Ability::Setup)?;
        let spec = self.clone();
        Ok(Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, check, config, replies| {
                let raw = invocation.call(
                    EXPORT,
                    arguments! { "config" => config, "saving" => &saving, "replies" => replies },
                    |provider, store, instance| {
                        ability!(provider, setup, "setup", store, instance).call_prepare_credentials(
                            &mut *store,
                            config,
                            &saving,
                            replies,
                        )
                    },
                )?;
                settle(raw, |values| check.set_fields(spec.spec(), values))
            }),
        ))
    }

    /// The steps towards calls that work.
    ///
    /// # Errors
    /// A fault; a provider without the ability has no steps.
    pub fn checklist(
        &self,
        credentials: &Credentials,
        facts: Facts,
        moment: &Moment,
    ) -> Result<Vec<SetupStep>, InvokeError> {
        const EXPORT: &str = "setup.checklist";
        if !self.can(Ability::Setup) {
            return Ok(Vec::new());
        }
        let (vault, sealed) = seal(credentials, moment);
        let mut invocation = self.instantiate(Limits::control(self.class()), moment)?;
        let config = invocation.config(&vault, &sealed)?;
        let raw = invocation.call(
            EXPORT,
            arguments! { "config" => &config, "facts" => &facts },
            |provider, store, instance| {
                ability!(provider, setup, "setup", store, instance).call_checklist(&mut *store, &config, facts)
            },
        )?;
        let check = Checker {
            export: EXPORT,
            vault: &vault,
        };
        check.at_most(raw.len(), STEPS_MAX, "steps")?;
        let keys: BTreeSet<&str> = raw.iter().map(|step| step.key.as_str()).collect();
        if keys.len() != raw.len() {
            return check.malformed("two steps have the same key");
        }
        raw.into_iter()
            .map(|step| {
                Ok(SetupStep {
                    key: check.key_of_step(step.key)?,
                    title: check.text(step.title, 100, "a step's title")?,
                    description: check.text(step.description, 500, "a step's description")?,
                    complete: step.complete,
                    blocks_outbound: step.blocks_outbound,
                })
            })
            .collect()
    }

    /// What a person must know or enter elsewhere.
    ///
    /// # Errors
    /// A fault; a provider without the ability has nothing to tell.
    pub fn connectivity_details(
        &self,
        credentials: &Credentials,
        urls: &PublicUrls,
        moment: &Moment,
    ) -> Result<Vec<DetailGroup>, InvokeError> {
        const EXPORT: &str = "setup.connectivity-details";
        if !self.can(Ability::Setup) {
            return Ok(Vec::new());
        }
        let (vault, sealed) = seal(credentials, moment);
        let mut invocation = self.instantiate(Limits::control(self.class()), moment)?;
        let config = invocation.config(&vault, &sealed)?;
        let raw = invocation.call(
            EXPORT,
            arguments! { "config" => &config, "urls" => urls },
            |provider, store, instance| {
                ability!(provider, setup, "setup", store, instance).call_connectivity_details(
                    &mut *store,
                    &config,
                    urls,
                )
            },
        )?;
        let check = Checker {
            export: EXPORT,
            vault: &vault,
        };
        check.at_most(raw.len(), GROUPS_MAX, "groups of details")?;
        raw.into_iter().map(|group| check.detail_group(group)).collect()
    }
}

impl Checker<'_> {
    fn key_of_step(&self, key: String) -> Result<String, InvokeError> {
        let snake_case = key.starts_with(|c: char| c.is_ascii_lowercase())
            && key
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !snake_case {
            return self.malformed("the key of a step must be snake_case");
        }
        self.text(key, 64, "a step's key")
    }

    fn set_fields(&self, spec: &ProviderSpec, raw: Vec<wit::FieldValue>) -> Result<Vec<SetField>, InvokeError> {
        self.at_most(raw.len(), SET_FIELDS_MAX, "fields")?;
        let names: BTreeSet<&str> = raw.iter().map(|value| value.name.as_str()).collect();
        if names.len() != raw.len() {
            return self.malformed("a field is set twice");
        }
        raw.into_iter()
            .map(|value| match spec.field(&value.name) {
                Some(field) if !field.sensitive => Ok(SetField {
                    value: self.json(&value.value, VALUE_BYTES_MAX, "the value of a field")?,
                    name: value.name,
                }),
                Some(_) => self.malformed("a sensitive field cannot be set"),
                None => self.malformed("a field is set that the spec does not have"),
            })
            .collect()
    }

    fn detail_group(&self, raw: wit::DetailGroup) -> Result<DetailGroup, InvokeError> {
        self.at_most(raw.details.len(), DETAILS_MAX, "details")?;
        Ok(DetailGroup {
            title: self.text(raw.title, 100, "a title")?,
            description: raw
                .description
                .map(|text| self.text(text, 500, "a description"))
                .transpose()?,
            details: raw
                .details
                .into_iter()
                .map(|detail| {
                    Ok(Detail {
                        label: self.text(detail.label, 100, "a label")?,
                        value: self.lines(detail.value, 4096, "a detail")?,
                    })
                })
                .collect::<Result<_, InvokeError>>()?,
        })
    }
}
