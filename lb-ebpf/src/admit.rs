//! New connections, and those that begin anew: which server a packet gets that has none.
//!
//! Subprograms, each of which looks at the packet again, for the reason that `unknown` gives.

use lb_common::{
    connection::{
        FLAG_NAT, FLAG_SETTLED, Forward, Key, NO_SLOT, Reverse, STATE_REVERSE, STATE_UDP, TCP,
        Word, is_active,
    },
    drops::Drop,
    server::{Load, Method, SERVER_AVAILABLE, SERVER_LOCAL, Server},
    tcp::{self, TcpState},
};

use crate::{
    account, client,
    frame::{Incoming, Packet, Parsed, link::Addresses, parse},
    machine::{clock, constants},
    maps,
    open::{schedule, service},
    table, us,
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
    if !us::addressed_by(parsed.interface, parsed.ethernet) || !opens(&parsed) {
        return Admission::PASS;
    }
    let index = match schedule(service).read() {
        Ok(index) => index,
        Err(reason) => return Admission::drop(reason),
    };
    let Some(server) = maps::SERVERS.get(index) else {
        return Admission::drop(Drop::Inconsistent);
    };
    match open(packet, &parsed, index, server) {
        Ok(()) => Admission::server(index),
        Err(reason) => Admission::drop(reason),
    }
}

/// Likewise, of a packet whose connection seems to be over. If it is, that is as if there were
/// none (IPVS with `conn_reuse_mode=1`): [`Admitted::Anew`]. One that only the server has used
/// of late lives, though.
#[inline(never)]
pub fn again(packet: Packet) -> Admission {
    let packet = packet.in_subprogram();
    let Incoming::Packet(parsed) = parse(packet) else {
        return Admission::PASS;
    };
    if !us::addressed_by(parsed.interface, parsed.ethernet) {
        return Admission::PASS;
    }
    if let Some(entry) = table::find(&parsed.key) {
        let now = clock::now();
        let index = Forward::from_bits(entry.route()).server;
        let anew = parsed.flags & tcp::SYN != 0 && reusable(&entry.word);
        if !anew && table::alive(&entry, now) {
            match maps::SERVERS.get(index) {
                Some(server) if server.flags & SERVER_AVAILABLE != 0 => {}
                Some(_) => return Admission::drop(Drop::ServerGone),
                None => return Admission::drop(Drop::Inconsistent),
            }
            table::stamp(&entry, now);
            if !table::is_settled(entry.word.state, parsed.flags) {
                table::step(entry.slot, false, parsed.flags, index);
            }
            return Admission::server(index);
        }
        if table::end(&entry) {
            table::release(entry.index);
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
    /// As if it were of no connection.
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

    /// What it says.
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

/// Stores a new connection to this server.
#[inline(always)]
fn open(packet: Packet, parsed: &Parsed, index: u32, server: &Server) -> Result<(), Drop> {
    let now = clock::now();
    let places = constants::hash().places(&parsed.key);
    let slot = table::claim(&places, now);
    if slot == NO_SLOT {
        return Err(Drop::TableFull);
    }
    let tcp = parsed.key.protocol() == TCP;
    let nat = server.method == Method::Nat as u8 && server.flags & SERVER_LOCAL == 0;
    let reverse = if nat {
        let key = Key::new(
            server.address,
            parsed.key.source(),
            u32::from(server.port) | u32::from(parsed.key.source_port()) << 16,
            parsed.key.protocol(),
        );
        let route = client::route(packet, parsed.key, came_from(packet).bits());
        let value = Word {
            stamp: now,
            state: STATE_REVERSE,
            flags: if tcp { 0 } else { FLAG_SETTLED },
            epoch: us::route_epoch(),
        };
        let reverse = table::publish_reverse(&key, index, route, value);
        if reverse == NO_SLOT {
            table::release(slot);
            return Err(Drop::TableFull);
        }
        reverse
    } else {
        NO_SLOT
    };
    let state = if tcp {
        TcpState::SynRecv as u8
    } else {
        STATE_UDP
    };
    table::load(index, Load::one(is_active(state)));
    table::publish(
        slot,
        &parsed.key,
        Forward {
            server: index,
            reverse,
        }
        .bits(),
        Word {
            stamp: now,
            state,
            flags: if nat { FLAG_NAT } else { 0 },
            epoch: 0,
        },
    );
    account::opened(index);
    Ok(())
}

/// What may open a connection: in TCP, a SYN without RST (it is never a data connection of
/// FTP, which comes from port 20); in UDP, everything.
#[inline(always)]
fn opens(parsed: &Parsed) -> bool {
    const FTP_DATA: u16 = 20u16.to_be();
    parsed.key.protocol() != TCP
        || (parsed.flags & (tcp::SYN | tcp::RST) == tcp::SYN
            && parsed.key.source_port() != FTP_DATA)
}

/// States in which a SYN opens the connection anew.
#[inline(always)]
pub fn reusable(word: &Word) -> bool {
    word.state == TcpState::TimeWait as u8 || word.state == TcpState::Close as u8
}

/// Back to where a packet came from: the way to a client that the kernel knows no way to.
#[inline(always)]
fn came_from(packet: Packet) -> Reverse {
    let next_hop = match packet.at(0) {
        Some(ethernet) => Addresses::of(ethernet).source(),
        None => [0; 6],
    };
    Reverse {
        next_hop,
        port: packet.interface() as u16,
    }
}
