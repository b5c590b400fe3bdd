//! The HTTP server of a real server: says who it is in every answer.

use std::{convert::Infallible, future, net::SocketAddr};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, DefaultBodyLimit, Path},
    http::{HeaderValue, header::SERVER},
    middleware::map_response,
    response::Response,
    routing::{get, post},
};
use lb_lab::content;
use tokio::net::TcpListener;

const CHUNK: usize = 64 << 10;

pub async fn serve(name: &str, listen: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("listen on {listen}"))?;
    let page = format!("{name}\n");
    let server = HeaderValue::from_str(name)?;
    let routes = Router::new()
        .route("/", get(async || page))
        .route("/client", get(client))
        .route("/bytes/{length}", get(bytes))
        .route("/echo", post(async |body: Bytes| body))
        .layer(DefaultBodyLimit::disable())
        .layer(map_response(move |mut response: Response| {
            response.headers_mut().insert(SERVER, server.clone());
            future::ready(response)
        }));
    crate::ready();
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, service).await?)
}

/// The client's address, as this server sees it.
async fn client(ConnectInfo(client): ConnectInfo<SocketAddr>) -> String {
    client.to_string()
}

/// So many bytes, the same on every server; made as the client takes them.
async fn bytes(Path(length): Path<u64>) -> Response {
    let chunks = (0..length).step_by(CHUNK).map(move |offset| {
        let rest = (length - offset).min(CHUNK as u64);
        Ok::<_, Infallible>(content::bytes(offset, rest as usize))
    });
    Response::new(Body::from_stream(futures_util::stream::iter(chunks)))
}
