//! SIP trunks at the carrier.

use serde_json::Value;

use super::{Moment, Operation, settle};
use crate::bindings::exports::strowger::provider::trunks as wit;
use crate::credentials::{Credentials, VALUE_BYTES_MAX};
use crate::error::InvokeError;
use crate::provider::{Ability, Provider};
use crate::recording::arguments;

pub use crate::bindings::exports::strowger::provider::trunks::Trunk;

/// A trunk as the carrier now has it.
#[derive(Debug, Clone, PartialEq)]
pub struct AppliedTrunk {
    /// The carrier's identifier.
    pub external_id: Option<String>,
    /// In their usual spelling; not checked against the fields yet.
    pub settings: Value,
}

impl Provider {
    /// Makes the carrier's trunk as described.
    ///
    /// # Errors
    /// When the provider has no trunks.
    pub fn apply_trunk(
        &self,
        credentials: &Credentials,
        trunk: Trunk,
        moment: Moment,
    ) -> Result<Operation<AppliedTrunk>, InvokeError> {
        const EXPORT: &str = "trunks.apply-trunk";
        self.require(Ability::Trunks)?;
        Ok(Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, check, config, replies| {
                let raw = invocation.call(
                    EXPORT,
                    arguments! { "config" => config, "trunk" => &trunk, "replies" => replies },
                    |provider, store, instance| {
                        ability!(provider, trunks, "trunks", store, instance).call_apply_trunk(
                            &mut *store,
                            config,
                            &trunk,
                            replies,
                        )
                    },
                )?;
                settle(raw, |applied: wit::Applied| {
                    Ok(AppliedTrunk {
                        external_id: applied
                            .external_id
                            .map(|id| check.identifier(id, "a trunk's identifier"))
                            .transpose()?,
                        settings: check.json(&applied.settings, VALUE_BYTES_MAX, "the settings of a trunk")?,
                    })
                })
            }),
        ))
    }

    /// Takes a trunk out of service.
    ///
    /// # Errors
    /// When the provider has no trunks.
    pub fn remove_trunk(
        &self,
        credentials: &Credentials,
        trunk: Trunk,
        moment: Moment,
    ) -> Result<Operation<()>, InvokeError> {
        const EXPORT: &str = "trunks.remove-trunk";
        self.require(Ability::Trunks)?;
        Ok(Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, _check, config, replies| {
                let raw = invocation.call(
                    EXPORT,
                    arguments! { "config" => config, "trunk" => &trunk, "replies" => replies },
                    |provider, store, instance| {
                        ability!(provider, trunks, "trunks", store, instance).call_remove_trunk(
                            &mut *store,
                            config,
                            &trunk,
                            replies,
                        )
                    },
                )?;
                settle(raw, Ok)
            }),
        ))
    }
}
