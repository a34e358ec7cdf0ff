//! A real Kafka broker for the contract test, started through `scripts/kafka.sh`.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Stopped when it is dropped, and by its own watcher if this process is killed.
pub(super) struct Broker {
    dir: TempDir,
    port: u16,
}

/// Exit code of the script if the broker or Java is missing.
const MISSING: i32 = 3;

impl Broker {
    /// `None`, with a word about it, where there is no broker; not under `CI=true`.
    pub(super) fn start() -> Option<Self> {
        let broker = Self { dir: tempfile::tempdir().unwrap(), port: free_ports() };
        let (port, owner) = (broker.port.to_string(), std::process::id().to_string());
        let output = Command::new(script())
            .arg("start")
            .arg(broker.dir.path())
            .args([port, owner])
            .output()
            .unwrap();
        if output.status.success() {
            return Some(broker);
        }
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(MISSING), "the Kafka broker did not start: {reason}");
        #[expect(clippy::disallowed_methods, reason = "a missing part fails the run only in CI")]
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "the Kafka broker is missing: {reason}");
        eprintln!("SKIPPED: the bus contract on Kafka: {reason}");
        None
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        Command::new(script()).arg("stop").arg(self.dir.path()).status().unwrap();
    }
}

fn script() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kafka.sh"))
}

/// A port that is free now, and the one after it too.
fn free_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if TcpListener::bind(("127.0.0.1", port.saturating_add(1))).is_ok() {
            return port;
        }
    }
}
