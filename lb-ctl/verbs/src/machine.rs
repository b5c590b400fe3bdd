//! What verbs need of the machine's packet path. The binary provides it, so that this crate
//! builds without one.

use std::path::PathBuf;

use clap::ValueEnum;
use lb_api::Instance;
use lb_model::merge::Written;

/// The packet path of this machine.
pub trait Machine {
    /// Runs the daemon until it is told to end.
    fn run(&self, start: Start) -> anyhow::Result<()>;

    /// What would keep the services of a file from being served on this machine: sentences.
    fn check(&self, instance: &Instance, written: &Written) -> anyhow::Result<Vec<String>>;

    /// Stops forwarding and removes what is pinned, where no daemon runs. Gives what
    /// the program was attached to; `None` if there was nothing to remove.
    fn detach(&self, instance: &Instance) -> anyhow::Result<Option<Detached>>;
}

/// What a program was attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// The interfaces, for people.
    pub interfaces: Vec<String>,
    /// They were in another network namespace than the command.
    pub elsewhere: bool,
}

/// What a daemon starts with.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Whose daemon it is.
    pub instance: Instance,
    /// The configuration file, which is read again on SIGHUP; `-` was standard input.
    pub config: PathBuf,
    /// What the file says.
    pub written: Written,
    /// Interfaces to attach to besides those of the file.
    pub interfaces: Vec<String>,
    /// How the XDP program is attached.
    pub mode: Mode,
}

/// How the XDP program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// In the driver if every interface supports it, else in the kernel
    Auto,
    /// In the driver
    Native,
    /// In the kernel, for drivers without XDP: slower
    Generic,
}
