//! The counters as a table for people.

use std::io::{self, Write};

use lb_api::{ListedServer, ListedService, Stats};
use lb_model::{Counters, Load};

use super::{
    list::{local_address, note, server_note},
    rates::{Rates, ServiceRates},
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

/// What the columns show in one row.
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

/// As `ipvsadm -ln --stats` or `--rate` shows them; then the table, drops and interfaces.
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

fn add_service(service: &ListedService, place: usize, columns: Columns, table: &mut Table) {
    let mut row = vec![
        left(local_address(service.id)),
        left(&service.options.scheduler),
        right(""),
        left(""),
    ];
    row.extend(numbers(
        service.load(),
        service.counters,
        columns.of_service(place),
    ));
    table.row_with_note(row, note(service));
    for (server_place, server) in service.servers.iter().enumerate() {
        let numbers = columns.of_server(place, server_place);
        add_server(server, numbers, table);
    }
}

fn add_server(server: &ListedServer, columns: Numbers, table: &mut Table) {
    let mut row = vec![
        left(format!("  -> {}", server.id)),
        left(server.method),
        right(server.options.weight),
        left(&server.state),
    ];
    row.extend(numbers(server.load, server.counters, columns));
    table.row_with_note(row, server_note(server));
}

fn numbers(load: Load, counters: Counters, numbers: Numbers) -> impl Iterator<Item = Cell> {
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
    [right(load.active), right(load.inactive)]
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
    for (what, counts) in [
        ("dropped", &stats.drops),
        ("left to the kernel", &stats.passes),
    ] {
        let counts: Vec<_> = counts
            .iter()
            .filter(|count| count.packets > 0)
            .map(|count| format!("{} {}", count.reason, count.packets))
            .collect();
        if !counts.is_empty() {
            writeln!(to, "{what}: {}", counts.join(", "))?;
        }
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
            let unnamed = if interface.because.is_some() {
                ", needed"
            } else {
                ""
            };
            let renamed = match &interface.configured {
                Some(name) => format!(", {name} in the configuration"),
                None => String::new(),
            };
            format!(
                "{} ({}{missing}{unnamed}{renamed})",
                interface.name, interface.mode
            )
        })
        .collect();
    if !interfaces.is_empty() {
        writeln!(to, "interfaces: {}", interfaces.join(", "))?;
    }
    for trouble in &stats.troubles {
        writeln!(to, "trouble: {trouble}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{output::Output, sample};

    #[test]
    fn counters_are_shown_in_columns() {
        let mut output = Output::memory(false);
        render(&sample::stats(), Columns::Totals, &mut output).unwrap();
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
left to the kernel: forged_source 2
interfaces: eth0 (native)
trouble: the cable is out
"
        );
    }
}
