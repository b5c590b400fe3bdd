//! Asks the kernel, and makes it send ARP requests.

use std::{net::Ipv4Addr, pin::pin, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use futures_core::Stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use nix::errno::Errno;
use rtnetlink::{
    Error, Handle,
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    },
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
        route::{RouteAttribute, RouteMessage},
    },
};
use tokio::{sync::Mutex, time::timeout};

use crate::{
    addresses::Address,
    interfaces::Interface,
    neighbours::{Neighbour, NextHop},
    routes::Route,
};

/// The kernel answers at once. After this long, its answer is taken for lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// A netlink socket for questions. Announcements have another one: many of them would fill the
/// queue, and answers would be lost.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// One question at a time, so that answers never fill the socket's queue. The wait for the
    /// lock does not count towards [`PATIENCE`].
    handle: Arc<Mutex<Handle>>,
}

impl Kernel {
    pub(crate) fn open() -> Result<Self> {
        let (connection, handle, _) =
            rtnetlink::new_connection().context("cannot open a netlink socket for routes")?;
        // This task ends when the last handle is dropped.
        tokio::spawn(connection);
        let handle = Arc::new(Mutex::new(handle));
        Ok(Self { handle })
    }

    /// All interfaces, and all IPv4 neighbours.
    pub(crate) async fn snapshot(&self) -> Result<(Vec<Interface>, Vec<(NextHop, Neighbour)>)> {
        let interfaces = self.interfaces().await?;
        let handle = self.handle.lock().await;
        let request = handle.neighbours().get();
        let neighbours = request.set_address_family(AddressFamily::Inet).execute();
        let neighbours = collect(neighbours)
            .await
            .context("cannot list the neighbours (RTM_GETNEIGH)")?;
        let neighbours = neighbours.iter().filter_map(Neighbour::from_message);
        Ok((interfaces, neighbours.collect()))
    }

    /// All interfaces.
    pub(crate) async fn interfaces(&self) -> Result<Vec<Interface>> {
        let handle = self.handle.lock().await;
        let messages = collect(handle.link().get().execute())
            .await
            .context("cannot list the interfaces (RTM_GETLINK)")?;
        Ok(messages
            .iter()
            .filter_map(Interface::from_message)
            .collect())
    }

    /// All IPv4 addresses of this machine.
    pub(crate) async fn addresses(&self) -> Result<Vec<Address>> {
        let handle = self.handle.lock().await;
        let messages = collect(handle.address().get().execute())
            .await
            .context("cannot list the addresses (RTM_GETADDR)")?;
        Ok(messages.iter().filter_map(Address::from_message).collect())
    }

    /// The interface with this index.
    pub(crate) async fn interface(&self, index: u32) -> Result<Option<Interface>> {
        let handle = self.handle.lock().await;
        let answer = first(handle.link().get().match_index(index).execute()).await;
        match answer {
            Ok(message) => Ok(Interface::from_message(&message)),
            Err(error) if errno(&error) == Some(Errno::ENODEV) => Ok(None),
            Err(error) => {
                Err(error.context(format!("cannot look at interface {index} (RTM_GETLINK)")))
            }
        }
    }

    /// Where packets to this address go.
    pub(crate) async fn route(&self, address: Ipv4Addr) -> Result<Route> {
        let mut question = RouteMessage::default();
        question.header.address_family = AddressFamily::Inet;
        question.header.destination_prefix_length = 32;
        question
            .attributes
            .push(RouteAttribute::Destination(address.into()));
        let handle = self.handle.lock().await;
        let error = match first(handle.route().get(question).execute()).await {
            Ok(answer) => return Ok(Route::from_message(address, &answer)),
            Err(error) => error,
        };
        let none = errno(&error).and_then(|errno| Route::from_error(address, errno));
        none.ok_or_else(|| error.context(format!("cannot look up {address} (RTM_GETROUTE)")))
    }

    /// What the kernel knows of this neighbour. Needs Linux 5.0.
    pub(crate) async fn neighbour(&self, hop: NextHop) -> Result<Option<Neighbour>> {
        let question = RouteNetlinkMessage::GetNeighbour(message(hop));
        let answer = self.request(question, 0).await;
        match answer {
            Ok(Some(RouteNetlinkMessage::NewNeighbour(answer))) => {
                Ok(Neighbour::from_message(&answer).map(|(_, neighbour)| neighbour))
            }
            Ok(_) => bail!(
                "the kernel gave no answer about the neighbour {}",
                hop.address
            ),
            Err(error) if matches!(errno(&error), Some(Errno::ENOENT | Errno::ENODEV)) => Ok(None),
            Err(error) => Err(error.context(format!(
                "cannot look at the neighbour {} (RTM_GETNEIGH)",
                hop.address
            ))),
        }
    }

    /// Sends ARP requests for a neighbour that the kernel has no entry for.
    pub(crate) async fn ask_new(&self, hop: NextHop) -> Result<()> {
        // If somebody has made an entry meanwhile, leave it alone: see `ask_again`.
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.change(hop, NeighbourState::None, flags).await
    }

    /// Sends ARP requests for a neighbour that did not answer. Not for permanent entries: they
    /// would lose their MAC address (`__neigh_update` since Linux 5.16).
    pub(crate) async fn ask_again(&self, hop: NextHop) -> Result<()> {
        self.change(hop, NeighbourState::None, 0).await
    }

    /// Sends ARP requests to a neighbour at its last MAC address, which stays in use until the
    /// answer comes. Not for permanent entries: they would become ordinary ones.
    pub(crate) async fn probe(&self, hop: NextHop) -> Result<()> {
        self.change(hop, NeighbourState::Probe, 0).await
    }

    async fn change(&self, hop: NextHop, state: NeighbourState, flags: u16) -> Result<()> {
        let mut neighbour = message(hop);
        neighbour.header.state = state;
        if state == NeighbourState::None {
            neighbour.header.flags = NeighbourFlags::Use;
        }
        let request = RouteNetlinkMessage::NewNeighbour(neighbour);
        let Err(error) = self.request(request, NLM_F_ACK | flags).await else {
            return Ok(());
        };
        match errno(&error) {
            // The neighbour or its interface changed at this moment: an announcement follows.
            Some(
                Errno::EEXIST | Errno::ENOENT | Errno::EINVAL | Errno::ENODEV | Errno::ENETDOWN,
            ) => Ok(()),
            Some(Errno::ENOBUFS) => Err(anyhow!(
                "cannot ask for {} by ARP: the kernel's neighbour table is full; raise the \
                 sysctls net.ipv4.neigh.default.gc_thresh1, gc_thresh2 and gc_thresh3",
                hop.address
            )),
            _ => Err(error.context(format!(
                "cannot ask for {} by ARP (RTM_NEWNEIGH)",
                hop.address
            ))),
        }
    }

    async fn request(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Option<RouteNetlinkMessage>> {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        let mut handle = self.handle.lock().await;
        let mut answers = handle.request(message)?;
        let answer = timeout(PATIENCE, answers.next()).await;
        match answer.context("the kernel did not answer")? {
            // A bare acknowledgement.
            None => Ok(None),
            Some(message) => match message.payload {
                NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
                NetlinkPayload::Error(error) => Err(Error::NetlinkError(error).into()),
                other => bail!("the kernel's answer is not of the expected kind: {other:?}"),
            },
        }
    }
}

fn message(hop: NextHop) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = hop.interface;
    message
        .attributes
        .push(NeighbourAttribute::Destination(hop.address.into()));
    message
}

async fn first<T>(answers: impl Stream<Item = Result<T, Error>>) -> Result<T> {
    let mut answers = pin!(answers);
    let answer = timeout(PATIENCE, answers.try_next()).await;
    let answer = answer.context("the kernel did not answer")??;
    answer.context("the kernel answered nothing")
}

async fn collect<T>(answers: impl Stream<Item = Result<T, Error>>) -> Result<Vec<T>> {
    let answers = timeout(PATIENCE, answers.try_collect()).await;
    Ok(answers.context("the kernel did not answer")??)
}

fn errno(error: &anyhow::Error) -> Option<Errno> {
    match error.downcast_ref()? {
        Error::NetlinkError(message) => Some(Errno::from_raw(message.raw_code().abs())),
        _ => None,
    }
}
