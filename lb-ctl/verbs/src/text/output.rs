//! Standard output, and whether it is a terminal.

use std::{
    env,
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
    mem,
    os::fd::AsRawFd,
};

use serde::Serialize;

/// Where a verb writes what it found.
pub struct Output<W: Write> {
    to: W,
    /// Whether a terminal shows it.
    pub terminal: bool,
    /// How many characters a line may have; no limit in a pipe or a file, if nobody would see
    /// what is left out.
    pub width: Option<usize>,
    colour: bool,
}

impl Output<BufWriter<StdoutLock<'static>>> {
    /// Standard output.
    #[must_use]
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        Self {
            terminal: stdout.is_terminal(),
            width: width_of(&stdout),
            colour: colour_for(&stdout),
            to: BufWriter::new(stdout.lock()),
        }
    }
}

/// The width that the user asks for by `COLUMNS`, or the terminal's.
fn width_of(stream: &(impl IsTerminal + AsRawFd)) -> Option<usize> {
    let asked = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let width = asked.or_else(|| {
        if !stream.is_terminal() {
            return None;
        }
        // SAFETY: all of its fields are numbers.
        let mut size: libc::winsize = unsafe { mem::zeroed() };
        // SAFETY: the kernel writes a `winsize` to `size`.
        let outcome = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
        (outcome == 0).then(|| usize::from(size.ws_col))
    });
    // A terminal that does not know its size says 0.
    width.map(|width| if width == 0 { USUAL_WIDTH } else { width })
}

/// Of a terminal.
pub const USUAL_WIDTH: usize = 80;

/// Whether a stream gets colour: if it is a terminal, and `NO_COLOR` is not set.
pub fn colour_for(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

impl<W: Write> Output<W> {
    /// A value as JSON, on one line.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, value)?;
        self.to.write_all(b"\n")
    }

    /// A line that tells a change: green if something is new, yellow if it changes, red if it goes.
    pub fn change_line(&mut self, line: &str) -> io::Result<()> {
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
    /// Writes into memory, as if into a pipe or onto a terminal.
    pub fn memory(terminal: bool) -> Self {
        Self {
            to: Vec::new(),
            terminal,
            width: terminal.then_some(USUAL_WIDTH),
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
            output.change_line(line).unwrap();
        }
        output.text()
    }

    #[test]
    fn changes_have_colours_on_a_terminal_only() {
        assert_eq!(written(false), "+ a\n~ b\n- c\nnothing to do\n");
        assert_eq!(
            written(true),
            "\x1b[32m+ a\x1b[0m\n\x1b[33m~ b\x1b[0m\n\x1b[31m- c\x1b[0m\nnothing to do\n"
        );
    }
}
