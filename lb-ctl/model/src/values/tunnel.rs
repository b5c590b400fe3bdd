//! Tunnels and their checksums.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::value::Value;
use crate::{fault::Fault, spelling::as_text};

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
    use crate::values::round_trip::comes_back;

    #[test]
    fn tunnels_come_back_as_they_were_written() {
        for text in ["ipip", "gre", "gre+csum", "gue:6080", "gue:1+remcsum"] {
            comes_back(text.parse::<Tunnel>().unwrap());
        }
    }

    #[test]
    fn what_is_no_tunnel_is_not_taken() {
        assert!(Tunnel::from_text("gre+remcsum").is_err());
        assert!(Tunnel::from_text("gue").is_err());
    }
}
