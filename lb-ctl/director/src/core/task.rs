//! A request that changes what is desired, while it waits to be done or is being done.

use std::net::IpAddr;

use lb_model::{Change, Desired, merge::Written};

use super::{
    addresses,
    adopted::Adopted,
    changes::Changes,
    event::{Ask, By, Token, What},
    scope::{Part, Scope},
};

/// A request that changes what is desired.
#[derive(Debug)]
pub struct Task {
    /// Where the reply goes.
    pub token: Token,
    /// Who asks.
    pub by: By,
    /// What it may touch.
    pub scope: Scope,
    /// Addresses of which something has to be known first.
    pub addresses: Vec<IpAddr>,
    /// What is to be done.
    pub todo: Todo,
}

/// What is to be done.
#[derive(Debug)]
pub enum Todo {
    /// These changes.
    Changes(Changes),
    /// What a file says.
    File {
        /// What it says.
        written: Written,
        /// Its name.
        name: String,
        /// In which way.
        way: Way,
    },
    /// Only to note what the daemon's own file says now.
    Saved(Written),
}

/// How a file is applied.
#[derive(Debug)]
pub enum Way {
    /// All that it says.
    Apply {
        /// True for the daemon's own file.
        own: bool,
    },
    /// What it says otherwise than when it was read last.
    Again,
    /// The same, and all that is desired is put into the packet path.
    Start(Adopted),
}

impl Task {
    /// What a request asks for, given what is desired now.
    #[must_use]
    pub fn of(ask: Ask, desired: &Desired) -> Self {
        let (scope, addresses, todo) = match ask.what {
            What::Change { changes, tell } => {
                let brings = changes.iter().flat_map(Change::brings).collect();
                let scope = Scope::of(&changes, desired);
                (scope, brings, Todo::Changes(Changes::new(changes, tell)))
            }
            What::Apply {
                written, name, own, ..
            } => of_file(written, name, Way::Apply { own }),
            What::Again { written, name } => of_file(written, name, Way::Again),
            What::Saved(written) => (Scope::part(Part::File), Vec::new(), Todo::Saved(written)),
        };
        Self {
            token: ask.token,
            by: ask.by,
            scope,
            addresses,
            todo,
        }
    }

    /// What a daemon takes over when it starts.
    #[must_use]
    pub fn adopted(&self) -> Option<&Adopted> {
        match &self.todo {
            Todo::File {
                way: Way::Start(adopted),
                ..
            } => Some(adopted),
            _ => None,
        }
    }
}

fn of_file(written: Written, name: String, way: Way) -> (Scope, Vec<IpAddr>, Todo) {
    let addresses = addresses::written(&written);
    (Scope::All, addresses, Todo::File { written, name, way })
}
