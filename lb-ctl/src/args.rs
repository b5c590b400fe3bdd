//! The command line as typed.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    api::ConnectionFilter,
    connection::State,
    desired::{Method, Scheduler, ServiceId, ServiceRef},
    edit::{Edit, End, Endpoint, Rename},
    instance::Instance,
    rules::{self, Fault},
    spelling::{self, Named},
};

/// A layer-4 load balancer: Linux Virtual Server, rebuilt on XDP.
#[derive(Debug, Parser)]
#[command(name = "lb-ctl", version, max_term_width = 100)]
pub struct CommandLine {
    /// Which director, where several live on one machine
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "LB_INSTANCE",
        default_value = "default"
    )]
    pub instance: Instance,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Be the daemon, in the foreground
    Run(Run),
    /// Validate a configuration file; touches nothing
    Check(Check),
    /// Make the live state equal to a configuration file, and print what that took
    Apply(Apply),
    /// Write the live state as a configuration file
    Save(Save),
    /// Add, change, delete and list virtual services
    #[command(subcommand)]
    Service(ServiceVerb),
    /// Add, change, delete and drain real servers
    #[command(subcommand)]
    Server(ServerVerb),
    /// What passed for each service and server: connections, packets, bytes, rates
    Stats(Stats),
    /// The connection table
    Conns(Conns),
    /// Speak ipvsadm's language: every command and option of it may follow
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Ipvsadm {
        /// As ipvsadm takes them; see `lb-ctl ipvsadm -h`
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGS"
        )]
        arguments: Vec<OsString>,
    },
    /// Stop forwarding and remove what is pinned
    Detach,
}

/// `lb-ctl run`
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Attach to this interface too, besides those that the file names; may be repeated
    #[arg(long = "interface", value_name = "IF", value_parser = interface)]
    pub interfaces: Vec<String>,
    /// How the XDP program is attached
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub mode: Mode,
    /// What to log: a level (error, warn, info, debug, trace), or `part=level,...`
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    pub log: String,
}

/// How the XDP program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// By the driver where every interface can, else by the kernel
    Auto,
    /// By the driver
    Native,
    /// By the kernel, for drivers that cannot: slower
    Generic,
}

/// `lb-ctl check`
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration file; `-` is standard input
    pub file: PathBuf,
}

/// `lb-ctl apply`
#[derive(Debug, Args)]
pub struct Apply {
    /// The configuration file; `-` is standard input
    pub file: PathBuf,
    /// Only print what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// `lb-ctl save`
#[derive(Debug, Args)]
pub struct Save {
    /// Where to; `-` is standard output
    #[arg(default_value = "-")]
    pub file: PathBuf,
}

/// `lb-ctl service`
#[derive(Debug, Subcommand)]
pub enum ServiceVerb {
    /// Add a service
    Add {
        /// What it is: PROTOCOL/VIP:PORT, such as tcp/192.168.100.11:80
        #[arg(value_name = "SERVICE")]
        id: ServiceId,
        /// How it chooses a server: rr, wrr, lc, wlc
        #[arg(long, value_name = "NAME", default_value = "wlc", value_parser = named::<Scheduler>)]
        scheduler: Scheduler,
        /// The method of servers that are added without one: dr, nat, tun
        #[arg(long, value_name = "METHOD", default_value = "dr", value_parser = named::<Method>)]
        forward: Method,
        /// A name for it
        #[arg(long, value_parser = name)]
        name: Option<String>,
    },
    /// Change what is given of a service, and keep the rest
    Set {
        /// PROTOCOL/VIP:PORT, or its name
        service: ServiceRef,
        /// What to change.
        #[command(flatten)]
        changes: ServiceChanges,
    },
    /// Delete a service and its servers
    Del {
        /// PROTOCOL/VIP:PORT, or its name
        service: ServiceRef,
    },
    /// List all services and their servers
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// At least one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct ServiceChanges {
    /// How it chooses a server: rr, wrr, lc, wlc
    #[arg(long, value_name = "NAME", value_parser = named::<Scheduler>)]
    pub scheduler: Option<Scheduler>,
    /// The method of its servers that have the service's: dr, nat, tun
    #[arg(long, value_name = "METHOD", value_parser = named::<Method>)]
    pub forward: Option<Method>,
    /// A name for it; an empty one takes it away
    #[arg(long, value_parser = rename)]
    pub name: Option<Rename>,
}

/// `lb-ctl server`
#[derive(Debug, Subcommand)]
pub enum ServerVerb {
    /// Add a server to a service
    Add {
        /// Which server.
        #[command(flatten)]
        which: ServerArgs,
        /// Its share of new connections, 0 to 65535
        #[arg(long, default_value_t = rules::DEFAULT_WEIGHT, value_parser = weight)]
        weight: u32,
        /// How packets reach it: dr, nat, tun; the service's method unless given
        #[arg(long, value_name = "METHOD", value_parser = named::<Method>)]
        forward: Option<Method>,
    },
    /// Change what is given of a server, and keep the rest
    Set {
        /// Which server.
        #[command(flatten)]
        which: ServerArgs,
        /// What to change.
        #[command(flatten)]
        changes: ServerChanges,
    },
    /// Delete a server
    Del {
        /// Which server.
        #[command(flatten)]
        which: ServerArgs,
    },
    /// Give a server no new connections (weight 0); those that there are go on
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

/// At least one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct ServerChanges {
    /// Its share of new connections, 0 to 65535
    #[arg(long, value_parser = weight)]
    pub weight: Option<u32>,
    /// How packets reach it: dr, nat, tun
    #[arg(long, value_name = "METHOD", value_parser = named::<Method>)]
    pub forward: Option<Method>,
}

/// `lb-ctl stats`
#[derive(Debug, Args)]
pub struct Stats {
    /// Show rates, again and again, until interrupted
    #[arg(long)]
    pub watch: bool,
    /// With --watch: how often, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "1",
        requires = "watch",
        value_parser = interval
    )]
    pub interval: Duration,
    /// As JSON; with --watch, one line each time
    #[arg(long)]
    pub json: bool,
}

/// `lb-ctl conns`
#[derive(Debug, Args)]
pub struct Conns {
    /// Only those of this service: PROTOCOL/VIP:PORT, or its name
    #[arg(long)]
    pub service: Option<ServiceRef>,
    /// Only those of this client: IP or IP:PORT
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<Endpoint>,
    /// Only those that this server has: IP or IP:PORT
    #[arg(long, value_name = "SERVER")]
    pub server: Option<Endpoint>,
    /// Only those in this state, such as ESTABLISHED, SYN_RECV, FIN_WAIT, UDP
    #[arg(long, value_parser = state)]
    pub state: Option<State>,
    /// At most so many rows
    #[arg(long, value_name = "ROWS", default_value_t = 10_000)]
    pub limit: usize,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

impl Conns {
    /// What is asked for.
    #[must_use]
    pub fn filter(&self) -> ConnectionFilter {
        ConnectionFilter {
            service: self.service.clone(),
            client: self.client,
            server: self.server,
            state: self.state,
        }
    }
}

impl ServiceVerb {
    /// What is to be changed; nothing for a verb that only looks.
    #[must_use]
    pub fn edit(self) -> Option<Edit> {
        match self {
            Self::Add {
                id,
                scheduler,
                forward,
                name,
            } => Some(Edit::AddService {
                id,
                name,
                scheduler,
                forward,
            }),
            Self::Set { service, changes } => Some(Edit::SetService {
                service,
                name: changes.name.unwrap_or_default(),
                scheduler: changes.scheduler,
                forward: changes.forward,
            }),
            Self::Del { service } => Some(Edit::DeleteService { service }),
            Self::List { .. } => None,
        }
    }
}

impl ServerVerb {
    /// What is to be changed.
    #[must_use]
    pub fn edit(self) -> Edit {
        match self {
            Self::Add {
                which: ServerArgs { service, server },
                weight,
                forward,
            } => Edit::AddServer {
                service,
                server,
                weight,
                forward,
                end: End::Tail,
            },
            Self::Set {
                which: ServerArgs { service, server },
                changes,
            } => Edit::SetServer {
                service,
                server,
                weight: changes.weight,
                forward: changes.forward,
            },
            Self::Del {
                which: ServerArgs { service, server },
            } => Edit::DeleteServer { service, server },
            Self::Drain {
                which: ServerArgs { service, server },
            } => Edit::DrainServer { service, server },
        }
    }
}

fn named<T: Named>(word: &str) -> Result<T, Fault> {
    T::parse(word)
}

fn state(word: &str) -> Result<State, Fault> {
    State::parse(&word.to_ascii_uppercase())
}

fn interface(text: &str) -> Result<String, Fault> {
    rules::interface(text).map(|()| text.to_owned())
}

fn name(text: &str) -> Result<String, Fault> {
    rules::name(text).map(|()| text.to_owned())
}

fn rename(text: &str) -> Result<Rename, Fault> {
    if text.is_empty() {
        return Ok(Rename::Remove);
    }
    name(text).map(Rename::To)
}

fn weight(text: &str) -> Result<u32, Fault> {
    spelling::number(text, rules::WEIGHTS)
}

/// From a tenth of a second to a day.
fn interval(text: &str) -> Result<Duration, Fault> {
    text.parse()
        .ok()
        .filter(|seconds| (0.1..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| Fault::new("give seconds from 0.1 to 86400"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, error::ErrorKind};

    fn parse(line: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(line.split(' '))
    }

    fn edit(line: &str) -> Edit {
        match parse(line).unwrap().verb {
            Verb::Service(verb) => verb.edit().unwrap(),
            Verb::Server(verb) => verb.edit(),
            other => panic!("{other:?} edits nothing"),
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn verbs_become_edits() {
        let id = "tcp/192.168.1.1:80";
        assert_eq!(
            edit(&format!(
                "lb-ctl service add {id} --scheduler wrr --forward nat --name web"
            )),
            Edit::AddService {
                id: id.parse().unwrap(),
                name: Some("web".into()),
                scheduler: Scheduler::Wrr,
                forward: Method::Nat,
            }
        );
        assert_eq!(
            edit(&format!(
                "lb-ctl server add {id} 10.0.0.2:8080 --weight 2 --forward nat"
            )),
            Edit::AddServer {
                service: id.parse().unwrap(),
                server: "10.0.0.2:8080".parse().unwrap(),
                weight: 2,
                forward: Some(Method::Nat),
                end: End::Tail,
            }
        );
        assert_eq!(
            edit("lb-ctl server drain web 10.0.0.2"),
            Edit::DrainServer {
                service: "web".parse().unwrap(),
                server: "10.0.0.2".parse().unwrap(),
            }
        );
        assert_eq!(
            edit("lb-ctl service set web --name "),
            Edit::SetService {
                service: "web".parse().unwrap(),
                name: Rename::Remove,
                scheduler: None,
                forward: None,
            }
        );
    }

    #[test]
    fn the_instance_may_stand_anywhere() {
        for line in ["lb-ctl --instance a detach", "lb-ctl detach --instance a"] {
            assert_eq!(parse(line).unwrap().instance.as_str(), "a");
        }
        assert!(parse("lb-ctl --instance ../x detach").is_err());
    }

    #[test]
    fn the_daemon_takes_interfaces_and_a_mode() {
        let line = "lb-ctl run --config lb.yaml --interface eth0 --interface eth1 --mode generic";
        let Verb::Run(run) = parse(line).unwrap().verb else {
            panic!("not run");
        };
        assert_eq!(run.interfaces, ["eth0", "eth1"]);
        assert_eq!(run.mode, Mode::Generic);
        assert!(parse("lb-ctl run").is_err());
        assert!(parse("lb-ctl run --config lb.yaml --interface a/b").is_err());
    }

    #[test]
    fn wrong_values_are_refused_with_what_is_right() {
        for (line, expected) in [
            ("lb-ctl service add 192.168.1.1:80", "write tcp/IP:PORT"),
            (
                "lb-ctl service add tcp/192.168.1.1:80 --scheduler sed",
                "does not have yet",
            ),
            (
                "lb-ctl service add tcp/192.168.1.1:80 --scheduler wrrr",
                "did you mean `wrr`?",
            ),
            ("lb-ctl service add tcp/[::1]:80", "IPv6"),
            (
                "lb-ctl server add web 10.0.0.1 --weight 65536",
                "from 0 to 65535",
            ),
            (
                "lb-ctl server add web 10.0.0.1 --weight x",
                "from 0 to 65535",
            ),
            ("lb-ctl server set web 10.0.0.1", "required"),
            ("lb-ctl service set web", "required"),
            ("lb-ctl stats --interval 2", "--watch"),
            ("lb-ctl stats --watch --interval 0", "0.1 to 86400"),
            ("lb-ctl conns --state BUSY", "use ESTABLISHED"),
            ("lb-ctl conns --client nobody", "names are not looked up"),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn states_are_taken_in_either_case() {
        let Verb::Conns(conns) = parse("lb-ctl conns --state syn_recv").unwrap().verb else {
            panic!("not conns");
        };
        assert_eq!(conns.filter().state.map(Named::name), Some("SYN_RECV"));
    }

    #[test]
    fn what_does_not_exist_yet_is_not_listed() {
        let help = CommandLine::command().render_help().to_string();
        assert!(help.contains("detach") && !help.contains("doctor"));
        assert_eq!(
            parse("lb-ctl doctor").unwrap_err().kind(),
            ErrorKind::InvalidSubcommand
        );
    }
}
