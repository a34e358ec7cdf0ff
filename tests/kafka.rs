//! The same road with a real Apache Kafka broker in it.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Node, eventually, missing, shared};

/// A broker of this test's own, in a directory of its own.
pub struct Broker {
    dir: tempfile::TempDir,
    port: u16,
}

fn script() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka.sh"))
}

impl Broker {
    /// Starts a broker. `None` where the parts were not fetched.
    pub fn start() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let output = Command::new(script())
            .arg("start")
            .arg(dir.path())
            .arg(port.to_string())
            .arg(std::process::id().to_string())
            .output()
            .expect("the script runs");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            missing(&format!("the Apache Kafka broker ({})", said.trim()));
            return None;
        }
        Some(Self { dir, port })
    }

    fn config(&self) -> String {
        format!(
            "\n[bus]\nkind = \"kafka\"\n[bus.kafka]\nbrokers = [\"127.0.0.1:{}\"]\n\
             partitions = 2\nreplication = 1\nin_sync_min = 1\n",
            self.port
        )
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(Command::new(script()).arg("stop").arg(self.dir.path()).status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_road_over_kafka_finds_and_recognises_the_same() {
    let Some(log) = shared("loghub/OpenSSH_2k.log") else { return };
    let Some(broker) = Broker::start() else { return };
    let receiver = crate::support::webhook::Receiver::start().await;
    let channel = format!(
        "\n[[channel]]\nkind = \"webhook\"\nname = \"soc\"\nurl = \"{}\"\n\
         [[route]]\nchannels = [\"soc\"]\nseverity = \"low\"\n",
        receiver.url()
    );
    let mut node = Node::start(&(broker.config() + &channel)).await;
    let summary = node.replay(&log, &format!("tcp://{}", node.syslog("tcp")), &["--shift-to-now"]);
    assert_eq!(summary["sent"], 2_000);
    crate::end_to_end::holds_the_sample(&node).await;
    eventually("a delivered alert", || async { (!receiver.calls().is_empty()).then_some(()) })
        .await;
    // Killed and started again, it reads on where its own stores stand.
    node.kill_and_restart().await;
    node.wait_for_count("*", 2_000).await;
    node.replay(&log, &node.url(), &["--count", "500", "--shift-to-now"]);
    node.wait_for_count("*", 2_500).await;
}
