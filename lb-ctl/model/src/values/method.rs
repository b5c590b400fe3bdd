//! Forwarding methods.

use super::named::words;
use crate::{packet_path, spelling::Named};

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

words!(Method, "METHOD", Method::parse);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::round_trip::comes_back;

    #[test]
    fn methods_come_back_as_they_were_written() {
        Method::ALL.iter().copied().for_each(comes_back);
    }
}
