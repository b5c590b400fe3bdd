//! Interfaces, as the kernel describes them.

use rtnetlink::packet_route::{
    AddressFamily,
    link::{LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
};

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its index.
    pub interface: u32,
    /// Its name.
    pub name: String,
    /// Its MAC address; zeros if it has none of six bytes.
    pub mac: [u8; 6],
    /// Largest IP packet that it takes, in bytes.
    pub mtu: u16,
    /// It is switched on (`ip link set up`).
    pub up: bool,
    /// Somebody is at the other end of the cable.
    pub carrier: bool,
    /// It carries Ethernet frames.
    pub ethernet: bool,
    /// What kind of device it is, in the words of `ip link`: `vlan`, `bridge`, `bond`, `veth`
    /// …; empty for a device of its own.
    pub kind: String,
}

impl Port {
    /// From a message about an interface. There are others of that type: what a bridge says
    /// of its ports, what a radio has heard.
    pub(super) fn from_message(message: &LinkMessage) -> Option<Self> {
        if message.header.interface_family != AddressFamily::Unspec {
            return None;
        }
        let flags = message.header.flags;
        let mut port = Self {
            interface: message.header.index,
            name: String::new(),
            mac: [0; 6],
            mtu: 0,
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            ethernet: message.header.link_layer_type == LinkLayerType::Ether,
            kind: String::new(),
        };
        let mut whole = false;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => port.name.clone_from(name),
                LinkAttribute::Address(mac) => {
                    port.mac = mac.as_slice().try_into().unwrap_or_default();
                }
                LinkAttribute::Mtu(mtu) => {
                    port.mtu = u16::try_from(*mtu).unwrap_or(u16::MAX);
                    whole = true;
                }
                LinkAttribute::LinkInfo(infos) => {
                    for info in infos {
                        if let LinkInfo::Kind(kind) = info {
                            port.kind = kind.to_string();
                        }
                    }
                }
                _ => {}
            }
        }
        whole.then_some(port)
    }

    /// Why packets cannot leave by it, if so, to follow its name.
    pub(super) fn obstacle(&self) -> Option<String> {
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

        let port = Port::from_message(&message(AddressFamily::Unspec, whole.clone())).unwrap();
        assert_eq!((port.interface, port.name.as_str()), (7, "eth7"));
        assert_eq!((port.mtu, port.mac), (u16::MAX, [2, 0, 0, 0, 0, 7]));
        assert_eq!(port.obstacle(), None);

        // A bridge's word on a port that joined or left it.
        assert_eq!(
            Port::from_message(&message(AddressFamily::Bridge, whole)),
            None
        );
        assert_eq!(
            Port::from_message(&message(AddressFamily::Unspec, wireless)),
            None
        );
    }
}
