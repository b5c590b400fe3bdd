//! What a command line means: options are taken from left to right, then checked against the
//! command, then against each other. Messages, and which of them comes first, are ipvsadm's.

use std::net::{IpAddr, SocketAddr};

use super::{
    matrix::{self, Seen},
    names::Names,
    options::{Met, Name, Options, Unfit, Verb, Word},
    values,
};
use crate::ipvs::{
    Change, Checksum, Forward, Key, Mask, Persistence, Role, Server, Service, Sync, Timeouts,
    Transport, Tunnel,
};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Show something.
    List(List),
    /// Write all as commands.
    Save {
        /// Without names.
        numeric: bool,
    },
    /// Do what standard input says.
    Restore,
    /// Change something.
    Change(Change),
    /// Say how to use it.
    Help,
    /// Say which version it is.
    Version,
}

/// What to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Of what.
    pub subject: Subject,
    /// Without names.
    pub numeric: bool,
    /// Sorted, or else in the director's order.
    pub sorted: bool,
    /// Large numbers in full.
    pub exact: bool,
    /// Which columns.
    pub columns: Columns,
}

/// What there is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// All services.
    Services,
    /// One.
    Service(Key),
    /// Connections, perhaps with what a persistence engine knows of them.
    Connections {
        /// With it.
        engines: bool,
    },
    /// The timeouts.
    Timeouts,
    /// Synchronisation.
    SyncDaemons,
}

/// Columns of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Method, weight, connections.
    Usual,
    /// What passed.
    Stats,
    /// What passes in a second.
    Rates,
    /// Limits.
    Thresholds,
    /// Clients that keep their server.
    Persistent,
    /// As usual, and how packets are wrapped.
    Tunnels,
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The message, without its end of line.
    pub text: String,
    /// The program's exit code.
    pub code: u8,
    /// In restored lines, it ends all.
    pub fatal: bool,
}

impl Complaint {
    /// That it is wrong.
    fn wrong(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: 2,
            fatal: true,
        }
    }

    /// That somebody should read how it is used.
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

/// What arguments (the program's name is not among them) mean. There is at least one.
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
        Verb::StartDaemon => Some(role(
            first.value,
            "illegal start-daemon parameter specified",
        )?),
        Verb::StopDaemon => Some(role(first.value, "illegal start_daemon specified")?),
        _ => None,
    };
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
    let command = match verb {
        Verb::List => return Ok(Command::List(given.list()?)),
        Verb::Save => {
            return Ok(Command::Save {
                numeric: given.seen.has(Name::Numeric),
            });
        }
        Verb::Restore => return Ok(Command::Restore),
        Verb::AddService => Change::AddService(given.service()?),
        Verb::EditService => Change::SetService(given.service()?),
        Verb::DeleteService => Change::DeleteService(given.key()?),
        Verb::AddServer => {
            let (key, server) = given.server()?;
            Change::AddServer(key, server)
        }
        Verb::EditServer => {
            let (key, server) = given.server()?;
            Change::SetServer(key, server)
        }
        Verb::DeleteServer => Change::DeleteServer(given.key()?, given.server_address()?),
        Verb::Flush => Change::Clear,
        Verb::Zero => Change::Zero(given.key),
        Verb::Set => Change::SetTimeouts(timeouts.unwrap_or_default()),
        Verb::StartDaemon => Change::StartSync(role.unwrap_or(Role::Master), given.sync),
        Verb::StopDaemon => Change::StopSync(role.unwrap_or(Role::Master)),
        Verb::Help | Verb::Version => return Err(Complaint::try_help()),
    };
    Ok(Command::Change(command))
}

fn role(value: Option<&str>, complaint: &str) -> Result<Role, Complaint> {
    match value {
        Some("master") => Ok(Role::Master),
        Some("backup") => Ok(Role::Backup),
        _ => Err(Complaint::wrong(complaint)),
    }
}

fn timeouts<'a>(others: &mut impl Iterator<Item = &'a str>) -> Result<Timeouts, Complaint> {
    let mut next = || others.next();
    let (Some(tcp), Some(tcpfin), Some(udp)) = (next(), next(), next()) else {
        return Err(Complaint::wrong("--set option requires 3 timeout values"));
    };
    let seconds = |text: &str| timeout(text, 0);
    Ok(Timeouts {
        tcp: seconds(tcp)?,
        tcpfin: seconds(tcpfin)?,
        udp: seconds(udp)?,
    })
}

/// Seconds, 31 days at most.
fn timeout(text: &str, least: u32) -> Result<u32, Complaint> {
    values::unsigned(text, least..=2_678_400)
        .ok_or_else(|| Complaint::wrong(format!("invalid timeout value `{text}' specified")))
}

/// What the options said so far.
struct Given {
    seen: Seen,
    key: Option<Key>,
    /// Of the service; a firewall mark counts as TCP.
    transport: Option<Transport>,
    ipv6: bool,
    mask: Mask,
    scheduler: String,
    timeout: u32,
    one_packet: bool,
    flags: String,
    engine: Option<String>,
    server: Option<SocketAddr>,
    forward: Forward,
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
            key: None,
            transport: None,
            ipv6: false,
            mask: Mask::whole(false),
            scheduler: String::new(),
            timeout: 0,
            one_packet: false,
            flags: String::new(),
            engine: None,
            server: None,
            forward: Forward::Route,
            weight: 1,
            upper: 0,
            lower: 0,
            tunnel: "ipip",
            tunnel_port: 0,
            sync: Sync::default(),
        }
    }
}

/// Where no service came first, servers have this port.
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
            Word::Service(transport) => {
                self.see(Name::ServiceAddress)?;
                self.transport = Some(transport);
                let (address, port) =
                    values::endpoint(value, self.transport, names).ok_or_else(|| {
                        Complaint::wrong("illegal virtual server address[:port] specified")
                    })?;
                if address.is_ipv6() {
                    self.speak_ipv6();
                }
                self.key = Some(Key::Address {
                    transport,
                    at: SocketAddr::new(address, port.unwrap_or(NO_PORT)),
                });
            }
            Word::Mark => {
                self.see(Name::ServiceAddress)?;
                self.transport = Some(Transport::Tcp);
                let mark = values::unsigned(value, 1..=u32::MAX).ok_or_else(|| {
                    Complaint::wrong(format!("invalid fwmark value `{value}' specified"))
                })?;
                self.key = Some(Key::Mark { mark, ipv6: false });
            }
            Word::Ipv6 => {
                let Some(Key::Mark { ipv6, .. }) = &mut self.key else {
                    return Err(Complaint::wrong("-6 used before -f\n"));
                };
                *ipv6 = true;
                self.speak_ipv6();
            }
            Word::Forward(forward) => {
                self.see(Name::ForwardingMethod)?;
                self.forward = forward;
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
                    None => 360,
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
            // They say nothing but that they were given.
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

    /// What a mask was before is forgotten.
    fn speak_ipv6(&mut self) {
        self.ipv6 = true;
        self.mask = Mask::whole(true);
    }

    /// It depends on the service before it.
    fn netmask(&self, value: &str) -> Result<Mask, Complaint> {
        if self.ipv6 {
            return values::prefix(value)
                .ok_or_else(|| Complaint::wrong("illegal ipv6 netmask specified"));
        }
        values::ipv4(value)
            .map(Mask::V4)
            .ok_or_else(|| Complaint::wrong("illegal virtual server persistent mask specified"))
    }

    /// Its port is that of the service before it, unless given.
    fn real_server(&self, value: &str, names: &dyn Names) -> Result<SocketAddr, Complaint> {
        let (address, port) = values::endpoint(value, self.transport, names)
            .ok_or_else(|| Complaint::wrong("illegal real server address[:port] specified"))?;
        let inherited = match self.key {
            Some(Key::Address { at, .. }) => at.port(),
            Some(Key::Mark { .. }) | None => NO_PORT,
        };
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
        let subject = match self.key {
            Some(key) => Subject::Service(key),
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

    /// The matrix has seen to it that there is one.
    fn key(&self) -> Result<Key, Complaint> {
        self.key.ok_or_else(Complaint::try_help)
    }

    /// As with the key.
    fn server_address(&self) -> Result<SocketAddr, Complaint> {
        self.server.ok_or_else(Complaint::try_help)
    }

    fn service(self) -> Result<Service, Complaint> {
        let key = self.key()?;
        let scheduler = match self.scheduler.as_str() {
            "" => "wlc".to_owned(),
            name => name.to_owned(),
        };
        let flags = values::flags(&self.flags, &scheduler).map_err(Complaint::wrong)?;
        let persistent = self.seen.has(Name::Persistent);
        if let Key::Address { transport, at } = key {
            if at.port() == 0 && !persistent {
                let text = "Zero port specified for non-persistent service";
                return Err(Complaint::wrong(text));
            }
            if self.one_packet && transport != Transport::Udp {
                let text = "One-Packet Scheduling is only for UDP virtual services";
                return Err(Complaint::wrong(text));
            }
        }
        Ok(Service {
            key,
            scheduler,
            flags,
            persistence: persistent.then_some(Persistence {
                timeout: self.timeout,
                mask: self.mask,
            }),
            engine: self.engine,
            one_packet: self.one_packet,
        })
    }

    fn server(self) -> Result<(Key, Server), Complaint> {
        let key = self.key()?;
        let mut at = self.server_address()?;
        if key.is_ipv6() != at.is_ipv6() && self.forward != Forward::Tunnel {
            let text = "Different address family is allowed only for tunneling servers";
            return Err(Complaint::wrong(text));
        }
        if let Key::Address { at: service, .. } = key
            && self.forward != Forward::Masq
        {
            at.set_port(service.port());
        }
        let server = Server {
            at,
            forward: self.forward,
            weight: self.weight,
            upper: self.upper,
            lower: self.lower,
            tunnel: self.tunnel()?,
        };
        Ok((key, server))
    }

    fn tunnel(&self) -> Result<Tunnel, Complaint> {
        if self.forward != Forward::Tunnel {
            if matrix::TUNNEL_OPTIONS
                .iter()
                .any(|&name| self.seen.has(name))
            {
                let text = "Tunnel options conflict with forward method";
                return Err(Complaint::wrong(text));
            }
            return Ok(Tunnel::Ipip);
        }
        matrix::check_tunnel(self.tunnel, &self.seen).map_err(Complaint::wrong)?;
        let checksum = if self.seen.has(Name::TunCsum) {
            Checksum::With
        } else if self.seen.has(Name::TunRemCsum) {
            Checksum::Remote
        } else {
            Checksum::Without
        };
        Ok(match self.tunnel {
            "gue" => Tunnel::Gue {
                port: self.tunnel_port,
                checksum,
            },
            "gre" => Tunnel::Gre { checksum },
            _ => Tunnel::Ipip,
        })
    }
}

/// The kernel's names of schedulers and engines have 15 letters at most; no more are looked at.
fn clipped(name: &str) -> String {
    name.chars().take(16).collect()
}

/// What weights and thresholds fit in.
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
