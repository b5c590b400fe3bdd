//! The configuration file: from YAML as written to [`Desired`], and back.
//!
//! Everything that is wrong with a file is reported at once, each fault with its line,
//! column and path. What this director does not do yet is refused, never ignored.

mod places;
mod save;
mod written;

use std::{
    collections::HashMap,
    fmt, fs,
    hash::Hash,
    io::{self, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};

pub use self::save::write;

use self::{
    places::{Place, Places, child, parent},
    written::Scalar,
};
use crate::{
    desired::{
        Desired, Method, Protocol, Scheduler, Server, ServerId, Service, ServiceId, Timeouts,
    },
    rules::{self, Fault},
    spelling::{self, Named},
};

/// Largest file that is read: what fits, escaped, into one request to the daemon.
const MAX_BYTES: u64 = 7 << 20;

/// Reads and checks a file; `-` is standard input.
pub fn load(path: &Path) -> Result<Desired, ConfigError> {
    let source = read(path)?;
    parse(&source.text, &source.name)
}

/// A configuration file as text, and what to call it in messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What it says.
    pub text: String,
    /// Its path as given, or `<stdin>`.
    pub name: String,
}

/// Reads a file; `-` is standard input.
pub fn read(path: &Path) -> Result<Source, ConfigError> {
    let stdin = path == Path::new("-");
    let name = if stdin {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    };
    let bytes = if stdin {
        limited(io::stdin().lock())
    } else {
        fs::File::open(path).and_then(limited)
    };
    let unreadable = |why: String| ConfigError::Unreadable {
        file: name.clone(),
        why,
    };
    let bytes = bytes.map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unreadable(format!(
            "it is larger than {} MiB",
            MAX_BYTES >> 20
        )));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { text, name }),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
            Err(unreadable(format!("line {line} is not UTF-8")))
        }
    }
}

/// Up to one byte more than is taken.
fn limited(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Brackets and braces that may be open at the same time; those in comments count too.
const MAX_BRACKETS: usize = 1000;
/// Most faults of one file that are told apart: nobody reads more.
const MAX_FAULTS: usize = 100;

/// Checks a text that came from `file`.
pub fn parse(text: &str, file: &str) -> Result<Desired, ConfigError> {
    let problem = |place: Option<Place>, path: &str, fault: Fault| Problem {
        file: file.to_owned(),
        place,
        path: path.to_owned(),
        fault,
    };
    let document = match shape(text) {
        Ok(document) => document,
        Err(wrong) => {
            return Err(ConfigError::Wrong(vec![problem(
                wrong.place,
                &wrong.path,
                wrong.fault,
            )]));
        }
    };
    let mut reading = Reading::default();
    let desired = reading.document(document);
    if reading.faults.is_empty() {
        return Ok(desired);
    }
    let places = Places::of(text, reading.faults.iter().map(|(path, _)| path.as_str()));
    let mut problems: Vec<_> = reading
        .faults
        .into_iter()
        .map(|(path, fault)| problem(places.value(&path), &path, fault))
        .collect();
    problems.sort_by_key(|problem| problem.place);
    if reading.more > 0 {
        let more = Fault::new(format!("{} more faults are not shown", reading.more));
        problems.push(problem(None, "", more));
    }
    Err(ConfigError::Wrong(problems))
}

/// Why a file is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read at all.
    #[error("cannot read {file}: {why}")]
    Unreadable {
        /// As given.
        file: String,
        /// What the system says.
        why: String,
    },
    /// Its contents are wrong: at least one problem, in the order of their places.
    #[error("{}", lines(.0))]
    Wrong(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// One thing that is wrong in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    file: String,
    place: Option<Place>,
    path: String,
    fault: Fault,
}

impl fmt::Display for Problem {
    /// `lb.yaml:12:9: services[1].servers[0].weight: what is wrong`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.fault)
    }
}

/// What is wrong with the shape of a file.
struct Misshapen {
    place: Option<Place>,
    path: String,
    fault: Fault,
}

fn shape(text: &str) -> Result<written::Document, Misshapen> {
    // serde_yaml reads a text without any node as a mapping without any key.
    if text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---"
    }) {
        return Err(Misshapen {
            place: None,
            path: String::new(),
            fault: Fault::new("there is nothing in it: to have no services, write `services: []`"),
        });
    }
    if let Some(place) = too_deep(text) {
        return Err(Misshapen {
            place: Some(place),
            path: String::new(),
            fault: Fault::new(format!(
                "brackets are nested more than {MAX_BRACKETS} deep: is one not closed?"
            )),
        });
    }
    let yaml = serde_yaml::Deserializer::from_str(text);
    serde_path_to_error::deserialize(yaml).map_err(|error| {
        let path = match error.path().to_string() {
            root if root == "." => String::new(),
            path => path,
        };
        misshapen(text, path, error.inner())
    })
}

/// Where brackets are nested deeper than any file means it. The YAML readers take a time that
/// grows with the square of the depth.
fn too_deep(text: &str) -> Option<Place> {
    let mut depth = 0usize;
    for (line, content) in (1..).zip(text.lines()) {
        for (column, character) in (1..).zip(content.chars()) {
            match character {
                '[' | '{' => depth += 1,
                ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_BRACKETS {
                return Some(Place { line, column });
            }
        }
    }
    None
}

/// Puts serde's words into those of a configuration file.
fn misshapen(text: &str, path: String, error: &serde_yaml::Error) -> Misshapen {
    let seen = error.location().map(|location| Place {
        line: location.line(),
        column: location.column(),
    });
    let message = bare_message(error, &path);
    let quoted: Vec<_> = message.split('`').skip(1).step_by(2).collect();
    let places = |path: &str| Places::of(text, [path]);
    if let (true, [key, known @ ..]) = (message.starts_with("unknown field"), &quoted[..]) {
        return Misshapen {
            place: places(&path).key(&path).or(seen),
            fault: Fault::new(format!(
                "there is no such key{}: use {}",
                spelling::did_you_mean(key, known),
                spelling::alternatives(known)
            )),
            path,
        };
    }
    if let (true, [key]) = (message.starts_with("duplicate field"), &quoted[..]) {
        let path = child(&path, key);
        return Misshapen {
            place: places(&path).key(&path).or(seen),
            fault: Fault::new("this key is written twice: leave one of them out"),
            path,
        };
    }
    if let (true, [key]) = (message.starts_with("missing field"), &quoted[..]) {
        return Misshapen {
            place: places(&path).value(&path).or(seen),
            fault: Fault::new(format!("`{key}` is missing")),
            path,
        };
    }
    if let Some((found, expected)) = message
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        return Misshapen {
            place: places(&path).value(&path).or(seen),
            fault: Fault::new(format!("this is {}, expected {expected}", article(found))),
            path,
        };
    }
    if message.contains("more than one document") {
        return Misshapen {
            place: seen,
            path,
            fault: Fault::new("a file holds one document, and a line `---` begins another here"),
        };
    }
    // Not YAML: the path is where the reader was, not where the fault is.
    let indented_by_tab = seen.is_some_and(|place| {
        text.lines()
            .nth(place.line - 1)
            .is_some_and(|line| line.trim_start_matches(' ').starts_with('\t'))
    });
    let hint = if indented_by_tab {
        " (YAML is indented by spaces, not by tabs)"
    } else {
        ""
    };
    Misshapen {
        place: seen,
        path: String::new(),
        fault: Fault::new(format!("{message}{hint}")),
    }
}

/// What serde_yaml says, without the path that it puts in front and the place behind.
fn bare_message(error: &serde_yaml::Error, path: &str) -> String {
    let message = error.to_string();
    let place = error
        .location()
        .map(|at| format!(" at line {} column {}", at.line(), at.column()))
        .unwrap_or_default();
    let message = message.replacen(&place, "", 1);
    let without = |path: &str| message.strip_prefix(&format!("{path}: "));
    without(path)
        .or_else(|| without(parent(path)))
        .unwrap_or(&message)
        .to_owned()
}

fn article(found: &str) -> String {
    match found {
        "sequence" => "a list".into(),
        "map" => "a mapping".into(),
        "unit value" => "nothing".into(),
        "enum" => "a value with a tag".into(),
        other => format!("the {other}"),
    }
}

/// Going from what is written to what it means, and noting every fault on the way.
#[derive(Default)]
struct Reading {
    /// Path and fault, the first [`MAX_FAULTS`].
    faults: Vec<(String, Fault)>,
    /// How many there are besides.
    more: usize,
}

impl Reading {
    /// The result is whole only if there are no faults.
    fn document(&mut self, written: written::Document) -> Desired {
        let defaults = Desired::default();
        let interfaces = self.interfaces(written.interfaces.0);
        let connections = self
            .value(
                "connections",
                &written.connections,
                Some(defaults.connections),
                connections,
            )
            .unwrap_or(defaults.connections);
        let timeouts = self.timeouts(&written.timeouts.unwrap_or_default(), defaults.timeouts);
        let services: Vec<_> = written
            .services
            .0
            .into_iter()
            .enumerate()
            .map(|(place, written)| self.service(&format!("services[{place}]"), &written))
            .collect();
        self.repeated(
            services.iter().map(|s| s.as_ref().map(|s| s.id)),
            |place| format!("services[{place}].address"),
            |id, first| format!("{id} is a service already: services[{first}]"),
        );
        self.repeated(
            services.iter().map(|s| s.as_ref()?.name.as_deref()),
            |place| format!("services[{place}].name"),
            |name, first| format!("`{name}` is the name of services[{first}] already"),
        );
        Desired {
            interfaces,
            connections,
            timeouts,
            services: services.into_iter().flatten().collect(),
        }
    }

    fn interfaces(&mut self, written: Vec<Scalar>) -> Vec<String> {
        let interfaces: Vec<_> = written
            .into_iter()
            .enumerate()
            .map(|(place, name)| {
                self.word(&format!("interfaces[{place}]"), &name, rules::interface)
            })
            .collect();
        self.repeated(
            interfaces.iter().map(Option::as_deref),
            |place| format!("interfaces[{place}]"),
            |name, first| format!("{name} is interfaces[{first}] already"),
        );
        interfaces.into_iter().flatten().collect()
    }

    fn timeouts(&mut self, written: &written::Timeouts, defaults: Timeouts) -> Timeouts {
        let mut seconds = |key, written, default| {
            self.value(key, written, Some(default), spelling::seconds)
                .unwrap_or(default)
        };
        Timeouts {
            tcp: seconds("timeouts.tcp", &written.tcp, defaults.tcp),
            tcpfin: seconds("timeouts.tcpfin", &written.tcpfin, defaults.tcpfin),
            udp: seconds("timeouts.udp", &written.udp, defaults.udp),
        }
    }

    /// Nothing where the service's identity is in doubt.
    fn service(&mut self, path: &str, written: &written::Service) -> Option<Service> {
        let at = |key| child(path, key);
        let protocol = self.value(
            &at("protocol"),
            &written.protocol,
            Some(Protocol::Tcp),
            Protocol::parse,
        );
        let endpoint = self.value(
            &at("address"),
            &written.address,
            None,
            spelling::endpoint_with_port,
        );
        let id = protocol
            .zip(endpoint)
            .map(|(protocol, (address, port))| ServiceId {
                protocol,
                address,
                port,
            });
        if let Some(id) = id {
            self.check(&at("address"), rules::service(id));
        }
        let name = self.word(&at("name"), &written.name, rules::name);
        let scheduler = self.value(
            &at("scheduler"),
            &written.scheduler,
            Some(Scheduler::Wlc),
            Scheduler::parse,
        );
        let forward = self.value(
            &at("forward"),
            &written.forward,
            Some(Method::Dr),
            Method::parse,
        );
        if written.persistence.is_some() {
            self.check(
                &at("persistence"),
                Err(Fault::new(
                    "this director does not have persistence yet: leave it out",
                )),
            );
        }
        let servers = self.servers(&at("servers"), &written.servers.0, id, forward);
        Some(Service {
            id: id?,
            name,
            scheduler: scheduler?,
            forward: forward?,
            servers,
        })
    }

    fn servers(
        &mut self,
        path: &str,
        written: &[written::Server],
        service: Option<ServiceId>,
        forward: Option<Method>,
    ) -> Vec<Server> {
        self.check(path, rules::server_count(written.len()));
        let servers: Vec<_> = written
            .iter()
            .enumerate()
            .map(|(place, written)| {
                self.server(&format!("{path}[{place}]"), written, service, forward)
            })
            .collect();
        self.repeated(
            servers.iter().map(|s| s.map(|s| s.id)),
            |place| format!("{path}[{place}].address"),
            |id, first| format!("{id} is a server of this service already: {path}[{first}]"),
        );
        servers.into_iter().flatten().collect()
    }

    fn server(
        &mut self,
        path: &str,
        written: &written::Server,
        service: Option<ServiceId>,
        forward: Option<Method>,
    ) -> Option<Server> {
        let at = |key| child(path, key);
        let endpoint = self.value(&at("address"), &written.address, None, spelling::endpoint);
        let weight = self.value(
            &at("weight"),
            &written.weight,
            Some(rules::DEFAULT_WEIGHT),
            weight,
        );
        let method = match &written.forward {
            Scalar::Absent => forward,
            forward => self.value(&at("forward"), forward, None, Method::parse),
        };
        let (service, (address, port)) = (service?, endpoint?);
        let server = Server {
            id: ServerId {
                address,
                port: port.unwrap_or(service.port),
            },
            weight: weight?,
            method: method?,
        };
        self.check(&at("address"), rules::server(service, &server));
        Some(server)
    }

    /// What a scalar means; `default` is for keys that may be left out.
    fn value<T>(
        &mut self,
        path: &str,
        scalar: &Scalar,
        default: Option<T>,
        meaning: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let fault = match scalar {
            Scalar::Absent => return default,
            Scalar::Empty => Fault::new("it has no value: give one, or leave the key out"),
            Scalar::Text(text) | Scalar::Number(text) => match meaning(text) {
                Ok(value) => return Some(value),
                Err(fault) => fault,
            },
        };
        self.check(path, Err(fault));
        None
    }

    /// A scalar that is a name.
    fn word(
        &mut self,
        path: &str,
        scalar: &Scalar,
        rule: impl Fn(&str) -> Result<(), Fault>,
    ) -> Option<String> {
        if let Scalar::Number(_) = scalar {
            let fault = "a number or truth value cannot be a name: put it in quotes";
            self.check(path, Err(Fault::new(fault)));
            return None;
        }
        self.value(path, scalar, None, |name| {
            rule(name).map(|()| name.to_owned())
        })
    }

    fn check(&mut self, path: &str, result: Result<(), Fault>) {
        let Err(fault) = result else { return };
        if self.faults.len() < MAX_FAULTS {
            self.faults.push((path.to_owned(), fault));
        } else {
            self.more += 1;
        }
    }

    /// Notes every item that stands further up in the list already.
    fn repeated<K: Copy + Eq + Hash>(
        &mut self,
        items: impl Iterator<Item = Option<K>>,
        path: impl Fn(usize) -> String,
        message: impl Fn(K, usize) -> String,
    ) {
        let mut first_places = HashMap::new();
        for (place, item) in items.enumerate() {
            let Some(item) = item else { continue };
            let first = *first_places.entry(item).or_insert(place);
            if first != place {
                self.check(&path(place), Err(Fault::new(message(item, first))));
            }
        }
    }
}

fn connections(text: &str) -> Result<u32, Fault> {
    spelling::number(text, rules::CONNECTIONS)
}

fn weight(text: &str) -> Result<u32, Fault> {
    spelling::number(text, rules::WEIGHTS)
}

#[cfg(test)]
mod tests;
