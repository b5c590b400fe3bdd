//! What a valid configuration must satisfy, whichever way it came: one value at a time.
//! Whoever holds a list checks it for duplicates.

use std::ops::RangeInclusive;

use crate::fault::Fault;

/// Capacity of the connection table where none is given.
pub const DEFAULT_CONNECTIONS: u32 = 1_000_000;
/// Capacities that the connection table can have.
pub const CONNECTIONS: RangeInclusive<u32> = 1..=100_000_000;
/// Times in seconds: up to 31 days, as in IPVS.
pub const SECONDS: RangeInclusive<u32> = 1..=2_678_400;
/// How long a client keeps its server where nothing is said, in seconds: as ipvsadm has it.
pub const DEFAULT_PERSISTENCE: u32 = 360;
/// Weights that a server can have.
pub const WEIGHTS: RangeInclusive<u32> = 0..=65_535;
/// Servers that a service can have.
pub const MOST_SERVERS: usize = 1024;
/// Longest name of a service, in characters.
pub const NAME_CHARACTERS: usize = 64;
/// Longest line of text, in characters.
pub const TEXT_CHARACTERS: usize = 200;
/// Longest name of an interface, in bytes (`IFNAMSIZ` without its final 0).
const INTERFACE_BYTES: usize = 15;

/// Which weights servers have.
pub fn weight(weight: u32) -> Result<(), Fault> {
    if WEIGHTS.contains(&weight) {
        return Ok(());
    }
    let (low, high) = WEIGHTS.into_inner();
    Err(Fault::new(format!(
        "{weight} is out of range: give a weight from {low} to {high}"
    )))
}

/// Which limits of connections go together.
pub fn thresholds(upper: u32, lower: u32) -> Result<(), Fault> {
    if lower <= upper {
        return Ok(());
    }
    Err(Fault::new(format!(
        "the lower limit {lower} is above the upper limit {upper}"
    )))
}

/// How many servers a service may have.
pub fn server_count(count: usize) -> Result<(), Fault> {
    if count <= MOST_SERVERS {
        return Ok(());
    }
    Err(Fault::new(format!(
        "{count} servers, but a service has at most {MOST_SERVERS}: spread them over several services"
    )))
}

/// What a service may be named.
pub fn name(name: &str) -> Result<(), Fault> {
    let fits = (1..=NAME_CHARACTERS).contains(&name.chars().count());
    if fits
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "._-+@".contains(c))
    {
        return Ok(());
    }
    Err(Fault::new(format!(
        "`{}` cannot name a service: use 1 to {NAME_CHARACTERS} letters, digits and . _ - + @",
        name.escape_debug()
    )))
}

/// What a line of text for people may be.
pub fn text(text: &str) -> Result<(), Fault> {
    let fits = (1..=TEXT_CHARACTERS).contains(&text.chars().count());
    let trimmed = text.trim() == text;
    if fits && trimmed && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Fault::new(format!(
        "`{}` cannot be shown: give one line of 1 to {TEXT_CHARACTERS} characters, without spaces at its ends",
        text.escape_debug()
    )))
}

/// What a persistence engine may be named: the kernel's `IP_VS_PENAME_MAXLEN`.
pub fn engine(name: &str) -> Result<(), Fault> {
    if (1..=16).contains(&name.len()) {
        return Ok(());
    }
    Err(Fault::new(format!(
        "`{}` cannot name a persistence engine: give 1 to 16 bytes",
        name.escape_debug()
    )))
}

/// What an interface may be named: the kernel's `dev_valid_name`, in printable characters.
pub fn interface(name: &str) -> Result<(), Fault> {
    let fits = (1..=INTERFACE_BYTES).contains(&name.len()) && name != "." && name != "..";
    if fits
        && !name
            .chars()
            .any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
    {
        return Ok(());
    }
    Err(Fault::new(format!(
        "`{}` cannot be an interface: `ip -br link` lists those of this machine",
        name.escape_debug()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_of_any_script() {
        assert_eq!(name("主页-1.example@site"), Ok(()));
        for bad in ["", "a b", "tcp/x", "a:b", "a\nb", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_text_is_one_line() {
        assert_eq!(text("The shop's front page: \"www\" — 主页"), Ok(()));
        for bad in ["", " a", "a ", "a\nb", "a\x1b[31mb", &"x".repeat(201)] {
            assert!(text(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn interfaces_are_named_as_the_kernel_allows() {
        assert_eq!(interface("eth0.100"), Ok(()));
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "sixteen-letters-"] {
            assert!(interface(bad).is_err(), "{bad:?}");
        }
    }
}
