//! New connections, and those that are opened anew: which server a packet gets that has none.
//!
//! Subprograms that parse the packet again, for the reason that `unknown` gives.

use lb_common::{
    drops::Drop,
    layout::{interface::NOWHERE, key::Key, slot::Reverse},
    passes::Pass,
    protocol::TCP,
    server::{Method, SERVER_AVAILABLE, SERVER_LOCAL, Server},
    state::{
        self,
        tcp::{self, TcpState},
    },
    table::{
        end, live,
        open::{New, NewReverse, Opened, open},
    },
};

use crate::{
    account,
    connection::table::{self, Connections},
    frame::{Incoming, Packet, Parsed, link::Addresses, parse},
    machine::{clock, fib},
    maps,
    open::{opener, schedule::schedule, service},
    settings,
    verdict::Verdict,
};

/// The server of a packet without a connection, which may open one; see [`Admission`].
#[inline(never)]
pub fn admit(packet: Packet) -> Admission {
    let packet = packet.in_subprogram();
    let Incoming::Packet(parsed) = parse(packet) else {
        return Admission::PASS;
    };
    let Some(service) = service::find(&parsed.key) else {
        return Admission::PASS;
    };
    if !settings::addressed_by(parsed.interface, parsed.ethernet) {
        account::passed(Pass::OtherStation);
        return Admission::PASS;
    }
    if !opener::opens(&parsed) {
        return Admission::PASS;
    }
    if let Some(reason) = opener::fault(packet, &parsed) {
        account::passed(reason);
        return Admission::PASS;
    }
    let index = match schedule(service).read() {
        Ok(index) => index,
        Err(reason) => return Admission::drop(reason),
    };
    let Some(server) = maps::SERVERS.get(index) else {
        return Admission::drop(Drop::Inconsistent);
    };
    match connect(packet, &parsed, index, server) {
        Opened::Ours => {
            account::opened(index);
            Admission::server(index)
        }
        Opened::Theirs(index) => Admission::server(index),
        Opened::Full => Admission::drop(Drop::TableFull),
        Opened::SameReplies => Admission::drop(Drop::SameReplies),
    }
}

/// The server of a packet whose connection seems to be over. If it is, the packet is treated as
/// one without a connection (IPVS with `conn_reuse_mode=1`): [`Admitted::Anew`]. It may still
/// live: perhaps only the server has sent packets of late.
#[inline(never)]
pub fn again(packet: Packet) -> Admission {
    let packet = packet.in_subprogram();
    let Incoming::Packet(parsed) = parse(packet) else {
        return Admission::PASS;
    };
    if !settings::addressed_by(parsed.interface, parsed.ethernet) {
        account::passed(Pass::OtherStation);
        return Admission::PASS;
    }
    if let Some(entry) = table::find(&parsed.key) {
        let now = clock::now();
        let index = entry.constant.server();
        let anew = parsed.flags & tcp::SYN != 0 && live::is_reusable(entry.word.state());
        if !anew && live::is_alive(Connections, &entry, now) {
            match maps::SERVERS.get(index) {
                Some(server) if server.flags & SERVER_AVAILABLE != 0 => {}
                Some(_) => return Admission::drop(Drop::ServerGone),
                None => return Admission::drop(Drop::Inconsistent),
            }
            table::stamp(&entry, now);
            if !live::is_settled(entry.word.state(), parsed.flags) {
                table::step(&entry, false, parsed.flags);
            }
            return Admission::server(index);
        }
        if end::end(Connections, &entry) {
            end::free(Connections, entry.index);
        }
    }
    Admission::ANEW
}

/// An [`Admitted`] in one register: a subprogram can return no more.
#[derive(PartialEq, Eq)]
pub struct Admission(u64);

/// Where a client's packet goes.
pub enum Admitted {
    /// To the server with this index.
    To(u32),
    /// To no server.
    No(Verdict),
    /// Its connection is over: it is treated as a packet without one.
    Anew,
}

impl Admission {
    const ANEW: Self = Self(u64::MAX - 1);
    const PASS: Self = Self(u64::MAX);
    const DROP: u64 = 1 << 32;

    #[inline(always)]
    fn server(index: u32) -> Self {
        Self(u64::from(index))
    }

    #[inline(always)]
    fn drop(reason: Drop) -> Self {
        Self(Self::DROP | reason as u64)
    }

    /// Unpacks the register.
    #[inline(always)]
    pub fn read(self) -> Admitted {
        let lower = self.0 as u32;
        if self == Self::ANEW {
            Admitted::Anew
        } else if self == Self::PASS {
            Admitted::No(Verdict::PASS)
        } else if self.0 & Self::DROP != 0 {
            let reason = Drop::of_number(lower).unwrap_or(Drop::Inconsistent);
            Admitted::No(Verdict::drop(reason))
        } else {
            Admitted::To(lower)
        }
    }
}

/// Opens a connection to this server.
#[inline(always)]
fn connect(packet: Packet, parsed: &Parsed, index: u32, server: &Server) -> Opened {
    let tcp = parsed.key.protocol() == TCP;
    let new = New {
        constant: parsed.key.of_server(index),
        state: if tcp {
            TcpState::SynRecv as u8
        } else {
            state::UDP
        },
        now: clock::now(),
    };
    if server.method != Method::Nat as u8 || server.flags & SERVER_LOCAL != 0 {
        return open(Connections, &new, None);
    }
    let key = Key::new(
        server.address,
        parsed.key.source(),
        u32::from(server.port) | u32::from(parsed.key.source_port()) << 16,
        parsed.key.protocol(),
    );
    let reverse = NewReverse {
        constant: key.of_server(index),
        route: fib::route(packet, parsed.key, came_from(packet).bits()),
        epoch: settings::route_epoch(),
        settled: !tcp,
    };
    open(Connections, &new, Some(&reverse))
}

/// The way back to the station that sent a packet: for clients to which the kernel has no route.
#[inline(always)]
fn came_from(packet: Packet) -> Reverse {
    let next_hop = match packet.at(0) {
        Some(ethernet) => Addresses::of(ethernet).source(),
        None => [0; 6],
    };
    Reverse {
        next_hop,
        place: settings::place_of(packet.interface()).unwrap_or(NOWHERE),
    }
}
