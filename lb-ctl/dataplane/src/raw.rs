//! The maps themselves, for tests and benchmarks: they load the program without a daemon, look
//! at what a daemon wrote, and change it behind the daemon's back. Nothing else may use this.

pub use crate::{
    clock,
    connections::run as sweep,
    kernel::bpffs::Bpffs,
    life::{links::end, pins::Pins},
    mapped::Mapped,
    maps::variable::{Parts, SECTION, Variable},
    object::DIRECTOR,
};
