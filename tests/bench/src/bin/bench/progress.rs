//! What is being measured, for whoever waits: on stderr, when it takes longer than a moment.
//!
//! On a terminal, one line that is written anew; elsewhere, a line for each thing.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// What takes no longer is not worth a line.
const MOMENT: Duration = Duration::from_secs(2);

/// The line. A thread of its own writes it, which shall not be one that measures.
pub struct Progress(Arc<Shared>);

struct Shared {
    now: Mutex<Option<Now>>,
    changed: Condvar,
    terminal: bool,
}

/// What is going on.
struct Now {
    what: String,
    since: Instant,
    shown: bool,
}

impl Progress {
    /// Starts the thread, which keeps the scheduling policy that its maker has now.
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

    /// From now on, this is going on.
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

    /// Nothing is going on; the line is free for others.
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

    /// Nobody is worse off where it cannot be written.
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
