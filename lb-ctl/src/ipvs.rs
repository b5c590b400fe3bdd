//! IPVS's own words: services, servers, changes and refusals as its users know them, whether
//! the packet path acts on them yet or not. What `ipvsadm` says to the daemon is put so.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

pub use crate::desired::Timeouts;
use crate::rules::Fault;

/// Transport protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Transport {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
    /// SCTP.
    Sctp = 132,
}

/// What tells one service from another. Written `tcp/192.0.2.1:80`, `udp/[2001:db8::1]:53`,
/// `mark/5`, `mark6/5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Key {
    /// By where packets go.
    Address {
        /// The protocol.
        transport: Transport,
        /// VIP and port; 0 is every port.
        at: SocketAddr,
    },
    /// By the firewall's mark on packets.
    Mark {
        /// The mark.
        mark: u32,
        /// Of IPv6 packets.
        ipv6: bool,
    },
}

/// A virtual service without its servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Which.
    pub key: Key,
    /// The scheduler's name.
    pub scheduler: String,
    /// The scheduler's flags: bit 0 is `flag-1`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub flags: u8,
    /// Whether a client keeps its server, and how long.
    #[serde(default, skip_serializing_if = "is_default")]
    pub persistence: Option<Persistence>,
    /// The persistence engine's name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub engine: Option<String>,
    /// Each packet is scheduled by itself.
    #[serde(default, skip_serializing_if = "is_default")]
    pub one_packet: bool,
}

/// How long clients keep their server, and which clients are taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persistence {
    /// In seconds.
    pub timeout: u32,
    /// Clients that are alike under it are one.
    pub mask: Mask,
}

/// A part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mask {
    /// Of IPv4, bit by bit.
    V4(Ipv4Addr),
    /// Of IPv6, so many bits from the left.
    V6(u8),
}

/// A real server of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where it is.
    pub at: SocketAddr,
    /// How packets reach it.
    pub forward: Forward,
    /// Its share of new connections.
    pub weight: u32,
    /// It gets no new connections from so many on; 0 for no such limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub upper: u32,
    /// It gets new ones again below so many.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lower: u32,
    /// How packets are wrapped, with [`Forward::Tunnel`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub tunnel: Tunnel,
}

/// Forwarding methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forward {
    /// `-m`: NAT.
    Masq,
    /// `-i`: in a tunnel.
    Tunnel,
    /// `-g`: direct routing.
    Route,
}

/// How packets are wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tunnel {
    /// In IP.
    #[default]
    Ipip,
    /// In UDP.
    Gue {
        /// To this port.
        port: u16,
        /// With which checksum.
        checksum: Checksum,
    },
    /// In GRE.
    Gre {
        /// With one.
        checksum: Checksum,
    },
}

/// A tunnel's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// None.
    Without,
    /// Over the packet.
    With,
    /// Done by the receiver.
    Remote,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// `-A`
    AddService(Service),
    /// `-E`: all that a service has is replaced; its servers stay.
    SetService(Service),
    /// `-D`
    DeleteService(Key),
    /// `-C`
    Clear,
    /// `-a`: at the head of the order in which servers are scheduled.
    AddServer(Key, Server),
    /// `-e`: all that a server has is replaced; it keeps its place.
    SetServer(Key, Server),
    /// `-d`
    DeleteServer(Key, SocketAddr),
    /// `-Z`: counters are shown from here on, of one service and its servers or of all.
    Zero(Option<Key>),
    /// `--set`: 0 keeps.
    SetTimeouts(Timeouts),
    /// `--start-daemon`
    StartSync(Role, Sync),
    /// `--stop-daemon`
    StopSync(Role),
}

impl Change {
    /// The server that may be new.
    #[must_use]
    pub fn brings(&self) -> Option<Ipv4Addr> {
        match self {
            Self::AddServer(_, server) => match server.at {
                SocketAddr::V4(at) => Some(*at.ip()),
                SocketAddr::V6(_) => None,
            },
            _ => None,
        }
    }
}

/// What a director does in the synchronisation of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It tells of its connections.
    Master,
    /// It is told of others'.
    Backup,
}

/// How connections are synchronised; what is not given is IPVS's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    /// By this interface.
    pub interface: String,
    /// Under this number; 0 is any.
    pub id: u8,
    /// Longest message.
    pub longest: u16,
    /// To this group.
    pub group: Option<std::net::IpAddr>,
    /// To this port.
    pub port: u16,
    /// Over so many routers.
    pub ttl: u8,
}

/// Why a change was not made, as the kernel says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// EEXIST: the service or server is there already.
    Exists,
    /// ESRCH: there is no such service.
    NoService,
    /// ENOENT: no such scheduler, engine or server.
    NotFound,
    /// EINVAL.
    Invalid,
    /// ERANGE.
    OutOfRange,
    /// ENOMEM.
    NoMemory,
    /// ENOPROTOOPT: what the packet path does not act on.
    NoOption,
    /// EPROTONOSUPPORT.
    NoProtocol,
    /// EAFNOSUPPORT.
    NoFamily,
    /// ENODEV.
    NoDevice,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Changes, each judged by itself in this order; those that are right reach the packet
    /// path all at once. The reply is a [`Reply::Judged`].
    Change(Vec<Change>),
    /// One service or all of them: a [`Reply::Listing`].
    List {
        /// Which.
        service: Option<Key>,
        /// What of them.
        numbers: Numbers,
    },
    /// The timeouts: a [`Reply::Timeouts`].
    Timeouts,
}

/// What numbers a listing has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// How many connections there are.
    Connections,
    /// What passed since the last `-Z`, too.
    Counters,
    /// What passes in a second, too.
    Rates,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Which changes were refused, by their place, in order. The others were made.
    Judged(Vec<(usize, Refusal)>),
    /// Services and servers.
    Listing(Listing),
    /// It was not done.
    Refused(Refusal),
    /// The timeouts.
    Timeouts(Timeouts),
}

/// Services and servers, in the director's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Connections that the table was made for.
    pub size: u32,
    /// The services.
    pub services: Vec<ListedService>,
}

/// A service in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedService {
    /// What it is.
    pub service: Service,
    /// Of all its servers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub traffic: Traffic,
    /// Its servers, in the order in which they are scheduled.
    pub servers: Vec<ListedServer>,
}

/// A server in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedServer {
    /// What it is.
    pub server: Server,
    /// Its connections that count as active.
    #[serde(default, skip_serializing_if = "is_default")]
    pub active: u32,
    /// Its others.
    #[serde(default, skip_serializing_if = "is_default")]
    pub inactive: u32,
    /// Clients that keep it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub persistent: u32,
    /// What passed, or passes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub traffic: Traffic,
}

/// What passed, or passes in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Connections that were opened.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients.
    pub out_bytes: u64,
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.in_packets += other.in_packets;
        self.out_packets += other.out_packets;
        self.in_bytes += other.in_bytes;
        self.out_bytes += other.out_bytes;
    }
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its protocol.
    pub transport: Transport,
    /// What is left of it, in seconds.
    pub expires: u32,
    /// The state's name.
    pub state: String,
    /// Where it comes from.
    pub client: SocketAddr,
    /// Where it went.
    pub service: SocketAddr,
    /// Where it goes.
    pub server: SocketAddr,
    /// The persistence engine's name and what it goes by.
    pub engine: Option<(String, String)>,
}

impl Transport {
    /// As IPVS writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

impl Key {
    /// True where clients come by IPv6.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        match self {
            Self::Address { at, .. } => at.is_ipv6(),
            Self::Mark { ipv6, .. } => *ipv6,
        }
    }
}

impl Mask {
    /// The whole address, of IPv6 or of IPv4.
    #[must_use]
    pub fn whole(ipv6: bool) -> Self {
        if ipv6 {
            Self::V6(128)
        } else {
            Self::V4(Ipv4Addr::BROADCAST)
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { transport, at } => {
                let transport = match transport {
                    Transport::Tcp => "tcp",
                    Transport::Udp => "udp",
                    Transport::Sctp => "sctp",
                };
                write!(f, "{transport}/{at}")
            }
            Self::Mark { mark, ipv6: false } => write!(f, "mark/{mark}"),
            Self::Mark { mark, ipv6: true } => write!(f, "mark6/{mark}"),
        }
    }
}

impl FromStr for Key {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let wrong = || {
            Fault::new(format!(
                "`{}` is no service: write it like tcp/192.0.2.1:80 or mark/5",
                text.escape_debug()
            ))
        };
        let (kind, rest) = text.split_once('/').ok_or_else(wrong)?;
        let transport = match kind {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            "sctp" => Transport::Sctp,
            "mark" | "mark6" => {
                return Ok(Self::Mark {
                    mark: rest.parse().map_err(|_| wrong())?,
                    ipv6: kind == "mark6",
                });
            }
            _ => return Err(wrong()),
        };
        let at = rest.parse::<SocketAddrV4>().map(SocketAddr::V4);
        let at = at.or_else(|_| rest.parse::<SocketAddrV6>().map(SocketAddr::V6));
        Ok(Self::Address {
            transport,
            at: at.map_err(|_| wrong())?,
        })
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for Key {
    type Error = Fault;

    fn try_from(text: String) -> Result<Self, Fault> {
        text.parse()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_written_in_one_way() {
        for text in [
            "tcp/192.0.2.1:80",
            "sctp/[2001:db8::1]:0",
            "mark/4294967295",
            "mark6/5",
        ] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        for text in ["", "tcp/", "icmp/192.0.2.1:80", "mark/x", "tcp/192.0.2.1"] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_server_takes_few_bytes_on_the_socket() {
        let change = Change::AddServer(
            "tcp/10.200.100.100:80".parse().unwrap(),
            Server {
                at: "10.200.200.200:80".parse().unwrap(),
                forward: Forward::Tunnel,
                weight: 1,
                upper: 0,
                lower: 0,
                tunnel: Tunnel::Ipip,
            },
        );
        let json = serde_json::to_string(&change).unwrap();
        assert!(json.len() < 110, "{json}");
        assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change);
    }
}
