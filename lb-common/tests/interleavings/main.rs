//! The slot protocol under `loom`: each scenario runs once for each order in which two CPUs and
//! the daemon's sweep can take turns, one load or store at a time.
//!
//! The orders are bounded: each scenario says how often threads are interrupted in one order.
//! Without a bound there are too many orders. `LB_PREEMPTIONS=4` tries more of them.

#[path = "../support/memory.rs"]
mod memory;
mod scenarios;

/// What the table's words are made of.
mod atomic {
    pub use loom::sync::atomic::{AtomicU64, Ordering, fence};
}

use std::{sync::Arc, time::Duration};

use lb_common::table::memory::Constant;

use self::memory::{Memory, Words};

/// Most time for one scenario: three CPUs have more orders than can be tried.
const TIME: Duration = Duration::from_secs(5);

/// A key of one word, so that reading it is one step: the server in the upper half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tiny(u64);

impl Tiny {
    fn new(key: u32, server: u32) -> Self {
        Self(u64::from(key) | u64::from(server) << 32)
    }
}

/// In the key of a reverse entry: whose client it leads to.
const REVERSE: u64 = 1 << 31;

impl Constant for Tiny {
    fn difference(&self, other: &Self) -> u64 {
        (self.0 ^ other.0) & u64::from(u32::MAX)
    }

    fn server(&self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn is_answered_by(&self, reverse: &Self) -> bool {
        // The client is the lowest byte.
        self.server() == reverse.server()
            && reverse.0 & REVERSE != 0
            && (self.0 ^ reverse.0) as u8 == 0
    }
}

impl Words for Tiny {
    type Row = [u64; 1];

    fn row(&self) -> [u64; 1] {
        [self.0]
    }

    fn of(row: &[u64]) -> Self {
        Self(row[0])
    }
}

/// A table of one bucket: what is tried is who gets a slot, not which.
type Small<const SLOTS: u32> = Memory<Tiny, SLOTS>;

/// Runs a scenario in all orders with this many interruptions. `set_up` makes the table, `threads` run at the same time, then
/// `check` looks at what is left. The last thread is the test's own.
fn in_all_orders<T: Send + 'static, const SLOTS: u32, const N: usize>(
    preemptions: usize,
    set_up: impl Fn() -> Small<SLOTS> + Send + Sync + 'static,
    threads: [fn(&Small<SLOTS>) -> T; N],
    check: impl Fn(&Small<SLOTS>, [T; N]) + Send + Sync + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(match std::env::var("LB_PREEMPTIONS") {
        Ok(number) => number.parse().expect("LB_PREEMPTIONS is a number"),
        Err(_) => preemptions,
    });
    builder.max_branches = 100_000;
    builder.max_duration = Some(TIME);
    let orders = std::sync::atomic::AtomicU64::new(0);
    let orders = Arc::new(orders);
    let counted = Arc::clone(&orders);
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let table = loom::sync::Arc::new(set_up());
        let (last, others) = threads.split_last().expect("a thread");
        let handles: Vec<_> = others
            .iter()
            .map(|&thread| {
                let table = loom::sync::Arc::clone(&table);
                loom::thread::spawn(move || thread(&table))
            })
            .collect();
        let last = last(&table);
        let mut results: Vec<T> = handles
            .into_iter()
            .map(|handle| handle.join().expect("a thread that ends"))
            .collect();
        results.push(last);
        let Ok(results) = results.try_into() else {
            unreachable!("as many results as threads")
        };
        check(&table, results);
    });
    println!(
        "{} orders",
        orders.load(std::sync::atomic::Ordering::Relaxed)
    );
}
