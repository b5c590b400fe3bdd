//! How a program can be attached to an interface.

/// Where in the kernel the program handles packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the network stack, after the kernel has made an skb: slower, but every interface can.
    Generic,
}

impl Mode {
    /// As in listings and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}
