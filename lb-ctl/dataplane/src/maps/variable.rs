//! The map `settings`, which to the program is its variable `BALANCER`.
//!
//! A loader makes a map for a program's variables and fills it with their initial values. This map
//! is mapped into memory and outlives programs. So it is made before the program is loaded, and
//! the initial values are those that it has.

use std::{
    mem::offset_of,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use aya::{
    EbpfLoader,
    maps::{Array, Map, MapData},
};
use lb_common::{
    address_filter,
    layout::{
        Balancer, Moving, Recount, Settings,
        interface::{INTERFACES, Interface as Place},
    },
};

use crate::arrays::mapped::Mapped;

/// The loader's name for the map.
pub const SECTION: &str = ".bss";

const WORDS: usize = size_of::<Balancer>() / size_of::<u64>();
const _: () = assert!(WORDS * size_of::<u64>() == size_of::<Balancer>());

/// `BPF_F_MMAPABLE` in `linux/bpf.h`.
const MMAPABLE: u32 = 1 << 10;

/// The map, and what is in it.
pub struct Variable {
    path: PathBuf,
    words: Vec<u64>,
}

impl Variable {
    /// The map that is pinned at `path`; makes it if there is none. Nobody else may write it until
    /// the program is loaded.
    pub fn at(path: &Path) -> Result<Self> {
        let data = match MapData::from_pin(path) {
            Ok(data) => data,
            Err(_) => {
                let made = Array::<MapData, [u64; WORDS]>::create(1, MMAPABLE)
                    .context("cannot make the map `settings`")?;
                made.pin(path)
                    .with_context(|| format!("cannot pin a map at {}", path.display()))?;
                MapData::from_pin(path)?
            }
        };
        let words = Mapped::<u64>::blocks::<Balancer>("settings", &Map::Array(data))?;
        Ok(Self {
            path: path.to_owned(),
            words: (0..words.entries())
                .map(|word| words.read(word).unwrap_or_default())
                .collect(),
        })
    }

    /// Has the program use it.
    pub fn give<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        loader
            .override_global("BALANCER", self.words.as_slice(), true)
            .map_pin_path(SECTION, self.path.as_path());
    }
}

/// The fields of the map's one entry, a [`Balancer`], each mapped into memory.
pub struct Parts {
    /// One entry.
    pub settings: Mapped<Settings>,
    /// The marks of addresses, as words.
    pub addresses: Mapped<u64>,
    /// All places for interfaces.
    pub interfaces: Mapped<Place>,
    /// One entry.
    pub moving: Mapped<Moving>,
    /// One.
    pub recount: Mapped<Recount>,
}

impl Parts {
    /// Maps them.
    pub fn of(map: &Map) -> Result<Self> {
        let name = "settings";
        Ok(Self {
            settings: Mapped::part::<Balancer>(name, map, offset_of!(Balancer, settings), 1)?,
            addresses: Mapped::part::<Balancer>(
                name,
                map,
                offset_of!(Balancer, addresses),
                address_filter::WORDS,
            )?,
            interfaces: Mapped::part::<Balancer>(
                name,
                map,
                offset_of!(Balancer, interfaces),
                INTERFACES,
            )?,
            moving: Mapped::part::<Balancer>(name, map, offset_of!(Balancer, moving), 1)?,
            recount: Mapped::part::<Balancer>(name, map, offset_of!(Balancer, recount), 1)?,
        })
    }

    /// For those who only look.
    pub fn frozen(self) -> Self {
        Self {
            settings: self.settings.frozen(),
            addresses: self.addresses.frozen(),
            interfaces: self.interfaces.frozen(),
            moving: self.moving.frozen(),
            recount: self.recount.frozen(),
        }
    }
}
