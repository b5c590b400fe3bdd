//! The connection table as it stands in the map.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddrV4},
};

use lb_common::{
    layout::{
        key::Key,
        slot::{BUCKET_SLOTS, Forward, Reverse, Slot},
        word::{FLAG_NAT, Word},
    },
    server::Load,
    state::{FREE, is_active, is_connection, is_live, is_reverse, time::age},
};

use super::{Bench, get, services::wire, set};
use crate::packets::Packet;

/// An entry of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its slot in the table.
    pub slot: u32,
    /// Who opened it.
    pub client: SocketAddrV4,
    /// What the client opened it to.
    pub service: SocketAddrV4,
    /// IP protocol number.
    pub protocol: u8,
    /// The state byte.
    pub state: u8,
    /// When the last packet passed, in either direction, in ticks.
    pub stamp: u32,
    /// Index of the server.
    pub server: u32,
    /// The slot of its reverse entry, if it is a NAT connection.
    pub reverse: Option<u32>,
}

/// The reverse entry of a NAT connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReverseEntry {
    /// Its slot in the table.
    pub slot: u32,
    /// The server.
    pub server: SocketAddrV4,
    /// The client that the server's packets go to.
    pub client: SocketAddrV4,
    /// IP protocol number.
    pub protocol: u8,
    /// Index of the server in the map `servers`.
    pub index: u32,
    /// MAC address of the next hop towards the client.
    pub next_hop: [u8; 6],
    /// Index of the interface to leave by.
    pub place: u16,
    /// When the last packet passed that did not touch the connection's own entry, in ticks.
    pub stamp: u32,
}

/// All live entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// By slot.
    pub connections: Vec<Connection>,
    /// By slot.
    pub reverses: Vec<ReverseEntry>,
}

impl Table {
    /// The connection from a client to a service, of whichever protocol.
    #[must_use]
    pub fn find(&self, client: SocketAddrV4, service: SocketAddrV4) -> Option<&Connection> {
        self.connections
            .iter()
            .find(|connection| connection.client == client && connection.service == service)
    }

    /// The connection that a client's packet belongs to.
    #[must_use]
    pub fn of(&self, packet: &Packet) -> Option<&Connection> {
        self.connections.iter().find(|connection| {
            connection.client == packet.source()
                && connection.service == packet.destination()
                && connection.protocol == packet.ip.protocol.0
        })
    }
}

impl Bench {
    /// Reads the whole table, and checks everything that must hold whenever no packet is
    /// under way:
    /// no slot is claimed, no two entries have the same key, each stands in a bucket of its
    /// key, each reverse entry leads to the NAT connection that it answers, and each
    /// server's load is the number of its connections.
    #[must_use]
    #[track_caller]
    pub fn table(&self) -> Table {
        let mut table = Table::default();
        let mut keys = BTreeSet::new();
        let mut loads = BTreeMap::<u32, (u32, u32)>::new();
        for bucket in 0..self.maps().size.buckets {
            for (place, slot) in (0..).zip(get(&self.maps().connections, bucket).slots) {
                let word = Word::from_bits(slot.word);
                let index = bucket * BUCKET_SLOTS + place;
                if word.state() == FREE {
                    continue;
                }
                assert!(is_live(word.state()), "slot {index} was never given back");
                let key = slot.key.of_server(0);
                let unique = keys.insert((key.addresses, key.ports));
                assert!(
                    unique,
                    "slot {index} has the key of another: {:?}",
                    slot.key
                );
                let places = self.hash.places(&key);
                assert!(
                    bucket == places.first() || bucket == places.second(),
                    "slot {index} is where nobody will look for it"
                );
                if is_reverse(word.state()) {
                    table.reverses.push(reverse(index, &slot, word));
                } else {
                    let connection = forward(index, &slot, word);
                    let load = loads.entry(connection.server).or_default();
                    if is_active(word.state()) {
                        load.0 += 1;
                    } else {
                        load.1 += 1;
                    }
                    table.connections.push(connection);
                }
            }
        }
        for server in 0..self.maps().size.servers {
            let counted = loads.get(&server).copied().unwrap_or_default();
            assert_eq!(
                self.load(server),
                counted,
                "active and inactive of server {server}"
            );
        }
        self.check_reverses(&table);
        for connection in &mut table.connections {
            for entry in &table.reverses {
                if connection.reverse == Some(entry.slot) && connection.server == entry.index {
                    let younger = age(entry.stamp, connection.stamp) > 0;
                    connection.stamp = if younger {
                        entry.stamp
                    } else {
                        connection.stamp
                    };
                }
            }
        }
        table
    }

    #[track_caller]
    fn check_reverses(&self, table: &Table) {
        for entry in &table.reverses {
            let answers = |connection: &&Connection| {
                let server = get(&self.maps().servers, connection.server);
                connection.reverse == Some(entry.slot)
                    && connection.server == entry.index
                    && connection.client == entry.client
                    && connection.protocol == entry.protocol
                    && server.address == wire(*entry.server.ip())
                    && server.port == entry.server.port().to_be()
            };
            let connection = table.connections.iter().find(answers);
            assert!(connection.is_some(), "{entry:?} was left behind");
        }
    }

    /// Lets a connection look as if its last packet had passed that many seconds ago, and
    /// one tick more.
    pub fn age(&mut self, connection: &Connection, seconds: u32) {
        let stamp = self.now().wrapping_sub(self.ticks(seconds) + 1);
        for slot in [Some(connection.slot), connection.reverse]
            .into_iter()
            .flatten()
        {
            self.stamp(slot, stamp);
        }
    }

    /// Lets an entry look as if its last packet had passed then, in ticks.
    pub fn stamp(&mut self, slot: u32, stamp: u32) {
        self.edit_slot(slot, |slot| {
            slot.word = Word::from_bits(slot.word).with_stamp(stamp).bits();
        });
    }

    /// Puts a connection into another state, where it counts as the state says.
    pub fn put(&mut self, connection: &Connection, state: u8) {
        self.edit_slot(connection.slot, |slot| {
            slot.word = Word::from_bits(slot.word).with_state(state).bits();
        });
        let change = Load::transition(is_active(connection.state), is_active(state));
        let load = self.load_bits(connection.server).wrapping_add(change);
        self.maps().loads.write(connection.server, load);
    }

    /// Changes a slot, whatever the program would do.
    pub fn edit_slot(&mut self, slot: u32, change: impl FnOnce(&mut Slot)) {
        let mut bucket = get(&self.maps().connections, slot / BUCKET_SLOTS);
        change(&mut bucket.slots[(slot % BUCKET_SLOTS) as usize]);
        set(
            &mut self.maps_mut().connections,
            slot / BUCKET_SLOTS,
            bucket,
        );
    }

    /// Forgets all connections, and everything that was counted for servers.
    pub fn forget(&mut self) {
        self.maps_mut().forget().expect("maps to write to");
    }

    /// The last byte of a server's address: its name.
    #[must_use]
    pub fn name(&self, server: u32) -> u8 {
        get(&self.maps().servers, server).address.to_ne_bytes()[3]
    }

    /// Opens a connection, or hands on a packet of one; gives the name of the server that
    /// has the connection now, or 0 if there is none.
    pub fn pick(&mut self, packet: &Packet) -> u8 {
        let _ = self.send(packet);
        let key = Key::new(
            wire(packet.ip.source.into()),
            wire(packet.ip.destination.into()),
            u32::from(packet.source().port().to_be())
                | u32::from(packet.destination().port().to_be()) << 16,
            packet.ip.protocol.0,
        );
        match self.lookup(&key) {
            Some((_, slot)) => self.name(slot.key.server()),
            None => 0,
        }
    }

    /// The live entry of a key, found the way the program finds it.
    #[must_use]
    pub fn lookup(&self, key: &Key) -> Option<(u32, Slot)> {
        let places = self.hash.places(key);
        [places.first(), places.second()]
            .into_iter()
            .find_map(|bucket| {
                let slots = get(&self.maps().connections, bucket).slots;
                (0..).zip(slots).find_map(|(place, slot)| {
                    let live = is_live(Word::from_bits(slot.word).state());
                    (live && slot.key.same(key)).then_some((bucket * BUCKET_SLOTS + place, slot))
                })
            })
    }
}

fn forward(index: u32, slot: &Slot, word: Word) -> Connection {
    assert!(
        is_connection(word.state()),
        "slot {index} has the state {}",
        word.state()
    );
    let Forward { reverse, .. } = Forward::from_bits(slot.route);
    Connection {
        slot: index,
        client: endpoint(slot.key.source(), slot.key.source_port()),
        service: endpoint(slot.key.destination(), slot.key.destination_port()),
        protocol: slot.key.protocol(),
        state: word.state(),
        stamp: word.stamp(),
        server: slot.key.server(),
        reverse: (word.flags() & FLAG_NAT != 0).then_some(reverse),
    }
}

fn reverse(index: u32, slot: &Slot, word: Word) -> ReverseEntry {
    let Reverse { next_hop, place } = Reverse::from_bits(slot.route);
    ReverseEntry {
        slot: index,
        server: endpoint(slot.key.source(), slot.key.source_port()),
        client: endpoint(slot.key.destination(), slot.key.destination_port()),
        protocol: slot.key.protocol(),
        index: slot.key.server(),
        next_hop,
        place,
        stamp: word.stamp(),
    }
}

fn endpoint(address: u32, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(address.to_ne_bytes()), u16::from_be(port))
}
