//! Mail through a real SMTP server (aiosmtpd).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::alert::{Action, Verdict};
use crate::error::Error;
use crate::outbox::{Delivery, NotificationFilter};
use crate::tests::{Fixture, analyst, finding};

/// A running server; stopped when dropped.
struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
    dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    /// `None`, said by name, where the server is not installed; in CI that is a failure.
    #[expect(clippy::disallowed_methods, reason = "whether a missing part may be skipped")]
    fn start(test: &str, mode: &str, login: &[&str]) -> Option<Self> {
        let Some(python) = python() else {
            assert!(std::env::var("CI").is_err(), "install python3-aiosmtpd for {test}");
            eprintln!("skipped: {test} needs the package python3-aiosmtpd");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        certificate(dir.path());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/channel/mail/server.py");
        let mut child = Command::new(python)
            .args([script, mode])
            .args([dir.path().join("cert.pem"), dir.path().join("key.pem")])
            .args(login)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        lines.read_line(&mut port).unwrap();
        let port = port.trim().parse().expect("the server prints its port");
        Some(Self { child, lines, port, dir })
    }

    /// A `[[channel]]` named `mail` that leads here.
    fn channel(&self, security: &str, to: &str, more: &str) -> String {
        let ca = self.dir.path().join("cert.pem");
        format!(
            "[alerting]\ntime_zone = 'Asia/Ho_Chi_Minh'\n\
             [[channel]]\nname = 'mail'\nkind = 'smtp'\nserver = '127.0.0.1'\nport = {}\n\
             security = '{security}'\nfrom = 'Kẻng <keng@example.org>'\nto = ['{to}']\n\
             ca_file = '{}'\n{more}",
            self.port,
            ca.display()
        )
    }

    /// The next mail that the server took.
    fn mail(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

fn python() -> Option<&'static str> {
    ["/usr/bin/python3", "python3"].into_iter().find(|python| {
        let mut command = Command::new(python);
        command.args(["-c", "import aiosmtpd"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// A certificate for 127.0.0.1 that vouches for itself.
fn certificate(dir: &Path) {
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=keng test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem"))
        .stderr(Stdio::null())
        .status()
        .expect("openssl is installed");
    assert!(status.success());
}

/// Header lines of a message, with folded lines joined.
fn header(content: &str, name: &str) -> String {
    let unfolded = content.replace("\r\n ", " ");
    let prefix = format!("{name}: ");
    unfolded.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_alert_arrives_over_starttls_with_a_password() {
    let Some(mut server) = Server::start("starttls", "STARTTLS", &["keng", "pass word"]) else {
        return;
    };
    let password = server.dir.path().join("password");
    std::fs::write(&password, "pass word\n").unwrap();
    let login = format!("username = 'keng'\npassword_file = '{}'\n", password.display());
    let fixture = Fixture::new(&server.channel("starttls", "soc@example.org", &login)).await;
    let first = finding("r", "203.0.113.7", 1);
    fixture.desk.apply(std::slice::from_ref(&first)).await.unwrap();
    assert_eq!(fixture.deliver().await, 1);
    let page = fixture.desk.notifications(&NotificationFilter::default()).await.unwrap();
    assert_eq!(page.notifications[0].state, Delivery::Accepted, "{page:?}");
    let mail = server.mail();
    assert_eq!((mail["tls"].as_bool(), mail["authenticated"].as_bool()), (Some(true), Some(true)));
    assert_eq!(mail["to"][0], "soc@example.org");
    let content = mail["content"].as_str().unwrap();
    let key = &page.notifications[0].id;
    assert_eq!(header(content, "Message-ID"), format!("<{key}@example.org>"));
    assert_eq!(header(content, "References"), format!("<{}.alert@example.org>", first.id));
    assert_eq!(header(content, "Auto-Submitted"), "auto-generated");
    assert_eq!(header(content, "Date"), "Sun, 22 Nov 2026 10:00:00 +0000");
    assert!(header(content, "Subject").starts_with("[Keng] HIGH: =?utf-8?b?"), "{content}");

    let close = Action::Close { verdict: Verdict::Benign, note: None };
    fixture.desk.act(first.id.as_str(), &close, &analyst(), None).await.unwrap();
    fixture.deliver().await;
    let mail = server.mail();
    let content = mail["content"].as_str().unwrap();
    assert_eq!(header(content, "References"), format!("<{}.alert@example.org>", first.id));
}

#[tokio::test]
async fn a_test_arrives_over_tls_and_in_the_clear_on_loopback() {
    for (mode, security, tls) in [("TLS", "tls", true), ("PLAIN", "none", false)] {
        let Some(mut server) = Server::start(security, mode, &[]) else { return };
        let fixture = Fixture::new(&server.channel(security, "soc@example.org", "")).await;
        fixture.desk.test_channel("mail", &analyst()).await.unwrap();
        assert_eq!(server.mail()["tls"].as_bool(), Some(tls));
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_apart() {
    let Some(server) = Server::start("auth", "STARTTLS", &["keng", "right"]) else { return };
    let password = server.dir.path().join("password");
    std::fs::write(&password, "wrong").unwrap();
    let login = format!("username = 'keng'\npassword_file = '{}'\n", password.display());
    let fixture = Fixture::new(&server.channel("starttls", "soc@example.org", &login)).await;
    let error = fixture.desk.test_channel("mail", &analyst()).await.unwrap_err();
    assert!(matches!(error, Error::Delivery { reason: "auth", .. }), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
}

#[tokio::test]
async fn a_server_without_starttls_gets_nothing() {
    let Some(server) = Server::start("downgrade", "PLAIN", &[]) else { return };
    let fixture = Fixture::new(&server.channel("starttls", "soc@example.org", "")).await;
    assert!(fixture.desk.test_channel("mail", &analyst()).await.is_err());
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_nothing() {
    let Some(server) = Server::start("untrusted", "TLS", &[]) else { return };
    let config = server.channel("tls", "soc@example.org", "");
    let config: String =
        config.lines().filter(|l| !l.starts_with("ca_file")).map(|l| format!("{l}\n")).collect();
    let fixture = Fixture::new(&config).await;
    let error = fixture.desk.test_channel("mail", &analyst()).await.unwrap_err();
    assert!(matches!(error, Error::Delivery { reason: "tls", .. }), "{error}");
}

#[tokio::test]
async fn busy_is_tried_again_and_gone_is_not_for_long() {
    let Some(mut server) = Server::start("codes", "PLAIN", &[]) else { return };
    let fixture = Fixture::new(&server.channel("none", "busy@example.org", "")).await;
    fixture.desk.apply(&[finding("r", "203.0.113.7", 1)]).await.unwrap();
    fixture.deliver().await;
    let page = fixture.desk.notifications(&NotificationFilter::default()).await.unwrap();
    assert!(page.notifications[0].error.as_deref().unwrap().starts_with("server_error: "));
    fixture.clock.advance(Duration::from_secs(5));
    fixture.deliver().await;
    let page = fixture.desk.notifications(&NotificationFilter::default()).await.unwrap();
    assert_eq!(page.notifications[0].state, Delivery::Accepted, "{page:?}");
    assert_eq!(server.mail()["to"][0], "busy@example.org");

    let fixture = Fixture::new(&server.channel("none", "gone@example.org", "")).await;
    fixture.desk.apply(&[finding("r", "203.0.113.7", 1)]).await.unwrap();
    for _ in 0..4 {
        fixture.deliver().await;
        fixture.clock.advance(Duration::from_secs(600));
    }
    let page = fixture.desk.notifications(&NotificationFilter::default()).await.unwrap();
    assert_eq!((page.notifications[0].state, page.notifications[0].attempts), (Delivery::Dead, 3));
}
