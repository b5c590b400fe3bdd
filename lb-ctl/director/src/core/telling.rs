//! What the log says of a change before it is made, line by line: what, old -> new.

use std::{
    collections::{BTreeSet, HashSet},
    iter,
    net::IpAddr,
};

use lb_model::{Desired, Service, ServiceId, spelling::count};

use super::{
    effective,
    event::By,
    network::Network,
    told::{Level, Told, first},
};

/// The log gets at most this many lines for one request.
const MOST: usize = 1000;

/// What live edits have changed since the daemon's own file was read: the words with which a line
/// of the log names it.
#[derive(Clone, Debug, Default)]
pub struct Edited(HashSet<String>);

impl Edited {
    /// What differs between `file`, which the file says, and `live`, which is desired now.
    #[must_use]
    pub fn since(file: &Desired, live: &Desired) -> Self {
        let mut edited = HashSet::new();
        if file.timeouts != live.timeouts {
            edited.insert("timeouts".to_owned());
        }
        if file.unreachable != live.unreachable {
            edited.insert("unreachable".to_owned());
        }
        for then in file.services.iter() {
            let Some(now) = live.services.get(then.id) else {
                edited.insert(then.id.to_string());
                continue;
            };
            if then == now {
                continue;
            }
            if then.options != now.options {
                edited.insert(then.id.to_string());
            }
            for server in &then.servers {
                if now.server(server.id) != Some(server) {
                    edited.insert(format!("{} server {}", then.id, server.id));
                }
            }
        }
        for now in live.services.iter() {
            let then = file.services.get(now.id);
            if then.is_none() {
                edited.insert(now.id.to_string());
            }
            let of_file = |id| then.is_some_and(|then| then.server(id).is_some());
            let new = now.servers.iter().filter(|server| !of_file(server.id));
            edited.extend(new.map(|server| format!("{} server {}", now.id, server.id)));
        }
        Self(edited)
    }

    /// True if the change that a line tells of overwrites a live edit.
    fn has(&self, line: &str) -> bool {
        let words: Vec<_> = line.split(' ').skip(1).take(3).collect();
        match words[..] {
            [service, "server", _] => self.0.contains(&words.join(" ")) || self.0.contains(service),
            [about, ..] => self.0.contains(about),
            [] => false,
        }
    }
}

/// The lines of a change, for the log. Lines that take something away, or overwrite a live edit,
/// are warnings and come first. Where there are too many lines, the rest is counted.
#[must_use]
pub fn change(lines: &[String], edited: &Edited, by: &By) -> Vec<Told> {
    let takes_away = |line: &&String| line.starts_with('-') || edited.has(line);
    let (warn, info): (Vec<_>, Vec<_>) = lines.iter().partition(takes_away);
    let mut left = MOST;
    let mut all = Vec::new();
    for (level, lines) in [(Level::Warn, warn), (Level::Info, info)] {
        let shown = lines.len().min(left);
        left -= shown;
        let mut of_level: Vec<String> = lines[..shown].iter().map(|&line| line.clone()).collect();
        if lines.len() > shown {
            let more = lines.len() - shown;
            of_level.push(format!("and {}", count(more, "more such change")));
        }
        all.extend(Told::lines(level, of_level).into_iter().map(|told| Told {
            by: Some(by.clone()),
            ..told
        }));
    }
    all
}

/// Begins a line of a reply that tells what keeps a service from being served.
pub const TROUBLE: &str = "! ";

/// A line for each VIP that this machine does not have, and for each server that packets do not
/// reach yet or any more, for the reply.
#[must_use]
pub fn unserved<'a>(services: impl Iterator<Item = &'a Service>, network: &Network) -> Vec<String> {
    let (mut lines, mut vips) = (Vec::new(), BTreeSet::new());
    let is_elsewhere = |vip: &IpAddr| {
        { network.own.as_ref() }.is_some_and(|own| vip.is_ipv4() && !own.contains(vip))
    };
    for service in services {
        let misplaced = effective::misplaced(iter::once(service), &network.reaches);
        lines.extend(
            misplaced
                .into_values()
                .map(|line| format!("{TROUBLE}{line}")),
        );
        if let ServiceId::Address { at, .. } = service.id {
            vips.extend(Some(at.ip()).filter(is_elsewhere));
        }
        for server in &service.servers {
            let address = server.id.address;
            if !network.reaches.knows(address) {
                continue;
            }
            let reach = network.reaches.get(address);
            if !reach.is_known() {
                lines.push(format!(
                    "! {}: server {} cannot be reached yet: {reach}",
                    service.id, server.id
                ));
            }
        }
    }
    let vips = vips.into_iter().map(|vip| format!("! {}", nowhere(vip)));
    let mut all = first(vips.collect(), "! and", "VIP", "of which the same is true");
    all.extend(first(lines, "! and", "server", "cannot be reached"));
    all
}

/// What is said of a VIP that this machine does not have.
#[must_use]
pub fn nowhere(vip: IpAddr) -> String {
    format!(
        "no interface of this machine has the VIP {vip}: it is served only where a router sends \
         its packets here. Otherwise add it: `ip address add {vip}/32 dev INTERFACE`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_one_request_is_bounded_and_what_goes_away_comes_first() {
        let mut lines: Vec<_> = (0..1500).map(|n| format!("+ new {n}")).collect();
        lines.extend((0..20).map(|n| format!("- gone {n}")));
        let by = By::Start {
            file: "lb.yaml".to_owned(),
        };
        let told = change(&lines, &Edited::default(), &by);
        assert_eq!(told[0].level, Level::Warn);
        assert_eq!(told[0].lines.len(), 20);
        assert_eq!(told[1].lines.len(), MOST - 20 + 1);
        assert_eq!(told[1].lines.last().unwrap(), "and 520 more such changes");
    }
}
