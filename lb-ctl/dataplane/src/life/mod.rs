//! The packet path in the kernel: its programs, and the pins by which its maps and links outlive
//! the daemon. It is made or adopted, it grows, and it is taken down.

mod adopt;
mod held;
pub mod links;
mod load;
mod mode;
pub mod object;
pub mod occupant;
pub mod pinned;
pub mod pins;
mod refused;
pub mod room;
mod spec;
mod take_down;
pub mod unfinished;
mod watch;

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{Ebpf, maps::Map, programs::Xdp};
use aya_log::EbpfLogger;
use lb_common::{layout::Settings, server::Counters};

use self::{
    adopt::Adopted,
    held::Held,
    links::{LinkError, Links},
    load::program,
    pinned::Pinned,
    pins::{Claim, Pins},
    room::{RoomMaps, let_packets_pass},
    unfinished::Unfinished,
};
pub use self::{mode::Mode, spec::Size};
use crate::{
    arrays::mapped::Mapped,
    crash::{self, Step},
    kernel::{bpffs::Bpffs, clock, interface::name_of},
};

/// A packet path that is loaded.
pub struct Life {
    ebpf: Ebpf,
    pins: Pins,
    claim: Claim,
    links: Links,
    held: Held,
    adopted: bool,
    /// The number of its room.
    room: u32,
}

/// A furnished room that no packet meets yet.
pub struct Room {
    ebpf: Ebpf,
    number: u32,
}

/// Turns what the packet path says into log lines.
pub type Logger = EbpfLogger<&'static dyn log::Log>;

/// The map that the logger takes.
const LOG: &str = "AYA_LOGS";

/// The name of the program that handles packets.
const PROGRAM: &str = "director";

impl Life {
    /// Loads the packet path, or adopts the one that this instance left running; gives the
    /// settings that it is made with, or was, and what removes it again if the start fails.
    pub fn open(instance: &str, size: Size) -> Result<(Self, Settings, Unfinished)> {
        let pins = Pins::of(instance, Bpffs::mounted()?);
        pins.check_owners()?;
        // Before anything is taken for left over.
        let claim = pins.claim_if_there()?;
        let found = adopt::adoptable(&pins)?;
        let adopted = found.is_some();
        let unfinished = Unfinished::new(pins.clone(), adopted);
        pins.prepare()?;
        let claim = match claim {
            Some(claim) if pins.is_claimed_by(&claim) => claim,
            _ => pins.claim()?,
        };
        pins.remove_unfinished_rooms()?;
        let Adopted {
            settings,
            room,
            size,
        } = match found {
            Some(found) => found,
            None => made(size)?,
        };
        if !adopted {
            crash::after(Step::FolderMade);
        }
        let ebpf = load::load(&pins, &pins.room(room), settings.hash, size)?;
        if !adopted {
            crash::after(Step::MapsPinned);
        }
        let mut this = Self {
            links: Links::new(pins.clone()),
            held: Held::default(),
            claim,
            pins,
            adopted,
            room,
            ebpf,
        };
        this.watch();
        Ok((this, settings, unfinished))
    }

    /// True if the packet path had been running before.
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// The maps of its room. They can be taken once.
    pub fn room_maps(&mut self) -> Result<RoomMaps> {
        RoomMaps::of(&mut self.ebpf)
    }

    /// One of its other maps. It can be taken once.
    pub fn map(&mut self, name: &str) -> Result<Map> {
        self.ebpf
            .take_map(name)
            .ok_or_else(|| anyhow!("the eBPF object has no map `{name}`"))
    }

    /// Has the kernel write the time into the settings.
    pub fn read_clock(&mut self) -> Result<()> {
        clock::read(program(&mut self.ebpf, "clock")?)?;
        crash::after(Step::ClockRead);
        Ok(())
    }

    /// Finishes a move to a larger room that an earlier daemon began. `carry` takes over what was
    /// counted in the room before: its counters, and the number of its servers.
    pub fn finish_move(&mut self, carry: impl FnOnce(&Mapped<Counters>, u32)) -> Result<()> {
        if let Some(last) = self.earlier_rooms()?.last() {
            tracing::info!("finishing an interrupted move to larger maps");
            self.take_over_links()?;
            let_packets_pass();
            // If they are gone, they have been carried over.
            if last.join("counters").exists() {
                let (counters, servers) = room::counters_pinned_at(last)?;
                carry(&counters, servers);
            }
        }
        self.leave_earlier_rooms()
    }

    /// Makes a larger room, in which `copy` writes everything that is in the present one. The
    /// next daemon adopts it, if this one dies now.
    pub fn furnish<T>(
        &self,
        size: room::Size,
        settings: &Settings,
        copy: impl FnOnce(RoomMaps) -> Result<T>,
    ) -> Result<(Room, T)> {
        let number = self.room + 1;
        let unfinished = self.pins.unfinished_room(number);
        let furnish = || {
            let mut ebpf = load::load(&self.pins, &unfinished, settings.hash, size)?;
            crash::after(Step::RoomMade);
            let copied = copy(RoomMaps::of(&mut ebpf)?)?;
            crash::after(Step::RoomFurnished);
            self.pins.finish_room(number)?;
            crash::after(Step::RoomFinished);
            Ok((Room { ebpf, number }, copied))
        };
        furnish()
            .inspect_err(|_: &anyhow::Error| {
                let _ = self.pins.remove_room(&unfinished);
            })
            .with_context(|| format!("cannot make room for {} servers", size.places))
    }

    /// Has all packets meet the maps of a room. No packet is in the one before when this returns.
    pub fn enter(&mut self, Room { ebpf, number }: Room) -> Result<()> {
        self.ebpf = ebpf;
        self.room = number;
        self.take_over_links()?;
        self.watch();
        let_packets_pass();
        Ok(())
    }

    /// Begins to count packets that are lost after they were sent.
    fn watch(&mut self) {
        let mut begin = || {
            watch::begin(&mut self.ebpf, PROGRAM)?;
            let mut interfaces = self.links.interfaces()?.into_iter();
            interfaces.try_for_each(|index| watch::add(&mut self.ebpf, index))
        };
        if let Err(error) = begin() {
            tracing::warn!(
                "packets that an interface loses after they were sent cannot be counted (drop \
                 reason `not_sent`): {error:#}"
            );
        }
    }

    /// Packets that were lost after they were sent, by the index of the interface that they were
    /// to leave by.
    pub fn lost(&self) -> Result<Vec<(u32, u64)>> {
        watch::lost(&self.ebpf)
    }

    /// Removes the rooms before this one, whose counters have been carried over.
    pub fn leave_earlier_rooms(&mut self) -> Result<()> {
        for folder in self.earlier_rooms()? {
            if let Err(error) = self.pins.remove_room(&folder) {
                tracing::error!("maps that are no longer used were not removed: {error:#}");
            }
            crash::after(Step::RoomLeft);
        }
        self.held = Held::open(&self.pins, self.room)?;
        Ok(())
    }

    fn earlier_rooms(&self) -> Result<Vec<PathBuf>> {
        let earlier = self.pins.rooms()?.into_iter();
        let earlier = earlier.filter(|&number| number != self.room);
        Ok(earlier.map(|number| self.pins.room(number)).collect())
    }

    /// Puts the program into all links that are pinned.
    fn take_over_links(&mut self) -> Result<()> {
        let interfaces = self.links.interfaces()?;
        let program = program(&mut self.ebpf, PROGRAM)?;
        for index in interfaces {
            if let Err(error) = self.links.take_over(program, index) {
                // Most likely the interface went away.
                let name = name_of(index);
                tracing::warn!("the link to {name} is dead: {error:#}");
            }
        }
        Ok(())
    }

    /// Pins maps again whose pins are gone.
    pub fn repair_pins(&mut self) -> Result<()> {
        if self.pins.mount_again()? {
            self.links.move_to(self.pins.clone());
        }
        self.held.repair(&self.pins)?;
        if !self.pins.is_claimed_by(&self.claim) {
            self.claim = self.pins.claim()?;
        }
        Ok(())
    }

    /// The program that sweeps the connection table.
    pub fn sweeper(&mut self) -> Result<&Xdp> {
        program(&mut self.ebpf, "sweep").map(|program| &*program)
    }

    /// Makes the program handle an interface's packets.
    pub fn attach(&mut self, name: &str, index: u32, mode: Mode) -> Result<()> {
        let program = program(&mut self.ebpf, PROGRAM)?;
        self.links.attach(program, name, index, mode)?;
        watch::add(&mut self.ebpf, index)
    }

    /// Stops handling an interface's packets.
    pub fn detach(&mut self, index: u32) -> Result<()> {
        self.links.detach(index)?;
        watch::remove(&mut self.ebpf, index)
    }

    /// Sees to it that the link to an interface is alive and has this program.
    pub fn repair_link(&mut self, name: &str, index: u32) -> Result<(), LinkError> {
        let program = program(&mut self.ebpf, PROGRAM).map_err(LinkError::Unpinned)?;
        if let Some(wrong) = self.links.repair(program, index)? {
            tracing::warn!("{name}: the link was changed by another program ({wrong}): repaired");
        }
        Ok(())
    }

    /// The links.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// The logger; `None` if it was given already. There is a new one in each room.
    pub fn logger(&mut self) -> Result<Option<Logger>> {
        if self.ebpf.map(LOG).is_none() {
            return Ok(None);
        }
        let logger = EbpfLogger::init(&mut self.ebpf);
        logger
            .context("cannot read the packet path's log")
            .map(Some)
    }

    /// Takes it down.
    pub fn take_down(&self) -> Result<()> {
        take_down::take_down(&self.pins).map(drop)
    }
}

/// Takes down the packet path of an instance that has no daemon; gives what was removed.
pub fn take_down(instance: &str) -> Result<Vec<PathBuf>> {
    let pins = Pins::of(instance, Bpffs::find());
    pins.check_owners()?;
    take_down::take_down(&pins)
}

/// True if another process works with the packet path of an instance, whatever has become of its
/// lock and its socket.
#[must_use]
pub fn is_in_use(instance: &str) -> bool {
    Pins::of(instance, Bpffs::find()).are_claimed()
}

/// The interfaces that the packet path of an instance is attached to, by index; none if there is no
/// packet path.
pub fn attached(instance: &str) -> Result<Vec<u32>> {
    let pins = Pins::of(instance, Bpffs::find());
    pins.check_owners()?;
    Links::new(pins).alive()
}

/// True if the packet path of an instance belongs to another network namespace than this process
/// is in, as far as that can be found out: indices of interfaces mean others here.
#[must_use]
pub fn is_elsewhere(instance: &str) -> bool {
    let pinned = Pinned::of(instance).ok().flatten();
    pinned.is_some_and(|pinned| pinned.is_elsewhere().unwrap_or(false))
}

/// The size of a room that has to hold this much, and no less than the one `before`; refuses what
/// does not fit into memory.
pub fn larger(needed: room::Size, before: room::Size) -> Result<room::Size> {
    if needed.places > room::MOST {
        bail!(
            "{} servers or services are more than the {} that an instance can have",
            needed.places,
            room::MOST
        );
    }
    let size = needed.with_reserve().max(before);
    spec::check_memory_of_room(size, spec::available_memory()?)?;
    Ok(size)
}

/// What a new packet path is made with.
fn made(size: Size) -> Result<Adopted> {
    let settings = spec::fresh(size)?;
    let size = room::Size::of_places(u32::max(size.servers, size.services));
    spec::check_memory(&settings, size, spec::available_memory()?)?;
    Ok(Adopted {
        settings,
        room: room::FIRST,
        size,
    })
}
