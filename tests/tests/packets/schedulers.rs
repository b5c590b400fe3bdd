//! Which server gets a new connection: pick for pick what IPVS does.
//!
//! The expected sequences are captures from Linux 6.1 and 6.12 with the real ip_vs, for
//! servers .11, .12, .13 added in this order. A pick of 0 is none.

use lb_common::{drops::Drop, schedule::Scheduler};
use lb_tests::{
    dataplane::{Bench, Served, Server, Service, Verdict},
    packets::{ACK, FIN, Packet, SYN},
};

use crate::support::{client, segment, vip};

/// A service, and how many clients have opened a connection.
struct Picks {
    bench: Bench,
    served: Served,
    clients: u16,
}

impl Picks {
    fn of(scheduler: Scheduler, weights: &[u32]) -> Self {
        let mut bench = Bench::new();
        // Another service first, so that the roster does not begin at line 0.
        bench.serve(
            Service::tcp(79)
                .scheduler(scheduler)
                .server(Server::direct(99)),
        );
        let mut service = Service::tcp(80).scheduler(scheduler);
        for (name, &weight) in (11..).zip(weights) {
            service = service.server(Server::translated(name).weight(weight));
        }
        let served = bench.serve(service);
        Self {
            bench,
            served,
            clients: 0,
        }
    }

    /// Opens that many connections.
    fn next(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.open()).collect()
    }

    fn open(&mut self) -> u8 {
        self.clients += 1;
        let syn = segment(&self.served, SYN).sent_from(client(self.clients));
        self.bench.pick(&syn)
    }

    fn reweigh(&mut self, name: u8, weight: u32) {
        let server = self.served.servers[usize::from(name - 11)];
        self.bench.reweigh(&mut self.served, server, weight);
    }
}

#[test]
fn rr_takes_turns_from_the_server_added_last() {
    let mut picks = Picks::of(Scheduler::Rr, &[1, 1, 1]);
    assert_eq!(picks.next(9), [13, 12, 11, 13, 12, 11, 13, 12, 11]);
    picks.reweigh(12, 0);
    assert_eq!(picks.next(4), [13, 11, 13, 11]);
    picks.reweigh(12, 1);
    assert_eq!(picks.next(6), [13, 12, 11, 13, 12, 11]);
}

#[test]
fn rr_passes_over_weight_0_and_knows_no_other() {
    assert_eq!(
        Picks::of(Scheduler::Rr, &[1, 0, 1]).next(6),
        [13, 11, 13, 11, 13, 11]
    );
    assert_eq!(
        Picks::of(Scheduler::Rr, &[9, 1, 5]).next(6),
        [13, 12, 11, 13, 12, 11]
    );
}

#[test]
fn wrr_starts_in_the_middle_of_its_sequence() {
    let mut picks = Picks::of(Scheduler::Wrr, &[3, 2, 1]);
    let expected = [
        13, 12, 11, 11, 12, 11, 13, 12, 11, 11, 12, 11, 13, 12, 11, 11, 12, 11,
    ];
    assert_eq!(picks.next(18), expected);
    let mut picks = Picks::of(Scheduler::Wrr, &[5, 1, 1]);
    let expected = [
        13, 12, 11, 11, 11, 11, 11, 13, 12, 11, 11, 11, 11, 11, 13, 12, 11, 11, 11, 11, 11,
    ];
    assert_eq!(picks.next(21), expected);
}

#[test]
fn wrr_counts_in_steps_of_the_common_divisor_and_leaves_out_weight_0() {
    // 2:3 in steps of 10; weight 0 takes no part.
    let picks = Picks::of(Scheduler::Wrr, &[20, 0, 30]).next(50);
    let count = |name| picks.iter().filter(|&&pick| pick == name).count();
    assert_eq!((count(11), count(12), count(13)), (20, 0, 30));
}

#[test]
fn lc_takes_turns_while_no_connection_ends() {
    for weights in [[1, 1, 1], [5, 1, 1]] {
        let mut picks = Picks::of(Scheduler::Lc, &weights);
        assert_eq!(picks.next(9), [13, 12, 11, 13, 12, 11, 13, 12, 11]);
    }
}

#[test]
fn wlc_respects_weights() {
    let mut picks = Picks::of(Scheduler::Wlc, &[1, 1, 1]);
    assert_eq!(picks.next(9), [13, 12, 11, 13, 12, 11, 13, 12, 11]);
    let mut picks = Picks::of(Scheduler::Wlc, &[3, 1, 1]);
    let expected = [13, 12, 11, 11, 11, 13, 12, 11, 11, 11, 13, 12, 11, 11, 11];
    assert_eq!(picks.next(15), expected);
}

#[test]
fn lc_and_wlc_pass_over_weight_0() {
    for scheduler in [Scheduler::Lc, Scheduler::Wlc] {
        for (weights, expected) in [([0, 1, 1], [13, 12, 13, 12]), ([1, 1, 0], [12, 11, 12, 11])] {
            assert_eq!(
                Picks::of(scheduler, &weights).next(4),
                expected,
                "{scheduler:?}"
            );
        }
    }
}

#[test]
fn lc_and_wlc_prefer_a_server_whose_connection_ended() {
    for scheduler in [Scheduler::Lc, Scheduler::Wlc] {
        let mut picks = Picks::of(scheduler, &[1, 1, 1]);
        assert_eq!(picks.next(3), [13, 12, 11]);
        // The second client closes: an inactive connection weighs less.
        for flags in [ACK, FIN | ACK] {
            let packet = segment(&picks.served, flags).sent_from(client(2));
            let _ = picks.bench.send(&packet);
        }
        // 258 to 257 against it after one more.
        assert_eq!(picks.next(4), [12, 13, 11, 12], "{scheduler:?}");
    }
}

#[test]
fn an_active_connection_weighs_257_inactive_ones() {
    // The capture: .11 has one active connection, .12 254 inactive ones; each new one
    // becomes inactive at once.
    let mut picks = Picks::of(Scheduler::Wlc, &[1, 1]);
    let servers = picks.served.servers.clone();
    picks.bench.add_load(servers[0], 1, 0);
    picks.bench.add_load(servers[1], 0, 254);
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(picks.open());
        for flags in [ACK, FIN | ACK] {
            let packet = segment(&picks.served, flags).sent_from(client(picks.clients));
            let _ = picks.bench.send(&packet);
        }
    }
    assert_eq!(seen, [12, 12, 12, 12, 11, 12]);
    assert_eq!(picks.bench.load(servers[0]), (1, 1));
    assert_eq!(picks.bench.load(servers[1]), (0, 259));
}

#[test]
fn for_lc_too_an_active_connection_weighs_257_inactive_ones() {
    for (inactive, expected) in [(256, 12), (257, 12), (258, 11)] {
        let mut picks = Picks::of(Scheduler::Lc, &[1, 1]);
        let servers = picks.served.servers.clone();
        picks.bench.add_load(servers[0], 1, 0);
        picks.bench.add_load(servers[1], 0, inactive);
        assert_eq!(picks.open(), expected, "{inactive} inactive ones");
    }
}

#[test]
fn wlc_compares_large_loads_without_overflow() {
    // 65535 times 257 times 10 million does not fit into 32 bits.
    for (weights, expected) in [([65_535, 65_534], 11), ([65_534, 65_535], 12)] {
        let mut picks = Picks::of(Scheduler::Wlc, &weights);
        for server in picks.served.servers.clone() {
            picks.bench.add_load(server, 10_000_000, 0);
        }
        assert_eq!(picks.open(), expected, "the one with the greater weight");
    }
}

#[test]
fn no_scheduler_finds_a_server_if_there_is_none() {
    for &scheduler in Scheduler::ALL {
        for weights in [&[][..], &[0], &[0, 0, 0]] {
            let mut picks = Picks::of(scheduler, weights);
            let outcome = picks.bench.send(&segment(&picks.served, SYN));
            assert_eq!(
                outcome.verdict,
                Verdict::Answer(Drop::NoServer),
                "{scheduler:?}"
            );
        }
    }
}

#[test]
fn rosters_of_any_length_are_walked_to_their_end() {
    for &scheduler in Scheduler::ALL {
        for servers in [1, 7, 8, 9, 16, 17, 25] {
            let mut picks = Picks::of(scheduler, &vec![1; servers]);
            let round: Vec<u8> = (11..11 + servers as u8).rev().collect();
            assert_eq!(picks.next(servers), round, "{scheduler:?} of {servers}");
            assert_eq!(
                picks.next(servers),
                round,
                "{scheduler:?} of {servers}, again"
            );
        }
    }
}

#[test]
fn the_last_of_a_long_roster_is_found_if_all_others_have_weight_0() {
    for &scheduler in Scheduler::ALL {
        let mut weights = vec![0; 25];
        weights[0] = 3;
        assert_eq!(
            Picks::of(scheduler, &weights).next(3),
            [11; 3],
            "{scheduler:?}"
        );
    }
}

#[test]
fn known_connections_take_no_turn() {
    let mut picks = Picks::of(Scheduler::Rr, &[1, 1, 1]);
    assert_eq!(picks.next(1), [13]);
    for flags in [SYN, ACK, SYN] {
        let packet = segment(&picks.served, flags).sent_from(client(1));
        assert_eq!(picks.bench.pick(&packet), 13);
    }
    assert_eq!(picks.next(2), [12, 11]);
}

#[test]
fn services_take_turns_independently() {
    let mut picks = Picks::of(Scheduler::Rr, &[1, 1, 1]);
    let other = picks.bench.serve(
        Service::udp(80)
            .server(Server::direct(21))
            .server(Server::direct(22)),
    );
    assert_eq!(picks.next(2), [13, 12]);
    assert_eq!(picks.bench.pick(&Packet::udp(client(1), other.address)), 22);
    assert_eq!(picks.next(1), [11]);
    assert_eq!(picks.bench.pick(&Packet::udp(client(2), other.address)), 21);
    assert_eq!(picks.next(1), [13]);
    assert_eq!(other.address, vip(80));
}
