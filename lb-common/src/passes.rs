//! Why a packet to a service was left to the kernel's network stack: each reason is a row of the
//! map `passes`.

use crate::numbered::numbered;

numbered! {
    /// A reason to pass a packet to the stack although a service has its address and port.
    pub enum Pass: u32 {
        /// It would open a connection, but its lengths or the checksum of its IP header are wrong.
        Malformed = 0,
        /// It would open a connection, but no other host can have the address that it comes from:
        /// the address is the director's own, a VIP, or none of a single host.
        Forged = 1,
        /// The frame is for a MAC address that is none of the interface's.
        OtherStation = 2,
    }
}

impl Pass {
    /// The reason's name in listings and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Forged => "forged_source",
            Self::OtherStation => "other_mac",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_the_row_of_its_number() {
        for (row, &reason) in Pass::ALL.iter().enumerate() {
            assert_eq!(reason as usize, row);
            assert_eq!(Pass::of_number(row as u32), Some(reason));
        }
    }

    #[test]
    fn the_readme_explains_every_reason() {
        let readme = include_str!("../../README.md");
        for reason in Pass::ALL {
            let row = std::format!("| `{}` |", reason.name());
            assert!(readme.contains(&row), "{row}");
        }
    }
}
