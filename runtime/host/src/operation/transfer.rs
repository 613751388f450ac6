//! The second leg of a transfer.

use super::{Attempt, Call, Checker, Moment, Operation, Outcome, Placed, settle};
use crate::bindings::strowger::provider::types as wit;
use crate::credentials::Credentials;
use crate::error::InvokeError;
use crate::http::Webhook;
use crate::provider::{Ability, Invocation, Provider};
use crate::recording::arguments;

pub use crate::bindings::exports::strowger::provider::transfer::{TransferLeg, TransferState};

impl Provider {
    /// Dials the destination.
    ///
    /// # Errors
    /// When the provider has no transfers.
    pub fn dial_destination(
        &self,
        credentials: &Credentials,
        call: Call,
        leg: TransferLeg,
        moment: Moment,
    ) -> Result<Operation<Placed>, InvokeError> {
        const EXPORT: &str = "transfer.dial-destination";
        self.transferring(
            credentials,
            moment,
            EXPORT,
            move |invocation, check, config, replies| {
                let raw = invocation.call(
                    EXPORT,
                    arguments! { "config" => config, "call" => &call, "leg" => &leg, "replies" => replies },
                    |provider, store, instance| {
                        ability!(provider, transfer, "transfer", store, instance).call_dial_destination(
                            &mut *store,
                            config,
                            &call,
                            &leg,
                            replies,
                        )
                    },
                )?;
                settle(raw, |placed| check.placed(placed))
            },
        )
    }

    /// Joins the caller to the destination, which has answered.
    ///
    /// # Errors
    /// When the provider has no transfers.
    pub fn connect_transfer(
        &self,
        credentials: &Credentials,
        call: Call,
        leg: TransferLeg,
        moment: Moment,
    ) -> Result<Operation<()>, InvokeError> {
        const EXPORT: &str = "transfer.connect";
        self.transferring(
            credentials,
            moment,
            EXPORT,
            move |invocation, _check, config, replies| {
                let raw = invocation.call(
                    EXPORT,
                    arguments! { "config" => config, "call" => &call, "leg" => &leg, "replies" => replies },
                    |provider, store, instance| {
                        ability!(provider, transfer, "transfer", store, instance).call_connect(
                            &mut *store,
                            config,
                            &call,
                            &leg,
                            replies,
                        )
                    },
                )?;
                settle(raw, Ok)
            },
        )
    }

    /// Ends the second leg; `true` when it had ended already.
    ///
    /// # Errors
    /// When the provider has no transfers.
    pub fn cancel_transfer(
        &self,
        credentials: &Credentials,
        call: Call,
        leg: TransferLeg,
        moment: Moment,
    ) -> Result<Operation<bool>, InvokeError> {
        const EXPORT: &str = "transfer.cancel";
        self.transferring(
            credentials,
            moment,
            EXPORT,
            move |invocation, _check, config, replies| {
                let raw = invocation.call(
                    EXPORT,
                    arguments! { "config" => config, "call" => &call, "leg" => &leg, "replies" => replies },
                    |provider, store, instance| {
                        ability!(provider, transfer, "transfer", store, instance).call_cancel(
                            &mut *store,
                            config,
                            &call,
                            &leg,
                            replies,
                        )
                    },
                )?;
                settle(raw, |outcome| Ok(outcome == wit::HangUpOutcome::AlreadyEnded))
            },
        )
    }

    /// What a genuine webhook means for the second leg.
    ///
    /// # Errors
    /// When the provider has no transfers.
    pub fn handle_transfer_callback(
        &self,
        credentials: &Credentials,
        route: String,
        call: Call,
        leg: TransferLeg,
        webhook: Webhook,
        moment: Moment,
    ) -> Result<Operation<Outcome>, InvokeError> {
        const EXPORT: &str = "transfer.handle-transfer-callback";
        self.transferring(
            credentials,
            moment,
            EXPORT,
            move |invocation, check, config, replies| {
                let webhook = &*check.vault.presented(&webhook);
                let raw = invocation.call(EXPORT, arguments! { "config" => config, "route" => &route, "call" => &call, "leg" => &leg, "webhook" => webhook, "replies" => replies }, |provider, store, instance| {
                    ability!(provider, transfer, "transfer", store, instance).call_handle_transfer_callback(
                        &mut *store,
                        config,
                        &route,
                        &call,
                        &leg,
                        webhook,
                        replies,
                    )
                })?;
                settle(raw, |outcome| check.outcome(outcome))
            },
        )
    }

    fn transferring<T>(
        &self,
        credentials: &Credentials,
        moment: Moment,
        export: &'static str,
        body: impl Fn(&mut Invocation, &Checker<'_>, &String, &[wit::Reply]) -> Attempt<T> + Send + 'static,
    ) -> Result<Operation<T>, InvokeError> {
        self.require(Ability::Transfer)?;
        Ok(Operation::new(self, credentials, moment, export, Box::new(body)))
    }
}
