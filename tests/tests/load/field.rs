//! A director under load, and everything that must hold whatever is done to it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lb_tests::{
    director::Director,
    lab::Lab,
    labs::load::{CONFIGURATION, targets, topology},
    load::{Load, Volume, losses},
    tables::Stats,
};

/// One load at a time is enough for a machine.
static TURN: Mutex<()> = Mutex::new(());

pub struct Field {
    pub load: Load,
    pub director: Director,
    pub lab: Lab,
    retransmissions: BTreeMap<&'static str, u64>,
    stats: Stats,
    _turn: MutexGuard<'static, ()>,
}

impl Field {
    /// More than so many connections at a time, over DR, NAT and TUN.
    pub const CONNECTIONS: u64 = 2000;

    pub fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let lab = Lab::realise(&topology()).unwrap();
        for (_, host) in lab.hosts() {
            losses::send_again_only_what_is_lost(host).unwrap();
        }
        let director = Director::start(&lab, CONFIGURATION).unwrap();
        let volume = Volume {
            talkers: 660,
            transfers: 10,
            visitors: 4,
            askers: 5,
        };
        let client = lab.host("client").unwrap();
        let load = Load::start(client, &targets(), volume).unwrap();
        assert!(load.open() >= Self::CONNECTIONS);
        Self {
            retransmissions: losses::retransmissions(&lab).unwrap(),
            stats: director.stats().unwrap(),
            load,
            director,
            lab,
            _turn: turn,
        }
    }

    /// Everything that was there is there, and goes on.
    pub fn check(&mut self) {
        self.load.everybody_speaks().unwrap();
        self.check_counts();
    }

    fn check_counts(&mut self) {
        assert!(self.load.open() >= Self::CONNECTIONS);
        let retransmissions = losses::retransmissions(&self.lab).unwrap();
        assert_eq!(retransmissions, self.retransmissions);
        let stats = self.director.stats().unwrap();
        assert_eq!(stats.drops, self.stats.drops);
        self.stats = stats;
    }
}
