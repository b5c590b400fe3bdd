//! Says on stderr what is being measured, if it takes longer than a moment.
//!
//! On a terminal, one line is rewritten; elsewhere, each thing gets a line.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Shorter steps are not shown.
const MOMENT: Duration = Duration::from_secs(2);

/// The progress line. A thread of its own writes it, never a thread that measures.
pub struct Progress(Arc<Shared>);

struct Shared {
    now: Mutex<Option<Now>>,
    changed: Condvar,
    terminal: bool,
}

/// The present step.
struct Now {
    what: String,
    since: Instant,
    shown: bool,
}

impl Progress {
    /// Starts the thread, which keeps its maker's present scheduling policy.
    pub fn start() -> Self {
        let shared = Arc::new(Shared {
            now: Mutex::default(),
            changed: Condvar::new(),
            terminal: io::stderr().is_terminal(),
        });
        let watched = Arc::clone(&shared);
        thread::spawn(move || watched.watch());
        Self(shared)
    }

    /// Begins a step.
    pub fn begins(&self, group: &str, what: &str) {
        let mut now = self.0.now();
        self.0.clear(&now);
        *now = Some(Now {
            what: format!("{group}: {what}"),
            since: Instant::now(),
            shown: false,
        });
        self.0.changed.notify_one();
    }

    /// Ends the step, and clears the line for other output.
    pub fn ends(&self) {
        let mut now = self.0.now();
        self.0.clear(&now);
        *now = None;
    }
}

impl Shared {
    fn now(&self) -> MutexGuard<'_, Option<Now>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) {
        let mut now = self.now();
        loop {
            let wait = match now.as_mut() {
                None => Duration::MAX,
                Some(now) => match MOMENT.checked_sub(now.since.elapsed()) {
                    Some(rest) => rest,
                    None => {
                        self.show(now);
                        Duration::from_secs(1)
                    }
                },
            };
            let woken = self.changed.wait_timeout(now, wait);
            now = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Errors are ignored: the progress line is not needed.
    fn show(&self, now: &mut Now) {
        let mut to = io::stderr().lock();
        if self.terminal {
            let seconds = now.since.elapsed().as_secs();
            let _ = write!(to, "\r\x1b[Kmeasuring {} ({seconds} s)", now.what);
        } else if !now.shown {
            let _ = writeln!(to, "measuring {}", now.what);
        }
        now.shown = true;
    }

    fn clear(&self, now: &Option<Now>) {
        if self.terminal && now.as_ref().is_some_and(|now| now.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
