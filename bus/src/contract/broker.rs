//! A real Kafka broker for the tests of the Kafka road, started through `scripts/kafka.sh`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Stopped when it is dropped, and by its own watcher if this process is killed.
pub(crate) struct Broker {
    dir: TempDir,
    port: u16,
}

/// Exit code of the script if the broker or Java is missing.
const MISSING: i32 = 3;

impl Broker {
    /// `None`, with a word about it, where there is no broker; not under `CI=true`.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|_, _| String::new())
    }

    /// The same with further settings, made from its directory and its first port.
    pub(crate) fn start_with(settings: impl Fn(&Path, u16) -> String) -> Option<Self> {
        let broker = Self { dir: tempfile::tempdir().unwrap(), port: free_ports() };
        let settings = settings(broker.dir.path(), broker.port);
        std::fs::write(broker.dir.path().join("more.properties"), settings).unwrap();
        let output = broker.begin();
        if output.status.success() {
            return Some(broker);
        }
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(MISSING), "the Kafka broker did not start: {reason}");
        #[expect(clippy::disallowed_methods, reason = "a missing part fails the run only in CI")]
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "the Kafka broker is missing: {reason}");
        eprintln!("SKIPPED: the bus on Kafka: {reason}");
        None
    }

    fn begin(&self) -> Output {
        let (port, owner) = (self.port.to_string(), std::process::id().to_string());
        Command::new(script())
            .arg("start")
            .arg(self.dir.path())
            .args([port, owner])
            .output()
            .unwrap()
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where a test that made it speak TLS made it listen.
    pub(crate) fn tls_address(&self) -> String {
        format!("127.0.0.1:{}", self.port + 2)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Asks it to end, and returns when it has.
    pub(crate) fn stop(&self) {
        assert!(
            Command::new(script()).arg("stop").arg(self.dir.path()).status().unwrap().success()
        );
    }

    /// Ends it without asking.
    pub(crate) fn kill(&self) {
        let pid = std::fs::read_to_string(self.dir.path().join("pid")).unwrap();
        assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
        self.stop();
    }

    /// Starts it again on what it has.
    pub(crate) fn start_again(&self) {
        let output = self.begin();
        let reason = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the Kafka broker did not start again: {reason}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn script() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kafka.sh"))
}

/// A port that is free now, and the two after it too.
fn free_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let free = |after| TcpListener::bind(("127.0.0.1", port.saturating_add(after))).is_ok();
        if free(1) && free(2) {
            return port;
        }
    }
}
