//! Starting everything, and stopping it so that nothing received is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use keng_bus::Bus;
use keng_event::{Batch, Clock};
use keng_metrics::Registry;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::appender::Appender;
use crate::batcher::Batcher;
use crate::budget::{Budget, ratio};
use crate::listen::tcp::{FIRST_BYTE_TIMEOUT, StreamListener, Streams};
use crate::listen::udp::{Decoding, UdpListener};
use crate::listen::{AllowList, tls};
use crate::metrics::IngestMetrics;
use crate::source::Settings;
use crate::{Config, Error, Intake, Sources, SyslogConfig, Transport};

/// Turns a batch into what the bus carries; the caller picks the codec.
pub type Encode = Arc<dyn Fn(&Batch) -> Vec<keng_bus::Record> + Send + Sync>;

/// How often gauges are brought up to date: oftener than Prometheus asks.
const REFRESH: Duration = Duration::from_secs(2);

/// How often it is stored who was seen when: a crash forgets no more than this.
const STORE_EVERY: Duration = Duration::from_secs(30);

/// How long a full log is waited for when the node stops.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Where a listener came to listen, of use where the configuration says port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// `syslog_udp`, `syslog_tcp`, `syslog_tls` or `flow_udp`.
    pub input: &'static str,
    /// Address and port.
    pub address: SocketAddr,
}

/// Everything that receives, running.
#[derive(Debug)]
pub struct Ingest {
    /// Takes bodies that arrive over HTTP.
    pub intake: Intake,
    /// Tells who sends.
    pub sources: Sources,
    local_addresses: Vec<LocalAddress>,
    signals: Signals,
    /// Stops the threads, which the runtime would wait for, if this is dropped undrained.
    guard: DropGuard,
    threads: Vec<JoinHandle<()>>,
    tasks: TaskTracker,
    closer: JoinHandle<()>,
    appender: JoinHandle<()>,
}

/// What ends what, in the order in which they are given.
#[derive(Clone, Debug)]
struct Signals {
    /// Nothing more is received.
    stop: CancellationToken,
    /// Nothing more is put into batches.
    filled: CancellationToken,
    /// Nothing more is handed to the appender.
    closed: CancellationToken,
    /// A full log is no longer waited for.
    give_up: CancellationToken,
    /// The log failed for good.
    failed: CancellationToken,
}

/// What every listener is given.
struct Parts {
    batcher: Arc<Batcher>,
    datagrams: Arc<Budget>,
    streams: Arc<Semaphore>,
    streams_bytes: usize,
    unfinished: Arc<Budget>,
    signals: Signals,
}

/// Opens the listeners and starts receiving. Cancelling `stop` ends that; [`Ingest::drain`] then
/// waits until everything received is in the log.
///
/// # Errors
/// When a setting makes no sense, a socket cannot be opened or a certificate cannot be read;
/// nothing runs then.
pub async fn start(
    config: Config,
    bus: Arc<dyn Bus>,
    encode: Encode,
    clock: Arc<dyn Clock>,
    registry: &Registry,
    stop: CancellationToken,
) -> Result<Ingest, Error> {
    if let Some(error) = config.check().into_iter().next() {
        return Err(error);
    }
    let metrics = Arc::new(IngestMetrics::new(registry));
    let settings = Settings::new(&config)?;
    let file = config.sources_file.clone();
    let sources = Sources::new(settings, Arc::clone(&clock), Arc::clone(&metrics), file);
    let (closed, queue) = mpsc::unbounded_channel();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let batcher = Batcher::new(processors, closed, clock, Arc::clone(&metrics), sources.clone());
    let streams_bytes = config.buffer.to_usize().min(Semaphore::MAX_PERMITS);
    let token = CancellationToken::new;
    let signals = Signals {
        stop: stop.child_token(),
        filled: token(),
        closed: token(),
        give_up: token(),
        failed: token(),
    };
    let parts = Parts {
        batcher: Arc::new(batcher),
        datagrams: Arc::new(Budget::new(config.buffer.to_usize())),
        streams: Arc::new(Semaphore::new(streams_bytes)),
        streams_bytes,
        unfinished: Arc::new(Budget::new(config.buffer.to_usize())),
        signals: signals.clone(),
    };
    let opened = Opened::open(&config, &parts)?;
    let local_addresses = opened.local_addresses()?;
    let refused = Arc::new(AtomicUsize::new(0));
    let appender = Appender {
        bus,
        encode,
        datagrams: Arc::clone(&parts.datagrams),
        metrics,
        refused: Arc::clone(&refused),
        closed: signals.closed.clone(),
        failed: signals.failed.clone(),
        give_up: signals.give_up.clone(),
    };
    let tasks = TaskTracker::new();
    let threads = opened.run(&tasks, &signals.stop);
    let appender = tokio::spawn(async move { appender.run(queue).await });
    let (batcher, filled) = (Arc::clone(&parts.batcher), signals.filled.clone());
    let closer = tokio::spawn(async move { batcher.close_by_age(&filled).await });
    let intake = Intake::new(
        Arc::clone(&parts.batcher),
        Arc::clone(&parts.streams),
        refused,
        signals.stop.clone(),
        tasks.clone(),
        &config,
    );
    tasks.spawn(store_sources(sources.clone(), signals.stop.clone()));
    tasks.spawn(watch(parts, sources.clone()));
    let guard = signals.stop.clone().drop_guard();
    Ok(Ingest {
        intake,
        sources,
        local_addresses,
        signals,
        guard,
        threads,
        tasks,
        closer,
        appender,
    })
}

impl Ingest {
    /// Where the listeners came to listen, in the order of the configuration.
    #[must_use]
    pub fn local_addresses(&self) -> &[LocalAddress] {
        &self.local_addresses
    }

    /// Resolves when the log refused events for good, and nothing more is received.
    pub async fn failed(&self) {
        self.signals.failed.cancelled().await;
    }

    /// Stops receiving and waits until everything received is in the log. A log that is full is
    /// waited for some seconds; what it does not take then is counted as dropped.
    pub async fn drain(self) {
        let Self { sources, signals, guard, threads, tasks, closer, appender, .. } = self;
        let Signals { filled, closed, give_up, .. } = signals;
        drop(guard);
        tasks.close();
        let mut work = std::pin::pin!(async move {
            for thread in threads {
                ended("a listener", thread.await);
            }
            tasks.wait().await;
            filled.cancel();
            ended("closing batches", closer.await);
            closed.cancel();
            ended("appending", appender.await);
        });
        if tokio::time::timeout(DRAIN_MAX, &mut work).await.is_err() {
            tracing::warn!("the log is still full: what it has not taken is given up");
            give_up.cancel();
            work.await;
        }
        save(sources).await;
    }
}

fn ended(what: &str, result: Result<(), tokio::task::JoinError>) {
    if let Err(error) = result {
        tracing::error!(%error, "{what} ended badly");
    }
}

/// Sockets that are bound and do not receive yet.
#[derive(Default)]
struct Opened {
    datagrams: Vec<UdpListener>,
    streams: Vec<StreamListener>,
}

impl Opened {
    fn open(config: &Config, parts: &Parts) -> Result<Self, Error> {
        let mut opened = Self::default();
        for syslog in &config.syslog {
            for transport in &syslog.transports {
                match transport {
                    Transport::Udp => opened.datagrams.push(parts.datagrams_of(syslog)?),
                    Transport::Tcp => opened.streams.push(parts.streams_of(syslog, None)?),
                    Transport::Tls => {
                        let acceptor = tls::acceptor(syslog)?;
                        opened.streams.push(parts.streams_of(syslog, Some(acceptor))?);
                    }
                }
            }
        }
        for flow in &config.flow {
            opened.datagrams.push(UdpListener::bind(
                flow.listen,
                flow.receive_buffer.to_usize(),
                AllowList::new(&flow.allow),
                Decoding::Flows(Box::default()),
                &parts.batcher,
                &parts.datagrams,
            )?);
        }
        Ok(opened)
    }

    fn local_addresses(&self) -> Result<Vec<LocalAddress>, Error> {
        let datagrams = self.datagrams.iter().map(UdpListener::local_address);
        datagrams.chain(self.streams.iter().map(StreamListener::local_address)).collect()
    }

    /// Datagrams on threads of their own, so that no task of the runtime can keep a socket's
    /// buffer from being emptied.
    fn run(self, tasks: &TaskTracker, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
        for listener in self.streams {
            let connections = tasks.clone();
            tasks.spawn(listener.run(connections));
        }
        let start = |listener: UdpListener| {
            let stop = stop.clone();
            tokio::task::spawn_blocking(move || listener.run(&stop))
        };
        self.datagrams.into_iter().map(start).collect()
    }
}

impl Parts {
    fn datagrams_of(&self, syslog: &SyslogConfig) -> Result<UdpListener, Error> {
        UdpListener::bind(
            syslog.listen,
            syslog.receive_buffer.to_usize(),
            AllowList::new(&syslog.allow),
            Decoding::Records(syslog.format),
            &self.batcher,
            &self.datagrams,
        )
    }

    fn streams_of(
        &self,
        syslog: &SyslogConfig,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Result<StreamListener, Error> {
        let streams = Streams {
            batcher: Arc::clone(&self.batcher),
            buffer: Arc::clone(&self.streams),
            buffer_bytes: self.streams_bytes,
            unfinished: Arc::clone(&self.unfinished),
            format: syslog.format,
            allow: AllowList::new(&syslog.allow),
            connections_max: syslog.connections_max,
            idle_timeout: syslog.idle_timeout.duration(),
            first_byte_timeout: FIRST_BYTE_TIMEOUT,
            tls,
            stop: self.signals.stop.clone(),
            give_up: self.signals.give_up.clone(),
        };
        StreamListener::bind(syslog.listen, streams)
    }
}

/// Stores who was seen when, again and again; the last time is when the node stops.
async fn store_sources(sources: Sources, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(STORE_EVERY) => save(sources.clone()).await,
            () = stop.cancelled() => return,
        }
    }
}

async fn save(sources: Sources) {
    match tokio::task::spawn_blocking(move || sources.save()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "storing who was seen failed; it is tried again"),
        Err(error) => tracing::error!(%error, "storing who was seen ended badly"),
    }
}

/// Keeps the gauges up to date, and stops receiving when the log has failed.
async fn watch(parts: Parts, sources: Sources) {
    let Parts { batcher, datagrams, streams, streams_bytes, signals, .. } = parts;
    loop {
        sources.refresh();
        let held = streams_bytes.saturating_sub(streams.available_permits());
        batcher.metrics.buffers_filled(datagrams.fill(), ratio(held, streams_bytes));
        tokio::select! {
            () = tokio::time::sleep(REFRESH) => {}
            () = signals.stop.cancelled() => return,
            () = signals.failed.cancelled() => signals.stop.cancel(),
        }
    }
}

#[cfg(test)]
mod tests;
