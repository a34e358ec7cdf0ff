//! A node of its own for a bench: started, asked for its metrics, weighed, and ended.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A running node; dropped, it is ended.
pub struct Node {
    child: Child,
    http: String,
    syslog: Vec<(String, String)>,
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub fn keng() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keng"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

impl Node {
    /// Starts one in `dir` on ports of its own. `settings` are those of `[[ingest.syslog]]` and what
    /// follows them; `rules` are rule paths.
    pub fn start(dir: &Path, roles: &str, rules: &[String], settings: &str) -> Self {
        let config = format!(
            "[node]\nlog = \"warn\"\n[rules]\npaths = {rules:?}\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [[ingest.flow]]\nlisten = \"127.0.0.1:0\"\n[[ingest.syslog]]\nlisten = \"127.0.0.1:0\"\n{settings}"
        );
        std::fs::write(dir.join("keng.toml"), config).expect("configuration");
        let child = keng()
            .args(["run", "--roles", roles, "--config"])
            .arg(dir.join("keng.toml"))
            .arg("--data")
            .arg(dir.join("data"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("keng starts");
        let mut node = Self { child, http: String::new(), syslog: Vec::new() };
        for _ in 0..600 {
            if let Ok(text) = std::fs::read(dir.join("data/node.json")) {
                node.read_sign(&serde_json::from_slice(&text).expect("node.json"));
                return node;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        unreachable!("the node did not start within a minute");
    }

    fn read_sign(&mut self, sign: &Value) {
        self.http = sign["http"].as_str().expect("http").to_owned();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let listeners = sign["syslog"].as_array().expect("listeners");
        self.syslog =
            listeners.iter().map(|one| (text(&one["protocol"]), text(&one["address"]))).collect();
    }

    pub fn url(&self) -> &str {
        &self.http
    }

    /// Where syslog over `protocol` is received.
    pub fn syslog(&self, protocol: &str) -> &str {
        &self.syslog.iter().find(|(known, _)| known == protocol).expect("a listener").1
    }

    /// Seconds of processor time and anonymous memory in bytes.
    pub fn cost(&self) -> (f64, u64) {
        let pid = self.child.id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        let fields: Vec<f64> = after.split(' ').filter_map(|field| field.parse().ok()).collect();
        // utime and stime are fields 14 and 15 of proc(5); the state letter does not parse.
        let ticks = fields.get(10).unwrap_or(&0.0) + fields.get(11).unwrap_or(&0.0);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let anonymous = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:")?.split_whitespace().next()?.parse().ok())
            .unwrap_or(0_u64);
        (ticks / 100.0, anonymous * 1024)
    }

    /// The sum of a family's series whose labels hold `label`.
    pub fn metric(&self, family: &str, label: &str) -> f64 {
        let address = self.http.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("the node answers");
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
            .expect("the node reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("the node writes");
        let series = text.lines().filter(|line| {
            line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && line.contains(label)
        });
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}
