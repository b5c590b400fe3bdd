//! `lb-ctl conns`: the connection table, page by page.

use std::io::{self, Write};

use clap::Args;
use lb_api::{Connection, ConnectionFilter, Instance, Page, Reply, Request};
use lb_model::{Endpoint, ServiceRef, State, spelling::Named};

use crate::{
    ask::{ask, out_of_place},
    failure::{Failure, complain},
    text::{
        output::Output,
        table::{Table, left, right},
    },
};

/// `lb-ctl conns`
#[derive(Debug, Args)]
pub struct Conns {
    /// Only those of this service: PROTOCOL/VIP:PORT, or its name
    #[arg(long)]
    pub service: Option<ServiceRef>,
    /// Only those of this client: IP or IP:PORT
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<Endpoint>,
    /// Only those of this server: IP or IP:PORT
    #[arg(long, value_name = "SERVER")]
    pub server: Option<Endpoint>,
    /// Only those in this state, such as ESTABLISHED, SYN_RECV, FIN_WAIT, UDP
    #[arg(long)]
    pub state: Option<State>,
    /// Show at most this many rows
    #[arg(long, value_name = "ROWS", default_value_t = 10_000)]
    pub limit: usize,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

impl Conns {
    pub fn carry_out(
        &self,
        instance: &Instance,
        output: &mut Output<impl Write>,
    ) -> Result<(), Failure> {
        let next_page = |from, limit| {
            let filter = self.filter();
            let request = Request::Connections {
                filter,
                from,
                limit,
            };
            match ask(instance, &request)? {
                Reply::Connections(page) => Ok(page),
                _ => Err(out_of_place()),
            }
        };
        let Shown { rows, found } = if self.json {
            show(next_page, self.limit, &mut JsonRows::begin(output)?)?
        } else {
            show(
                next_page,
                self.limit,
                &mut TextRows::begin(output.width, output),
            )?
        };
        if rows < found {
            output.flush()?;
            complain(&format!(
                "showing {rows} of {found} connections; --limit shows more"
            ));
        }
        Ok(())
    }

    /// What is asked for.
    pub fn filter(&self) -> ConnectionFilter {
        ConnectionFilter {
            service: self.service.clone(),
            client: self.client,
            server: self.server,
            state: self.state,
        }
    }
}

/// How many connections there are.
#[derive(Debug, PartialEq)]
struct Shown {
    rows: u64,
    found: u64,
}

/// Shows up to `limit` rows, each page as soon as it is there, and counts the others.
fn show(
    next_page: impl Fn(u64, usize) -> Result<Page, Failure>,
    limit: usize,
    rows: &mut impl Rows,
) -> Result<Shown, Failure> {
    let mut left = limit;
    let mut found = 0;
    let mut from = Some(0);
    while let Some(place) = from {
        let page = next_page(place, left)?;
        rows.show(&page.rows)?;
        left = left.saturating_sub(page.rows.len());
        found += page.found;
        from = page.next;
    }
    rows.end()?;
    let rows = (limit - left) as u64;
    Ok(Shown { rows, found })
}

/// How rows are shown.
trait Rows {
    fn show(&mut self, rows: &[Connection]) -> io::Result<()>;
    fn end(&mut self) -> io::Result<()>;
}

/// As `ipvsadm -lnc` shows them.
struct TextRows<'a, W> {
    table: Table,
    /// Where lines have a width, states are short.
    width: Option<usize>,
    to: &'a mut W,
}

impl<'a, W: Write> TextRows<'a, W> {
    fn begin(width: Option<usize>, to: &'a mut W) -> Self {
        let mut table = Table::default();
        let heads = ["pro", "expire", "state", "source", "virtual", "destination"];
        table.row(heads.map(left).into());
        Self { table, width, to }
    }
}

impl<W: Write> Rows for TextRows<'_, W> {
    fn show(&mut self, rows: &[Connection]) -> io::Result<()> {
        for row in rows {
            self.table.row(vec![
                left(row.protocol.to_string().to_uppercase()),
                right(format!("{:02}:{:02}", row.expires / 60, row.expires % 60)),
                left(match self.width {
                    Some(_) => short(row.state.name()),
                    None => row.state.name(),
                }),
                left(row.client),
                left(row.service),
                left(row.server),
            ]);
        }
        self.table.render(self.width, self.to)
    }

    fn end(&mut self) -> io::Result<()> {
        self.table.render(self.width, self.to)
    }
}

/// As `ss` shortens them: a whole row fits into 80 columns, with addresses of usual length.
fn short(state: &str) -> &str {
    match state {
        "ESTABLISHED" => "ESTAB",
        "SYN_RECV" => "SYN_R",
        "FIN_WAIT" => "FIN_W",
        "TIME_WAIT" => "TIME_W",
        "CLOSE_WAIT" => "CLOSE_W",
        other => other,
    }
}

/// A list on one line.
struct JsonRows<'a, W> {
    first: bool,
    to: &'a mut W,
}

impl<'a, W: Write> JsonRows<'a, W> {
    fn begin(to: &'a mut W) -> io::Result<Self> {
        to.write_all(b"[")?;
        Ok(Self { first: true, to })
    }
}

impl<W: Write> Rows for JsonRows<'_, W> {
    fn show(&mut self, rows: &[Connection]) -> io::Result<()> {
        for row in rows {
            if !std::mem::take(&mut self.first) {
                self.to.write_all(b",")?;
            }
            serde_json::to_writer(&mut *self.to, row)?;
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.to.write_all(b"]\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_model::{Method, Protocol};

    fn row(protocol: Protocol, state: State, expires: u32) -> Connection {
        Connection {
            protocol,
            client: "172.16.10.22:40000".parse().unwrap(),
            service: "172.16.10.21:80".parse().unwrap(),
            server: "192.168.100.23:8080".parse().unwrap(),
            state,
            expires,
            method: Method::Nat,
        }
    }

    /// Pages in which so many connections are found; the first begins at 0, the second at 10, and
    /// so on.
    fn pages(found: &[usize]) -> impl Fn(u64, usize) -> Result<Page, Failure> {
        |from, limit| {
            let place = usize::try_from(from).unwrap() / 10;
            let row = row(Protocol::Tcp, State::Established, 897);
            Ok(Page {
                rows: vec![row; found[place].min(limit)],
                found: found[place] as u64,
                next: (place + 1 < found.len()).then_some(from + 10),
            })
        }
    }

    #[test]
    fn connections_are_listed_as_ipvs_users_know_them() {
        let rows = [
            row(Protocol::Tcp, State::Established, 897),
            row(Protocol::Udp, State::Udp, 6_001),
        ];
        let mut text = Vec::new();
        let mut shown = TextRows::begin(None, &mut text);
        shown.show(&rows).unwrap();
        shown.end().unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "\
pro expire state       source             virtual         destination
TCP  14:57 ESTABLISHED 172.16.10.22:40000 172.16.10.21:80 192.168.100.23:8080
UDP 100:01 UDP         172.16.10.22:40000 172.16.10.21:80 192.168.100.23:8080
"
        );
    }

    #[test]
    fn on_a_terminal_a_row_fits_into_80_columns() {
        let mut long = row(Protocol::Tcp, State::Established, 897);
        long.client = "198.51.100.255:65535".parse().unwrap();
        long.service = "203.0.113.100:443".parse().unwrap();
        long.server = "192.168.100.123:8080".parse().unwrap();
        let mut text = Vec::new();
        let mut shown = TextRows::begin(Some(80), &mut text);
        shown.show(&[long]).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(
            text.contains(" 14:57 ESTAB 198.51.100.255:65535 "),
            "{text}"
        );
    }

    #[test]
    fn pages_are_shown_up_to_the_limit_and_others_are_counted() {
        for (found, limit, rows, all) in [
            (&[2, 3][..], 10, 5, 5),
            (&[2, 3], 5, 5, 5),
            (&[2, 3], 4, 4, 5),
            (&[2, 0, 0, 1], 2, 2, 3),
            (&[0], 10, 0, 0),
            (&[1], 0, 0, 1),
        ] {
            let mut json = Vec::new();
            let shown = show(
                pages(found),
                limit,
                &mut JsonRows::begin(&mut json).unwrap(),
            );
            let expected = Shown { rows, found: all };
            assert_eq!(shown.unwrap(), expected, "{found:?} {limit}");
            let listed: Vec<serde_json::Value> = serde_json::from_slice(&json).unwrap();
            assert_eq!(listed.len() as u64, rows);
            let mut text = Vec::new();
            show(pages(found), limit, &mut TextRows::begin(None, &mut text)).unwrap();
            let lines = String::from_utf8(text).unwrap().lines().count();
            assert_eq!(lines as u64, 1 + rows);
        }
    }
}
