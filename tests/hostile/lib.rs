//! Components that mean harm.
//!
//! [`Guest`] is written by hand: one fault in an otherwise honest component. [`generator`] makes them at random, from a few
//! bytes, and [`oracle`] says what must hold whatever they do. The suite beside them, and the fuzz target
//! `hostile_component`, use both.

pub mod component;

pub use component::Guest;
