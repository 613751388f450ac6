//! The socket over which some carriers tell what happens.

use super::{CallEvent, Checker, Failure, InboundCall, Moment, Operation, settle};
use crate::authorization;
use crate::bindings::exports::strowger::provider::events as wit;
use crate::credentials::Credentials;
use crate::error::InvokeError;
use crate::http::check_header;
use crate::limits::Limits;
use crate::provider::{Ability, Provider, seal};
use crate::recording::arguments;
use crate::sealed::Secret;

const DIRECTIVES_MAX: usize = 16;

/// The socket to keep open for a configuration. Its headers contain secrets.
#[derive(Debug, Clone)]
pub struct EventSocket {
    /// `ws` or `wss`, without credentials.
    pub url: url::Url,
    /// Headers of the upgrade; names in lower case.
    pub headers: Vec<(String, Secret)>,
    /// WebSocket subprotocol to ask for.
    pub subprotocol: Option<String>,
    /// The hosts that the configuration grants.
    pub grants: Vec<String>,
}

/// What a message of the carrier asks of the gateway.
#[derive(Debug, Clone, PartialEq)]
pub enum Directive {
    /// Somebody calls.
    InboundCall(InboundCall),
    /// An outbound call was answered.
    Answered {
        /// The carrier's identifier.
        provider_call_id: String,
    },
    /// Something happened to a call.
    Call {
        /// The carrier's identifier.
        provider_call_id: String,
        /// In order.
        events: Vec<CallEvent>,
    },
    /// Something happened to the second leg of a transfer.
    Transfer {
        /// Our identifier of the transfer.
        id: String,
        /// In order.
        events: Vec<CallEvent>,
    },
}

impl Provider {
    /// The socket to keep open, or why there can be none until somebody changes the configuration.
    ///
    /// # Errors
    /// When the provider has no event sockets, or a fault.
    pub fn event_socket(
        &self,
        credentials: &Credentials,
        moment: &Moment,
    ) -> Result<Result<EventSocket, Failure>, InvokeError> {
        const EXPORT: &str = "events.endpoint";
        self.require(Ability::Events)?;
        let (vault, sealed) = seal(credentials, moment);
        let mut invocation = self.instantiate(Limits::control(self.class()), moment)?;
        let config = invocation.config(&vault, &sealed)?;
        let raw = invocation.call(
            EXPORT,
            arguments! { "config" => &config },
            |provider, store, instance| {
                ability!(provider, events, "events", store, instance).call_endpoint(&mut *store, &config)
            },
        )?;
        let check = Checker {
            export: EXPORT,
            vault: &vault,
        };
        let socket = match raw {
            Ok(socket) => socket,
            Err(failure) => return Ok(Err(check.failure(failure)?)),
        };
        check.unsealed(socket.url.as_bytes(), "a socket's URL")?;
        let url = match url::Url::parse(&socket.url) {
            Ok(url)
                if socket.url.len() <= 4096
                    && matches!(url.scheme(), "ws" | "wss")
                    && url.host().is_some()
                    && url.username().is_empty()
                    && url.password().is_none() =>
            {
                url
            }
            _ => {
                return check
                    .malformed("the URL of a socket must be an absolute ws or wss URL without credentials of at most 4096 characters");
            }
        };
        let headers = check
            .valid(authorization::headers(
                &vault,
                &socket.authorization,
                moment.now_ms,
                &moment.unique(0),
            ))?
            .into_iter()
            .map(|(name, value)| Ok((check.valid(check_header(&name, value.expose()))?, value)))
            .collect::<Result<_, InvokeError>>()?;
        let token = |name: &String| {
            (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        if socket.subprotocol.as_ref().is_some_and(|name| !token(name)) {
            return check.malformed("the subprotocol of a socket must be a token of at most 64 characters");
        }
        Ok(Ok(EventSocket {
            url,
            headers,
            subprotocol: socket.subprotocol,
            grants: self.granted_hosts(credentials),
        }))
    }

    /// What a message of the socket means.
    ///
    /// # Errors
    /// When the provider has no event sockets.
    pub fn handle_event(
        &self,
        credentials: &Credentials,
        message: String,
        moment: Moment,
    ) -> Result<Operation<Vec<Directive>>, InvokeError> {
        const EXPORT: &str = "events.handle-event";
        self.require(Ability::Events)?;
        let received_at = moment.now_ms;
        Ok(Operation::new(
            self,
            credentials,
            moment,
            EXPORT,
            Box::new(move |invocation, check, config, replies| {
                let raw = invocation.call(EXPORT, arguments! { "config" => config, "message" => &message, "received-at" => &received_at, "replies" => replies }, |provider, store, instance| {
                    ability!(provider, events, "events", store, instance).call_handle_event(
                        &mut *store,
                        config,
                        &message,
                        received_at,
                        replies,
                    )
                })?;
                settle(raw, |directives| check.directives(directives))
            }),
        ))
    }
}

impl Checker<'_> {
    fn directives(&self, raw: Vec<wit::Directive>) -> Result<Vec<Directive>, InvokeError> {
        self.at_most(raw.len(), DIRECTIVES_MAX, "directives")?;
        raw.into_iter()
            .map(|directive| {
                Ok(match directive {
                    wit::Directive::InboundCall(call) => Directive::InboundCall(self.inbound_call(call)?),
                    wit::Directive::Answered(id) => Directive::Answered {
                        provider_call_id: self.identifier(id, "a call's identifier")?,
                    },
                    wit::Directive::Call(known) => Directive::Call {
                        provider_call_id: self.identifier(known.provider_call_id, "a call's identifier")?,
                        events: self.events(known.events)?,
                    },
                    wit::Directive::Transfer(known) => Directive::Transfer {
                        id: self.identifier(known.id, "a transfer's identifier")?,
                        events: self.events(known.events)?,
                    },
                })
            })
            .collect()
    }
}
