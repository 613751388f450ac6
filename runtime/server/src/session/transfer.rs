//! What a session does about a transfer: asks for it, plays to the caller meanwhile, and carries out what the call decides.

use std::sync::Arc;

use strowger_call::timeline::{Entry, Kind};
use strowger_call::{Event, TransferFailure, TransferId, TransferProgress, Verdict};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Session;
use crate::agent::{AgentCommand, Hold, TransferRequest};
use crate::exchange::CarrierError;
use crate::session::SessionMessage;
use crate::store::{NewTransfer, new_transfer_id};

/// The newest transfer of a call.
pub(super) struct LiveTransfer {
    id: TransferId,
    request: TransferRequest,
    pending: bool,
    /// Locked until the record is written: what is kept in it later waits for that.
    written: Arc<Mutex<()>>,
    writing: Option<OwnedMutexGuard<()>>,
}

impl LiveTransfer {
    /// Whether the caller hears something else than the agent.
    pub(super) fn mutes_agent(&self) -> bool {
        self.pending && self.request.hold != Hold::Agent
    }
}

impl Session {
    /// Begins a transfer, unless it cannot be.
    pub(super) fn request_transfer(&mut self, request: TransferRequest) -> Result<TransferId, TransferFailure> {
        if !self.context.can_transfer() {
            return Err(TransferFailure::Unsupported);
        }
        self.call.may_transfer()?;
        let id = new_transfer_id();
        let written = Arc::new(Mutex::new(()));
        let ring_timeout_ms = u64::try_from(request.ring_timeout.as_millis()).unwrap_or(u64::MAX);
        self.transfer = Some(LiveTransfer {
            id: id.clone(),
            request,
            pending: true,
            writing: written.clone().try_lock_owned().ok(),
            written,
        });
        let asked = Event::TransferRequested {
            transfer: id.clone(),
            ring_timeout_ms,
        };
        match self.event(asked) {
            Verdict::Applied => Ok(id),
            _ => {
                self.transfer = None;
                Err(TransferFailure::NotConnected)
            }
        }
    }

    /// Withdraws the transfer; `false` when there is none that could be.
    pub(super) fn withdraw_transfer(&mut self) -> bool {
        let Some(transfer) = &self.transfer else { return false };
        let withdrawn = Event::TransferCanceled {
            transfer: transfer.id.clone(),
        };
        self.event(withdrawn) == Verdict::Applied
    }

    pub(super) fn dial_destination(&mut self, id: &TransferId) {
        let Some(transfer) = self.transfer.as_mut().filter(|transfer| transfer.id == *id) else {
            return;
        };
        let writing = transfer.writing.take();
        let new = NewTransfer {
            id: id.clone(),
            call: self.context.call_id.clone(),
            destination: transfer.request.destination.clone(),
            caller_id: transfer.request.caller_id.clone().or_else(|| self.context.own_number()),
            trunk: None,
            ring_timeout_s: u16::try_from(transfer.request.ring_timeout.as_secs()).unwrap_or(u16::MAX),
            announcement: transfer.request.announcement.clone(),
        };
        let call = self.guest_call();
        let (context, mailbox, transfer) = (self.context.clone(), self.mailbox.clone(), id.clone());
        let work = async move {
            let dialled = context.dial_destination(call.clone(), &new, writing).await;
            let accepted = dialled.is_ok();
            let event = match dialled {
                Ok(()) => Event::TransferIdentified {
                    transfer: transfer.clone(),
                },
                Err(error) => {
                    tracing::warn!(%error, "the destination of a transfer was not dialled");
                    Event::TransferDialFailed {
                        transfer: transfer.clone(),
                        code: error.code(),
                        message: error.to_string(),
                        refused: matches!(error, CarrierError::Refused(_)),
                    }
                }
            };
            if mailbox.send(SessionMessage::Event(event)).await.is_err() && accepted {
                // The call ended meanwhile, and nobody else will end this leg.
                context.cancel_transfer(call, &transfer).await;
            }
        };
        tokio::spawn(tracing::Instrument::instrument(work, tracing::Span::current()));
    }

    pub(super) fn connect_transfer(&self, id: &TransferId) {
        let (context, call, transfer) = (self.context.clone(), self.guest_call(), id.clone());
        self.report(async move {
            match context.connect_transfer(call, &transfer).await {
                Ok(()) => Event::TransferConnected { transfer },
                Err(error) => {
                    tracing::warn!(%error, "the legs of a transfer could not be connected");
                    Event::TransferConnectFailed {
                        transfer,
                        code: error.code(),
                        message: error.to_string(),
                    }
                }
            }
        });
    }

    pub(super) fn cancel_transfer(&self, id: &TransferId) {
        let (context, call, transfer) = (self.context.clone(), self.guest_call(), id.clone());
        let work = async move { context.cancel_transfer(call, &transfer).await };
        tokio::spawn(tracing::Instrument::instrument(work, tracing::Span::current()));
    }

    pub(super) fn transfer_changed(&mut self, id: &TransferId, progress: TransferProgress) {
        let pending = matches!(
            progress,
            TransferProgress::Dialing | TransferProgress::Ringing | TransferProgress::Answered
        );
        let mut ringback = false;
        if let Some(transfer) = self.transfer.as_mut().filter(|transfer| transfer.id == *id) {
            transfer.pending = pending;
            ringback = pending && transfer.request.hold == Hold::Ringback;
            let (context, written, id) = (self.context.clone(), transfer.written.clone(), id.clone());
            let keep = async move {
                drop(written.lock().await);
                context.keep_progress(&id, progress).await;
            };
            tokio::spawn(tracing::Instrument::instrument(keep, tracing::Span::current()));
        }
        if let Some(media) = &mut self.media {
            media.hold(ringback);
        }
        self.draw(Entry::point(Kind::Status, self.at_ms(), label(progress)));
        self.command(AgentCommand::Transfer(progress));
    }

    fn guest_call(&self) -> strowger_host::operation::Call {
        self.context
            .guest_call(self.call.provider_call_id(), self.attachment.as_ref())
    }
}

fn label(progress: TransferProgress) -> String {
    let word = match progress {
        TransferProgress::Dialing => "dialling",
        TransferProgress::Ringing => "ringing",
        TransferProgress::Answered => "answered",
        TransferProgress::Connected => "connected",
        TransferProgress::Ended => "ended",
        TransferProgress::Failed(reason) => {
            let reason = serde_json::to_value(reason).unwrap_or_default();
            return format!("transfer: {}", reason.as_str().unwrap_or("failed").replace('_', " "));
        }
    };
    format!("transfer: {word}")
}
