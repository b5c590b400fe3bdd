//! Standard input, line by line, and whether more is on its way.

use std::{
    io::{self, BufRead, BufReader, Stdin as Stream},
    os::fd::AsFd,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Where commands are restored from.
pub trait Lines {
    /// The next line.
    fn next(&mut self) -> io::Result<Option<String>>;
    /// True where the next line is not there yet: what came before it need not wait for it.
    fn idle(&mut self) -> bool;
}

/// This program's.
pub struct Stdin(BufReader<Stream>);

/// Who writes commands by the thousand may take a breath of so many milliseconds.
const BREATH: u16 = 50;

impl Default for Stdin {
    fn default() -> Self {
        Self(BufReader::with_capacity(1 << 16, io::stdin()))
    }
}

impl Lines for Stdin {
    fn next(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line)?;
        let ended = line.is_empty();
        Ok((!ended).then(|| String::from_utf8_lossy(&line).into_owned()))
    }

    fn idle(&mut self) -> bool {
        if !self.0.buffer().is_empty() {
            return false;
        }
        let mut stdin = [PollFd::new(self.0.get_ref().as_fd(), PollFlags::POLLIN)];
        poll(&mut stdin, PollTimeout::from(BREATH)) == Ok(0)
    }
}
