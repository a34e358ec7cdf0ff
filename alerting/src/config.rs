//! The settings `[alerting]`, `[[channel]]` and `[[route]]`, and what must hold between them.
//!
//! Secrets are never written here: a setting names the file that holds one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keng_event::{ByteSize, Severity, Span};
use serde::{Deserialize, Serialize};

use crate::channel::Kind;

/// Largest file that holds a secret, in bytes.
const SECRET_BYTES_MAX: u64 = 4096;

/// Everything that a user can set about alerts and their delivery.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[alerting]`.
    #[serde(default)]
    pub alerting: Settings,
    /// `[[channel]]`: ways to reach people and programs.
    #[serde(default)]
    pub channel: Vec<ChannelConfig>,
    /// `[[route]]`: which alert goes to which channels. Every route that matches counts. Without
    /// any route, every channel gets the alerts of severity high and above.
    #[serde(default)]
    pub route: Vec<RouteConfig>,
}

/// `[alerting]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where people reach this Keng; the beginning of the links in notifications.
    pub url: String,
    /// Time zone in which notifications show times, beside UTC (`Asia/Ho_Chi_Minh`).
    pub time_zone: String,
    /// An alert that goes on counting is told about again at most this often.
    pub update_interval: Span,
    /// A notification that nobody accepted for this long is given up.
    pub give_up_after: Span,
    /// A person must log in again after this long.
    pub session_lifetime: Span,
    /// Closed alerts and those of rules on trial are kept for this long, with their history.
    pub retention: Span,
    /// Who was told what and when is kept for this long.
    pub notification_retention: Span,
    /// Size of the alert store above which the alerts that were closed longest ago are removed;
    /// 0 sets no bound. Alerts that are not closed always stay.
    pub disk_max: ByteSize,
}

/// Shortest retention. What is removed sooner could be asked for by a replay of findings, which
/// would call people again.
const RETENTION_MIN: Duration = Duration::from_secs(DAY);

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8642".to_owned(),
            time_zone: "UTC".to_owned(),
            update_interval: Span::from_seconds(15 * 60),
            give_up_after: Span::from_seconds(24 * 3600),
            session_lifetime: Span::from_seconds(12 * 3600),
            retention: Span::from_seconds(400 * DAY),
            notification_retention: Span::from_seconds(90 * DAY),
            disk_max: ByteSize::mebibytes(8 * 1_024),
        }
    }
}

const DAY: u64 = 24 * 3600;

/// `[[channel]]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ChannelConfig {
    /// An HTTP endpoint that takes signed JSON.
    Webhook(WebhookConfig),
    /// Mail.
    Smtp(SmtpConfig),
}

/// A `[[channel]]` of kind `webhook`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// What routes call it.
    pub name: String,
    /// Where to post.
    pub url: String,
    /// File with the key that signs; without one nothing is signed.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// PEM file with a certificate authority to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Allows `http://` to another machine, where anybody on the way can read the alerts.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// Longest time for one attempt.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// Attempts at a time.
    #[serde(default = "default_attempts")]
    pub concurrency: usize,
}

/// A `[[channel]]` of kind `smtp`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// What routes call it.
    pub name: String,
    /// Host name of the mail server.
    pub server: String,
    /// Its port; 587, 465 or 25 by the kind of security.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is kept from others.
    #[serde(default)]
    pub security: SmtpSecurity,
    /// Sender, `Keng <keng@example.org>`.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
    /// Name to log in with.
    #[serde(default)]
    pub username: Option<String>,
    /// File with the password for it.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// PEM file with a certificate authority to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Longest time for one command of the mail dialogue.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// Connections at a time.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    /// Begins in the clear and refuses to go on without TLS (RFC 3207).
    #[default]
    Starttls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// In the clear; only to a server on this machine.
    None,
}

/// `[[route]]`: conditions that must all hold, and where the alert goes then.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// This grave or graver.
    #[serde(default = "default_severity")]
    pub severity: Severity,
    /// Any of these rule ids; empty for every rule.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Any of these rule tags; empty for every rule.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Names of channels.
    pub channels: Vec<String>,
    /// What they are told about; everything unless said.
    #[serde(default = "default_notify")]
    pub notify: Vec<Kind>,
}

fn default_timeout() -> Span {
    Span::from_seconds(10)
}

/// One write of the store serves all attempts of a turn: in a storm, eight are told of four times
/// as many alerts a second as two. A receiver that wants less says so with 429.
fn default_attempts() -> usize {
    8
}

/// Two, so that one slow answer does not stop the rest, without flooding the mail server.
fn default_concurrency() -> usize {
    2
}

fn default_severity() -> Severity {
    Severity::High
}

fn default_notify() -> Vec<Kind> {
    Kind::ROUTED.to_vec()
}

impl ChannelConfig {
    /// Every path in it, so that relative ones can be anchored at the folder of the file.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let paths = match self {
            Self::Webhook(webhook) => [webhook.secret_file.as_mut(), webhook.ca_file.as_mut()],
            Self::Smtp(smtp) => [smtp.password_file.as_mut(), smtp.ca_file.as_mut()],
        };
        paths.into_iter().flatten()
    }

    /// What routes call it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Webhook(webhook) => &webhook.name,
            Self::Smtp(smtp) => &smtp.name,
        }
    }

    /// Attempts at a time.
    #[must_use]
    pub const fn concurrency(&self) -> usize {
        match self {
            Self::Webhook(webhook) => webhook.concurrency,
            Self::Smtp(smtp) => smtp.concurrency,
        }
    }

    /// Longest time for one attempt.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        match self {
            Self::Webhook(webhook) => webhook.timeout.duration(),
            Self::Smtp(smtp) => smtp.timeout.duration(),
        }
    }
}

impl RouteConfig {
    /// What holds when nothing is said: every channel hears of what is high or critical.
    pub(crate) fn default_for(channels: &[ChannelConfig]) -> Self {
        Self {
            severity: default_severity(),
            rules: Vec::new(),
            tags: Vec::new(),
            channels: channels.iter().map(|channel| channel.name().to_owned()).collect(),
            notify: default_notify(),
        }
    }
}

impl Config {
    /// Everything that is wrong, files included; empty if the settings can be used.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.check_settings(&mut problems);
        let mut names = BTreeSet::new();
        for channel in &self.channel {
            let name = channel.name();
            if !is_name(name) {
                problems.push(format!(
                    "channel '{name}': a name is 1 to 64 of the characters a-z, 0-9, '-' and '_'"
                ));
            }
            if !names.insert(name) {
                problems.push(format!("channel '{name}' exists twice: rename one"));
            }
            check_channel(channel, &mut problems);
        }
        for (number, route) in (1..).zip(&self.route) {
            check_route(number, route, &names, &mut problems);
        }
        problems
    }

    fn check_settings(&self, problems: &mut Vec<String>) {
        let Settings { url, time_zone, .. } = &self.alerting;
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            problems.push(format!(
                "alerting.url = '{url}': give the address at which people reach Keng, \
                 beginning with http:// or https://"
            ));
        }
        if jiff::tz::TimeZone::get(time_zone).is_err() {
            problems.push(format!(
                "alerting.time_zone = '{time_zone}' is not known: use a name like \
                 Asia/Ho_Chi_Minh, and install the tzdata package if it is missing"
            ));
        }
        if self.alerting.session_lifetime.duration().is_zero() {
            problems.push("alerting.session_lifetime = 0: nobody could log in".to_owned());
        }
        let Settings { retention, notification_retention, .. } = &self.alerting;
        for (name, span) in
            [("retention", retention), ("notification_retention", notification_retention)]
        {
            if span.duration() < RETENTION_MIN {
                problems.push(format!(
                    "alerting.{name} is less than a day: a replay of findings could call people \
                     again for what was removed"
                ));
            }
        }
    }
}

fn check_channel(channel: &ChannelConfig, problems: &mut Vec<String>) {
    let name = channel.name();
    if channel.concurrency() == 0 || channel.concurrency() > 32 {
        problems.push(format!("channel '{name}': concurrency is 1 to 32"));
    }
    if channel.timeout().is_zero() || channel.timeout() > Duration::from_secs(300) {
        problems.push(format!("channel '{name}': timeout is more than 0 and at most 5m"));
    }
    match channel {
        ChannelConfig::Webhook(webhook) => check_webhook(webhook, problems),
        ChannelConfig::Smtp(smtp) => check_smtp(smtp, problems),
    }
}

fn check_webhook(webhook: &WebhookConfig, problems: &mut Vec<String>) {
    let name = &webhook.name;
    match reqwest::Url::parse(&webhook.url) {
        Ok(url) if url.scheme() == "https" => {}
        Ok(url) if url.scheme() == "http" => {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            if !webhook.allow_plaintext && !is_loopback(&host) {
                problems.push(format!(
                    "channel '{name}': alerts would cross the network in the clear to '{host}': \
                     use https://, or set allow_plaintext = true"
                ));
            }
        }
        _ => problems.push(format!(
            "channel '{name}': '{}' is not an http:// or https:// address",
            webhook.url
        )),
    }
    check_files(name, &[&webhook.secret_file, &webhook.ca_file], problems);
}

fn check_smtp(smtp: &SmtpConfig, problems: &mut Vec<String>) {
    let name = &smtp.name;
    if smtp.security == SmtpSecurity::None && !is_loopback(&smtp.server) {
        problems.push(format!(
            "channel '{name}': security = \"none\" is only for a mail server on this machine: \
             use \"starttls\" or \"tls\" for '{}'",
            smtp.server
        ));
    }
    if smtp.username.is_some() != smtp.password_file.is_some() {
        problems.push(format!("channel '{name}': username and password_file go together"));
    }
    if smtp.to.is_empty() {
        problems.push(format!("channel '{name}': 'to' names nobody"));
    }
    for address in smtp.to.iter().chain([&smtp.from]) {
        if let Err(error) = address.parse::<lettre::message::Mailbox>() {
            problems.push(format!("channel '{name}': '{address}' is no mail address: {error}"));
        }
    }
    check_files(name, &[&smtp.password_file, &smtp.ca_file], problems);
}

fn check_files(name: &str, files: &[&Option<PathBuf>], problems: &mut Vec<String>) {
    for path in files.iter().filter_map(|file| file.as_ref()) {
        if let Err(error) = std::fs::File::open(path) {
            problems.push(format!("channel '{name}': could not read {}: {error}", path.display()));
        }
    }
}

fn check_route(
    number: usize,
    route: &RouteConfig,
    channels: &BTreeSet<&str>,
    problems: &mut Vec<String>,
) {
    if route.channels.is_empty() {
        problems.push(format!("route {number} leads to no channel"));
    }
    for channel in route.channels.iter().filter(|channel| !channels.contains(channel.as_str())) {
        let known = match channels.is_empty() {
            true => "there is none".to_owned(),
            false => format!("known are {}", Vec::from_iter(channels.iter().copied()).join(", ")),
        };
        problems
            .push(format!("route {number} leads to '{channel}', which is no [[channel]]: {known}"));
    }
    if route.notify.contains(&Kind::Test) {
        problems.push(format!("route {number}: 'test' is not something that an alert does"));
    }
}

/// A name that can stand in a path, a metric label and a URL.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads a secret from its file; the newline that editors add is not part of it.
pub(crate) fn read_secret(path: &Path) -> Result<Vec<u8>, String> {
    let fail = |why: String| format!("could not read the secret in {}: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if size > SECRET_BYTES_MAX {
        return Err(fail(format!("{size} bytes are too many, at most {SECRET_BYTES_MAX}")));
    }
    let mut secret = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    while secret.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        secret.pop();
    }
    if secret.is_empty() {
        return Err(fail("the file is empty".to_owned()));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_configuration_reads() {
        let config: Config = toml::from_str(
            r#"
            [alerting]
            url = "https://keng.example.org"
            time_zone = "Asia/Ho_Chi_Minh"
            update_interval = "5m"

            [[channel]]
            name = "siem"
            kind = "webhook"
            url = "https://siem.example.org/hook"
            timeout = "3s"

            [[channel]]
            name = "soc-mail"
            kind = "smtp"
            server = "mail.example.org"
            from = "Kẻng <keng@example.org>"
            to = ["soc@example.org"]

            [[route]]
            severity = "medium"
            tags = ["attack.t1110"]
            channels = ["siem"]
            notify = ["alert.opened"]
            "#,
        )
        .unwrap();
        assert_eq!(config.problems(), Vec::<String>::new());
        assert_eq!(config.alerting.update_interval, Span::from_seconds(300));
        assert_eq!(config.channel[0].timeout(), Duration::from_secs(3));
        assert_eq!(config.route[0].notify, [Kind::Opened]);
    }

    #[test]
    fn unknown_keys_are_refused() {
        for text in [
            "[alerting]\nurls = 'http://x'",
            "[[channel]]\nname = 'a'\nkind = 'webhook'\nurl = 'https://a'\nsecret = 'x'",
            "[[route]]\nchannels = []\nlevel = 'high'",
        ] {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_route_to_nowhere_is_told_where_there_is_no_channel() {
        let route = "[[route]]\nseverity = \"high\"\nchannels = [\"soc\"]\n";
        let config: Config = toml::from_str(route).unwrap();
        let told = config.problems();
        assert_eq!(told, ["route 1 leads to 'soc', which is no [[channel]]: there is none"]);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let config: Config = toml::from_str(
            r#"
            [alerting]
            url = "keng"
            time_zone = "Asia/Hanoi2"
            retention = "23h"

            [[channel]]
            name = "A b"
            kind = "webhook"
            url = "http://192.0.2.1/hook"
            secret_file = "/nonexistent/secret"
            concurrency = 0

            [[channel]]
            name = "mail"
            kind = "smtp"
            server = "192.0.2.2"
            security = "none"
            from = "nobody"
            to = []
            username = "u"

            [[route]]
            channels = ["mial"]
            "#,
        )
        .unwrap();
        insta::assert_snapshot!(config.problems().join("\n"));
    }
}
