//! `lb-ctl stats`: what passed, once or again and again.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use anyhow::Context;
use serde::Serialize;
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{Failure, ask, complain, out_of_place};
use crate::{
    api::{Counters, Reply, Request, ServiceStats, Stats},
    args,
    instance::Instance,
    output::Output,
    rates::{self, Rates, ServiceRates},
    spelling::Named,
    table::{Cell, Table, left, right},
};

pub fn stats(
    instance: &Instance,
    arguments: &args::Stats,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    if arguments.watch {
        return watch(instance, arguments, output);
    }
    let stats = fetch(instance)?;
    if arguments.json {
        output.json(&stats)?;
    } else {
        render(&stats, Columns::Totals, output)?;
    }
    Ok(())
}

/// Asks the daemon for its counters.
pub fn fetch(instance: &Instance) -> Result<Stats, Failure> {
    match ask(instance, &Request::Stats)? {
        Reply::Stats(stats) => Ok(stats),
        other => Err(out_of_place(other)),
    }
}

/// Shows rates until interrupted.
fn watch(
    instance: &Instance,
    arguments: &args::Stats,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start an event loop")?;
    let result = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch an interrupt")?;
        let mut ticks = interval(arguments.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = interrupt.recv() => return Ok(()),
            }
            let Some(reading) = read(instance, &mut interrupt).await else {
                return Ok(());
            };
            match reading {
                Ok(reading) => {
                    show(before.as_ref(), &reading, arguments.json, output)?;
                    before = Some(reading);
                }
                // Daemons are restarted while people watch.
                Err(Failure::Failed(message)) if before.is_some() => complain(&message),
                Err(failure) => return Err(failure),
            }
        }
    });
    // A daemon that does not answer must not hold up the end.
    runtime.shutdown_background();
    result
}

/// The counters at a time.
struct Reading {
    at: Instant,
    stats: Stats,
}

/// Nothing when interrupted.
async fn read(instance: &Instance, interrupt: &mut Signal) -> Option<Result<Reading, Failure>> {
    let instance = instance.clone();
    let fetched = spawn_blocking(move || {
        let stats = fetch(&instance)?;
        let at = Instant::now();
        Ok(Reading { at, stats })
    });
    tokio::select! {
        reading = fetched => Some(reading.unwrap_or_else(|error| {
            Err(Failure::Failed(format!("cannot ask the daemon: {error}")))
        })),
        _ = interrupt.recv() => None,
    }
}

/// A line of `lb-ctl stats --watch --json`: what `stats --json` has, and rates.
#[derive(Serialize)]
struct Watched<'a> {
    #[serde(flatten)]
    stats: &'a Stats,
    /// Since the line before, in seconds; absent in the first line.
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed: Option<f64>,
    /// During that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    rates: Option<&'a [ServiceRates]>,
}

fn show(
    before: Option<&Reading>,
    reading: &Reading,
    json: bool,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    let stats = &reading.stats;
    let elapsed = before.map(|before| reading.at.duration_since(before.at));
    let rates = before
        .zip(elapsed)
        .map(|(before, elapsed)| rates::between(&before.stats, stats, elapsed));
    if json {
        output.json(&Watched {
            stats,
            elapsed: elapsed.as_ref().map(Duration::as_secs_f64),
            rates: rates.as_deref(),
        })?;
    } else {
        // In one piece, so that nobody sees half of it.
        let mut block = Vec::new();
        if output.terminal {
            block.extend_from_slice(b"\x1b[H\x1b[J");
        }
        render(stats, Columns::Rates(rates.as_deref()), &mut block)?;
        if !output.terminal {
            block.push(b'\n');
        }
        output.write_all(&block)?;
    }
    Ok(output.flush()?)
}

/// What the columns of numbers show.
#[derive(Clone, Copy)]
enum Columns<'a> {
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
fn render(stats: &Stats, columns: Columns, to: &mut impl Write) -> io::Result<()> {
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

    fn shown(before: Option<&Reading>, json: bool, terminal: bool) -> String {
        let at = before.map_or_else(Instant::now, |before| before.at + Duration::from_secs(2));
        let mut stats = reading();
        stats.services[0].counters.connections += 5;
        stats.services[0].servers[0].counters.in_bytes += 3_001;
        let mut output = Output::memory(terminal);
        show(before, &Reading { at, stats }, json, &mut output).unwrap();
        output.text()
    }

    fn first() -> Reading {
        Reading {
            at: Instant::now(),
            stats: reading(),
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

    #[test]
    fn the_first_look_knows_no_rates() {
        let text = shown(None, false, false);
        assert!(text.starts_with("Prot") && text.ends_with("\n\n"));
        assert!(
            text.lines()
                .nth(3)
                .unwrap()
                .ends_with("0        15   -     -      -     -      -")
        );
    }

    #[test]
    fn the_next_look_shows_rates() {
        let text = shown(Some(&first()), false, false);
        let rows: Vec<_> = text.lines().collect();
        assert!(rows[0].ends_with("CPS InPPS OutPPS InBPS OutBPS"));
        assert!(rows[2].ends_with("1        24   2     0      0     0      0 web"));
        assert!(rows[3].ends_with("0        15   0     0      0  1500      0"));
    }

    #[test]
    fn a_terminal_is_drawn_anew() {
        assert!(shown(None, false, true).starts_with("\x1b[H\x1b[JProt"));
        assert!(shown(None, true, true).starts_with('{'));
    }

    #[test]
    fn each_look_is_a_line_of_json() {
        let parse = |text: String| {
            assert_eq!(text.matches('\n').count(), 1);
            serde_json::from_str::<serde_json::Value>(&text).unwrap()
        };
        let line = parse(shown(None, true, false));
        assert_eq!(line["services"][0]["connections"], 30);
        assert!(line.get("rates").is_none());
        let line = parse(shown(Some(&first()), true, false));
        assert_eq!(line["elapsed"], 2.0);
        assert_eq!(line["rates"][0]["connections"], 2.5);
        assert_eq!(line["rates"][0]["servers"][0]["in_bytes"], 1500.5);
    }
}
