//! How values are written, in YAML and on the command line alike.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use crate::{fault::Fault, meant};

/// A value out of a few, each with one word for it.
pub trait Named: Clone + Eq + Sized + 'static {
    /// What kind of thing it is, for messages.
    const KIND: &'static str;
    /// Every value that has a word.
    const ALL: &'static [Self];

    /// The word.
    fn name(&self) -> &str;

    /// The words of those that can be used. All of them, unless the packet path lacks some.
    #[must_use]
    fn usable() -> Vec<&'static str> {
        Self::ALL.iter().map(Self::name).collect()
    }

    /// The value that a word stands for.
    fn parse(word: &str) -> Result<Self, Fault> {
        let found = Self::ALL.iter().find(|value| value.name() == word);
        found.cloned().ok_or_else(|| {
            let usable = Self::usable();
            Fault::new(format!(
                "`{}` is not a valid {}: use {}{}",
                word.escape_debug(),
                Self::KIND,
                alternatives(&usable),
                did_you_mean(word, &usable)
            ))
        })
    }
}

/// An address, and a port if one is given: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`,
/// `[2001:db8::1]:80`.
pub fn endpoint(text: &str) -> Result<(IpAddr, Option<u16>), Fault> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or_else(|| {
            Fault::new(format!(
                "`{}` has no closing bracket: write it like [2001:db8::1]:80",
                text.escape_debug()
            ))
        })?;
        let address = ipv6(address)?;
        let port = match port.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if port.is_empty() => None,
            None => {
                return Err(Fault::new(format!(
                    "`{}` is not a valid port: write it like [{address}]:80",
                    port.escape_debug()
                )));
            }
        };
        return Ok((address.into(), port));
    }
    if text.matches(':').count() > 1 {
        return Ok((ipv6(text)?.into(), None));
    }
    let (address, port) = match text.split_once(':') {
        Some((address, port)) => (address, Some(port)),
        None => (text, None),
    };
    let address: Ipv4Addr = address.parse().map_err(|_| {
        Fault::new(format!(
            "`{}` is not an IP address (names are not looked up): write it like 192.0.2.1",
            address.escape_debug()
        ))
    })?;
    Ok((address.into(), port.map(parse_port).transpose()?))
}

fn ipv6(text: &str) -> Result<Ipv6Addr, Fault> {
    text.parse().map_err(|_| {
        Fault::new(format!(
            "`{}` is not an IPv6 address: write it like 2001:db8::1, and [2001:db8::1]:80 with a port",
            text.escape_debug()
        ))
    })
}

/// An address with a port.
pub fn endpoint_with_port(text: &str) -> Result<(IpAddr, u16), Fault> {
    match endpoint(text)? {
        (address, Some(port)) => Ok((address, port)),
        (address, None) => Err(Fault::new(format!(
            "`{text}` has no port: write it like {}",
            with_port(address, 80)
        ))),
    }
}

/// An address with a port, as [`endpoint_with_port`] takes it.
#[must_use]
pub fn with_port(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

fn parse_port(text: &str) -> Result<u16, Fault> {
    digits(text)
        .and_then(|n| u16::try_from(n).ok())
        .ok_or_else(|| {
            Fault::new(format!(
                "`{}` is not a valid port: give a number from 1 to 65535",
                text.escape_debug()
            ))
        })
}

/// A time in seconds: `900`, `900s`, `15m` or `2h`.
pub fn seconds(text: &str, range: RangeInclusive<u32>) -> Result<u32, Fault> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let unit = match unit {
        "h" => 3600,
        "m" => 60,
        _ => 1,
    };
    let Some(seconds) = digits(number).map(|n| n.saturating_mul(unit)) else {
        return Err(Fault::new(format!(
            "`{}` is not a time: write it like 900s, 15m or 2h",
            text.escape_debug()
        )));
    };
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| range.contains(seconds))
        .ok_or_else(|| {
            let (low, high) = range.into_inner();
            Fault::new(format!(
                "`{text}` is out of range: give {low}s to {high}s ({} days)",
                high / 86_400
            ))
        })
}

/// A whole number out of a range.
pub fn number(text: &str, range: RangeInclusive<u32>) -> Result<u32, Fault> {
    digits(text)
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let (low, high) = range.into_inner();
            Fault::new(format!(
                "`{}` is not a whole number from {low} to {high}",
                text.escape_debug()
            ))
        })
}

/// A number written in digits alone. One that is too large for the type becomes the largest.
fn digits(text: &str) -> Option<u64> {
    let all_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// ` (did you mean `wrr`?)`, or nothing if no candidate is near in spelling or in meaning.
#[must_use]
pub fn did_you_mean(word: &str, candidates: &[&str]) -> String {
    if let Some(meant) = meant::among(word, candidates) {
        return format!(" (did you mean `{meant}`?)");
    }
    let word = word.to_lowercase();
    let tolerated = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .iter()
        .map(|candidate| {
            (
                strsim::osa_distance(&word, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map_or_else(String::new, |(_, candidate)| {
            format!(" (did you mean `{candidate}`?)")
        })
}

/// `rr, wrr, lc or wlc`.
#[must_use]
pub fn alternatives(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} or {last}", names.join(", ")),
    }
}

/// `1 service`, `2 services`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// The first items of a list, and how many there are besides: `a, b and 5 more`.
#[must_use]
pub fn first_of<T: ToString>(items: &[T]) -> String {
    let shown: Vec<_> = items.iter().take(SHOWN).map(T::to_string).collect();
    some_of(&shown, items.len())
}

/// So many items are shown by name.
pub const SHOWN: usize = 10;

/// These, and how many more there are where there are `all`.
pub fn some_of(shown: &[String], all: usize) -> String {
    let names = shown.join(", ");
    match all.saturating_sub(shown.len()) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

/// Serde's and the standard library's ways in and out of text, for a type with `FromStr` and
/// `Display`.
macro_rules! as_text {
    ($($type:ty),* $(,)?) => {$(
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $type {
            type Error = $crate::fault::Fault;

            fn try_from(text: String) -> Result<Self, $crate::fault::Fault> {
                text.parse()
            }
        }
    )*};
}
pub(crate) use as_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_addresses_with_or_without_a_port() {
        for (text, address, port) in [
            ("192.0.2.1", "192.0.2.1", None),
            ("192.0.2.1:80", "192.0.2.1", Some(80)),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("[2001:db8::1]:80", "2001:db8::1", Some(80)),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(endpoint(text), Ok((address, port)), "{text}");
        }
        for (text, why) in [
            ("www.example.com:80", "names are not looked up"),
            ("192.0.2.256", "not an IP address"),
            ("192.0.2.01", "not an IP address"),
            ("192.0.2.1:", "not a valid port"),
            ("192.0.2.1:+80", "not a valid port"),
            ("192.0.2.1:65536", "not a valid port"),
            ("", "not an IP address"),
            ("2001:db8:::1", "not an IPv6 address"),
            ("[2001:db8::1", "closing bracket"),
            ("[2001:db8::1]80", "not a valid port"),
            ("[192.0.2.1]:80", "not an IPv6 address"),
        ] {
            let fault = endpoint(text).unwrap_err().to_string();
            assert!(fault.contains(why), "{text:?}: {fault}");
        }
    }

    #[test]
    fn times_are_written_in_seconds_minutes_or_hours() {
        let seconds = |text| seconds(text, 1..=2_678_400);
        assert_eq!(seconds("900"), Ok(900));
        assert_eq!(seconds("900s"), Ok(900));
        assert_eq!(seconds("15m"), Ok(900));
        assert_eq!(seconds("2h"), Ok(7200));
        for bad in [
            "",
            "s",
            "-1",
            "1d",
            "1.5h",
            "0",
            "2678401",
            "99999999999999999999h",
            "1µ",
        ] {
            assert!(seconds(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        let items: Vec<_> = (1..=12).collect();
        assert_eq!(first_of(&items[..2]), "1, 2");
        assert!(first_of(&items).ends_with("9, 10 and 2 more"));
        assert_eq!(count(1, "service"), "1 service");
        assert_eq!(count(0, "server"), "0 servers");
    }
}
