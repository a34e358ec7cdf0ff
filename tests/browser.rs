//! The built-in page in a real browser: an analyst signs in, searches, opens an event, takes an
//! alert, and looks at the sources.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Node, eventually, program, shared};

/// A browser under WebDriver (W3C). Ends with the test.
struct Browser {
    driver: Child,
    http: reqwest::Client,
    session: String,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver's own group: the browser must not outlive it.
        let group = format!("-{}", self.driver.id());
        drop(Command::new("kill").args(["-KILL", "--", &group]).status());
        drop(self.driver.wait());
    }
}

const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

impl Browser {
    async fn start() -> Option<Self> {
        let (driver, chromium) = (program("chromedriver")?, program("chromium")?);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let driver = Command::new(driver)
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver starts");
        let profile = tempfile::tempdir().expect("a directory");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let options = json!({"binary": chromium, "args": arguments});
        let body = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let http = crate::support::client();
        let base = format!("http://127.0.0.1:{port}");
        let session = eventually("the browser", || async {
            let answer = http.post(format!("{base}/session")).json(&body).send().await.ok()?;
            let answer: Value = answer.json().await.ok()?;
            let id = answer["value"]["sessionId"].as_str()?.to_owned();
            Some(format!("{base}/session/{id}"))
        })
        .await;
        Some(Self { driver, http, session, _profile: profile })
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        let answer = self.http.post(format!("{}{path}", self.session)).json(&body).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        let ok = answer.status().is_success();
        let body: Value = answer.json().await.map_err(|error| error.to_string())?;
        if ok { Ok(body["value"].clone()) } else { Err(body["value"]["message"].to_string()) }
    }

    async fn open(&self, url: &str) {
        self.post("/url", json!({"url": url})).await.expect("the page opens");
    }

    /// Waits for the element that the page marks with `data-test=name`.
    async fn find(&self, name: &str) -> String {
        eventually(&format!("[data-test={name}]"), || async {
            let by = json!({"using": "css selector", "value": format!("[data-test={name}]")});
            let found = self.post("/element", by).await.ok()?;
            let id = found[ELEMENT].as_str()?.to_owned();
            let shown = self
                .http
                .get(format!("{}/element/{id}/displayed", self.session))
                .send()
                .await
                .ok()?;
            let shown: Value = shown.json().await.ok()?;
            (shown["value"] == true).then_some(id)
        })
        .await
    }

    /// Clicks as soon as it can be clicked.
    async fn click(&self, name: &str) {
        eventually(&format!("a click on {name}"), || async {
            let id = self.find(name).await;
            self.post(&format!("/element/{id}/click"), json!({})).await.ok()
        })
        .await;
    }

    async fn fill(&self, name: &str, text: &str) {
        let id = self.find(name).await;
        self.post(&format!("/element/{id}/clear"), json!({})).await.expect("cleared");
        self.post(&format!("/element/{id}/value"), json!({"text": text})).await.expect("typed");
    }

    async fn text(&self, name: &str) -> String {
        let id = self.find(name).await;
        let url = format!("{}/element/{id}/text", self.session);
        let answer = self.http.get(url).send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        answer["value"].as_str().unwrap_or_default().to_owned()
    }

    async fn wait_for_text(&self, name: &str, part: &str) {
        eventually(&format!("'{part}' in {name}"), || async {
            self.text(name).await.contains(part).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analyst_finds_an_event_and_takes_an_alert() {
    let Some(log) = shared("loghub/OpenSSH_2k.log") else { return };
    let Some(browser) = Browser::start().await else { return };
    let node = Node::start("").await;
    let body = json!({"name": "lan", "role": "responder", "password": "mật khẩu dài đủ 2026"});
    node.post("/api/v1/users", &body).await;
    node.replay(&log, &node.url(), &["--shift-to-now"]);
    node.wait_for_count("*", 2_000).await;
    eventually("an alert", || async { (!node.alerts().await.is_empty()).then_some(()) }).await;

    browser.open(&node.url()).await;
    browser.fill("login-name", "lan").await;
    browser.fill("login-password", "mật khẩu dài đủ 2026").await;
    browser.click("login-submit").await;

    browser.fill("query", "event.outcome:failure user.name:root").await;
    browser.click("run").await;
    browser.find("histogram").await;
    browser.click("hit").await;
    browser.find("hit-open").await;
    browser.click("as-fields").await;
    browser.click("include").await;

    browser.fill("query", "user.name:(root").await;
    browser.click("run").await;
    browser.find("query-error").await;

    browser.click("nav-alerts").await;
    // What rules on trial found is a list of its own, and there is nothing in it.
    browser.click("state-trial").await;
    browser.wait_for_text("alerts-empty", "No alerts").await;
    browser.click("state-open").await;
    browser.click("alert-open").await;
    browser.wait_for_text("alert-state", "pen").await;
    browser.click("act-ack").await;
    eventually("an acknowledged alert", || async {
        let taken = node.alerts().await.iter().any(|alert| alert["state"] == "acknowledged");
        taken.then_some(())
    })
    .await;
    browser.wait_for_text("alert-history", "acknowledged").await;

    browser.click("nav-sources").await;
    browser.find("source-row").await;
}
