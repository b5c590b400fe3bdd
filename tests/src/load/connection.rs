//! A TCP connection of the load.

use std::{pin::pin, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use lb_lab::{content, wait::PATIENCE};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};

use super::{losses, tally::Tally, volume::SENTENCE};

/// A connection that gets no answer gives its turn to others after this time.
const TURN: Duration = Duration::from_millis(100);

pub struct Connection {
    tally: Arc<Tally>,
    stream: TcpStream,
    server: String,
    /// The offset in [`content`] of the next byte that it sends.
    position: u64,
    lost: i64,
    /// If set, limits how many connections send at the same time.
    turns: Option<Arc<Semaphore>>,
}

impl Connection {
    /// Opens it and reads the server's name.
    pub async fn open(tally: &Arc<Tally>, number: u64) -> Result<Self> {
        let connect = timeout(PATIENCE, TcpStream::connect(tally.target().tcp));
        let stream = connect.await.context("connect: no answer")?;
        let stream = stream.context("connect")?;
        tally.opened();
        let mut connection = Self {
            tally: Arc::clone(tally),
            stream,
            server: String::new(),
            // Every connection sends another part of the content, so that a byte of another
            // connection is noticed.
            position: number << 32,
            lost: 0,
            turns: None,
        };
        connection.stream.set_nodelay(true)?;
        let greeting = timeout(PATIENCE, connection.greeting()).await;
        connection.server = greeting.context("no greeting")?.context("greeting")?;
        // SYNs may have been late: see `no_handshake_was_lost`.
        connection.lost = losses::lost_by(&connection.stream)?;
        Ok(connection)
    }

    /// The server's name.
    pub fn server(&self) -> &str {
        &self.server
    }

    async fn greeting(&mut self) -> Result<String> {
        let mut name = Vec::new();
        loop {
            match self.stream.read_u8().await? {
                b'\n' => return Ok(String::from_utf8(name)?),
                byte => name.push(byte),
            }
        }
    }

    /// From now on, waits for its turn before it sends.
    pub fn speak_in_turns(&mut self, turns: &Arc<Semaphore>) {
        self.turns = Some(Arc::clone(turns));
    }

    /// Sends this many bytes, and receives and checks their echo.
    pub async fn exchange(&mut self, length: usize) -> Result<()> {
        let Some(turns) = self.turns.clone() else {
            return self.exchange_now(length).await;
        };
        let turn = turns.acquire_many((length / SENTENCE) as u32).await?;
        let mut exchange = pin!(self.exchange_now(length));
        match timeout(TURN, &mut exchange).await {
            Ok(exchanged) => exchanged,
            Err(_) => {
                drop(turn);
                exchange.await
            }
        }
    }

    async fn exchange_now(&mut self, length: usize) -> Result<()> {
        let sent = content::bytes(self.position, length);
        let mut received = vec![0; length];
        let (mut from, mut to) = self.stream.split();
        let both = async {
            tokio::try_join!(async { to.write_all(&sent).await.context("send") }, async {
                from.read_exact(&mut received).await.context("receive")
            },)
        };
        let exchanged = timeout(PATIENCE, both).await;
        let at = || format!("on {} after {} bytes", self.server, self.position as u32);
        exchanged
            .with_context(|| format!("{}: it stalls", at()))?
            .with_context(at)?;
        ensure!(received == sent, "{}: other bytes came back", at());
        self.position += length as u64;
        self.tally.exchanged(length);
        self.count_losses()
    }

    /// Closes it, and waits until the server has closed it, too.
    pub async fn close(mut self) -> Result<()> {
        let mut rest = Vec::new();
        let end = async {
            self.stream.shutdown().await.context("close")?;
            self.stream.read_to_end(&mut rest).await.context("close")
        };
        let ended = timeout(PATIENCE, end).await;
        let at = || format!("on {} after {} bytes", self.server, self.position as u32);
        ended
            .with_context(|| format!("{}: no answer to its end", at()))?
            .with_context(at)?;
        ensure!(rest.is_empty(), "{}: {} bytes too many", at(), rest.len());
        self.count_losses()
    }

    fn count_losses(&mut self) -> Result<()> {
        let lost = losses::lost_by(&self.stream)?;
        self.tally.lose(&self.server, lost - self.lost);
        self.lost = lost;
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tally.closed();
    }
}
