//! This machine's Ethernet interfaces, in the map `settings`: each at the place that the lower 16
//! bits of its index give.

use anyhow::Result;
use lb_common::layout::{INTERFACES, Interface as Place};

use crate::{
    arrays::{kept::Kept, mapped::Mapped},
    audit::Part,
    crash::{self, Step},
    encode,
    next_hop::Interface,
};

/// The places.
pub struct Interfaces(Kept<Place>);

impl Interfaces {
    /// Takes what is there.
    pub fn new(places: Mapped<Place>) -> Result<Self> {
        Kept::adopt(places).map(Self)
    }

    /// Makes these all that there are.
    pub fn set(&self, interfaces: &[Interface]) {
        for place in 0..self.0.entries() {
            let known = self.0.read(place).unwrap_or_default().index;
            if known != 0 && interfaces.iter().all(|interface| interface.index != known) {
                self.0.write(place, Place::default());
            }
        }
        for &interface in interfaces {
            let value = encode::interface(interface);
            let place = interface.index % INTERFACES;
            if self.0.read(place) != Some(value) {
                self.0.write(place, value);
                crash::after(Step::InterfaceWritten);
            }
        }
    }

    /// Repairs a part of the places that somebody else has changed; says which.
    pub fn repair(&self, part: Part) -> impl Iterator<Item = String> {
        let changed = self.0.repair(part.of(self.0.entries()));
        changed.into_iter().map(|place| {
            format!("the interface at place {place} was changed in the map `settings`")
        })
    }
}
