//! What a command line means. Options are read from left to right, then checked against the
//! command, then against each other. The messages and their order are ipvsadm's.

use std::net::{IpAddr, SocketAddr};

use lb_model::{
    Change, Checksum, Engine, Family, Mask, Method, Persistence, Protocol, Seconds, ServerOptions,
    ServiceId, ServiceOptions, Tunnel, rules,
    sync::{Role, Sync},
};

use crate::{
    matrix::{self, Seen},
    names::Names,
    options::{Met, Name, Options, Unfit, Verb, Word},
    values, words,
};

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// To show something.
    List(List),
    /// To write everything as commands.
    Save {
        /// Addresses and ports are not named.
        numeric: bool,
    },
    /// To carry out the commands on standard input.
    Restore,
    /// To change something.
    Change {
        /// As the kernel is asked for it.
        change: Change,
        /// The command.
        verb: Verb,
    },
    /// To explain the command line.
    Help,
    /// To say which version this is.
    Version,
}

/// What to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// What it is about.
    pub subject: Subject,
    /// Addresses and ports are not named.
    pub numeric: bool,
    /// Sorted; otherwise in the director's order.
    pub sorted: bool,
    /// Large numbers are not shortened.
    pub exact: bool,
    /// Its columns.
    pub columns: Columns,
}

/// What a listing is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// All services.
    Services,
    /// One service.
    Service(ServiceId),
    /// Connections.
    Connections {
        /// With columns for persistence engines.
        engines: bool,
    },
    /// The timeouts.
    Timeouts,
    /// The daemons that synchronise connections.
    SyncDaemons,
}

/// Columns of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Method, weight, connections.
    Usual,
    /// Counters.
    Stats,
    /// Counters' growth in a second.
    Rates,
    /// Limits of connections.
    Thresholds,
    /// Persistent clients.
    Persistent,
    /// As [`Usual`](Self::Usual), with the tunnel.
    Tunnels,
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The message, without its end of line.
    pub text: String,
    /// The program's exit code.
    pub code: u8,
    /// It ends the restoring of further lines.
    pub fatal: bool,
}

impl Complaint {
    /// About a value, or about options that do not go together.
    fn wrong(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: 2,
            fatal: true,
        }
    }

    /// About what cannot be understood at all.
    pub fn try_help() -> Self {
        Self {
            text: "Try `ipvsadm -h' or 'ipvsadm --help' for more information.".into(),
            code: 255,
            fatal: true,
        }
    }
}

impl From<Unfit<'_>> for Complaint {
    fn from(unfit: Unfit) -> Self {
        let text = match unfit {
            Unfit::Unknown(argument) => format!("{argument}: unknown option"),
            Unfit::Missing(argument) => format!("{argument}: missing argument"),
            Unfit::Unwanted(argument) => format!("{argument}: option does not take an argument"),
        };
        Self {
            text,
            code: 255,
            fatal: false,
        }
    }
}

/// Reads arguments, of which there is at least one. The program's name is not among them.
pub fn parse(arguments: &[String], names: &dyn Names) -> Result<Command, Complaint> {
    let mut options = Options::of(arguments);
    let first = match options.next() {
        Some(Ok(met)) => met,
        Some(Err(_)) | None => return Err(Complaint::try_help()),
    };
    let Word::Command(verb) = first.word else {
        return Err(Complaint::try_help());
    };
    match verb {
        Verb::Help => return Ok(Command::Help),
        Verb::Version => return Ok(Command::Version),
        _ => {}
    }
    let role = match verb {
        Verb::StartDaemon => Some((first.value, "illegal start-daemon parameter specified")),
        Verb::StopDaemon => Some((first.value, "illegal start_daemon specified")),
        _ => None,
    };
    let role = role.map(|(value, complaint)| role_of(value, complaint));
    let role = role.transpose()?.unwrap_or(Role::Master);
    let mut given = Given::default();
    for met in options.by_ref() {
        given.take(met?, names)?;
    }
    let mut others = options.others().into_iter();
    let timeouts = match verb {
        Verb::Set => Some(timeouts(&mut others)?),
        _ => None,
    };
    if let Some(other) = others.next() {
        return Err(Complaint::wrong(format!("unexpected argument {other}")));
    }
    matrix::check(verb, &given.seen).map_err(Complaint::wrong)?;
    let change = match verb {
        Verb::List => return Ok(Command::List(given.list()?)),
        Verb::Save => {
            return Ok(Command::Save {
                numeric: given.seen.has(Name::Numeric),
            });
        }
        Verb::Restore => return Ok(Command::Restore),
        Verb::AddService => words::add_service(given.service()?, given.service_options()?),
        Verb::EditService => words::edit_service(given.service()?, &given.service_options()?),
        Verb::DeleteService => Change::DeleteService {
            service: given.service()?.into(),
        },
        Verb::AddServer => {
            let (service, at, options) = given.whole_server()?;
            words::add_server(service, at, options)
        }
        Verb::EditServer => {
            let (service, at, options) = given.whole_server()?;
            words::edit_server(service, at, &options)
        }
        Verb::DeleteServer => words::delete_server(given.service()?, given.server()?),
        Verb::Flush => Change::Clear,
        Verb::Zero => Change::Zero {
            service: given.service.map(Into::into),
        },
        Verb::Set => words::set_timeouts(timeouts.unwrap_or_default()),
        Verb::StartDaemon => Change::StartSync {
            role,
            sync: given.sync,
        },
        Verb::StopDaemon => Change::StopSync { role },
        Verb::Help | Verb::Version => return Err(Complaint::try_help()),
    };
    Ok(Command::Change { change, verb })
}

fn role_of(value: Option<&str>, complaint: &str) -> Result<Role, Complaint> {
    let role = value.and_then(words::role);
    role.ok_or_else(|| Complaint::wrong(complaint))
}

fn timeouts<'a>(others: &mut impl Iterator<Item = &'a str>) -> Result<[u32; 3], Complaint> {
    let mut next = || others.next();
    let (Some(tcp), Some(tcpfin), Some(udp)) = (next(), next(), next()) else {
        return Err(Complaint::wrong("--set option requires 3 timeout values"));
    };
    Ok([timeout(tcp, 0)?, timeout(tcpfin, 0)?, timeout(udp, 0)?])
}

/// A time in seconds.
fn timeout(text: &str, least: u32) -> Result<u32, Complaint> {
    values::unsigned(text, least..=*rules::SECONDS.end())
        .ok_or_else(|| Complaint::wrong(format!("invalid timeout value `{text}' specified")))
}

/// What the options have said so far.
struct Given {
    seen: Seen,
    service: Option<ServiceId>,
    /// The service's; a firewall mark counts as TCP.
    protocol: Option<Protocol>,
    family: Family,
    mask: Mask,
    scheduler: String,
    timeout: u32,
    one_packet: bool,
    flags: String,
    engine: Option<String>,
    server: Option<SocketAddr>,
    method: Method,
    weight: u32,
    upper: u32,
    lower: u32,
    tunnel: &'static str,
    tunnel_port: u16,
    sync: Sync,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            seen: Seen::default(),
            service: None,
            protocol: None,
            family: Family::V4,
            mask: Mask::Whole,
            scheduler: String::new(),
            timeout: 0,
            one_packet: false,
            flags: String::new(),
            engine: None,
            server: None,
            method: Method::Dr,
            weight: 1,
            upper: 0,
            lower: 0,
            tunnel: "ipip",
            tunnel_port: 0,
            sync: Sync::default(),
        }
    }
}

/// The port of a service that is given without one. A server that is given before its service has
/// it, too.
const NO_PORT: u16 = 0;

impl Given {
    fn take(&mut self, met: Met, names: &dyn Names) -> Result<(), Complaint> {
        let value = met.value.unwrap_or_default();
        match met.word {
            Word::Command(_) => {
                let text = format!("invalid option `{}'", met.argument);
                return Err(Complaint::wrong(text));
            }
            Word::Sort => {}
            Word::Service(protocol) => {
                self.see(Name::ServiceAddress)?;
                self.protocol = Some(protocol);
                let (address, port) =
                    values::endpoint(value, self.protocol, names).ok_or_else(|| {
                        Complaint::wrong("illegal virtual server address[:port] specified")
                    })?;
                if address.is_ipv6() {
                    self.expect_ipv6();
                }
                self.service = Some(ServiceId::Address {
                    protocol,
                    at: SocketAddr::new(address, port.unwrap_or(NO_PORT)),
                });
            }
            Word::Mark => {
                self.see(Name::ServiceAddress)?;
                self.protocol = Some(Protocol::Tcp);
                let mark = values::unsigned(value, 1..=u32::MAX).ok_or_else(|| {
                    Complaint::wrong(format!("invalid fwmark value `{value}' specified"))
                })?;
                self.service = Some(ServiceId::Mark {
                    mark,
                    family: Family::V4,
                });
            }
            Word::Ipv6 => {
                let Some(ServiceId::Mark { family, .. }) = &mut self.service else {
                    return Err(Complaint::wrong("-6 used before -f\n"));
                };
                *family = Family::V6;
                self.expect_ipv6();
            }
            Word::Forward(method) => {
                self.see(Name::ForwardingMethod)?;
                self.method = method;
            }
            Word::Plain(name) => {
                self.see(name)?;
                self.take_plain(name, met.value, names)?;
            }
        }
        Ok(())
    }

    fn take_plain(
        &mut self,
        name: Name,
        value: Option<&str>,
        names: &dyn Names,
    ) -> Result<(), Complaint> {
        let given = value;
        let value = value.unwrap_or_default();
        match name {
            Name::Scheduler => self.scheduler = clipped(value),
            Name::Persistent => {
                self.timeout = match given {
                    Some(value) => timeout(value, 1)?,
                    None => rules::DEFAULT_PERSISTENCE,
                };
            }
            Name::Netmask => self.mask = self.netmask(value)?,
            Name::RealServer => self.server = Some(self.real_server(value, names)?),
            Name::Weight => {
                self.weight = number(value, 0..=INT_MAX, "illegal weight specified")?;
            }
            Name::UpperThreshold => {
                self.upper = number(value, 0..=INT_MAX, "illegal u_threshold specified")?;
            }
            Name::LowerThreshold => {
                self.lower = number(value, 0..=INT_MAX, "illegal l_threshold specified")?;
            }
            Name::Ops => self.one_packet = true,
            Name::Pe => self.engine = Some(clipped(value)).filter(|name| !name.is_empty()),
            Name::SchedFlags => self.flags = value.to_owned(),
            Name::TunType => {
                let kinds = ["ipip", "gue", "gre"];
                self.tunnel = kinds
                    .into_iter()
                    .find(|kind| *kind == value)
                    .ok_or_else(|| Complaint::wrong("illegal tunnel type specified"))?;
            }
            Name::TunPort => {
                self.tunnel_port = number(value, 1..=65_535, "illegal tunnel port specified")?;
            }
            Name::McastInterface => self.sync.interface = value.to_owned(),
            Name::SyncId => self.sync.id = number(value, 0..=255, "illegal syncid specified")?,
            Name::SyncMaxLen => {
                self.sync.longest = number(value, 1..=65_507, "illegal sync-maxlen specified")?;
            }
            Name::McastGroup => self.sync.group = Some(group(value)?),
            Name::McastPort => {
                self.sync.port = number(value, 1..=65_535, "illegal mcast-port specified")?;
            }
            Name::McastTtl => {
                self.sync.ttl = number(value, 1..=255, "illegal mcast-ttl specified")?;
            }
            // These have no value: `seen` has them.
            _ => {}
        }
        Ok(())
    }

    fn see(&mut self, name: Name) -> Result<(), Complaint> {
        if self.seen.see(name) {
            return Ok(());
        }
        let text = format!("multiple '{}' options specified", name.name());
        Err(Complaint::wrong(text))
    }

    /// A mask that was given before is forgotten.
    fn expect_ipv6(&mut self) {
        self.family = Family::V6;
        self.mask = Mask::Whole;
    }

    /// Of the family of the service that was given before it.
    fn netmask(&self, value: &str) -> Result<Mask, Complaint> {
        let complaint = match self.family {
            Family::V4 => "illegal virtual server persistent mask specified",
            Family::V6 => "illegal ipv6 netmask specified",
        };
        words::netmask(value, self.family).ok_or_else(|| Complaint::wrong(complaint))
    }

    /// A server without a port has that of the service that was given before it.
    fn real_server(&self, value: &str, names: &dyn Names) -> Result<SocketAddr, Complaint> {
        let (address, port) = values::endpoint(value, self.protocol, names)
            .ok_or_else(|| Complaint::wrong("illegal real server address[:port] specified"))?;
        let inherited = self.service.map_or(NO_PORT, ServiceId::port);
        Ok(SocketAddr::new(address, port.unwrap_or(inherited)))
    }

    fn list(&self) -> Result<List, Complaint> {
        let has = |name| self.seen.has(name);
        let columns = [
            (Name::Stats, Columns::Stats),
            (Name::Rate, Columns::Rates),
            (Name::Thresholds, Columns::Thresholds),
            (Name::PersistentConn, Columns::Persistent),
            (Name::TunInfo, Columns::Tunnels),
        ];
        let columns = columns.into_iter().find(|&(name, _)| has(name));
        let columns = columns.map_or(Columns::Usual, |(_, columns)| columns);
        let engines = has(Name::PersistentConn);
        let subject = match self.service {
            Some(service) => Subject::Service(service),
            None if has(Name::Connection) => Subject::Connections { engines },
            None if has(Name::Timeout) => Subject::Timeouts,
            None if has(Name::Daemon) => Subject::SyncDaemons,
            None => Subject::Services,
        };
        let of_services = has(Name::Stats) || has(Name::Rate) || has(Name::Thresholds);
        let fits = match subject {
            Subject::Services | Subject::Service(_) => true,
            Subject::Connections { .. } => !of_services,
            Subject::Timeouts | Subject::SyncDaemons => !of_services && !engines,
        };
        if !fits {
            return Err(Complaint::wrong("options conflicts in the list command"));
        }
        Ok(List {
            subject,
            numeric: has(Name::Numeric),
            sorted: !has(Name::NoSort),
            exact: has(Name::Exact),
            columns,
        })
    }

    /// The matrix makes sure that there is one where it is needed.
    fn service(&self) -> Result<ServiceId, Complaint> {
        self.service.ok_or_else(Complaint::try_help)
    }

    /// The matrix makes sure that there is one where it is needed.
    fn server(&self) -> Result<SocketAddr, Complaint> {
        self.server.ok_or_else(Complaint::try_help)
    }

    fn service_options(&self) -> Result<ServiceOptions, Complaint> {
        let scheduler = words::scheduler(&self.scheduler);
        let scheduler_flags = words::flags(&self.flags, &scheduler).map_err(Complaint::wrong)?;
        let persistent = self.seen.has(Name::Persistent);
        if let ServiceId::Address { protocol, at } = self.service()? {
            if at.port() == 0 && !persistent {
                let text = "Zero port specified for non-persistent service";
                return Err(Complaint::wrong(text));
            }
            if self.one_packet && protocol != Protocol::Udp {
                let text = "One-Packet Scheduling is only for UDP virtual services";
                return Err(Complaint::wrong(text));
            }
        }
        let engine = self.engine.as_ref().map(|name| name.parse::<Engine>());
        Ok(ServiceOptions {
            scheduler,
            scheduler_flags,
            persistence: persistent.then_some(Persistence {
                timeout: Seconds(self.timeout),
                netmask: self.mask,
            }),
            persistence_engine: engine
                .transpose()
                .map_err(|fault| Complaint::wrong(fault.to_string()))?,
            one_packet: self.one_packet,
            ..ServiceOptions::default()
        })
    }

    /// A server, its service, and all its options.
    fn whole_server(&self) -> Result<(ServiceId, SocketAddr, ServerOptions), Complaint> {
        let service = self.service()?;
        let mut at = self.server()?;
        if service.family() != Family::of(at.ip()) && self.method != Method::Tun {
            let text = "Different address family is allowed only for tunneling servers";
            return Err(Complaint::wrong(text));
        }
        if matches!(service, ServiceId::Address { .. }) && self.method != Method::Nat {
            at.set_port(service.port());
        }
        #[allow(
            clippy::needless_update,
            reason = "a server may have options that IPVS does not know"
        )]
        let options = ServerOptions {
            weight: self.weight,
            forward: Some(self.method),
            upper: self.upper,
            lower: self.lower,
            tunnel: self.tunnel()?,
            ..ServerOptions::default()
        };
        Ok((service, at, options))
    }

    fn tunnel(&self) -> Result<Tunnel, Complaint> {
        let has = |name| self.seen.has(name);
        if self.method != Method::Tun {
            if matrix::TUNNEL_OPTIONS.into_iter().any(has) {
                let text = "Tunnel options conflict with forward method";
                return Err(Complaint::wrong(text));
            }
            return Ok(Tunnel::Ipip);
        }
        matrix::check_tunnel(self.tunnel, &self.seen).map_err(Complaint::wrong)?;
        let checksum = if has(Name::TunCsum) {
            Checksum::With
        } else if has(Name::TunRemCsum) {
            Checksum::Remote
        } else {
            Checksum::Without
        };
        Ok(words::tunnel(self.tunnel, self.tunnel_port, checksum))
    }
}

/// The kernel's field for the name of a scheduler or an engine has 16 bytes. What does not fit is
/// cut off.
fn clipped(name: &str) -> String {
    let mut end = name.len().min(16);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

/// The largest weight and threshold.
const INT_MAX: u32 = i32::MAX as u32;

fn number<T: TryFrom<u32>>(
    text: &str,
    range: std::ops::RangeInclusive<u32>,
    complaint: &str,
) -> Result<T, Complaint> {
    let number = values::unsigned(text, range);
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| Complaint::wrong(complaint))
}

/// A multicast address.
fn group(text: &str) -> Result<IpAddr, Complaint> {
    let ipv6 = text.contains(':');
    let group = if ipv6 {
        text.parse().ok().map(IpAddr::V6)
    } else {
        values::ipv4(text).map(IpAddr::V4)
    };
    group.filter(IpAddr::is_multicast).ok_or_else(|| {
        let family = if ipv6 { "IPv6" } else { "IPv4" };
        Complaint::wrong(format!("invalid {family} mcast-group `{text}'"))
    })
}
