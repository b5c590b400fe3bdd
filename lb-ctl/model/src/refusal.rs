//! Why a change is refused, as the kernel says it.

use serde::{Deserialize, Serialize};

/// Why a change was not made, as the kernel says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// EEXIST: the service or server is there already.
    Exists,
    /// ESRCH: there is no such service.
    NoService,
    /// ENOENT: no such scheduler, engine or server.
    NotFound,
    /// EINVAL.
    Invalid,
    /// ERANGE.
    OutOfRange,
    /// ENOMEM.
    NoMemory,
    /// ENOPROTOOPT: what the packet path does not act on.
    NoOption,
    /// EPROTONOSUPPORT.
    NoProtocol,
    /// EAFNOSUPPORT.
    NoFamily,
    /// ENODEV.
    NoDevice,
}
