//! Doing what command lines say.

use std::io::{self, Write};

use super::{
    Program,
    arguments::{self, Command, List, Subject},
    connections,
    director::{Director, Failure},
    input::Lines,
    listing, messages,
    names::Names,
    order, save,
    text::Style,
};
use crate::{
    api::MAX_REQUEST,
    ipvs::{Change, Numbers, Role},
};

/// Someone who calls ipvsadm.
pub struct Session<'a, D, I, O, E> {
    /// Who is asked.
    pub director: D,
    /// Where names are looked up.
    pub names: &'a dyn Names,
    /// Standard input.
    pub input: I,
    /// Standard output.
    pub output: O,
    /// Standard error.
    pub errors: E,
}

/// Why it could not go on.
#[derive(Debug)]
pub enum End {
    /// Nobody takes what is written.
    Output(io::Error),
    /// Nothing can be read.
    Input(io::Error),
    /// The director cannot be asked.
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

/// True where these arguments ask for nothing that a director has.
pub fn needs_no_director(arguments: &[String]) -> bool {
    let first = arguments.first().map(String::as_str);
    matches!(first, Some("-h" | "--help" | "-v" | "--version"))
}

/// Where a kernel says no.
const REFUSED: u8 = 255;

/// How restoring goes on after a line.
enum Next {
    Line(u8),
    Exit(u8),
}

impl<D: Director, I: Lines, O: Write, E: Write> Session<'_, D, I, O, E> {
    /// Gives the exit code.
    pub fn run(&mut self, program: Program, arguments: &[String]) -> Result<u8, End> {
        match program {
            Program::Ipvsadm => self.ipvsadm(arguments),
            Program::Save => self.ipvsadm_save(arguments),
            Program::Restore => {
                self.director.change(vec![Change::Clear])?;
                self.restore(|line| !line.starts_with('#'))
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
        match arguments::parse(arguments, self.names) {
            Ok(Command::Restore) => self.restore(|_| true),
            Ok(Command::Change(change)) => self.change(vec![change]),
            Ok(command) => match self.look(&command)? {
                Next::Line(code) | Next::Exit(code) => Ok(code),
            },
            Err(complaint) => {
                self.complain(&complaint.text)?;
                Ok(complaint.code)
            }
        }
    }

    /// As the script of this name does: options end where something else stands.
    fn ipvsadm_save(&mut self, arguments: &[String]) -> Result<u8, End> {
        let mut numeric = false;
        for argument in arguments {
            match argument.strip_prefix('-') {
                Some("-" | "") | None => break,
                Some(letters) if letters.bytes().all(|letter| letter == b'n') => numeric = true,
                Some(_) => {
                    self.output.flush()?;
                    let _ = write!(self.errors, "{}", messages::SAVE_USAGE);
                    return Ok(1);
                }
            }
        }
        self.save(numeric)?;
        Ok(0)
    }

    /// Line by line: what is wrong with the arguments of one ends it; what the director
    /// refuses does not. Gives the last line's exit code.
    fn restore(&mut self, wanted: impl Fn(&str) -> bool) -> Result<u8, End> {
        let mut changes = Changes::default();
        let mut code = 0;
        loop {
            if changes.is_full() || (!changes.list.is_empty() && self.input.idle()) {
                code = self.change(changes.take())?;
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
                Ok(Command::Change(change)) => {
                    changes.add(change);
                    continue;
                }
                other => {
                    if !changes.list.is_empty() {
                        self.change(changes.take())?;
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
            code = self.change(changes.take())?;
        }
        Ok(code)
    }

    /// A restored line that is no change.
    fn restored(&mut self, command: Result<Command, arguments::Complaint>) -> Result<Next, End> {
        match command {
            // Not within itself.
            Ok(Command::Restore) => self.restored(Err(arguments::Complaint::try_help())),
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
    fn change(&mut self, changes: Vec<Change>) -> Result<u8, End> {
        let last = changes.len().saturating_sub(1);
        let mut code = 0;
        for (place, refusal) in self.director.change(changes.clone())? {
            if let Some(change) = changes.get(place) {
                self.complain(messages::refusal(change, refusal))?;
            }
            if place == last {
                code = REFUSED;
            }
        }
        Ok(code)
    }

    /// What changes nothing.
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
            Command::Restore | Command::Change(_) => {}
        }
        Ok(Next::Line(0))
    }

    fn list(&mut self, list: &List) -> Result<Next, End> {
        let style = Style::new(list.numeric, self.names);
        let service = match list.subject {
            Subject::Services => None,
            Subject::Service(key) => Some(key),
            Subject::Connections { engines } => {
                self.connections(engines, style)?;
                return Ok(Next::Line(0));
            }
            Subject::Timeouts => {
                let timeouts = self.director.timeouts()?;
                writeln!(
                    self.output,
                    "Timeout (tcp tcpfin udp): {} {} {}",
                    timeouts.tcp, timeouts.tcpfin, timeouts.udp
                )?;
                return Ok(Next::Line(0));
            }
            Subject::SyncDaemons => {
                self.sync_daemons()?;
                return Ok(Next::Line(0));
            }
        };
        let numbers = listing::numbers(list.columns);
        match self.director.list(service, numbers)? {
            Ok(mut listing) => {
                if list.sorted {
                    order::sort(&mut listing.services);
                }
                listing::write(&listing, list, service.is_none(), style, &mut self.output)?;
                Ok(Next::Line(0))
            }
            Err(refusal) => {
                self.complain(messages::general(refusal))?;
                Ok(Next::Exit(1))
            }
        }
    }

    /// Writes each page before it asks for the next.
    fn connections(&mut self, engines: bool, style: Style<'_>) -> Result<(), End> {
        let (mut rows, mut next) = self.director.connections(None)?;
        connections::head(engines, &mut self.output)?;
        loop {
            connections::rows(&rows, engines, style, &mut self.output)?;
            if next.is_none() {
                return Ok(());
            }
            (rows, next) = self.director.connections(next)?;
        }
    }

    fn sync_daemons(&mut self) -> Result<(), End> {
        for (role, sync) in self.director.sync_daemons()? {
            let role = match role {
                Role::Master => "master",
                Role::Backup => "backup",
            };
            writeln!(
                self.output,
                "{role} sync daemon (mcast={}, syncid={}, maxlen={}, group={}, port={}, ttl={})",
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
        if let Ok(mut listing) = self.director.list(None, Numbers::Connections)? {
            order::sort(&mut listing.services);
            save::write(&listing, style, &mut self.output)?;
        }
        Ok(())
    }

    /// After what was written before. That nobody reads it is no failure.
    fn complain(&mut self, text: &str) -> Result<(), End> {
        self.output.flush()?;
        let _ = writeln!(self.errors, "{text}");
        Ok(())
    }
}

/// Changes that were read and not made yet.
#[derive(Default)]
struct Changes {
    list: Vec<Change>,
    bytes: usize,
}

impl Changes {
    /// Bytes that fit into a request, and some for what is around them.
    const ROOM: usize = MAX_REQUEST - 64 * 1024;

    fn add(&mut self, change: Change) {
        let encoded = serde_json::to_string(&change);
        self.bytes += encoded.map_or(0, |encoded| encoded.len() + 1);
        self.list.push(change);
    }

    fn is_full(&self) -> bool {
        self.bytes > Self::ROOM
    }

    fn take(&mut self) -> Vec<Change> {
        self.bytes = 0;
        std::mem::take(&mut self.list)
    }
}
