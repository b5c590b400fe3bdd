//! The client: real sockets in its machine's namespace.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
    header::{HOST, SERVER},
};
use hyper_util::rt::TokioIo;
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket,
        sockopt::RcvBuf,
    },
};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

use crate::{
    content,
    namespace::Namespace,
    wait::{PATIENCE, wait_at_most, wait_until},
};

/// How long a connection may take to open. Long enough for three retransmitted SYNs, and short
/// enough to be tried again within [`PATIENCE`].
const CONNECT: Duration = Duration::from_secs(10);
/// Small, so that a server has to stop when a download is not read. But a frame takes three times
/// its length of it, and the kernel announces 64 KiB before it knows that. With less room it would
/// drop what it has announced, which the server sends again after pauses that double: a download
/// that was not read for six seconds would stand still for six more.
const RECEIVE_BUFFER: usize = 208 << 10;
/// After this long without an answer, a UDP client sends its question again.
const RESEND: Duration = Duration::from_millis(500);

/// A client of one service.
#[derive(Clone, Debug)]
pub struct Client {
    namespace: Arc<Namespace>,
    service: SocketAddr,
}

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The name of the server that answered.
    pub server: String,
    /// The whole body.
    pub body: Bytes,
}

/// An open HTTP connection.
#[derive(Debug)]
pub struct Connection {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
    service: SocketAddr,
    local: SocketAddr,
}

/// A download that continues only while its reader reads.
#[derive(Debug)]
pub struct Download {
    connection: Connection,
    response: Response<Incoming>,
    server: String,
    received: u64,
}

/// How many connections each server answered.
#[must_use]
pub fn tally(servers: &[String]) -> BTreeMap<&str, usize> {
    servers.iter().fold(BTreeMap::new(), |mut tally, server| {
        *tally.entry(server.as_str()).or_default() += 1;
        tally
    })
}

impl Client {
    /// A client of this service in this namespace.
    #[must_use]
    pub fn new(namespace: Arc<Namespace>, service: SocketAddr) -> Self {
        Self { namespace, service }
    }

    /// Opens an HTTP connection.
    pub fn connect(&self) -> Result<Connection> {
        self.connect_within(CONNECT)
    }

    /// As [`Client::connect`], but waits at most this long.
    pub fn connect_within(&self, patience: Duration) -> Result<Connection> {
        let (service, from) = (self.service, self.namespace.name());
        let stream = self
            .namespace
            .inside(|| Ok(TcpStream::connect_timeout(&service, patience)?))
            .with_context(|| format!("connect from {from} to {service}"))?;
        setsockopt(&stream, RcvBuf, &RECEIVE_BUFFER)?;
        Connection::over(stream)
    }

    /// Begins to open a connection, and does not wait for an answer. The socket has a peer's address
    /// as soon as the connection is open.
    pub fn begin_to_connect(&self) -> Result<TcpStream> {
        let (service, from) = (self.service, self.namespace.name());
        let (kind, flags) = (SockType::Stream, SockFlag::SOCK_NONBLOCK);
        let flags = flags | SockFlag::SOCK_CLOEXEC;
        let family = AddressFamily::Inet;
        let socket = self
            .namespace
            .inside(|| Ok(socket(family, kind, flags, None)?))?;
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(service)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket.into()),
            Err(error) => Err(error).with_context(|| format!("connect from {from} to {service}")),
        }
    }

    /// Opens a connection, asks for a page, and closes it.
    pub fn get(&self, path: &str) -> Result<Reply> {
        self.connect()?.get(path)
    }

    /// Opens this many connections one after the other, and returns the name of the server that
    /// answered each.
    pub fn servers(&self, connections: usize) -> Result<Vec<String>> {
        (0..connections)
            .map(|_| Ok(self.get("/")?.server))
            .collect()
    }

    /// Sends a datagram from a port (0: any) and returns the answer. Repeats the question if no
    /// answer comes.
    pub fn ask(&self, port: u16, question: &str) -> Result<String> {
        let (service, from) = (self.service, self.namespace.name());
        let bind = || Ok(UdpSocket::bind(("0.0.0.0", port))?);
        // A process that another thread is just starting may still hold a copy of the socket that
        // used this port before.
        let what = format!("UDP port {port} is free in {from}");
        let socket = wait_until(&what, || self.namespace.inside(bind))?;
        socket.set_read_timeout(Some(RESEND))?;
        // Because the socket is connected, it receives no answer from any other address.
        socket.connect(service)?;
        let what = format!("{service} answers {from} over UDP");
        let mut answer = [0; 2048];
        let length = wait_at_most(CONNECT, &what, || {
            socket.send(question.as_bytes())?;
            Ok(socket.recv(&mut answer)?)
        })?;
        let answer = answer.get(..length).unwrap_or_default();
        Ok(String::from_utf8_lossy(answer).into_owned())
    }
}

impl Connection {
    /// The client's own address and port.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Asks for a page.
    pub fn get(&mut self, path: &str) -> Result<Reply> {
        self.exchange(Method::GET, path, Bytes::new())
    }

    /// Sends a body to a page.
    pub fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Result<Reply> {
        self.exchange(Method::POST, path, body.into())
    }

    /// Asks for this many bytes, which the caller reads in parts.
    pub fn download(mut self, bytes: u64) -> Result<Download> {
        let path = format!("/bytes/{bytes}");
        let response = self.send(Method::GET, &path, Bytes::new())?;
        let server = server_of(&response);
        Ok(Download {
            connection: self,
            response,
            server,
            received: 0,
        })
    }

    fn over(stream: TcpStream) -> Result<Self> {
        let (service, local) = (stream.peer_addr()?, stream.local_addr()?);
        stream.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            anyhow::Ok(sender)
        })?;
        Ok(Self {
            runtime,
            sender,
            service,
            local,
        })
    }

    fn exchange(&mut self, method: Method, path: &str, body: Bytes) -> Result<Reply> {
        let response = self.send(method, path, body)?;
        let (status, server) = (response.status().as_u16(), server_of(&response));
        let body = response.into_body().collect();
        let body = self
            .runtime
            .block_on(async { timeout(PATIENCE, body).await });
        let body = body.with_context(|| format!("read {path} from {server}: it stalls"))?;
        let body = body.with_context(|| format!("read {path} from {server}"))?;
        Ok(Reply {
            status,
            server,
            body: body.to_bytes(),
        })
    }

    fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(HOST, self.service.ip().to_string())
            .body(Full::new(body))?;
        let what = format!("{method} http://{}{path} from {}", self.service, self.local);
        let response = self.sender.send_request(request);
        let response = self
            .runtime
            .block_on(async { timeout(PATIENCE, response).await });
        let response = response.with_context(|| format!("{what}: no answer"))?;
        response.context(what)
    }
}

impl Download {
    /// The name of the server that sends it.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Reads at least this many bytes more, or to the end, and checks that they are right. Returns
    /// how many were read since the beginning.
    pub fn read(&mut self, more: u64) -> Result<u64> {
        let goal = self.received.saturating_add(more);
        while self.received < goal {
            let Self {
                connection,
                response,
                server,
                received,
            } = self;
            let frame = response.body_mut().frame();
            let frame = connection
                .runtime
                .block_on(async { timeout(PATIENCE, frame).await });
            let what = || format!("download from {server}, {received} bytes so far");
            let Some(frame) = frame.with_context(|| format!("{}: it stalls", what()))? else {
                break;
            };
            let data = frame.with_context(what)?.into_data().unwrap_or_default();
            let intact = data == content::bytes(*received, data.len());
            ensure!(intact, "{}: what came next is not what was sent", what());
            *received += data.len() as u64;
        }
        Ok(self.received)
    }

    /// Reads to the end.
    pub fn finish(mut self) -> Result<u64> {
        self.read(u64::MAX)
    }
}

fn server_of(response: &Response<Incoming>) -> String {
    let server = response.headers().get(SERVER);
    let server = server.and_then(|name| name.to_str().ok());
    server.unwrap_or_default().to_owned()
}
