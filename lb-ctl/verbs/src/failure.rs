//! How a verb fails, and how that is said.

use std::io::{self, Write};

use lb_api::{BindError, CallError};
use lb_config::ConfigError;
use lb_model::Fault;

/// Why a verb did not do what it was told.
#[derive(Debug)]
pub enum Failure {
    /// It was right, but could not be done.
    Failed(String),
    /// The arguments or the configuration are wrong.
    Wrong(String),
    /// Standard output is closed: its reader needs no more.
    NobodyReads,
}

/// Writes a message to standard error, each line with the command's name: a configuration can
/// have many faults.
pub fn complain(message: &str) {
    for line in message.lines() {
        // There is no other place to say that standard error is closed.
        let _ = writeln!(io::stderr(), "lb-ctl: {line}");
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Wrong(error.to_string())
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Wrong(fault.to_string())
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// For standard output. Errors of other files say which file it was.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::Failed(format!("cannot write to standard output: {error}")),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let wrong = error
            .chain()
            .any(|cause| cause.is::<ConfigError>() || cause.is::<Fault>());
        let message = format!("{error:#}");
        if wrong {
            Self::Wrong(message)
        } else {
            Self::Failed(message)
        }
    }
}
