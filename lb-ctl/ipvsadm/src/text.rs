//! Services, servers and numbers as listings and saved commands write them.

use std::net::SocketAddr;

use lb_model::{Family, Protocol, ServerId, ServiceId};

use crate::{names::Names, words};

/// How addresses and ports are written: by names, if any are given here, or as numbers.
#[derive(Clone, Copy)]
pub struct Style<'a>(Option<&'a dyn Names>);

impl<'a> Style<'a> {
    /// By numbers, or by names where there are any.
    pub fn new(numeric: bool, names: &'a dyn Names) -> Self {
        Self((!numeric).then_some(names))
    }

    /// `host:port`. Only a protocol's ports have names.
    pub fn endpoint(self, at: SocketAddr, protocol: Option<Protocol>) -> String {
        let port = self
            .0
            .zip(protocol)
            .filter(|_| at.port() != 0)
            .and_then(|(names, protocol)| names.port(at.port(), protocol))
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

    /// [`Self::endpoint`], cut to the width of a column. ipvsadm cuts IPv4 only, which may have a
    /// name.
    pub fn column(self, at: SocketAddr, protocol: Option<Protocol>) -> String {
        let mut text = self.endpoint(at, protocol);
        if at.is_ipv4()
            && let Some((end, _)) = text.char_indices().nth(COLUMN)
        {
            text.truncate(end);
        }
        text
    }

    /// A service at the beginning of its line.
    pub fn service(self, id: ServiceId) -> String {
        match id {
            ServiceId::Address { protocol, at } => {
                let at = self.column(at, Some(protocol));
                format!("{:<4} {at}", words::protocol_name(protocol))
            }
            ServiceId::Mark { mark, family } => {
                let family = match family {
                    Family::V4 => "",
                    Family::V6 => " IPv6",
                };
                format!("FWM  {}{family}", signed(mark))
            }
        }
    }
}

/// Widest endpoint in a listing, in characters.
const COLUMN: usize = 28;

/// A mark as ipvsadm writes it: as a signed number.
pub fn signed(mark: u32) -> i32 {
    mark.cast_signed()
}

/// A server's address and port.
pub fn address(server: ServerId) -> SocketAddr {
    SocketAddr::new(server.address, server.port)
}

/// The protocol whose names a service's ports have.
pub fn protocol_of(service: ServiceId) -> Option<Protocol> {
    match service {
        ServiceId::Address { protocol, .. } => Some(protocol),
        ServiceId::Mark { .. } => None,
    }
}

/// A number in a column of 9 characters. A large one is shortened to thousands, millions and so
/// on, or written exactly after a space.
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
