//! `-L`: services and their servers.

use std::io::{self, Write};

use lb_api::{ListedServer, ListedService, Listing, Numbers};
use lb_model::{Counters, Method, ServiceId, ServiceOptions, spelling::Named};

use crate::{
    arguments::{Columns, List},
    text::{self, Style, large},
    words,
};

/// The numbers that these columns show.
pub fn numbers(columns: Columns) -> Numbers {
    match columns {
        Columns::Stats => Numbers::SinceZero,
        Columns::Rates => Numbers::Rates,
        Columns::Usual | Columns::Thresholds | Columns::Persistent | Columns::Tunnels => {
            Numbers::Connections
        }
    }
}

/// Writes a listing. Where it is of `all` services, it begins with the version.
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
            listing.capacity
        )?;
    }
    title(list.columns, to)?;
    for service in &listing.services {
        write_service(service, list, style, to)?;
        for server in &service.servers {
            write_server(service.id, server, list, style, to)?;
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
    let name = style.service(listed.id);
    if matches!(list.columns, Columns::Stats | Columns::Rates) {
        let numbers = five(&listed.counters).map(|number| large(number, list.exact));
        return writeln!(to, "{name:<33}{}", numbers.concat());
    }
    write!(to, "{name} {}", listed.options.scheduler.name())?;
    write_options(&listed.options, to)?;
    writeln!(to)
}

fn write_options(options: &ServiceOptions, to: &mut impl Write) -> io::Result<()> {
    let flags = words::flags_text(options.scheduler_flags, &options.scheduler);
    if !flags.is_empty() {
        write!(to, " ({flags})")?;
    }
    if let Some(persistence) = options.persistence {
        write!(to, " persistent {}", persistence.timeout.0)?;
        if let Some(mask) = words::netmask_text(persistence.netmask) {
            write!(to, " mask {mask}")?;
        }
        if let Some(engine) = &options.persistence_engine {
            write!(to, " pe {engine}")?;
        }
    }
    if options.one_packet {
        write!(to, " ops")?;
    }
    Ok(())
}

fn write_server(
    service: ServiceId,
    listed: &ListedServer,
    list: &List,
    style: Style,
    to: &mut impl Write,
) -> io::Result<()> {
    let options = &listed.options;
    let name = style.column(text::address(listed.id), text::protocol_of(service));
    let method = words::method_name(listed.method);
    let (weight, upper, lower) = (options.weight, options.upper, options.lower);
    let (active, inactive) = (listed.load.active, listed.load.inactive);
    write!(to, "  -> {name:<28}")?;
    match list.columns {
        Columns::Usual => {
            writeln!(to, " {method:<7} {weight:<6} {active:<10} {inactive:<10}")
        }
        Columns::Tunnels => {
            let tunnel = match listed.method {
                Method::Tun => words::tunnel_name(options.tunnel),
                Method::Dr | Method::Nat | Method::Fullnat => "n/a".to_owned(),
            };
            writeln!(
                to,
                " {method:<7} {tunnel:<13} {weight:<6} {active:<10} {inactive:<10}"
            )
        }
        Columns::Thresholds => {
            writeln!(to, " {upper:<10} {lower:<10} {active:<10} {inactive:<10}")
        }
        Columns::Persistent => {
            let persistent = listed.persistent;
            writeln!(
                to,
                " {weight:<9} {persistent:<11} {active:<10} {inactive:<10}"
            )
        }
        Columns::Stats => {
            let numbers = five(&listed.counters).map(|number| large(number, list.exact));
            writeln!(to, "{}", numbers.concat())
        }
        Columns::Rates => {
            let [connections, in_packets, out_packets, bytes @ ..] = five(&listed.counters);
            let bytes = bytes.map(|number| large(number, list.exact));
            let bytes = bytes.concat();
            writeln!(
                to,
                " {connections:>8} {in_packets:>8} {out_packets:>8}{bytes}"
            )
        }
    }
}

fn five(counters: &Counters) -> [u64; 5] {
    [
        counters.connections,
        counters.in_packets,
        counters.out_packets,
        counters.in_bytes,
        counters.out_bytes,
    ]
}
