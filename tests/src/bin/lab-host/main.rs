//! The program that the machines of a lab run: servers that send their name, and the end of an IPIP
//! tunnel for kernels without one. Writes `ready` when it serves.

mod decapsulate;
mod echo;
mod http;
mod ready;
mod udp;

use std::net::SocketAddr;

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
#[command(about, version)]
enum Role {
    /// Serve HTTP/1.1
    Http(Server),
    /// Answer datagrams with the server's name and what they said
    Udp(Server),
    /// Send the server's name in a line, then what the client sends
    Echo(Server),
    /// Take packets out of IPIP packets and receive them through a TUN device
    Decapsulate {
        /// The TUN device; made if need be
        #[arg(long)]
        tun: String,
    },
}

#[derive(clap::Args)]
struct Server {
    /// What the server calls itself
    #[arg(long)]
    name: String,
    /// Address and port
    #[arg(long)]
    listen: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Role::parse() {
        Role::Http(Server { name, listen }) => http::serve(&name, listen).await,
        Role::Udp(Server { name, listen }) => udp::serve(&name, listen).await,
        Role::Echo(Server { name, listen }) => echo::serve(&name, listen).await,
        Role::Decapsulate { tun } => decapsulate::run(&tun),
    }
}
