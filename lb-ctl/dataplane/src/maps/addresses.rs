//! The addresses whose packets the program looks at: a mark for each, in the map `settings`.

use std::collections::HashMap;

use anyhow::Result;
use lb_common::address_filter;

use crate::{
    arrays::{kept::Kept, mapped::Mapped},
    crash::{self, Step},
};

/// The marks, and how many need each: several addresses may have the same mark, and several
/// servers the same address.
pub struct Addresses {
    words: Kept<u64>,
    users: HashMap<Place, u32>,
}

/// A mark: its word, and the bit in it.
type Place = (u32, u64);

impl Addresses {
    /// Takes the marks that there are. They stay until [`adopt`](Self::adopt) knows who needs
    /// them.
    pub fn new(words: Mapped<u64>) -> Result<Self> {
        let words = Kept::adopt(words)?;
        let users = HashMap::new();
        Ok(Self { words, users })
    }

    /// Marks these addresses, as on the wire, and no others: a daemon that crashed may have left a
    /// mark that nobody needs, or may not have come to one that somebody needs.
    pub fn adopt(&mut self, addresses: impl Iterator<Item = u32>) {
        addresses.for_each(|address| self.add(address));
        let mut needed = HashMap::new();
        for &(word, bit) in self.users.keys() {
            *needed.entry(word).or_insert(0) |= bit;
        }
        for word in 0..self.words.entries() {
            let needed = needed.get(&word).copied().unwrap_or(0);
            self.clear(word, address_filter::ADDRESS_IN_WORD & !needed);
        }
    }

    /// One more needs the mark of an address.
    pub fn add(&mut self, address: u32) {
        let (word, bit) = address_filter::place(address);
        *self.users.entry((word, bit)).or_insert(0) += 1;
        if let Some(bits) = self.words.read(word)
            && bits & bit == 0
        {
            self.words.write(word, bits | bit);
            crash::after(Step::AddressWritten);
        }
    }

    /// One less needs the mark of an address. It is cleared where that was the last one.
    pub fn remove(&mut self, address: u32) {
        let (word, bit) = address_filter::place(address);
        let Some(users) = self.users.get_mut(&(word, bit)) else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            self.users.remove(&(word, bit));
            self.clear(word, bit);
        }
    }

    fn clear(&self, word: u32, clear: u64) {
        if let Some(bits) = self.words.read(word)
            && bits & clear != 0
        {
            self.words.write(word, bits & !clear);
            crash::after(Step::AddressCleared);
        }
    }

    /// Repairs marks that somebody else has changed; says so.
    pub fn repair(&self) -> Option<String> {
        let changed = self.words.repair(0..self.words.entries());
        (!changed.is_empty())
            .then(|| "the marks of addresses in the map `settings` were changed".to_owned())
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> u64 {
        self.words.bytes()
    }
}
