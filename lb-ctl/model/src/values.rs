//! Values that options have: how each is written, and what is not one.
//!
//! A value is read from one word (a command line), from a value of a file, and from JSON (the
//! socket, the record); it is written as each of them, too.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value as Json;

use crate::{
    fault::Fault,
    packet_path, rules,
    spelling::{self, Named, as_text},
};

/// A value that an option can have.
pub trait Value: Clone + PartialEq + Serialize + DeserializeOwned {
    /// What stands for a value in help, such as `NAME`.
    const HINT: &'static str;

    /// The words for its values, where there are only a few that can be used.
    fn words() -> Vec<&'static str> {
        Vec::new()
    }

    /// From one word.
    fn from_text(text: &str) -> Result<Self, Fault>;

    /// As people read it; [`from_text`](Self::from_text) takes it.
    fn text(&self) -> String;

    /// From a value of a file.
    fn from_file(value: &Json) -> Result<Self, Fault> {
        Self::from_text(&word(value)?)
    }

    /// As a file says it; [`from_file`](Self::from_file) takes it.
    fn file(&self) -> Json {
        Json::String(self.text())
    }
}

/// A value of a file that is one word or number, as text.
pub fn word(value: &Json) -> Result<String, Fault> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Bool(_) | Json::Number(_) => Ok(value.to_string()),
        Json::Null => Err(Fault::new(
            "it has no value: give one, or leave the key out",
        )),
        Json::Array(_) => Err(not_single("list")),
        Json::Object(_) => Err(not_single("mapping")),
    }
}

/// A value of a file that is a text. A number is not: a file may write it in another way than
/// it is read, as `1.10`.
pub fn text(value: &Json) -> Result<&str, Fault> {
    match value {
        Json::String(text) => Ok(text),
        Json::Bool(_) | Json::Number(_) => Err(Fault::new(
            "a number or truth value cannot be a text: put it in quotes",
        )),
        Json::Null => Err(Fault::new(
            "it has no value: give one, or leave the key out",
        )),
        Json::Array(_) => Err(not_single("list")),
        Json::Object(_) => Err(not_single("mapping")),
    }
}

fn not_single(found: &str) -> Fault {
    Fault::new(format!(
        "this is a {found}, expected a single value (in quotes if it has brackets or braces)"
    ))
}

/// An option that need not have a value. The word for none is empty.
impl<T: Value> Value for Option<T> {
    const HINT: &'static str = T::HINT;

    fn words() -> Vec<&'static str> {
        T::words()
    }

    fn from_text(text: &str) -> Result<Self, Fault> {
        match text {
            "" => Ok(None),
            text => T::from_text(text).map(Some),
        }
    }

    fn text(&self) -> String {
        self.as_ref().map_or_else(String::new, T::text)
    }

    fn from_file(value: &Json) -> Result<Self, Fault> {
        T::from_file(value).map(Some)
    }

    fn file(&self) -> Json {
        self.as_ref().map_or(Json::Null, T::file)
    }
}

impl Value for bool {
    const HINT: &'static str = "yes|no";

    fn from_text(text: &str) -> Result<Self, Fault> {
        match text {
            "yes" | "true" | "on" => Ok(true),
            "no" | "false" | "off" => Ok(false),
            _ => Err(Fault::new(format!(
                "`{}` is neither yes nor no",
                text.escape_debug()
            ))),
        }
    }

    fn text(&self) -> String {
        if *self { "yes" } else { "no" }.to_owned()
    }

    fn file(&self) -> Json {
        Json::Bool(*self)
    }
}

impl Value for u32 {
    const HINT: &'static str = "NUMBER";

    fn from_text(text: &str) -> Result<Self, Fault> {
        spelling::number(text, 0..=u32::MAX)
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn file(&self) -> Json {
        Json::from(*self)
    }
}

/// A time in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32")]
pub struct Seconds(pub u32);

impl TryFrom<u32> for Seconds {
    type Error = Fault;

    fn try_from(seconds: u32) -> Result<Self, Fault> {
        spelling::seconds(&seconds.to_string(), rules::SECONDS).map(Self)
    }
}

impl Value for Seconds {
    const HINT: &'static str = "TIME";

    fn from_text(text: &str) -> Result<Self, Fault> {
        spelling::seconds(text, rules::SECONDS).map(Self)
    }

    fn text(&self) -> String {
        format!("{}s", self.0)
    }
}

/// What people call a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// A line of text for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text(String);

/// The name of a persistence engine: with `sip`, the clients of a Call-ID are one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Engine(String);

/// A text that a rule lets through.
macro_rules! texts {
    ($($type:ident, $hint:literal, $rule:path;)*) => {$(
        impl $type {
            /// As it is written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = Fault;

            fn from_str(text: &str) -> Result<Self, Fault> {
                $rule(text).map(|()| Self(text.to_owned()))
            }
        }

        as_text!($type);

        impl Value for $type {
            const HINT: &'static str = $hint;

            fn from_text(text: &str) -> Result<Self, Fault> {
                text.parse()
            }

            fn text(&self) -> String {
                self.0.clone()
            }

            fn from_file(value: &Json) -> Result<Self, Fault> {
                text(value)?.parse()
            }
        }
    )*};
}

texts! {
    Name, "NAME", rules::name;
    Text, "TEXT", rules::text;
    Engine, "ENGINE", rules::engine;
}

/// Types with a few values travel as their words; the last column reads them.
macro_rules! words {
    ($($type:ident, $hint:literal, $received:path;)*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = Fault;

            fn from_str(word: &str) -> Result<Self, Fault> {
                Self::parse(word)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.name())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let word = String::deserialize(from)?;
                $received(&word).map_err(serde::de::Error::custom)
            }
        }

        impl Value for $type {
            const HINT: &'static str = $hint;

            fn words() -> Vec<&'static str> {
                Self::usable()
            }

            fn from_text(word: &str) -> Result<Self, Fault> {
                Self::parse(word)
            }

            fn text(&self) -> String {
                self.name().to_owned()
            }
        }
    )*};
}

words! {
    // The daemon refuses a name that it does not know for the kernel's reason.
    Scheduler, "NAME", Scheduler::received;
    Method, "METHOD", Method::parse;
}

/// How a service chooses a server for a new connection: IPVS's schedulers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "IPVS's names say it")]
pub enum Scheduler {
    Rr,
    Wrr,
    Lc,
    Wlc,
    Sed,
    Nq,
    Fo,
    Ovf,
    Sh,
    Dh,
    Mh,
    Lblc,
    Lblcr,
    Twos,
    /// A name that IPVS does not know. Only ipvsadm's command line can bring one; it is kept so
    /// that it can be refused by name, as the kernel does.
    Other(String),
}

impl Named for Scheduler {
    const KIND: &'static str = "scheduler";
    const ALL: &'static [Self] = &[
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Sed,
        Self::Nq,
        Self::Fo,
        Self::Ovf,
        Self::Sh,
        Self::Dh,
        Self::Mh,
        Self::Lblc,
        Self::Lblcr,
        Self::Twos,
    ];

    fn name(&self) -> &str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Sh => "sh",
            Self::Dh => "dh",
            Self::Mh => "mh",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Twos => "twos",
            Self::Other(name) => name,
        }
    }

    fn usable() -> Vec<&'static str> {
        packet_path::SCHEDULERS.to_vec()
    }
}

impl Scheduler {
    /// By the name that a kernel is given, which takes any.
    #[must_use]
    pub fn named(word: &str) -> Self {
        let found = Self::ALL.iter().find(|scheduler| scheduler.name() == word);
        found
            .cloned()
            .unwrap_or_else(|| Self::Other(word.to_owned()))
    }

    fn received(word: &str) -> Result<Self, Fault> {
        Ok(Self::named(word))
    }
}

/// How packets reach a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Direct routing: the MAC address is rewritten.
    Dr,
    /// Translation of address and port.
    Nat,
    /// A tunnel.
    Tun,
    /// Translation of both ends.
    Fullnat,
}

impl Named for Method {
    const KIND: &'static str = "forwarding method";
    const ALL: &'static [Self] = &[Self::Dr, Self::Nat, Self::Tun, Self::Fullnat];

    fn name(&self) -> &str {
        match self {
            Self::Dr => "dr",
            Self::Nat => "nat",
            Self::Tun => "tun",
            Self::Fullnat => "fullnat",
        }
    }

    fn usable() -> Vec<&'static str> {
        packet_path::METHODS.to_vec()
    }
}

/// The flags of a scheduler: bit 0 is IPVS's `flag-1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerFlags(pub u8);

impl SchedulerFlags {
    /// IPVS's words for them: those of `sh` and `mh`, and the numbered ones for all others.
    pub const WORDS: [(&'static str, u8); 7] = [
        ("sh-fallback", 1),
        ("sh-port", 2),
        ("mh-fallback", 1),
        ("mh-port", 2),
        ("flag-1", 1),
        ("flag-2", 2),
        ("flag-3", 4),
    ];
}

impl Value for SchedulerFlags {
    const HINT: &'static str = "FLAGS";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let mut flags = 0;
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let names = Self::WORDS.map(|(name, _)| name);
            let Some((_, bit)) = Self::WORDS.iter().find(|(name, _)| *name == word) else {
                return Err(Fault::new(format!(
                    "`{}` is not a scheduler's flag: use {}",
                    word.escape_debug(),
                    spelling::alternatives(&names)
                )));
            };
            flags |= bit;
        }
        Ok(Self(flags))
    }

    fn text(&self) -> String {
        let numbered = Self::WORDS.iter().skip(4);
        let set = numbered.filter(|(_, bit)| self.0 & bit != 0);
        set.map(|(name, _)| *name).collect::<Vec<_>>().join(",")
    }

    fn from_file(value: &Json) -> Result<Self, Fault> {
        let Json::Array(items) = value else {
            return Err(Fault::new("expected a list such as `[sh-port]`"));
        };
        let mut flags = 0;
        for item in items {
            let word = item
                .as_str()
                .ok_or_else(|| Fault::new(format!("`{item}` is not a scheduler's flag")))?;
            flags |= Self::from_text(word)?.0;
        }
        Ok(Self(flags))
    }

    fn file(&self) -> Json {
        let text = self.text();
        let words = text.split(',').filter(|word| !word.is_empty());
        Json::Array(words.map(Json::from).collect())
    }
}

/// How long clients keep their server, and which clients are taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persistence {
    /// Since the last connection.
    pub timeout: Seconds,
    /// Clients whose addresses are alike under it are one.
    #[serde(default)]
    pub netmask: Mask,
}

/// A part of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Mask {
    /// All of it, of whatever family.
    #[default]
    Whole,
    /// Of IPv4, bit by bit.
    V4(Ipv4Addr),
    /// Of IPv6, so many bits from the left.
    V6(u8),
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.pad("whole"),
            Self::V4(mask) => mask.fmt(f),
            Self::V6(bits) => write!(f, "{bits}"),
        }
    }
}

impl FromStr for Mask {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if text == "whole" {
            return Ok(Self::Whole);
        }
        if let Ok(mask) = text.parse() {
            return Ok(Self::V4(mask));
        }
        match text.parse() {
            Ok(bits @ 1..=128) => Ok(Self::V6(bits)),
            _ => Err(Fault::new(format!(
                "`{}` is not a mask: write it like 255.255.255.0, or for IPv6 a number of bits",
                text.escape_debug()
            ))),
        }
    }
}

as_text!(Mask);

impl Value for Persistence {
    const HINT: &'static str = "TIME[/NETMASK]";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let (timeout, netmask) = match text.split_once('/') {
            Some((timeout, mask)) => (timeout, mask.parse()?),
            None => (text, Mask::Whole),
        };
        Ok(Self {
            timeout: Seconds::from_text(timeout)?,
            netmask,
        })
    }

    fn text(&self) -> String {
        match self.netmask {
            Mask::Whole => self.timeout.text(),
            mask => format!("{}/{mask}", self.timeout.text()),
        }
    }

    fn from_file(value: &Json) -> Result<Self, Fault> {
        let Json::Object(keys) = value else {
            return Err(Fault::new(
                "expected a mapping such as `{timeout: 60s, netmask: 255.255.255.0}`",
            ));
        };
        let mut persistence = Self {
            timeout: Seconds(rules::DEFAULT_PERSISTENCE),
            netmask: Mask::Whole,
        };
        for (key, value) in keys {
            match key.as_str() {
                "timeout" => persistence.timeout = Seconds::from_file(value)?,
                "netmask" => {
                    let word = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    persistence.netmask = word.parse()?;
                }
                other => {
                    return Err(Fault::new(format!(
                        "there is no such key as `{}`: use timeout or netmask",
                        other.escape_debug()
                    )));
                }
            }
        }
        Ok(persistence)
    }

    fn file(&self) -> Json {
        let mut keys = serde_json::Map::new();
        keys.insert("timeout".into(), self.timeout.file());
        match self.netmask {
            Mask::Whole => {}
            Mask::V4(mask) => {
                keys.insert("netmask".into(), mask.to_string().into());
            }
            Mask::V6(bits) => {
                keys.insert("netmask".into(), bits.into());
            }
        }
        Json::Object(keys)
    }
}

/// How packets are wrapped on their way to a server with the method `tun`. Written `ipip`,
/// `gue:PORT`, `gre`; `+csum` and `+remcsum` add a checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Tunnel {
    /// In IP.
    #[default]
    Ipip,
    /// In UDP (generic UDP encapsulation).
    Gue {
        /// To this port.
        port: u16,
        /// With which checksum.
        checksum: Checksum,
    },
    /// In GRE.
    Gre {
        /// With which checksum.
        checksum: Checksum,
    },
}

/// A tunnel's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// None.
    Without,
    /// Over the packet.
    With,
    /// Completed by the receiver.
    Remote,
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checksum = match self {
            Self::Ipip => return f.pad("ipip"),
            Self::Gue { port, checksum } => {
                write!(f, "gue:{port}")?;
                checksum
            }
            Self::Gre { checksum } => {
                f.write_str("gre")?;
                checksum
            }
        };
        f.write_str(match checksum {
            Checksum::Without => "",
            Checksum::With => "+csum",
            Checksum::Remote => "+remcsum",
        })
    }
}

impl FromStr for Tunnel {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let wrong = || {
            Fault::new(format!(
                "`{}` is not a tunnel: use ipip, gue:PORT or gre, with +csum or +remcsum for a checksum",
                text.escape_debug()
            ))
        };
        let (kind, checksum) = match text.split_once('+') {
            None => (text, Checksum::Without),
            Some((kind, "csum")) => (kind, Checksum::With),
            Some((kind, "remcsum")) => (kind, Checksum::Remote),
            Some(_) => return Err(wrong()),
        };
        match (kind.split_once(':'), checksum) {
            (None, Checksum::Without) if kind == "ipip" => Ok(Self::Ipip),
            (None, Checksum::Without | Checksum::With) if kind == "gre" => {
                Ok(Self::Gre { checksum })
            }
            (Some(("gue", port)), checksum) => Ok(Self::Gue {
                port: port.parse().map_err(|_| wrong())?,
                checksum,
            }),
            _ => Err(wrong()),
        }
    }
}

as_text!(Tunnel);

impl Value for Tunnel {
    const HINT: &'static str = "TUNNEL";

    fn from_text(text: &str) -> Result<Self, Fault> {
        text.parse()
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value comes back from each of the three ways in which it is written.
    fn comes_back<T: Value + fmt::Debug>(value: T) {
        assert_eq!(T::from_text(&value.text()).as_ref(), Ok(&value));
        assert_eq!(T::from_file(&value.file()).as_ref(), Ok(&value));
        let json = serde_json::to_value(&value).unwrap();
        assert_eq!(serde_json::from_value::<T>(json).unwrap(), value);
    }

    #[test]
    fn values_come_back_as_they_were_written() {
        comes_back(Seconds(900));
        comes_back(true);
        comes_back(4_000_000_000u32);
        comes_back("主页-1.example@site".parse::<Name>().unwrap());
        comes_back("What it is for: \"everything\"".parse::<Text>().unwrap());
        Scheduler::ALL.iter().cloned().for_each(comes_back);
        Method::ALL.iter().copied().for_each(comes_back);
        (0..8).map(SchedulerFlags).for_each(comes_back);
        for netmask in [Mask::Whole, Mask::V4([255, 255, 0, 0].into()), Mask::V6(64)] {
            comes_back(Persistence {
                timeout: Seconds(60),
                netmask,
            });
        }
        for text in ["ipip", "gre", "gre+csum", "gue:6080", "gue:1+remcsum"] {
            comes_back(text.parse::<Tunnel>().unwrap());
        }
    }

    #[test]
    fn a_time_that_is_out_of_range_is_not_received() {
        let received = |json| serde_json::from_str::<Seconds>(json);
        assert_eq!(received("1").unwrap(), Seconds(1));
        assert!(received("0").unwrap_err().to_string().contains("1s to"));
    }

    #[test]
    fn a_scheduler_that_ipvs_does_not_know_is_received_to_be_refused() {
        let scheduler = serde_json::from_str::<Scheduler>("\"nosuch\"").unwrap();
        assert_eq!(scheduler, Scheduler::named("nosuch"));
        assert!(Scheduler::from_text("nosuch").is_err());
    }

    #[test]
    fn a_word_that_is_nearly_right_gets_a_suggestion() {
        let fault = |word| Scheduler::parse(word).unwrap_err().to_string();
        assert_eq!(
            fault("WRR"),
            "`WRR` is not a valid scheduler: use rr, wrr, lc or wlc (did you mean `wrr`?)"
        );
        assert!(!fault("random").contains("did you mean"));
    }

    #[test]
    fn what_is_not_a_value_says_why() {
        assert!(Tunnel::from_text("gre+remcsum").is_err());
        assert!(Tunnel::from_text("gue").is_err());
        assert!(SchedulerFlags::from_text("sh-port,x").is_err());
        let number = Name::from_file(&Json::from(1)).unwrap_err().to_string();
        assert!(number.contains("put it in quotes"), "{number}");
        let nothing = u32::from_file(&Json::Null).unwrap_err().to_string();
        assert!(nothing.contains("no value"), "{nothing}");
    }

    #[test]
    fn an_empty_word_takes_an_option_away() {
        assert_eq!(Option::<Name>::from_text(""), Ok(None));
        assert!(Option::<Name>::from_file(&Json::String(String::new())).is_err());
    }
}
