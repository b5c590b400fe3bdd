//! IPv4 addresses and ports as they are on the wire.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::unsupported::Unsupported;

/// An address as on the wire.
pub fn wire(address: IpAddr) -> Result<u32, Unsupported> {
    match address {
        IpAddr::V4(address) => Ok(u32::from_ne_bytes(address.octets())),
        IpAddr::V6(_) => Err(Unsupported(format!("IPv6 ({address})"))),
    }
}

/// An address from the wire.
pub fn address(wire: u32) -> Ipv4Addr {
    Ipv4Addr::from(wire.to_ne_bytes())
}

/// Address and port from the wire.
pub fn at(wire: u32, port: u16) -> SocketAddr {
    SocketAddr::new(address(wire).into(), u16::from_be(port))
}
