//! Routes: where the kernel would send a packet for an address.

use std::{net::Ipv4Addr, ops::RangeInclusive};

use nix::errno::Errno;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
};

/// A range of addresses, the last included.
pub(crate) type Span = RangeInclusive<Ipv4Addr>;

/// All of them.
pub(crate) const EVERYWHERE: Span = Ipv4Addr::UNSPECIFIED..=Ipv4Addr::BROADCAST;

/// The kernel's answer for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To this machine itself.
    Local,
    /// Out by an interface.
    Via(Via),
    /// Nowhere; the reason, for people to read.
    None(String),
}

/// A route that leaves this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Via {
    /// Index of the interface.
    pub interface: u32,
    /// The gateway, or the destination itself.
    pub next_hop: Ipv4Addr,
    /// The address that the kernel would send from.
    pub source: Ipv4Addr,
    /// Largest IP packet, if the route sets a limit.
    pub mtu: Option<u32>,
}

impl Route {
    /// From the answer to a question for this address.
    pub(crate) fn from_message(address: Ipv4Addr, message: &RouteMessage) -> Self {
        let why_not = match message.header.kind {
            RouteType::Local => return Self::Local,
            RouteType::Unicast => None,
            RouteType::Broadcast => Some("is a broadcast address"),
            RouteType::Multicast => Some("is a multicast address"),
            _ => Some("has a route of a kind that is not supported"),
        };
        if let Some(why_not) = why_not {
            return Self::None(format!("{address} {why_not}"));
        }
        let mut interface = None;
        let mut via = Via {
            interface: 0,
            next_hop: address,
            source: Ipv4Addr::UNSPECIFIED,
            mtu: None,
        };
        let mut exception = false;
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Oif(index) => interface = Some(*index),
                RouteAttribute::Gateway(RouteAddress::Inet(gateway))
                | RouteAttribute::Via(RouteVia::Inet(gateway)) => via.next_hop = *gateway,
                RouteAttribute::Via(_) => {
                    return Self::None(format!(
                        "the route to {address} has a gateway that is not an IPv4 address, \
                         which is not supported"
                    ));
                }
                RouteAttribute::EncapType(_) | RouteAttribute::Encap(_) => {
                    return Self::None(format!(
                        "the route to {address} encapsulates packets, which is not supported"
                    ));
                }
                RouteAttribute::PrefSource(RouteAddress::Inet(source)) => via.source = *source,
                RouteAttribute::Metrics(metrics) => {
                    via.mtu = metrics.iter().find_map(|metric| match metric {
                        RouteMetric::Mtu(mtu) => Some(*mtu),
                        _ => None,
                    });
                }
                RouteAttribute::CacheInfo(cache) => exception = cache.expires != 0,
                _ => {}
            }
        }
        if exception {
            // Found by path MTU discovery: the kernel does not announce when it expires.
            via.mtu = None;
        }
        match interface {
            Some(interface) => Self::Via(Via { interface, ..via }),
            None => Self::None(format!("the route to {address} has no interface")),
        }
    }

    /// From the error that the kernel answered with, if it speaks of the route
    /// (`fib_props` in `net/ipv4/fib_semantics.c`).
    pub(crate) fn from_error(address: Ipv4Addr, error: Errno) -> Option<Self> {
        let why = match error {
            Errno::ENETUNREACH => format!("there is no route to {address}"),
            Errno::EHOSTUNREACH => format!("the route to {address} is of the type unreachable"),
            Errno::EINVAL => format!("the route to {address} is of the type blackhole"),
            Errno::EACCES => format!("the route to {address} is of the type prohibit"),
            _ => return None,
        };
        Some(Self::None(why))
    }
}

/// The addresses that a route is for.
pub(crate) fn span(message: &RouteMessage) -> Span {
    let length = u32::from(message.header.destination_prefix_length).min(u32::BITS);
    let first = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(address.to_bits()),
            _ => None,
        });
    let host_bits = u32::MAX.checked_shr(length).unwrap_or(0);
    match first {
        Some(first) => Ipv4Addr::from_bits(first)..=Ipv4Addr::from_bits(first | host_bits),
        None => EVERYWHERE,
    }
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::AddressFamily;

    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 3);

    fn message(kind: RouteType, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.kind = kind;
        message.attributes = attributes;
        message
    }

    #[test]
    fn an_on_link_address_is_its_own_next_hop() {
        let attributes = vec![RouteAttribute::Oif(3)];
        let Route::Via(via) =
            Route::from_message(ADDRESS, &message(RouteType::Unicast, attributes))
        else {
            panic!("leaves by an interface");
        };
        assert_eq!((via.interface, via.next_hop), (3, ADDRESS));
    }

    #[test]
    fn a_gateway_that_speaks_ipv6_is_refused() {
        let attributes = vec![
            RouteAttribute::Oif(3),
            RouteAttribute::Via(RouteVia::Inet6("fe80::1".parse().unwrap())),
        ];
        let route = Route::from_message(ADDRESS, &message(RouteType::Unicast, attributes));
        assert!(
            matches!(&route, Route::None(why) if why.contains("gateway")),
            "{route:?}"
        );
    }

    #[test]
    fn a_prefix_is_a_span_of_addresses() {
        let span_of = |destination: [u8; 4], length| {
            let destination = RouteAddress::Inet(destination.into());
            let attributes = vec![RouteAttribute::Destination(destination)];
            let mut message = message(RouteType::Unicast, attributes);
            message.header.destination_prefix_length = length;
            span(&message)
        };
        assert_eq!(
            span_of([10, 1, 0, 0], 16),
            Ipv4Addr::new(10, 1, 0, 0)..=Ipv4Addr::new(10, 1, 255, 255)
        );
        assert_eq!(span_of([10, 1, 2, 3], 32), ADDRESS..=ADDRESS);
        assert_eq!(span(&message(RouteType::Unicast, vec![])), EVERYWHERE);
    }
}
