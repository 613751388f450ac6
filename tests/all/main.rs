//! The black-box suite.

mod components;
mod hostile;
