//! Standard output, and what is known about who reads it.

use std::{
    env,
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
};

use serde::Serialize;

/// Where a verb writes what it found.
pub struct Output<W: Write> {
    to: W,
    /// Somebody is looking.
    pub terminal: bool,
    colour: bool,
}

impl Output<BufWriter<StdoutLock<'static>>> {
    /// Standard output.
    #[must_use]
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        Self {
            terminal: stdout.is_terminal(),
            colour: colour_for(&stdout),
            to: BufWriter::new(stdout.lock()),
        }
    }
}

/// Colour is for terminals, and not for those who set `NO_COLOR`.
pub fn colour_for(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

impl<W: Write> Output<W> {
    /// A value as JSON, on one line.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, value)?;
        self.to.write_all(b"\n")
    }

    /// A line of a plan: what comes is green, what changes is yellow, what goes is red.
    pub fn plan_line(&mut self, line: &str) -> io::Result<()> {
        let colour = match line.chars().next() {
            Some('+') => "32",
            Some('~') => "33",
            Some('-' | '!') => "31",
            _ => return writeln!(self.to, "{line}"),
        };
        if self.colour {
            writeln!(self.to, "\x1b[{colour}m{line}\x1b[0m")
        } else {
            writeln!(self.to, "{line}")
        }
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
impl Output<Vec<u8>> {
    /// For tests: into memory, as into a pipe or onto a terminal.
    pub fn memory(terminal: bool) -> Self {
        Self {
            to: Vec::new(),
            terminal,
            colour: terminal,
        }
    }

    /// What was written.
    pub fn text(self) -> String {
        String::from_utf8(self.to).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(terminal: bool) -> String {
        let mut output = Output::memory(terminal);
        for line in ["+ a", "~ b", "- c", "nothing to do"] {
            output.plan_line(line).unwrap();
        }
        output.text()
    }

    #[test]
    fn plans_are_coloured_for_terminals_alone() {
        assert_eq!(written(false), "+ a\n~ b\n- c\nnothing to do\n");
        assert_eq!(
            written(true),
            "\x1b[32m+ a\x1b[0m\n\x1b[33m~ b\x1b[0m\n\x1b[31m- c\x1b[0m\nnothing to do\n"
        );
    }
}
