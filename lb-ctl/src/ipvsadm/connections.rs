//! `-L -c`: the connection table.

use std::io::{self, Write};

use super::text::Style;
use crate::ipvs::Connection;

/// Writes what stands above connections; `engines` adds columns for what persistence engines
/// know of them.
pub fn head(engines: bool, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "IPVS connection entries")?;
    write!(
        to,
        "pro expire {:<11} {:<18} {:<18} ",
        "state", "source", "virtual"
    )?;
    if engines {
        writeln!(to, "{:<18} {:<16} pe_data", "destination", "pe name")
    } else {
        writeln!(to, "destination")
    }
}

/// Writes connections, in their order.
pub fn rows(
    connections: &[Connection],
    engines: bool,
    style: Style,
    to: &mut impl Write,
) -> io::Result<()> {
    connections
        .iter()
        .try_for_each(|connection| row(connection, engines, style, to))
}

fn row(
    connection: &Connection,
    engines: bool,
    style: Style,
    to: &mut impl Write,
) -> io::Result<()> {
    let transport = connection.transport;
    let at = |address| style.endpoint(address, Some(transport));
    let expires = format!(
        "{:02}:{:02}",
        connection.expires / 60,
        connection.expires % 60
    );
    write!(
        to,
        "{:<3} {expires:<6} {:<11} {:<18} {:<18} ",
        transport.name(),
        connection.state,
        at(connection.client),
        at(connection.service),
    )?;
    let server = at(connection.server);
    match &connection.engine {
        Some((name, data)) if engines => writeln!(to, "{server:<18} {name:<16} {data}"),
        _ => writeln!(to, "{server}"),
    }
}
