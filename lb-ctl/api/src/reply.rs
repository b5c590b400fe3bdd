//! What the daemon answers.

use lb_model::{
    ChangeError, Desired, Refusal, Timeouts,
    sync::{Role, Sync},
};
use serde::{Deserialize, Serialize};

use crate::listing::{Listing, Page, Stats};

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// What was done, or would be, as [`lb_model::difference`] says it. Lines that begin with `!`
    /// tell what keeps services from being served.
    Lines(Vec<String>),
    /// What became of changes.
    Changed {
        /// What was done, if that was to be told; and what keeps the services in question from
        /// being served, in lines that begin with `!`.
        lines: Vec<String>,
        /// The changes that were not made, in order. All others were.
        refused: Vec<Refused>,
    },
    /// What is desired.
    Desired(Box<Desired>),
    /// All that is counted.
    Stats(Stats),
    /// Services and servers with numbers.
    Listing(Listing),
    /// The timeouts.
    Timeouts(Timeouts),
    /// A part of the connection table.
    Connections(Page),
    /// What synchronises connections.
    SyncDaemons(Vec<(Role, Sync)>),
    /// It was not done.
    Error {
        /// Whose fault it is.
        kind: ErrorKind,
        /// What was tried, on what, why it failed, and what to do.
        message: String,
    },
}

/// A change that was not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its place in the request.
    pub place: usize,
    /// Why, in the kernel's words.
    pub refusal: Refusal,
    /// Whose fault it is.
    pub kind: ErrorKind,
    /// Why, in ours.
    pub message: String,
}

impl Refused {
    /// A change that the model does not take.
    #[must_use]
    pub fn of(place: usize, error: &ChangeError) -> Self {
        Self {
            place,
            refusal: error.refusal(),
            kind: if error.is_wrong() {
                ErrorKind::BadRequest
            } else {
                ErrorKind::Failed
            },
            message: error.to_string(),
        }
    }
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request was right, but could not be carried out.
    Failed,
    /// The request was wrong: it would be wrong at any time.
    BadRequest,
    /// There is no service of the name or identity that the request gives.
    NoService,
}

impl Reply {
    /// It could not be done.
    #[must_use]
    pub fn failed(message: impl ToString) -> Self {
        Self::Error {
            kind: ErrorKind::Failed,
            message: message.to_string(),
        }
    }

    /// It should not have been asked.
    #[must_use]
    pub fn bad_request(message: impl ToString) -> Self {
        Self::Error {
            kind: ErrorKind::BadRequest,
            message: message.to_string(),
        }
    }
}
