//! The demo's output.

use std::{
    collections::BTreeMap,
    env,
    io::{IsTerminal, Write},
    process,
    time::Duration,
};

use anyhow::Result;
use lb_tests::director::Director;

use crate::labs::Story;

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const CYAN: &str = "36";

/// The output, and whether it is in colour.
pub struct Screen<W> {
    to: W,
    colour: bool,
}

impl<W: Write + IsTerminal> Screen<W> {
    /// In colour only on a terminal, and not where `NO_COLOR` is set (<https://no-color.org>).
    pub fn new(to: W) -> Self {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = to.is_terminal() && !refused;
        Self { to, colour }
    }
}

impl<W: Write> Screen<W> {
    pub fn opening(&mut self, connections: usize) -> Result<()> {
        let title = self.paint(BOLD, "A load balancer in a lab");
        writeln!(
            self.to,
            "{title}: one client, one director, three real servers, each a network"
        )?;
        writeln!(
            self.to,
            "namespace of its own. {connections} HTTP connections for each way of forwarding."
        )?;
        Ok(())
    }

    pub fn title(&mut self, method: &str, idea: &str, diagram: &str) -> Result<()> {
        let method = self.paint(BOLD, method);
        writeln!(self.to, "\n{method}  {idea}")?;
        let diagram = self.indent(diagram, CYAN);
        write!(self.to, "{diagram}")?;
        Ok(())
    }

    pub fn file(&mut self, name: &str, content: &str) -> Result<()> {
        let name = self.paint(BOLD, name);
        let content = self.indent(content, DIM);
        write!(self.to, "  {name}\n{content}")?;
        Ok(())
    }

    pub fn done(&mut self, step: &str, took: Duration) -> Result<()> {
        let (tick, took) = (self.paint(GREEN, "✓"), format!("{} ms", took.as_millis()));
        let took = self.paint(DIM, &took);
        writeln!(self.to, "  {tick} {step}  {took}")?;
        self.to.flush()?;
        Ok(())
    }

    pub fn served(&mut self, servers: &[String], tally: &BTreeMap<&str, usize>) -> Result<()> {
        let tally: Vec<_> = tally
            .iter()
            .map(|(server, n)| format!("{server} {n}×"))
            .collect();
        let tally = self.paint(BOLD, &tally.join(", "));
        writeln!(self.to, "    the client saw: {}", servers.join(" "))?;
        writeln!(self.to, "    in all: {tally}")?;
        Ok(())
    }

    pub fn table(&mut self, command: &str, table: &str) -> Result<()> {
        let command = self.paint(BOLD, command);
        let table = self.indent(table, "");
        write!(self.to, "  the director saw, says {command}:\n{table}")?;
        Ok(())
    }

    pub fn how_to_explore(
        &mut self,
        story: &Story,
        client: &str,
        director: &Director,
    ) -> Result<()> {
        let (instance, directory) = (director.instance(), director.path(""));
        let (service, binary) = (story.service, director.binary());
        let method = self.paint(BOLD, story.method);
        writeln!(self.to, "\n{method} is up. In another terminal, as root:")?;
        writeln!(
            self.to,
            "  nsenter --net=/run/netns/{client} curl http://{service}/"
        )?;
        let (directory, binary) = (directory.display(), binary.display());
        writeln!(
            self.to,
            "  LB_RUN_DIR={directory} {binary} --instance {instance} stats --watch"
        )?;
        Ok(())
    }

    pub fn how_to_end(&mut self) -> Result<()> {
        let this = env::current_exe().unwrap_or_else(|_| "demo".into());
        let (this, id) = (this.display(), process::id());
        writeln!(
            self.to,
            "\nCtrl-C ends it all; so does `{this} --down`, or `kill {id}`."
        )?;
        Ok(())
    }

    pub fn closing(&mut self, took: Duration) -> Result<()> {
        let took = took.as_secs_f32();
        writeln!(self.to, "\nDone in {took:.1} s; nothing is left behind.")?;
        Ok(())
    }

    pub fn ended(&mut self, demos: usize) -> Result<()> {
        writeln!(self.to, "demos told to end: {demos}")?;
        Ok(())
    }

    fn indent(&self, text: &str, colour: &str) -> String {
        let lines = text.trim_matches('\n').lines();
        lines
            .map(|line| format!("    {}\n", self.paint(colour, line)))
            .collect()
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour && !colour.is_empty() {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
