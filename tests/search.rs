//! `keng search` on the index itself: what it finds, what it says, and that it only reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use keng_event::{BatchBuilder, EventId, Timestamp, field};
use keng_indexer::{Config, Index, Position};

use serde_json::json;

use crate::support::{Node, keng, keng_with};

const NOON: Timestamp = Timestamp::from_seconds(1_795_348_800);

/// An index of ten sealed events under `data`, still open.
fn index(data: &Path) -> Index {
    let registry = keng_metrics::Registry::new();
    let index = Index::open(&data.join("index"), Config::default(), &[], &registry);
    let index = index.expect("a new index");
    let mut builder = BatchBuilder::new();
    for number in 0..10_i64 {
        let mut event = builder.event(NOON, NOON);
        event.put(field::MESSAGE, "Failed password").put(field::SOURCE_PORT, number);
        event.finish();
    }
    let batch = builder.finish().with_origin(EventId { epoch: 1, partition: 0, offset: 0 });
    let end = Position { partition: 0, epoch: 1, offset: 10 };
    index.append(Arc::new(batch), end).expect("room");
    index.flush(NOON).expect("a sealed shard");
    index
}

fn search(data: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let data = data.to_str().expect("a path");
    let output = keng_with(&[&["search", "--data", data], arguments].concat(), b"");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Every file below, with its size and when it was last changed.
fn files(dir: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let metadata = path.metadata().expect("a file");
        found.insert(path.clone(), (metadata.len(), metadata.modified().expect("a time")));
        if metadata.is_dir() {
            found.extend(files(&path));
        }
    }
    found
}

#[test]
fn the_index_is_read_without_a_node_and_beside_one() {
    let data = tempfile::tempdir().expect("a directory");
    let running = index(data.path());
    let before = files(data.path());
    // Whoever writes the index holds its lock all the while.
    for arguments in [&["failed", "--offline"][..], &["failed"]] {
        let (code, hits, said) = search(data.path(), arguments);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(hits.lines().count(), 10, "{hits}");
        assert!(said.contains("10 events match"), "{said}");
    }
    assert_eq!(files(data.path()), before, "a search wrote something");
    running.flush(NOON).expect("still the writer");
    drop(running);
    let (code, count, said) = search(data.path(), &["source.port>6", "--offline", "--count"]);
    assert_eq!((code, count.as_str()), (Some(0), "3\n"), "{said}");
    assert_eq!(files(data.path()), before, "a search wrote something");
}

/// How many events a query finds for somebody in a time zone.
fn count_in(zone: &str, arguments: &[&str]) -> String {
    let output = keng()
        .env("TZ", zone)
        .args([&["search", "--count"], arguments].concat())
        .output()
        .expect("keng runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_without_a_zone_is_one_of_this_machine() {
    let data = tempfile::tempdir().expect("a directory");
    let _index = index(data.path());
    let evening = "@timestamp:2026-11-22T19";
    let offline = [evening, "--offline", "--data", data.path().to_str().expect("a path")];
    assert_eq!(count_in("Asia/Ho_Chi_Minh", &offline), "10");
    assert_eq!(count_in("UTC", &offline), "0");

    let node = Node::start("").await;
    let noon = json!([{"@timestamp": "2026-11-22T12:00:00Z", "message": "xin chào"}]);
    node.post("/api/v1/events", &noon).await;
    node.wait_for_count("chao", 1).await;
    let data = node.dir().join("data");
    let online = [evening, "--data", data.to_str().expect("a path")];
    assert_eq!(count_in("Asia/Ho_Chi_Minh", &online), "1");
    assert_eq!(count_in("UTC", &online), "0");
}

#[test]
fn a_killed_node_is_not_asked() {
    let data = tempfile::tempdir().expect("a directory");
    let _index = index(data.path());
    // Above the highest number that a process can have.
    let sign = json!({"pid": 1_u64 << 23, "http": "http://127.0.0.1:9"});
    std::fs::write(data.path().join("node.json"), sign.to_string()).expect("a sign");
    let (code, count, said) = search(data.path(), &["failed", "--count"]);
    assert_eq!((code, count.as_str()), (Some(0), "10\n"), "{said}");
    assert!(said.contains("no node runs"), "{said}");
}

#[test]
fn the_exit_code_tells_nothing_found_from_nothing_there() {
    let data = tempfile::tempdir().expect("a directory");
    assert_eq!(search(data.path(), &["x", "--offline"]).0, Some(4));
    let _index = index(data.path());
    assert_eq!(search(data.path(), &["absent", "--offline"]).0, Some(0));
    assert_eq!(search(data.path(), &["absent", "--offline", "--fail-empty"]).0, Some(1));
    assert_eq!(search(data.path(), &["x", "--limit", "many"]).0, Some(2));
    let (code, help, _) = search(data.path(), &["--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("Exit codes:") && help.contains("--fail-empty"), "{help}");
}

#[test]
fn a_wrong_query_is_shown_with_carets_under_what_is_wrong() {
    let data = tempfile::tempdir().expect("a directory");
    let _index = index(data.path());
    let (code, _, said) = search(data.path(), &["đăng source.ip:10.0.0.0/33", "--offline"]);
    assert_eq!(code, Some(3));
    let shown = "\n  đăng source.ip:10.0.0.0/33\n                 ^^^^^^^^^^^\n  hint: ";
    assert!(
        said.starts_with("error: '10.0.0.0/33' is not a network") && said.contains(shown),
        "{said}"
    );
}

#[test]
fn a_range_that_ends_before_it_begins_is_said_so() {
    let data = tempfile::tempdir().expect("a directory");
    let _index = index(data.path());
    let range = ["*", "--offline", "--from", "now", "--to", "now-1h"];
    let (code, _, said) = search(data.path(), &range);
    assert_eq!(code, Some(3));
    assert!(said.contains("it begins at 'now', after its end 'now-1h'"), "{said}");
}
