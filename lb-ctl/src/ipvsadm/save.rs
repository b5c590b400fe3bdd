//! `-S`: services and servers as the commands that make them.

use std::io::{self, Write};

use super::text::{self, Style};
use crate::ipvs::{Checksum, Forward, Key, Listing, Server, Service, Transport, Tunnel};

/// Writes them. Thresholds are not among them.
pub fn write(listing: &Listing, style: Style, to: &mut impl Write) -> io::Result<()> {
    for listed in &listing.services {
        let service = &listed.service;
        let key = key(service.key, style);
        write_service(&key, service, to)?;
        for listed in &listed.servers {
            write_server(&key, service.key, &listed.server, style, to)?;
        }
    }
    Ok(())
}

fn key(key: Key, style: Style) -> String {
    match key {
        Key::Address { transport, at } => {
            let option = match transport {
                Transport::Tcp => "-t",
                Transport::Udp => "-u",
                Transport::Sctp => "--sctp-service",
            };
            format!("{option} {}", style.endpoint(at, Some(transport)))
        }
        Key::Mark { mark, ipv6 } => {
            format!("-f {}{}", mark as i32, if ipv6 { " -6" } else { "" })
        }
    }
}

fn write_service(key: &str, service: &Service, to: &mut impl Write) -> io::Result<()> {
    write!(to, "-A {key} -s {}", service.scheduler)?;
    if let Some(persistence) = service.persistence {
        write!(to, " -p {}", persistence.timeout)?;
    }
    if let Some(mask) = text::mask(service) {
        write!(to, " -M {mask}")?;
    }
    if let Some(engine) = &service.engine {
        write!(to, " --pe {engine}")?;
    }
    if service.one_packet {
        write!(to, " -o")?;
    }
    let flags = text::flags(service);
    if !flags.is_empty() {
        write!(to, " -b {flags}")?;
    }
    writeln!(to)
}

fn write_server(
    key: &str,
    service: Key,
    server: &Server,
    style: Style,
    to: &mut impl Write,
) -> io::Result<()> {
    let at = style.endpoint(server.at, text::transport_of(service));
    let forward = match server.forward {
        Forward::Masq => "-m",
        Forward::Tunnel => "-i",
        Forward::Route => "-g",
    };
    write!(to, "-a {key} -r {at} {forward} -w {}", server.weight)?;
    if server.forward == Forward::Tunnel {
        match server.tunnel {
            Tunnel::Ipip => write!(to, " --tun-type ipip")?,
            Tunnel::Gue { port, checksum } => write!(
                to,
                " --tun-type gue --tun-port {port} {}",
                checksum_option(checksum)
            )?,
            Tunnel::Gre { checksum } => {
                write!(to, " --tun-type gre {}", checksum_option(checksum))?;
            }
        }
    }
    writeln!(to)
}

fn checksum_option(checksum: Checksum) -> &'static str {
    match checksum {
        Checksum::Without => "--tun-nocsum",
        Checksum::With => "--tun-csum",
        Checksum::Remote => "--tun-remcsum",
    }
}
