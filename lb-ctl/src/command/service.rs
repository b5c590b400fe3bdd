//! `lb-ctl service`: live edits of virtual services, and the list of them.

use std::io::{self, Write};

use super::{
    Failure, ask, print_plan,
    stats::{self, listing},
};
use crate::{
    api::{Request, ServiceStats},
    args::ServiceVerb,
    instance::Instance,
    output::Output,
    spelling::Named,
    table::{Table, left, right},
};

pub fn service(
    instance: &Instance,
    verb: ServiceVerb,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    if let ServiceVerb::List { json } = verb {
        let services = stats::fetch(instance)?.services;
        if json {
            output.json(&services)?;
        } else {
            render(&services, output)?;
        }
        return Ok(());
    }
    match verb.edit() {
        Some(edit) => print_plan(ask(instance, &Request::Edit(edit))?, output),
        None => Ok(()),
    }
}

/// As `ipvsadm -ln` shows them.
fn render(services: &[ServiceStats], to: &mut impl Write) -> io::Result<()> {
    let mut table = Table::default();
    table.row(vec![left("Prot LocalAddress:Port"), left("Scheduler")]);
    table.row(vec![
        left("  -> RemoteAddress:Port"),
        left("Forward"),
        right("Weight"),
        right("ActiveConn"),
        right("InActConn"),
    ]);
    for service in services {
        table.row_with_note(
            vec![
                left(listing::local_address(service)),
                left(service.scheduler.name()),
            ],
            service.name.clone().unwrap_or_default(),
        );
        for server in &service.servers {
            table.row(vec![
                left(format!("  -> {}", server.server)),
                left(server.method.name()),
                right(server.weight),
                right(server.counters.active),
                right(server.counters.inactive),
            ]);
        }
    }
    table.render(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_listed_as_ipvs_users_know_them() {
        let mut output = Output::memory(false);
        render(&listing::tests::reading().services, &mut output).unwrap();
        assert_eq!(
            output.text(),
            "\
Prot LocalAddress:Port  Scheduler
  -> RemoteAddress:Port Forward   Weight ActiveConn InActConn
TCP  172.16.10.21:80    wrr       web
  -> 192.168.100.23:80  nat            3          0        15
  -> 192.168.100.39:80  nat            2          1         9
UDP  172.16.10.21:53    wlc
"
        );
    }
}
