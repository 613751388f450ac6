//! Whether one more call may be: how many calls an organisation has at once, how fast they come, and where they may go.
//!
//! What an organisation may do is its [`CallLimits`]: the installation's, where the operator has not said otherwise. The
//! decision is pure ([`decide`]): what is in use goes in, a grant or a [`Refusal`] comes out. The store takes the decision
//! under a lock on the organisation's row and writes the grant in the same transaction as the call, so that any number of
//! gateways on one database decide as one. A call's [`Slot`] is given back when its session is over, and those of a gateway
//! that vanished when another one notices ([`slots`], [`watch`]), which closes the records of its calls as well.

pub(crate) mod abandoned;
mod decision;
mod destination;
mod limits;
pub mod place;
pub mod refusals;
pub mod slots;
pub mod watch;

pub use decision::{Bucket, Exceeded, Grant, Rate, Rates, Refusal, Spent, Usage, day_of, decide, decide_destination};
pub use destination::{DENIED_BY_DEFAULT, DestinationCap, DestinationRules, Prefix, PrefixError};
pub use limits::{CallLimits, LimitOverrides};
pub use place::Place;
pub use slots::{Bookkeeper, GatewayId, Slot, Slots};
