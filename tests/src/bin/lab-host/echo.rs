//! The TCP echo of a real server.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use lb_lab::descriptors;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::ready;

/// Sends its name in a line, then everything that it receives, until the client closes its side.
pub async fn serve(name: &str, listen: SocketAddr) -> Result<()> {
    descriptors::allow_many()?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("listen on {listen}"))?;
    let greeting = format!("{name}\n");
    ready::say();
    loop {
        let (stream, client) = listener.accept().await.context("accept a connection")?;
        let greeting = greeting.clone();
        tokio::spawn(async move {
            if let Err(error) = echo(stream, greeting.as_bytes()).await {
                eprintln!("connection of {client}: {error:#}");
            }
        });
    }
}

async fn echo(mut stream: TcpStream, greeting: &[u8]) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(greeting).await.context("send the name")?;
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = stream.read(&mut buffer).await.context("receive")?;
        let received = buffer.get(..length).unwrap_or_default();
        if received.is_empty() {
            return stream.shutdown().await.context("end");
        }
        stream.write_all(received).await.context("send back")?;
    }
}
