//! Rules of netfilter: the kernel's own, as `nft list ruleset` shows them. They do not see packets
//! that an XDP program forwards.

use std::{fs, io};

use rtnetlink::{
    packet_core::{NetlinkBuffer, NlasIterator},
    sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER},
};

/// A chain of rules that received packets meet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chain {
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
}

// linux/netlink.h, linux/netfilter/nfnetlink.h and nf_tables.h.
const HEADER: usize = 16;
/// Bytes before an attribute's value.
const ATTRIBUTE: usize = 4;
const GET_CHAIN: u16 = 10 << 8 | 4;
const NEW_CHAIN: u16 = 10 << 8 | 3;
const REQUEST_DUMP: u16 = 0x301;
const DONE: u16 = 3;
const ERROR: u16 = 2;
const TABLE: u16 = 1;
const NAME: u16 = 3;
const HOOK: u16 = 4;
const POLICY: u16 = 5;
const USE: u16 = 6;
const HOOK_NUMBER: u16 = 1;
const FAMILIES: [u8; 3] = [1, 2, 5]; // inet, ip, netdev
const FORWARD: u32 = 2;
const POLICY_DROP: u32 = 0;

/// The chains that have rules, or drop by default, and that received IPv4 packets meet: at
/// ingress, prerouting, input and forward.
///
/// # Errors
/// The kernel does not tell.
pub fn chains() -> io::Result<Vec<Chain>> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = Vec::new();
    request.extend((HEADER as u32 + 4).to_ne_bytes());
    request.extend(GET_CHAIN.to_ne_bytes());
    request.extend(REQUEST_DUMP.to_ne_bytes());
    request.extend([0; 8]);
    // Any family, version 0.
    request.extend([0; 4]);
    socket.send(&request, 0)?;
    let mut chains = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while let Ok(message) = NetlinkBuffer::new_checked(rest) {
            match message.message_type() {
                DONE => {
                    chains.sort();
                    return Ok(chains);
                }
                // The kernel has no nf_tables, or is not asked by root.
                ERROR => return Err(io::Error::other("the kernel refuses to list chains")),
                NEW_CHAIN => chains.extend(chain(message.payload())),
                _ => {}
            }
            let length = (message.length() as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
        if datagram.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Tables of the older iptables that are loaded (`iptables-legacy`): the kernel does not tell
/// whether they have rules.
#[must_use]
pub fn old_tables() -> Vec<String> {
    // Empty, or not there, if nobody uses it.
    let names = fs::read_to_string("/proc/self/net/ip_tables_names").unwrap_or_default();
    names.split_whitespace().map(str::to_owned).collect()
}

fn chain(message: &[u8]) -> Option<Chain> {
    let (family, attributes) = (*message.first()?, message.get(4..)?);
    let hook = attribute(attributes, HOOK)?;
    let number = |value: &[u8]| Some(u32::from_be_bytes(value.try_into().ok()?));
    let hook = number(attribute(hook, HOOK_NUMBER)?)?;
    let rules = attribute(attributes, USE).and_then(number).unwrap_or(0);
    let policy = attribute(attributes, POLICY).and_then(number);
    let concerns =
        FAMILIES.contains(&family) && hook <= FORWARD && (rules > 0 || policy == Some(POLICY_DROP));
    concerns.then_some(())?;
    let text = |kind| {
        let bytes = attribute(attributes, kind)?;
        let text = bytes.split(|&byte| byte == 0).next()?;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    Some(Chain {
        table: text(TABLE)?,
        name: text(NAME)?,
    })
}

/// The value of an attribute of this kind.
fn attribute(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut found = NlasIterator::new(attributes).filter_map(Result::ok);
    let found = found.find(|attribute| attribute.kind() == wanted)?;
    let end = ATTRIBUTE + found.value_length();
    found.into_inner().get(ATTRIBUTE..end)
}
