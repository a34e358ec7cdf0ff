//! `linux.auth`: who came in, who became whom, and who changed accounts on a Unix host.
//!
//! sshd, sudo, su, PAM, cron, the shadow suite (`useradd`, `usermod`, `groupadd`, `passwd`, …),
//! systemd-logind and some elder daemons. Layouts are those of OpenSSH 3 to 10, Linux-PAM,
//! sudo 1.8/1.9 and shadow 4.
//!
//! | field | holds |
//! |---|---|
//! | `process.name`, `process.pid` | the program that wrote it |
//! | `user.name` | who acted or tried to: the login name, the caller of sudo or su |
//! | `user.effective.name` | whom sudo, su or a session made of them |
//! | `user.target.name`, `group.name` | the account or group that was changed |
//! | `source.ip`, `source.domain`, `source.port` | where a remote login came from |
//! | `event.action` | `ssh-login`, `ssh-invalid-user`, `ssh-max-attempts`, `ssh-user-denied`, `ssh-disconnect`, `ssh-connection`, `pam-authenticate`, `session-opened`, `session-closed`, `sudo-command`, `sudo-denied`, `su`, `cron-command`, `crontab-changed`, `added-user-account`, `deleted-user-account`, `modified-user-account`, `added-member-to-group`, `changed-password`, … |
//! | `event.outcome` | `success` or `failure` wherever the record says |
//! | `process.command_line` | what sudo or cron ran |
//! | `sshd.method`, `sshd.preauth`, `pam.module`, `pam.service`, `sudo.tty`, … | the rest |
//! | `syslog.repeated` | how often, where syslogd folded equal messages |

mod accounts;
mod cron;
mod pam;
mod privilege;
mod session;
mod sshd;

use keng_event::dataset::{Alias, Guard};
use keng_event::{Dataset, EventBuilder, LogSource, field};

use super::phrase::Layout;
use super::{Defect, TextParser};
use crate::parse::TextRecord;

pub(super) const DATASET: Dataset = Dataset {
    name: "linux.auth",
    log_sources: &[
        service("auth", &[]),
        service("syslog", &[]),
        service("sshd", &[Guard { field: "process.name", any_of: sshd::PROGRAMS }]),
        service("sudo", &[Guard { field: "process.name", any_of: &["sudo"] }]),
        service("cron", &[Guard { field: "process.name", any_of: cron::PROGRAMS }]),
        service("vsftpd", &[Guard { field: "process.name", any_of: &["vsftpd"] }]),
    ],
    aliases: &[
        Alias { sigma: "USER", fields: &["user.effective.name"] },
        Alias { sigma: "COMMAND", fields: &["process.command_line"] },
        Alias { sigma: "PWD", fields: &["process.working_directory"] },
        Alias { sigma: "TTY", fields: &["sudo.tty"] },
    ],
    prefixes: &[],
};

const fn service(name: &'static str, guards: &'static [Guard]) -> LogSource {
    LogSource { product: Some("linux"), category: None, service: Some(name), guards }
}

pub(super) const PARSER: TextParser = TextParser { dataset: &DATASET, claims, parse };

/// Who reads the messages of which programs.
type Reader = fn(&str, &mut EventBuilder<'_>) -> bool;
const READERS: &[(&[&str], Reader)] = &[
    (sshd::PROGRAMS, sshd::read),
    (&["sudo"], privilege::sudo),
    (&["su", "su-l"], privilege::su),
    (cron::PROGRAMS, cron::read),
    (accounts::PROGRAMS, accounts::read),
    (session::PROGRAMS, session::read),
];

fn claims(record: &TextRecord<'_>) -> bool {
    let Some(appname) = record.appname else { return false };
    appname.ends_with("(pam_unix)")
        || READERS.iter().any(|(programs, _)| programs.contains(&program(appname)))
        || record.text.starts_with("pam_")
}

fn parse(record: &TextRecord<'_>, event: &mut EventBuilder<'_>) -> Option<Defect> {
    let appname = record.appname.unwrap_or_default();
    let name = program(appname);
    event.put(field::PROCESS_NAME, name);
    if let Some(pid) = record.procid.and_then(|procid| procid.parse::<u32>().ok()) {
        event.put(field::PROCESS_PID, pid);
    }
    let text = unfold(record.text.trim(), event);
    let known = if appname.ends_with("(pam_unix)") {
        pam::read("unix", name, text, event)
    } else if let Some((module, service, text)) = pam::prefix(text) {
        pam::read(module, service, text, event)
    } else {
        let reader = READERS.iter().find(|(programs, _)| programs.contains(&name));
        reader.is_some_and(|(_, read)| read(text, event))
    };
    if !known {
        // Programs may say anything; what we have no layout for is an event all the same.
        event.put(field::EVENT_CATEGORY, "process").put(field::EVENT_TYPE, "info");
    }
    None
}

/// `sshd` of `sshd(pam_unix)` and of `/usr/sbin/sshd`.
fn program(appname: &str) -> &str {
    let name = appname.split_once('(').map_or(appname, |(name, _)| name);
    name.rsplit_once('/').map_or(name, |(_, name)| name)
}

const REPEATED: Layout = Layout::of("message repeated {n} times: [ {text..}]");

/// What `message repeated 5 times: [ … ]` repeats.
fn unfold<'t>(text: &'t str, event: &mut EventBuilder<'_>) -> &'t str {
    let found = REPEATED.captures(text);
    let Some((times, inner)) =
        found.and_then(|found| Some((found.get("n")?.parse::<u32>().ok()?, found.get("text")?)))
    else {
        return text;
    };
    event.put_named("syslog.repeated", times);
    inner.trim()
}
