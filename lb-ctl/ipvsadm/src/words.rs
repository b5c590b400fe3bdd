//! ipvsadm's words and the model's: each translation, with its way back beside it.

use std::net::{Ipv4Addr, SocketAddr};

use lb_model::{
    Change, Checksum, End, Endpoint, Family, Mask, Method, Patch, Protocol, Scheduler,
    SchedulerFlags, Seconds, ServerOptions, ServiceId, ServiceOptions, Timeouts, Tunnel,
    sync::Role,
};

use crate::values;

/// The options of a service that IPVS knows. `-E` replaces all of them, and no others.
const OF_SERVICES: &[&str] = &[
    "scheduler",
    "scheduler_flags",
    "persistence",
    "persistence_engine",
    "one_packet",
];

/// The options of a server that IPVS knows. `-e` replaces all of them, and no others.
const OF_SERVERS: &[&str] = &["weight", "forward", "upper", "lower", "tunnel"];

/// `-A`
pub fn add_service(id: ServiceId, options: ServiceOptions) -> Change {
    Change::AddService { id, options }
}

/// `-E`
pub fn edit_service(id: ServiceId, options: &ServiceOptions) -> Change {
    Change::SetService {
        service: id.into(),
        set: Patch::of(options, OF_SERVICES),
    }
}

/// `-a`: IPVS puts a new server before the others.
pub fn add_server(id: ServiceId, at: SocketAddr, options: ServerOptions) -> Change {
    Change::AddServer {
        service: id.into(),
        server: endpoint(at),
        options,
        end: End::Head,
    }
}

/// `-e`
pub fn edit_server(id: ServiceId, at: SocketAddr, options: &ServerOptions) -> Change {
    Change::SetServer {
        service: id.into(),
        server: endpoint(at),
        set: Patch::of(options, OF_SERVERS),
    }
}

/// `-d`
pub fn delete_server(id: ServiceId, at: SocketAddr) -> Change {
    Change::DeleteServer {
        service: id.into(),
        server: endpoint(at),
    }
}

fn endpoint(at: SocketAddr) -> Endpoint {
    Endpoint {
        address: at.ip(),
        port: Some(at.port()),
    }
}

/// `--set`: a timeout of 0 stays as it is.
pub fn set_timeouts([tcp, tcpfin, udp]: [u32; 3]) -> Change {
    let keys = [("tcp", tcp), ("tcpfin", tcpfin), ("udp", udp)];
    let given = keys.into_iter().filter(|(_, seconds)| *seconds != 0);
    let given: Vec<_> = given.map(|(key, _)| key).collect();
    let timeouts = Timeouts {
        tcp: Seconds(tcp),
        tcpfin: Seconds(tcpfin),
        udp: Seconds(udp),
    };
    Change::SetTimeouts {
        set: Patch::of(&timeouts, &given),
    }
}

/// The option that names a service of this protocol.
pub fn protocol_option(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "-t",
        Protocol::Udp => "-u",
        Protocol::Sctp => "--sctp-service",
    }
}

/// A protocol in listings.
pub fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    }
}

/// The option for a forwarding method. ipvsadm has none for `fullnat`; NAT is nearest to it.
pub fn method_option(method: Method) -> &'static str {
    match method {
        Method::Dr => "-g",
        Method::Nat | Method::Fullnat => "-m",
        Method::Tun => "-i",
    }
}

/// A forwarding method in listings.
pub fn method_name(method: Method) -> &'static str {
    match method {
        Method::Dr => "Route",
        Method::Nat => "Masq",
        Method::Tun => "Tunnel",
        Method::Fullnat => "FullNat",
    }
}

/// `-s`: without a name it is `wlc`.
pub fn scheduler(name: &str) -> Scheduler {
    match name {
        "" => Scheduler::Wlc,
        name => Scheduler::named(name),
    }
}

/// `-M`, which is read by the service's family.
pub fn netmask(text: &str, family: Family) -> Option<Mask> {
    match family {
        Family::V4 => values::ipv4(text).map(Mask::V4),
        Family::V6 => values::prefix(text).map(Mask::V6),
    }
}

/// A mask as [`netmask`] takes it; nothing for the whole address, which needs no mask.
pub fn netmask_text(mask: Mask) -> Option<String> {
    match mask {
        Mask::Whole | Mask::V4(Ipv4Addr::BROADCAST) | Mask::V6(128) => None,
        Mask::V4(mask) => Some(mask.to_string()),
        Mask::V6(bits) => Some(bits.to_string()),
    }
}

/// `-b`: the flags, or what is wrong with one of them.
pub fn flags(text: &str, scheduler: &Scheduler) -> Result<SchedulerFlags, String> {
    let mut flags = 0;
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let mut words = SchedulerFlags::WORDS.iter();
        let Some((_, bit)) = words.find(|(name, _)| *name == word) else {
            return Err(format!("invalid scheduler flag `{word}'"));
        };
        if owner(word).is_some_and(|owner| owner != *scheduler) {
            return Err(format!("incompatible scheduler flag `{word}'"));
        }
        flags |= bit;
    }
    Ok(SchedulerFlags(flags))
}

/// Flags as [`flags`] takes them.
pub fn flags_text(flags: SchedulerFlags, scheduler: &Scheduler) -> String {
    let has_own = matches!(scheduler, Scheduler::Sh | Scheduler::Mh);
    let names = SchedulerFlags::WORDS.iter().filter(|(name, bit)| {
        let fits = match owner(name) {
            Some(owner) => owner == *scheduler,
            None => !has_own,
        };
        fits && flags.0 & bit != 0
    });
    names.map(|(name, _)| *name).collect::<Vec<_>>().join(",")
}

/// The scheduler that a flag belongs to; a numbered flag belongs to none.
fn owner(flag: &str) -> Option<Scheduler> {
    match flag.split_once('-')?.0 {
        "sh" => Some(Scheduler::Sh),
        "mh" => Some(Scheduler::Mh),
        _ => None,
    }
}

/// `--tun-type`, `--tun-port` and the checksum.
pub fn tunnel(kind: &str, port: u16, checksum: Checksum) -> Tunnel {
    match kind {
        "gue" => Tunnel::Gue { port, checksum },
        "gre" => Tunnel::Gre { checksum },
        _ => Tunnel::Ipip,
    }
}

/// The options for a tunnel.
pub fn tunnel_options(tunnel: Tunnel) -> String {
    let option = |checksum| match checksum {
        Checksum::Without => "--tun-nocsum",
        Checksum::With => "--tun-csum",
        Checksum::Remote => "--tun-remcsum",
    };
    match tunnel {
        Tunnel::Ipip => "--tun-type ipip".to_owned(),
        Tunnel::Gue { port, checksum } => {
            format!("--tun-type gue --tun-port {port} {}", option(checksum))
        }
        Tunnel::Gre { checksum } => format!("--tun-type gre {}", option(checksum)),
    }
}

/// A tunnel in listings.
pub fn tunnel_name(tunnel: Tunnel) -> String {
    let sign = |checksum| match checksum {
        Checksum::Without => "-c",
        Checksum::With => "+c",
        Checksum::Remote => "r+c",
    };
    match tunnel {
        Tunnel::Ipip => "ipip".to_owned(),
        Tunnel::Gue { port, checksum } => format!("gue:{port}:{}", sign(checksum)),
        Tunnel::Gre { checksum } => format!("gre:{}", sign(checksum)),
    }
}

/// The value of `--start-daemon` and `--stop-daemon`.
pub fn role(word: &str) -> Option<Role> {
    [Role::Master, Role::Backup]
        .into_iter()
        .find(|role| role_name(*role) == word)
}

/// A role as [`role`] takes it.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Master => "master",
        Role::Backup => "backup",
    }
}
