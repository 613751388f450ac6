//! Generated from `wit/`: the raw shapes of the contract. Nothing but the generated code lives here; the rest of the crate
//! turns what a guest returns into checked types before anything acts on it.
#![allow(
    unsafe_code,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    reason = "generated code"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "everything",
    additional_derives: [serde::Serialize],
});
