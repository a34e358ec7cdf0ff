//! Starting a real node, talking to it, waiting for it, killing it.

pub mod webhook;

use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take before a test gives up; never what a test asserts.
const PATIENCE: Duration = Duration::from_secs(90);

/// The binary under test.
pub fn keng() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keng"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Runs the binary with standard input and waits for its end.
pub fn keng_with(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = keng()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("keng starts");
    let mut stdin = child.stdin.take().expect("stdin");
    let input = input.to_vec();
    let feed = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("keng ends");
    feed.join().expect("input is fed");
    output
}

/// An HTTP client, with the process's one crypto provider in place.
pub fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::new()
}

/// A file that the tests use in place. `None`, and a line that says so, where it is absent;
/// with `CI=true` that is a failure.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    missing(&format!("the shared data file {name}"));
    None
}

/// A program that the tests use. `None` where it is not installed, as with [`shared`].
pub fn program(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path)
            .chain([PathBuf::from("/usr/sbin")])
            .map(|folder| folder.join(name))
            .find(|file| file.exists())
    });
    if found.is_none() {
        missing(&format!("the program {name}"));
    }
    found
}

/// Says what a test had to do without; fatal under `CI=true`.
pub fn missing(what: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").to_owned();
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{test} needs {what}: scripts/prepare.sh test"
    );
    eprintln!("SKIPPED {test}: needs {what}");
}

/// Asks again and again until the answer is there.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A running node with a directory of its own.
pub struct Node {
    child: Child,
    dir: TempDir,
    http: reqwest::Client,
    addresses: Value,
    token: String,
    /// What it does; all if nothing is said.
    roles: Vec<String>,
}

/// Listens everywhere on free ports of loopback, with the shipped rules.
fn base_config(dir: &Path) -> String {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rules");
    let config = format!(
        r#"
[node]
log = "info"
[rules]
paths = ["{}"]
[http]
listen = "127.0.0.1:0"
[[ingest.syslog]]
listen = "127.0.0.1:0"
[[ingest.flow]]
listen = "127.0.0.1:0"
"#,
        rules.display()
    );
    assert!(dir.exists());
    config
}

impl Node {
    /// Starts a node; `extra` is appended to the configuration.
    pub async fn start(extra: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let config = base_config(dir.path()) + extra;
        std::fs::write(dir.path().join("keng.toml"), config).expect("the configuration");
        Self::start_in(dir, Vec::new()).await
    }

    /// Starts a node with the rules of one folder instead of the shipped ones, and value lists in
    /// `lists` below it.
    pub async fn start_with_rules(rules: &Path) -> Self {
        Self::start_as(&[], rules, "").await
    }

    /// The same with some roles only; `extra` is appended to the configuration.
    pub async fn start_as(roles: &[&str], rules: &Path, extra: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rules");
        let config = base_config(dir.path())
            .replace(&shipped.display().to_string(), &rules.display().to_string())
            .replace("[rules]", &format!("[rules]\nlists = \"{}/lists\"", rules.display()));
        std::fs::write(dir.path().join("keng.toml"), config + extra).expect("the configuration");
        Self::start_in(dir, roles.iter().map(|role| (*role).to_owned()).collect()).await
    }

    async fn start_in(dir: TempDir, roles: Vec<String>) -> Self {
        let child = Self::spawn(dir.path(), &roles);
        let (http, addresses, token) = (client(), Value::Null, String::new());
        let mut node = Self { child, dir, http, addresses, token, roles };
        node.wait_until_ready().await;
        node
    }

    fn spawn(dir: &Path, roles: &[String]) -> Child {
        drop(std::fs::remove_file(dir.join("data/node.json")));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(dir.join("log"))
            .expect("a log file");
        keng()
            .arg("run")
            .arg("--config")
            .arg(dir.join("keng.toml"))
            .arg("--data")
            .arg(dir.join("data"))
            .args(roles.iter().flat_map(|role| ["--roles", role]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("keng starts")
    }

    async fn wait_until_ready(&mut self) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("status") {
                panic!("the node ended with {status}:\n{}", self.log());
            }
            if let Ok(text) = std::fs::read(self.dir.path().join("data/node.json"))
                && let Ok(addresses) = serde_json::from_slice::<Value>(&text)
            {
                self.addresses = addresses;
                let url = format!("{}/-/ready", self.url());
                if self.http.get(url).send().await.is_ok_and(|a| a.status().is_success()) {
                    break;
                }
            }
            assert!(start.elapsed() < PATIENCE, "the node is not ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        let token = self.dir.path().join("data/local-admin.token");
        self.token = std::fs::read_to_string(token).expect("token").trim().to_owned();
    }

    /// `kill -9`, then the same node again on the same directory.
    pub async fn kill_and_restart(&mut self) {
        self.kill();
        self.child = Self::spawn(self.dir.path(), &self.roles);
        self.wait_until_ready().await;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Sends a signal, as `TERM` or `HUP`.
    pub fn signal(&self, name: &str) {
        let (flag, pid) = (format!("-{name}"), self.child.id().to_string());
        assert!(Command::new("kill").args([&flag, &pid]).status().expect("kill").success());
    }

    /// SIGTERM, then waits for the orderly end.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        self.signal("TERM");
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("status") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the node does not stop:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The orderly end, then the same node again.
    pub async fn restart(&mut self) {
        assert!(self.stop().success(), "{}", self.log());
        self.child = Self::spawn(self.dir.path(), &self.roles);
        self.wait_until_ready().await;
    }

    /// What the node said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Directory with `keng.toml`, `log` and `data`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Base address of the HTTP interface.
    pub fn url(&self) -> String {
        self.addresses["http"].as_str().expect("http address").to_owned()
    }

    /// Address of the syslog listener of `protocol` (`udp` or `tcp`).
    pub fn syslog(&self, protocol: &str) -> String {
        let listeners = self.addresses["syslog"].as_array().expect("syslog listeners");
        let found = listeners.iter().find(|one| one["protocol"] == protocol);
        found.expect("a listener")["address"].as_str().expect("an address").to_owned()
    }

    /// The token file of the local administrator.
    pub fn token_file(&self) -> PathBuf {
        self.dir.path().join("data/local-admin.token")
    }

    /// A request with the local administrator's token.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.http.request(method, format!("{}{path}", self.url())).bearer_auth(&self.token)
    }

    /// GET, as JSON.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.request("GET", path).send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "GET {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    /// POST of JSON, as JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.request("POST", path).json(body).send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "POST {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// How many events match.
    pub async fn count(&self, query: &str) -> u64 {
        let body = json!({"query": query, "limit": 0});
        self.post("/api/v1/search", &body).await["total"]["value"].as_u64().expect("a total")
    }

    /// Waits until exactly `count` events match.
    pub async fn wait_for_count(&self, query: &str, count: u64) {
        eventually(&format!("{count} events of {query}"), || async {
            let found = self.count(query).await;
            assert!(found <= count, "{found} events of {query}, only {count} were sent");
            (found == count).then_some(())
        })
        .await;
    }

    /// Waits for a line of the metrics.
    pub async fn wait_for_metric(&self, line: &str) {
        eventually(line, || async {
            let metrics = self.get("/metrics").await;
            metrics.as_str().expect("text").lines().any(|one| one == line).then_some(())
        })
        .await;
    }

    /// All alerts, newest first.
    pub async fn alerts(&self) -> Vec<Value> {
        let answer = self.get("/api/v1/alerts?limit=500").await;
        answer["alerts"].as_array().expect("alerts").clone()
    }

    /// Runs `keng replay FILE --to …` with further arguments and returns its summary.
    pub fn replay(&self, file: &Path, to: &str, arguments: &[&str]) -> Value {
        let file = file.to_str().expect("a path");
        let token = self.token_file();
        let mut all = vec!["replay", file, "--to", to, "--json"];
        if to.starts_with("http") {
            all.extend(["--token-file", token.to_str().expect("a path")]);
        }
        all.extend(arguments);
        let output = keng_with(&all, b"");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "keng {all:?}: {errors}");
        serde_json::from_slice(&output.stdout).expect("a summary")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the node's last words ---");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        self.kill();
    }
}
