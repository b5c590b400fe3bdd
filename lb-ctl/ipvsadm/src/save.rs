//! `-S`: services and servers as the commands that make them.

use std::io::{self, Write};

use lb_api::{ListedServer, Listing};
use lb_model::{Family, Method, ServiceId, ServiceOptions, spelling::Named};

use crate::{
    text::{self, Style},
    words,
};

/// Writes the commands. As with ipvsadm, thresholds are missing in them.
pub fn write(listing: &Listing, style: Style, to: &mut impl Write) -> io::Result<()> {
    for listed in &listing.services {
        let service = service(listed.id, style);
        write_service(&service, &listed.options, to)?;
        for server in &listed.servers {
            write_server(&service, listed.id, server, style, to)?;
        }
    }
    Ok(())
}

/// The options that name a service.
fn service(id: ServiceId, style: Style) -> String {
    match id {
        ServiceId::Address { protocol, at } => {
            let option = words::protocol_option(protocol);
            format!("{option} {}", style.endpoint(at, Some(protocol)))
        }
        ServiceId::Mark { mark, family } => {
            let family = match family {
                Family::V4 => "",
                Family::V6 => " -6",
            };
            format!("-f {}{family}", text::signed(mark))
        }
    }
}

fn write_service(service: &str, options: &ServiceOptions, to: &mut impl Write) -> io::Result<()> {
    write!(to, "-A {service} -s {}", options.scheduler.name())?;
    if let Some(persistence) = options.persistence {
        write!(to, " -p {}", persistence.timeout.0)?;
        if let Some(mask) = words::netmask_text(persistence.netmask) {
            write!(to, " -M {mask}")?;
        }
    }
    if let Some(engine) = &options.persistence_engine {
        write!(to, " --pe {engine}")?;
    }
    if options.one_packet {
        write!(to, " -o")?;
    }
    let flags = words::flags_text(options.scheduler_flags, &options.scheduler);
    if !flags.is_empty() {
        write!(to, " -b {flags}")?;
    }
    writeln!(to)
}

fn write_server(
    service: &str,
    id: ServiceId,
    server: &ListedServer,
    style: Style,
    to: &mut impl Write,
) -> io::Result<()> {
    let at = style.endpoint(text::address(server.id), text::protocol_of(id));
    let method = words::method_option(server.method);
    let weight = server.options.weight;
    write!(to, "-a {service} -r {at} {method} -w {weight}")?;
    if server.method == Method::Tun {
        write!(to, " {}", words::tunnel_options(server.options.tunnel))?;
    }
    writeln!(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        arguments::{Command, parse},
        names::Resolver,
    };
    use lb_api::ListedService;
    use lb_model::{
        Change, Counters, Load, Mask, Patch, Scheduler, SchedulerFlags, Server, ServerId,
        ServerOptions, Service, Tunnel, options::Options as _, strategies,
    };
    use proptest::prelude::*;

    fn listing(service: Service) -> Listing {
        let method = |server: &Server| service.method(server);
        let servers = service.servers.iter().map(|server| ListedServer {
            id: server.id,
            options: server.options.clone(),
            method: method(server),
            state: String::new(),
            load: Load::default(),
            persistent: 0,
            counters: Counters::default(),
        });
        let servers = servers.collect();
        Listing {
            capacity: 1,
            services: vec![ListedService {
                id: service.id,
                options: service.options,
                counters: Counters::default(),
                servers,
            }],
        }
    }

    /// The changes that the saved commands make.
    fn restored(service: Service) -> Vec<Change> {
        let names = Resolver::default();
        let mut saved = Vec::new();
        write(&listing(service), Style::new(true, &names), &mut saved).unwrap();
        let saved = String::from_utf8(saved).unwrap();
        let change = |line: &str| {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            match parse(&words, &names) {
                Ok(Command::Change { change, .. }) => change,
                other => panic!("{line}: {other:?}"),
            }
        };
        saved.lines().map(change).collect()
    }

    /// The options that ipvsadm has no word for, and values that two of them share.
    fn ipvs(options: ServiceOptions, id: ServiceId) -> ServiceOptions {
        let numbered = match options.scheduler {
            Scheduler::Sh | Scheduler::Mh => 3,
            _ => 7,
        };
        let mut persistence = options.persistence;
        if let Some(persistence) = &mut persistence {
            persistence.netmask = match (persistence.netmask, id.family()) {
                (mask @ Mask::V4(_), Family::V4) | (mask @ Mask::V6(_), Family::V6) => mask,
                _ => Mask::Whole,
            };
            if words::netmask_text(persistence.netmask).is_none() {
                persistence.netmask = Mask::Whole;
            }
        }
        ServiceOptions {
            scheduler: options.scheduler,
            scheduler_flags: SchedulerFlags(options.scheduler_flags.0 & numbered),
            persistence,
            persistence_engine: options.persistence_engine,
            one_packet: options.one_packet,
            ..ServiceOptions::default()
        }
    }

    proptest! {
        #[test]
        fn all_that_ipvs_knows_of_a_service_is_saved_and_restored(
            id in prop::sample::select(vec!["udp/192.0.2.1:53", "mark/5", "mark6/7"]),
            options in strategies::all_service_options(),
        ) {
            let id: ServiceId = id.parse().unwrap();
            let mut service = Service::new(id);
            service.options = ipvs(options.clone(), id);
            let expected = service.options.clone();
            prop_assert_eq!(restored(service), [Change::AddService { id, options: expected }]);

            // `-E` sets the same options and keeps what IPVS does not know.
            let mut edited = options.clone();
            let Change::SetService { set, .. } = words::edit_service(id, &ServiceOptions::default())
            else {
                panic!("`-E` changes a service")
            };
            set.put(&mut edited).unwrap();
            for row in ServiceOptions::ROWS {
                let of_ipvs = ["scheduler", "scheduler_flags", "persistence", "persistence_engine", "one_packet"];
                let expected = if of_ipvs.contains(&row.key) { ServiceOptions::default() } else { options.clone() };
                prop_assert_eq!((row.json)(&edited), (row.json)(&expected), "{}", row.key);
            }
        }

        #[test]
        fn all_of_a_server_but_its_thresholds_is_saved_and_restored(
            options in strategies::all_server_options(),
        ) {
            let mut service = Service::new("tcp/192.0.2.1:80".parse().unwrap());
            let method = match options.forward.unwrap_or(Method::Dr) {
                Method::Fullnat => Method::Nat,
                method => method,
            };
            let tunnel = match (method, options.tunnel) {
                // Port 0 is not a tunnel's.
                (Method::Tun, Tunnel::Gue { port, checksum }) => Tunnel::Gue {
                    port: port.max(1),
                    checksum,
                },
                (Method::Tun, tunnel) => tunnel,
                _ => Tunnel::Ipip,
            };
            let id: ServerId = "10.0.0.1:80".parse().unwrap();
            let options = ServerOptions { forward: Some(method), tunnel, ..options };
            let mut expected = ServerOptions::default();
            Patch::of(&options, &["weight", "forward", "tunnel"]).put(&mut expected).unwrap();
            service.servers = vec![Server { id, options }];
            let Some(Change::AddServer { options, server, .. }) = restored(service).pop() else {
                panic!("a server is saved")
            };
            prop_assert_eq!(server.of("tcp/192.0.2.1:1".parse().unwrap()), id);
            prop_assert_eq!(options, expected);
        }
    }
}
