//! What the author of a provider works with, and what stands between a stranger's component and an installation.
//!
//! [`conformance`] asks any component the questions that the contract answers, and needs nothing but the component: what it
//! is asked with is derived from its own spec. [`Report`] says what held, what did not, why, and how to mend it, and what
//! each export costs. [`cases`] runs what the author has recorded, [`bench`] measures.
//!
//! [`build`] and [`scaffold`] work on an author's folder: they run the compilers of the languages, and embed the SDKs.

pub mod bench;
pub mod bindings;
pub mod build;
pub mod cases;
mod embedded;
pub mod reference;
pub mod rehearsal;
mod report;
pub mod scaffold;
mod suite;

pub use report::{Check, ExportCost, Outcome, Problem, Report};
pub use suite::{ConformanceOptions, conformance, essentials};
