//! What a client asks.

use std::net::SocketAddr;

use lb_model::{Change, Endpoint, ServiceId, ServiceRef, State};
use serde::{Deserialize, Serialize};

use crate::listing::Connection;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Make what is live equal to a file, in all that the file says. The reply is a
    /// [`Reply::Lines`](crate::Reply::Lines).
    ///
    /// The text travels as written and is checked where it is used.
    Apply {
        /// What the file says.
        text: String,
        /// What to call it in messages: its path as given.
        name: String,
        /// Only tell what would be done.
        dry_run: bool,
    },
    /// What is desired: [`Reply::Desired`](crate::Reply::Desired).
    Show,
    /// What was desired a moment ago was written to a file:
    /// [`Reply::Done`](crate::Reply::Done). If that is the daemon's own file, the next start
    /// compares it with this.
    Saved {
        /// What the file says now.
        text: String,
    },
    /// Changes, each judged by itself in this order; those that are right reach the packet path
    /// all at once. The reply is a [`Reply::Changed`](crate::Reply::Changed).
    Change {
        /// The changes.
        changes: Vec<Change>,
        /// Whether the reply tells what was done, line by line.
        #[serde(default)]
        tell: bool,
        /// The command that asks, for the daemon's log.
        #[serde(default)]
        verb: String,
    },
    /// All that is counted: [`Reply::Stats`](crate::Reply::Stats).
    Stats,
    /// Services and servers with numbers: [`Reply::Listing`](crate::Reply::Listing), or an error
    /// of the kind [`NoService`](crate::ErrorKind::NoService).
    List {
        /// One service; all where none is given.
        service: Option<ServiceRef>,
        /// Which numbers.
        numbers: Numbers,
    },
    /// The timeouts: [`Reply::Timeouts`](crate::Reply::Timeouts).
    Timeouts,
    /// A part of the connection table: [`Reply::Connections`](crate::Reply::Connections).
    Connections {
        /// Which connections.
        #[serde(default)]
        filter: ConnectionFilter,
        /// Where the part begins: 0, or the `next` of the page before.
        #[serde(default)]
        from: u64,
        /// Show at most this many rows. The daemon may give fewer, and says where to go on. With 0,
        /// connections are counted only.
        limit: usize,
    },
    /// What synchronises connections: [`Reply::SyncDaemons`](crate::Reply::SyncDaemons).
    SyncDaemons,
    /// Stop forwarding, remove what is pinned, and end: [`Reply::Done`](crate::Reply::Done).
    Detach,
}

impl Request {
    /// True if it changes what packets find, which a client that has gone does not want any more.
    /// What it has [saved](Self::Saved) it has written already, whether it is there or not.
    #[must_use]
    pub fn changes_what_is_live(&self) -> bool {
        match self {
            Self::Apply { dry_run, .. } => !dry_run,
            Self::Change { .. } | Self::Detach => true,
            Self::Show
            | Self::Saved { .. }
            | Self::Stats
            | Self::List { .. }
            | Self::Timeouts
            | Self::Connections { .. }
            | Self::SyncDaemons => false,
        }
    }

    /// True if the answer's length depends on how much there is, not on what is asked.
    #[must_use]
    pub fn reads_all(&self) -> bool {
        match self {
            Self::Show | Self::Stats | Self::List { .. } | Self::Connections { .. } => true,
            Self::Apply { .. }
            | Self::Saved { .. }
            | Self::Change { .. }
            | Self::Timeouts
            | Self::SyncDaemons
            | Self::Detach => false,
        }
    }
}

/// Which numbers a listing has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbers {
    /// How many connections there are.
    Connections,
    /// What passed since the service or server was added, too.
    Total,
    /// What passed since the counters were last zeroed (`ipvsadm -Z`), too.
    SinceZero,
    /// What passes in a second, too.
    Rates,
}

/// Which connections; what is not given does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionFilter {
    /// Those of this service.
    pub service: Option<ServiceRef>,
    /// Those of this client, or of this port of it.
    pub client: Option<Endpoint>,
    /// Those that this server has, or this port of it.
    pub server: Option<Endpoint>,
    /// Those in this state.
    pub state: Option<State>,
}

impl ConnectionFilter {
    /// True for a connection that is asked for. `service` is what the filter's service is called
    /// by its identity, nothing if it asks for none.
    #[must_use]
    pub fn matches(&self, connection: &Connection, service: Option<ServiceId>) -> bool {
        let is = |wanted: Option<Endpoint>, seen: SocketAddr| {
            wanted.is_none_or(|wanted| {
                wanted.address == seen.ip() && wanted.port.is_none_or(|port| port == seen.port())
            })
        };
        let of = ServiceId::Address {
            protocol: connection.protocol,
            at: connection.service,
        };
        service.is_none_or(|service| service == of)
            && is(self.client, connection.client)
            && is(self.server, connection.server)
            && self.state.is_none_or(|state| state == connection.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_model::{Method, Protocol};

    fn connection() -> Connection {
        Connection {
            protocol: Protocol::Tcp,
            client: "172.16.10.22:40000".parse().unwrap(),
            service: "172.16.10.21:80".parse().unwrap(),
            server: "192.168.100.23:8080".parse().unwrap(),
            state: State::FinWait,
            expires: 119,
            method: Method::Nat,
        }
    }

    #[test]
    fn a_filter_takes_what_it_names() {
        let takes = |filter: ConnectionFilter| filter.matches(&connection(), None);
        let none = ConnectionFilter::default;
        let endpoint = |text: &str| Some(text.parse::<Endpoint>().unwrap());
        assert!(takes(none()));
        for (client, taken) in [
            ("172.16.10.22", true),
            ("172.16.10.22:40000", true),
            ("172.16.10.22:40001", false),
            ("172.16.10.23", false),
        ] {
            let client = endpoint(client);
            assert_eq!(takes(ConnectionFilter { client, ..none() }), taken);
        }
        let server = endpoint("192.168.100.23:80");
        assert!(!takes(ConnectionFilter { server, ..none() }));
        let state = Some(State::Established);
        assert!(!takes(ConnectionFilter { state, ..none() }));
        for (service, taken) in [
            ("tcp/172.16.10.21:80", true),
            ("udp/172.16.10.21:80", false),
        ] {
            let service = Some(service.parse().unwrap());
            assert_eq!(none().matches(&connection(), service), taken);
        }
    }

    #[test]
    fn rows_travel_as_flat_objects() {
        assert_eq!(
            serde_json::to_value(connection()).unwrap(),
            serde_json::json!({
                "protocol": "tcp",
                "client": "172.16.10.22:40000",
                "service": "172.16.10.21:80",
                "server": "192.168.100.23:8080",
                "state": "FIN_WAIT",
                "expires": 119,
                "forward": "nat",
            })
        );
    }
}
