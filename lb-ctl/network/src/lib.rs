//! How an IPv4 address is reached at layer 2, as the kernel's routes and neighbours have it.
//!
//! What the kernel said is remembered (`tables`) and forgotten when the kernel announces a
//! change (`listener`), so asking again is cheap: after a change, ask for every address.
//! Everything belongs to the network namespace of the thread that called [`Routing::open`].

mod changes;
mod events;
mod kernel;
mod links;
mod listener;
mod neighbours;
mod reach;
mod routes;
mod tables;

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

pub use self::{
    changes::{Change, Changes},
    links::Port,
    reach::{Hop, Reach},
};
use self::{
    kernel::Kernel,
    listener::Listener,
    neighbours::{NextHop, Standing},
    tables::{Step, Tables},
};

/// Answers how addresses are reached, until it is dropped.
#[derive(Debug)]
pub struct Routing {
    kernel: Kernel,
    /// For questions about interfaces, which do not wait behind thousands about addresses.
    interfaces: Kernel,
    shared: Arc<Shared>,
    follower: JoinHandle<()>,
}

/// What [`Routing`], [`Changes`] and the task that follows the kernel have in common.
#[derive(Debug)]
struct Shared {
    tables: Mutex<Tables>,
    /// Something is there for [`Changes`].
    news: Notify,
}

impl Routing {
    /// Starts to follow the kernel, from tasks of the current tokio runtime.
    ///
    /// # Errors
    /// The kernel's netlink cannot be used.
    pub async fn open() -> Result<(Self, Changes)> {
        let kernel = Kernel::open()?;
        let interfaces = Kernel::open()?;
        // First listen, then look: what changes in between is heard.
        let listener = Listener::open()?;
        let (links, neighbours) = kernel.snapshot().await?;
        let shared = Arc::new(Shared {
            tables: Mutex::new(Tables::new(links, neighbours)),
            news: Notify::new(),
        });
        let follower = tokio::spawn(listener.follow(kernel.clone(), Arc::clone(&shared)));
        let changes = Changes::new(Arc::clone(&shared));
        let routing = Self {
            kernel,
            interfaces,
            shared,
            follower,
        };
        Ok((routing, changes))
    }

    /// How the address is reached, as far as is known: nobody is asked by ARP.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn reach(&self, address: Ipv4Addr) -> Result<Reach> {
        loop {
            let (step, generation) = self.shared.tables().look_up(address);
            match step {
                Step::Known(reach) => return Ok(reach),
                Step::AskRoute => {
                    let route = self.kernel.route(address).await?;
                    self.shared.tables().learn_route(generation, address, route);
                }
                Step::AskLink(index) => {
                    let Some(port) = self.kernel.link(index).await? else {
                        return Ok(Reach::None(format!(
                            "the route to {address} leaves by interface {index}, which is gone"
                        )));
                    };
                    self.shared.tables().learn_link(generation, port);
                }
                Step::AskNeighbour(hop) => {
                    let neighbour = self.kernel.neighbour(hop).await?;
                    let mut tables = self.shared.tables();
                    tables.learn_neighbour(generation, hop, neighbour.unwrap_or_default());
                }
            }
        }
    }

    /// As [`Self::reach`], but a next hop that is not known is asked for by ARP, and its
    /// answer awaited.
    ///
    /// # Errors
    /// The kernel does not answer, or its neighbour table is full.
    pub async fn resolve(&self, address: Ipv4Addr, patience: Duration) -> Result<Reach> {
        let deadline = Instant::now() + patience;
        loop {
            match self.reach(address).await? {
                Reach::Unresolved { .. } => {}
                reach => return Ok(reach),
            }
            let Some((hop, news)) = self.shared.tables().watch(address) else {
                continue;
            };
            let heard = news.notified();
            if !self.shared.tables().is_unresolved(hop) {
                continue;
            }
            self.query(hop, Standing::Unknown).await?;
            if timeout_at(deadline, heard).await.is_err() {
                return self.reach(address).await;
            }
        }
    }

    /// Has the kernel find out whether the address's next hop is still there, under the same
    /// MAC address. A live neighbour notices an ARP request and keeps getting its packets;
    /// what became of another is told through [`Changes`]: gone within three seconds with the
    /// kernel's default settings, and found again, if it has moved, by the next `refresh`.
    ///
    /// Nobody else does: packets that the XDP program forwards do not count as use of a
    /// neighbour, so the kernel would let the entry grow old, and delete it after a minute.
    ///
    /// # Errors
    /// The kernel does not answer, or its neighbour table is full.
    pub async fn refresh(&self, address: Ipv4Addr) -> Result<()> {
        self.reach(address).await?;
        let hop = {
            let tables = self.shared.tables();
            match tables.watch(address) {
                // What was set by hand stays, until its change is announced.
                Some((hop, _)) if !tables.is_fixed(hop) => hop,
                _ => return Ok(()),
            }
        };
        self.query(hop, Standing::Usable).await
    }

    /// All Ethernet interfaces.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn ports(&self) -> Result<Vec<Port>> {
        let mut ports = self.interfaces.links().await?;
        ports.retain(|port| port.ethernet);
        Ok(ports)
    }

    /// The interface of that name, Ethernet or not.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn port(&self, name: &str) -> Result<Option<Port>> {
        let ports = self.interfaces.links().await?;
        Ok(ports.into_iter().find(|port| port.name == name))
    }

    /// The index of the interface of that name.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn link_index(&self, name: &str) -> Result<Option<u32>> {
        Ok(self.port(name).await?.map(|port| port.interface))
    }

    /// Starts ARP for a next hop that is not known, or in this standing.
    async fn query(&self, hop: NextHop, too: Standing) -> Result<()> {
        // What we know may be out of date, and the wrong question ruins a permanent entry.
        let Some(neighbour) = self.kernel.neighbour(hop).await? else {
            return self.kernel.ask_new(hop).await;
        };
        match neighbour.standing() {
            Standing::Unknown => self.kernel.ask_again(hop).await,
            Standing::Usable if too == Standing::Usable => self.kernel.probe(hop).await,
            Standing::Usable | Standing::Asked | Standing::Fixed => Ok(()),
        }
    }
}

impl Drop for Routing {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Shared {
    /// Never held across an `await`.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
