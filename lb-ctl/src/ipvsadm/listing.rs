//! `-L`: services and their servers.

use std::io::{self, Write};

use super::{
    arguments::{Columns, List},
    text::{self, Style, large},
};
use crate::ipvs::{Forward, ListedServer, ListedService, Listing, Numbers, Service, Traffic};

/// What numbers these columns need.
pub fn numbers(columns: Columns) -> Numbers {
    match columns {
        Columns::Stats => Numbers::Counters,
        Columns::Rates => Numbers::Rates,
        Columns::Usual | Columns::Thresholds | Columns::Persistent | Columns::Tunnels => {
            Numbers::Connections
        }
    }
}

/// Writes a listing; `all` says that it is of all services.
pub fn write(
    listing: &Listing,
    list: &List,
    all: bool,
    style: Style,
    to: &mut impl Write,
) -> io::Result<()> {
    if all {
        writeln!(
            to,
            "IP Virtual Server version 1.2.1 (size={})",
            listing.size
        )?;
    }
    title(list.columns, to)?;
    for service in &listing.services {
        write_service(service, list, style, to)?;
        for server in &service.servers {
            write_server(&service.service, server, list, style, to)?;
        }
    }
    Ok(())
}

fn title(columns: Columns, to: &mut impl Write) -> io::Result<()> {
    let local = "Prot LocalAddress:Port";
    let remote = "  -> RemoteAddress:Port";
    match columns {
        Columns::Usual => writeln!(
            to,
            "{local} Scheduler Flags\n{remote}           Forward Weight ActiveConn InActConn"
        ),
        Columns::Tunnels => writeln!(
            to,
            "{local} Scheduler Flags\n\
             {remote}           Forward TunnelInfo    Weight ActiveConn InActConn"
        ),
        Columns::Stats => titles(
            to,
            [local, "Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"],
        ),
        Columns::Rates => titles(to, [local, "CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]),
        Columns::Thresholds => writeln!(
            to,
            "{local:<33} {:<10} {:<10} {:<10} {:<10}\n{remote}",
            "Uthreshold", "Lthreshold", "ActiveConn", "InActConn"
        ),
        Columns::Persistent => writeln!(
            to,
            "{local:<33} {:<9} {:<11} {:<10} {:<10}\n{remote}",
            "Weight", "PersistConn", "ActiveConn", "InActConn"
        ),
    }
}

fn titles(to: &mut impl Write, [local, a, b, c, d, e]: [&str; 6]) -> io::Result<()> {
    writeln!(
        to,
        "{local:<33} {a:>8} {b:>8} {c:>8} {d:>8} {e:>8}\n  -> RemoteAddress:Port"
    )
}

fn write_service(
    listed: &ListedService,
    list: &List,
    style: Style,
    to: &mut impl Write,
) -> io::Result<()> {
    let service = &listed.service;
    let name = style.service(service.key);
    if matches!(list.columns, Columns::Stats | Columns::Rates) {
        let numbers = five(&listed.traffic).map(|number| large(number, list.exact));
        return writeln!(to, "{name:<33}{}", numbers.concat());
    }
    write!(to, "{name} {}", service.scheduler)?;
    write_properties(service, to)?;
    writeln!(to)
}

fn write_properties(service: &Service, to: &mut impl Write) -> io::Result<()> {
    let flags = text::flags(service);
    if !flags.is_empty() {
        write!(to, " ({flags})")?;
    }
    if let Some(persistence) = service.persistence {
        write!(to, " persistent {}", persistence.timeout)?;
        if let Some(mask) = text::mask(service) {
            write!(to, " mask {mask}")?;
        }
        if let Some(engine) = &service.engine {
            write!(to, " pe {engine}")?;
        }
    }
    if service.one_packet {
        write!(to, " ops")?;
    }
    Ok(())
}

fn write_server(
    service: &Service,
    listed: &ListedServer,
    list: &List,
    style: Style,
    to: &mut impl Write,
) -> io::Result<()> {
    let ListedServer {
        server,
        active,
        inactive,
        persistent,
        traffic,
    } = listed;
    let name = style.column(server.at, text::transport_of(service.key));
    let forward = match server.forward {
        Forward::Masq => "Masq",
        Forward::Tunnel => "Tunnel",
        Forward::Route => "Route",
    };
    let (weight, upper, lower) = (server.weight, server.upper, server.lower);
    write!(to, "  -> {name:<28}")?;
    match list.columns {
        Columns::Usual => {
            writeln!(to, " {forward:<7} {weight:<6} {active:<10} {inactive:<10}")
        }
        Columns::Tunnels => {
            let tunnel = match server.forward {
                Forward::Tunnel => text::tunnel(server.tunnel),
                Forward::Masq | Forward::Route => "n/a".to_owned(),
            };
            writeln!(
                to,
                " {forward:<7} {tunnel:<13} {weight:<6} {active:<10} {inactive:<10}"
            )
        }
        Columns::Thresholds => {
            writeln!(to, " {upper:<10} {lower:<10} {active:<10} {inactive:<10}")
        }
        Columns::Persistent => {
            writeln!(
                to,
                " {weight:<9} {persistent:<11} {active:<10} {inactive:<10}"
            )
        }
        Columns::Stats => {
            let numbers = five(traffic).map(|number| large(number, list.exact));
            writeln!(to, "{}", numbers.concat())
        }
        Columns::Rates => {
            let [connections, in_packets, out_packets, bytes @ ..] = five(traffic);
            let bytes = bytes.map(|number| large(number, list.exact));
            let bytes = bytes.concat();
            writeln!(
                to,
                " {connections:>8} {in_packets:>8} {out_packets:>8}{bytes}"
            )
        }
    }
}

fn five(traffic: &Traffic) -> [u64; 5] {
    [
        traffic.connections,
        traffic.in_packets,
        traffic.out_packets,
        traffic.in_bytes,
        traffic.out_bytes,
    ]
}
