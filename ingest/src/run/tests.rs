//! Real sockets on the loopback, a bus in memory.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use keng_bus::memory::MemoryBus;
use keng_bus::{Error as BusError, Topic};
use keng_event::SystemClock;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::parse::Sender;
use crate::{ContentEncoding, ContentKind, FlowConfig, Receipt, Refused, Submission};

/// Longer than anything here takes, so that a lost event fails the test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    ingest: Ingest,
    bus: Arc<dyn Bus>,
    registry: Registry,
}

fn memory() -> Arc<dyn Bus> {
    let now: keng_bus::Now = Arc::new(|| 0);
    Arc::new(MemoryBus::new(&keng_bus::memory::Config::default(), &now))
}

fn syslog(transports: &[Transport]) -> SyslogConfig {
    SyslogConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        transports: transports.to_vec(),
        ..SyslogConfig::default()
    }
}

fn config(transports: &[Transport]) -> Config {
    let flow = FlowConfig { listen: "127.0.0.1:0".parse().unwrap(), ..FlowConfig::default() };
    Config { syslog: vec![syslog(transports)], flow: vec![flow], ..Config::default() }
}

async fn node(config: Config, bus: Arc<dyn Bus>) -> Node {
    let registry = Registry::new();
    let clock = Arc::new(SystemClock::default());
    let encode: Encode = Arc::new(|batch: &Batch| {
        let count = u32::try_from(batch.len()).unwrap();
        vec![keng_bus::Record { key: Bytes::new(), value: batch.encode().into(), count }]
    });
    let stop = CancellationToken::new();
    let ingest = start(config, Arc::clone(&bus), encode, clock, &registry, stop).await.unwrap();
    Node { ingest, bus, registry }
}

impl Node {
    fn address(&self, input: &str) -> SocketAddr {
        let found = self.ingest.local_addresses().iter().find(|local| local.input == input);
        found.unwrap().address
    }

    async fn until(&self, events: u64) {
        let wait = async {
            while self.bus.bounds(Topic::Events).await.unwrap().iter().map(|b| b.end).sum::<u64>()
                < events
            {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the events did not arrive");
    }

    async fn batches(&self) -> Vec<Batch> {
        let mut batches = Vec::new();
        for bounds in self.bus.bounds(Topic::Events).await.unwrap() {
            let mut from = bounds.start.offset;
            loop {
                let partition = bounds.start.partition;
                let read = self.bus.read(Topic::Events, partition, from, 1 << 20).await.unwrap();
                let Some(last) = read.last() else { break };
                from = last.end().offset;
                batches.extend(read.iter().map(|record| Batch::decode(&record.value).unwrap()));
            }
        }
        batches
    }

    async fn texts(&self, field: &str) -> Vec<String> {
        let batches = self.batches().await;
        let events = batches.iter().flat_map(Batch::iter);
        events.map(|event| event.text(field).unwrap_or_default().to_owned()).collect()
    }

    async fn submit(&self, body: &str, key: Option<&str>) -> Result<Receipt, Refused> {
        let submission = Submission {
            body: Bytes::copy_from_slice(body.as_bytes()),
            content: ContentKind::Text,
            encoding: ContentEncoding::Identity,
            sender: Sender { transport: "http", ..Sender::default() },
            idempotency_key: key.map(str::to_owned),
        };
        self.ingest.intake.submit(submission).await
    }
}

/// The sum of a family's series whose labels hold `label`.
fn total(registry: &Registry, family: &str, label: &str) -> u64 {
    let text = registry.render();
    let lines = text.lines().filter(|line| {
        line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && line.contains(label)
    });
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn assert_conserved(registry: &Registry) {
    for input in ["syslog_udp", "syslog_tcp", "syslog_tls", "flow_udp", "http"] {
        let count = |family| total(registry, family, &format!("input=\"{input}\""));
        assert_eq!(
            count("keng_ingest_events_received_total"),
            count("keng_ingest_events_appended_total")
                + count("keng_ingest_events_dropped_total")
                + count("keng_ingest_events_in_flight"),
            "{input} keeps no account: {}",
            registry.render()
        );
    }
}

fn line(number: usize) -> String {
    format!("<38>Nov 22 10:00:00 web{} app: message {number}", number % 3)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_input_reaches_the_log_and_the_account_is_kept() {
    let node = node(config(&[Transport::Udp, Transport::Tcp]), memory()).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..50 {
        socket.send_to(line(number).as_bytes(), node.address("syslog_udp")).unwrap();
    }
    socket.send_to(b"no flow", node.address("flow_udp")).unwrap();
    let mut stream = TcpStream::connect(node.address("syslog_tcp")).unwrap();
    for number in 0..100 {
        let line = line(number);
        match number % 2 {
            0 => stream.write_all(format!("{} {line}", line.len()).as_bytes()).unwrap(),
            _ => stream.write_all(format!("{line}\n").as_bytes()).unwrap(),
        }
    }
    let receipt = node.submit("one\n\ntwo\nthree\n", None).await.unwrap();
    assert_eq!(receipt, Receipt { accepted: 3, duplicate: false, malformed: None });
    node.until(153).await;
    // The end of the stream is the end of its last record.
    stream.write_all(b"<38>Nov 22 10:00:00 web1 app: no line end").unwrap();
    drop(stream);
    node.until(154).await;

    let messages = node.texts("message").await;
    let from_tcp: Vec<_> = node
        .batches()
        .await
        .iter()
        .flat_map(Batch::iter)
        .filter(|event| event.text("keng.sender.transport") == Some("tcp"))
        .map(|event| event.text("message").unwrap().to_owned())
        .collect();
    let mut wanted: Vec<_> = (0..100).map(|number| format!("message {number}")).collect();
    wanted.push("no line end".to_owned());
    assert_eq!(from_tcp, wanted, "a connection's records stay in order");
    assert_eq!(messages.len(), 154);

    let (registry, sources) = (node.registry.clone(), node.ingest.sources.clone());
    node.ingest.drain().await;
    assert_conserved(&registry);
    assert_eq!(total(&registry, "keng_ingest_events_appended_total", ""), 154);
    assert_eq!(total(&registry, "keng_ingest_events_in_flight", ""), 0);
    assert_eq!(total(&registry, "keng_ingest_connections", ""), 0);
    let web1 = sources.list().into_iter().find(|source| source.host == "web1").unwrap();
    assert_eq!((web1.sender.as_str(), web1.events_total), ("127.0.0.1", 17 + 33 + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_holds_streams_back_and_loses_nothing() {
    let (full, refusals) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let script = (Arc::clone(&full), Arc::clone(&refusals));
    let refuse: keng_bus::faulty::BeforePublish = Arc::new(move |topic, _| {
        let full = script.0.load(Ordering::Relaxed);
        script.1.fetch_add(usize::from(full), Ordering::Relaxed);
        full.then_some(BusError::Full { topic, bytes: 1, bytes_max: 1 })
    });
    let bus: Arc<dyn Bus> = Arc::new(keng_bus::faulty::Faulty::new(memory(), refuse));
    let buffer = keng_event::ByteSize::mebibytes(2);
    let node = node(Config { buffer, ..config(&[Transport::Tcp]) }, bus).await;
    let address = node.address("syslog_tcp");
    let records = 20_000;
    // More than the buffer and the kernel hold: without anyone reading, the sender is stopped.
    let sender = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        for number in 0..records {
            let line = format!("{} {}\n", line(number), "x".repeat(1_000));
            stream.write_all(line.as_bytes()).unwrap();
        }
    });
    // More refusals than reads fit the buffer: some record was refused twice, so it is known.
    let refused = async {
        while refusals.load(Ordering::Relaxed) < 40 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    let busy = node.submit("x", None).await.unwrap_err();
    assert!(matches!(busy, Refused::Busy { .. }), "{busy}");
    assert!(!sender.is_finished(), "the sender is held back");
    let waiting = total(&node.registry, "keng_ingest_events_in_flight", "");
    assert!(waiting < 4_000, "{waiting} events wait in a buffer of 2 MiB");
    full.store(false, Ordering::Relaxed);
    node.until(records as u64).await;
    let mut numbers: Vec<_> = node.texts("message").await;
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), records, "each once");
    let registry = node.registry.clone();
    node.ingest.drain().await;
    assert_conserved(&registry);
    assert_eq!(total(&registry, "keng_ingest_events_dropped_total", ""), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_fails_for_good_stops_the_intake_and_counts_what_it_lost() {
    let refuse: keng_bus::faulty::BeforePublish = Arc::new(|_, _| Some(BusError::Closed));
    let bus: Arc<dyn Bus> = Arc::new(keng_bus::faulty::Faulty::new(memory(), refuse));
    let node = node(config(&[]), bus).await;
    assert_eq!(node.submit("a\nb", None).await, Err(Refused::Unavailable));
    tokio::time::timeout(PATIENCE, node.ingest.failed()).await.unwrap();
    let registry = node.registry.clone();
    node.ingest.drain().await;
    assert_conserved(&registry);
    assert_eq!(total(&registry, "keng_ingest_events_dropped_total", "reason=\"bus\""), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_appended_once_and_lies_in_its_batch() {
    let node = node(config(&[]), memory()).await;
    let first = node.submit("a\nb", Some("k1")).await.unwrap();
    assert_eq!(first, Receipt { accepted: 2, duplicate: false, malformed: None });
    let again = node.submit("a\nb", Some("k1")).await.unwrap();
    assert_eq!(again, Receipt { accepted: 0, duplicate: true, malformed: None });
    node.ingest.intake.remember("k2");
    assert!(node.submit("c", Some("k2")).await.unwrap().duplicate);
    assert_eq!(node.submit("a\nc", Some("k1")).await, Err(Refused::KeyReused));
    let batches = node.batches().await;
    let keys: Vec<_> = batches.iter().filter_map(Batch::idempotency_key).collect();
    assert_eq!(keys.len(), 1);
    // As after a restart: what the log holds is enough to tell the body from another.
    let other = super::tests::node(config(&[]), memory()).await;
    other.ingest.intake.remember(keys[0]);
    assert!(other.submit("a\nb", Some("k1")).await.unwrap().duplicate);
    assert_eq!(other.submit("a\nc", Some("k1")).await, Err(Refused::KeyReused));
    other.ingest.drain().await;
    node.ingest.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_leaves_connections_for_the_others() {
    let few = SyslogConfig { connections_max: 8, ..syslog(&[Transport::Tcp]) };
    let node = node(Config { syslog: vec![few], ..config(&[]) }, memory()).await;
    let address = node.address("syslog_tcp");
    let held: Vec<_> = (0..6).map(|_| TcpStream::connect(address).unwrap()).collect();
    let refused = || {
        let family = "keng_ingest_connections_refused_total";
        total(&node.registry, family, "too_many_of_sender")
    };
    let wait = async {
        while refused() < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("half of eight is four");
    let other = std::net::SocketAddr::from(([127, 0, 0, 2], 0));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(other).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"<38>from elsewhere\n").await.unwrap();
    node.until(1).await;
    assert_eq!(refused(), 2);
    drop(held);
    node.ingest.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_tells_who_sends_and_refuses_strangers() {
    let data =
        |name: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    let tls = SyslogConfig {
        tls_certificate: Some(data("server.pem")),
        tls_key: Some(data("server.key")),
        tls_client_authorities: Some(data("authority.pem")),
        ..syslog(&[Transport::Tls])
    };
    let node = node(Config { syslog: vec![tls], ..config(&[]) }, memory()).await;
    let address = node.address("syslog_tls");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(data("authority.pem")).unwrap()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let client = |with_certificate: bool| {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone());
        let client = if with_certificate {
            let chain = vec![CertificateDer::from_pem_file(data("client.pem")).unwrap()];
            let key = PrivateKeyDer::from_pem_file(data("client.key")).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        tokio_rustls::TlsConnector::from(Arc::new(client))
    };
    let connect = |with_certificate: bool| {
        let connector = client(with_certificate);
        async move {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            connector.connect("localhost".try_into().unwrap(), stream).await
        }
    };
    let mut stream = connect(true).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"11 <38>secret!\n").await.unwrap();
    tokio::io::AsyncWriteExt::flush(&mut stream).await.unwrap();
    node.until(1).await;
    assert_eq!(node.texts("keng.sender.tls_subject").await, ["CN=web1,O=Example\\, Ltd"]);
    // With TLS 1.3 a client learns only later that it was refused: the node's count decides.
    drop(connect(false).await);
    let refused = async {
        while total(&node.registry, "keng_ingest_connections_refused_total", "handshake") == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    node.ingest.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_connections_beyond_the_limit_are_refused_and_counted() {
    let closed = SyslogConfig {
        allow: vec!["192.0.2.0/24".parse().unwrap()],
        ..syslog(&[Transport::Udp, Transport::Tcp])
    };
    let crowded = SyslogConfig { connections_max: 0, ..syslog(&[Transport::Tcp]) };
    let node = node(Config { syslog: vec![closed, crowded], ..config(&[]) }, memory()).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"<38>x", node.address("syslog_udp")).unwrap();
    let tcp = node.ingest.local_addresses().iter().filter(|local| local.input == "syslog_tcp");
    for local in tcp {
        drop(TcpStream::connect(local.address).unwrap());
    }
    let count = |label: &str| total(&node.registry, "keng_ingest_connections_refused_total", label);
    let refused = async {
        while count("not_allowed") < 2 || count("too_many") < 1 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(total(&node.registry, "keng_ingest_events_received_total", ""), 0);
    node.ingest.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_closed_and_what_it_sent_is_kept() {
    let hasty = SyslogConfig {
        idle_timeout: keng_event::Span::from_millis(20),
        ..syslog(&[Transport::Tcp])
    };
    let node = node(Config { syslog: vec![hasty], ..config(&[]) }, memory()).await;
    let mut stream = TcpStream::connect(node.address("syslog_tcp")).unwrap();
    stream.write_all(b"90 <38>Nov 22 10:00:00 web1 app: the rest never comes").unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let end = tokio::task::spawn_blocking(move || stream.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(end, Ok(0)), "{end:?}");
    node.until(1).await;
    assert_eq!(node.texts("message").await, ["the rest never comes"]);
    assert_eq!(node.texts("tags").await, ["truncated"]);
    node.ingest.drain().await;
}

#[tokio::test]
async fn what_cannot_be_started_is_said_and_nothing_runs() {
    let refuse = |config: Config| async move {
        let encode: Encode = Arc::new(|_| Vec::new());
        let clock = Arc::new(SystemClock::default());
        let stop = CancellationToken::new();
        start(config, memory(), encode, clock, &Registry::new(), stop).await.unwrap_err()
    };
    let missing = SyslogConfig {
        tls_certificate: Some("no/such/file.pem".into()),
        tls_key: Some("no/such/file.key".into()),
        ..syslog(&[Transport::Tls])
    };
    let error = refuse(Config { syslog: vec![missing], ..config(&[]) }).await;
    assert!(error.to_string().starts_with("reading a certificate chain from no/such/file.pem: "));
    let error = refuse(Config { syslog: vec![syslog(&[Transport::Tls])], ..config(&[]) }).await;
    assert!(matches!(error, Error::Config { .. }), "{error}");
}
