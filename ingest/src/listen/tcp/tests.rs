//! One connection over a pipe, into a log that takes nothing: the receiver of closed batches.

use keng_event::EventRef;
use keng_metrics::Registry;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::appender::{Closed, Held};
use crate::metrics::IngestMetrics;
use crate::source::{Settings, Sources};

const BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// Connections of the listener.
const SLOTS: usize = 24;

/// More turns of the scheduler than anything here needs: what has not happened by then waits.
const TURNS: usize = 20_000;

struct Log {
    streams: Streams,
    slots: Arc<Budget>,
    queue: mpsc::UnboundedReceiver<Closed>,
    waiting: Vec<Closed>,
    registry: Registry,
}

impl Log {
    fn new(unfinished: usize) -> Self {
        let registry = Registry::new();
        let metrics = Arc::new(IngestMetrics::new(&registry));
        let clock: Arc<dyn keng_event::Clock> = Arc::new(keng_event::SystemClock::default());
        let settings = Settings::new(&crate::Config::default()).unwrap();
        let sources = Sources::new(settings, Arc::clone(&clock), Arc::clone(&metrics), None);
        let (closed, queue) = mpsc::unbounded_channel();
        let streams = Streams {
            batcher: Arc::new(Batcher::new(1, closed, clock, metrics, sources)),
            buffer: Arc::new(Semaphore::new(BUFFER_BYTES)),
            buffer_bytes: BUFFER_BYTES,
            unfinished: Arc::new(Budget::new(unfinished)),
            format: Format::Syslog,
            allow: AllowList::new(&[]),
            connections_max: 1,
            idle_timeout: Duration::from_secs(3_600),
            first_byte_timeout: FIRST_BYTE_TIMEOUT,
            tls: None,
            stop: CancellationToken::new(),
            give_up: CancellationToken::new(),
        };
        let slots = Arc::new(Budget::new(SLOTS));
        Self { streams, slots, queue, waiting: Vec::new(), registry }
    }

    fn connect(&self, last: u8) -> (DuplexStream, JoinHandle<()>) {
        let ip = Some(IpAddr::from([192, 0, 2, last]));
        let sender = Sender { ip, transport: "tcp", ..Sender::default() };
        let mut slot = Share::new(Arc::clone(&self.slots), sender.ip.unwrap());
        assert!(slot.resize(1));
        let connection = Connection::new(self.streams.clone(), Input::SyslogTcp, sender, slot);
        let (client, server) = tokio::io::duplex(READ_BYTES);
        (client, tokio::spawn(connection.serve(server)))
    }

    /// Closes what is open, as its age would, and takes it as a full log does: what holds no
    /// event is done with at once, the rest waits.
    fn refuse(&mut self) {
        self.streams.batcher.close_all();
        while let Ok(closed) = self.queue.try_recv() {
            if !closed.batch.is_empty() {
                self.waiting.push(closed);
            }
        }
    }

    /// Takes what is closed as a log does that has room.
    fn accept(&mut self) {
        self.refuse();
        for closed in &mut self.waiting {
            closed.held = Held::default();
        }
    }

    fn events(&self) -> usize {
        self.waiting.iter().map(|closed| closed.batch.len()).sum()
    }

    fn truncated(&self) -> usize {
        let events = self.waiting.iter().flat_map(|closed| closed.batch.iter());
        let tag = Some("truncated");
        let tagged = |event: &EventRef<'_>| {
            event.fields().any(|(_, name, value)| name == "tags" && value.as_str() == tag)
        };
        events.filter(tagged).count()
    }
}

/// Whether the other side takes all of `bytes` without anything else happening.
async fn taken(stream: &mut DuplexStream, bytes: &[u8]) -> bool {
    let turns = async {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        written = stream.write_all(bytes) => written.is_ok(),
        () = turns => false,
    }
}

async fn settle() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn large_records_that_trickle_in_hold_room_until_the_log_takes_them() {
    let mut log = Log::new(BUFFER_BYTES);
    let (mut stream, task) = log.connect(1);
    let record = [b"<38>".to_vec(), vec![b'x'; 300 * 1024], b"\n".to_vec()].concat();
    let mut sent = 0;
    while sent < 20 && taken(&mut stream, &record).await {
        sent += 1;
        log.refuse();
    }
    assert!(sent < 10, "the sender was not held back after {sent} records");
    assert_eq!(log.events(), BUFFER_BYTES / record.len() - usize::from(sent < 6));
    assert!(log.streams.buffer.available_permits() < BUFFER_BYTES / 2);
    // Once the log moves, so does the sender; at the end nothing is held any more.
    log.waiting.clear();
    drop(stream);
    task.await.unwrap();
    log.refuse();
    log.waiting.clear();
    assert_eq!(log.streams.buffer.available_permits(), BUFFER_BYTES);
}

#[tokio::test]
async fn a_flood_of_tiny_records_is_bounded_by_number() {
    for flood in ["a\n", "4 <1>a"] {
        let mut log = Log::new(BUFFER_BYTES);
        let (mut stream, task) = log.connect(1);
        let bytes = flood.repeat(200_000);
        assert!(!taken(&mut stream, bytes.as_bytes()).await, "the sender was not held back");
        log.refuse();
        let events = log.events();
        assert!(events <= BUFFER_BYTES / EVENT_OVERHEAD_BYTES, "{events} of {flood:?} wait");
        assert!(events >= BUFFER_BYTES / EVENT_OVERHEAD_BYTES / 4, "{events} of {flood:?} wait");
        task.abort();
    }
}

#[tokio::test]
async fn unfinished_records_are_bounded_together_and_block_nobody() {
    let unfinished = 1024 * 1024;
    let mut log = Log::new(unfinished);
    let part = [b"<38>".to_vec(), vec![b'x'; 400 * 1024]].concat();
    let mut connections: Vec<_> = (1..=8).map(|last| log.connect(last)).collect();
    for (stream, _) in &mut connections {
        assert!(taken(stream, &part).await, "an unfinished record waits for nothing");
        settle().await;
        log.accept();
    }
    assert!(log.streams.unfinished.fill() <= 1.0);
    let cut = log.events();
    assert_eq!(cut, 7, "one of 400 KiB leaves no room for a second, where 1 MiB is to be shared");
    assert_eq!(log.truncated(), cut);
    let counted = format!("keng_ingest_records_cut_total{{input=\"syslog_tcp\"}} {cut}");
    let text = log.registry.render();
    assert!(text.contains(&counted), "{counted}\n{text}");
    // All end their record and send another: each of those is whole.
    log.waiting.clear();
    for (stream, _) in &mut connections {
        assert!(taken(stream, b"\n<38>next\n").await);
        settle().await;
        log.accept();
    }
    assert_eq!(log.events(), 8 + (8 - cut), "the rests of what was cut are no records");
    for (stream, task) in connections {
        drop(stream);
        task.await.unwrap();
    }
    assert!(log.streams.unfinished.fill() < f64::EPSILON, "everything was given back");
}

#[tokio::test]
async fn who_says_nothing_goes_once_connections_are_scarce() {
    let mut log = Log::new(BUFFER_BYTES);
    log.streams.first_byte_timeout = Duration::from_millis(1);
    let gone = |log: &Log| log.registry.render().contains("reason=\"no_first_byte\"");
    // While there is room it has the whole idle timeout.
    log.streams.idle_timeout = Duration::from_millis(20);
    let (_alone, task) = log.connect(1);
    task.await.unwrap();
    assert!(!gone(&log));
    log.streams.idle_timeout = Duration::from_secs(3_600);
    let (mut speaking, spoken) = log.connect(2);
    assert!(taken(&mut speaking, b"<38>one\n").await);
    settle().await;
    // The last of these find half of the places taken; as they go, the others may stay.
    let crowd: Vec<_> = (3..=17).map(|last| log.connect(last)).collect();
    for _ in 0..1_000 {
        if gone(&log) {
            break;
        }
        settle().await;
    }
    assert!(gone(&log));
    assert!(log.slots.fill() >= CROWDED / 2.0);
    assert!(!spoken.is_finished(), "whoever spoke once is not asked to hurry");
    drop(crowd);
}
