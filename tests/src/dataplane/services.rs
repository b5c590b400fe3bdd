//! Services and their servers: how a test describes them, and how they get into the maps.

use std::net::{Ipv4Addr, SocketAddrV4};

use lb_common::{
    protocol::{TCP, UDP},
    schedule::{Entry, Position, Scheduler},
    server::{self, Method, SERVER_AVAILABLE, SERVER_LOCAL, SERVER_REACHABLE},
    service::{self, ServiceKey},
};

use super::{Bench, ELSEWHERE, INGRESS, get, set};
use crate::packets::{DIRECTOR, VIP};

/// The director's own address on the network of its servers.
pub const SERVER_SIDE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);

/// A virtual service that a test describes.
#[derive(Clone, Debug)]
pub struct Service {
    address: SocketAddrV4,
    protocol: u8,
    scheduler: Scheduler,
    servers: Vec<Server>,
}

impl Service {
    /// On a TCP port of [`VIP`], scheduled by rr.
    #[must_use]
    pub fn tcp(port: u16) -> Self {
        Self {
            address: SocketAddrV4::new(VIP, port),
            protocol: TCP,
            scheduler: Scheduler::Rr,
            servers: Vec::new(),
        }
    }

    /// On a UDP port of [`VIP`], scheduled by rr.
    #[must_use]
    pub fn udp(port: u16) -> Self {
        Self {
            protocol: UDP,
            ..Self::tcp(port)
        }
    }

    /// At another address.
    #[must_use]
    pub fn at(mut self, address: Ipv4Addr) -> Self {
        self.address.set_ip(address);
        self
    }

    /// With another scheduler.
    #[must_use]
    pub fn scheduler(self, scheduler: Scheduler) -> Self {
        Self { scheduler, ..self }
    }

    /// With one more server. As in IPVS, the one that was added last is scheduled first.
    #[must_use]
    pub fn server(mut self, server: Server) -> Self {
        self.servers.push(server);
        self
    }
}

/// A real server that a test describes.
#[derive(Clone, Debug)]
pub struct Server {
    entry: server::Server,
    weight: u32,
    /// The server's port, if it is not the service's.
    port: Option<u16>,
}

impl Server {
    /// Reached by DR. Its name is the last byte of [`server_address`] and [`server_mac`].
    #[must_use]
    pub fn direct(name: u8) -> Self {
        Self::by(Method::Dr, name)
    }

    /// Reached by NAT.
    #[must_use]
    pub fn translated(name: u8) -> Self {
        Self::by(Method::Nat, name)
    }

    /// Reached by TUN.
    #[must_use]
    pub fn tunnelled(name: u8) -> Self {
        Self::by(Method::Tun, name)
    }

    /// Reached by this method, of weight 1, behind [`INGRESS`], with an MTU of 1500.
    #[must_use]
    pub fn by(method: Method, name: u8) -> Self {
        let entry = server::Server {
            ethernet: ethernet(server_mac(name), DIRECTOR),
            interface: INGRESS,
            address: wire(server_address(name)),
            tunnel_source: wire(SERVER_SIDE_ADDRESS),
            mtu: 1500,
            method: method as u8,
            flags: SERVER_AVAILABLE | SERVER_REACHABLE,
            ..server::Server::default()
        };
        Self {
            entry,
            weight: 1,
            port: None,
        }
    }

    /// Of another weight.
    #[must_use]
    pub fn weight(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// Listening on another port than the service's.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self {
            port: Some(port),
            ..self
        }
    }

    /// Behind an interface of another MTU.
    #[must_use]
    pub fn mtu(self, mtu: u16) -> Self {
        self.with(|server| server.mtu = mtu)
    }

    /// Behind the interface [`ELSEWHERE`].
    #[must_use]
    pub fn elsewhere(self) -> Self {
        self.behind(ELSEWHERE)
    }

    /// Behind another interface.
    #[must_use]
    pub fn behind(self, interface: u32) -> Self {
        self.with(|server| server.interface = interface)
    }

    /// At another address.
    #[must_use]
    pub fn at(self, address: Ipv4Addr) -> Self {
        self.with(|server| server.address = wire(address))
    }

    /// The director itself.
    #[must_use]
    pub fn local(self) -> Self {
        self.with(|server| {
            server.flags = SERVER_AVAILABLE | SERVER_LOCAL;
            server.ethernet = [0; 3];
            server.interface = 0;
        })
    }

    /// Its next hop is not known.
    #[must_use]
    pub fn unreachable(self) -> Self {
        self.with(|server| server.flags = SERVER_AVAILABLE)
    }

    fn with(mut self, change: impl FnOnce(&mut server::Server)) -> Self {
        change(&mut self.entry);
        self
    }
}

/// The address of the server of this name.
#[must_use]
pub fn server_address(name: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, name)
}

/// The MAC address of the server of this name.
#[must_use]
pub fn server_mac(name: u8) -> [u8; 6] {
    [0x02, 0, 0, 0, 2, name]
}

/// A service in the maps.
#[derive(Clone, Debug)]
pub struct Served {
    /// Where clients send to.
    pub address: SocketAddrV4,
    /// Its servers' indices in the map `servers`, in the order in which they were added.
    pub servers: Vec<u32>,
    key: ServiceKey,
    scheduler: Scheduler,
    /// Its servers in the order in which they are scheduled.
    order: Vec<Entry>,
    roster: u32,
}

impl Bench {
    /// Puts a service into the maps, the way the daemon would.
    pub fn serve(&mut self, service: Service) -> Served {
        let key = ServiceKey::of_address(
            wire(*service.address.ip()),
            service.address.port().to_be(),
            service.protocol,
        );
        let index = self.next_service;
        self.next_service += 1;
        self.notice(key.address);
        let mut served = Served {
            address: service.address,
            servers: Vec::new(),
            key,
            scheduler: service.scheduler,
            order: Vec::new(),
            roster: self.next_line,
        };
        for added in service.servers {
            let weight = added.weight;
            let server = self.add_server(&key, index, added);
            served.servers.push(server);
            served.order.insert(0, Entry { server, weight });
        }
        let servers = served.order.len() as u32;
        self.next_line += served.scheduler.roster_lines(servers);
        self.write_roster(&served, served.scheduler.position_of_new(&served.order));
        let value = service::Service {
            roster: served.roster,
            servers,
            scheduler: service.scheduler as u8,
            index,
            ..service::Service::default()
        };
        self.maps_mut()
            .services
            .insert(key, value, 0)
            .expect("room for a service");
        served
    }

    /// Removes all services and all connections.
    pub fn reset(&mut self) {
        self.maps_mut().clear_services().expect("maps to write to");
        (self.next_server, self.next_service, self.next_line) = (0, 0, 0);
        self.forget();
    }

    /// Removes a service; its connections stay.
    pub fn withdraw(&mut self, served: &Served) {
        self.maps_mut()
            .services
            .remove(&served.key)
            .expect("the service");
    }

    /// Changes a server's weight, the way the daemon would.
    pub fn reweigh(&mut self, served: &mut Served, server: u32, weight: u32) {
        let old = served.order.clone();
        for entry in &mut served.order {
            if entry.server == server {
                entry.weight = weight;
            }
        }
        let header = get(&self.maps().rosters, served.roster);
        let position = Position::from_bits(header.words[0]);
        let position = served
            .scheduler
            .position_after(&old, position, &served.order);
        self.write_roster(served, position);
    }

    /// Changes a service's value in place.
    pub fn edit_service(&mut self, served: &Served, change: impl FnOnce(&mut service::Service)) {
        let services = &mut self.maps_mut().services;
        let mut value = services.get(&served.key, 0).expect("the service");
        change(&mut value);
        services
            .insert(served.key, value, 0)
            .expect("the service's place");
    }

    /// Changes a server's entry in place.
    pub fn edit_server(&mut self, index: u32, change: impl FnOnce(&mut server::Server)) {
        let mut server = get(&self.maps().servers, index);
        change(&mut server);
        set(&mut self.maps_mut().servers, index, server);
    }

    /// Removes a server from its service; its connections stay.
    pub fn remove_server(&mut self, index: u32) {
        self.edit_server(index, |server| server.flags &= !SERVER_AVAILABLE);
    }

    fn add_server(&mut self, key: &ServiceKey, service: u32, added: Server) -> u32 {
        let index = self.next_server;
        self.next_server += 1;
        let mut entry = added.entry;
        entry.service_address = key.address;
        entry.service_port = key.port;
        entry.protocol = key.protocol;
        entry.service = service;
        entry.port = added.port.map_or(key.port, u16::to_be);
        if entry.method == Method::Nat as u8 {
            self.notice(entry.address);
        }
        set(&mut self.maps_mut().servers, index, entry);
        index
    }

    fn write_roster(&mut self, served: &Served, position: Position) {
        let lines = served.scheduler.roster(&served.order, position);
        for (number, line) in (served.roster..).zip(lines) {
            set(&mut self.maps_mut().rosters, number, line);
        }
    }
}

/// As on the wire.
pub fn wire(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

fn ethernet(destination: [u8; 6], source: [u8; 6]) -> [u32; 3] {
    let [a, b, c, d, e, f] = destination;
    let [g, h, i, j, k, l] = source;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_ne_bytes)
}
