//! The connection table, read a page at a time.

use std::net::SocketAddrV4;

use lb_common::{
    connection::{STATE_UDP, age},
    layout::Settings,
    tcp::TcpState,
};

use super::{
    clock,
    connections::{self, Connections},
    servers::{Servers, address},
};
use crate::{
    connection::State,
    desired::{Method, ServerId, ServiceId},
};

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Where it went: protocol, VIP and port.
    pub service: ServiceId,
    /// Where it comes from.
    pub client: SocketAddrV4,
    /// Who serves it.
    pub server: ServerId,
    /// How its packets reach the server.
    pub method: Method,
    /// Its state.
    pub state: State,
    /// When it ends if no packet comes, in seconds from now.
    pub expires: u32,
}

/// A place in the table, from which a page goes on. The first page begins at the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(u32);

/// A part of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Connections, in the order of their slots.
    pub rows: Vec<Connection>,
    /// How many were found, in the rows or not.
    pub found: u64,
    /// Where the next page begins; `None` at the end of the table.
    pub next: Option<Cursor>,
}

/// Slots that are looked at for one page. Nobody else is served meanwhile.
const SLOTS: u32 = 1 << 15;

/// Rows of one page at most: they also have to be written out.
const ROWS: usize = 1 << 11;

impl Page {
    /// The page from `cursor` on, of connections that `matches` lets through: at most `limit`
    /// rows. With a limit of 0, matching connections are counted only.
    pub(super) fn read(
        connections: &Connections,
        servers: &Servers,
        settings: Settings,
        Cursor(first): Cursor,
        limit: usize,
        matches: impl Fn(&Connection) -> bool,
    ) -> Self {
        let now = clock::now(&settings);
        let slots = connections.slots();
        let end = slots.min(first.saturating_add(SLOTS));
        let limit = limit.min(ROWS);
        let mut page = Self::default();
        for slot in first..end {
            let row = connections
                .live(slot, now, &settings)
                .and_then(|found| connection(&found, servers, now, &settings))
                .filter(&matches);
            let Some(row) = row else {
                continue;
            };
            page.found += 1;
            if limit == 0 {
                continue;
            }
            page.rows.push(row);
            if page.rows.len() == limit {
                page.next = Some(Cursor(slot + 1)).filter(|_| slot + 1 < slots);
                return page;
            }
        }
        page.next = Some(Cursor(end)).filter(|_| end < slots);
        page
    }
}

impl From<u32> for Cursor {
    fn from(slot: u32) -> Self {
        Self(slot)
    }
}

impl From<Cursor> for u32 {
    fn from(Cursor(slot): Cursor) -> Self {
        slot
    }
}

/// A connection of the table in words; `None` if its server's entry is not in use.
fn connection(
    found: &connections::Connection,
    servers: &Servers,
    now: u32,
    settings: &Settings,
) -> Option<Connection> {
    let identity = servers.identity(found.server)?;
    let (key, word) = (&found.key, found.word);
    let timeout = settings.timeouts[usize::from(word.state)];
    let left = timeout.saturating_sub(age(now, word.stamp));
    Some(Connection {
        service: ServiceId {
            protocol: identity.service.protocol,
            address: address(key.destination()),
            port: u16::from_be(key.destination_port()),
        },
        client: SocketAddrV4::new(address(key.source()), u16::from_be(key.source_port())),
        server: identity.server,
        method: identity.method,
        state: state(word.state)?,
        expires: clock::seconds(settings, left),
    })
}

/// The state of this number; `None` if it is not a connection's.
fn state(number: u8) -> Option<State> {
    const ALL: [(u8, State); 11] = [
        (TcpState::Established as u8, State::Established),
        (TcpState::SynSent as u8, State::SynSent),
        (TcpState::SynRecv as u8, State::SynRecv),
        (TcpState::FinWait as u8, State::FinWait),
        (TcpState::TimeWait as u8, State::TimeWait),
        (TcpState::Close as u8, State::Close),
        (TcpState::CloseWait as u8, State::CloseWait),
        (TcpState::LastAck as u8, State::LastAck),
        (TcpState::Listen as u8, State::Listen),
        (TcpState::SynAck as u8, State::SynAck),
        (STATE_UDP, State::Udp),
    ];
    ALL.into_iter()
        .find_map(|(known, state)| (known == number).then_some(state))
}

#[cfg(test)]
mod tests {
    use lb_common::connection::is_connection;

    use super::*;
    use crate::spelling::Named;

    #[test]
    fn states_have_ipvs_numbers() {
        let names = [1, 10, 11].map(|number| state(number).map(Named::name));
        assert_eq!(names, [Some("ESTABLISHED"), Some("SYNACK"), Some("UDP")]);
    }

    #[test]
    fn every_state_of_a_connection_has_a_name() {
        for number in 0..=u8::MAX {
            assert_eq!(state(number).is_some(), is_connection(number), "{number}");
        }
    }
}
