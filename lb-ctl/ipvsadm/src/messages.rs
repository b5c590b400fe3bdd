//! ipvsadm's messages, word for word.

use lb_model::{Change, Refusal};

/// `-v`
pub const VERSION: &str = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n";

/// The message about a refused change.
pub fn refusal(change: &Change, refusal: Refusal) -> &'static str {
    match (change, refusal) {
        (
            Change::AddServer { .. } | Change::SetServer { .. } | Change::DeleteServer { .. },
            Refusal::NoService,
        ) => "Service not defined",
        (Change::AddServer { .. }, Refusal::Exists) => "Destination already exists",
        (Change::SetServer { .. } | Change::DeleteServer { .. }, Refusal::NotFound) => {
            "No such destination"
        }
        (Change::StartSync { .. }, Refusal::Exists) => "Daemon has already run",
        (Change::StopSync { .. }, Refusal::NoService) => "No daemon is running",
        (_, refusal) => general(refusal),
    }
}

/// The message about anything else that was refused.
pub fn general(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Exists => "Service already exists",
        Refusal::NoService => "No such service",
        Refusal::NotFound => "Scheduler or persistence engine not found",
        Refusal::Invalid => {
            "Invalid operation.  Possibly wrong module version, address not unicast, ..."
        }
        Refusal::OutOfRange => "Numerical result out of range",
        Refusal::NoMemory => "Memory allocation problem",
        Refusal::NoOption => "Protocol not available",
        Refusal::NoProtocol => "Protocol not supported",
        Refusal::NoFamily => "Operation not supported with specified address family",
        Refusal::NoDevice => "No such device",
    }
}

/// The message of `ipvsadm-save` about an option that it does not have.
pub const SAVE_USAGE: &str = "\
ipvsadm-save: Script to save the IPVS table to stdout.
   With the -n option, prints out the table in numeric format.
";

/// `-h`, after the version.
pub const USAGE: &str = include_str!("usage.txt");
