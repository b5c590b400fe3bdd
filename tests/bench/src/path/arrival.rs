//! Checks that a packet arrived, and was rewritten as it should be.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result, ensure};
use lb_tests::packets::{ETHERNET, IPV4, Packet, VIP};

use super::lane::{Lane, SERVERS};

/// How a packet is changed on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// It does not pass the director.
    Nothing,
    /// Its MAC addresses are exchanged.
    Swap,
    /// It is forwarded to the next hop, as routers and DR do.
    Hop,
    /// It is forwarded, and its destination is a server now.
    ToServer,
    /// It is forwarded to the client, and its source is the VIP now.
    FromVip,
    /// It is within an outer packet to a server now.
    Tunnel,
}

impl Rewrite {
    /// Checks the beginning of an arrived frame against the sent one.
    pub fn check(self, lane: &Lane, sent: &Packet, arrived: &[u8]) -> Result<()> {
        let hop = |packet: Packet| packet.aged().hop(lane.server.director, lane.server.mac);
        let port = sent.destination().port();
        let expected = match self {
            Self::Nothing => vec![sent.clone()],
            Self::Swap => vec![sent.clone().hop(sent.to, sent.from)],
            Self::Hop => vec![hop(sent.clone())],
            Self::ToServer => SERVERS
                .map(|server| hop(sent.clone().sent_to(SocketAddrV4::new(server, port))))
                .into(),
            Self::FromVip => {
                let source = SocketAddrV4::new(VIP, sent.source().port());
                let back = sent.clone().aged().sent_from(source);
                vec![back.hop(lane.client.director, lane.client.mac)]
            }
            Self::Tunnel => return tunnelled(&hop(sent.clone()), arrived),
        };
        ensure!(
            expected.iter().any(|p| arrived.starts_with(&p.frame())),
            "{self:?}: {sent:?} was sent, and {arrived:02x?} arrived"
        );
        Ok(())
    }
}

/// A server's end of the tunnel has removed the outer header.
fn tunnelled(inner: &Packet, arrived: &[u8]) -> Result<()> {
    const IPIP: u8 = 4;
    let (ethernet, outer) = arrived.split_at(ETHERNET);
    let (outer, rest) = outer.split_at(IPV4);
    let (outer, _) = etherparse::Ipv4Header::from_slice(outer).context("the outer header")?;
    let to_server = SERVERS.contains(&Ipv4Addr::from(outer.destination));
    let unpacked = [ethernet, rest].concat();
    ensure!(
        to_server && outer.protocol.0 == IPIP && unpacked.starts_with(&inner.frame()),
        "in a tunnel, {inner:?} was to arrive, and {arrived:02x?} did"
    );
    Ok(())
}
