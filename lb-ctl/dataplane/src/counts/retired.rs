//! What the former servers of each service counted.
//!
//! A removed server's counters are added to its service. The move is noted first and is
//! idempotent, so a crash neither loses nor doubles them.

use std::sync::atomic::Ordering::SeqCst;

use lb_common::{layout::Moving, server::Counters};

use crate::{
    arrays::mapped::Mapped,
    crash::{self, Step},
};

/// The map `retired`, and the note of what is being moved there.
pub struct Retired {
    rows: Mapped<Counters>,
    moving: Mapped<Moving>,
}

/// The word of [`Moving`] with service and server, which is written at once.
const NOTE: usize = 5;
const _: () = assert!(std::mem::offset_of!(Moving, service) == 8 * NOTE);

impl Retired {
    /// Of these maps.
    pub fn new(rows: Mapped<Counters>, moving: Mapped<Moving>) -> Self {
        Self { rows, moving }
    }

    /// Rows: services that there is room for.
    pub fn rows(&self) -> u32 {
        self.rows.entries()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> u64 {
        self.rows.bytes()
    }

    /// Copies all rows to a larger map.
    pub fn copy_to(&self, larger: &Mapped<Counters>) {
        for service in 0..self.rows.entries() {
            larger.write(service, self.of(service));
        }
    }

    /// Leaves the old map for a larger one.
    pub fn move_to(&mut self, larger: Mapped<Counters>) {
        self.rows = larger;
    }

    /// What a service's former servers counted.
    pub fn of(&self, service: u32) -> Counters {
        self.rows.read(service).unwrap_or_default()
    }

    /// Starts a new service's count.
    pub fn clear(&self, service: u32) {
        self.rows.write(service, Counters::default());
        crash::after(Step::ServiceCountCleared);
    }

    /// Notes that a server's counters are to be added to its service's row.
    pub fn note(&self, service: u32, server: u32, counted: Counters) {
        let moving = Moving {
            total: self.of(service) + counted,
            ..Moving::default()
        };
        self.moving.write(0, moving);
        self.write_note(service, server + 1);
        crash::after(Step::CountNoted);
    }

    /// Writes what is noted into the service's row, perhaps once more. Gives the server whose
    /// counters are to be set to zero; after that comes [`forget`](Self::forget).
    pub fn take(&self) -> Option<u32> {
        let moving = self.moving.read(0).unwrap_or_default();
        let server = moving.server.checked_sub(1)?;
        self.rows.write(moving.service, moving.total);
        crash::after(Step::CountMoved);
        Some(server)
    }

    /// Removes the note.
    pub fn forget(&self) {
        self.write_note(0, 0);
        crash::after(Step::CountForgotten);
    }

    fn write_note(&self, service: u32, server: u32) {
        if let Some(note) = self.moving.word(0, NOTE) {
            note.store(u64::from(service) | u64::from(server) << 32, SeqCst);
        }
    }
}
