//! Packets that are lost while they are lost: which reasons count, and which NAT servers answer
//! nobody.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use anyhow::Result;
use lb_dataplane::{Dataplane, View};
use lb_model::{Desired, Method, Protocol, ServerId, Service, ServiceId};

use crate::{core::Reaches, name_of, pace::Pace, troubles::Troubles};

/// A loss is over when nothing was lost for so long.
const CALM: Duration = Duration::from_secs(10);

/// So many looks in a row a server must have got packets and sent none. In UDP, not every packet
/// is answered.
const MUTE: u32 = 2;
const MUTE_UDP: u32 = 10;

/// A look at all servers costs 1/200 of a processor, unless it would come less often than every
/// ten seconds. So many servers are looked at at a time: requests wait meanwhile.
const SHARE: u32 = 200;
const MOST_BETWEEN_LOOKS: Duration = Duration::from_secs(10);
const PART: usize = 2000;

/// What was counted when it was looked at last.
#[derive(Default)]
pub struct Losses {
    /// By reason, or by interface.
    counts: HashMap<String, Count>,
    servers: HashMap<Id, Replies>,
    /// When the last look at all servers began.
    begun: Option<Instant>,
    looks: Pace,
    look: Look,
}

type Id = (ServiceId, ServerId);

/// A look at all servers, as far as it has come.
#[derive(Default)]
struct Look {
    /// How many servers were looked at.
    servers: usize,
    seen: HashMap<Id, Replies>,
    mute: BTreeMap<String, String>,
}

#[derive(Default)]
struct Count {
    packets: u64,
    grew: Option<Instant>,
}

/// How a NAT server answers.
#[derive(Clone, Copy, Default)]
struct Replies {
    from_clients: u64,
    to_clients: u64,
    /// How often in a row it was sent packets and none came back.
    silent: u32,
    /// That was too often.
    mute: bool,
}

impl Losses {
    /// Looks at the reasons again.
    pub fn look(&mut self, dataplane: &Dataplane, troubles: &mut Troubles) -> Result<()> {
        let view = dataplane.view();
        let drops = view.drops()?.into_iter();
        let drops = drops.map(|(reason, packets)| (reason.name(), packets));
        let passes = view.passes()?.into_iter();
        let passes = passes.map(|(reason, packets)| (reason.name(), packets));
        let now = Instant::now();
        let losses = drops.chain(passes).filter_map(|(reason, packets)| {
            let advice = advice(reason)?;
            Some((reason.to_owned(), packets, advice.to_owned()))
        });
        let unsent = dataplane.lost()?.into_iter();
        let unsent = unsent.map(|(index, packets)| {
            let name = name_of(index);
            let told = unsent_by(&name);
            (name, packets, told)
        });
        troubles.set("losses", self.growing(losses.chain(unsent), now));
        Ok(())
    }

    /// True for a NAT server whose replies do not come back.
    pub fn is_mute(&self, service: ServiceId, server: ServerId) -> bool {
        let replies = self.servers.get(&(service, server));
        replies.is_some_and(|replies| replies.mute)
    }

    /// Of subjects with a count of packets and what is to be said of it: those whose counts grow.
    fn growing(
        &mut self,
        counts: impl Iterator<Item = (String, u64, String)>,
        now: Instant,
    ) -> BTreeMap<String, String> {
        let first = self.counts.is_empty();
        let mut troubles = BTreeMap::new();
        for (subject, packets, told) in counts {
            // What an earlier daemon saw counts as seen.
            let before = if first { packets } else { 0 };
            let count = self.counts.entry(subject.clone()).or_insert(Count {
                packets: before,
                grew: None,
            });
            if packets > count.packets {
                count.grew = Some(now);
            }
            // Counts of interfaces begin anew with larger maps.
            count.packets = packets;
            if count.grew.is_some_and(|grew| now - grew < CALM) {
                troubles.insert(subject, told);
            }
        }
        troubles
    }

    /// Looks at the next servers, if it is time. To be called often.
    pub fn look_at_servers(
        &mut self,
        desired: &Desired,
        reaches: &Reaches,
        view: &View,
        troubles: &mut Troubles,
    ) {
        if self.look.servers == 0 {
            let period = self.looks.period(SHARE, MOST_BETWEEN_LOOKS);
            if self.begun.is_some_and(|begun| begun.elapsed() < period) {
                return;
            }
            self.begun = Some(Instant::now());
        }
        let (look, before) = (&mut self.look, &self.servers);
        let last = self.looks.part(|| {
            let last = look.go_on(desired, reaches, view, before);
            (last, last)
        });
        if last {
            let Look { seen, mute, .. } = std::mem::take(&mut self.look);
            self.servers = seen;
            troubles.set("mute", mute);
        }
    }
}

impl Look {
    /// Looks at the next servers. True if they were the last.
    fn go_on(
        &mut self,
        desired: &Desired,
        reaches: &Reaches,
        view: &View,
        before: &HashMap<Id, Replies>,
    ) -> bool {
        let services = desired.services.iter();
        let all = services.flat_map(|service| service.servers.iter().map(move |it| (service, it)));
        let mut looked = 0;
        for (service, server) in all.skip(self.servers).take(PART) {
            looked += 1;
            if let Some(patience) = patience(service)
                && service.method(server) == Method::Nat
            {
                let id = (service.id, server.id);
                let total = view.numbers(service.id).server(server.id).total();
                let now = Counted {
                    from_clients: total.in_packets,
                    to_clients: total.out_packets,
                    is_reachable: reaches.is_reachable(server.id.address)
                        && !reaches.is_local(server.id.address),
                };
                self.see(id, patience.seen(before.get(&id).copied(), now));
            }
        }
        self.servers += looked;
        looked < PART
    }

    fn see(&mut self, id: Id, replies: Replies) {
        let (service, server) = id;
        if replies.mute {
            let told = format!(
                "server {server} of {service} is sent packets by NAT, and none of its replies \
                 come back through the director: it is down, or its route to the clients does not \
                 lead here, or the director drops them as `no_route`"
            );
            self.mute.insert(format!("{service} {server}"), told);
        }
        self.seen.insert(id, replies);
    }
}

/// What is counted of a server.
#[derive(Clone, Copy)]
struct Counted {
    from_clients: u64,
    to_clients: u64,
    /// False if packets to it are dropped here, as it may be where they are counted.
    is_reachable: bool,
}

/// When a server is mute that does not answer.
#[derive(Clone, Copy)]
struct Patience {
    /// After so many looks.
    looks: u32,
    /// Only if it has answered before.
    has_answered: bool,
}

/// None for services that are not known to answer their clients.
fn patience(service: &Service) -> Option<Patience> {
    let ServiceId::Address { protocol, .. } = service.id else {
        return None;
    };
    match protocol {
        Protocol::Tcp => Some(Patience {
            looks: MUTE,
            has_answered: false,
        }),
        // Some services answer nobody: syslog.
        Protocol::Udp => Some(Patience {
            looks: MUTE_UDP,
            has_answered: true,
        }),
        _ => None,
    }
}

impl Patience {
    fn seen(self, before: Option<Replies>, now: Counted) -> Replies {
        let Counted {
            from_clients,
            to_clients,
            is_reachable,
        } = now;
        let before = before.unwrap_or(Replies {
            from_clients,
            to_clients,
            silent: 0,
            mute: false,
        });
        let silent = if to_clients > before.to_clients || !is_reachable {
            0
        } else if from_clients > before.from_clients {
            before.silent.saturating_add(1)
        } else {
            before.silent
        };
        Replies {
            from_clients,
            to_clients,
            silent,
            mute: silent >= self.looks && (to_clients > 0 || !self.has_answered),
        }
    }
}

/// What is said of an interface that loses packets.
fn unsent_by(interface: &str) -> String {
    format!(
        "packets that leave by {interface} are lost there: it is down or gone, its queue is full, \
         or in native mode it cannot send them (a bridge, a VLAN, a veth whose other end runs no \
         XDP program: use `--mode generic`); `ip -s link show dev {interface}` and `ethtool -S \
         {interface}` may tell more [not_sent]"
    )
}

/// What to do about packets that are lost for a reason. Nothing for reasons that are no fault of
/// the machine or its settings. Of some, the packet path also logs whose packet it was.
fn advice(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "merged" => {
            "packets are dropped because they are larger than their interface can receive: they were \
             merged on this machine (`ethtool -K INTERFACE gro off`, also on the interfaces below a \
             bridge, a bond or a macvlan), or their sender on this machine did not split them \
             (`ethtool -K ITS_INTERFACE tso off gso off`) [merged]"
        }
        "fragment" => {
            "fragments of packets to services are dropped: only whole packets are served \
                       [fragment]"
        }
        "no_route" => {
            "replies of NAT servers are dropped because the interface that their client is behind is \
             gone, or the route to their client is a blackhole (or unreachable, prohibit) \
             [no_route]"
        }
        "no_server" => {
            "clients are refused because a service has no server that takes new connections: add \
             one, or give one a weight; with `unreachable: skip`, those that cannot be reached \
             take none [no_server]"
        }
        "next_hop_unknown" => {
            "packets are dropped because the next hop of their server does not answer ARP, or \
             there is no route to it: `lb-ctl stats` shows which servers have this state, `ip \
             route get RIP` the way to one [next_hop_unknown]"
        }
        "table_full" => {
            "new connections are refused because the connection table is full: give it more \
             `connections`, or the services shorter timeouts [table_full]"
        }
        "unknown_scheduler" => {
            "packets are dropped because their service has a scheduler that the packet path does \
             not have: start the `lb-ctl` that made the service [unknown_scheduler]"
        }
        "inconsistent" => {
            "packets are dropped because the packet path's maps contradict each other, which is a \
             bug: please report it with this log [inconsistent]"
        }
        "no_headroom" => {
            "packets are dropped because a driver leaves no room for the outer header \
                          of a tunnel [no_headroom]"
        }
        "same_replies" => {
            "new connections are refused because their clients use the same port for \
                           another service with the same NAT server, address and port \
                           [same_replies]"
        }
        "other_mac" => {
            "frames to services are not served because they are for a MAC address that \
                        the interface they came in by does not have: clients or routers have an old ARP entry, \
                        or a virtual MAC address (VRRP) is on no interface here [other_mac]"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: Patience = Patience {
        looks: MUTE,
        has_answered: false,
    };
    const UDP: Patience = Patience {
        looks: MUTE_UDP,
        has_answered: true,
    };

    /// Whether a server is mute after each of these looks: packets from and to clients.
    fn mute(patience: Patience, is_reachable: bool, looks: &[(u64, u64)]) -> Vec<bool> {
        let mut replies = None;
        let look = |&(from_clients, to_clients)| {
            let now = Counted {
                from_clients,
                to_clients,
                is_reachable,
            };
            let seen = patience.seen(replies, now);
            replies = Some(seen);
            seen.mute
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn a_server_is_mute_if_it_is_sent_packets_twice_and_none_come_back() {
        let looks = [
            (5, 0),
            (6, 0),
            (6, 0),
            (7, 0),
            (8, 0),
            (9, 1),
            (9, 1),
            (12, 1),
        ];
        let expected = [false, false, false, true, true, false, false, false];
        assert_eq!(mute(TCP, true, &looks), expected);
        // What is dropped here cannot be answered.
        assert_eq!(mute(TCP, false, &looks), [false; 8]);
    }

    #[test]
    fn a_udp_server_is_mute_if_it_has_answered_and_does_not_any_more() {
        let looks = |answers| (0..12).map(|from| (from, answers)).collect::<Vec<_>>();
        let mut expected = [false; 12];
        assert_eq!(mute(UDP, true, &looks(0)), expected);
        expected[10..].fill(true);
        assert_eq!(mute(UDP, true, &looks(3)), expected);
        // A rare answer is one.
        let rare: Vec<_> = (0..30).map(|from| (from, from / 9)).collect();
        assert_eq!(mute(UDP, true, &rare), [false; 30]);
    }

    #[test]
    fn reasons_that_keep_clients_out_are_told() {
        for reason in [
            "inconsistent",
            "next_hop_unknown",
            "no_route",
            "no_server",
            "table_full",
            "unknown_scheduler",
        ] {
            let told = advice(reason).unwrap_or_default();
            assert!(told.contains(&format!("[{reason}]")), "{reason}: {told}");
        }
        for none in ["server_gone", "ttl_expired", "too_big"] {
            assert_eq!(advice(none), None, "{none}");
        }
    }

    #[test]
    fn a_loss_is_over_when_it_has_been_calm() {
        let mut losses = Losses::default();
        let start = Instant::now();
        let mut look = |after: u64, merged: u64| {
            let counts = [("merged".to_owned(), merged, "advice".to_owned())];
            let now = start + Duration::from_secs(after);
            losses.growing(counts.into_iter(), now).len()
        };
        // What was there before is no news.
        assert_eq!([look(0, 7), look(1, 7), look(2, 8)], [0, 0, 1]);
        assert_eq!([look(11, 8), look(12, 8), look(13, 9)], [1, 0, 1]);
    }
}
