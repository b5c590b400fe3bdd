//! What ipvsadm asks of a kernel with IPVS, which the daemon stands for here.

use lb_api::{Listing, Numbers, Page};
use lb_model::{
    Change, Refusal, ServiceId, Timeouts,
    sync::{Role, Sync},
};

/// Whatever does what IPVS does.
pub trait Kernel {
    /// Makes changes, each judged by itself in this order. Gives those that were refused, by
    /// their places. `command` is what asks for them, for the log.
    fn change(&mut self, changes: Vec<Change>, command: &str) -> Result<Vec<Refused>, Failure>;

    /// All services, or one; nothing if there is no such service.
    fn list(
        &mut self,
        service: Option<ServiceId>,
        numbers: Numbers,
    ) -> Result<Option<Listing>, Failure>;

    /// A part of the connection table: the one that begins at `from`, which is 0 or the `next` of
    /// the part before.
    fn connections(&mut self, from: u64) -> Result<Page, Failure>;

    /// The timeouts.
    fn timeouts(&mut self) -> Result<Timeouts, Failure>;

    /// What synchronises connections.
    fn sync_daemons(&mut self) -> Result<Vec<(Role, Sync)>, Failure>;

    /// Fails if there is no kernel to be asked. ipvsadm says so before all else; most commands
    /// ask something anyway and need no greeting.
    fn greet(&mut self) -> Result<(), Failure> {
        self.timeouts().map(|_| ())
    }
}

/// A change that was not made.
#[derive(Debug)]
pub struct Refused {
    /// Its place among the changes.
    pub place: usize,
    /// Why, as a number of the kernel.
    pub refusal: Refusal,
    /// The limit that is reached, where IPVS would have had room.
    pub limit: Option<String>,
}

/// Why the kernel cannot be asked.
#[derive(Debug)]
pub enum Failure {
    /// No daemon runs.
    Absent(String),
    /// This user may not ask it.
    Denied(String),
    /// Something else.
    Other(String),
}
