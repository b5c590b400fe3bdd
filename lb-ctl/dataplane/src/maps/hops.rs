//! The map `hops`: next hops on the way to clients, which the program notes.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, IterableMap as _, Map, MapData, MapError};
use lb_common::layout::interface::ClientHop;

use crate::kernel::syscall;

/// The next hops.
pub struct Hops(HashMap<MapData, ClientHop, u32>);

/// More than the map has.
const ALL: usize = 2048;

impl Hops {
    /// Takes the map.
    pub fn new(map: Map) -> Result<Self> {
        HashMap::try_from(map).context("the map `hops`").map(Self)
    }

    /// All that there are.
    pub fn all(&self) -> Result<Vec<ClientHop>> {
        let mut hops = vec![(ClientHop::default(), 0u32); ALL];
        let map = self.0.map().fd().as_fd();
        let count = syscall::read_hash(map, &mut None, &mut hops);
        let count = count.context("cannot read the map `hops`")?;
        Ok(hops.into_iter().take(count).map(|(hop, _)| hop).collect())
    }

    /// Forgets one, until the program notes it again.
    pub fn forget(&mut self, hop: &ClientHop) -> Result<()> {
        match self.0.remove(hop) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(error) => Err(error).context("cannot remove from the map `hops`"),
        }
    }
}
