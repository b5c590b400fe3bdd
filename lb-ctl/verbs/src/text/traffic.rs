//! The counters as a table for people.

use std::io::{self, Write};

use lb_api::{ListedServer, ListedService, Stats};
use lb_model::{Counters, Load};

use super::{
    list::{local_address, note, server_note},
    rates::{Rates, ServiceRates},
    table::{Cell, Table, left, list, right, short},
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

/// As `ipvsadm -ln --stats` or `--rate` shows them; then the table, drops and interfaces. Where
/// the lines have a width that this does not fit into, numbers and heads are shorter.
pub fn render(
    stats: &Stats,
    columns: Columns,
    width: Option<usize>,
    to: &mut impl Write,
) -> io::Result<()> {
    let mut table = table(stats, columns, Style::Whole);
    if !table.fits(width) {
        table = self::table(stats, columns, Style::Short);
    }
    table.render(width, to)?;
    render_rest(stats, width, to)
}

/// How much is shown.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// All digits; a server's state in a column.
    Whole,
    /// The first digits of large numbers; a server's state at the end of the line.
    Short,
}

impl Style {
    fn number(self, number: u64) -> Cell {
        match self {
            Self::Whole => right(number),
            Self::Short => right(short(number)),
        }
    }
}

fn table(stats: &Stats, columns: Columns, style: Style) -> Table {
    let mut table = Table::default();
    match style {
        Style::Whole => add_heads(columns, &mut table),
        Style::Short => add_short_heads(columns, &mut table),
    }
    for (place, service) in stats.services.iter().enumerate() {
        add_service(service, columns.of_service(place), style, &mut table);
        for (server_place, server) in service.servers.iter().enumerate() {
            let numbers = columns.of_server(place, server_place);
            add_server(server, numbers, style, &mut table);
        }
    }
    table
}

fn add_heads(columns: Columns, table: &mut Table) {
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
}

fn add_short_heads(columns: Columns, table: &mut Table) {
    let heads = match columns {
        Columns::Totals => ["Conns", "Pkts", "Pkts", "Bytes", "Bytes"],
        Columns::Rates(_) => ["CPS", "PPS", "PPS", "BPS", "BPS"],
    };
    let mut first = vec![
        left("Prot LocalAddress:Port"),
        left("Sched"),
        right(""),
        right("Act"),
        right("InAct"),
    ];
    first.extend(heads.map(right));
    table.row(first);
    let mut second = vec![
        left("  -> RemoteAddress:Port"),
        left("Fwd"),
        right("Wt"),
        right("Conn"),
        right("Conn"),
    ];
    second.extend(["", "in", "out", "in", "out"].map(right));
    table.row(second);
}

fn add_service(service: &ListedService, columns: Numbers, style: Style, table: &mut Table) {
    let mut row = vec![
        left(local_address(service.id)),
        left(&service.options.scheduler),
        right(""),
    ];
    if style == Style::Whole {
        row.push(left(""));
    }
    row.extend(numbers(service.load(), service.counters, columns, style));
    table.row_with_note(row, note(service));
}

fn add_server(server: &ListedServer, columns: Numbers, style: Style, table: &mut Table) {
    let mut row = vec![
        left(format!("  -> {}", server.id)),
        left(server.method),
        right(server.options.weight),
    ];
    let mut note = server_note(server);
    match style {
        Style::Whole => row.push(left(&server.state)),
        Style::Short if note.is_empty() => note.clone_from(&server.state),
        Style::Short => note = format!("{}, {note}", server.state),
    }
    row.extend(numbers(server.load, server.counters, columns, style));
    table.row_with_note(row, note);
}

fn numbers(
    load: Load,
    counters: Counters,
    numbers: Numbers,
    style: Style,
) -> impl Iterator<Item = Cell> {
    let number = |number| style.number(number);
    let traffic = match numbers {
        Numbers::Totals => [
            counters.connections,
            counters.in_packets,
            counters.out_packets,
            counters.in_bytes,
            counters.out_bytes,
        ]
        .map(number),
        Numbers::Rates(rates) => [
            rates.connections,
            rates.in_packets,
            rates.out_packets,
            rates.in_bytes,
            rates.out_bytes,
        ]
        // The nearest even number where it is in the middle, as `{:.0}` writes it.
        .map(|rate| number(rate.round_ties_even() as u64)),
        Numbers::Unknown => ["-"; 5].map(right),
    };
    [load.active, load.inactive]
        .map(number)
        .into_iter()
        .chain(traffic)
}

/// The connection table, drops and interfaces.
fn render_rest(stats: &Stats, width: Option<usize>, to: &mut impl Write) -> io::Result<()> {
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
            list(&format!("{what}: "), &counts.join(", "), width, to)?;
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
        list("interfaces: ", &interfaces.join(", "), width, to)?;
    }
    for trouble in &stats.troubles {
        list("trouble: ", trouble, width, to)?;
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
        render(&sample::stats(), Columns::Totals, None, &mut output).unwrap();
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

    #[test]
    fn a_narrow_terminal_gets_shorter_numbers_and_no_longer_lines() {
        let mut stats = sample::stats();
        let [first, second] = &mut stats.services[0].servers[..] else {
            panic!("two servers");
        };
        first.state = "next hop unknown".into();
        first.id = "255.255.255.255:65535".parse().unwrap();
        first.options.weight = 10;
        second.counters.out_bytes = 1_234_567_890;
        second.load.active = 2_000_000;
        stats.troubles = vec!["one word after the other ".repeat(8).trim().into()];
        let mut output = Output::memory(true);
        render(&stats, Columns::Totals, Some(80), &mut output).unwrap();
        let text = output.text();
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert_eq!(
            text.lines().take(7).collect::<Vec<_>>().join("\n"),
            "\
Prot LocalAddress:Port     Sched     Act InAct Conns Pkts Pkts Bytes Bytes
  -> RemoteAddress:Port    Fwd   Wt Conn  Conn         in  out    in   out
TCP  172.16.10.21:80       wrr      2.0M    24    25  113   95  9040  123K web
  -> 255.255.255.255:65535 nat   10    0    15    15   67   55  5360 71500
    next hop unknown
  -> 192.168.100.39:80     nat    2 2.0M     9    10   46   40  3680  1.2G up
UDP  172.16.10.21:53       wlc         0     0     0    0    0     0     0"
        );
        let mut output = Output::memory(true);
        render(&stats, Columns::Rates(None), Some(80), &mut output).unwrap();
        assert!(output.text().lines().all(|line| line.chars().count() <= 80));
        let mut output = Output::memory(false);
        render(&stats, Columns::Totals, None, &mut output).unwrap();
        assert!(output.text().contains("1234567890"));
    }
}
