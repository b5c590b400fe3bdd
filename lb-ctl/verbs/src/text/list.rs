//! Services and servers as a table.

use std::io::{self, Write};

use lb_api::{ListedServer, ListedService};
use lb_model::{Family, Options, ServiceId};

use super::table::{Table, left, right};

/// As `ipvsadm -ln` shows them.
pub fn services(
    services: &[ListedService],
    width: Option<usize>,
    to: &mut impl Write,
) -> io::Result<()> {
    let mut table = Table::default();
    table.row(vec![left("Prot LocalAddress:Port"), left("Scheduler")]);
    table.row(vec![
        left("  -> RemoteAddress:Port"),
        left("Forward"),
        right("Weight"),
        right("ActiveConn"),
        right("InActConn"),
    ]);
    for service in services {
        let row = vec![
            left(local_address(service.id)),
            left(&service.options.scheduler),
        ];
        table.row_with_note(row, note(service));
        for server in &service.servers {
            let row = vec![
                left(format!("  -> {}", server.id)),
                left(server.method),
                right(server.options.weight),
                right(server.load.active),
                right(server.load.inactive),
            ];
            table.row_with_note(row, server_note(server));
        }
    }
    table.render(width, to)
}

/// `TCP  192.168.100.11:80`
pub fn local_address(id: ServiceId) -> String {
    match id {
        ServiceId::Address { protocol, at } => {
            format!("{:<4} {at}", protocol.to_string().to_uppercase())
        }
        ServiceId::Mark {
            mark,
            family: Family::V4,
        } => format!("FWM  {mark}"),
        ServiceId::Mark {
            mark,
            family: Family::V6,
        } => format!("FWM  {mark} IPv6"),
    }
}

/// What is said of a service besides what has a column: `web, persistence 60s`.
pub fn note(service: &ListedService) -> String {
    let name = service.options.name.iter().map(ToString::to_string);
    let others = others(&service.options, &["name", "scheduler", "forward"]);
    name.chain(others).collect::<Vec<_>>().join(", ")
}

/// What is said of a server besides what has a column.
pub fn server_note(server: &ListedServer) -> String {
    let others = others(&server.options, &["weight", "forward"]);
    others.collect::<Vec<_>>().join(", ")
}

/// `key value` for each option that does not have its default, but for those that are `shown`.
fn others<T: Options>(options: &T, shown: &[&str]) -> impl Iterator<Item = String> {
    let rows = options.said().filter(|row| !shown.contains(&row.key));
    rows.map(|row| format!("{} {}", row.key, row.shown(options)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::sample;
    use lb_model::{ServerOptions, ServiceOptions, strategies};
    use proptest::prelude::*;

    fn listed(list: &[ListedService]) -> String {
        let mut text = Vec::new();
        services(list, None, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn services_are_listed_as_ipvs_users_know_them() {
        assert_eq!(
            listed(&sample::stats().services),
            "\
Prot LocalAddress:Port  Scheduler
  -> RemoteAddress:Port Forward   Weight ActiveConn InActConn
TCP  172.16.10.21:80    wrr       web
  -> 192.168.100.23:80  nat            3          0        15
  -> 192.168.100.39:80  nat            2          1         9
UDP  172.16.10.21:53    wlc
"
        );
    }

    /// The rows whose values are said and do not appear.
    fn missing<T: Options>(options: &T, text: &str) -> Vec<&'static str> {
        let missing = options
            .said()
            .filter(|row| !text.contains(&row.shown(options)));
        missing.map(|row| row.key).collect()
    }

    proptest! {
        #[test]
        fn every_option_that_is_said_is_listed(
            of_service in strategies::all_service_options(),
            of_server in strategies::all_server_options(),
        ) {
            let mut services = sample::stats().services;
            services.truncate(1);
            services[0].servers.truncate(1);
            services[0].options = ServiceOptions {
                // It is the default of the servers' method, which has a column.
                forward: ServiceOptions::default().forward,
                ..of_service.clone()
            };
            let server = &mut services[0].servers[0];
            server.method = of_server.forward.unwrap_or(of_service.forward);
            server.options = of_server;
            let text = listed(&services);
            prop_assert_eq!(missing(&services[0].options, &text), Vec::<&str>::new());
            let options: &ServerOptions = &services[0].servers[0].options;
            prop_assert_eq!(missing(options, &text), Vec::<&str>::new());
        }
    }
}
