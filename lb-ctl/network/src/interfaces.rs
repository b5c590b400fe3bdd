//! Interfaces, as the kernel describes them.

use rtnetlink::packet_route::{
    AddressFamily,
    link::{LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
};

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its MAC address; zeros if it has no address of six bytes.
    pub mac: [u8; 6],
    /// Largest IP packet that it sends, in bytes.
    pub mtu: u16,
    /// It is switched on (`ip link set up`).
    pub up: bool,
    /// It has a carrier: the other end of the cable is up, too.
    pub carrier: bool,
    /// It carries Ethernet frames.
    pub ethernet: bool,
    /// The kind of device, as `ip link` calls it: `vlan`, `bridge`, `bond`, `veth` …; empty for
    /// hardware.
    pub kind: String,
    /// Index of the interface whose frames it takes, if there is one on this machine and in this
    /// network namespace: of a macvlan.
    pub below: Option<u32>,
    /// Index of the interface that it is a member of: a bridge, a bond or a team.
    pub member_of: Option<u32>,
}

impl Interface {
    /// From a message about an interface. `None` for other messages of the same type: those of a
    /// bridge about its members, and those about wireless events.
    pub(crate) fn from_message(message: &LinkMessage) -> Option<Self> {
        if message.header.interface_family != AddressFamily::Unspec {
            return None;
        }
        let flags = message.header.flags;
        let mut interface = Self {
            index: message.header.index,
            name: String::new(),
            mac: [0; 6],
            mtu: 0,
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            ethernet: message.header.link_layer_type == LinkLayerType::Ether,
            kind: String::new(),
            below: None,
            member_of: None,
        };
        let (mut whole, mut elsewhere) = (false, false);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => interface.name.clone_from(name),
                LinkAttribute::Address(mac) => {
                    interface.mac = mac.as_slice().try_into().unwrap_or_default();
                }
                LinkAttribute::Mtu(mtu) => {
                    interface.mtu = u16::try_from(*mtu).unwrap_or(u16::MAX);
                    whole = true;
                }
                LinkAttribute::Link(below) => interface.below = Some(*below),
                // Then that index is another namespace's.
                LinkAttribute::LinkNetNsId(_) => elsewhere = true,
                LinkAttribute::Controller(index) => interface.member_of = Some(*index),
                LinkAttribute::LinkInfo(infos) => {
                    for info in infos {
                        if let LinkInfo::Kind(kind) = info {
                            interface.kind = kind.to_string();
                        }
                    }
                }
                _ => {}
            }
        }
        if elsewhere || interface.kind != "macvlan" {
            interface.below = None;
        }
        whole.then_some(interface)
    }

    /// Why no packets arrive or leave by it, if that is so: words that follow its name in a sentence.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        if !self.ethernet {
            let kind = match self.kind.as_str() {
                "" => String::new(),
                kind => format!(" (a {kind})"),
            };
            Some(format!("which is not an Ethernet interface{kind}"))
        } else if !self.up {
            Some("which is down".to_owned())
        } else if !self.carrier {
            Some("which has no carrier".to_owned())
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(family: AddressFamily, attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.interface_family = family;
        message.header.index = 7;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
        message.attributes = attributes;
        message
    }

    #[test]
    fn only_whole_messages_about_the_interface_itself_count() {
        let whole = vec![
            LinkAttribute::IfName("eth7".to_owned()),
            LinkAttribute::Mtu(70_000),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 7]),
        ];
        let wireless = vec![LinkAttribute::IfName("eth7".to_owned())];

        let interface =
            Interface::from_message(&message(AddressFamily::Unspec, whole.clone())).unwrap();
        assert_eq!((interface.index, interface.name.as_str()), (7, "eth7"));
        assert_eq!(
            (interface.mtu, interface.mac),
            (u16::MAX, [2, 0, 0, 0, 0, 7])
        );
        assert_eq!(interface.obstacle(), None);

        // What a bridge announces when an interface joins or leaves it.
        assert_eq!(
            Interface::from_message(&message(AddressFamily::Bridge, whole)),
            None
        );
        assert_eq!(
            Interface::from_message(&message(AddressFamily::Unspec, wireless)),
            None
        );
    }
}
