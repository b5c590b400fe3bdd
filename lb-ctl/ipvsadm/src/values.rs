//! Values as ipvsadm reads them: numbers, addresses, ports, prefixes.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use lb_model::Protocol;

use crate::names::Names;

/// A decimal number. Spaces and a sign may come before it, nothing after it.
pub fn number(text: &str, range: RangeInclusive<i64>) -> Option<i64> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A number that does not fit into 64 bits is out of every range.
    text.parse().ok().filter(|number| range.contains(number))
}

/// [`number`], for ranges of `u32`.
pub fn unsigned(text: &str, range: RangeInclusive<u32>) -> Option<u32> {
    let (low, high) = range.into_inner();
    number(text, low.into()..=high.into()).and_then(|number| u32::try_from(number).ok())
}

/// An address, and a port if one is given. `protocol` is for names of ports.
pub fn endpoint(
    text: &str,
    protocol: Option<Protocol>,
    names: &dyn Names,
) -> Option<(IpAddr, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, port) = rest.split_once(']')?;
        let port = port.strip_prefix(':')?;
        return match inner.parse::<Ipv6Addr>() {
            Ok(address) => Some((address.into(), Some(self::port(port, protocol, names)?))),
            // ipvsadm reads no port after brackets around something else.
            Err(_) => Some((host(inner, names)?.into(), None)),
        };
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some((address.into(), None));
    }
    match text.split_once(':') {
        Some((name, port)) => {
            let port = self::port(port, protocol, names)?;
            Some((host(name, names)?.into(), Some(port)))
        }
        // ipvsadm takes a number alone for a port.
        None if text.bytes().all(|b| b.is_ascii_digit()) => None,
        None => Some((host(text, names)?.into(), None)),
    }
}

fn host(name: &str, names: &dyn Names) -> Option<Ipv4Addr> {
    ipv4(name).or_else(|| names.address(name))
}

fn port(text: &str, protocol: Option<Protocol>, names: &dyn Names) -> Option<u16> {
    match number(text, 0..=65_535) {
        Some(port) => u16::try_from(port).ok(),
        None => names.port_of(text, protocol?),
    }
}

/// An IPv4 address as `inet_aton` reads it: one to four parts, each decimal, octal (`0...`) or
/// hexadecimal (`0x...`). The last part fills the remaining bytes.
pub fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let text = match text.find(|c: char| c.is_ascii_whitespace()) {
        Some(end) => &text[..end],
        None => text,
    };
    let parts: Vec<u32> = text.split('.').map(part).collect::<Option<_>>()?;
    let (&last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|&part| part > 255) {
        return None;
    }
    let left = 32 - 8 * first.len() as u32;
    if u64::from(last) >= 1 << left {
        return None;
    }
    let high = (first.iter()).fold(0u64, |sum, &part| sum << 8 | u64::from(part));
    Some(Ipv4Addr::from_bits((high << left) as u32 | last))
}

fn part(text: &str) -> Option<u32> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    let fits = digits.bytes().all(|b| b.is_ascii_alphanumeric());
    fits.then(|| u32::from_str_radix(digits, radix).ok())?
}

/// A length of an IPv6 prefix. ipvsadm ignores what follows the number.
pub fn prefix(text: &str) -> Option<u8> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let bits = text[..digits].parse().ok()?;
    (1..=128).contains(&bits).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_inet_aton_reads_them() {
        for (text, expected) in [
            ("10.9.9.9", Some([10, 9, 9, 9])),
            ("10.9", Some([10, 0, 0, 9])),
            ("010.9.9.9", Some([8, 9, 9, 9])),
            ("0x0a.9.9.9", Some([10, 9, 9, 9])),
            ("4294967295", Some([255, 255, 255, 255])),
            ("4294967296", None),
            ("10.9.9.256", None),
            ("256.9.9.9", None),
            ("10.9.9.9.9", None),
            ("10.9.9.9 x", Some([10, 9, 9, 9])),
            (" 10.9.9.9", None),
            ("08.1.1.1", None),
            ("1..2", None),
            ("+1.2.3.4", None),
            ("", None),
        ] {
            assert_eq!(ipv4(text), expected.map(Ipv4Addr::from), "{text}");
        }
    }
}
