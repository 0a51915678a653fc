//! HTTP for operators and scrapers, over TLS where that is asked for: a task for each connection, so
//! many at once, each held to its time.
//!
//! A peer that sends its request byte by byte, or reads the answer so, is given up; what it takes
//! meanwhile is one of a few places, and never one of the files that clients of AMQP need.

use crate::limits::{
    ACCEPT_ERROR_PAUSE, ADMIN_REQUEST_DURATION_MAX, HTTP_CONNECTION_DURATION_MAX,
    HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_DURATION_MAX, HTTP_OWING_CONNECTIONS_MAX,
    HTTP_OWING_CONNECTIONS_PER_ADDRESS_MAX, HTTP_OWING_GRACE, TLS_HANDSHAKE_DURATION_MAX,
};
use crate::net::places::{Place, PlaceLimits, Places};
use crate::net::proxy_protocol::read_client_address;
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
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

/// A listener for HTTP; with certificates for HTTPS alone.
#[derive(Debug)]
pub struct HttpListener {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    /// Whether clients come through a balancer that says whose connections they are.
    proxy_protocol: bool,
}

impl HttpListener {
    /// Listens, and says where.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn bind(
        address: SocketAddr,
        tls: Option<&TlsAcceptor>,
        proxy_protocol: bool,
    ) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((Self { listener, tls: tls.cloned(), proxy_protocol }, address))
    }

    /// As in a URL.
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// Serves until it is dropped, and its connections with it. Handlers find the peer's address in a
/// [`ConnectInfo`].
pub(crate) async fn serve_http(http: HttpListener, router: Router) {
    let places = Places::new(PlaceLimits {
        purpose: "HTTP",
        total_max: HTTP_OWING_CONNECTIONS_MAX,
        per_address_max: HTTP_OWING_CONNECTIONS_PER_ADDRESS_MAX,
        grace: HTTP_OWING_GRACE,
    });
    let mut connections = JoinSet::new();
    loop {
        // Who comes when all are busy with answers waits in the kernel.
        while connections.len() >= HTTP_CONNECTIONS_MAX {
            connections.join_next().await;
        }
        match http.listener.accept().await {
            Ok((stream, address)) => {
                let counted = (!http.proxy_protocol).then_some(address.ip());
                let place = Arc::new(places.enter(counted).await);
                let connection = HttpConnection {
                    address,
                    proxy_protocol: http.proxy_protocol,
                    tls: http.tls.clone(),
                    place: Arc::clone(&place),
                    router: router.clone(),
                };
                connections.spawn(async move {
                    tokio::select! {
                        () = connection.serve(stream) => {}
                        () = place.left() => {}
                    }
                });
                // Its request may be there already: then it owes none when the next one comes.
                yield_now().await;
            }
            Err(error) => {
                tracing::warn!("cannot accept an HTTP connection: {error}");
                sleep(ACCEPT_ERROR_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// A connection that was accepted.
struct HttpConnection {
    address: SocketAddr,
    proxy_protocol: bool,
    tls: Option<TlsAcceptor>,
    place: Arc<Place>,
    router: Router,
}

impl HttpConnection {
    async fn serve(mut self, mut stream: TcpStream) {
        if self.proxy_protocol {
            match read_client_address(&mut stream).await {
                Ok(client) => self.address = client.unwrap_or(self.address),
                Err(error) => {
                    tracing::warn!("HTTP connection from {} dropped: {error}", self.address);
                    return;
                }
            }
            self.place.set_address(self.address.ip());
        }
        let address = self.address;
        let Some(tls) = self.tls.take() else { return self.serve_requests(stream).await };
        let handshake = tokio_rustls::TlsAcceptor::from(tls.config()).accept(stream);
        match timeout(TLS_HANDSHAKE_DURATION_MAX, handshake).await {
            Ok(Ok(stream)) => self.serve_requests(stream).await,
            Ok(Err(error)) if is_departure(&error) => {
                tracing::debug!("{address} ended its TLS handshake for HTTP");
            }
            Ok(Err(error)) => {
                tracing::warn!("TLS handshake for HTTP with {address} failed: {error}");
            }
            Err(_) => tracing::warn!("TLS handshake for HTTP with {address} took too long"),
        }
    }

    async fn serve_requests(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Self { address, place, router, .. } = self;
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(address));
            place.settle();
            let (answer, place) = (router.call(request), Arc::clone(&place));
            async move {
                let answer = answer.await;
                // It may be slow to take it, too.
                place.owe(address.ip());
                answer
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // From the end of one answer to the end of the next head: an idle one ends with it, too.
            .header_read_timeout(HTTP_HEAD_DURATION_MAX)
            .max_buf_size(HTTP_HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        // That a peer was slow or left is its affair.
        if timeout(HTTP_CONNECTION_DURATION_MAX, connection.as_mut()).await.is_err() {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(ADMIN_REQUEST_DURATION_MAX, connection).await;
        }
    }
}

/// A port scan or a check whether somebody listens, mostly.
fn is_departure(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
}
