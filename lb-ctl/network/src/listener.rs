//! Follows what the kernel announces.
//!
//! The socket is read here and not by the library's connection, because of what comes after
//! an overrun: what is still queued must be thrown away *before* the kernel is asked anew, or
//! older news would overwrite what it said.

use std::{
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use rtnetlink::{
    MulticastGroup,
    sys::{
        AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE,
    },
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Shared,
    events::{self, Event},
    kernel::Kernel,
};

const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Nexthop,
    MulticastGroup::Neigh,
];

/// Room for what the kernel announces while we do other things, in bytes of its memory: some
/// five thousand messages. More costs only asking for everything again.
const QUEUE: usize = 4 << 20;

/// More than the kernel puts into one datagram (32 KiB).
const DATAGRAM: usize = 64 << 10;

/// Between attempts, when the kernel does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// The socket that hears of changes.
pub(super) struct Listener {
    socket: TokioSocket,
    buffer: Vec<u8>,
}

impl Listener {
    pub(super) fn open() -> Result<Self> {
        let mut socket =
            TokioSocket::new(NETLINK_ROUTE).context("cannot open a netlink socket for routes")?;
        if let Err(error) = setsockopt(socket.socket_ref(), RcvBufForce, &QUEUE) {
            tracing::debug!("netlink: the queue keeps its default size: {error}");
        }
        socket
            .socket_mut()
            .bind(&SocketAddr::new(0, 0))
            .context("cannot bind a netlink socket for routes")?;
        for group in GROUPS {
            let joined = socket.socket_ref().add_membership(group as u32);
            joined.with_context(|| format!("cannot hear of changes of routes ({group:?})"))?;
        }
        let buffer = Vec::with_capacity(DATAGRAM);
        Ok(Self { socket, buffer })
    }

    /// Keeps the tables as the kernel has them, for ever.
    pub(super) async fn follow(mut self, kernel: Kernel, shared: Arc<Shared>) {
        loop {
            let settles_at = shared.tables().settles_at();
            tokio::select! {
                heard = self.hear() => match heard {
                    Ok(events) => {
                        let now = Instant::now();
                        let mut tables = shared.tables();
                        for event in events {
                            tables.apply(event, now);
                        }
                    }
                    Err(error) => {
                        tracing::debug!("netlink: looking at everything again: {error}");
                        self.resynchronise(&kernel, &shared).await;
                    }
                },
                () = async {
                    match settles_at {
                        Some(when) => sleep_until(when).await,
                        None => std::future::pending().await,
                    }
                } => shared.tables().settle(Instant::now()),
            }
            if shared.tables().is_changed() {
                shared.news.notify_one();
            }
        }
    }

    /// An error says that something was lost.
    async fn hear(&mut self) -> io::Result<Vec<Event>> {
        self.buffer.clear();
        let sender = self.socket.recv_from(&mut self.buffer).await?;
        if sender.port_number() != 0 {
            return Ok(Vec::new()); // not from the kernel
        }
        events::read(&self.buffer).map_err(|error| {
            tracing::warn!("netlink: {error}");
            io::Error::new(ErrorKind::InvalidData, error.to_string())
        })
    }

    async fn resynchronise(&mut self, kernel: &Kernel, shared: &Shared) {
        loop {
            self.discard();
            match kernel.snapshot().await {
                Ok((links, neighbours)) => {
                    shared.tables().replace(links, neighbours);
                    return;
                }
                Err(error) => {
                    tracing::warn!("cannot follow changes of routes and neighbours: {error:#}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Throws away what is queued. The kernel queues nothing more after an overrun until all
    /// is read.
    fn discard(&mut self) {
        loop {
            self.buffer.clear();
            let heard = self.socket.socket_ref().recv_from(&mut self.buffer, 0);
            match heard {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}
