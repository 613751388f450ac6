//! What tenants are told, and in which shape. Pure. `docs/events.schema.json` describes the same, and a test compares them.
//!
//! Numbers are in the events, because they are the tenant's own; what a caller pressed is not.

use serde_json::{Value, json};
use strowger_call::{Address, CallId, Direction, ProviderCallId};

use crate::api::timestamp::{optional, rfc3339};
use crate::store::{CallRecord, TransferRecord, TransferState, UnixMs};

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// A call exists: it has come in, or is being placed.
    CallCreated,
    /// It was answered.
    CallAnswered,
    /// It is over, and its record is complete but for a price that the carrier tells later.
    CallEnded,
    /// The carrier told after its end what it cost.
    CallRated,
    /// Its recording can be fetched.
    RecordingAvailable,
    /// A destination is being dialled.
    TransferStarted,
    /// It answered.
    TransferAnswered,
    /// Both talk to each other.
    TransferConnected,
    /// It did not come about.
    TransferFailed,
    /// It had come about, and is over.
    TransferEnded,
    /// A telephony configuration was switched off because it cannot work.
    ConfigurationParked,
    /// A version of a provider of the organisation's own was set aside.
    ProviderQuarantined,
    /// Asked for by the tenant, to see whether anything arrives.
    Ping,
}

impl EventType {
    /// Those that an endpoint may choose from. A `ping` comes when it is asked for.
    pub const CHOICES: [Self; 12] = [
        Self::CallCreated,
        Self::CallAnswered,
        Self::CallEnded,
        Self::CallRated,
        Self::RecordingAvailable,
        Self::TransferStarted,
        Self::TransferAnswered,
        Self::TransferConnected,
        Self::TransferFailed,
        Self::TransferEnded,
        Self::ConfigurationParked,
        Self::ProviderQuarantined,
    ];

    /// The name in events, rows and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallCreated => "call.created",
            Self::CallAnswered => "call.answered",
            Self::CallEnded => "call.ended",
            Self::CallRated => "call.rated",
            Self::RecordingAvailable => "call.recording.available",
            Self::TransferStarted => "call.transfer.started",
            Self::TransferAnswered => "call.transfer.answered",
            Self::TransferConnected => "call.transfer.connected",
            Self::TransferFailed => "call.transfer.failed",
            Self::TransferEnded => "call.transfer.ended",
            Self::ConfigurationParked => "configuration.parked",
            Self::ProviderQuarantined => "provider.quarantined",
            Self::Ping => "ping",
        }
    }

    /// Reads the name of one that may be chosen.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::CHOICES.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Something to tell. Its `Debug` does not show its data.
pub struct OutgoingEvent {
    /// What kind of thing happened.
    pub kind: EventType,
    /// Events with the same subject go out in order; none: whenever.
    pub subject: Option<String>,
    /// What there is to say about it.
    pub data: Value,
}

impl std::fmt::Debug for OutgoingEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutgoingEvent")
            .field("kind", &self.kind)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl OutgoingEvent {
    /// The body of the request that tells it.
    #[must_use]
    pub fn body(&self, at: UnixMs) -> String {
        json!({ "type": self.kind.as_str(), "timestamp": rfc3339(at), "data": self.data }).to_string()
    }

    /// Something about a call.
    #[must_use]
    pub fn of_call(kind: EventType, call: &CallRecord) -> Self {
        Self {
            kind,
            subject: Some(call.id.as_str().to_owned()),
            data: json!({ "call": call_data(call) }),
        }
    }

    /// A call's recording can be fetched. `path` is below the gateway's own URL, and wants an API key.
    #[must_use]
    pub fn recording(call: &CallRecord) -> Self {
        let id = call.id.as_str();
        Self {
            kind: EventType::RecordingAvailable,
            subject: Some(id.to_owned()),
            data: json!({ "call_id": id, "recording": {
                "path": format!("/api/v1/calls/{id}/recording"),
                "media_type": "audio/wav",
            } }),
        }
    }

    /// How far a transfer has come.
    #[must_use]
    pub fn of_transfer(transfer: &TransferRecord) -> Self {
        let call: &CallId = &transfer.asked.call;
        Self {
            kind: match transfer.state {
                TransferState::Dialing => EventType::TransferStarted,
                TransferState::Answered => EventType::TransferAnswered,
                TransferState::Connected => EventType::TransferConnected,
                TransferState::Over if transfer.failure.is_some() => EventType::TransferFailed,
                TransferState::Over => EventType::TransferEnded,
            },
            subject: Some(call.as_str().to_owned()),
            data: json!({ "call_id": call, "transfer": {
                "id": transfer.asked.id,
                "destination": transfer.asked.destination.expose(),
                "caller_id": transfer.asked.caller_id.as_ref().map(Address::expose),
                "state": transfer.state,
                "reason": transfer.failure,
                "created_at": rfc3339(transfer.created_at),
                "answered_at": optional(transfer.answered_at),
                "connected_at": optional(transfer.connected_at),
                "ended_at": optional(transfer.ended_at),
            } }),
        }
    }

    /// A configuration was switched off.
    #[must_use]
    pub fn parked(id: &str, name: &str, provider: &str, reason: &str) -> Self {
        Self {
            kind: EventType::ConfigurationParked,
            subject: None,
            data: json!({ "configuration": { "id": id, "name": name, "provider": provider, "reason": reason } }),
        }
    }

    /// A version of a provider was set aside. `live_digest` takes calls from now on.
    #[must_use]
    pub fn quarantined(provider: &str, digest: &str, reason: &str, live_digest: Option<&str>) -> Self {
        Self {
            kind: EventType::ProviderQuarantined,
            subject: None,
            data: json!({ "provider": { "name": provider, "digest": digest, "reason": reason, "live_digest": live_digest } }),
        }
    }

    /// What is sent when a tenant asks for it.
    #[must_use]
    pub fn ping() -> Self {
        Self {
            kind: EventType::Ping,
            subject: None,
            data: json!({}),
        }
    }
}

fn call_data(call: &CallRecord) -> Value {
    json!({
        "id": call.id,
        "direction": match call.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        },
        "state": call.state,
        "caller": call.caller.as_ref().map(Address::expose),
        "callee": call.callee.expose(),
        "telephony_configuration_id": call.configuration,
        "phone_number_id": call.number,
        "agent_id": call.agent,
        "provider": call.provider,
        "provider_call_id": call.provider_call_id.as_ref().map(ProviderCallId::expose),
        "answered_by": call.answered_by,
        "outcome": call.outcome.as_ref().map(outcome_data),
        "cost": call.cost,
        "has_recording": call.recording_path.is_some(),
        "duration_ms": call.duration_ms,
        "created_at": rfc3339(call.created_at),
        "answered_at": optional(call.answered_at),
        "ended_at": optional(call.ended_at),
    })
}

/// Of a call's outcome what a tenant's other systems need. A list of what is told, and not of what is left out: nothing comes to
/// be told by being recorded.
fn outcome_data(outcome: &Value) -> Value {
    [
        "status",
        "reason",
        "detail",
        "carrier_status",
        "carrier_duration_ms",
        "barge_ins",
    ]
    .into_iter()
    .map(|field| (field.to_owned(), outcome.get(field).cloned().unwrap_or(Value::Null)))
    .collect::<serde_json::Map<_, _>>()
    .into()
}

#[cfg(test)]
mod tests;
