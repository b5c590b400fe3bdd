//! What may happen at the same time.

use lb_common::{
    server::Load,
    state::tcp::{ACK, FIN, SYN, TcpState},
    table::{
        end, live,
        memory::{Constant, Table},
        open::{New, NewReverse, Opened, open},
        sweep::{Order, Sweep, TALLY},
    },
};

use crate::{REVERSE, Small, Tiny, in_all_orders};

const NOW: u32 = 1000;

fn new(key: u32, server: u32) -> New<Tiny> {
    New {
        constant: Tiny::new(key, server),
        state: TcpState::SynRecv as u8,
        now: NOW,
    }
}

/// Opens a connection as DR does.
fn direct<const SLOTS: u32>(table: &Small<SLOTS>, key: u32, server: u32) -> Opened {
    open(table, &new(key, server), None)
}

/// Opens a connection as NAT does; client and server decide the reverse entry's key.
fn translated<const SLOTS: u32>(table: &Small<SLOTS>, key: u32, server: u32) -> Opened {
    let client = key & 0xFF;
    let reverse = NewReverse {
        constant: Tiny::new(reverse_key(client, server), server),
        route: 7,
        epoch: 1,
        settled: false,
    };
    open(table, &new(key, server), Some(&reverse))
}

/// The server that a packet goes to; `None` if the table is full.
fn server(opened: Opened, own: u32) -> Option<u32> {
    match opened {
        Opened::Ours => Some(own),
        Opened::Theirs(server) => Some(server),
        Opened::Full | Opened::SameReplies => None,
    }
}

/// A connection's own next packet: it is a packet of the connection if there is one that lives,
/// and opens one otherwise.
fn packet<const SLOTS: u32>(
    table: &Small<SLOTS>,
    key: u32,
    own: u32,
    flags: u8,
    open: fn(&Small<SLOTS>, u32, u32) -> Opened,
) -> Option<u32> {
    if let Some(entry) = table.find(&Tiny::new(key, 0)) {
        if live::is_alive(table, &entry, NOW) {
            table.stamp(entry.index, NOW);
            live::step(table, &entry, false, flags);
            return Some(entry.constant.server());
        }
        if end::end(table, &entry) {
            end::free(table, entry.index);
        }
    }
    server(open(table, key, own), own)
}

/// The daemon: ends what has expired. No packet.
fn sweep<const SLOTS: u32>(table: &Small<SLOTS>) -> Option<u32> {
    let order = Order {
        first: 0,
        slots: SLOTS,
        recount: 0,
    };
    Sweep::new(table, order, NOW).run();
    None
}

/// A connection in this state, whose last packet passed at `stamp`.
fn with<const SLOTS: u32>(table: &Small<SLOTS>, entry: u32, state: TcpState, stamp: u32) {
    let entry = table.find(&Tiny::new(entry, 0)).expect("an entry");
    for flags in match state {
        TcpState::SynRecv => &[][..],
        TcpState::Established => &[ACK][..],
        TcpState::FinWait | TcpState::CloseWait => &[ACK, FIN],
        other => panic!("how to get to {other:?}?"),
    } {
        live::step(table, &entry, false, *flags);
    }
    table.stamp(entry.index, stamp);
    if let Some(reverse) = live::reverse_of(table, &entry) {
        table.stamp(reverse.index, stamp);
    }
}

/// A server's packet, as the packet path handles one that its reverse entry is not enough for.
fn reply<const SLOTS: u32>(table: &Small<SLOTS>, key: u32, reverse: u32, flags: u8) {
    let Some(reverse) = table.find(&Tiny::new(reverse, 0)) else {
        return;
    };
    let Some(entry) = table.find(&Tiny::new(key, 0)) else {
        return;
    };
    table.stamp(reverse.index, NOW);
    if entry.word.state() == TcpState::Established as u8 && flags == ACK {
        live::settle(table, &reverse, &entry);
    } else {
        live::step(table, &entry, true, flags);
    }
}

/// The client's packet that establishes a connection.
fn acknowledge<const SLOTS: u32>(table: &Small<SLOTS>, key: u32) {
    if let Some(entry) = table.find(&Tiny::new(key, 0)) {
        live::step(table, &entry, false, ACK);
    }
}

/// The key of the reverse entry that [`translated`] makes.
const fn reverse_key(client: u32, server: u32) -> u32 {
    REVERSE as u32 | client | (server & 1) << 8
}

#[test]
fn two_packets_that_open_one_connection_get_one_server() {
    in_all_orders(
        3,
        || Small::<2>::new(1, 3, Tiny::default()),
        [
            |table| server(direct(table, 5, 1), 1),
            |table| server(direct(table, 5, 2), 2),
        ],
        |table, [one, other]| {
            let connections = table.check();
            assert_eq!(connections.len(), 1);
            assert_eq!(Some(connections[0].constant.server()), one);
            assert_eq!(one, other);
        },
    );
}

#[test]
fn so_do_three() {
    in_all_orders(
        1,
        || Small::<3>::new(1, 4, Tiny::default()),
        [
            |table| server(direct(table, 5, 1), 1),
            |table| server(direct(table, 5, 2), 2),
            |table| server(direct(table, 5, 3), 3),
        ],
        |table, [one, other, third]| {
            let connections = table.check();
            assert_eq!(connections.len(), 1);
            assert_eq!(Some(connections[0].constant.server()), one);
            assert_eq!((one, one), (other, third));
        },
    );
}

#[test]
fn a_connection_that_has_expired_is_opened_anew_once_while_the_daemon_sweeps() {
    in_all_orders(
        1,
        || {
            let table = Small::<3>::new(1, 3, Tiny::default());
            direct(&table, 5, 0);
            with(&table, 5, TcpState::Established, 1);
            table
        },
        [
            |table| packet(table, 5, 1, SYN, direct),
            |table| packet(table, 5, 2, SYN, direct),
            sweep,
        ],
        |table, [one, other, _]| {
            let connections = table.check();
            assert_eq!(connections.len(), 1);
            assert_eq!(Some(connections[0].constant.server()), one);
            assert_eq!(one, other);
        },
    );
}

#[test]
fn a_step_counts_for_the_connection_that_was_found() {
    // The table is full of half-open connections: one CPU steps what the other one gives up.
    in_all_orders(
        3,
        || {
            let table = Small::<1>::new(1, 2, Tiny::default());
            direct(&table, 5, 0);
            table
        },
        [
            |table| {
                let entry = table.find(&Tiny::new(5, 0));
                if let Some(entry) = entry {
                    table.stamp(entry.index, NOW);
                    live::step(table, &entry, false, ACK);
                    live::step(table, &entry, false, FIN);
                }
            },
            |table| {
                let _ = direct(table, 6, 1);
                if let Some(entry) = table.find(&Tiny::new(6, 1)) {
                    live::step(table, &entry, false, FIN);
                }
            },
        ],
        |table, _| {
            assert_eq!(table.check().len(), 1);
        },
    );
}

#[test]
fn neither_slot_nor_count_is_lost_where_steps_stamps_sweeps_and_openings_meet() {
    in_all_orders(
        2,
        || {
            let table = Small::<2>::new(1, 3, Tiny::default());
            direct(&table, 5, 0);
            with(&table, 5, TcpState::FinWait, 1);
            direct(&table, 6, 0);
            table
        },
        [
            |table| {
                if let Some(entry) = table.find(&Tiny::new(6, 0)) {
                    table.stamp(entry.index, NOW + 1);
                    live::step(table, &entry, false, ACK);
                }
            },
            |table| {
                let _ = packet(table, 5, 2, SYN, direct);
            },
            |table| {
                let _ = sweep(table);
            },
        ],
        |table, _| {
            // The sweep may own a slot at the moment when 5 needs one: then 6 gives way, or 5
            // finds the table full.
            assert!((1..=2).contains(&table.check().len()));
        },
    );
}

#[test]
fn two_cpus_that_want_one_victim_find_one_each() {
    in_all_orders(
        2,
        || {
            let table = Small::<3>::new(1, 2, Tiny::default());
            for (key, stamp) in [(5, NOW - 20), (6, NOW - 10)] {
                direct(&table, key, 0);
                with(&table, key, TcpState::SynRecv, stamp);
            }
            direct(&table, 7, 0);
            with(&table, 7, TcpState::Established, NOW);
            table
        },
        [|table| direct(table, 8, 1), |table| direct(table, 9, 1)],
        |table, opened| {
            assert_eq!(opened, [Opened::Ours; 2]);
            let mut keys: Vec<u32> = table.check().iter().map(|c| c.constant.0 as u32).collect();
            keys.sort_unstable();
            assert_eq!(keys, [7, 8, 9]);
        },
    );
}

#[test]
fn two_packets_that_open_one_nat_connection_leave_one_reverse_entry() {
    // With different servers and with the same one.
    for other in [2, 1] {
        let open = match other {
            1 => |table: &Small<4>| server(translated(table, 5, 1), 1),
            _ => |table: &Small<4>| server(translated(table, 5, 2), 2),
        };
        in_all_orders(
            1,
            || Small::<4>::new(1, 3, Tiny::default()),
            [|table| server(translated(table, 5, 1), 1), open],
            |table, [one, other]| {
                let connections = table.check();
                assert_eq!(connections.len(), 1);
                assert_eq!((one, one), (other, Some(connections[0].constant.server())));
                let reverse = live::reverse_of(table, &connections[0]);
                assert!(reverse.is_some(), "without a reverse entry");
                assert_eq!(table.entries().len(), 2);
            },
        );
    }
}

#[test]
fn the_end_of_a_nat_connection_leaves_the_next_ones_reverse_entry_alone() {
    // The daemon ends what a client opens anew at the same moment, to the same server.
    in_all_orders(
        3,
        || {
            let table = Small::<4>::new(1, 2, Tiny::default());
            translated(&table, 5, 1);
            with(&table, 5, TcpState::Established, 1);
            table
        },
        [|table| packet(table, 5, 1, SYN, translated), sweep],
        |table, _| {
            let connections = table.check();
            assert_eq!(connections.len(), 1);
            let reverse = live::reverse_of(table, &connections[0]);
            assert!(reverse.is_some(), "without a reverse entry");
        },
    );
}

#[test]
fn connections_of_two_services_to_one_server_share_no_reverse_entry() {
    // Client 5 uses one port for two services, whose servers (1 and 3) are the same machine.
    in_all_orders(
        1,
        || Small::<4>::new(1, 4, Tiny::default()),
        [
            |table| translated(table, 0x1005, 1),
            |table| translated(table, 0x2005, 3),
        ],
        |table, opened| {
            assert_eq!(opened, [Opened::Ours; 2]);
            let connections = table.check();
            assert_eq!(connections.len(), 2);
            let answered = connections
                .iter()
                .filter(|connection| live::reverse_of(table, connection).is_some());
            assert_eq!(answered.count(), 1);
        },
    );
}

#[test]
fn a_connection_that_is_established_keeps_its_reverse_entry() {
    // Client 5 has a connection through one service, and opens one through another, whose server
    // is the same machine, while the first one gets a reply.
    in_all_orders(
        2,
        || {
            let table = Small::<4>::new(1, 4, Tiny::default());
            assert_eq!(translated(&table, 0x1005, 1), Opened::Ours);
            reply(&table, 0x1005, reverse_key(5, 1), SYN | ACK);
            acknowledge(&table, 0x1005);
            table
        },
        [
            |table| translated(table, 0x2005, 3),
            |table| {
                reply(table, 0x1005, reverse_key(5, 1), ACK);
                Opened::Ours
            },
        ],
        |table, opened| {
            assert_eq!(opened, [Opened::SameReplies, Opened::Ours]);
            let connections = table.check();
            assert_eq!(connections.len(), 1);
            let reverse = live::reverse_of(table, &connections[0]);
            assert!(reverse.is_some(), "without a reverse entry");
        },
    );
}

#[test]
fn one_of_both_gets_the_replies_while_the_older_one_becomes_established() {
    // The first one may lose its reverse entry while it is half open; both never lose it.
    in_all_orders(
        2,
        || {
            let table = Small::<4>::new(1, 4, Tiny::default());
            assert_eq!(translated(&table, 0x1005, 1), Opened::Ours);
            reply(&table, 0x1005, reverse_key(5, 1), SYN | ACK);
            table
        },
        [
            |table| translated(table, 0x2005, 3),
            |table| {
                acknowledge(table, 0x1005);
                Opened::Ours
            },
        ],
        |table, _| {
            // Exactly one gets the replies, and nothing is left behind.
            let connections = table.check();
            let answered = connections
                .iter()
                .filter(|connection| live::reverse_of(table, connection).is_some());
            assert_eq!(answered.count(), 1);
        },
    );
}

#[test]
fn replies_are_told_to_a_connection_that_is_no_longer_established() {
    in_all_orders(
        3,
        || {
            let table = Small::<2>::new(1, 2, Tiny::default());
            translated(&table, 5, 1);
            with(&table, 5, TcpState::Established, NOW);
            table
        },
        [
            |table| reply(table, 5, reverse_key(5, 1), ACK),
            |table| {
                let _ = packet(table, 5, 1, FIN, translated);
            },
        ],
        |table, _| {
            // `check` looks at the flag.
            assert_eq!(table.check().len(), 1);
        },
    );
}

#[test]
fn a_reverse_entry_goes_with_its_connection_whatever_replies_do() {
    in_all_orders(
        3,
        || {
            let table = Small::<2>::new(1, 2, Tiny::default());
            translated(&table, 5, 1);
            with(&table, 5, TcpState::SynRecv, NOW);
            table
        },
        [
            // Stamps and steps from the server, while another client's connection wants a slot.
            |table| {
                reply(table, 5, reverse_key(5, 1), SYN | ACK);
                reply(table, 5, reverse_key(5, 1), FIN);
            },
            |table| {
                let _ = direct(table, 6, 0);
            },
        ],
        |table, _| {
            table.check();
        },
    );
}

#[test]
fn a_new_way_to_the_client_never_stays_in_another_entry() {
    const OLD: u64 = 7;
    in_all_orders(
        3,
        || {
            let table = Small::<2>::new(1, 2, Tiny::default());
            translated(&table, 5, 1);
            with(&table, 5, TcpState::SynRecv, 1);
            table
        },
        [
            |table| {
                let key = Tiny::new(reverse_key(5, 1), 0);
                if let Some(reverse) = table.find(&key) {
                    live::reroute(table, &reverse, OLD, 8, 2);
                }
            },
            // Another client's, with the same way back.
            |table| {
                sweep(table);
                let _ = translated(table, 6, 1);
            },
        ],
        |table, _| {
            table.check();
            for entry in table.entries() {
                if entry.constant.0 as u32 == reverse_key(6, 1) {
                    assert_eq!((table.route(entry.slot), entry.word.tail()), (OLD, 1));
                }
            }
        },
    );
}

#[test]
fn a_server_is_counted_anew_while_its_connections_come_change_and_go() {
    in_all_orders(
        1,
        || {
            let table = Small::<3>::new(1, 2, Tiny::default());
            direct(&table, 5, 1);
            direct(&table, 6, 1);
            with(&table, 6, TcpState::Established, 1);
            table.recount(Some(1));
            table
        },
        [
            |table| {
                let _ = packet(table, 5, 1, ACK, direct);
                let _ = packet(table, 5, 1, FIN, direct);
            },
            |table| {
                sweep(table);
                let _ = direct(table, 7, 1);
            },
            |table| {
                let order = Order {
                    first: 0,
                    slots: 3,
                    recount: TALLY,
                };
                Sweep::new(table, order, NOW).run();
            },
        ],
        |table, _| {
            table.check();
            assert_eq!(
                Load::from_bits(table.tallied()),
                Load::from_bits(table.load(1))
            );
        },
    );
}
