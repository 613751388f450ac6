//! The identifiers of all that belongs to a call. They are chosen by us, because Asterisk may tell of a channel before it
//! has answered the request that made it, and each derives from one that the reader of an event has.

const MEDIA: &str = "strowger-media.";
const BRIDGE: &str = "strowger-bridge.";
const CALL: &str = "strowger-call.";
const TRANSFER: &str = "strowger-transfer.";

/// Whose a channel is. No name of Asterisk's own can be taken for one of ours: those put a hyphen after the system's name
/// and begin with a time otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    /// The media channel that belongs to this channel of a caller or callee.
    Media(&'a str),
    /// A call that we placed.
    Outbound,
    /// The second leg of this transfer.
    Transfer(&'a str),
    /// Somebody who calls.
    Caller,
}

pub(crate) fn owner(channel: &str) -> Owner<'_> {
    if let Some(caller) = channel.strip_prefix(MEDIA) {
        Owner::Media(caller)
    } else if channel.starts_with(CALL) {
        Owner::Outbound
    } else if let Some(transfer) = channel.strip_prefix(TRANSFER) {
        Owner::Transfer(transfer)
    } else {
        Owner::Caller
    }
}

/// The channel that opens the media socket of a call.
pub(crate) fn media_channel(channel: &str) -> String {
    format!("{MEDIA}{channel}")
}

/// The bridge in which a call talks with its media channel, and after a transfer with somebody else.
pub(crate) fn bridge(channel: &str) -> String {
    format!("{BRIDGE}{channel}")
}

/// The channel of a call that we place.
pub(crate) fn outbound_channel(call_id: &str) -> String {
    format!("{CALL}{call_id}")
}

/// The channel of a transfer's second leg.
pub(crate) fn transfer_channel(transfer_id: &str) -> String {
    format!("{TRANSFER}{transfer_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_tells_whose_it_is() {
        assert_eq!(owner(&media_channel("1795375987.1")), Owner::Media("1795375987.1"));
        assert_eq!(
            owner(&media_channel(&outbound_channel("7"))),
            Owner::Media("strowger-call.7")
        );
        assert_eq!(owner(&outbound_channel("7")), Owner::Outbound);
        assert_eq!(owner(&transfer_channel("8")), Owner::Transfer("8"));
        assert_eq!(bridge("1.2"), "strowger-bridge.1.2");
    }

    #[test]
    fn what_asterisk_names_itself_is_a_caller() {
        for channel in [
            "1795375987.1",
            "strowger-1795375987.1",
            "strowger-call-1795375987.1",
            "",
            "strowger-",
        ] {
            assert_eq!(owner(channel), Owner::Caller, "{channel}");
        }
    }
}
