//! Sockets: accepting, TLS, bounds on connections, an orderly end. What is answered is
//! [`crate::routes`]'s.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::app::App;
use crate::limits::{
    CONNECTIONS_MAX, HEAD_BYTES_MAX, HEAD_READ_MAX, SHUTDOWN_MAX, TLS_HANDSHAKE_MAX,
};
use crate::peers::Peers;
use crate::stall::Stalling;
use crate::{Config, Error, State, routes, tls};

/// When the process has run out of files, accepting at full speed would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
}

/// A bound socket that answers nothing yet, so that whoever starts the node can print its address
/// and fail early.
pub struct Server {
    config: Config,
    state: State,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    address: SocketAddr,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Checks the configuration, reads the certificate and binds the socket.
    ///
    /// # Errors
    /// When the configuration makes no sense, a PEM file is unusable, or the address is taken.
    pub async fn bind(config: Config, state: State) -> Result<Self, Error> {
        config.check()?;
        let acceptor = match (&config.tls_certificate, &config.tls_key) {
            (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
            _ => None,
        };
        let failed = |source| Error::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { config, state, listener, acceptor, address })
    }

    /// Where it listens; tells the port when the configuration asked for any.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// What a browser is to be pointed at.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.acceptor.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Answers until `stop`, then lets open requests end within [`SHUTDOWN_MAX`].
    pub async fn run(self, stop: CancellationToken) {
        let app = App::new(self.state, &self.config, stop.clone());
        let metrics = app.metrics.clone();
        let peers = Peers::default();
        let router = routes::router(app);
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut open = JoinSet::new();
        loop {
            while open.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&self.listener, &slots) => accepted,
            };
            let (stream, address, slot) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = peers.admit(address.ip()) else {
                metrics.connections_per_address.inc();
                tracing::debug!(%address, "refused a connection: its address has too many");
                continue;
            };
            let (router, acceptor, stop) = (router.clone(), self.acceptor.clone(), stop.clone());
            let connections = metrics.connections.clone();
            open.spawn(async move {
                connections.inc();
                connection(stream, address, acceptor, router, stop).await;
                connections.dec();
                drop((slot, place));
            });
        }
        drop(self.listener);
        let drain = async { while open.join_next().await.is_some() {} };
        if timeout(SHUTDOWN_MAX, drain).await.is_err() {
            tracing::warn!("some requests did not end in time and were cut off");
        }
    }
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// Waits for a free slot first, so that what exceeds the bound waits in the kernel's queue.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> std::io::Result<Accepted> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, slot))
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
) {
    // Small answers are the rule; a failure to say so costs milliseconds and nothing else.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let stream = Stalling::new(stream);
    let Some(acceptor) = acceptor else {
        return speak(stream, Peer { address, tls: false }, router, stop).await;
    };
    match timeout(TLS_HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => speak(stream, Peer { address, tls: true }, router, stop).await,
        Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
    }
}

async fn speak<S>(stream: S, peer: Peer, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_READ_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(address = %peer.address, %error, "connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;
    use crate::limits::WRITE_STALL_MAX;

    #[tokio::test(start_paused = true)]
    async fn whoever_pipelines_and_never_reads_is_cut_off() {
        let (ours, mut theirs) = duplex(1024);
        let asking = tokio::spawn(async move {
            while theirs.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.is_ok() {}
        });
        let peer = Peer { address: SocketAddr::from(([192, 0, 2, 1], 9)), tls: false };
        let answering = speak(Stalling::new(ours), peer, Router::new(), CancellationToken::new());
        timeout(3 * WRITE_STALL_MAX, answering).await.unwrap();
        asking.await.unwrap();
    }
}
