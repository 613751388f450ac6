//! Components that mean harm.
//!
//! [`Guest`] is written by hand: one fault in an otherwise honest component. [`bomb`] appends to files what costs more to
//! read than to write; [`search`] makes a guest that looks for secrets. [`generator`] makes components at random, and [`oracle`] says what must hold whatever they do. The suite
//! beside them, and the fuzz target `hostile_component`, show what becomes of each.

pub mod bomb;
pub mod component;
pub mod generator;
pub mod oracle;
pub mod search;

pub use component::Guest;
