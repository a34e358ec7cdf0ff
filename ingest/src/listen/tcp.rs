//! Streams: one task a connection, read only as fast as the log takes.
//!
//! What was read waits for its share of the stream buffer before it is parsed, in line with all
//! other connections; until then the connection is not read again, and TCP slows its sender down.
//! Each turn is one read of bounded size, so that a fast sender cannot keep others from theirs.
//! A share is asked for at once, for all records that the turn can complete, and by connections
//! that hold none: whoever is first in line gets it as soon as the log moves.
//!
//! The beginning of a record whose rest has not come yet is booked apart ([`Share`]), in an
//! account for which nobody waits. A sender that has no room there keeps [`UNFINISHED_FREE_BYTES`]
//! for each connection; a longer record is cut where it is, tagged `truncated` and counted.
//!
//! Connections are shared out by the same rule as bytes ([`Budget`]): an address may have as many
//! as are still free, so that one that opens thousands leaves room for the others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use keng_event::limits;
use keng_metrics::Gauge;
use socket2::Type;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{AllowList, bind, certificate, local_address};
use crate::batcher::{Batcher, EVENT_OVERHEAD_BYTES};
use crate::budget::{Budget, Share};
use crate::frame::{Frame, Framer};
use crate::metrics::{Counts, Dropped, Input};
use crate::parse::{Format, Received, Sender};
use crate::source::SourceSettings;
use crate::{Error, LocalAddress};

/// Bytes of one turn.
const READ_BYTES: usize = 64 * 1024;

/// How much of an unfinished record each connection may keep unbooked: less than what it reads
/// into, and more than nearly all records have.
const UNFINISHED_FREE_BYTES: usize = 16 * 1024;

/// How long a connection may stay without a first byte once half of them are taken. Before that
/// it has the whole idle timeout: many senders connect when they start, and what they write into
/// a connection that was closed meanwhile is lost.
pub(crate) const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);

/// Which part of the connections must be taken for that.
const CROWDED: f64 = 0.5;

/// A handshake that takes longer is a sender that does not speak TLS, or an attack.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after the system refused to accept (mostly: too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener's connections share.
#[derive(Clone)]
pub(crate) struct Streams {
    pub(crate) batcher: Arc<Batcher>,
    /// Bytes that may wait for the log.
    pub(crate) buffer: Arc<Semaphore>,
    /// How many those are.
    pub(crate) buffer_bytes: usize,
    /// Bytes of records whose rest has not come yet.
    pub(crate) unfinished: Arc<Budget>,
    pub(crate) format: Format,
    pub(crate) allow: AllowList,
    pub(crate) connections_max: usize,
    pub(crate) idle_timeout: Duration,
    /// [`FIRST_BYTE_TIMEOUT`].
    pub(crate) first_byte_timeout: Duration,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Nothing more shall be read.
    pub(crate) stop: CancellationToken,
    /// What was read shall no longer wait.
    pub(crate) give_up: CancellationToken,
}

/// A bound socket.
pub(crate) struct StreamListener {
    listener: TcpListener,
    streams: Streams,
    input: Input,
}

impl StreamListener {
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) fn bind(address: SocketAddr, streams: Streams) -> Result<Self, Error> {
        let (what, input) = match streams.tls {
            Some(_) => ("syslog over tls", Input::SyslogTls),
            None => ("syslog over tcp", Input::SyslogTcp),
        };
        let socket = bind(what, address, Type::STREAM)?;
        let listener = TcpListener::from_std(socket.into()).map_err(|source| Error::Listen {
            what,
            address,
            source,
        })?;
        Ok(Self { listener, streams, input })
    }

    /// Where it listens.
    pub(crate) fn local_address(&self) -> Result<LocalAddress, Error> {
        local_address(self.input, self.listener.local_addr())
    }

    /// Accepts until told to stop; connections run on as tasks of `tasks`.
    pub(crate) async fn run(self, tasks: TaskTracker) {
        let Self { listener, streams, input } = self;
        let slots = Arc::new(Budget::new(streams.connections_max));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = streams.stop.cancelled() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            if !streams.allow.admits(peer.ip()) {
                streams.batcher.metrics.refused_connection(input, "not_allowed");
                continue;
            }
            let mut slot = Share::new(Arc::clone(&slots), peer.ip());
            if !slot.resize(1) {
                let reason = if slots.fill() < 1.0 { "too_many_of_sender" } else { "too_many" };
                streams.batcher.metrics.refused_connection(input, reason);
                continue;
            }
            tasks.spawn(connection(streams.clone(), input, stream, peer, slot));
        }
    }
}

/// Shows a connection in the gauge for as long as it lives.
struct Shown(Gauge);

impl Shown {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn connection(
    streams: Streams,
    input: Input,
    stream: TcpStream,
    peer: SocketAddr,
    slot: Share,
) {
    let shown = Shown::new(streams.batcher.metrics.connections(input));
    let sender = Sender {
        ip: Some(peer.ip()),
        port: Some(peer.port()),
        transport: input.transport(),
        tls_subject: None,
    };
    match streams.tls.clone() {
        None => Connection::new(streams, input, sender, slot).serve(stream).await,
        Some(acceptor) => {
            let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
            let stream = match handshake.await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::debug!(%error, %peer, "the TLS handshake failed");
                    streams.batcher.metrics.refused_connection(input, "handshake");
                    return;
                }
                Err(_) => {
                    streams.batcher.metrics.refused_connection(input, "handshake_timeout");
                    return;
                }
            };
            let certificates = stream.get_ref().1.peer_certificates();
            let subject = certificates.and_then(|chain| certificate::subject(chain.first()?));
            let sender = Sender { tls_subject: subject, ..sender };
            Connection::new(streams, input, sender, slot).serve(stream).await;
        }
    }
    drop(shown);
}

struct Connection {
    streams: Streams,
    input: Input,
    sender: Sender,
    settings: Arc<SourceSettings>,
    shard: usize,
    framer: Framer,
    unfinished: Share,
    /// This connection among all of the listener.
    slot: Share,
}

impl Connection {
    fn new(streams: Streams, input: Input, sender: Sender, slot: Share) -> Self {
        let settings = streams.batcher.sources.settings(sender.ip);
        let shard = streams.batcher.assign();
        let framer = Framer::new(limits::EVENT_BYTES_MAX);
        let ip = sender.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let unfinished = Share::new(Arc::clone(&streams.unfinished), ip);
        Self { streams, input, sender, settings, shard, framer, unfinished, slot }
    }

    /// Waits for the first bytes, or for the end of patience.
    async fn first_read(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        buffer: &mut [u8],
    ) -> Option<usize> {
        let mut left = self.streams.idle_timeout;
        loop {
            let patience = left.min(self.streams.first_byte_timeout);
            if let Ok(read) = tokio::time::timeout(patience, stream.read(buffer)).await {
                return read.ok();
            }
            left = left.saturating_sub(patience);
            if left.is_zero() {
                return None;
            }
            if self.slot.budget_fill() >= CROWDED {
                self.streams.batcher.metrics.refused_connection(self.input, "no_first_byte");
                return None;
            }
        }
    }

    async fn serve(mut self, mut stream: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; READ_BYTES];
        let mut first = true;
        loop {
            let read = async {
                if std::mem::take(&mut first) {
                    return self.first_read(&mut stream, &mut buffer).await;
                }
                let read = stream.read(&mut buffer);
                tokio::time::timeout(self.streams.idle_timeout, read).await.ok()?.ok()
            };
            let read = tokio::select! {
                biased;
                () = self.streams.stop.cancelled() => break,
                read = read => read,
            };
            let Some(count) = read else { break };
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            let mut rest = bytes;
            while !rest.is_empty() {
                let (turn, next) = rest.split_at(self.turn_bytes(rest));
                self.take(Some(turn)).await;
                rest = next;
            }
            // Another connection's turn.
            tokio::task::yield_now().await;
        }
        self.take(None).await;
    }

    /// What the records that `bytes` can complete are reckoned to take.
    fn cost(&self, bytes: &[u8]) -> usize {
        let records = self.framer.frames_max(bytes) * EVENT_OVERHEAD_BYTES;
        self.framer.unfinished() + bytes.len() + records
    }

    /// How many of `bytes` to take in one turn, so that it can ever get its share: all, unless
    /// the records are tiny and the buffer is small.
    fn turn_bytes(&self, bytes: &[u8]) -> usize {
        let mut turn = bytes;
        while turn.len() > 1 && self.cost(turn) > self.streams.buffer_bytes {
            turn = turn.get(..turn.len() / 2).unwrap_or_default();
        }
        turn.len()
    }

    /// The next bytes of the stream, or its end.
    async fn take(&mut self, bytes: Option<&[u8]>) {
        let cost = self.cost(bytes.unwrap_or_default()).min(self.streams.buffer_bytes);
        let permits = u32::try_from(cost).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.streams.buffer).acquire_many_owned(permits);
        let permit = tokio::select! {
            permit = room => permit.ok(),
            () = self.streams.give_up.cancelled() => None,
        };
        match permit {
            Some(permit) => self.parse(bytes, permit),
            None => self.drop_unread(bytes),
        }
    }

    /// Each record takes its part of `permit` into the batch; what is left of it is free again.
    fn parse(&mut self, bytes: Option<&[u8]>, permit: OwnedSemaphorePermit) {
        let Self { streams, framer, settings, sender, input, shard, unfinished, .. } = self;
        let Some(mut filling) = streams.batcher.fill(*shard, *input) else { return };
        filling.grant(permit);
        let at = streams.batcher.clock.now();
        let mut sink = |frame: Frame<'_>| {
            let (zone, format) = (&settings.zone, streams.format);
            filling
                .record(&Received { raw: frame.bytes, at, sender, zone, format }, frame.truncated);
        };
        match bytes {
            Some(bytes) => framer.feed(bytes, &mut sink),
            None => framer.finish(&mut sink),
        }
        if !unfinished.resize(framer.unfinished().saturating_sub(UNFINISHED_FREE_BYTES)) {
            framer.cut(&mut sink);
            unfinished.resize(0);
            streams.batcher.metrics.record_cut(*input);
        }
    }

    /// The node stops and the log is full: what was read is lost, and said to be.
    fn drop_unread(&mut self, bytes: Option<&[u8]>) {
        let (metrics, input) = (&self.streams.batcher.metrics, self.input);
        let mut sink = |frame: Frame<'_>| {
            let mut counts = Counts::default();
            counts.add(input, 1);
            metrics.received(input, 1, frame.bytes.len() as u64);
            metrics.dropped(counts, Dropped::Shutdown);
        };
        match bytes {
            Some(bytes) => self.framer.feed(bytes, &mut sink),
            None => self.framer.finish(&mut sink),
        }
    }
}

#[cfg(test)]
mod tests;
