//! The UDP server of a real server.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::UdpSocket;

use crate::ready;

/// Answers `question` with `NAME: question`.
pub async fn serve(name: &str, listen: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind(listen)
        .await
        .with_context(|| format!("listen on {listen}"))?;
    ready::say();
    let mut buffer = vec![0; 1 << 16];
    loop {
        // The error may be an ICMP error about an earlier answer: continue.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let question = buffer.get(..length).unwrap_or_default();
        let mut answer = format!("{name}: ").into_bytes();
        answer.extend_from_slice(question);
        let _ = socket.send_to(&answer, client).await;
    }
}
