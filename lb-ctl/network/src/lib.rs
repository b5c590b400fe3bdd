//! How an IPv4 address is reached at layer 2, according to the kernel's routes and neighbours.
//!
//! The kernel's answers are cached (`tables`) until the kernel announces a change (`listener`).
//! So it costs little to ask again for every address after a change. Everything belongs to the
//! network namespace of the thread that called [`Routing::open`].

mod addresses;
mod changed;
mod changes;
mod events;
mod interfaces;
mod kernel;
mod listener;
mod neighbours;
pub mod netfilter;
pub mod offload;
mod reach;
mod routes;
mod shared;
mod tables;

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout_at},
};

pub use self::{
    addresses::Address,
    changed::Changed,
    changes::Changes,
    interfaces::Interface,
    reach::{Hop, Reach},
};
use self::{
    kernel::Kernel,
    listener::Listener,
    neighbours::{NextHop, Standing},
    shared::Shared,
    tables::Step,
};

/// Answers how addresses are reached, as long as it is not dropped.
#[derive(Debug)]
pub struct Routing {
    kernel: Kernel,
    /// A second socket: a question about an interface does not wait behind thousands about
    /// addresses.
    for_interfaces: Kernel,
    shared: Arc<Shared>,
    follower: JoinHandle<()>,
}

impl Routing {
    /// Starts to follow the kernel, in tasks of the current tokio runtime.
    ///
    /// # Errors
    /// The kernel's netlink cannot be used.
    pub async fn open() -> Result<(Self, Changes)> {
        let kernel = Kernel::open()?;
        let for_interfaces = Kernel::open()?;
        // Listen first, then ask: a change in between is heard.
        let listener = Listener::open()?;
        let (interfaces, neighbours) = kernel.snapshot().await?;
        let shared = Arc::new(Shared::new(interfaces, neighbours));
        let follower = tokio::spawn(listener.follow(kernel.clone(), Arc::clone(&shared)));
        let changes = Changes::new(Arc::clone(&shared));
        let routing = Self {
            kernel,
            for_interfaces,
            shared,
            follower,
        };
        Ok((routing, changes))
    }

    /// How the address is reached, as far as the kernel knows. Sends no ARP request.
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
                Step::AskInterface(index) => {
                    let Some(interface) = self.kernel.interface(index).await? else {
                        return Ok(Reach::None(format!(
                            "the route to {address} leaves by interface {index}, which is gone"
                        )));
                    };
                    self.shared.tables().learn_interface(generation, interface);
                }
                Step::AskNeighbour(hop) => {
                    let neighbour = self.kernel.neighbour(hop).await?;
                    let mut tables = self.shared.tables();
                    tables.learn_neighbour(generation, hop, neighbour.unwrap_or_default());
                }
            }
        }
    }

    /// As [`Self::reach`], but if the kernel does not know the next hop's MAC address, sends ARP
    /// requests and waits for the answer, at most for `patience`.
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

    /// Makes the kernel check by ARP that the address's next hop still answers at the same MAC
    /// address. Meanwhile packets keep going there. [`Changes`] reports when it does not: within
    /// three seconds with the kernel's default settings. If it has moved to another MAC address,
    /// the next `refresh` finds it.
    ///
    /// The kernel does not check by itself: packets that the XDP program forwards do not count as
    /// use of a neighbour, so its entry becomes stale and is deleted after a minute.
    ///
    /// # Errors
    /// The kernel does not answer, or its neighbour table is full.
    pub async fn refresh(&self, address: Ipv4Addr) -> Result<()> {
        self.reach(address).await?;
        let hop = {
            let tables = self.shared.tables();
            match tables.watch(address) {
                // An entry that was set by hand needs no check: the kernel announces changes.
                Some((hop, _)) if !tables.is_fixed(hop) => hop,
                _ => return Ok(()),
            }
        };
        self.query(hop, Standing::Usable).await
    }

    /// The same as [`Self::refresh`] for a next hop, which may be one that is not known yet: then
    /// ARP requests are sent. Tells whether it [has answered](Self::has_answered) earlier ones.
    ///
    /// # Errors
    /// The kernel does not answer, or its neighbour table is full.
    pub async fn refresh_hop(&self, interface: u32, address: Ipv4Addr) -> Result<Option<bool>> {
        let answered = self.has_answered(interface, address).await?;
        let hop = NextHop { interface, address };
        self.query(hop, Standing::Usable).await?;
        Ok(answered)
    }

    /// True if the kernel knows a next hop's MAC address, false if it was asked for it in vain or
    /// has not answered yet; `None` if the kernel has no entry. Sends no ARP request.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn has_answered(&self, interface: u32, address: Ipv4Addr) -> Result<Option<bool>> {
        let hop = NextHop { interface, address };
        let neighbour = self.kernel.neighbour(hop).await?;
        Ok(neighbour.map(|neighbour| neighbour.mac().is_some()))
    }

    /// All Ethernet interfaces.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn interfaces(&self) -> Result<Vec<Interface>> {
        let mut interfaces = self.for_interfaces.interfaces().await?;
        interfaces.retain(|interface| interface.ethernet);
        Ok(interfaces)
    }

    /// All IPv4 addresses of this machine.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn addresses(&self) -> Result<Vec<Address>> {
        self.for_interfaces.addresses().await
    }

    /// The interface of that name, Ethernet or not.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn interface(&self, name: &str) -> Result<Option<Interface>> {
        let mut interfaces = self.for_interfaces.interfaces().await?.into_iter();
        Ok(interfaces.find(|interface| interface.name == name))
    }

    /// The index of the interface of that name.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn index(&self, name: &str) -> Result<Option<u32>> {
        Ok(self.interface(name).await?.map(|interface| interface.index))
    }

    /// Makes the kernel send ARP requests for a next hop that it does not know, or that has
    /// this standing.
    async fn query(&self, hop: NextHop, too: Standing) -> Result<()> {
        // The cache may be out of date, and the wrong request destroys a permanent entry: ask.
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
