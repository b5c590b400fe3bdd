//! What verbs print: tables for people, JSON for scripts.

pub(crate) mod json;
pub(crate) mod list;
pub mod output;
pub(crate) mod rates;
pub(crate) mod table;
pub(crate) mod traffic;

#[cfg(test)]
pub(crate) mod sample;
