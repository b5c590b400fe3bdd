//! `lb-ctl server`: live edits of real servers.

use std::io::Write;

use clap::{Args, Subcommand};
use lb_api::Instance;
use lb_model::{Change, End, Endpoint, Fault, Patch, ServerOptions, ServiceRef, rules};

use crate::{
    ask::change,
    failure::Failure,
    flags::{Changes, Given},
    text::output::Output,
};

/// `lb-ctl server`
#[derive(Debug, Subcommand)]
pub enum ServerVerb {
    /// Add a server to a service, after its other servers
    #[command(after_help = "\
Examples:
  lb-ctl server add tcp/192.0.2.10:80 192.0.2.23 --weight 3
  lb-ctl server add dns 10.0.0.5:5353 --forward nat")]
    Add {
        /// Which server.
        #[command(flatten)]
        which: ServerArgs,
        /// Its options.
        #[command(flatten)]
        options: Given<ServerOptions>,
    },
    /// Change some options of a server; all others stay
    #[command(after_help = "\
Examples:
  lb-ctl server set tcp/192.0.2.10:80 192.0.2.23 --weight 5")]
    Set {
        /// Which server.
        #[command(flatten)]
        which: ServerArgs,
        /// What to change.
        #[command(flatten)]
        changes: Changes<ServerOptions>,
    },
    /// Delete a server
    #[command(after_help = "\
Examples:
  lb-ctl server del tcp/192.0.2.10:80 192.0.2.23
  lb-ctl server del dns 10.0.0.5:5353")]
    Del {
        /// Which server.
        #[command(flatten)]
        which: ServerArgs,
    },
    /// Send no new connections to a server (weight 0); existing ones continue
    #[command(after_help = "\
Examples:
  lb-ctl server drain tcp/192.0.2.10:80 192.0.2.21
  lb-ctl conns --server 192.0.2.21                     who is still there
  lb-ctl server set tcp/192.0.2.10:80 192.0.2.21 --weight 1
                                                       takes it back")]
    Drain {
        /// Which server.
        #[command(flatten)]
        which: ServerArgs,
    },
}

/// A server of a service.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// PROTOCOL/VIP:PORT of the service, or its name
    pub service: ServiceRef,
    /// IP or IP:PORT of the server; without a port, it has the service's
    pub server: Endpoint,
}

impl ServerVerb {
    pub fn carry_out(
        self,
        instance: &Instance,
        output: &mut Output<impl Write>,
    ) -> Result<(), Failure> {
        let (verb, wanted) = self.change()?;
        let service = match &wanted {
            Change::AddServer { service, .. }
            | Change::SetServer { service, .. }
            | Change::DeleteServer { service, .. } => service.to_string(),
            _ => String::new(),
        };
        change(instance, verb, wanted, output).map_err(|failure| match failure {
            Failure::Failed(why) if service.parse::<Endpoint>().is_ok() => {
                Failure::Failed(format!(
                    "{why}\n`{service}` is an address: a service is written tcp/IP:PORT or \
                 udp/IP:PORT, and the server comes after it"
                ))
            }
            failure => failure,
        })
    }

    /// The command as typed, and its change.
    pub fn change(self) -> Result<(&'static str, Change), Fault> {
        Ok(match self {
            Self::Add {
                which: ServerArgs { service, server },
                options: Given(options),
            } => {
                rules::weight(options.weight)?;
                let change = Change::AddServer {
                    service,
                    server,
                    options,
                    end: End::Tail,
                };
                ("lb-ctl server add", change)
            }
            Self::Set {
                which,
                changes: Changes { set, .. },
            } => {
                let mut options = ServerOptions::default();
                set.put(&mut options)?;
                rules::weight(options.weight)?;
                ("lb-ctl server set", which.set(set))
            }
            Self::Del {
                which: ServerArgs { service, server },
            } => {
                let change = Change::DeleteServer { service, server };
                ("lb-ctl server del", change)
            }
            Self::Drain { which } => {
                let drained = ServerOptions {
                    weight: 0,
                    ..ServerOptions::default()
                };
                let set = Patch::of(&drained, &["weight"]);
                ("lb-ctl server drain", which.set(set))
            }
        })
    }
}

impl ServerArgs {
    fn set(self, set: Patch) -> Change {
        Change::SetServer {
            service: self.service,
            server: self.server,
            set,
        }
    }
}
