//! Carrying out a command line: from its arguments to its output and its exit code.

use std::io::{self, Write};

use lb_api::{MAX_REQUEST, Numbers};
use lb_model::{Change, Refusal};

use crate::{
    arguments::{self, Command, Complaint, List, Subject},
    connections,
    input::Lines,
    kernel::{Failure, Kernel},
    listing, messages,
    names::Names,
    order,
    program::Program,
    save,
    text::Style,
    words,
};

/// A call of one of the programs.
pub struct Session<'a, K, I, O, E> {
    /// The kernel that is asked.
    pub kernel: K,
    /// Where names are looked up.
    pub names: &'a dyn Names,
    /// Standard input.
    pub input: I,
    /// Standard output.
    pub output: O,
    /// Standard error.
    pub errors: E,
}

/// Why a session ended early.
#[derive(Debug)]
pub enum End {
    /// Standard output cannot be written.
    Output(io::Error),
    /// Standard input cannot be read.
    Input(io::Error),
    /// The kernel cannot be asked.
    Failure(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// True for help and version, which are there without a kernel.
fn needs_no_kernel(arguments: &[String]) -> bool {
    let first = arguments.first().map(String::as_str);
    matches!(first, Some("-h" | "--help" | "-v" | "--version"))
}

/// The exit code where the kernel refuses a change.
const REFUSED: u8 = 255;

/// What follows a line that is restored; each with an exit code.
enum Next {
    Line(u8),
    Exit(u8),
}

impl<K: Kernel, I: Lines, O: Write, E: Write> Session<'_, K, I, O, E> {
    /// Carries out a command line. Gives the exit code.
    pub fn run(&mut self, program: Program, arguments: &[String]) -> Result<u8, End> {
        match program {
            Program::Ipvsadm => self.ipvsadm(arguments),
            Program::Save => self.ipvsadm_save(arguments),
            Program::Restore => {
                let command = "ipvsadm-restore";
                self.kernel.change(vec![Change::Clear], command)?;
                self.restore(command, |line| !line.starts_with('#'))
            }
        }
    }

    fn ipvsadm(&mut self, arguments: &[String]) -> Result<u8, End> {
        let list = ["-L".to_owned()];
        let arguments = if arguments.is_empty() {
            &list
        } else {
            arguments
        };
        let command = arguments::parse(arguments, self.names);
        // Where there is no kernel, that is said before anything else. These commands ask it
        // anyway; restoring does, too, but reads lines before.
        let asks = matches!(
            command,
            Ok(Command::Change { .. } | Command::List(_) | Command::Save { .. })
        );
        if !asks && !needs_no_kernel(arguments) {
            self.kernel.greet()?;
        }
        match command {
            Ok(Command::Restore) => self.restore("ipvsadm -R", |_| true),
            Ok(Command::Change { change, verb }) => {
                self.change(vec![change], &format!("ipvsadm {}", verb.option()))
            }
            Ok(command) => match self.look(&command)? {
                Next::Line(code) | Next::Exit(code) => Ok(code),
            },
            Err(complaint) => {
                self.complain(&complaint.text)?;
                Ok(complaint.code)
            }
        }
    }

    /// As the script of this name: the first argument that is not an option ends the options.
    fn ipvsadm_save(&mut self, arguments: &[String]) -> Result<u8, End> {
        let mut numeric = false;
        for argument in arguments {
            match argument.strip_prefix('-') {
                Some("-" | "") | None => break,
                Some(letters) if letters.bytes().all(|letter| letter == b'n') => numeric = true,
                Some(_) => {
                    self.kernel.greet()?;
                    let _ = write!(self.errors, "{}", messages::SAVE_USAGE);
                    return Ok(1);
                }
            }
        }
        self.save(numeric)?;
        Ok(0)
    }

    /// Carries out standard input line by line. A line with wrong arguments ends it; a change that
    /// the kernel refuses does not. Gives the last line's exit code.
    ///
    /// Changes are collected as long as there are more lines, and made all at once.
    fn restore(&mut self, command: &str, wanted: impl Fn(&str) -> bool) -> Result<u8, End> {
        let mut changes = Changes::default();
        let mut code = 0;
        loop {
            if changes.is_full() || (!changes.list.is_empty() && self.input.idle()) {
                code = self.change(changes.take(), command)?;
            }
            let Some(line) = self.input.next().map_err(End::Input)? else {
                break;
            };
            if !wanted(&line) {
                continue;
            }
            let mut words = line.split_ascii_whitespace().peekable();
            words.next_if_eq(&"ipvsadm");
            let words: Vec<String> = words.map(str::to_owned).collect();
            if words.is_empty() {
                continue;
            }
            let next = match arguments::parse(&words, self.names) {
                Ok(Command::Change { change, .. }) => {
                    changes.add(change);
                    continue;
                }
                other => {
                    if !changes.list.is_empty() {
                        self.change(changes.take(), command)?;
                    }
                    self.restored(other)?
                }
            };
            match next {
                Next::Line(last) => code = last,
                Next::Exit(last) => return Ok(last),
            }
        }
        if !changes.list.is_empty() {
            code = self.change(changes.take(), command)?;
        }
        Ok(code)
    }

    /// Carries out a restored line that is not a change.
    fn restored(&mut self, command: Result<Command, Complaint>) -> Result<Next, End> {
        match command {
            // Restoring cannot be nested.
            Ok(Command::Restore) => self.restored(Err(Complaint::try_help())),
            Ok(command) => self.look(&command),
            Err(complaint) => {
                self.complain(&complaint.text)?;
                Ok(if complaint.fatal {
                    Next::Exit(complaint.code)
                } else {
                    Next::Line(complaint.code)
                })
            }
        }
    }

    /// Makes changes, and says which were refused. Gives the last one's exit code.
    fn change(&mut self, changes: Vec<Change>, command: &str) -> Result<u8, End> {
        let last = changes.len().saturating_sub(1);
        let mut code = 0;
        for refused in self.kernel.change(changes.clone(), command)? {
            if let Some(change) = changes.get(refused.place) {
                self.complain(messages::refusal(change, refused.refusal))?;
            }
            // ipvsadm's message does not say which limit it is.
            if let Some(limit) = refused.limit {
                self.complain(&limit)?;
            }
            if refused.place == last {
                code = REFUSED;
            }
        }
        Ok(code)
    }

    /// Carries out a command that changes nothing.
    fn look(&mut self, command: &Command) -> Result<Next, End> {
        match command {
            Command::List(list) => return self.list(list),
            Command::Save { numeric } => self.save(*numeric)?,
            Command::Help => {
                write!(self.output, "{}{}", messages::VERSION, messages::USAGE)?;
                return Ok(Next::Exit(0));
            }
            Command::Version => {
                write!(self.output, "{}", messages::VERSION)?;
                return Ok(Next::Exit(0));
            }
            Command::Restore | Command::Change { .. } => {}
        }
        Ok(Next::Line(0))
    }

    fn list(&mut self, list: &List) -> Result<Next, End> {
        let style = Style::new(list.numeric, self.names);
        let service = match list.subject {
            Subject::Services => None,
            Subject::Service(service) => Some(service),
            Subject::Connections { engines } => {
                self.connections(engines, style)?;
                return Ok(Next::Line(0));
            }
            Subject::Timeouts => {
                let timeouts = self.kernel.timeouts()?;
                writeln!(
                    self.output,
                    "Timeout (tcp tcpfin udp): {} {} {}",
                    timeouts.tcp.0, timeouts.tcpfin.0, timeouts.udp.0
                )?;
                return Ok(Next::Line(0));
            }
            Subject::SyncDaemons => {
                self.sync_daemons()?;
                return Ok(Next::Line(0));
            }
        };
        let numbers = listing::numbers(list.columns);
        match self.kernel.list(service, numbers)? {
            Some(mut listing) => {
                if list.sorted {
                    order::sort(&mut listing.services);
                }
                listing::write(&listing, list, service.is_none(), style, &mut self.output)?;
                Ok(Next::Line(0))
            }
            None => {
                self.complain(messages::general(Refusal::NoService))?;
                Ok(Next::Exit(1))
            }
        }
    }

    /// Each page is written before the next is asked for: the table may have millions of rows.
    fn connections(&mut self, engines: bool, style: Style) -> Result<(), End> {
        let mut page = self.kernel.connections(0)?;
        connections::title(engines, &mut self.output)?;
        loop {
            for row in &page.rows {
                connections::row(row, style, &mut self.output)?;
            }
            let Some(next) = page.next else {
                return Ok(());
            };
            page = self.kernel.connections(next)?;
        }
    }

    fn sync_daemons(&mut self) -> Result<(), End> {
        for (role, sync) in self.kernel.sync_daemons()? {
            writeln!(
                self.output,
                "{} sync daemon (mcast={}, syncid={}, maxlen={}, group={}, port={}, ttl={})",
                words::role_name(role),
                sync.interface,
                sync.id,
                sync.longest,
                sync.group
                    .map(|group| group.to_string())
                    .unwrap_or_default(),
                sync.port,
                sync.ttl
            )?;
        }
        Ok(())
    }

    fn save(&mut self, numeric: bool) -> Result<(), End> {
        let style = Style::new(numeric, self.names);
        if let Some(mut listing) = self.kernel.list(None, Numbers::Connections)? {
            order::sort(&mut listing.services);
            save::write(&listing, style, &mut self.output)?;
        }
        Ok(())
    }

    /// Writes a message after the output so far. A standard error that is closed is no failure.
    fn complain(&mut self, text: &str) -> Result<(), End> {
        self.output.flush()?;
        let _ = writeln!(self.errors, "{text}");
        Ok(())
    }
}

/// Changes that were read and are not made yet.
#[derive(Default)]
struct Changes {
    list: Vec<Change>,
    /// Their length in a request.
    bytes: Length,
}

impl Changes {
    /// Bytes of a request, without some for what is around the changes and for one change more.
    const ROOM: usize = MAX_REQUEST - 64 * 1024;

    fn add(&mut self, change: Change) {
        // Counting cannot fail. One byte is for the comma.
        let _ = serde_json::to_writer(&mut self.bytes, &change);
        self.bytes.0 += 1;
        self.list.push(change);
    }

    fn is_full(&self) -> bool {
        self.bytes.0 > Self::ROOM
    }

    fn take(&mut self) -> Vec<Change> {
        std::mem::take(self).list
    }
}

/// Counts the bytes that are written to it.
#[derive(Default)]
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
