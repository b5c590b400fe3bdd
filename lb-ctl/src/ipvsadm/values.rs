//! Values as ipvsadm takes them: numbers, addresses, ports, masks, scheduler flags.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use super::names::Names;
use crate::ipvs::{Mask, Transport};

/// A number written in decimal: spaces and a sign may stand before it, nothing after it.
pub fn number(text: &str, range: RangeInclusive<i64>) -> Option<i64> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // What does not fit is out of every range.
    text.parse().ok().filter(|number| range.contains(number))
}

/// [`number`], for ranges of `u32`.
pub fn unsigned(text: &str, range: RangeInclusive<u32>) -> Option<u32> {
    let (low, high) = range.into_inner();
    number(text, low.into()..=high.into()).and_then(|number| u32::try_from(number).ok())
}

/// Address and port; `None` for a port that is not given. `transport` is for ports' names.
pub fn endpoint(
    text: &str,
    transport: Option<Transport>,
    names: &dyn Names,
) -> Option<(IpAddr, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, port) = rest.split_once(']')?;
        let port = port.strip_prefix(':')?;
        return match inner.parse::<Ipv6Addr>() {
            Ok(address) => Some((address.into(), Some(self::port(port, transport, names)?))),
            // Brackets around anything else hide the port.
            Err(_) => Some((host(inner, names)?.into(), None)),
        };
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some((address.into(), None));
    }
    match text.split_once(':') {
        Some((name, port)) => {
            let port = self::port(port, transport, names)?;
            Some((host(name, names)?.into(), Some(port)))
        }
        // A number alone would be a port.
        None if text.bytes().all(|b| b.is_ascii_digit()) => None,
        None => Some((host(text, names)?.into(), None)),
    }
}

fn host(name: &str, names: &dyn Names) -> Option<Ipv4Addr> {
    ipv4(name).or_else(|| names.address(name))
}

fn port(text: &str, transport: Option<Transport>, names: &dyn Names) -> Option<u16> {
    match number(text, 0..=65_535) {
        Some(port) => u16::try_from(port).ok(),
        None => names.port_of(text, transport?),
    }
}

/// An IPv4 address as inet_aton(3) takes it: one to four parts, each decimal, octal (`0...`)
/// or hexadecimal (`0x...`), the last of which fills what is left.
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

/// Bits from the left of an IPv6 address: whatever follows the number does not matter.
pub fn prefix(text: &str) -> Option<Mask> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let bits = text[..digits].parse().ok()?;
    (1..=128).contains(&bits).then_some(Mask::V6(bits))
}

/// Flags of a scheduler, each a bit, by their names there; 0 is no flag.
const FLAGS: [(&str, Option<&str>, u8); 7] = [
    ("sh-fallback", Some("sh"), 1),
    ("sh-port", Some("sh"), 2),
    ("mh-fallback", Some("mh"), 1),
    ("mh-port", Some("mh"), 2),
    ("flag-1", None, 1),
    ("flag-2", None, 2),
    ("flag-3", None, 4),
];

/// The flags of `-b`, or what is wrong with one of them.
pub fn flags(text: &str, scheduler: &str) -> Result<u8, String> {
    let mut flags = 0;
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let Some((_, whose, bit)) = FLAGS.iter().find(|(name, ..)| *name == word) else {
            return Err(format!("invalid scheduler flag `{word}'"));
        };
        if whose.is_some_and(|whose| whose != scheduler) {
            return Err(format!("incompatible scheduler flag `{word}'"));
        }
        flags |= bit;
    }
    Ok(flags)
}

/// Flags as [`flags`] takes them.
pub fn flags_text(flags: u8, scheduler: &str) -> String {
    let named = matches!(scheduler, "sh" | "mh");
    let names = FLAGS.iter().filter(|(_, whose, bit)| {
        let belongs = match whose {
            Some(whose) => *whose == scheduler,
            None => !named,
        };
        belongs && flags & bit != 0
    });
    names.map(|(name, ..)| *name).collect::<Vec<_>>().join(",")
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
