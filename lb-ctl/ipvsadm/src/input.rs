//! Standard input, line by line.

use std::{
    io::{self, BufRead, BufReader, Stdin as Stream},
    os::fd::AsFd,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The lines that commands are restored from.
pub trait Lines {
    /// The next line with its end; nothing at the end of the input.
    fn next(&mut self) -> io::Result<Option<String>>;
    /// True if the next line is not there yet. The commands before it are then carried out
    /// without waiting for it.
    fn idle(&mut self) -> bool;
}

/// Standard input.
pub struct Stdin(BufReader<Stream>);

/// How long to wait for another line before the commands so far are carried out, in milliseconds.
/// A program that writes many of them may pause for less.
const PAUSE: u16 = 50;

impl Default for Stdin {
    fn default() -> Self {
        Self(BufReader::with_capacity(1 << 16, io::stdin()))
    }
}

impl Lines for Stdin {
    fn next(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line)?;
        let there = !line.is_empty();
        Ok(there.then(|| String::from_utf8_lossy(&line).into_owned()))
    }

    fn idle(&mut self) -> bool {
        if !self.0.buffer().is_empty() {
            return false;
        }
        let mut stdin = [PollFd::new(self.0.get_ref().as_fd(), PollFlags::POLLIN)];
        poll(&mut stdin, PollTimeout::from(PAUSE)) == Ok(0)
    }
}
