//! The tree against a plain map, and through images taken while it changes.

mod against_model;
mod fuzzy;
mod model;
