//! The director's files: one service with traffic, and any number without.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddrV4},
};

/// The service that packets are sent to.
pub const LIVE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 19, 255, 1), 53);
/// Servers of [`LIVE`]: the first stays, the second is added and removed.
pub const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 11), Ipv4Addr::new(10, 0, 0, 12)];
/// The service whose connections are held.
pub const HELD: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 19, 255, 2), 80);

/// The first address of the many services' servers.
pub const FIRST_SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 0);
/// Servers of each of the many services.
pub const SERVERS_EACH: u32 = 10;

/// Many services.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// Their number. Each has [`SERVERS_EACH`] servers.
    pub services: u32,
    /// The number of different addresses of all their servers.
    pub addresses: u32,
    /// The first of these addresses.
    pub first: Ipv4Addr,
}

impl Fleet {
    /// No services.
    pub const NONE: Self = Self {
        services: 0,
        addresses: 0,
        first: FIRST_SERVER,
    };

    /// The file, with [`LIVE`] in it and a connection table of the default size.
    #[must_use]
    pub fn file(&self) -> String {
        let mut file = format!(
            "interfaces: [eth0]
services:
  - address: {LIVE}
    protocol: udp
    scheduler: rr
    servers:
      - {{address: {}}}
  - address: {HELD}
    scheduler: rr
    servers:
      - {{address: {}}}
",
            SERVERS[0], SERVERS[0]
        );
        for service in 0..self.services {
            let address = Ipv4Addr::from_bits(FIRST_SERVICE.to_bits() + service);
            // Writing to a string cannot fail.
            let _ = write!(file, "  - address: {address}:80\n    servers:\n");
            for number in 0..SERVERS_EACH {
                let server = self.server(service * SERVERS_EACH + number);
                let _ = writeln!(file, "      - {{address: {server}}}");
            }
        }
        file
    }

    /// The many services alone, as `ipvsadm-save -n` writes them.
    #[must_use]
    pub fn rules(&self) -> String {
        let mut rules = String::new();
        for service in 0..self.services {
            let address = Ipv4Addr::from_bits(FIRST_SERVICE.to_bits() + service);
            let _ = writeln!(rules, "-A -t {address}:80 -s wlc");
            for number in 0..SERVERS_EACH {
                let server = self.server(service * SERVERS_EACH + number);
                let _ = writeln!(rules, "-a -t {address}:80 -r {server}:80 -g -w 1");
            }
        }
        rules
    }

    /// The file with another weight of one server.
    #[must_use]
    pub fn file_with_one_change(&self) -> String {
        let mut file = self.file();
        let line = format!("{{address: {}}}", self.server(0));
        let changed = format!("{{address: {}, weight: 7}}", self.server(0));
        if let Some(place) = file.find(&line) {
            file.replace_range(place..place + line.len(), &changed);
        }
        file
    }

    /// The addresses of all servers.
    pub fn servers(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let fleet = *self;
        (0..fleet.addresses).map(move |number| fleet.server(number))
    }

    fn server(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() + number % self.addresses)
    }
}

const FIRST_SERVICE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_a_configuration_with_so_many_services() {
        let fleet = Fleet {
            services: 3,
            addresses: 11,
            first: FIRST_SERVER,
        };
        let services = |text: &str| {
            let written = lb_config::parse(text, "file").expect("a right file");
            written.services.expect("services")
        };
        let before = services(&fleet.file());
        assert_eq!(before.len(), 2 + 3);
        assert_eq!(before[4].servers.len(), SERVERS_EACH as usize);
        let changed = services(&fleet.file_with_one_change());
        assert_eq!(changed[2].servers[0].options.weight, 7);
        assert_eq!(changed[3..], before[3..]);
    }
}
