//! Services, servers and numbers as listings and saved commands write them.

use std::net::SocketAddr;

use super::{names::Names, values};
use crate::ipvs::{Checksum, Key, Mask, Service, Transport, Tunnel};

/// Whether names stand for addresses and ports, and which.
#[derive(Clone, Copy)]
pub struct Style<'a>(Option<&'a dyn Names>);

impl<'a> Style<'a> {
    /// With names, or without.
    pub fn new(numeric: bool, names: &'a dyn Names) -> Self {
        Self((!numeric).then_some(names))
    }

    /// `host:port`. Ports of no protocol have no names.
    pub fn endpoint(self, at: SocketAddr, transport: Option<Transport>) -> String {
        let port = self
            .0
            .zip(transport)
            .filter(|_| at.port() != 0)
            .and_then(|(names, transport)| names.port(at.port(), transport))
            .unwrap_or_else(|| at.port().to_string());
        match at {
            SocketAddr::V4(at) => {
                let name = self.0.and_then(|names| names.host(*at.ip()));
                let host = name.unwrap_or_else(|| at.ip().to_string());
                format!("{host}:{port}")
            }
            SocketAddr::V6(at) => format!("[{}]:{port}", at.ip()),
        }
    }

    /// [`Self::endpoint`], cut to what a column holds where there may be names.
    pub fn column(self, at: SocketAddr, transport: Option<Transport>) -> String {
        let mut text = self.endpoint(at, transport);
        if at.is_ipv4()
            && let Some((end, _)) = text.char_indices().nth(COLUMN)
        {
            text.truncate(end);
        }
        text
    }

    /// The beginning of a service's line.
    pub fn service(self, key: Key) -> String {
        match key {
            Key::Address { transport, at } => {
                let at = self.column(at, Some(transport));
                format!("{:<4} {at}", transport.name())
            }
            // Marks are shown as if they had a sign.
            Key::Mark { mark, ipv6 } => {
                let mark = mark as i32;
                format!("FWM  {mark}{}", if ipv6 { " IPv6" } else { "" })
            }
        }
    }
}

const COLUMN: usize = 28;

/// A service's scheduler flags.
pub fn flags(service: &Service) -> String {
    values::flags_text(service.flags, &service.scheduler)
}

/// The protocol that names ports of a service's servers.
pub fn transport_of(key: Key) -> Option<Transport> {
    match key {
        Key::Address { transport, .. } => Some(transport),
        Key::Mark { .. } => None,
    }
}

/// Those of a mask that say something: the whole address is the usual one.
pub fn mask(service: &Service) -> Option<String> {
    let mask = service.persistence?.mask;
    if mask == Mask::whole(service.key.is_ipv6()) {
        return None;
    }
    Some(match mask {
        Mask::V4(mask) => mask.to_string(),
        Mask::V6(bits) => bits.to_string(),
    })
}

/// How packets are wrapped.
pub fn tunnel(tunnel: Tunnel) -> String {
    let checksum = |checksum| match checksum {
        Checksum::Without => "-c",
        Checksum::With => "+c",
        Checksum::Remote => "r+c",
    };
    match tunnel {
        Tunnel::Ipip => "ipip".to_owned(),
        Tunnel::Gue {
            port,
            checksum: sum,
        } => format!("gue:{port}:{}", checksum(sum)),
        Tunnel::Gre { checksum: sum } => format!("gre:{}", checksum(sum)),
    }
}

/// A number in a column of 9, which large ones take in thousands, millions and so on, or else
/// exactly, with a space before them.
pub fn large(number: u64, exact: bool) -> String {
    const K: u64 = 1000;
    const M: u64 = K * K;
    const G: u64 = M * K;
    const T: u64 = G * K;
    if exact {
        return format!(" {number:>8}");
    }
    let (unit, letter) = match number {
        _ if number < 100 * M => return format!("{number:>9}"),
        _ if number < G => (K, 'K'),
        _ if number < 100 * G => (M, 'M'),
        _ if number < 100 * T => (G, 'G'),
        _ => (T, 'T'),
    };
    format!("{:>8}{letter}", number / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_shortened_unless_asked_for() {
        for (number, short, exact) in [
            (7, "        7", "        7"),
            (99_999_999, " 99999999", " 99999999"),
            (100_000_000, "  100000K", " 100000000"),
            (999_999_999, "  999999K", " 999999999"),
            (1_000_000_000, "    1000M", " 1000000000"),
            (99_999_999_999, "   99999M", " 99999999999"),
            (100_000_000_000, "     100G", " 100000000000"),
            (99_999_999_999_999, "   99999G", " 99999999999999"),
            (100_000_000_000_000, "     100T", " 100000000000000"),
        ] {
            assert_eq!(large(number, false), short);
            assert_eq!(large(number, true), exact);
        }
    }
}
