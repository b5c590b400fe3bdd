//! The sizes of the program's maps.

/// The sizes of the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Buckets of the connection table, eight slots each.
    pub buckets: u32,
    /// Servers of all services together.
    pub servers: u32,
    /// Services.
    pub services: u32,
    /// Lines of all rosters together.
    pub roster_lines: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            buckets: 64,
            servers: 32,
            services: 16,
            roster_lines: 128,
        }
    }
}

/// The number of CPUs that this machine can have: rows of the map `counters`.
pub fn cpus() -> u32 {
    aya::util::nr_cpus().expect("the list of CPUs in /sys") as u32
}
