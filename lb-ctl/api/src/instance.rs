//! Which director is meant, where several live on one machine.

use std::{fmt, str::FromStr};

use lb_model::Fault;

/// An instance's name: 1 to 64 of `A-Z a-z 0-9 _ -`, so that it can be part of a path, also in
/// bpffs, which has no dots in names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance(String);

impl Instance {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Instance {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self, Fault> {
        let fits = (1..=64).contains(&name.len());
        if fits
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        {
            return Ok(Self(name.to_owned()));
        }
        Err(Fault::new(
            "an instance is named with 1 to 64 letters, digits and _ -",
        ))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_to_another_directory() {
        assert!("web-1-eu_2".parse::<Instance>().is_ok());
        for bad in ["", ".", "..", "a.b", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<Instance>().is_err(), "{bad:?}");
        }
    }
}
