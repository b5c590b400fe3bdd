//! The slot protocol on one thread: random events, on compact and on wide entries alike.

#[path = "support/memory.rs"]
mod memory;

/// What the table's words are made of.
mod atomic {
    pub use std::sync::atomic::{AtomicU64, Ordering, fence};
}

use lb_common::{
    layout::{
        key::Key,
        wide::{WideEntry, WideKey},
        word::FLAG_TALLIED,
    },
    protocol::{TCP, UDP},
    server::Load,
    state::{self, tcp::TcpState},
    table::{
        end, live,
        open::{New, NewReverse, Opened, open},
        sweep::{FORGET, Order, Sweep, TALLY},
    },
};
use proptest::{collection::vec, prelude::*};

use self::memory::{Memory, Words};

/// Servers; those with an odd number are reached by NAT.
const SERVERS: u32 = 4;
const BUCKETS: u32 = 3;
const SLOTS: u32 = 8;

/// Makes the keys of the entries that are being tried.
trait Keys: Words {
    /// Of client `number` to its service. UDP for every third one.
    fn forward(number: u32, server: u32) -> Self;
    /// Of the server's replies to it.
    fn reverse(number: u32, server: u32) -> Self;
}

fn protocol(number: u32) -> u8 {
    if number.is_multiple_of(3) { UDP } else { TCP }
}

const VIP: u32 = 0x0a00_0001;
const RIP: u32 = 0x0a00_0100;
const PORT: u32 = 80;

impl Keys for Key {
    fn forward(number: u32, server: u32) -> Self {
        Self::new(number, VIP, number | PORT << 16, protocol(number)).of_server(server)
    }

    fn reverse(number: u32, server: u32) -> Self {
        let ports = PORT | number << 16;
        Self::new(RIP + server, number, ports, protocol(number)).of_server(server)
    }
}

impl Keys for WideEntry {
    fn forward(number: u32, server: u32) -> Self {
        wide(number, VIP, Key::forward(number, server).ports)
    }

    fn reverse(number: u32, server: u32) -> Self {
        let mut entry = wide(RIP + server, number, Key::reverse(number, server).ports);
        // A wildcard service's entry has to remember where the client sent its packet.
        entry.translation.source = [1, u64::from(VIP)];
        entry.translation.ports = u64::from(PORT);
        entry
    }
}

fn wide(source: u32, destination: u32, ports: u64) -> WideEntry {
    WideEntry {
        key: WideKey {
            source: [0x2001 << 48, u64::from(source)],
            destination: [0x2001 << 48, u64::from(destination)],
            ports,
        },
        ..WideEntry::default()
    }
}

/// What happens to a client.
#[derive(Clone, Debug)]
enum Event {
    /// It sends a packet with these TCP flags; if that opens a connection, to this server.
    Asks(u8, u32),
    /// Its server answers with these flags.
    Answers(u8),
    /// Time passes, in ticks.
    Rests(u32),
    /// The daemon sweeps.
    Sweeps(u32),
}

fn event() -> impl Strategy<Value = Event> {
    use state::tcp::{ACK, FIN, RST, SYN};
    let flags = || prop::sample::select(vec![SYN, SYN, ACK, ACK, FIN | ACK, RST, 0]);
    prop_oneof![
        6 => (flags(), 0..SERVERS).prop_map(|(flags, server)| Event::Asks(flags, server)),
        3 => flags().prop_map(Event::Answers),
        1 => (1..400u32).prop_map(Event::Rests),
        1 => prop::sample::select(vec![0, FORGET, TALLY]).prop_map(Event::Sweeps),
    ]
}

struct Director<C> {
    table: Memory<C, SLOTS>,
    now: u32,
}

impl<C: Keys> Director<C> {
    fn new() -> Self {
        Self {
            table: Memory::new(BUCKETS, SERVERS, C::forward(0, 0)),
            now: 1,
        }
    }

    fn happens(&mut self, number: u32, event: &Event) {
        match *event {
            Event::Rests(ticks) => self.now += ticks,
            Event::Asks(flags, server) => self.asks(number, flags, server),
            Event::Answers(flags) => self.answers(number, flags),
            Event::Sweeps(recount) => self.sweep(recount),
        }
    }

    fn asks(&self, number: u32, flags: u8, server: u32) {
        let table = &self.table;
        if let Some(entry) = table.find(&C::forward(number, 0)) {
            let anew = flags & state::tcp::SYN != 0 && live::is_reusable(entry.word.state());
            if !anew && live::is_alive(table, &entry, self.now) {
                table.stamp(entry.index, self.now);
                live::step(table, &entry, false, flags);
                return;
            }
            assert!(end::end(table, &entry));
            end::free(table, entry.index);
        }
        let udp = protocol(number) == UDP;
        let new = New {
            constant: C::forward(number, server),
            state: if udp {
                state::UDP
            } else {
                TcpState::SynRecv as u8
            },
            now: self.now,
        };
        let reverse = NewReverse {
            constant: C::reverse(number, server),
            route: u64::from(number),
            epoch: 3,
            settled: udp,
        };
        let opened = open(table, &new, (server % 2 == 1).then_some(&reverse));
        let found = table.find(&C::forward(number, 0));
        match opened {
            Opened::Ours => {
                let found = found.expect("a connection");
                assert_eq!(found.constant.row().as_ref(), new.constant.row().as_ref());
                let answers = live::reverse_of(table, &found);
                assert_eq!(answers.is_some(), server % 2 == 1);
                if let Some(answers) = answers {
                    let row = reverse.constant.row();
                    assert_eq!(answers.constant.row().as_ref(), row.as_ref());
                }
            }
            Opened::Full => assert!(found.is_none()),
            Opened::SameReplies => panic!("of whom?"),
            Opened::Theirs(server) => panic!("somebody else opened it, to {server}"),
        }
    }

    fn answers(&self, number: u32, flags: u8) {
        for server in (0..SERVERS).filter(|server| server % 2 == 1) {
            let Some(reverse) = self.table.find(&C::reverse(number, server)) else {
                continue;
            };
            let entry = self
                .table
                .find(&C::forward(number, 0))
                .expect("its connection");
            assert_eq!(entry.constant.server(), server);
            if live::is_settled(entry.word.state(), flags) && protocol(number) == TCP {
                live::settle(&self.table, &reverse, &entry);
            } else {
                live::step(&self.table, &entry, true, flags);
            }
        }
    }

    /// The daemon's sweep, which tallies the connections of server 1.
    fn sweep(&self, recount: u32) {
        let table = &self.table;
        if recount == FORGET {
            table.recount(None);
        }
        let order = |recount| Order {
            first: 0,
            slots: BUCKETS * SLOTS,
            recount,
        };
        if recount == TALLY {
            Sweep::new(table, order(FORGET), self.now).run();
            table.forget_tally();
            table.recount(Some(1));
        }
        Sweep::new(table, order(recount), self.now).run();
        for entry in table.entries() {
            let connection = state::is_connection(entry.word.state());
            assert!(!connection || live::is_alive(table, &entry, self.now));
            let tallied = entry.word.flags() & FLAG_TALLIED != 0;
            assert!(recount != FORGET || !connection || !tallied);
        }
        if recount == TALLY {
            let counted = Load::from_bits(table.load(1));
            assert_eq!(Load::from_bits(table.tallied()), counted);
        }
    }
}

fn try_all<C: Keys>(events: &[(u32, Event)]) {
    let mut director = Director::<C>::new();
    for (number, event) in events {
        director.happens(*number, event);
        director.table.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_stays_consistent_through_any_sequence_of_events(events in vec((1..20u32, event()), 1..150)) {
        try_all::<Key>(&events);
    }

    #[test]
    fn a_table_of_wide_entries_does_likewise(events in vec((1..20u32, event()), 1..150)) {
        try_all::<WideEntry>(&events);
    }
}
