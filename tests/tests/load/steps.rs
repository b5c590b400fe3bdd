//! When a daemon passes the steps at which it can crash.

use lb_dataplane::crash::Step;

/// What has to happen to a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It starts, and there is no packet path yet.
    FirstStart,
    /// It starts, and adopts a packet path.
    Start,
    /// It applies a configuration which differs from what it does in every way.
    Change,
    /// It applies a configuration that the packet path cannot do.
    Refused,
    /// The director's own network changes.
    News(&'static str),
    /// A connection expires.
    Expiry,
    /// It finds a wrong count, which somebody wrote into the map.
    Mending,
    /// It applies a configuration that needs more room.
    Growth,
    /// It pins maps whose pins somebody removed.
    Unpinned,
    /// The packet path is taken down.
    Detach,
}

/// Every step, with its name. The compiler asks for new ones.
pub fn steps() -> impl Iterator<Item = (&'static str, When)> {
    Step::ALL.into_iter().map(|(step, name)| {
        let when = match step {
            Step::FolderMade
            | Step::MapsPinned
            | Step::SettingsWritten
            | Step::LayoutWritten
            | Step::RecordWritten
            | Step::RecordRenamed => When::FirstStart,
            Step::ClockRead | Step::LinkReplaced => When::Start,
            Step::RecordAppended
            | Step::CountersCleared
            | Step::ServerWritten
            | Step::AddressWritten
            | Step::AddressCleared
            | Step::ServiceCountCleared
            | Step::RosterWritten
            | Step::ServiceWritten
            | Step::ServiceRemoved
            | Step::ServerRetired
            | Step::CountNoted
            | Step::CountMoved
            | Step::CountTaken
            | Step::CountForgotten
            | Step::ServerForgotten
            | Step::TimeoutsWritten
            | Step::LinkMade
            | Step::LinkPinned
            | Step::LinkDetached
            | Step::LinkUnpinned => When::Change,
            Step::InterfaceWritten => When::News("link set eth2 address 02:00:00:00:00:77"),
            Step::NextHopWritten => When::News("route add 192.168.100.21/32 via 192.168.100.3"),
            Step::EpochWritten => When::News("route add 203.0.113.0/24 via 172.16.0.2"),
            Step::ConnectionsSwept => When::Expiry,
            Step::LoadMended => When::Mending,
            Step::RoomMade
            | Step::RoomFurnished
            | Step::RoomFinished
            | Step::CountCarried
            | Step::RoomLeft => When::Growth,
            Step::PinRepaired => When::Unpinned,
            Step::RecordUndone => When::Refused,
            Step::MapUnpinned => When::Detach,
        };
        (name, when)
    })
}
