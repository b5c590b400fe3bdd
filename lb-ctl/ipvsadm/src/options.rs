//! The options as they stand on a command line, read from left to right as popt reads them:
//! `-Ln`, `-t ADDRESS`, `-tADDRESS`, `-t=ADDRESS`, `--tcp-service ADDRESS`,
//! `--tcp-service=ADDRESS`. Long names are not abbreviated.

use std::{iter::Peekable, mem, slice};

use lb_model::{Method, Protocol};

/// What an option means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A command.
    Command(Verb),
    /// `-t`, `-u`, `--sctp-service`
    Service(Protocol),
    /// `-f`
    Mark,
    /// `-6`
    Ipv6,
    /// `--sort`
    Sort,
    /// `-g`, `-i`, `-m`
    Forward(Method),
    /// Any other option.
    Plain(Name),
}

/// The commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    AddService,
    EditService,
    DeleteService,
    Flush,
    AddServer,
    EditServer,
    DeleteServer,
    Set,
    StartDaemon,
    StopDaemon,
    Restore,
    Save,
    List,
    Zero,
    Help,
    Version,
}

/// The options by their names in messages, in the order in which they are checked against the
/// command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Numeric,
    Connection,
    ServiceAddress,
    Scheduler,
    Persistent,
    Netmask,
    RealServer,
    ForwardingMethod,
    Weight,
    UpperThreshold,
    LowerThreshold,
    McastInterface,
    Timeout,
    Daemon,
    Stats,
    Rate,
    Thresholds,
    PersistentConn,
    NoSort,
    SyncId,
    Exact,
    Ops,
    Pe,
    SchedFlags,
    McastGroup,
    McastPort,
    McastTtl,
    SyncMaxLen,
    TunInfo,
    TunType,
    TunPort,
    TunNoCsum,
    TunCsum,
    TunRemCsum,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
    /// The next argument, unless it begins as an option does.
    Perhaps,
}

struct Spelling {
    long: &'static str,
    short: Option<char>,
    takes: Takes,
    word: Word,
}

/// An option of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met<'a> {
    /// Its meaning.
    pub word: Word,
    /// Its value.
    pub value: Option<&'a str>,
    /// The argument that it is a part of.
    pub argument: &'a str,
}

/// An argument that cannot be read as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit<'a> {
    /// There is no option of this name.
    Unknown(&'a str),
    /// Its value is missing.
    Missing(&'a str),
    /// It has a value and takes none.
    Unwanted(&'a str),
}

/// The options of a command line, one by one.
pub struct Options<'a> {
    arguments: Peekable<slice::Iter<'a, String>>,
    /// An argument with several short options, and those of them that are not read yet.
    bundle: (&'a str, &'a str),
    /// `--` was read: no more options follow.
    ended: bool,
    others: Vec<&'a str>,
}

impl<'a> Options<'a> {
    /// Those of these arguments. The program's name is not among them.
    pub fn of(arguments: &'a [String]) -> Self {
        Self {
            arguments: arguments.iter().peekable(),
            bundle: ("", ""),
            ended: false,
            others: Vec::new(),
        }
    }

    /// The arguments read so far that are not options.
    pub fn others(&mut self) -> Vec<&'a str> {
        mem::take(&mut self.others)
    }

    fn short(&mut self) -> Option<Result<Met<'a>, Unfit<'a>>> {
        let (argument, rest) = self.bundle;
        let mut rest = rest.chars();
        let letter = rest.next()?;
        self.bundle.1 = rest.as_str();
        let Some(spelling) = SPELLINGS.iter().find(|s| s.short == Some(letter)) else {
            self.bundle.1 = "";
            return Some(Err(Unfit::Unknown(argument)));
        };
        let mut value = None;
        if spelling.takes != Takes::Nothing {
            let rest = mem::take(&mut self.bundle.1);
            value = (!rest.is_empty()).then(|| rest.strip_prefix('=').unwrap_or(rest));
        } else if self.bundle.1.starts_with('=') {
            self.bundle.1 = "";
            return Some(Err(Unfit::Unwanted(argument)));
        }
        Some(self.met(spelling, value, argument))
    }

    fn long(&mut self, argument: &'a str, text: &'a str) -> Result<Met<'a>, Unfit<'a>> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let spelling = SPELLINGS.iter().find(|spelling| spelling.long == name);
        match spelling {
            None => Err(Unfit::Unknown(argument)),
            Some(spelling) if spelling.takes == Takes::Nothing && value.is_some() => {
                Err(Unfit::Unwanted(argument))
            }
            Some(spelling) => self.met(spelling, value, argument),
        }
    }

    fn met(
        &mut self,
        spelling: &Spelling,
        value: Option<&'a str>,
        argument: &'a str,
    ) -> Result<Met<'a>, Unfit<'a>> {
        let value = match (spelling.takes, value) {
            (Takes::Nothing, _) => None,
            (_, Some(value)) => Some(value),
            (Takes::Value, None) => {
                let next = self.arguments.next();
                Some(next.ok_or(Unfit::Missing(argument))?.as_str())
            }
            (Takes::Perhaps, None) => {
                let next = self.arguments.next_if(|next| !next.starts_with('-'));
                next.map(String::as_str)
            }
        };
        Ok(Met {
            word: spelling.word,
            value,
            argument,
        })
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<Met<'a>, Unfit<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(met) = self.short() {
                return Some(met);
            }
            let argument = self.arguments.next()?.as_str();
            if self.ended || argument == "-" || !argument.starts_with('-') {
                self.others.push(argument);
            } else if argument == "--" {
                self.ended = true;
            } else if let Some(text) = argument.strip_prefix("--") {
                return Some(self.long(argument, text));
            } else {
                self.bundle = (argument, &argument[1..]);
            }
        }
    }
}

impl Verb {
    /// The option that stands for the command: the short one, if there is one.
    pub fn option(self) -> String {
        let mut spellings = SPELLINGS.iter();
        match spellings.find(|spelling| spelling.word == Word::Command(self)) {
            Some(Spelling {
                short: Some(letter),
                ..
            }) => format!("-{letter}"),
            Some(Spelling { long, .. }) => format!("--{long}"),
            None => String::new(),
        }
    }

    /// The command's name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::AddService => "add-service",
            Self::EditService => "edit-service",
            Self::DeleteService => "delete-service",
            Self::Flush => "flush",
            Self::AddServer => "add-server",
            Self::EditServer => "edit-server",
            Self::DeleteServer => "delete-server",
            Self::Set => "set",
            Self::StartDaemon => "start-daemon",
            Self::StopDaemon => "stop-daemon",
            Self::Restore => "restore",
            Self::Save => "save",
            Self::List => "list",
            Self::Zero => "zero",
            Self::Help => "help",
            Self::Version => "version",
        }
    }
}

impl Name {
    /// All, in the order in which they are checked.
    pub const ALL: [Self; 34] = [
        Self::Numeric,
        Self::Connection,
        Self::ServiceAddress,
        Self::Scheduler,
        Self::Persistent,
        Self::Netmask,
        Self::RealServer,
        Self::ForwardingMethod,
        Self::Weight,
        Self::UpperThreshold,
        Self::LowerThreshold,
        Self::McastInterface,
        Self::Timeout,
        Self::Daemon,
        Self::Stats,
        Self::Rate,
        Self::Thresholds,
        Self::PersistentConn,
        Self::NoSort,
        Self::SyncId,
        Self::Exact,
        Self::Ops,
        Self::Pe,
        Self::SchedFlags,
        Self::McastGroup,
        Self::McastPort,
        Self::McastTtl,
        Self::SyncMaxLen,
        Self::TunInfo,
        Self::TunType,
        Self::TunPort,
        Self::TunNoCsum,
        Self::TunCsum,
        Self::TunRemCsum,
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Numeric => "numeric",
            Self::Connection => "connection",
            Self::ServiceAddress => "service-address",
            Self::Scheduler => "scheduler",
            Self::Persistent => "persistent",
            Self::Netmask => "netmask",
            Self::RealServer => "real-server",
            Self::ForwardingMethod => "forwarding-method",
            Self::Weight => "weight",
            Self::UpperThreshold => "u-threshold",
            Self::LowerThreshold => "l-threshold",
            Self::McastInterface => "mcast-interface",
            Self::Timeout => "timeout",
            Self::Daemon => "daemon",
            Self::Stats => "stats",
            Self::Rate => "rate",
            Self::Thresholds => "thresholds",
            Self::PersistentConn => "persistent-conn",
            Self::NoSort => "nosort",
            Self::SyncId => "syncid",
            Self::Exact => "exact",
            Self::Ops => "ops",
            Self::Pe => "pe",
            Self::SchedFlags => "sched-flags",
            Self::TunInfo => "tun-info",
            Self::TunType => "tun-type",
            Self::TunPort => "tun-port",
            Self::TunNoCsum => "tun-nocsum",
            Self::TunCsum => "tun-csum",
            Self::TunRemCsum => "tun-remcsum",
            Self::SyncMaxLen => "sync-maxlen",
            Self::McastGroup => "mcast-group",
            Self::McastPort => "mcast-port",
            Self::McastTtl => "mcast-ttl",
        }
    }
}

const fn spelling(long: &'static str, short: Option<char>, takes: Takes, word: Word) -> Spelling {
    Spelling {
        long,
        short,
        takes,
        word,
    }
}

const SPELLINGS: &[Spelling] = {
    use Method::{Dr, Nat, Tun};
    use Name::*;
    use Protocol::{Sctp, Tcp, Udp};
    use Takes::*;
    use Verb::*;
    use Word::*;
    &[
        spelling("add-service", Some('A'), Nothing, Command(AddService)),
        spelling("edit-service", Some('E'), Nothing, Command(EditService)),
        spelling("delete-service", Some('D'), Nothing, Command(DeleteService)),
        spelling("clear", Some('C'), Nothing, Command(Flush)),
        spelling("list", Some('L'), Nothing, Command(List)),
        spelling("list", Some('l'), Nothing, Command(List)),
        spelling("zero", Some('Z'), Nothing, Command(Zero)),
        spelling("add-server", Some('a'), Nothing, Command(AddServer)),
        spelling("edit-server", Some('e'), Nothing, Command(EditServer)),
        spelling("delete-server", Some('d'), Nothing, Command(DeleteServer)),
        spelling("restore", Some('R'), Nothing, Command(Restore)),
        spelling("save", Some('S'), Nothing, Command(Save)),
        spelling("set", None, Nothing, Command(Set)),
        spelling("start-daemon", None, Value, Command(StartDaemon)),
        spelling("stop-daemon", None, Value, Command(StopDaemon)),
        spelling("help", Some('h'), Nothing, Command(Help)),
        spelling("version", Some('v'), Nothing, Command(Version)),
        spelling("tcp-service", Some('t'), Value, Service(Tcp)),
        spelling("udp-service", Some('u'), Value, Service(Udp)),
        spelling("sctp-service", None, Value, Service(Sctp)),
        spelling("fwmark-service", Some('f'), Value, Mark),
        spelling("ipv6", Some('6'), Nothing, Ipv6),
        spelling("sort", None, Nothing, Sort),
        spelling("gatewaying", Some('g'), Nothing, Forward(Dr)),
        spelling("ipip", Some('i'), Nothing, Forward(Tun)),
        spelling("masquerading", Some('m'), Nothing, Forward(Nat)),
        spelling("numeric", Some('n'), Nothing, Plain(Numeric)),
        spelling("connection", Some('c'), Nothing, Plain(Connection)),
        spelling("scheduler", Some('s'), Value, Plain(Scheduler)),
        spelling("persistent", Some('p'), Perhaps, Plain(Persistent)),
        spelling("netmask", Some('M'), Value, Plain(Netmask)),
        spelling("real-server", Some('r'), Value, Plain(RealServer)),
        spelling("weight", Some('w'), Value, Plain(Weight)),
        spelling("u-threshold", Some('x'), Value, Plain(UpperThreshold)),
        spelling("l-threshold", Some('y'), Value, Plain(LowerThreshold)),
        spelling("mcast-interface", None, Value, Plain(McastInterface)),
        spelling("timeout", None, Nothing, Plain(Timeout)),
        spelling("daemon", None, Nothing, Plain(Daemon)),
        spelling("stats", None, Nothing, Plain(Stats)),
        spelling("rate", None, Nothing, Plain(Rate)),
        spelling("thresholds", None, Nothing, Plain(Thresholds)),
        spelling("persistent-conn", None, Nothing, Plain(PersistentConn)),
        spelling("nosort", None, Nothing, Plain(NoSort)),
        spelling("syncid", None, Value, Plain(SyncId)),
        spelling("exact", Some('X'), Nothing, Plain(Exact)),
        spelling("ops", Some('o'), Nothing, Plain(Ops)),
        spelling("pe", None, Value, Plain(Pe)),
        spelling("sched-flags", Some('b'), Value, Plain(SchedFlags)),
        spelling("tun-info", None, Nothing, Plain(TunInfo)),
        spelling("tun-type", None, Value, Plain(TunType)),
        spelling("tun-port", None, Value, Plain(TunPort)),
        spelling("tun-nocsum", None, Nothing, Plain(TunNoCsum)),
        spelling("tun-csum", None, Nothing, Plain(TunCsum)),
        spelling("tun-remcsum", None, Nothing, Plain(TunRemCsum)),
        spelling("sync-maxlen", None, Value, Plain(SyncMaxLen)),
        spelling("mcast-group", None, Value, Plain(McastGroup)),
        spelling("mcast-port", None, Value, Plain(McastPort)),
        spelling("mcast-ttl", None, Value, Plain(McastTtl)),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_calls_a_command_by_its_shortest_option() {
        assert_eq!(Verb::AddServer.option(), "-a");
        assert_eq!(Verb::StartDaemon.option(), "--start-daemon");
    }

    #[test]
    fn every_name_has_its_place() {
        for (place, name) in Name::ALL.into_iter().enumerate() {
            assert_eq!(name as usize, place, "{}", name.name());
        }
    }
}
