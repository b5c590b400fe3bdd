//! `lb-ctl conns`: the connection table, written as it comes.

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
    let mut form = Form::of(arguments.json);
    let mut shown = 0;
    let mut all = 0;
    let mut cursor = None;
    loop {
        let request = Request::Connections {
            filter: arguments.filter(),
            cursor,
            // Those beyond the limit are counted only.
            limit: arguments.limit - shown,
        };
        let (rows, found, next) = match ask(instance, &request)? {
            Reply::Connections { rows, found, next } => (rows, found, next),
            other => return Err(out_of_place(other)),
        };
        form.write(&rows, output)?;
        shown += rows.len();
        all += found;
        if next.is_none() {
            break;
        }
        cursor = next;
    }
    form.end(output)?;
    if (shown as u64) < all {
        output.flush()?;
        complain(&format!(
            "these are {shown} of {all} connections: --limit shows more"
        ));
    }
    Ok(())
}

/// How rows are written.
enum Form {
    /// An array, of which some rows are written.
    Json {
        rows: u64,
    },
    Text(Table),
}

impl Form {
    fn of(json: bool) -> Self {
        if json {
            return Self::Json { rows: 0 };
        }
        // As `ipvsadm -lnc` shows them.
        let mut table = Table::default();
        table.row(
            ["pro", "expire", "state", "source", "virtual", "destination"]
                .map(left)
                .into(),
        );
        Self::Text(table)
    }

    fn write(&mut self, connections: &[Connection], to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Json { rows } => {
                for connection in connections {
                    to.write_all(if *rows == 0 { b"[" } else { b"," })?;
                    serde_json::to_writer(&mut *to, connection)?;
                    *rows += 1;
                }
                Ok(())
            }
            Self::Text(table) => {
                for row in connections {
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
        }
    }

    fn end(self, to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Json { rows: 0 } => writeln!(to, "[]"),
            Self::Json { .. } => writeln!(to, "]"),
            Self::Text(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connection::State,
        desired::{Method, Protocol},
    };

    fn row(protocol: Protocol, state: &str, expires: u32) -> Connection {
        Connection {
            protocol,
            client: "172.16.10.22:40000".parse().unwrap(),
            service: "172.16.10.21:80".parse().unwrap(),
            server: "192.168.100.23:8080".parse().unwrap(),
            state: State::parse(state).unwrap(),
            expires,
            method: Method::Nat,
        }
    }

    #[test]
    fn json_is_one_array_however_many_pages_there_are() {
        for pages in [0, 1, 3] {
            let mut output = Output::memory(false);
            let mut form = Form::of(true);
            let rows = [row(Protocol::Tcp, "FIN_WAIT", 119)];
            for _ in 0..pages {
                form.write(&rows, &mut output).unwrap();
                form.write(&[], &mut output).unwrap();
            }
            form.end(&mut output).unwrap();
            let text = output.text();
            let read: Vec<Connection> = serde_json::from_str(&text).unwrap();
            assert_eq!(read, vec![rows[0].clone(); pages]);
            assert_eq!(text.lines().count(), 1);
        }
    }

    #[test]
    fn connections_are_listed_as_ipvs_users_know_them() {
        let rows = [
            row(Protocol::Tcp, "ESTABLISHED", 897),
            row(Protocol::Udp, "UDP", 6_001),
        ];
        let mut output = Output::memory(false);
        let mut form = Form::of(false);
        form.write(&rows, &mut output).unwrap();
        form.end(&mut output).unwrap();
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
