//! Numbers that are constant once the program is loaded. The daemon writes [`CONSTANTS`] into the
//! object before the kernel reads it.

use core::ptr::read_volatile;

use lb_common::{layout::Constants, table::places::Hash};

/// Read as volatile: the daemon replaces these values, so the compiler must not compute with them.
#[unsafe(no_mangle)]
static CONSTANTS: Constants = Constants {
    hash: Hash {
        addends: [0; 4],
        buckets: 8,
        _pad: 0,
    },
    servers: 8,
    _pad: 0,
};

/// The connection table's hash function.
#[inline(always)]
pub fn hash() -> Hash {
    let hash = &raw const CONSTANTS.hash;
    // SAFETY: a static that nobody writes while the program runs.
    unsafe {
        Hash {
            addends: [
                read_volatile(&raw const (*hash).addends[0]),
                read_volatile(&raw const (*hash).addends[1]),
                read_volatile(&raw const (*hash).addends[2]),
                read_volatile(&raw const (*hash).addends[3]),
            ],
            buckets: read_volatile(&raw const (*hash).buckets),
            _pad: 0,
        }
    }
}

/// Entries of the map `servers`.
#[inline(always)]
pub fn servers() -> u32 {
    // SAFETY: as above.
    unsafe { read_volatile(&raw const CONSTANTS.servers) }
}
