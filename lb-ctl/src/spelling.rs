//! How values are spelled, in YAML and on the command line alike.

use std::{net::Ipv4Addr, ops::RangeInclusive};

use crate::rules::{self, Fault};

/// A value out of a few, each with one word for it.
pub trait Named: Copy + Eq + Sized + 'static {
    /// What kind of thing it is, for messages.
    const KIND: &'static str;
    /// Every value.
    const ALL: &'static [Self];
    /// Words that IPVS's users know and that mean nothing here yet.
    const NOT_YET: &'static [&'static str];

    /// The word.
    fn name(self) -> &'static str;

    /// The value that a word stands for.
    fn parse(word: &str) -> Result<Self, Fault> {
        if let Some(value) = Self::ALL.iter().copied().find(|v| v.name() == word) {
            return Ok(value);
        }
        let names: Vec<_> = Self::ALL.iter().map(|v| v.name()).collect();
        let (kind, usable) = (Self::KIND, alternatives(&names));
        Err(Fault::new(if Self::NOT_YET.contains(&word) {
            format!("`{word}` is a {kind} that this director does not have yet: use {usable}")
        } else {
            format!(
                "`{}` is no {kind}: use {usable}{}",
                word.escape_debug(),
                did_you_mean(word, &names)
            )
        }))
    }
}

/// An IPv4 address, and a port if one is given.
pub fn endpoint(text: &str) -> Result<(Ipv4Addr, Option<u16>), Fault> {
    if text.starts_with('[') || text.matches(':').count() > 1 {
        return Err(Fault::new(format!(
            "`{}` looks like IPv6, which this director does not balance yet: give an IPv4 address",
            text.escape_debug()
        )));
    }
    let (address, port) = match text.split_once(':') {
        Some((address, port)) => (address, Some(port)),
        None => (text, None),
    };
    let address = address.parse().map_err(|_| {
        Fault::new(format!(
            "`{}` is no IPv4 address (names are not looked up): write it like 192.0.2.1",
            address.escape_debug()
        ))
    })?;
    Ok((address, port.map(parse_port).transpose()?))
}

/// An IPv4 address with a port.
pub fn endpoint_with_port(text: &str) -> Result<(Ipv4Addr, u16), Fault> {
    match endpoint(text)? {
        (address, Some(port)) => Ok((address, port)),
        (address, None) => Err(Fault::new(format!(
            "`{text}` has no port: write it like {address}:80"
        ))),
    }
}

fn parse_port(text: &str) -> Result<u16, Fault> {
    digits(text)
        .and_then(|n| u16::try_from(n).ok())
        .ok_or_else(|| {
            Fault::new(format!(
                "`{}` is no port: give a number from 1 to 65535",
                text.escape_debug()
            ))
        })
}

/// A time in seconds: `900`, `900s`, `15m` or `2h`.
pub fn seconds(text: &str) -> Result<u32, Fault> {
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
            "`{}` is no time: write it like 900s, 15m or 2h",
            text.escape_debug()
        )));
    };
    u32::try_from(seconds)
        .ok()
        .filter(|s| rules::SECONDS.contains(s))
        .ok_or_else(|| {
            let (low, high) = rules::SECONDS.into_inner();
            Fault::new(format!(
                "`{text}` is out of range: give {low}s to {high}s (31 days)"
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
                "`{}` is no whole number from {low} to {high}",
                text.escape_debug()
            ))
        })
}

/// A number written in digits alone; the largest there is where it is larger.
fn digits(text: &str) -> Option<u64> {
    let all_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// ` (did you mean `wrr`?)`, or nothing where no candidate is near.
#[must_use]
pub fn did_you_mean(word: &str, candidates: &[&str]) -> String {
    let word = word.to_lowercase();
    let tolerated = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .iter()
        .map(|candidate| (strsim::osa_distance(&word, candidate), candidate))
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

/// For serde: a [`Named`] value travels as its word.
pub mod by_name {
    use super::Named;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// As its word.
    pub fn serialize<T: Named, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(value.name())
    }

    /// From its word.
    pub fn deserialize<'de, T: Named, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let word = String::deserialize(from)?;
        T::parse(&word).map_err(D::Error::custom)
    }

    /// The same where it may be absent.
    pub mod option {
        use super::super::Named;
        use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

        /// As its word, or as null.
        pub fn serialize<T: Named, S: Serializer>(
            value: &Option<T>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            value.map(Named::name).serialize(to)
        }

        /// From its word, or from null.
        pub fn deserialize<'de, T: Named, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<T>, D::Error> {
            Option::<String>::deserialize(from)?
                .map(|word| T::parse(&word).map_err(D::Error::custom))
                .transpose()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{Method, Protocol, Scheduler};

    #[test]
    fn words_that_ipvs_knows_are_refused_as_not_there_yet() {
        for word in Scheduler::NOT_YET {
            let fault = Scheduler::parse(word).unwrap_err().to_string();
            assert!(fault.contains("does not have yet: use rr, wrr, lc or wlc"));
        }
        assert!(Method::parse("fullnat").is_err());
        assert!(Protocol::parse("sctp").is_err());
    }

    #[test]
    fn a_word_that_is_nearly_right_gets_a_suggestion() {
        let fault = |word| Scheduler::parse(word).unwrap_err().to_string();
        assert_eq!(
            fault("WRR"),
            "`WRR` is no scheduler: use rr, wrr, lc or wlc (did you mean `wrr`?)"
        );
        assert!(!fault("random").contains("did you mean"));
    }

    #[test]
    fn endpoints_are_ipv4_addresses_with_or_without_a_port() {
        assert_eq!(
            endpoint("192.0.2.1"),
            Ok((Ipv4Addr::new(192, 0, 2, 1), None))
        );
        assert_eq!(endpoint("192.0.2.1:80").unwrap().1, Some(80));
        for (text, why) in [
            ("[2001:db8::1]:80", "IPv6"),
            ("2001:db8::1", "IPv6"),
            ("www.example.com:80", "names are not looked up"),
            ("192.0.2.256", "no IPv4 address"),
            ("192.0.2.01", "no IPv4 address"),
            ("192.0.2.1:", "no port"),
            ("192.0.2.1:+80", "no port"),
            ("192.0.2.1:65536", "no port"),
            ("", "no IPv4 address"),
        ] {
            let fault = endpoint(text).unwrap_err().to_string();
            assert!(fault.contains(why), "{text:?}: {fault}");
        }
    }

    #[test]
    fn times_are_written_in_seconds_minutes_or_hours() {
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
}
