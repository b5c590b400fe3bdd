//! A simulated packet path and the record beside it. Both keep what was done when the daemon
//! crashes.

use std::collections::BTreeMap;

use lb_director::{
    core::{Effective, PacketPath, Record},
    record::{self, Line, Read, Recorded},
};
use lb_model::{Desired, Fault, ServiceId, Timeouts};
use lb_network::Reach;

pub const BOOT: &str = "boot";

/// A service with more servers than this is too much for the packet path.
const MOST_SERVERS: usize = 4;

/// What outlives the daemon.
#[derive(Clone, Debug, Default)]
pub struct Path {
    pub services: BTreeMap<ServiceId, Effective>,
    pub timeouts: Timeouts,
    pub interfaces: Vec<String>,
    pub record: Vec<u8>,
    /// A line could not be written, and the record has not been written anew.
    pub broken: bool,
    /// Steps until the daemon is killed.
    kill: Option<u8>,
    pub killed: bool,
    /// Steps until some fail, and how many.
    fail: (u8, u8),
    /// What the record said when it had this length.
    replayed: (usize, Desired),
}

impl Path {
    pub fn fail(&mut self, after: u8, times: u8) {
        self.fail = (after, times);
    }

    pub fn kill_after(&mut self, steps: u8) {
        self.kill = Some(steps);
    }

    /// Nothing fails any more.
    pub fn calm_down(&mut self) {
        (self.fail, self.kill) = ((0, 0), None);
    }

    /// Before each step: whether it is not done, because the daemon is killed.
    pub fn step(&mut self) -> Result<(), Fault> {
        match &mut self.kill {
            Some(0) => {
                self.killed = true;
                self.kill = None;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        match self.killed {
            true => Err(Fault::new("the daemon is killed")),
            false => Ok(()),
        }
    }

    fn may_fail(&mut self) -> Result<(), Fault> {
        self.step()?;
        match &mut self.fail {
            (0, 0) => Ok(()),
            (0, times) => {
                *times -= 1;
                Err(Fault::new("no memory"))
            }
            (after, _) => {
                *after -= 1;
                Ok(())
            }
        }
    }

    /// What a daemon that starts now would read.
    pub fn recorded(&self) -> Option<Recorded> {
        match record::read(&self.record, BOOT) {
            Read::Whole { recorded, .. } => Some(*recorded),
            other if self.record.is_empty() => {
                assert!(matches!(other, Read::Damaged { .. }));
                None
            }
            other => panic!("the record cannot be read: {other:?}"),
        }
    }

    fn replayed(&mut self) -> &Desired {
        if self.replayed.0 != self.record.len() {
            let desired = self.recorded().expect("a record").desired;
            self.replayed = (self.record.len(), desired);
        }
        &self.replayed.1
    }

    /// The weights of all servers.
    pub fn weights(&self) -> Vec<u32> {
        let services = self.services.values();
        let servers = services.flat_map(|effective| &effective.service.servers);
        servers.map(|server| server.options.weight).collect()
    }

    /// All servers with this address are reached so.
    pub fn set_next_hop(&mut self, address: std::net::IpAddr, reach: &Reach) {
        for service in self.services.values_mut() {
            if let Some(there) = service.reaches.get_mut(&address) {
                *there = reach.clone();
            }
        }
    }
}

impl Record for Path {
    fn append(&mut self, line: &Line) -> Result<(), Fault> {
        let bytes = record::encode(line);
        if let Err(killed) = self.step() {
            // In the middle of the line.
            self.record.extend(&bytes[..bytes.len() / 2]);
            return Err(killed);
        }
        if self.broken {
            return Err(Fault::new("the record is broken"));
        }
        // A shell sees to it that this line is written in the end.
        let done = matches!(line, Line::Done { .. });
        if let (false, Err(error)) = (done, self.may_fail()) {
            self.broken = !self.killed;
            return Err(error);
        }
        self.record.extend(bytes);
        Ok(())
    }
}

impl PacketPath for Path {
    fn prepare(&mut self, services: &[Effective]) -> Result<(), Fault> {
        self.may_fail()?;
        let mut services = services.iter();
        match services.all(|effective| effective.service.servers.len() <= MOST_SERVERS) {
            true => Ok(()),
            false => Err(Fault::new("too many servers")),
        }
    }

    fn put(&mut self, service: &Effective) -> Result<(), Fault> {
        self.may_fail()?;
        let id = service.service.id;
        // Only the weights of servers that cannot be reached are not the recorded ones.
        let recorded = self.replayed().services.get(id).expect("it is recorded");
        let mut put = service.service.clone();
        for server in &mut put.servers {
            let recorded = recorded.server(server.id).expect("it is recorded");
            if server.options.weight == 0 {
                server.options.weight = recorded.options.weight;
            }
        }
        assert_eq!(*recorded, put, "put and not recorded");
        self.services.insert(id, service.clone());
        Ok(())
    }

    fn remove(&mut self, service: ServiceId) -> Result<(), Fault> {
        self.may_fail()?;
        let there = self.replayed().services.get(service);
        assert_eq!(there, None, "removed and recorded");
        self.services.remove(&service);
        Ok(())
    }

    fn set_timeouts(&mut self, timeouts: &Timeouts) -> Result<(), Fault> {
        self.may_fail()?;
        self.timeouts = timeouts.clone();
        Ok(())
    }

    fn set_interfaces(&mut self, names: &[String]) -> Result<(), Fault> {
        self.may_fail()?;
        self.interfaces = names.to_vec();
        Ok(())
    }

    fn zero(&mut self, _services: &[ServiceId]) -> Result<(), Fault> {
        self.may_fail()
    }
}
