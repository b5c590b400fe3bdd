//! A stream of datagrams, each of another client, and a record of which server got which.

use std::{
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use etherparse::PacketBuilder;
use lb_lab::{namespace::Namespace, wait::wait_until};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, setsockopt,
    socket, sockopt::RcvBufForce,
};

/// The pause between two datagrams. The kernel makes it a little longer.
const PACE: Duration = Duration::from_micros(100);
/// How often a receiver checks whether it must end.
const LOOK: Duration = Duration::from_millis(50);
/// The receive buffer of a receiver that may wait for a CPU.
const BUFFER: usize = 32 << 20;

/// A stream that runs until it is dropped.
pub struct Stream {
    sent: Arc<Mutex<Vec<Instant>>>,
    /// By server: the numbers of the datagrams that it received, in the order of arrival.
    received: Vec<Arc<Mutex<Vec<u32>>>>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Stream {
    /// Starts a stream from a client's machine to a UDP service. The servers hold the service's
    /// address.
    pub fn start(client: &Namespace, to: SocketAddrV4, servers: &[&Namespace]) -> Result<Self> {
        let mut stream = Self {
            sent: Arc::default(),
            received: Vec::new(),
            ended: Arc::default(),
            threads: Vec::new(),
        };
        for server in servers {
            let socket = server.inside(|| Ok(UdpSocket::bind(to)?));
            let socket = socket.with_context(|| format!("bind {to} in {}", server.name()))?;
            setsockopt(&socket, RcvBufForce, &BUFFER)?;
            socket.set_read_timeout(Some(LOOK))?;
            let (received, ended) = (Arc::default(), Arc::clone(&stream.ended));
            stream.received.push(Arc::clone(&received));
            let receive = move || receive(&socket, &received, &ended);
            stream.threads.push(thread::spawn(receive));
        }
        let out = client.inside(|| {
            let (kind, protocol) = (SockType::Raw, SockProtocol::Raw);
            let flags = SockFlag::SOCK_CLOEXEC;
            Ok(socket(AddressFamily::Inet, kind, flags, protocol)?)
        })?;
        let (sent, ended) = (Arc::clone(&stream.sent), Arc::clone(&stream.ended));
        let send = move || send(&out, to, &sent, &ended);
        stream.threads.push(thread::spawn(send));
        Ok(stream)
    }

    /// The number of datagrams sent so far.
    #[must_use]
    pub fn sent(&self) -> u32 {
        locked(&self.sent).len() as u32
    }

    /// The time at which a datagram was sent.
    pub fn sent_at(&self, number: u32) -> Result<Instant> {
        let sent = locked(&self.sent);
        let time = sent.get(number as usize);
        time.copied()
            .with_context(|| format!("datagram {number} was not sent"))
    }

    /// The numbers from `first` on that a server has received so far.
    #[must_use]
    pub fn received(&self, server: usize, first: u32) -> Vec<u32> {
        let received = self.received.get(server);
        let received = received.map(|numbers| locked(numbers));
        let received = received.iter().flat_map(|numbers| numbers.iter());
        received
            .copied()
            .filter(|&number| number >= first)
            .collect()
    }

    /// Waits until all datagrams sent by now, and a few more, have arrived or were overtaken by
    /// later ones.
    pub fn settle(&self) -> Result<()> {
        const MORE: u32 = 20;
        let goal = self.sent() + MORE;
        wait_until("datagrams arrive", || {
            let servers = 0..self.received.len();
            let latest = servers.filter_map(|server| self.received(server, goal).pop());
            latest
                .max()
                .context("none of the latest has arrived")
                .map(drop)
        })
    }

    /// Waits until every datagram from `first` up to now has arrived.
    pub fn lost_none_since(&self, first: u32) -> Result<()> {
        self.settle()?;
        let end = self.sent();
        wait_until("every datagram arrives", || {
            let servers = 0..self.received.len();
            let arrived: usize = servers
                .map(|server| {
                    let numbers = self.received(server, first);
                    numbers.iter().filter(|&&number| number < end).count()
                })
                .sum();
            let sent = (end - first) as usize;
            ensure!(arrived == sent, "{arrived} of {sent} datagrams arrived");
            Ok(())
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => eprintln!("a stream of datagrams broke off: {error:#}"),
                Err(_) => eprintln!("a thread of a stream of datagrams panicked"),
            }
        }
    }
}

fn send(
    out: &OwnedFd,
    to: SocketAddrV4,
    sent: &Mutex<Vec<Instant>>,
    ended: &AtomicBool,
) -> Result<()> {
    /// Flows that differ only in the port.
    const PORTS: u32 = 60_000;
    const FIRST_PORT: u32 = 1024;
    let first = Ipv4Addr::new(10, 0, 64, 1).to_bits();
    let target = SockaddrIn::from(to);
    let mut packet = Vec::new();
    let mut number: u32 = 0;
    while !ended.load(Relaxed) {
        let from = Ipv4Addr::from_bits(first + number / PORTS);
        let port = FIRST_PORT + number % PORTS;
        packet.clear();
        PacketBuilder::ipv4(from.octets(), to.ip().octets(), 64)
            .udp(port as u16, to.port())
            .write(&mut packet, &number.to_be_bytes())?;
        locked(sent).push(Instant::now());
        sendto(out.as_raw_fd(), &packet, &target, MsgFlags::empty())
            .with_context(|| format!("send to {to}"))?;
        number += 1;
        // The sender's pace, not a wait for a condition.
        thread::sleep(PACE);
    }
    Ok(())
}

fn receive(socket: &UdpSocket, received: &Mutex<Vec<u32>>, ended: &AtomicBool) -> Result<()> {
    let mut number = [0; 4];
    while !ended.load(Relaxed) {
        // A timeout.
        if let Ok(4) = socket.recv(&mut number) {
            locked(received).push(u32::from_be_bytes(number));
        }
    }
    Ok(())
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
