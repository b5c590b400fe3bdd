//! `lb-ctl conns`: the connection table.

use std::io::{self, Write};

use super::{Failure, ask, complain, out_of_place};
use crate::{
    api::{Connection, Reply, Request},
    args::Conns,
    instance::Instance,
    output::Output,
    spelling::Named,
    table::{Table, left, right},
};

pub fn conns(
    instance: &Instance,
    arguments: &Conns,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    let request = Request::Connections {
        filter: arguments.filter(),
        limit: arguments.limit,
    };
    let (rows, total) = match ask(instance, &request)? {
        Reply::Connections { rows, total } => (rows, total),
        other => return Err(out_of_place(other)),
    };
    if arguments.json {
        output.json(&rows)?;
    } else {
        render(&rows, output)?;
    }
    if (rows.len() as u64) < total {
        output.flush()?;
        complain(&format!(
            "these are {} of {total} connections: --limit shows more",
            rows.len()
        ));
    }
    Ok(())
}

/// As `ipvsadm -lnc` shows them.
fn render(rows: &[Connection], to: &mut impl Write) -> io::Result<()> {
    let mut table = Table::default();
    table.row(
        ["pro", "expire", "state", "source", "virtual", "destination"]
            .map(left)
            .into(),
    );
    for row in rows {
        table.row(vec![
            left(row.protocol.name().to_uppercase()),
            right(format!("{:02}:{:02}", row.expires / 60, row.expires % 60)),
            left(row.state.name()),
            left(row.client),
            left(row.service),
            left(row.server),
        ]);
    }
    table.render(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connection::State,
        desired::{Method, Protocol},
    };

    #[test]
    fn connections_are_listed_as_ipvs_users_know_them() {
        let row = |protocol, state, expires| Connection {
            protocol,
            client: "172.16.10.22:40000".parse().unwrap(),
            service: "172.16.10.21:80".parse().unwrap(),
            server: "192.168.100.23:8080".parse().unwrap(),
            state: State::parse(state).unwrap(),
            expires,
            method: Method::Nat,
        };
        let rows = [
            row(Protocol::Tcp, "ESTABLISHED", 897),
            row(Protocol::Udp, "UDP", 6_001),
        ];
        let mut output = Output::memory(false);
        render(&rows, &mut output).unwrap();
        assert_eq!(
            output.text(),
            "\
pro expire state       source             virtual         destination
TCP  14:57 ESTABLISHED 172.16.10.22:40000 172.16.10.21:80 192.168.100.23:8080
UDP 100:01 UDP         172.16.10.22:40000 172.16.10.21:80 192.168.100.23:8080
"
        );
    }
}
