//! This machine's Ethernet interfaces, in the map `settings`: each at one of the places that its
//! index gives. And the MAC addresses that they take frames for, where the place does not tell: the
//! map `stations`.

use anyhow::Result;
use aya::maps::Map;
use lb_common::layout::interface::{Interface as Place, Station, home, places_to_use};

use super::members::Members;
use crate::{
    arrays::{kept::Kept, mapped::Mapped},
    audit::Part,
    crash::{self, Step},
    encode,
    next_hop::Interface,
};

/// The places and the stations.
pub struct Interfaces {
    places: Kept<Place>,
    stations: Members<Station>,
}

impl Interfaces {
    /// Takes what is there.
    pub fn new(places: Mapped<Place>, stations: Map) -> Result<Self> {
        Ok(Self {
            places: Kept::adopt(places)?,
            stations: Members::adopt("stations", stations)?,
        })
    }

    /// Makes these all that there are. One that has a place keeps it: connections remember it.
    /// Gives those for which there is no place.
    pub fn set(&mut self, interfaces: &[Interface]) -> Result<Vec<Interface>> {
        for place in 0..self.places.entries() {
            let known = self.places.read(place).unwrap_or_default().index;
            if known != 0 && interfaces.iter().all(|interface| interface.index != known) {
                self.places.write(place, Place::default());
            }
        }
        let (mut stations, mut without) = (Vec::new(), Vec::new());
        for interface in interfaces {
            let value = encode::interface(interface);
            match self.place_for(interface.index) {
                Some(place) if self.places.read(place) == Some(value) => {}
                Some(place) => {
                    self.places.write(place, value);
                    crash::after(Step::InterfaceWritten);
                }
                None => without.push(interface.clone()),
            }
            if self.place_for(interface.index) != Some(home(interface.index)) {
                stations.push(encode::station(interface.index, interface.mac));
            }
            let above = interface.takes_for.iter();
            stations.extend(above.map(|&mac| encode::station(interface.index, mac)));
        }
        let gone: Vec<_> = self.stations.all().collect();
        for station in gone.iter().filter(|station| !stations.contains(station)) {
            self.stations.remove(station)?;
        }
        stations
            .into_iter()
            .try_for_each(|station| self.stations.insert(station))?;
        Ok(without)
    }

    /// The place that an interface has, or the first free one that it may have.
    fn place_for(&self, index: u32) -> Option<u32> {
        let there = |place| self.places.read(place).unwrap_or_default().index;
        let mut its = places_to_use(index);
        its.find(|&place| there(place) == index)
            .or_else(|| places_to_use(index).find(|&place| there(place) == 0))
    }

    /// Repairs a part of what somebody else has changed; says what.
    pub fn repair(&mut self, part: Part) -> Result<Vec<String>> {
        let changed = self.places.repair(part.of(self.places.entries()));
        let changed = changed.into_iter().map(|place| {
            format!("the interface at place {place} was changed in the map `settings`")
        });
        let mut repaired: Vec<_> = changed.collect();
        if part.is_first() {
            repaired.extend(self.stations.repair()?);
        }
        Ok(repaired)
    }
}
