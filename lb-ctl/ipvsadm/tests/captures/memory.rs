//! A kernel in memory that takes all that IPVS takes.

use std::net::{IpAddr, Ipv4Addr};

use lb_api::{Connection, ListedServer, ListedService, Listing, Numbers, Page};
use lb_ipvsadm::{Failure, Kernel, Refused};
use lb_model::{
    Change, Counters, End, Endpoint, Load, Method, Patch, Refusal, ServerOptions, ServiceId,
    ServiceOptions, ServiceRef, Timeouts, Tunnel,
    options::Options as _,
    spelling::Named,
    sync::{Role, Sync},
};

/// Services and servers, without a packet path.
#[derive(Default)]
pub struct Memory {
    pub services: Vec<ListedService>,
    /// In pages.
    pub connections: Vec<Vec<Connection>>,
    pub sync: Vec<(Role, Sync)>,
    pub timeouts: Timeouts,
}

/// The schedulers of the kernel that the captures are from.
const SCHEDULERS: [&str; 14] = [
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "none",
];

impl Memory {
    fn find(&mut self, service: &ServiceRef) -> Result<&mut ListedService, Refusal> {
        let mut services = self.services.iter_mut();
        services
            .find(|listed| ServiceRef::Id(listed.id) == *service)
            .ok_or(Refusal::NoService)
    }

    fn make(&mut self, change: Change) -> Result<(), Refusal> {
        match change {
            Change::AddService { id, options } => {
                if self.find(&id.into()).is_ok() {
                    return Err(Refusal::Exists);
                }
                check_service(&options)?;
                self.services.push(ListedService {
                    id,
                    options,
                    counters: Counters::default(),
                    servers: Vec::new(),
                });
            }
            Change::SetService { service, set } => {
                let listed = self.find(&service)?;
                let mut options = listed.options.clone();
                set.put(&mut options).map_err(|_| Refusal::Invalid)?;
                check_service(&options)?;
                listed.options = options;
            }
            Change::DeleteService { service } => {
                let id = self.find(&service)?.id;
                self.services.retain(|listed| listed.id != id);
            }
            Change::Clear => self.services.clear(),
            Change::AddServer {
                service,
                server,
                options,
                end,
            } => {
                assert_eq!(end, End::Head, "IPVS puts a new server before the others");
                let service = self.find(&service)?;
                check_numbers(&options)?;
                if place(service, server).is_some() {
                    return Err(Refusal::Exists);
                }
                check_address(server.address)?;
                let listed = listed(service.id, server, options);
                service.servers.insert(0, listed);
            }
            Change::SetServer {
                service,
                server,
                set,
            } => {
                let service = self.find(&service)?;
                // Of what the server had before, `-e` keeps nothing.
                let options = all(&set)?;
                check_numbers(&options)?;
                let place = place(service, server).ok_or(Refusal::NotFound)?;
                service.servers[place] = listed(service.id, server, options);
            }
            Change::DeleteServer { service, server } => {
                let service = self.find(&service)?;
                let place = place(service, server).ok_or(Refusal::NotFound)?;
                service.servers.remove(place);
            }
            Change::Zero {
                service: Some(service),
            } => zero(self.find(&service)?),
            Change::Zero { service: None } => self.services.iter_mut().for_each(zero),
            Change::SetTimeouts { set } => {
                set.put(&mut self.timeouts).map_err(|_| Refusal::Invalid)?;
            }
            Change::StartSync { role, sync } => self.start(role, sync)?,
            Change::StopSync { role } => {
                let place = self.sync.iter().position(|(other, _)| *other == role);
                self.sync.remove(place.ok_or(Refusal::NoService)?);
            }
            Change::Replace(_) => panic!("ipvsadm replaces nothing"),
        }
        Ok(())
    }

    fn start(&mut self, role: Role, sync: Sync) -> Result<(), Refusal> {
        if self.sync.iter().any(|(other, _)| *other == role) {
            return Err(Refusal::Exists);
        }
        if sync.interface != "lo" {
            return Err(Refusal::NoDevice);
        }
        let or = |value: u16, usual: u16| if value == 0 { usual } else { value };
        let longest = match role {
            Role::Master => 1472,
            Role::Backup => 65_507,
        };
        let sync = Sync {
            longest: or(sync.longest, longest),
            port: or(sync.port, 8848),
            ttl: sync.ttl.max(1),
            group: sync.group.or(Some(IpAddr::from([224, 0, 0, 81]))),
            ..sync
        };
        self.sync.push((role, sync));
        Ok(())
    }
}

/// The options of a patch that has every option that IPVS knows. Two servers that differ in every
/// option become alike by it.
fn all(set: &Patch) -> Result<ServerOptions, Refusal> {
    let mut options = ServerOptions::default();
    let mut others = ServerOptions::default();
    for (key, word) in [
        ("weight", "77"),
        ("forward", "nat"),
        ("upper", "77"),
        ("lower", "77"),
        ("tunnel", "gue:77+remcsum"),
    ] {
        let row = ServerOptions::row(key).unwrap();
        (row.set)(&mut others, word).unwrap();
    }
    for options in [&mut options, &mut others] {
        set.put(options).map_err(|_| Refusal::Invalid)?;
    }
    assert_eq!(options, others, "{set:?}");
    Ok(options)
}

fn check_service(options: &ServiceOptions) -> Result<(), Refusal> {
    let engine = options.persistence_engine.as_ref();
    let engine = engine.map_or("sip", |engine| engine.as_str());
    if !SCHEDULERS.contains(&options.scheduler.name()) || engine != "sip" {
        return Err(Refusal::NotFound);
    }
    Ok(())
}

fn check_numbers(options: &ServerOptions) -> Result<(), Refusal> {
    if options.lower > options.upper {
        return Err(Refusal::OutOfRange);
    }
    Ok(())
}

fn check_address(address: IpAddr) -> Result<(), Refusal> {
    let unfit = address.is_multicast()
        || address == Ipv4Addr::BROADCAST
        || address == Ipv4Addr::UNSPECIFIED;
    if unfit {
        return Err(Refusal::Invalid);
    }
    Ok(())
}

fn place(service: &ListedService, server: Endpoint) -> Option<usize> {
    let wanted = server.of(service.id);
    service.servers.iter().position(|it| it.id == wanted)
}

fn listed(service: ServiceId, server: Endpoint, mut options: ServerOptions) -> ListedServer {
    let method = options.forward.expect("ipvsadm always gives the method");
    if method != Method::Tun {
        options.tunnel = Tunnel::Ipip;
    }
    ListedServer {
        id: server.of(service),
        options,
        method,
        state: String::new(),
        load: Load::default(),
        persistent: 0,
        counters: Counters::default(),
    }
}

fn zero(service: &mut ListedService) {
    service.counters = Counters::default();
    for server in &mut service.servers {
        server.counters = Counters::default();
    }
}

impl Kernel for &mut Memory {
    fn change(&mut self, changes: Vec<Change>, _: &str) -> Result<Vec<Refused>, Failure> {
        // As they come through the socket.
        let json = serde_json::to_string(&changes).unwrap();
        let changes: Vec<Change> = serde_json::from_str(&json).unwrap();
        let outcomes = changes.into_iter().map(|change| self.make(change));
        let refused = outcomes.enumerate();
        Ok(refused
            .filter_map(|(place, outcome)| {
                Some(Refused {
                    place,
                    refusal: outcome.err()?,
                    limit: None,
                })
            })
            .collect())
    }

    fn list(&mut self, service: Option<ServiceId>, _: Numbers) -> Result<Option<Listing>, Failure> {
        let services: Vec<_> = match service {
            None => self.services.clone(),
            Some(id) => match self.find(&id.into()) {
                Ok(listed) => vec![listed.clone()],
                Err(_) => return Ok(None),
            },
        };
        Ok(Some(Listing {
            capacity: 4096,
            services,
        }))
    }

    fn connections(&mut self, from: u64) -> Result<Page, Failure> {
        let page = usize::try_from(from).unwrap();
        let rows = self.connections.get(page).cloned().unwrap_or_default();
        Ok(Page {
            found: rows.len() as u64,
            rows,
            next: (page + 1 < self.connections.len()).then_some(from + 1),
        })
    }

    fn timeouts(&mut self) -> Result<Timeouts, Failure> {
        Ok(self.timeouts.clone())
    }

    fn sync_daemons(&mut self) -> Result<Vec<(Role, Sync)>, Failure> {
        Ok(self.sync.clone())
    }
}
