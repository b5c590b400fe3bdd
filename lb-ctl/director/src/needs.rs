//! Which interfaces the director needs besides those that it was told to attach to, and what keeps
//! clients from its services: decided from what is desired and what the machine is like.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use lb_dataplane::Mode;
use lb_model::{Desired, Method, ServiceId};
use lb_network::{Address, Interface, Reach};

use crate::{
    core::{Reaches, nowhere},
    interfaces::Attached,
};

/// What the machine is like.
pub struct Machine<'a> {
    /// All Ethernet interfaces.
    pub interfaces: &'a [Interface],
    /// All addresses.
    pub addresses: &'a [Address],
    /// The interfaces that the program is attached to, by index.
    pub attached: &'a BTreeMap<u32, Attached>,
    /// The interfaces that replies of NAT servers leave by, by index.
    pub to_clients: &'a BTreeSet<u32>,
}

/// What follows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The interfaces to attach to, by index, and why.
    pub attach: BTreeMap<u32, String>,
    /// VIPs that clients may not reach, and why.
    pub vips: BTreeMap<String, String>,
    /// Interfaces that cannot send what is to leave by them, and why.
    pub unable: BTreeMap<String, String>,
}

/// What the director needs. Interfaces that are attached because of an earlier need are needed
/// again.
pub fn needs(desired: &Desired, reaches: &Reaches, machine: &Machine<'_>, wanted: &[u32]) -> Needs {
    let mut needs = Needs::default();
    let mut vips: BTreeSet<Ipv4Addr> = desired
        .services
        .iter()
        .filter_map(|service| match service.id {
            ServiceId::Address { at, .. } => match at.ip() {
                IpAddr::V4(vip) => Some(vip),
                IpAddr::V6(_) => None,
            },
            ServiceId::Mark { .. } => None,
        })
        .collect();
    for own in machine.addresses {
        // One that has a VIP for the machine only, as `lo` and `dummy` do, gets no packets.
        let receives = |it: &&Interface| it.index == own.interface && it.kind != "dummy";
        if vips.remove(&own.address)
            && let Some(interface) = machine.interfaces.iter().find(receives)
            && !machine.sees(interface.index, wanted)
        {
            let because = format!("it has the VIP {}", own.address);
            needs.attach.entry(interface.index).or_insert(because);
        }
    }
    for vip in vips {
        needs.vips.insert(vip.to_string(), nowhere(vip.into()));
    }
    let native = wanted
        .iter()
        .filter_map(|index| machine.attached.get(index))
        .any(|attached| attached.mode == Mode::Native);
    if native {
        for &index in machine.to_clients {
            let interface = machine.interfaces.iter().find(|it| it.index == index);
            match interface.filter(|it| sends_no_xdp(it)) {
                Some(Interface { name, kind, .. }) => {
                    let told = format!(
                        "{name} is a {kind}, which cannot send what native XDP forwards, and \
                         replies to clients leave by it: run the daemon with `--mode generic`"
                    );
                    needs.unable.insert(name.clone(), told);
                }
                None if machine.sees(index, wanted) => {}
                None => {
                    let because = "replies to clients leave by it".to_owned();
                    needs.attach.entry(index).or_insert(because);
                }
            }
        }
    }
    for service in desired.services.iter() {
        for server in &service.servers {
            let way_out = match reaches.get(server.id.address) {
                Reach::Hop(hop) => Some(hop.interface),
                // As soon as it answers, its replies come in there.
                Reach::Unresolved { interface, .. } => Some(interface),
                _ => None,
            };
            let interface = machine.interfaces.iter();
            let interface = { interface }.find(|it| Some(it.index) == way_out);
            if native
                && let Some(Interface { name, kind, .. }) = interface.filter(|it| sends_no_xdp(it))
            {
                let told = format!(
                    "{name} is a {kind}, which cannot send what native XDP forwards, and server {} \
                     is reached through it: run the daemon with `--mode generic`",
                    server.id
                );
                needs.unable.entry(name.clone()).or_insert(told);
                continue;
            }
            let Some(way_out) = way_out.filter(|index| !machine.sees(*index, wanted)) else {
                continue;
            };
            let because = match service.method(server) {
                Method::Nat => format!("replies of NAT servers arrive on it ({})", server.id),
                // In native mode, most drivers send only by interfaces that run XDP, too.
                _ if native => format!("server {} is reached through it", server.id),
                _ => continue,
            };
            needs.attach.entry(way_out).or_insert(because);
        }
    }
    needs
}

/// True for kinds of interfaces that other interfaces cannot redirect packets to in native mode:
/// they have no `ndo_xdp_xmit`.
fn sends_no_xdp(interface: &Interface) -> bool {
    ["bridge", "vlan", "macvlan", "ipvlan", "macsec", "dummy"].contains(&interface.kind.as_str())
}

impl Machine<'_> {
    /// True if the program sees the packets that an interface receives: it is attached to it, or
    /// to the one below it, or to all of its members.
    fn sees(&self, index: u32, wanted: &[u32]) -> bool {
        let is_wanted = |index| wanted.contains(&index);
        let interface = self.interfaces.iter().find(|it| it.index == index);
        let its_members = || {
            self.interfaces
                .iter()
                .filter(|it| it.member_of == Some(index))
        };
        is_wanted(index)
            || interface.is_some_and(|it| it.below.is_some_and(is_wanted))
            || its_members().next().is_some() && its_members().all(|it| is_wanted(it.index))
    }
}
