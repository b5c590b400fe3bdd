//! The addresses whose packets the program looks at: a mark for each, in the map `settings`.

use anyhow::Result;
use lb_common::address_filter;

use crate::{
    arrays::{kept::Kept, mapped::Mapped},
    crash::{self, Step},
};

/// The marks. None is ever taken away: an address that is none of ours any more costs a lookup.
pub struct Addresses(Kept<u64>);

impl Addresses {
    /// Takes the marks that there are.
    pub fn new(words: Mapped<u64>) -> Result<Self> {
        Kept::adopt(words).map(Self)
    }

    /// Marks an address, as on the wire.
    pub fn mark(&self, address: u32) {
        let (word, bit) = address_filter::place(address);
        if let Some(bits) = self.0.read(word)
            && bits & bit == 0
        {
            self.0.write(word, bits | bit);
            crash::after(Step::AddressWritten);
        }
    }

    /// Repairs marks that somebody else has changed; says so.
    pub fn repair(&self) -> Option<String> {
        let changed = self.0.repair(0..self.0.entries());
        (!changed.is_empty())
            .then(|| "the marks of addresses in the map `settings` were changed".to_owned())
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }
}
