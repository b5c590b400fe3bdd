//! Ending expired connections: the daemon looks for them, the kernel ends them.

use anyhow::{Context as _, Result};
use aya::{TestRun as _, TestRunOptions, programs::Xdp};
use lb_common::{
    layout::{Settings, slot::BUCKET_SLOTS},
    state,
    table::{entry, live, sweep::Order},
};

use super::{Connections, recount::Recount};
use crate::{
    crash::{self, Step},
    kernel::clock,
};

/// How many buckets one run of the program sweeps. Its CPU handles no packets meanwhile: some
/// ten microseconds.
const AT_ONCE: u32 = 256;

impl Connections {
    /// Has the expired connections of the next `buckets` buckets ended, and the others counted by
    /// server. Gives the number of ended ones, and true where the end of the table was reached.
    pub fn sweep(
        &mut self,
        buckets: u32,
        settings: &Settings,
        program: &Xdp,
        recount: &mut Recount,
    ) -> Result<(u32, bool)> {
        let end = self.next.saturating_add(buckets).min(self.buckets());
        let mut ended = 0;
        while self.next < end {
            let first = self.next * BUCKET_SLOTS;
            self.next = self.next.saturating_add(AT_ONCE).min(end);
            let order = Order {
                first,
                slots: self.next * BUCKET_SLOTS - first,
                recount: recount.order(),
            };
            let expired = self.count(&order, settings, recount);
            if expired || order.recount != 0 {
                ended += run(program, &order)?;
                crash::after(Step::ConnectionsSwept);
            }
        }
        let whole = self.next == self.buckets();
        if whole {
            self.next = 0;
        }
        Ok((ended, whole))
    }

    /// Counts the connections in a part of the table. True if some have expired.
    fn count(&self, part: &Order, settings: &Settings, recount: &mut Recount) -> bool {
        let table = self.memory(settings);
        let now = clock::now(settings);
        let mut expired = false;
        for entry in (part.first..part.first + part.slots)
            .filter_map(|slot| entry::read(table, slot))
            .filter(|entry| state::is_connection(entry.word.state()))
        {
            if live::is_alive(table, &entry, now) {
                let active = state::is_active(entry.word.state());
                recount.see(entry.constant.server(), active);
            } else {
                expired = true;
            }
        }
        expired
    }
}

/// Runs the program `sweep` on an order; gives the number of connections that it ended.
pub fn run(program: &Xdp, order: &Order) -> Result<u32> {
    // As many bytes as the shortest Ethernet frame.
    let mut frame = [0; 64];
    let words = [order.first, order.slots, order.recount];
    for (bytes, word) in frame.chunks_exact_mut(size_of::<u32>()).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    let result = program
        .test_run(TestRunOptions {
            data_in: Some(&frame),
            ..TestRunOptions::default()
        })
        .context("cannot run the program `sweep`, which ends expired connections")?;
    Ok(result.return_value)
}
