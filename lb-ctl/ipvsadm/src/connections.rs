//! `-L -c`: the connection table.

use std::io::{self, Write};

use lb_api::Connection;
use lb_model::spelling::Named;

use crate::{text::Style, words};

/// Writes the titles of the columns; `engines` adds those for persistence engines.
pub fn title(engines: bool, to: &mut impl Write) -> io::Result<()> {
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

/// Writes one connection.
pub fn row(connection: &Connection, style: Style, to: &mut impl Write) -> io::Result<()> {
    let at = |address| style.endpoint(address, Some(connection.protocol));
    let expires = format!(
        "{:02}:{:02}",
        connection.expires / 60,
        connection.expires % 60
    );
    writeln!(
        to,
        "{:<3} {expires:<6} {:<11} {:<18} {:<18} {}",
        words::protocol_name(connection.protocol),
        connection.state.name(),
        at(connection.client),
        at(connection.service),
        at(connection.server),
    )
}
