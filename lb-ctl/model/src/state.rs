//! The states of connections, by IPVS's names for them.

use crate::{fault::Fault, spelling::Named};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The state of a connection (IPVS: `tcp_state_name_table`, `udp_state_name_table`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "IPVS's names say it")]
pub enum State {
    Established,
    SynSent,
    SynRecv,
    FinWait,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    SynAck,
    Udp,
}

impl Named for State {
    const KIND: &'static str = "connection state";
    const ALL: &'static [Self] = &[
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::SynAck,
        Self::Udp,
    ];

    fn name(&self) -> &str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait => "FIN_WAIT",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::SynAck => "SYNACK",
            Self::Udp => "UDP",
        }
    }
}

impl std::str::FromStr for State {
    type Err = Fault;

    /// Upper or lower case.
    fn from_str(word: &str) -> Result<Self, Fault> {
        Self::parse(&word.to_ascii_uppercase())
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        Self::parse(&word).map_err(serde::de::Error::custom)
    }
}
