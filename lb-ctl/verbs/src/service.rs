//! `lb-ctl service`: live edits of virtual services, and their list.

use std::io::Write;

use clap::Subcommand;
use lb_api::{Instance, Numbers, Reply, Request};
use lb_model::{Change, ServiceId, ServiceOptions, ServiceRef};

use crate::{
    ask::{ask, change, out_of_place},
    failure::Failure,
    flags::{Changes, Given},
    text::{json, list, output::Output},
};

/// `lb-ctl service`
#[derive(Debug, Subcommand)]
pub enum ServiceVerb {
    /// Add a service
    #[command(after_help = "\
Examples:
  lb-ctl service add tcp/192.0.2.10:80 --scheduler wrr
  lb-ctl service add udp/192.0.2.10:53 --forward nat --name dns")]
    Add {
        /// What it is: PROTOCOL/VIP:PORT, such as tcp/192.168.100.11:80
        #[arg(value_name = "SERVICE")]
        id: ServiceId,
        /// Its options.
        #[command(flatten)]
        options: Given<ServiceOptions>,
    },
    /// Change some options of a service; all others stay
    #[command(after_help = "\
Examples:
  lb-ctl service set tcp/192.0.2.10:80 --scheduler wlc
  lb-ctl service set dns --description \"for the office\"")]
    Set {
        /// PROTOCOL/VIP:PORT, or its name
        service: ServiceRef,
        /// What to change.
        #[command(flatten)]
        changes: Changes<ServiceOptions>,
    },
    /// Delete a service and its servers
    #[command(after_help = "\
Examples:
  lb-ctl service del tcp/192.0.2.10:80
  lb-ctl service del dns")]
    Del {
        /// PROTOCOL/VIP:PORT, or its name
        service: ServiceRef,
    },
    /// List all services and their servers
    #[command(after_help = "\
Examples:
  lb-ctl service list
  lb-ctl service list --json")]
    List {
        /// As JSON, with every option
        #[arg(long)]
        json: bool,
    },
}

impl ServiceVerb {
    pub fn carry_out(
        self,
        instance: &Instance,
        output: &mut Output<impl Write>,
    ) -> Result<(), Failure> {
        match self.change() {
            Ok((verb, wanted)) => change(instance, verb, wanted, output),
            Err(json) => list(instance, json, output),
        }
    }

    /// The command as typed, and its change. `list` has none, but whether it is to be JSON.
    pub fn change(self) -> Result<(&'static str, Change), bool> {
        let (verb, change) = match self {
            Self::Add {
                id,
                options: Given(options),
            } => ("lb-ctl service add", Change::AddService { id, options }),
            Self::Set {
                service,
                changes: Changes { set, .. },
            } => ("lb-ctl service set", Change::SetService { service, set }),
            Self::Del { service } => ("lb-ctl service del", Change::DeleteService { service }),
            Self::List { json } => return Err(json),
        };
        Ok((verb, change))
    }
}

fn list(instance: &Instance, json: bool, output: &mut Output<impl Write>) -> Result<(), Failure> {
    let numbers = if json {
        Numbers::Total
    } else {
        Numbers::Connections
    };
    let request = Request::List {
        service: None,
        numbers,
    };
    let Reply::Listing(listing) = ask(instance, &request)? else {
        return Err(out_of_place());
    };
    if json {
        output.json(&json::services(&listing.services))?;
    } else {
        list::services(&listing.services, output.width, output)?;
    }
    Ok(())
}
