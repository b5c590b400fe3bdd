//! A director in memory that takes all that IPVS takes: what the captures are run against.

use std::net::{IpAddr, SocketAddr};

use super::director::{Director, Failure, Page};
use crate::ipvs::{
    Change, Connection, Forward, Key, ListedServer, ListedService, Listing, Numbers, Refusal, Role,
    Server, Service, Sync, Timeouts, Traffic, Tunnel,
};

/// Services and servers, and nothing that passes.
#[derive(Default)]
pub struct Memory {
    pub services: Vec<ListedService>,
    pub connections: Vec<Connection>,
    pub timeouts: Timeouts,
    pub sync: Vec<(Role, Sync)>,
}

/// The schedulers of the kernel of the captures.
const SCHEDULERS: [&str; 15] = [
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "none",
    "",
];

impl Memory {
    fn find(&mut self, key: Key) -> Result<&mut ListedService, Refusal> {
        let mut services = self.services.iter_mut();
        services
            .find(|listed| listed.service.key == key)
            .ok_or(Refusal::NoService)
    }

    fn make(&mut self, change: Change) -> Result<(), Refusal> {
        match change {
            Change::AddService(service) => {
                if self.find(service.key).is_ok() {
                    return Err(Refusal::Exists);
                }
                check_service(&service)?;
                let traffic = Traffic::default();
                let servers = Vec::new();
                self.services.push(ListedService {
                    service,
                    traffic,
                    servers,
                });
            }
            Change::SetService(service) => {
                let listed = self.find(service.key)?;
                check_service(&service)?;
                listed.service = service;
            }
            Change::DeleteService(key) => {
                self.find(key)?;
                self.services.retain(|listed| listed.service.key != key);
            }
            Change::Clear => self.services.clear(),
            Change::AddServer(key, server) => {
                let service = self.find(key)?;
                check_server(&server)?;
                if place(service, server.at).is_some() {
                    return Err(Refusal::Exists);
                }
                check_address(server.at.ip())?;
                service.servers.insert(0, listed(server));
            }
            Change::SetServer(key, server) => {
                let service = self.find(key)?;
                check_server(&server)?;
                let place = place(service, server.at).ok_or(Refusal::NotFound)?;
                service.servers[place] = listed(server);
            }
            Change::DeleteServer(key, at) => {
                let service = self.find(key)?;
                let place = place(service, at).ok_or(Refusal::NotFound)?;
                service.servers.remove(place);
            }
            Change::Zero(Some(key)) => zero(self.find(key)?),
            Change::Zero(None) => self.services.iter_mut().for_each(zero),
            Change::SetTimeouts(Timeouts { tcp, tcpfin, udp }) => {
                let keep = |new: u32, old: u32| if new == 0 { old } else { new };
                self.timeouts = Timeouts {
                    tcp: keep(tcp, self.timeouts.tcp),
                    tcpfin: keep(tcpfin, self.timeouts.tcpfin),
                    udp: keep(udp, self.timeouts.udp),
                };
            }
            Change::StartSync(role, sync) => self.start(role, sync)?,
            Change::StopSync(role) => {
                let place = self.sync.iter().position(|(other, _)| *other == role);
                self.sync.remove(place.ok_or(Refusal::NoService)?);
            }
        }
        Ok(())
    }

    fn start(&mut self, role: Role, sync: Sync) -> Result<(), Refusal> {
        if self.sync.iter().any(|(other, _)| *other == role) {
            return Err(Refusal::Exists);
        }
        if sync.interface != "lo" {
            return Err(Refusal::NoDevice);
        }
        let or = |value: u16, usual: u16| if value == 0 { usual } else { value };
        let longest = match role {
            Role::Master => 1472,
            Role::Backup => 65_507,
        };
        let sync = Sync {
            longest: or(sync.longest, longest),
            port: or(sync.port, 8848),
            ttl: sync.ttl.max(1),
            group: sync.group.or(Some(IpAddr::from([224, 0, 0, 81]))),
            ..sync
        };
        self.sync.push((role, sync));
        Ok(())
    }
}

fn check_service(service: &Service) -> Result<(), Refusal> {
    let engine = service.engine.as_deref().unwrap_or("sip");
    if !SCHEDULERS.contains(&service.scheduler.as_str()) || engine != "sip" {
        return Err(Refusal::NotFound);
    }
    Ok(())
}

fn check_server(server: &Server) -> Result<(), Refusal> {
    if server.lower > server.upper {
        return Err(Refusal::OutOfRange);
    }
    Ok(())
}

fn check_address(address: IpAddr) -> Result<(), Refusal> {
    let unfit = match address {
        IpAddr::V4(address) => address.is_broadcast() || address.is_unspecified(),
        IpAddr::V6(_) => false,
    };
    if unfit || address.is_multicast() {
        return Err(Refusal::Invalid);
    }
    Ok(())
}

fn place(service: &ListedService, at: SocketAddr) -> Option<usize> {
    let mut servers = service.servers.iter();
    servers.position(|listed| listed.server.at == at)
}

fn listed(server: Server) -> ListedServer {
    let tunnel = match server.forward {
        Forward::Tunnel => server.tunnel,
        Forward::Masq | Forward::Route => Tunnel::Ipip,
    };
    ListedServer {
        server: Server { tunnel, ..server },
        active: 0,
        inactive: 0,
        persistent: 0,
        traffic: Traffic::default(),
    }
}

fn zero(service: &mut ListedService) {
    service.traffic = Traffic::default();
    for server in &mut service.servers {
        server.traffic = Traffic::default();
    }
}

impl Director for &mut Memory {
    fn change(&mut self, changes: Vec<Change>) -> Result<Vec<(usize, Refusal)>, Failure> {
        let outcomes = changes.into_iter().map(|change| self.make(change));
        let refused = outcomes.enumerate();
        Ok(refused
            .filter_map(|(place, outcome)| Some((place, outcome.err()?)))
            .collect())
    }

    fn list(
        &mut self,
        service: Option<Key>,
        _: Numbers,
    ) -> Result<Result<Listing, Refusal>, Failure> {
        let services = match service {
            None => self.services.clone(),
            Some(key) => match self.find(key) {
                Ok(listed) => vec![listed.clone()],
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        Ok(Ok(Listing {
            size: 4096,
            services,
        }))
    }

    /// Two at a time.
    fn connections(&mut self, cursor: Option<u32>) -> Result<Page, Failure> {
        let rest = &self.connections[cursor.unwrap_or_default() as usize..];
        let rows = &rest[..rest.len().min(2)];
        let next = (self.connections.len() - rest.len() + rows.len()) as u32;
        Ok((rows.to_vec(), (rest.len() > rows.len()).then_some(next)))
    }

    fn timeouts(&mut self) -> Result<Timeouts, Failure> {
        Ok(self.timeouts)
    }

    fn sync_daemons(&mut self) -> Result<Vec<(Role, Sync)>, Failure> {
        Ok(self.sync.clone())
    }
}
