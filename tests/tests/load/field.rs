//! A director under load, and the checks that must pass whatever is done to it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Error, Result, ensure};
use aya::maps::{Map, MapData};
use lb_common::{
    layout::{slot::Bucket, word::Word},
    server::{Load as Count, MOST_SERVERS},
    state::{is_active, is_connection},
};
use lb_dataplane::raw::Mapped;
use lb_lab::{lab::Lab, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::load::{Configuration, service, targets, topology},
    load::{Load, Volume, losses},
    tables::{Counters, Stats},
};

/// One load at a time: two are too much for a machine.
static TURN: Mutex<()> = Mutex::new(());

pub struct Field {
    pub load: Load,
    pub director: Director,
    pub lab: Lab,
    /// The counters of the last check.
    pub stats: Stats,
    _turn: MutexGuard<'static, ()>,
}

impl Field {
    /// More than this many connections at the same time, over DR, NAT and TUN.
    pub const CONNECTIONS: u64 = 2000;

    pub fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let lab = Lab::realise(&topology()).unwrap();
        for (_, host) in lab.hosts() {
            losses::send_again_only_what_is_lost(host).unwrap();
        }
        let director = Director::start(&lab, &Configuration::default().file()).unwrap();
        let volume = Volume {
            talkers: 660,
            transfers: 10,
            visitors: 4,
            askers: 5,
        };
        let client = lab.host("client").unwrap();
        let load = Load::start(client, &targets(), volume).unwrap();
        Self {
            stats: director.stats().unwrap(),
            load,
            director,
            lab,
            _turn: turn,
        }
    }

    /// Fails unless the load continues without any error, and the director does what it should.
    pub fn check(&mut self, wanted: &Configuration) {
        self.load.everybody_speaks().unwrap();
        self.check_soon(wanted);
    }

    /// As [`check`](Self::check), but does not wait until every connection has carried data. A
    /// broken one is found by a later check.
    pub fn check_soon(&mut self, wanted: &Configuration) {
        self.check_packets();
        self.check_counters();
        self.check_listing(wanted);
        self.check_shares(wanted);
        self.load.ensure_whole().unwrap();
    }

    /// Fails if either side of a connection lost packets, or the director dropped any.
    pub fn check_packets(&self) {
        assert!(self.load.open() >= Self::CONNECTIONS);
        self.wait_for_losses(|_| true);
        wait_until("every handshake has arrived", || {
            losses::no_handshake_was_lost(&self.lab)
        })
        .unwrap();
        let stats = self.director.stats().unwrap();
        assert_eq!(stats.drops, self.stats.drops);
    }

    /// Fails if a packet that one of these machines sent was lost.
    pub fn wait_for_losses(&self, of: impl Fn(&str) -> bool) {
        wait_until("whatever was sent has arrived", || {
            let mut lost = losses::lost(&self.lab)?;
            lost.retain(|host, lost| of(host) && *lost != 0);
            let dropped = losses::dropped(&self.lab)?;
            let drops = self.director.stats()?.drops;
            ensure!(
                lost.is_empty(),
                "{lost:?}, dropped by {dropped:?}, by the director {drops:?}"
            );
            Ok(())
        })
        .unwrap();
    }

    /// Fails if a counter of a service, or of a remaining server, has decreased.
    fn check_counters(&mut self) {
        let stats = self.director.stats().unwrap();
        for before in &self.stats.services {
            let Ok(now) = stats.service(&before.service) else {
                continue;
            };
            let name = &now.service;
            assert_no_less(name, &now.counters, &before.counters);
            for before in &before.servers {
                if let Ok(now) = now.server(&before.server) {
                    let name = format!("{} of {name}", now.server);
                    assert_no_less(&name, &now.counters, &before.counters);
                }
            }
        }
        self.stats = stats;
    }

    fn check_listing(&self, wanted: &Configuration) {
        let listed: Vec<_> = wanted
            .listing()
            .iter()
            .map(|(service, _)| {
                let row = self.stats.service(service).unwrap();
                let servers = row.servers.iter();
                let servers = servers.map(|row| (row.server.clone(), row.weight));
                (row.service.clone(), servers.collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(listed, wanted.listing());
    }

    /// Fails unless new connections go to every server with a weight, and to no other.
    fn check_shares(&self, wanted: &Configuration) {
        // Packets that were on their way during the change may go to the servers as before.
        self.load.let_visitors_change().unwrap();
        for (tally, servers) in self.load.tallies().zip(&wanted.servers) {
            let before = tally.visits();
            let more = |number: u8| {
                let name = format!("{}{number}", tally.name());
                tally.visits().get(&name) > before.get(&name)
            };
            let share = |number: u8| {
                let mut servers = servers.iter();
                servers.any(|&(wanted, weight)| wanted == number && weight > 0)
            };
            wait_until("every server has new connections", || {
                let without = (1..=3).find(|&number| share(number) && !more(number));
                ensure!(without.is_none(), "{}{without:?} has none", tally.name());
                Ok(())
            })
            .unwrap();
            let intruder = (1..=3).find(|&number| !share(number) && more(number));
            assert_eq!(intruder, None, "{}: {servers:?}", tally.name());
        }
    }

    /// Ends the load. Fails unless the director has counted every connection once, and its active
    /// and inactive counts equal what is in the table.
    pub fn end(self) {
        let Self { load, director, .. } = self;
        let opened = load.end().unwrap();
        let stats = director.stats().unwrap();
        for (target, opened) in opened {
            let counted = stats
                .service(&service(target))
                .unwrap()
                .counters
                .connections;
            assert_eq!(counted, opened, "connections by {target}");
        }
        wait_until("servers count what is in the table", || recount(&director)).unwrap();
    }
}

/// Fails unless each server's active and inactive counts equal its connections in the table. A
/// listing would leave out those that have expired and wait for the sweep.
pub fn recount(director: &Director) -> Result<()> {
    let open = |name| Ok::<_, Error>(Map::Array(MapData::from_pin(director.pins().join(name))?));
    let table = Mapped::<Bucket>::new("connections", &open("connections")?)?;
    let loads = Mapped::<u64>::blocks::<[u64; MOST_SERVERS as usize]>("loads", &open("loads")?)?;
    let mut counted = vec![0u64; MOST_SERVERS as usize];
    for bucket in (0..table.entries()).filter_map(|number| table.read(number)) {
        for slot in bucket.slots {
            let state = Word::from_bits(slot.word).state();
            if is_connection(state) {
                counted[slot.key.server() as usize] += Count::one(is_active(state));
            }
        }
    }
    for (server, counted) in (0..).zip(counted) {
        let [counts, has] = [loads.read(server).unwrap_or_default(), counted].map(Count::from_bits);
        ensure!(
            counts == has,
            "server {server} counts {counts:?}, the table has {has:?}"
        );
    }
    Ok(())
}

fn assert_no_less(name: &str, now: &Counters, before: &Counters) {
    let all = |counters: &Counters| {
        [
            counters.connections,
            counters.in_packets,
            counters.out_packets,
            counters.in_bytes,
            counters.out_bytes,
        ]
    };
    let mut pairs = all(now).into_iter().zip(all(before));
    let went_back = pairs.any(|(now, before)| now < before);
    assert!(!went_back, "{name} counts {now:?} after {before:?}");
}
