//! Events of a made-up estate.
//!
//! A SOC's mix (firewall 38 %, web 24 %, authentication 14 %, process creation 14 %, DNS 10 %)
//! with skewed hosts, users and addresses.

use std::time::Duration;

use keng_event::{Batch, BatchBuilder, EventId, Timestamp, field};

/// Events of a batch, as ingest closes them.
pub(crate) const BATCH: u64 = 256;

/// When the estate's events happen.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Of event number 0.
    pub(crate) start: Timestamp,
    /// Between one event and the next.
    pub(crate) gap: Duration,
}

impl Pace {
    pub(crate) fn time(self, number: u64) -> Timestamp {
        let nanos = self.gap.as_nanos().saturating_mul(number.into());
        self.start.plus(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// Marsaglia's xorshift64: the same events on every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    /// Small numbers far more often than large ones.
    fn skewed(&mut self, below: u64) -> u64 {
        let limit = self.next(below) + 1;
        let limit = self.next(limit) + 1;
        self.next(limit)
    }
}

/// Events `first..first + count`, some out of order.
pub(crate) fn batch(pace: Pace, first: u64, count: u64, random: &mut Random) -> Batch {
    let mut builder = BatchBuilder::new();
    for number in first..first + count {
        let late = if random.next(10) < 3 { random.next(400) } else { 0 };
        let time = pace.time(number).minus(Duration::from_millis(late)).max(pace.start);
        event(&mut builder, time, random);
    }
    builder.finish().with_origin(EventId { epoch: 1, partition: 0, offset: first })
}

fn event(builder: &mut BatchBuilder, time: Timestamp, random: &mut Random) {
    let (a, b) = (random.skewed(60_000), random.skewed(250));
    let source = format!("10.{}.{}.{}", a / 6_500, a / 250 % 26, a % 250);
    let destination = format!("203.0.113.{b}");
    let host = format!("srv-{:03}", random.skewed(300));
    let user = format!("user{}", random.skewed(8_000));
    let port = 1_024 + i64::try_from(random.next(60_000)).unwrap_or(0);
    let kind = random.next(100);
    let (dataset, action, message) = match kind {
        0..38 => {
            let action = if random.next(5) == 0 { "deny" } else { "built" };
            let text = format!(
                "%ASA-6-302013: {action} outbound TCP connection {port}{a} for \
                outside:{destination}/443 to inside:{source}/{port}"
            );
            ("cisco.asa", action, text)
        }
        38..62 => {
            let text = format!(
                "{source} - {user} \"GET /app/{b}/item?id={a} HTTP/1.1\" 200 {port} \
                \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\""
            );
            ("web.access", "get", text)
        }
        62..76 => {
            let text = format!("Failed password for {user} from {source} port {port} ssh2");
            ("linux.auth", "ssh_login", text)
        }
        76..90 => ("windows.sysmon", "process_creation", "Process Create".to_owned()),
        _ => ("dns.query", "query", format!("client {source}: query: host{a}.example.com IN A")),
    };
    let mut event = builder.event(time, time);
    event
        .original(format!("<134>1 - {host} - - - {message}").as_bytes())
        .put(field::MESSAGE, message.as_str())
        .put(field::EVENT_DATASET, dataset)
        .put(field::EVENT_ACTION, action)
        .put(field::EVENT_OUTCOME, if action == "deny" { "failure" } else { "success" })
        .put(field::EVENT_CATEGORY, "network")
        .put(field::HOST_NAME, host.as_str())
        .put(field::USER_NAME, user.as_str())
        .put(field::SOURCE_IP, source.as_str())
        .put(field::SOURCE_PORT, port)
        .put(field::DESTINATION_IP, destination.as_str())
        .put(field::DESTINATION_PORT, 443_i64)
        .put(field::LOG_SYSLOG_PRIORITY, 134_i64)
        .put(field::LOG_SYSLOG_SEVERITY_CODE, 6_i64)
        .put(field::KENG_SENDER_IP, "192.0.2.9")
        .put(field::KENG_SENDER_TRANSPORT, "udp");
    if dataset == "windows.sysmon" {
        let encoded = if random.next(500) == 0 { "-enc " } else { "" };
        let line = format!("C:\\Windows\\System32\\tool{b}.exe {encoded}/c {a}");
        event
            .put(field::PROCESS_COMMAND_LINE, line.as_str())
            .put(field::PROCESS_NAME, format!("tool{b}.exe").as_str())
            .put(field::PROCESS_PID, port)
            .put_named("winlog.event_data.IntegrityLevel", "High");
    }
    event.finish();
}
