//! The HTTP server of a real server: names itself in the header `server` of every response.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::{Context, Result};
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header::{HeaderValue, SERVER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use lb_lab::content;
use tokio::net::{TcpListener, TcpStream};

use crate::ready;

const CHUNK: usize = 64 << 10;

type Body = BoxBody<Bytes, Infallible>;

pub async fn serve(name: &str, listen: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("listen on {listen}"))?;
    let server = HeaderValue::from_str(name)?;
    ready::say();
    loop {
        let (stream, client) = listener.accept().await.context("accept a connection")?;
        let server = server.clone();
        tokio::spawn(async move {
            if let Err(error) = serve_connection(stream, client, &server).await {
                eprintln!("connection of {client}: {error:#}");
            }
        });
    }
}

async fn serve_connection(
    stream: TcpStream,
    client: SocketAddr,
    server: &HeaderValue,
) -> hyper::Result<()> {
    let service = service_fn(async |request| {
        let mut response = answer(request, client, server).await?;
        response.headers_mut().insert(SERVER, server.clone());
        Ok::<_, hyper::Error>(response)
    });
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(
    request: Request<Incoming>,
    client: SocketAddr,
    server: &HeaderValue,
) -> hyper::Result<Response<Body>> {
    let path = request.uri().path();
    let length = path.strip_prefix("/bytes/").map(str::parse);
    Ok(match (request.method(), path, length) {
        (&Method::GET, "/", _) => whole([server.as_bytes(), b"\n"].concat()),
        // The client's address, as this server sees it.
        (&Method::GET, "/client", _) => whole(client.to_string()),
        (&Method::GET, _, Some(Ok(length))) => Response::new(bytes(length)),
        (&Method::POST, "/echo", _) => whole(request.into_body().collect().await?.to_bytes()),
        _ => {
            let mut response = whole("no such page\n");
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}

fn whole(body: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(body.into()).boxed())
}

/// This many bytes, the same on every server. Each chunk is made when the client can receive it.
fn bytes(length: u64) -> Body {
    let chunks = (0..length).step_by(CHUNK).map(move |offset| {
        let rest = (length - offset).min(CHUNK as u64);
        let chunk = content::bytes(offset, rest as usize);
        Ok(Frame::data(chunk.into()))
    });
    StreamBody::new(stream::iter(chunks)).boxed()
}
