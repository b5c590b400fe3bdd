//! Follows the kernel's announcements.
//!
//! The netlink library's own connection cannot be used here, because of overruns. When the
//! kernel has dropped messages, those still queued must be thrown away *before* everything is
//! asked for again. Otherwise an old message would overwrite a newer answer.

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

use crate::{
    events::{self, Event},
    kernel::Kernel,
    shared::Shared,
};

const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Nexthop,
    MulticastGroup::Neigh,
];

/// The kernel's buffer for announcements that were not read yet, in bytes: about five thousand
/// messages. An overrun is harmless: everything is asked for again.
const QUEUE: usize = 4 << 20;

/// The kernel puts at most 32 KiB into one datagram.
const DATAGRAM: usize = 64 << 10;

/// Pause before the next attempt when the kernel did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// The socket that receives announcements.
pub(crate) struct Listener {
    socket: TokioSocket,
    buffer: Vec<u8>,
}

impl Listener {
    pub(crate) fn open() -> Result<Self> {
        let mut socket =
            TokioSocket::new(NETLINK_ROUTE).context("cannot open a netlink socket for routes")?;
        if let Err(error) = setsockopt(socket.socket_ref(), RcvBufForce, &QUEUE) {
            tracing::debug!("netlink: the receive buffer keeps its default size: {error}");
        }
        socket
            .socket_mut()
            .bind(&SocketAddr::new(0, 0))
            .context("cannot bind a netlink socket for routes")?;
        for group in GROUPS {
            let joined = socket.socket_ref().add_membership(group as u32);
            joined.with_context(|| {
                format!("cannot subscribe to the kernel's announcements ({group:?})")
            })?;
        }
        let buffer = Vec::with_capacity(DATAGRAM);
        Ok(Self { socket, buffer })
    }

    /// Keeps the tables equal to the kernel's. Never returns.
    pub(crate) async fn follow(mut self, kernel: Kernel, shared: Arc<Shared>) {
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

    /// Receives a datagram. An error means that announcements were lost.
    async fn hear(&mut self) -> io::Result<Vec<Event>> {
        self.buffer.clear();
        let sender = self.socket.recv_from(&mut self.buffer).await?;
        if sender.port_number() != 0 {
            return Ok(Vec::new()); // some process sent it, not the kernel
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
                Ok((interfaces, neighbours)) => {
                    shared.tables().replace(interfaces, neighbours);
                    return;
                }
                Err(error) => {
                    tracing::warn!("cannot follow changes of routes and neighbours: {error:#}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Throws away what is queued. After an overrun the kernel queues nothing until the queue is
    /// empty.
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
