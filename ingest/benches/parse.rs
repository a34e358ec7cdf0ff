//! How fast records become events on one core, beside `syslog_loose` on the same data.
//!
//! `cargo bench -p keng-ingest --bench parse`. The data are loghub's OpenSSH and Linux files with
//! a PRI before each line, and the same as RFC 5424 with two elements of structured data; without
//! those files a few lines of our own stand in for them. JSON rows are one record of our own each. A
//! row is the best of several rounds: what else runs on the machine only ever makes a round slower.
//! An argument chooses the rows whose name holds it (`-- 'rfc3164 record'`), for a profiler.

#![allow(clippy::print_stdout, reason = "the result is what is printed")]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use keng_event::{BatchBuilder, Clock, SystemClock, Timestamp};
use keng_ingest::parse::{Format, Received, Sender, header, record};
use syslog_loose::{Variant, parse_message_with_year};

/// Rounds of each row.
const ROUNDS: usize = 15;

/// Events of a batch, about what fits 256 KiB.
const BATCH_EVENTS: usize = 800;

fn main() {
    let lines = corpus();
    let rfc3164: Vec<String> = lines.iter().map(|line| format!("<38>{line}")).collect();
    let rfc5424: Vec<String> = lines.iter().map(|line| rfc5424(line)).collect();
    println!("{:<34} {:>12} {:>10} {:>9}", "row", "events/s", "ns/event", "MB/s");
    row("rfc3164 header, keng", &rfc3164, |line| {
        black_box(header(black_box(line)));
    });
    row("rfc3164 header, syslog_loose", &rfc3164, |line| {
        let loose = parse_message_with_year(black_box(line), |_| 2026, Variant::RFC3164);
        black_box(loose);
    });
    row("rfc5424 header, keng", &rfc5424, |line| {
        black_box(header(black_box(line)));
    });
    row("rfc5424 header, syslog_loose", &rfc5424, |line| {
        let loose = parse_message_with_year(black_box(line), |_| 2026, Variant::RFC5424);
        black_box(loose);
    });
    whole("rfc3164 record, keng", &rfc3164, Format::Syslog);
    whole("rfc5424 record, keng", &rfc5424, Format::Syslog);
    for (name, line) in JSON {
        whole(name, &vec![(*line).to_owned(); 4_000], Format::Auto);
    }
}

/// One that a parser knows, one of a table of vendors, one of nobody.
const JSON: &[(&str, &str)] = &[
    (
        "json record, sysmon, keng",
        r#"{"EventTime":"2026-11-22 10:57:01","Hostname":"pc1.example.vn","Keywords":-9223372036854775808,"EventType":"INFO","SeverityValue":2,"Severity":"INFO","EventID":1,"SourceName":"Microsoft-Windows-Sysmon","Version":5,"Task":1,"OpcodeValue":0,"RecordNumber":77,"ExecutionProcessID":3904,"ThreadID":4272,"Channel":"Microsoft-Windows-Sysmon/Operational","UtcTime":"2026-11-22 03:57:01.100","ProcessGuid":"{3d1f0a2b-0001-6920-0000-0010000000aa}","ProcessId":"4242","Image":"C:\\Windows\\System32\\cmd.exe","CommandLine":"cmd.exe /c whoami","User":"CORP\\an","ParentImage":"C:\\Windows\\explorer.exe","Hashes":"MD5=0A0B0C0D0E0F00010203040506070809"}"#,
    ),
    (
        "json record, cloudtrail, keng",
        r#"{"eventVersion":"1.09","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE","arn":"arn:aws:iam::123456789012:user/an","accountId":"123456789012","userName":"an"},"eventTime":"2026-11-22T04:00:00Z","eventSource":"s3.amazonaws.com","eventName":"PutObject","awsRegion":"ap-southeast-1","sourceIPAddress":"198.51.100.7","userAgent":"aws-cli/2","requestParameters":{"bucketName":"b","key":"k"},"responseElements":null,"requestID":"r-1","eventID":"e-1","readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"123456789012"}"#,
    ),
    (
        "json record, generic, keng",
        r#"{"time":"2026-11-22T04:00:00Z","level":"warn","msg":"đơn hàng bị từ chối","user":"hà","order":{"id":77,"total":120000,"currency":"VND","items":3},"client":{"ip":"198.51.100.9","agent":"curl/8"},"trace":"abc","span":"def","env":"production","version":"1.2.3","host":"shop-1","region":"hn","path":"/thanh-toán","status":402,"ms":12.5}"#,
    ),
];

/// The whole way from bytes to a finished batch: header, dataset, all fields.
fn whole(name: &str, lines: &[String], format: Format) {
    let sender = Sender {
        ip: Some([192, 0, 2, 1].into()),
        port: Some(514),
        transport: "udp",
        tls_subject: None,
    };
    let at = Timestamp::from_seconds(1_795_341_600);
    let mut builder = BatchBuilder::new();
    row(name, lines, |line| {
        let raw = line.as_bytes();
        let zone = &TimeZone::UTC;
        let received = Received { raw, at, sender: &sender, zone, format };
        record(&received, &mut builder);
        if builder.len() == BATCH_EVENTS {
            black_box(std::mem::take(&mut builder).finish());
        }
    });
}

fn row(name: &str, lines: &[String], mut each: impl FnMut(&str)) {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    if wanted.is_some_and(|wanted| !name.contains(&wanted)) {
        return;
    }
    let clock = SystemClock::default();
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = clock.elapsed();
        lines.iter().for_each(|line| each(line));
        best = best.min(clock.elapsed().saturating_sub(start));
    }
    let bytes: usize = lines.iter().map(String::len).sum();
    let seconds = best.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "figures for a table")]
    let (events, bytes) = (lines.len() as f64, bytes as f64);
    println!(
        "{name:<34} {:>12.0} {:>10.1} {:>9.1}",
        events / seconds,
        seconds * 1e9 / events,
        bytes / seconds / 1e6
    );
}

fn corpus() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/loghub");
    let mut lines = Vec::new();
    for name in ["OpenSSH_2k.log", "Linux_2k.log"] {
        let bytes = std::fs::read(folder.join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        lines.extend(text.lines().map(|line| line.trim_end().to_owned()));
    }
    if lines.is_empty() {
        println!("the loghub files are not here; a few lines of our own instead");
        let line = "Oct 11 22:14:15 web1 sshd[812]: Failed password for root from 203.0.113.7 port 4711 ssh2";
        lines = vec![line.to_owned(); 4_000];
    }
    lines
}

fn rfc5424(line: &str) -> String {
    let text = line.get(16..).unwrap_or(line);
    let (host, text) = text.split_once(' ').unwrap_or(("host", text));
    let (program, text) = text.split_once(": ").unwrap_or(("app", text));
    let program = program.split(['[', '(', ' ']).next().unwrap_or("app");
    format!(
        "<38>1 2026-11-22T09:59:59.123456Z {host} {program} 812 ID47 \
         [origin@32473 ip=\"192.0.2.1\" software=\"app\"][meta@32473 sequenceId=\"29\"] {text}"
    )
}
