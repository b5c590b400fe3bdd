//! A configuration as YAML, such that reading it again gives the same.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddrV4},
};

use lb_model::{
    Desired, Family, Options, Protocol, Server, Service, ServiceId, Timeouts, Unreachable,
    options::Row, rules,
};
use serde_json::Value as Json;

/// Writes `desired` as a configuration file. What has its default value is left out.
pub fn write(desired: &Desired, mut to: impl Write) -> io::Result<()> {
    if !desired.interfaces.is_empty() {
        let names: Vec<_> = desired.interfaces.iter().map(|name| quoted(name)).collect();
        writeln!(to, "interfaces: [{}]", names.join(", "))?;
    }
    if desired.connections != rules::DEFAULT_CONNECTIONS {
        writeln!(to, "connections: {}", desired.connections)?;
    }
    if desired.timeouts != Timeouts::default() {
        writeln!(to, "timeouts: {}", flow(&said(&desired.timeouts, |_| true)))?;
    }
    if desired.unreachable != Unreachable::default() {
        writeln!(to, "unreachable: {}", desired.unreachable)?;
    }
    if desired.services.is_empty() {
        // A file that leaves them out says nothing of them.
        return writeln!(to, "services: []");
    }
    writeln!(to, "services:")?;
    let mut services = desired.services.iter();
    services.try_for_each(|service| write_service(service, &mut to))
}

/// A key and its value as YAML.
type Key = (&'static str, String);

fn write_service(service: &Service, to: &mut impl Write) -> io::Result<()> {
    let name = |row: &Row<_>| row.key == "name";
    let keys = said(&service.options, name)
        .into_iter()
        .chain(identity(service.id))
        .chain(said(&service.options, |row| !name(row)));
    for (place, (key, value)) in keys.enumerate() {
        let mark = if place == 0 { '-' } else { ' ' };
        writeln!(to, "  {mark} {key}: {value}")?;
    }
    if service.servers.is_empty() {
        return Ok(());
    }
    writeln!(to, "    servers:")?;
    let mut servers = service.servers.iter();
    servers.try_for_each(|server| writeln!(to, "      - {}", flow(&server_keys(service, server))))
}

fn identity(id: ServiceId) -> Vec<Key> {
    match id {
        ServiceId::Address { protocol, at } => {
            let mut keys = vec![("address", quoted(&at.to_string()))];
            if protocol != Protocol::Tcp {
                keys.push(("protocol", protocol.to_string()));
            }
            keys
        }
        ServiceId::Mark { mark, family } => {
            let mut keys = vec![("mark", mark.to_string())];
            if family == Family::V6 {
                keys.push(("family", "ipv6".to_owned()));
            }
            keys
        }
    }
}

fn server_keys(service: &Service, server: &Server) -> Vec<Key> {
    let address = if server.id.port == service.id.port() {
        server.id.address.to_string()
    } else {
        server.id.to_string()
    };
    let mut keys = vec![("address", quoted(&address))];
    keys.extend(said(&server.options, |_| true));
    keys
}

/// Those options of some rows that do not have their default value.
fn said<T: Options>(options: &T, which: impl Fn(&Row<T>) -> bool) -> Vec<Key> {
    let rows = options.said().filter(|row| which(row));
    rows.map(|row| (row.key, yaml(&(row.file)(options))))
        .collect()
}

/// A value on one line.
fn yaml(value: &Json) -> String {
    match value {
        Json::String(text) => quoted(text),
        Json::Null | Json::Bool(_) | Json::Number(_) => value.to_string(),
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(yaml).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(keys) => {
            let keys: Vec<_> = keys.iter().map(|(key, value)| (key, yaml(value))).collect();
            flow(&keys)
        }
    }
}

/// A mapping on one line.
fn flow<K: AsRef<str>>(keys: &[(K, String)]) -> String {
    let keys = keys.iter();
    let keys: Vec<_> = keys
        .map(|(key, value)| format!("{}: {value}", key.as_ref()))
        .collect();
    format!("{{{}}}", keys.join(", "))
}

/// A text as YAML, in quotes where it could be read as something else.
fn quoted(text: &str) -> String {
    /// Words that some YAML readers take for a truth value or for nothing.
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-+@".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    let time = text.strip_suffix(['s', 'm', 'h']).is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let address = text.parse::<Ipv4Addr>().is_ok() || text.parse::<SocketAddrV4>().is_ok();
    if word || time || address {
        return text.to_owned();
    }
    // A JSON string is a double-quoted YAML scalar, but for what YAML takes for the end of a line
    // (U+0085, U+2028) or does not take at all.
    let mut yaml = String::new();
    for c in Json::from(text).to_string().chars() {
        if c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric() {
            yaml.push(c);
        } else {
            yaml.push_str(&format!("\\U{:08x}", u32::from(c)));
        }
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            faults::{Faults, Path},
            node,
        },
        *,
    };
    use lb_model::strategies;
    use proptest::prelude::*;

    fn read(yaml: &str) -> Result<Json, TestCaseError> {
        let node = node::read(yaml);
        let node = node.map_err(|error| TestCaseError::fail(error.fault.to_string()))?;
        let value = node.json(&Path::ROOT, &mut Faults::default());
        Ok(value.expect("no tags").into_owned())
    }

    /// The values of all options, as YAML, are read as what they were.
    fn comes_back<T: Options>(options: &T) -> Result<(), TestCaseError> {
        for (row, (key, yaml)) in options.said().zip(said(options, |_| true)) {
            let value = read(&format!("{key}: {yaml}"))?;
            prop_assert_eq!(&value[row.key], &(row.file)(options), "{}", yaml);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn every_value_of_an_option_comes_back(
            service in strategies::all_service_options(),
            server in strategies::all_server_options(),
        ) {
            comes_back(&service)?;
            comes_back(&server)?;
        }

        #[test]
        fn every_text_comes_back(text in ".*", line in strategies::text()) {
            for text in [text.as_str(), line.as_str(), "\u{85} \u{2028} \u{feff} \u{10ffff}"] {
                prop_assert_eq!(read(&format!("- {}", quoted(text)))?, serde_json::json!([text]));
            }
        }
    }
}
