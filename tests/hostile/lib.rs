//! Components that mean harm.
//!
//! [`Guest`] is written by hand: one fault in an otherwise honest component. [`bomb`] appends to files what costs more to
//! read than to write. The suite beside them shows what becomes of each.

pub mod bomb;
pub mod component;

pub use component::Guest;
