//! The daemon. Its core decides what is to be done, without any I/O; all else here does it, and
//! decides nothing.
//!
//! - [`core`]: events in, orders out: what is desired, what is known, what is effective
//! - [`record`]: what is desired, beside the socket
//! - `daemon`: the event loop: what happens, one after the other
//! - `machine`, `startup`: what the daemon needs and finds when it starts
//! - `shell`: carries the core's orders out, with `worker`, `interfaces`, `lookups` and `replies`
//! - `maintenance`: sweep, audit, rates
//! - `orphan`: which interfaces a packet path without a daemon is attached to
//! - `check`: what is wrong with a file on this machine, found without a daemon
//! - `clients`: the ways to clients of NAT services
//! - `log`, `repeats`: the core's lines in the log, and those that come too often
//! - `needs`, `losses`, `troubles`: what keeps packets from being served, and what is told of that
//! - `requests`, `report`: what is answered without the core; `observe`: and without a daemon

mod check;
mod clients;
pub mod core;
mod daemon;
mod interfaces;
mod log;
mod lookups;
mod losses;
mod machine;
mod maintenance;
mod needs;
mod observe;
mod options;
mod orphan;
mod pace;
pub mod record;
mod repeats;
mod replies;
mod report;
mod requests;
mod shell;
mod startup;
mod troubles;
mod worker;

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use lb_api::Instance;
use nix::net::if_::if_indextoname;

pub use self::{
    check::check,
    daemon::run,
    observe::{Observed, observe},
    options::{ModeChoice, Options},
    orphan::Orphan,
};

/// Takes an instance's packet path down while no daemon runs, and waits for one that is about to
/// end. Gives what it was attached to; `None` if there was nothing at all.
pub fn detach(instance: &Instance) -> Result<Option<Orphan>> {
    await_repair(instance);
    let lock = lb_api::lock(instance)?;
    let orphan = Orphan::of(instance)?;
    let recorded = record::file::remove(instance).context("cannot remove the record")?;
    let removed = lb_dataplane::take_down(instance.as_str())?;
    lock.remove();
    Ok((recorded || !removed.is_empty()).then_some(orphan))
}

/// A daemon whose lock somebody has removed makes it again: meanwhile, nobody else may take it.
fn await_repair(instance: &Instance) {
    /// It looks every second.
    const PATIENCE: Duration = Duration::from_millis(2500);
    let begun = Instant::now();
    while lb_api::running(instance).is_none()
        && lb_dataplane::is_in_use(instance.as_str())
        && begun.elapsed() < PATIENCE
    {
        thread::sleep(Duration::from_millis(20));
    }
}

fn name_of(index: u32) -> String {
    // `nix` gives an empty name where the kernel gives none.
    let name = if_indextoname(index).unwrap_or_default();
    match name.to_string_lossy() {
        name if name.is_empty() => format!("an interface that is gone (index {index})"),
        name => name.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_without_a_name_is_called_by_its_index() {
        assert_eq!(name_of(1), "lo");
        let gone = "an interface that is gone (index 2147483647)";
        assert_eq!(name_of(i32::MAX as u32), gone);
    }
}
