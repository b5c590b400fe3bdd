//! A simulated network: how each address is reached.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use lb_network::{Hop, Reach};

/// A way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Direct,
    OtherMac,
    OtherInterface,
    Unresolved,
    Local,
    None,
}

impl Way {
    pub const ALL: &'static [Self] = &[
        Self::Direct,
        Self::OtherMac,
        Self::OtherInterface,
        Self::Unresolved,
        Self::Local,
        Self::None,
    ];

    fn to(self, address: IpAddr) -> Reach {
        let next_hop = match address {
            IpAddr::V4(address) => address,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        let hop = |interface: u32, mac| {
            Reach::Hop(Hop {
                interface,
                interface_name: format!("eth{interface}"),
                kind: String::new(),
                source_mac: [2, 0, 0, 0, 0, 1],
                next_hop_mac: [2, 0, 0, 0, 0, mac],
                mtu: 1500,
                source: Ipv4Addr::UNSPECIFIED,
                next_hop,
            })
        };
        match self {
            Self::Direct => hop(0, 2),
            Self::OtherMac => hop(0, 3),
            Self::OtherInterface => hop(1, 2),
            Self::Unresolved => Reach::Unresolved {
                interface: 0,
                interface_name: "eth0".to_owned(),
                next_hop,
            },
            Self::Local => Reach::Local,
            Self::None => Reach::None("no route".to_owned()),
        }
    }
}

/// The network.
#[derive(Clone, Default)]
pub struct Network {
    ways: BTreeMap<IpAddr, Way>,
    /// Questions are answered with what was so when they were asked.
    pub early: bool,
}

impl Network {
    pub fn change(&mut self, address: IpAddr, way: Way) {
        self.ways.insert(address, way);
    }

    /// Everybody who was silent answers; true where there was somebody. A next hop that fell
    /// silent is still used, so how such a server is reached depends on what was before.
    pub fn let_all_answer(&mut self) -> bool {
        let silent = self
            .ways
            .values_mut()
            .filter(|way| **way == Way::Unresolved);
        silent.map(|way| *way = Way::Direct).count() > 0
    }

    pub fn reach(&self, addresses: &[IpAddr]) -> Vec<(IpAddr, Reach)> {
        let way = |address: &IpAddr| self.ways.get(address).copied().unwrap_or(Way::Direct);
        let reach = |address: &IpAddr| (*address, way(address).to(*address));
        addresses.iter().map(reach).collect()
    }
}
