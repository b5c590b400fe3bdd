//! What a tree of values means as a configuration, and everything in it that is wrong.

use std::{collections::HashMap, hash::Hash, net::SocketAddr, sync::LazyLock};

use lb_model::{
    Endpoint, Family, Fault, Method, Options, Patch, Protocol, Server, ServerOptions, Service,
    ServiceId, ServiceOptions, Timeouts, Unreachable, addressing, meant,
    merge::Written,
    not_yet::{self, NotYet},
    packet_path, rules,
    spelling::{self, Named},
    values::{text, word},
};
use serde_json::Value as Json;

use super::{
    faults::{Faults, Path},
    node::Node,
};

static DOCUMENT: LazyLock<Known> = LazyLock::new(|| Known {
    usable: vec![
        "interfaces",
        "connections",
        "timeouts",
        "unreachable",
        "services",
    ],
    unused: Vec::new(),
});
static TIMEOUTS: LazyLock<Known> = LazyLock::new(|| Known::with::<Timeouts>(&[], &[], &[]));
static SERVICE: LazyLock<Known> = LazyLock::new(|| {
    let own = ["address", "protocol", "servers"];
    let unused = packet_path::UNUSED_SERVICE_OPTIONS;
    Known::with::<ServiceOptions>(&own, &["mark", "family"], unused)
});
static SERVER: LazyLock<Known> = LazyLock::new(|| {
    Known::with::<ServerOptions>(&["address"], &[], packet_path::UNUSED_SERVER_OPTIONS)
});

/// The keys that a mapping can have.
struct Known {
    /// Those that a fault suggests.
    usable: Vec<&'static str>,
    /// Those that the packet path cannot act on yet.
    unused: Vec<&'static str>,
}

impl Known {
    /// The options of `T`, and other keys.
    fn with<T: Options>(
        usable: &[&'static str],
        unused: &[&'static str],
        unused_options: &[&str],
    ) -> Self {
        let options = T::ROWS.iter().map(|row| row.key);
        let (unused_options, options): (Vec<_>, Vec<_>) =
            options.partition(|key| unused_options.contains(key));
        Self {
            usable: [usable, &options].concat(),
            unused: [unused, &unused_options].concat(),
        }
    }
}

const A_LIST: &str = "a list (`[a, b]`, or one `- ` for each item)";

/// What a file means, as far as nothing is wrong with it.
pub fn read(root: &Node, faults: &mut Faults) -> Written {
    let path = Path::ROOT;
    let Some(keys) = mapping(&path, root, "keys such as `services: [...]`", faults) else {
        return Written::default();
    };
    keys.check(&DOCUMENT, faults);
    Written {
        interfaces: keys
            .get("interfaces")
            .map(|node| interfaces(&path.key("interfaces"), node, faults)),
        connections: keys.value("connections", faults, |value| {
            spelling::number(&word(value)?, rules::CONNECTIONS)
        }),
        timeouts: keys
            .get("timeouts")
            .map(|node| timeouts(&path.key("timeouts"), node, faults))
            .unwrap_or_default(),
        unreachable: keys.value("unreachable", faults, |value| {
            Unreachable::parse(&word(value)?)
        }),
        services: keys
            .get("services")
            .map(|node| services(&path.key("services"), node, faults)),
    }
}

fn interfaces(path: &Path, node: &Node, faults: &mut Faults) -> Vec<String> {
    // `services: []` means something: that there are none.
    if node.is_nothing() || *node == Node::List(Vec::new()) {
        let why = "name at least one interface, or leave `interfaces:` out: then those of \
                   `lb-ctl run --interface`, or those that there are, stay";
        faults.value(path, Fault::new(why));
        return Vec::new();
    }
    let names: Vec<Option<String>> = list(path, node, faults)
        .iter()
        .enumerate()
        .map(|(place, node)| {
            let path = path.item(place);
            value(&path, node, faults, |value| {
                let name = text(value)?;
                rules::interface(name).map(|()| name.to_owned())
            })
        })
        .collect();
    for (place, name, first) in repeated(names.iter().map(Option::as_deref)) {
        let fault = format!("{name} is interfaces[{first}] already");
        faults.value(&path.item(place), Fault::new(fault));
    }
    names.into_iter().flatten().collect()
}

fn timeouts(path: &Path, node: &Node, faults: &mut Faults) -> Patch {
    if node.is_nothing() {
        return Patch::default();
    }
    let expected = "a mapping like `{tcp: 900s, tcpfin: 120s, udp: 300s}`";
    let Some(keys) = mapping(path, node, expected, faults) else {
        return Patch::default();
    };
    keys.check(&TIMEOUTS, faults);
    let said = keys.options::<Timeouts>(faults).options;
    let keys: Vec<_> = keys.0.iter().map(|(key, _)| key.as_str()).collect();
    Patch::of(&said, &keys)
}

fn services(path: &Path, node: &Node, faults: &mut Faults) -> Vec<Service> {
    let services: Vec<Option<Service>> = list(path, node, faults)
        .iter()
        .enumerate()
        .map(|(place, node)| service(&path.item(place), node, faults))
        .collect();
    let ids = services.iter().map(|service| Some(service.as_ref()?.id));
    for (place, id, first) in repeated(ids) {
        let fault = format!("{id} is a service already: services[{first}]");
        faults.value(&path.item(place).key("address"), Fault::new(fault));
    }
    let names = services
        .iter()
        .map(|service| service.as_ref()?.options.name.as_ref());
    for (place, name, first) in repeated(names) {
        let fault = format!("`{name}` is the name of services[{first}] already");
        faults.value(&path.item(place).key("name"), Fault::new(fault));
    }
    services.into_iter().flatten().collect()
}

/// Nothing if it is not known which service is meant.
fn service(path: &Path, node: &Node, faults: &mut Faults) -> Option<Service> {
    let expected = "a mapping like `{address: IP:PORT, servers: [...]}`";
    let keys = mapping(path, node, expected, faults)?;
    keys.check(&SERVICE, faults);
    let id = service_id(&keys, faults);
    let Read { options, wrong } = keys.options::<ServiceOptions>(faults);
    keys.not_yet(not_yet::service_options(&options), faults);
    let forward = (!wrong.contains(&"forward")).then_some(options.forward);
    let servers = keys
        .get("servers")
        .map(|node| servers(&path.key("servers"), node, id, forward, faults))
        .unwrap_or_default();
    Some(Service {
        id: id?,
        options,
        servers,
    })
}

fn service_id(keys: &Keys, faults: &mut Faults) -> Option<ServiceId> {
    let id = match (keys.get("address"), keys.get("mark")) {
        (_, None) => {
            let at = keys.required("address", faults, |value| {
                let (address, port) = spelling::endpoint_with_port(&word(value)?)?;
                Ok(SocketAddr::new(address, port))
            });
            let protocol = match keys.get("protocol") {
                None => Some(Protocol::Tcp),
                Some(_) => keys.value("protocol", faults, |value| Protocol::parse(&word(value)?)),
            };
            ServiceId::Address {
                protocol: protocol?,
                at: at?,
            }
        }
        (None, Some(_)) => {
            let mark = keys.value("mark", faults, |value| {
                spelling::number(&word(value)?, 1..=u32::MAX)
            });
            let family = match keys.get("family") {
                None => Some(Family::V4),
                Some(_) => keys.value("family", faults, |value| match text(value)? {
                    "ipv4" => Ok(Family::V4),
                    "ipv6" => Ok(Family::V6),
                    _ => Err(Fault::new("use ipv4 or ipv6")),
                }),
            };
            ServiceId::Mark {
                mark: mark?,
                family: family?,
            }
        }
        (Some(_), Some(_)) => {
            let fault = "a service has an address or a mark, not both";
            faults.key(&keys.path("mark"), || Fault::new(fault));
            return None;
        }
    };
    match not_yet::service_id(id) {
        Err(not_yet) => keys.not_yet([not_yet], faults),
        Ok(()) => {
            faults.check(&keys.path("address"), addressing::service(id));
        }
    }
    Some(id)
}

fn servers(
    path: &Path,
    node: &Node,
    service: Option<ServiceId>,
    forward: Option<Method>,
    faults: &mut Faults,
) -> Vec<Server> {
    let nodes = list(path, node, faults);
    faults.check(path, rules::server_count(nodes.len()));
    let servers: Vec<Option<Server>> = nodes
        .iter()
        .enumerate()
        .map(|(place, node)| server(&path.item(place), node, service, forward, faults))
        .collect();
    let ids = servers.iter().map(|server| Some(server.as_ref()?.id));
    for (place, id, first) in repeated(ids) {
        let fault = format!("{id} is a server of this service already: {path}[{first}]");
        faults.value(&path.item(place).key("address"), Fault::new(fault));
    }
    servers.into_iter().flatten().collect()
}

/// Nothing if it is not known which server is meant.
fn server(
    path: &Path,
    node: &Node,
    service: Option<ServiceId>,
    forward: Option<Method>,
    faults: &mut Faults,
) -> Option<Server> {
    let keys = mapping(
        path,
        node,
        "a mapping like `{address: IP, weight: 1}`",
        faults,
    )?;
    keys.check(&SERVER, faults);
    let endpoint = keys.required("address", faults, |value| word(value)?.parse::<Endpoint>());
    let Read { options, wrong } = keys.options::<ServerOptions>(faults);
    keys.not_yet(not_yet::server_options(&options), faults);
    faults.check(&keys.path("weight"), rules::weight(options.weight));
    let limits = rules::thresholds(options.upper, options.lower);
    faults.check(&keys.path("lower"), limits);
    let (service, endpoint) = (service?, endpoint?);
    let id = endpoint.of(service);
    let method = match options.forward {
        None if wrong.contains(&"forward") => None,
        None => forward,
        method => method,
    };
    match (not_yet::server_address(id.address), method) {
        (Err(not_yet), _) => keys.not_yet([not_yet], faults),
        (Ok(()), Some(method)) => {
            faults.check(
                &keys.path("address"),
                addressing::server(service, id, method),
            );
        }
        (Ok(()), None) => {}
    }
    Some(Server { id, options })
}

/// The keys of a mapping with their values.
struct Keys<'a>(&'a [(String, Node)], Path<'a>);

/// Options as they were read.
struct Read<T> {
    options: T,
    /// The keys whose values are wrong; they have their defaults.
    wrong: Vec<&'static str>,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Node> {
        let found = self.0.iter().find(|(found, _)| found == key);
        found.map(|(_, node)| node)
    }

    fn path<'a>(&'a self, key: &'a str) -> Path<'a> {
        self.1.key(key)
    }

    /// Notes each key that is not known, and each that is written again.
    fn check(&self, known: &Known, faults: &mut Faults) {
        let mut seen: Vec<&str> = Vec::new();
        for (key, _) in self.0 {
            let key = key.as_str();
            if !known.usable.contains(&key) && !known.unused.contains(&key) {
                faults.key(&self.path(key), || {
                    let suggestion = spelling::did_you_mean(key, &known.usable);
                    if suggestion.is_empty()
                        && let Some(instead) = meant::instead(key)
                    {
                        return Fault::new(format!("unknown key: {instead}"));
                    }
                    Fault::new(format!(
                        "unknown key{suggestion}: use {}",
                        spelling::alternatives(&known.usable)
                    ))
                });
            } else if seen.contains(&key) {
                faults.written_twice(&self.path(key));
            } else {
                seen.push(key);
            }
        }
    }

    /// What the value of a key means, if the key is there.
    fn value<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        meaning: impl FnOnce(&Json) -> Result<T, Fault>,
    ) -> Option<T> {
        value(&self.path(key), self.get(key)?, faults, meaning)
    }

    /// What the value of a key means, which must be there.
    fn required<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        meaning: impl FnOnce(&Json) -> Result<T, Fault>,
    ) -> Option<T> {
        if self.get(key).is_none() {
            faults.value(&self.1, Fault::new(format!("`{key}` is missing")));
        }
        self.value(key, faults, meaning)
    }

    /// The options among the keys.
    fn options<T: Options>(&self, faults: &mut Faults) -> Read<T> {
        let mut options = T::default();
        let mut wrong = Vec::new();
        for row in T::ROWS {
            let read = self.value(row.key, faults, |value| (row.read)(&mut options, value));
            if read.is_none() && self.get(row.key).is_some() {
                wrong.push(row.key);
            }
        }
        Read { options, wrong }
    }

    fn not_yet(&self, not_yet: impl IntoIterator<Item = NotYet>, faults: &mut Faults) {
        for NotYet { key, fault, .. } in not_yet {
            faults.value(&self.path(key), fault);
        }
    }
}

/// What a value means.
fn value<T>(
    path: &Path,
    node: &Node,
    faults: &mut Faults,
    meaning: impl FnOnce(&Json) -> Result<T, Fault>,
) -> Option<T> {
    let value = node.json(path, faults)?;
    faults.check(path, meaning(&value))
}

/// The items of a list. A key without a value has none.
fn list<'a>(path: &Path, node: &'a Node, faults: &mut Faults) -> &'a [Node] {
    match node {
        Node::List(items) => items,
        node if node.is_nothing() => &[],
        other => {
            faults.value(path, unexpected(other, A_LIST));
            &[]
        }
    }
}

fn mapping<'a>(
    path: &Path<'a>,
    node: &'a Node,
    expected: &str,
    faults: &mut Faults,
) -> Option<Keys<'a>> {
    match node {
        Node::Mapping(keys) => Some(Keys(keys, *path)),
        other => {
            faults.value(path, unexpected(other, expected));
            None
        }
    }
}

fn unexpected(found: &Node, expected: &str) -> Fault {
    /// Of a text, so much is shown.
    const SHOWN: usize = 40;
    let found = match found {
        Node::Single(Json::Null) => "nothing".to_owned(),
        Node::Single(Json::String(text)) => {
            let shown: String = text.chars().take(SHOWN).collect();
            let more = if text.chars().nth(SHOWN).is_some() {
                "..."
            } else {
                ""
            };
            format!("the text \"{}{more}\"", shown.escape_debug())
        }
        Node::Single(value) => format!("the value `{value}`"),
        Node::List(_) => "a list".to_owned(),
        Node::Mapping(_) => "a mapping".to_owned(),
        Node::Tagged => "a value with a tag".to_owned(),
    };
    Fault::new(format!("this is {found}, expected {expected}"))
}

/// Every item that is further up in the list already: its place, the item, and the first place.
fn repeated<K: Clone + Eq + Hash>(
    items: impl Iterator<Item = Option<K>>,
) -> Vec<(usize, K, usize)> {
    let mut first_places = HashMap::new();
    let mut found = Vec::new();
    for (place, item) in items.enumerate() {
        let Some(item) = item else { continue };
        let first = *first_places.entry(item.clone()).or_insert(place);
        if first != place {
            found.push((place, item, first));
        }
    }
    found
}
