//! `lb-ctl stats`: connections, packets and bytes, once or again and again.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use lb_api::{Instance, Reply, Request};
use lb_model::Fault;
use serde::Serialize;
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::MissedTickBehavior,
};

use crate::{
    ask::{ask, out_of_place},
    failure::{Failure, complain},
    text::{
        json::{self, StatsJson},
        output::Output,
        rates::{self, ServiceRates},
        traffic::{Columns, render},
    },
};

/// `lb-ctl stats`
#[derive(Debug, Args)]
pub struct Stats {
    /// Show rates, again and again, until interrupted
    #[arg(long)]
    pub watch: bool,
    /// With --watch: how often, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "1",
        requires = "watch",
        value_parser = interval
    )]
    pub interval: Duration,
    /// As JSON, with every option; with --watch, one line each time
    #[arg(long)]
    pub json: bool,
}

/// From a tenth of a second to a day.
fn interval(text: &str) -> Result<Duration, Fault> {
    text.parse()
        .ok()
        .filter(|seconds| (0.1..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| Fault::new("give seconds from 0.1 to 86400"))
}

impl Stats {
    pub fn carry_out(
        &self,
        instance: &Instance,
        output: &mut Output<impl Write>,
    ) -> Result<(), Failure> {
        if self.watch {
            return watch(instance, self, output);
        }
        let stats = fetch(instance)?;
        if self.json {
            output.json(&json::stats(&stats))?;
        } else {
            render(&stats, Columns::Totals, output.width, output)?;
        }
        Ok(())
    }
}

/// Asks the daemon for its counters.
fn fetch(instance: &Instance) -> Result<lb_api::Stats, Failure> {
    match ask(instance, &Request::Stats)? {
        Reply::Stats(stats) => Ok(stats),
        _ => Err(out_of_place()),
    }
}

/// Shows rates until interrupted.
fn watch(
    instance: &Instance,
    arguments: &Stats,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start an event loop")?;
    let result = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch an interrupt")?;
        let mut ticks = tokio::time::interval(arguments.interval);
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
                // The daemon may be restarted meanwhile: the next reading tells.
                Err(Failure::Failed(message)) if before.is_some() => complain(&message),
                Err(failure) => return Err(failure),
            }
        }
    });
    // A thread may still wait for the daemon's answer: it must not delay the end.
    runtime.shutdown_background();
    result
}

/// The counters at a time.
struct Reading {
    at: Instant,
    stats: lb_api::Stats,
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
    stats: StatsJson<'a>,
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
            stats: json::stats(stats),
            elapsed: elapsed.as_ref().map(Duration::as_secs_f64),
            rates: rates.as_deref(),
        })?;
    } else {
        // Written in one piece, so that a terminal never shows half of it.
        let mut block = Vec::new();
        if output.terminal {
            block.extend_from_slice(b"\x1b[H\x1b[J");
        }
        render(
            stats,
            Columns::Rates(rates.as_deref()),
            output.width,
            &mut block,
        )?;
        if !output.terminal {
            block.push(b'\n');
        }
        output.write_all(&block)?;
    }
    Ok(output.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::sample;

    fn shown(before: Option<&Reading>, json: bool, terminal: bool) -> String {
        let at = before.map_or_else(Instant::now, |before| before.at + Duration::from_secs(2));
        let mut stats = sample::stats();
        stats.services[0].counters.connections += 5;
        stats.services[0].servers[0].counters.in_bytes += 3_001;
        let mut output = Output::memory(terminal);
        show(before, &Reading { at, stats }, json, &mut output).unwrap();
        output.text()
    }

    fn first() -> Reading {
        Reading {
            at: Instant::now(),
            stats: sample::stats(),
        }
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
