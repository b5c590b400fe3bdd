//! The demo. For each forwarding method, it makes a lab, sends real HTTP requests through the
//! director, and shows the director's own counters. `cargo xtask demo` runs it.

mod labs;
mod screen;
mod signals;

use std::{
    io,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Parser;
use lb_lab::{client::tally, lab::Lab};
use lb_tests::director::Director;

use crate::{labs::Story, screen::Screen};

const CONNECTIONS: usize = 12;

/// Balances real HTTP through DR, NAT and TUN, in network namespaces of this machine
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Leave the labs up until Ctrl-C, and say how to explore them
    #[arg(long)]
    keep: bool,
    /// End the demos that run with --keep elsewhere
    #[arg(long, conflicts_with = "keep")]
    down: bool,
}

/// A running lab. The director is dropped before its machine.
struct Running {
    story: Story,
    director: Director,
    lab: Lab,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut screen = Screen::new(io::stdout());
    let result = match arguments.down {
        true => signals::end_other_demos().and_then(|ended| screen.ended(ended)),
        false => {
            signals::watch();
            show(&mut screen, arguments.keep)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if signals::arrived() => {
            eprintln!("Interrupted; nothing is left behind.");
            ExitCode::from(130)
        }
        // The reader of the output has closed the pipe: not an error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
            eprintln!("Error: {}", causes.join("\n  because: "));
            ExitCode::FAILURE
        }
    }
}

fn show(screen: &mut Screen<impl io::Write>, keep: bool) -> Result<()> {
    let start = Instant::now();
    screen.opening(CONNECTIONS)?;
    let mut kept = Vec::new();
    for story in labs::stories() {
        let running = tell(screen, story)?;
        if keep {
            kept.push(running);
        }
    }
    if keep {
        for Running {
            story,
            director,
            lab,
        } in &kept
        {
            screen.how_to_explore(story, lab.host("client")?.name(), director)?;
        }
        screen.how_to_end()?;
        signals::wait();
    }
    drop(kept);
    screen.closing(start.elapsed())
}

fn tell(screen: &mut Screen<impl io::Write>, story: Story) -> Result<Running> {
    screen.title(story.method, story.idea, story.diagram)?;
    screen.file("lb.yaml", story.configuration)?;

    let (lab, took) = timed(|| Lab::realise(&story.topology))?;
    let machines = story.topology.hosts.len();
    screen.done(&format!("lab of {machines} machines is up"), took)?;

    let (director, took) = timed(|| Director::start(&lab, story.configuration))?;
    let mode = director.attached("eth0")?;
    let mode = mode.map_or("no", |mode| mode.name());
    screen.done(
        &format!("lb-ctl run: XDP program attached, {mode} mode"),
        took,
    )?;

    let client = lab.client("client", story.service)?;
    let (served, took) = timed(|| client.servers(CONNECTIONS))?;
    screen.done(
        &format!("{CONNECTIONS} × GET http://{}/", story.service),
        took,
    )?;
    screen.served(&served, &tally(&served))?;

    // The screen indents the table by four.
    let stats = director.done("COLUMNS=76 lb-ctl stats")?;
    screen.table("lb-ctl stats", &stats)?;
    Ok(Running {
        story,
        director,
        lab,
    })
}

fn timed<T>(step: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let start = Instant::now();
    let value = step()?;
    signals::ensure_none()?;
    Ok((value, start.elapsed()))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
