//! HTTP for operators and scrapers, over TLS where that is asked for: a task for each connection, so
//! many at once, each held to its time.
//!
//! A peer that sends its request octet by octet, or reads the answer so, is given up; what it takes
//! meanwhile is one of a few places, and never one of the files that clients of AMQP need.

use crate::limits::{
    ACCEPT_ERROR_PAUSE, ADMIN_REQUEST_DURATION_MAX, HTTP_CONNECTION_DURATION_MAX,
    HTTP_CONNECTIONS_MAX, HTTP_HEAD_DURATION_MAX, HTTP_HEAD_OCTETS_MAX, TLS_HANDSHAKE_DURATION_MAX,
};
use crate::tls::TlsAcceptor;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A listener for HTTP; with certificates for HTTPS alone.
#[derive(Debug)]
pub struct HttpListener {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl HttpListener {
    /// Listens, and says where.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn bind(
        address: SocketAddr,
        tls: Option<&TlsAcceptor>,
    ) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((Self { listener, tls: tls.cloned() }, address))
    }

    /// As in a URL.
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// Serves until it is dropped, and its connections with it. Handlers find the peer's address in a
/// [`ConnectInfo`].
pub(crate) async fn serve_http(HttpListener { listener, tls }: HttpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        // Who comes when all places are taken waits in the kernel.
        while connections.len() >= HTTP_CONNECTIONS_MAX {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, address)) => {
                connections.spawn(serve(stream, address, tls.clone(), router.clone()));
            }
            Err(error) => {
                tracing::warn!("cannot accept an HTTP connection: {error}");
                sleep(ACCEPT_ERROR_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, address: SocketAddr, tls: Option<TlsAcceptor>, router: Router) {
    let Some(tls) = tls else { return serve_requests(stream, address, router).await };
    let handshake = tokio_rustls::TlsAcceptor::from(tls.config()).accept(stream);
    match timeout(TLS_HANDSHAKE_DURATION_MAX, handshake).await {
        Ok(Ok(stream)) => serve_requests(stream, address, router).await,
        Ok(Err(error)) if is_departure(&error) => {
            tracing::debug!("{address} ended its TLS handshake for HTTP");
        }
        Ok(Err(error)) => tracing::warn!("TLS handshake for HTTP with {address} failed: {error}"),
        Err(_) => tracing::warn!("TLS handshake for HTTP with {address} took too long"),
    }
}

/// A port scan or a check whether somebody listens, mostly.
fn is_departure(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
}

async fn serve_requests(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    router: Router,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(address));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // From the end of one answer to the end of the next head: who is idle ends with it, too.
        .header_read_timeout(HTTP_HEAD_DURATION_MAX)
        .max_buf_size(HTTP_HEAD_OCTETS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // That a peer was slow or left is its affair.
    if timeout(HTTP_CONNECTION_DURATION_MAX, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(ADMIN_REQUEST_DURATION_MAX, connection).await;
    }
}
