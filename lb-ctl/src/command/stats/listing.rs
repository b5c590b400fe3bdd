//! The counters as a table for people.

use std::io::{self, Write};

use crate::{
    api::{Counters, ServiceStats, Stats},
    rates::{Rates, ServiceRates},
    spelling::Named,
    table::{Cell, Table, left, right},
};

/// What the columns of numbers show.
#[derive(Clone, Copy)]
pub enum Columns<'a> {
    /// Everything since the beginning.
    Totals,
    /// Per second; nothing is known at first.
    Rates(Option<&'a [ServiceRates]>),
}

/// What they show in one row.
enum Numbers {
    Totals,
    Rates(Rates),
    Unknown,
}

impl Columns<'_> {
    /// In the row of a service, by its place among the services.
    fn of_service(self, place: usize) -> Numbers {
        match self {
            Self::Totals => Numbers::Totals,
            Self::Rates(rates) => rates
                .and_then(|rates| rates.get(place))
                .map_or(Numbers::Unknown, |service| Numbers::Rates(service.rates)),
        }
    }

    /// In the row of a server, by its place among the servers of a service.
    fn of_server(self, service: usize, place: usize) -> Numbers {
        match self {
            Self::Totals => Numbers::Totals,
            Self::Rates(rates) => rates
                .and_then(|rates| rates.get(service)?.servers.get(place))
                .map_or(Numbers::Unknown, |server| Numbers::Rates(server.rates)),
        }
    }
}

/// As `ipvsadm -ln --stats` or `--rate` shows them, and what there is besides.
pub fn render(stats: &Stats, columns: Columns, to: &mut impl Write) -> io::Result<()> {
    let mut table = Table::default();
    let heads = match columns {
        Columns::Totals => ["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"],
        Columns::Rates(_) => ["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"],
    };
    let mut first = vec![
        left("Prot LocalAddress:Port"),
        left("Scheduler"),
        right(""),
        left(""),
        right("ActiveConn"),
        right("InActConn"),
    ];
    first.extend(heads.map(right));
    table.row(first);
    table.row(vec![
        left("  -> RemoteAddress:Port"),
        left("Forward"),
        right("Weight"),
        left("State"),
    ]);
    for (place, service) in stats.services.iter().enumerate() {
        add_service(service, place, columns, &mut table);
    }
    table.render(to)?;
    render_rest(stats, to)
}

fn add_service(service: &ServiceStats, place: usize, columns: Columns, table: &mut Table) {
    let mut row = vec![
        left(local_address(service)),
        left(service.scheduler.name()),
        right(""),
        left(""),
    ];
    row.extend(numbers(&service.counters, columns.of_service(place)));
    table.row_with_note(row, service.name.clone().unwrap_or_default());
    for (server_place, server) in service.servers.iter().enumerate() {
        let mut row = vec![
            left(format!("  -> {}", server.server)),
            left(server.method.name()),
            right(server.weight),
            left(&server.state),
        ];
        row.extend(numbers(
            &server.counters,
            columns.of_server(place, server_place),
        ));
        table.row(row);
    }
}

fn numbers(counters: &Counters, numbers: Numbers) -> impl Iterator<Item = Cell> {
    let traffic = match numbers {
        Numbers::Totals => [
            counters.connections,
            counters.in_packets,
            counters.out_packets,
            counters.in_bytes,
            counters.out_bytes,
        ]
        .map(right),
        Numbers::Rates(rates) => [
            rates.connections,
            rates.in_packets,
            rates.out_packets,
            rates.in_bytes,
            rates.out_bytes,
        ]
        .map(|rate| right(format_args!("{rate:.0}"))),
        Numbers::Unknown => ["-"; 5].map(right),
    };
    [right(counters.active), right(counters.inactive)]
        .into_iter()
        .chain(traffic)
}

/// The connection table, drops and interfaces.
fn render_rest(stats: &Stats, to: &mut impl Write) -> io::Result<()> {
    let table = stats.connections;
    writeln!(
        to,
        "connections: {} of {} ({} slots, {:.1} MiB in all)",
        table.used,
        table.capacity,
        table.slots,
        stats.memory as f64 / f64::from(1 << 20),
    )?;
    let drops: Vec<_> = stats
        .drops
        .iter()
        .filter(|drop| drop.packets > 0)
        .map(|drop| format!("{} {}", drop.reason, drop.packets))
        .collect();
    if !drops.is_empty() {
        writeln!(to, "dropped: {}", drops.join(", "))?;
    }
    let interfaces: Vec<_> = stats
        .interfaces
        .iter()
        .map(|interface| {
            let missing = if interface.attached {
                ""
            } else {
                ", not attached"
            };
            format!("{} ({}{missing})", interface.name, interface.mode)
        })
        .collect();
    if !interfaces.is_empty() {
        writeln!(to, "interfaces: {}", interfaces.join(", "))?;
    }
    Ok(())
}

/// `TCP  192.168.100.11:80`
pub fn local_address(service: &ServiceStats) -> String {
    let id = service.service;
    let protocol = id.protocol.name().to_uppercase();
    format!("{protocol:<4} {}:{}", id.address, id.port)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::{
        api::{DropStats, InterfaceStats, ServerStats, TableStats},
        desired::{Method, Scheduler},
        output::Output,
    };

    fn counters(numbers: [u64; 7]) -> Counters {
        let [
            connections,
            in_packets,
            out_packets,
            in_bytes,
            out_bytes,
            active,
            inactive,
        ] = numbers;
        Counters {
            connections,
            in_packets,
            out_packets,
            in_bytes,
            out_bytes,
            active,
            inactive,
        }
    }

    /// What a director could have counted.
    pub fn reading() -> Stats {
        let server = |server: &str, weight, numbers| ServerStats {
            server: server.parse().unwrap(),
            weight,
            method: Method::Nat,
            state: "up".into(),
            counters: counters(numbers),
        };
        let drop = |reason: &str, packets| DropStats {
            reason: reason.into(),
            packets,
        };
        Stats {
            services: vec![
                ServiceStats {
                    service: "tcp/172.16.10.21:80".parse().unwrap(),
                    name: Some("web".into()),
                    scheduler: Scheduler::Wrr,
                    counters: counters([25, 113, 95, 9_040, 123_456, 1, 24]),
                    servers: vec![
                        server("192.168.100.23:80", 3, [15, 67, 55, 5_360, 71_500, 0, 15]),
                        server("192.168.100.39:80", 2, [10, 46, 40, 3_680, 51_956, 1, 9]),
                    ],
                },
                ServiceStats {
                    service: "udp/172.16.10.21:53".parse().unwrap(),
                    name: None,
                    scheduler: Scheduler::Wlc,
                    counters: Counters::default(),
                    servers: vec![],
                },
            ],
            drops: vec![
                drop("no_server", 3),
                drop("too_big", 0),
                drop("ttl_expired", 1),
            ],
            connections: TableStats {
                used: 25,
                capacity: 1_000_000,
                slots: 3_000_000,
            },
            memory: 100 << 20,
            interfaces: vec![InterfaceStats {
                name: "eth0".into(),
                mode: "native".into(),
                attached: true,
            }],
            uptime: 61,
            pid: 4711,
        }
    }

    #[test]
    fn counters_stand_in_columns() {
        let mut output = Output::memory(false);
        render(&reading(), Columns::Totals, &mut output).unwrap();
        assert_eq!(
            output.text(),
            "\
Prot LocalAddress:Port  Scheduler              ActiveConn InActConn Conns InPkts OutPkts InBytes OutBytes
  -> RemoteAddress:Port Forward   Weight State
TCP  172.16.10.21:80    wrr                             1        24    25    113      95    9040   123456 web
  -> 192.168.100.23:80  nat            3 up             0        15    15     67      55    5360    71500
  -> 192.168.100.39:80  nat            2 up             1         9    10     46      40    3680    51956
UDP  172.16.10.21:53    wlc                             0         0     0      0       0       0        0
connections: 25 of 1000000 (3000000 slots, 100.0 MiB in all)
dropped: no_server 3, ttl_expired 1
interfaces: eth0 (native)
"
        );
    }
}
