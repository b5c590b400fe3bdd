//! Crashes on demand. After each step that leaves something in the kernel, the daemon can be told
//! to end as if by `kill -9`. Tests look at what the next start makes of that.
//!
//! `LB_CRASH_AT=server-written:2` ends it when it has written a server for the second time.
//! Without the variable, a step costs a comparison.

use std::{
    env, process,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use nix::sys::signal::{Signal, raise};

/// What has just been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The folder for pins is there, and nothing in it.
    FolderMade,
    /// All maps are made and pinned; nothing is written into them.
    MapsPinned,
    /// All settings but the layout's version are written.
    SettingsWritten,
    /// The layout's version is written, too.
    LayoutWritten,
    /// The kernel has written the time.
    ClockRead,
    /// A new record is written, and does not have its name yet.
    RecordWritten,
    /// It has its name.
    RecordRenamed,
    /// Changes are recorded that are about to be made.
    RecordAppended,
    /// It is recorded that changes are taken back.
    RecordUndone,
    /// The counters of an entry for a server are set to zero.
    CountersCleared,
    /// The entry of a server is written.
    ServerWritten,
    /// The address of a service or a server is marked: the program looks at its packets.
    AddressWritten,
    /// The mark of an address is cleared, which nobody needs any more.
    AddressCleared,
    /// The new next hop of a server is written.
    NextHopWritten,
    /// The counters of a service's former servers are set to zero.
    ServiceCountCleared,
    /// A roster is written, to which no service refers yet.
    RosterWritten,
    /// A service refers to the roster.
    ServiceWritten,
    /// A service is removed from its map; its servers' entries are not changed yet.
    ServiceRemoved,
    /// A server's entry says that the server is removed.
    ServerRetired,
    /// It is noted that a removed server's counters are to be added to its service.
    CountNoted,
    /// They are added to the service.
    CountMoved,
    /// The server's counters are set to zero.
    CountTaken,
    /// The note is removed.
    CountForgotten,
    /// The entry of a removed server is free.
    ServerForgotten,
    /// The timeouts are written.
    TimeoutsWritten,
    /// An interface of this machine is written.
    InterfaceWritten,
    /// The route epoch is written: connections look up their next hops anew.
    EpochWritten,
    /// The program is attached to an interface; the link is not pinned yet.
    LinkMade,
    /// The link is pinned.
    LinkPinned,
    /// The program of a link is replaced.
    LinkReplaced,
    /// A link is detached; its pin is there.
    LinkDetached,
    /// The pin of a link is removed.
    LinkUnpinned,
    /// The pin of a map is removed.
    MapUnpinned,
    /// A map whose pin was gone is pinned again.
    PinRepaired,
    /// The kernel has ended the expired connections in a part of the table.
    ConnectionsSwept,
    /// A server's wrong count of connections is corrected.
    LoadMended,
    /// The maps of a larger room are pinned; nothing is written into them.
    RoomMade,
    /// Everything is copied into the larger room.
    RoomFurnished,
    /// The larger room is the one that the next start adopts.
    RoomFinished,
    /// All packets meet the larger room's maps, and the counters of the room before are added.
    CountCarried,
    /// The pins of the room before are removed.
    RoomLeft,
}

impl Step {
    /// Every step, with its name.
    pub const ALL: [(Self, &'static str); 41] = [
        (Self::FolderMade, "folder-made"),
        (Self::MapsPinned, "maps-pinned"),
        (Self::SettingsWritten, "settings-written"),
        (Self::LayoutWritten, "layout-written"),
        (Self::ClockRead, "clock-read"),
        (Self::RecordWritten, "record-written"),
        (Self::RecordRenamed, "record-renamed"),
        (Self::RecordAppended, "record-appended"),
        (Self::RecordUndone, "record-undone"),
        (Self::CountersCleared, "counters-cleared"),
        (Self::ServerWritten, "server-written"),
        (Self::AddressWritten, "address-written"),
        (Self::AddressCleared, "address-cleared"),
        (Self::NextHopWritten, "next-hop-written"),
        (Self::ServiceCountCleared, "service-count-cleared"),
        (Self::RosterWritten, "roster-written"),
        (Self::ServiceWritten, "service-written"),
        (Self::ServiceRemoved, "service-removed"),
        (Self::ServerRetired, "server-retired"),
        (Self::CountNoted, "count-noted"),
        (Self::CountMoved, "count-moved"),
        (Self::CountTaken, "count-taken"),
        (Self::CountForgotten, "count-forgotten"),
        (Self::ServerForgotten, "server-forgotten"),
        (Self::TimeoutsWritten, "timeouts-written"),
        (Self::InterfaceWritten, "interface-written"),
        (Self::EpochWritten, "epoch-written"),
        (Self::LinkMade, "link-made"),
        (Self::LinkPinned, "link-pinned"),
        (Self::LinkReplaced, "link-replaced"),
        (Self::LinkDetached, "link-detached"),
        (Self::LinkUnpinned, "link-unpinned"),
        (Self::MapUnpinned, "map-unpinned"),
        (Self::PinRepaired, "pin-repaired"),
        (Self::ConnectionsSwept, "connections-swept"),
        (Self::LoadMended, "load-mended"),
        (Self::RoomMade, "room-made"),
        (Self::RoomFurnished, "room-furnished"),
        (Self::RoomFinished, "room-finished"),
        (Self::CountCarried, "count-carried"),
        (Self::RoomLeft, "room-left"),
    ];
}

/// The environment variable that says where to crash.
pub const VARIABLE: &str = "LB_CRASH_AT";

/// Says that a step is done. Does not return if the daemon is to crash after it.
pub fn after(step: Step) {
    static CRASH: OnceLock<Option<Crash>> = OnceLock::new();
    let crash = CRASH.get_or_init(|| env::var(VARIABLE).ok().as_deref().and_then(Crash::parse));
    if let Some(Crash { at, left }) = crash
        && *at == step
        && left.fetch_sub(1, Relaxed) == 1
    {
        // As by `kill -9`: no destructor runs.
        let _ = raise(Signal::SIGKILL);
        process::abort();
    }
}

#[derive(Debug)]
struct Crash {
    at: Step,
    left: AtomicU32,
}

impl Crash {
    fn parse(text: &str) -> Option<Self> {
        let (wanted, times) = text.split_once(':').unwrap_or((text, "1"));
        let (at, _) = Step::ALL.into_iter().find(|(_, name)| *name == wanted)?;
        let left = AtomicU32::new(times.parse().ok()?);
        Some(Self { at, left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_listed_in_its_place() {
        for (place, (step, name)) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, place, "{name}");
            let crash = Crash::parse(name).map(|crash| (crash.at, crash.left.into_inner()));
            assert_eq!(crash, Some((step, 1)));
        }
    }

    #[test]
    fn a_step_may_be_passed_several_times_before() {
        let crash = Crash::parse("link-pinned:3").expect("a step");
        assert_eq!((crash.at, crash.left.into_inner()), (Step::LinkPinned, 3));
        assert!(Crash::parse("link-pinned:many").is_none());
        assert!(Crash::parse("nowhere").is_none());
    }
}
