//! A configuration as YAML, such that reading it again gives the same.

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
};

use crate::{
    desired::{Desired, Method, Protocol, Scheduler, Server, Service, Timeouts},
    rules,
    spelling::Named,
};

/// Writes `desired` as a configuration file. What has its default value is left out.
pub fn write(desired: &Desired, mut to: impl Write) -> io::Result<()> {
    if !desired.interfaces.is_empty() {
        let names: Vec<_> = desired.interfaces.iter().map(|i| quoted(i)).collect();
        writeln!(to, "interfaces: [{}]", names.join(", "))?;
    }
    if desired.connections != rules::DEFAULT_CONNECTIONS {
        writeln!(to, "connections: {}", desired.connections)?;
    }
    if desired.timeouts != Timeouts::default() {
        writeln!(to, "timeouts: {}", Flow(&timeouts(desired.timeouts)))?;
    }
    if desired.services.is_empty() {
        // Said, because a file without any key is refused.
        return writeln!(to, "services: []");
    }
    writeln!(to, "services:")?;
    desired
        .services
        .iter()
        .try_for_each(|service| write_service(service, &mut to))
}

fn write_service(service: &Service, to: &mut impl Write) -> io::Result<()> {
    let mut keys = Vec::new();
    if let Some(name) = &service.name {
        keys.push(("name", quoted(name)));
    }
    let id = service.id;
    keys.push(("address", format!("{}:{}", id.address, id.port)));
    if id.protocol != Protocol::Tcp {
        keys.push(("protocol", id.protocol.name().to_owned()));
    }
    if service.scheduler != Scheduler::Wlc {
        keys.push(("scheduler", service.scheduler.name().to_owned()));
    }
    if service.forward != Method::Dr {
        keys.push(("forward", service.forward.name().to_owned()));
    }
    for (place, (key, value)) in keys.into_iter().enumerate() {
        let mark = if place == 0 { '-' } else { ' ' };
        writeln!(to, "  {mark} {key}: {value}")?;
    }
    if service.servers.is_empty() {
        return Ok(());
    }
    writeln!(to, "    servers:")?;
    service
        .servers
        .iter()
        .try_for_each(|server| writeln!(to, "      - {}", Flow(&server_keys(service, server))))
}

fn server_keys(service: &Service, server: &Server) -> Vec<(&'static str, String)> {
    let id = server.id;
    let mut keys = vec![(
        "address",
        if id.port == service.id.port {
            id.address.to_string()
        } else {
            id.to_string()
        },
    )];
    if server.weight != rules::DEFAULT_WEIGHT {
        keys.push(("weight", server.weight.to_string()));
    }
    if server.method != service.forward {
        keys.push(("forward", server.method.name().to_owned()));
    }
    keys
}

fn timeouts(timeouts: Timeouts) -> Vec<(&'static str, String)> {
    let default = Timeouts::default();
    [
        ("tcp", timeouts.tcp, default.tcp),
        ("tcpfin", timeouts.tcpfin, default.tcpfin),
        ("udp", timeouts.udp, default.udp),
    ]
    .into_iter()
    .filter(|(_, seconds, default)| seconds != default)
    .map(|(key, seconds, _)| (key, format!("{seconds}s")))
    .collect()
}

/// A mapping on one line.
struct Flow<'a>(&'a [(&'static str, String)]);

impl fmt::Display for Flow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (place, (key, value)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{key}: {value}")?;
        }
        f.write_char('}')
    }
}

/// A string as a YAML scalar, in quotes where it could be read as something else.
fn quoted(text: &str) -> String {
    /// Words that some YAML reader takes for a truth value or for nothing.
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-+@".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        text.to_owned()
    } else {
        // A JSON string is a double-quoted YAML scalar.
        serde_json::Value::from(text).to_string()
    }
}
