//! Whether the packet path that an earlier daemon left can be adopted.
//!
//! If its program is attached, nothing is removed: missing pins are made again for the maps that
//! the program has, and what cannot be adopted is left as it is. If it is not, a packet path that
//! is incomplete was not made to the end, or not removed to the end, and is removed.

use std::{fs, os::fd::AsFd as _, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use aya::{
    maps::{Map, MapData},
    programs::loaded_programs,
};
use lb_common::{
    layout::{Balancer, LAYOUT, Settings, slot::Bucket},
    schedule::RosterLine,
    server::{Counters, MOST_SERVERS, Server},
    service::Service,
};

use super::{load, pins::Pins, room, take_down::take_down};
use crate::{
    crash::{self, Step},
    kernel::{namespace, syscall},
    maps::variable::Parts,
};

/// A packet path that can be adopted.
pub struct Adopted {
    /// The settings that it was made with.
    pub settings: Settings,
    /// The number of its room; of two rooms, the later one's.
    pub room: u32,
    /// The size of its room.
    pub size: room::Size,
}

/// The packet path that is pinned. `None` if there is none; then nothing is left of an incomplete
/// one.
pub fn adoptable(pins: &Pins) -> Result<Option<Adopted>> {
    let running = running_program(pins)?;
    let here = namespace::current()?;
    let mut examined = examine(pins, running.is_some(), here);
    // The settings say whether the other maps are ours, so they come first.
    for _ in 0..2 {
        if let (Some(program), Err(Damage::Missing(_))) = (running, &examined) {
            pin_again(pins, program).context("cannot pin again what is missing")?;
            examined = examine(pins, running.is_some(), here);
        }
    }
    let damage = match examined {
        Ok(adopted) => return Ok(Some(adopted)),
        Err(damage) => damage,
    };
    if running.is_some() && matches!(damage, Damage::Elsewhere) {
        bail!(
            "what is pinned at {} {damage}, and handles packets there. Start the daemon in that \
             namespace, or another `--instance` here; `lb-ctl detach` ends the one there (its \
             connections are lost)",
            pins.map("").display(),
        );
    }
    if running.is_some() || matches!(damage, Damage::Layout(_)) {
        bail!(
            "what is pinned at {} {damage}: this lb-ctl, which speaks layout {LAYOUT}, cannot \
             adopt it. Forwarding goes on as it is. Use the lb-ctl that made it, or end it with \
             `lb-ctl detach` (its connections are lost) and start again",
            pins.map("").display(),
        );
    }
    let removed = take_down(pins)?;
    if !removed.is_empty() {
        tracing::warn!(
            "what was pinned at {} {damage}, and handled no packets: removed",
            pins.map("").display()
        );
    }
    Ok(None)
}

/// Why a packet path cannot be adopted; written after its name.
#[derive(Debug, thiserror::Error)]
enum Damage {
    #[error("has layout {0}")]
    Layout(u32),
    #[error("has no layout")]
    Unfinished,
    #[error("lacks the map {}", .0.display())]
    Missing(PathBuf),
    #[error("has a map {} that does not belong to lb-ctl ({what})", .path.display())]
    Foreign { path: PathBuf, what: String },
    #[error("belongs to another network namespace")]
    Elsewhere,
}

/// `here` is the network namespace that this process is in.
fn examine(pins: &Pins, running: bool, here: u32) -> Result<Adopted, Damage> {
    let path = pins.map("settings");
    let settings = Map::Array(open(path.clone())?);
    // The map of another layout may have another size.
    let settings = match Parts::of(&settings).map(|parts| parts.settings.read(0)) {
        Ok(settings) => settings.unwrap_or_default(),
        Err(error) => {
            let what = format!("{error:#}");
            return Err(Damage::Foreign { path, what });
        }
    };
    match settings.layout {
        LAYOUT => {}
        0 => return Err(Damage::Unfinished),
        other => return Err(Damage::Layout(other)),
    }
    if ![0, here].contains(&settings.namespace) {
        return Err(Damage::Elsewhere);
    }
    let number = pins.rooms().ok().and_then(|rooms| rooms.last().copied());
    let number = number.unwrap_or(room::FIRST);
    let folder = pins.room(number);
    let servers = entries(open(folder.join("servers"))?)?;
    // As many as the map has, and no fewer than every room has.
    let lines = entries(open(folder.join("rosters"))?)?.max(servers * room::LINES_EACH);
    let cpus = load::cpus().unwrap_or(1);
    let buckets = settings.hash.buckets;
    let table = size_of::<Bucket>();
    let loads = MOST_SERVERS as usize * size_of::<u64>();
    for (path, count, size) in [
        (pins.map("connections"), buckets, table),
        (pins.map("loads"), 1, loads),
        (pins.map("settings"), 1, size_of::<Balancer>()),
        (folder.join("servers"), servers, size_of::<Server>()),
        (
            folder.join("counters"),
            servers * (cpus + 1),
            size_of::<Counters>(),
        ),
        (folder.join("retired"), servers, size_of::<Counters>()),
        (folder.join("zeros"), 2 * servers, size_of::<Counters>()),
        (folder.join("services"), servers, size_of::<Service>()),
        (folder.join("rosters"), lines, size_of::<RosterLine>()),
    ] {
        // The program does not refer to these maps, so they cannot be found through it; packets
        // do not need them.
        let daemons = ["retired", "zeros"];
        let daemons = daemons.iter().any(|name| path.ends_with(name));
        if running && daemons && !path.exists() {
            tracing::warn!("the content of {} is lost with its pin", path.display());
            continue;
        }
        check(path, count, size)?;
    }
    for name in load::MAPS {
        open(pins.map(name))?;
    }
    Ok(Adopted {
        settings,
        room: number,
        size: room::Size {
            places: servers,
            lines,
        },
    })
}

fn check(path: PathBuf, count: u32, size: usize) -> Result<(), Damage> {
    let info = open(path.clone())?.info();
    let what = match info {
        Ok(info) if (info.max_entries(), info.value_size() as usize) == (count, size) => {
            return Ok(());
        }
        Ok(info) => format!(
            "{} entries of {} bytes, not {count} of {size}",
            info.max_entries(),
            info.value_size()
        ),
        Err(error) => error.to_string(),
    };
    Err(Damage::Foreign { path, what })
}

fn entries(map: MapData) -> Result<u32, Damage> {
    let info = map.info().map_err(|_| Damage::Unfinished)?;
    Ok(info.max_entries())
}

fn open(path: PathBuf) -> Result<MapData, Damage> {
    if !path.exists() {
        return Err(Damage::Missing(path));
    }
    MapData::from_pin(&path).map_err(|error| Damage::Foreign {
        what: format!("{:#}", anyhow::Error::from(error)),
        path,
    })
}

/// The kernel's number of a program that is attached by a pinned link, if there is one.
fn running_program(pins: &Pins) -> Result<Option<u32>> {
    for (_, path) in pins.links()? {
        let link = syscall::open(&path).and_then(|link| syscall::look_at(link.as_fd()));
        if let Ok(link) = link
            && link.interface != 0
        {
            return Ok(Some(link.program));
        }
    }
    Ok(None)
}

/// Pins those maps of a program whose pins are missing. If the settings' is, pins only that one.
fn pin_again(pins: &Pins, program: u32) -> Result<()> {
    let rooms = pins.rooms()?;
    let room = pins.room(rooms.last().copied().unwrap_or(room::FIRST));
    let mut missing = vec![("settings", pins.map("settings"))];
    missing.extend(load::MAPS.map(|name| (name, pins.map(name))));
    // If there are two rooms, it is not known which of them this program uses.
    if rooms.len() < 2 {
        missing.extend(room::MAPS.map(|name| (name, room.join(name))));
    }
    missing.retain(|(_, path)| !path.exists());
    if missing.iter().any(|&(name, _)| name == "settings") {
        missing.retain(|&(name, _)| name == "settings");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let program = loaded_programs()
        .filter_map(Result::ok)
        .find(|info| info.id() == program);
    let maps = match program {
        Some(program) => program.map_ids()?.unwrap_or_default(),
        None => Vec::new(),
    };
    for id in maps {
        let map = MapData::from_id(id)?;
        let info = map.info()?;
        // For the program it is a variable, and the map has the name of a section.
        let name = match info.value_size() as usize == size_of::<Balancer>() {
            true => Some("settings"),
            false => info.name_as_str(),
        };
        if let Some((_, path)) = missing.iter().find(|(missing, _)| Some(*missing) == name) {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            map.pin(path)?;
            crash::after(Step::PinRepaired);
            tracing::warn!("the pin {} was gone: pinned again", path.display());
        }
    }
    Ok(())
}
