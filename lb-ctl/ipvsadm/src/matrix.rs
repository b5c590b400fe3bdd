//! Which options go with which command, and with which tunnel.

use crate::options::{Name, Verb};

/// The options of a command line, as a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(u64);

impl Seen {
    /// Adds an option. False if it is there already.
    pub fn see(&mut self, name: Name) -> bool {
        let new = !self.has(name);
        self.0 |= 1 << name as u8;
        new
    }

    /// True if the option is there.
    pub fn has(&self, name: Name) -> bool {
        self.0 & (1 << name as u8) != 0
    }
}

/// Whether an option goes with a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Needed,
    Allowed,
    /// At most one of the options with this value.
    OneOf,
    Illegal,
}

/// Finds the first option that does not go with the command, or is missing.
pub fn check(verb: Verb, seen: &Seen) -> Result<(), String> {
    judge(&Name::ALL, seen, |name| fit(verb, name))
        .map_err(|fault| fault.of(&format!("'{}' command", verb.name())))
}

/// The options of tunnels.
pub const TUNNEL_OPTIONS: [Name; 5] = [
    Name::TunType,
    Name::TunPort,
    Name::TunNoCsum,
    Name::TunCsum,
    Name::TunRemCsum,
];

/// Finds the first option that does not go with this type of tunnel, or is missing.
pub fn check_tunnel(kind: &str, seen: &Seen) -> Result<(), String> {
    judge(&TUNNEL_OPTIONS[1..], seen, |name| tunnel_fit(kind, name))
        .map_err(|fault| fault.of(&format!("'{kind}' tunnel type")))
}

enum Fault {
    Missing(Name),
    Illegal(Name),
    Conflict(Name, Name),
}

impl Fault {
    /// The message about a command or a type of tunnel.
    fn of(self, object: &str) -> String {
        match self {
            Self::Missing(name) => format!(
                "You need to supply the '{}' option for the {object}",
                name.name()
            ),
            Self::Illegal(name) => format!("Illegal '{}' option with the {object}", name.name()),
            Self::Conflict(name, other) => format!(
                "The option '{}' conflicts with the '{}' option in the {object}",
                name.name(),
                other.name()
            ),
        }
    }
}

fn judge(options: &[Name], seen: &Seen, fit: impl Fn(Name) -> Fit) -> Result<(), Fault> {
    let mut chosen = None;
    for &name in options {
        match (fit(name), seen.has(name)) {
            (Fit::Needed, false) => return Err(Fault::Missing(name)),
            (Fit::Illegal, true) => return Err(Fault::Illegal(name)),
            (Fit::OneOf, true) => match chosen {
                Some(other) => return Err(Fault::Conflict(name, other)),
                None => chosen = Some(name),
            },
            _ => {}
        }
    }
    Ok(())
}

fn fit(verb: Verb, name: Name) -> Fit {
    use Fit::*;
    use Name::*;
    let either = |allowed| if allowed { Allowed } else { Illegal };
    match verb {
        Verb::AddService | Verb::EditService => match name {
            ServiceAddress => Needed,
            Scheduler | Persistent | Netmask | Ops | Pe | SchedFlags => Allowed,
            _ => Illegal,
        },
        Verb::DeleteService => match name {
            ServiceAddress => Needed,
            _ => Illegal,
        },
        Verb::AddServer | Verb::EditServer => match name {
            ServiceAddress | RealServer => Needed,
            ForwardingMethod | Weight | UpperThreshold | LowerThreshold => Allowed,
            TunType | TunPort | TunNoCsum | TunCsum | TunRemCsum => Allowed,
            _ => Illegal,
        },
        Verb::DeleteServer => match name {
            ServiceAddress | RealServer => Needed,
            _ => Illegal,
        },
        Verb::List => match name {
            Connection | ServiceAddress | Timeout | Daemon => OneOf,
            Numeric | Stats | Rate | Thresholds | PersistentConn => Allowed,
            // `--syncid` means nothing here, but ipvsadm takes it.
            NoSort | SyncId | Exact | TunInfo => Allowed,
            _ => Illegal,
        },
        Verb::Zero => either(name == ServiceAddress),
        Verb::Save => either(name == Numeric),
        Verb::StartDaemon => match name {
            McastInterface | SyncId | SyncMaxLen | McastGroup | McastPort | McastTtl => Allowed,
            _ => Illegal,
        },
        Verb::StopDaemon => either(name == SyncId),
        Verb::Flush | Verb::Set | Verb::Restore | Verb::Help | Verb::Version => Illegal,
    }
}

fn tunnel_fit(kind: &str, name: Name) -> Fit {
    use Fit::*;
    use Name::*;
    match (kind, name) {
        ("gue", TunPort) => Needed,
        ("gue", TunNoCsum | TunCsum | TunRemCsum) | ("gre", TunNoCsum | TunCsum) => OneOf,
        _ => Illegal,
    }
}
