//! The director's control plane, as a library: the binary is a thin front, and the tests
//! drive the same code.

pub mod api;
pub mod args;
pub mod command;
pub mod config;
pub mod connection;
pub mod desired;
pub mod director;
pub mod edit;
pub mod instance;
pub mod ipvs;
pub mod ipvsadm;
pub mod output;
pub mod plan;
pub mod rates;
pub mod rules;
pub mod spelling;
pub mod table;
