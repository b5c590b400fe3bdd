//! Handles Ctrl-C and SIGTERM. The demo ends between two steps, and its values' destructors remove
//! what it made.

use std::{
    fs, process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, Result, ensure};
use lb_lab::namespace;
use nix::{
    sys::signal::{SigSet, Signal, kill},
    unistd::Pid,
};

static ARRIVED: AtomicBool = AtomicBool::new(false);

/// From now on, SIGINT and SIGTERM do not end the process; that they arrived is remembered.
pub fn watch() {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    // Threads that are made later inherit the mask. Programs that are started do not: the standard
    // library resets it.
    if signals.thread_block().is_err() {
        return; // then the signals end the demo at once, and the next one clears up
    }
    let main = thread::current();
    thread::spawn(move || {
        let _ = signals.wait();
        ARRIVED.store(true, Ordering::Relaxed);
        main.unpark();
    });
}

/// Whether a signal has arrived.
pub fn arrived() -> bool {
    ARRIVED.load(Ordering::Relaxed)
}

/// Fails if a signal has arrived.
pub fn ensure_none() -> Result<()> {
    ensure!(!arrived(), "interrupted");
    Ok(())
}

/// Waits for a signal, in the main thread.
pub fn wait() {
    while !arrived() {
        thread::park();
    }
}

/// Tells other demos to end. Returns how many there were.
pub fn end_other_demos() -> Result<usize> {
    namespace::remove_leftovers();
    let demos = namespace::owners().into_iter().filter(|&owner| {
        let name = fs::read_to_string(format!("/proc/{owner}/comm"));
        owner != process::id() && name.is_ok_and(|name| name.trim() == "demo")
    });
    let mut ended = 0;
    for demo in demos {
        let process = Pid::from_raw(demo.try_into()?);
        kill(process, Signal::SIGTERM).with_context(|| format!("end process {demo}"))?;
        ended += 1;
    }
    Ok(ended)
}
