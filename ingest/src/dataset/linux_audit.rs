//! `linux.auditd`: records of the Linux audit daemon, one event each.
//!
//! They come as auditd writes them (`type=EXECVE msg=audit(1795312800.123:456): argc=2 …`), over
//! syslog behind `audispd:` or `audisp-syslog:`, with `node=` before them, with types as numbers,
//! and enriched (names behind numbers, in capitals). Texts in hexadecimal are decoded. Records of
//! one event share `auditd.serial`; they are not joined.
//!
//! | field | holds |
//! |---|---|
//! | `auditd.*` | every pair under its own name: `auditd.type`, `auditd.a0`, `auditd.SYSCALL`, `auditd.key`, … |
//! | `event.action` | the type in lower case, with `-` for `_`: `execve`, `user-login` |
//! | `event.outcome` | of `success`, `res` |
//! | `user.id`, `user.name` | `auid`, if it is set, else `uid`; `AUID`, `acct`, else `UID` |
//! | `process.*` | `pid`, `executable`, `name`, `working_directory`; of EXECVE and PROCTITLE, `command_line` |
//! | `file.path` | of PATH, `name` |
//! | `source.ip`, `source.domain` | `addr`, `hostname` |

use std::borrow::Cow;

use keng_event::{Dataset, EventBuilder, LogSource, Timestamp, field};

use super::endpoint::SOURCE;
use super::meaning::Meaning;
use super::pairs::pairs;
use super::{Defect, TextParser};
use crate::parse::TextRecord;
use crate::time;

pub(super) const DATASET: Dataset = Dataset {
    name: "linux.auditd",
    log_sources: &[LogSource {
        product: Some("linux"),
        category: None,
        service: Some("auditd"),
        guards: &[],
    }],
    aliases: &[],
    prefixes: &["auditd."],
};

pub(super) const PARSER: TextParser = TextParser { dataset: &DATASET, claims, parse };

/// What stands between a type and its pairs.
const STAMP: &str = "audit(";

/// Between a record and the names that enrich it.
const ENRICHED: char = '\u{1d}';

const NO_STAMP: Defect = Defect {
    tag: "linux.auditd.unreadable_time",
    reason: "no 'audit(seconds:serial)' before the pairs",
};

/// Types as the kernel numbers them (`linux/audit.h`, audit's `audit-records.h`).
const NUMBERED: [(&str, &str); 21] = [
    ("1100", "USER_AUTH"),
    ("1101", "USER_ACCT"),
    ("1105", "USER_START"),
    ("1106", "USER_END"),
    ("1112", "USER_LOGIN"),
    ("1114", "ADD_USER"),
    ("1115", "DEL_USER"),
    ("1123", "USER_CMD"),
    ("1130", "SERVICE_START"),
    ("1131", "SERVICE_STOP"),
    ("1300", "SYSCALL"),
    ("1302", "PATH"),
    ("1305", "CONFIG_CHANGE"),
    ("1306", "SOCKADDR"),
    ("1307", "CWD"),
    ("1309", "EXECVE"),
    ("1319", "TTY"),
    ("1326", "SECCOMP"),
    ("1327", "PROCTITLE"),
    ("1400", "AVC"),
    ("1701", "ANOM_ABEND"),
];

/// Calls that rules name, on x86-64 and AArch64, where the record is not enriched.
const SYSCALLS: [(&str, &str, &str); 18] = [
    ("execve", "59", "221"),
    ("execveat", "322", "281"),
    ("socket", "41", "198"),
    ("connect", "42", "203"),
    ("bind", "49", "200"),
    ("ptrace", "101", "117"),
    ("syslog", "103", "116"),
    ("sysinfo", "99", "179"),
    ("mknod", "133", ""),
    ("mknodat", "259", "33"),
    ("personality", "135", "92"),
    ("mount", "165", "40"),
    ("init_module", "175", "105"),
    ("delete_module", "176", "106"),
    ("finit_module", "313", "273"),
    ("memfd_create", "319", "279"),
    ("bpf", "321", "280"),
    ("setuid", "105", "146"),
];

fn claims(record: &TextRecord<'_>) -> bool {
    let text = record.text;
    let begins = text.starts_with("type=") || text.starts_with("node=");
    begins && text.contains(STAMP)
}

fn parse(record: &TextRecord<'_>, event: &mut EventBuilder<'_>) -> Option<Defect> {
    let (head, rest) = record.text.split_once(STAMP).unwrap_or((record.text, ""));
    let (stamp, body) = rest.split_once(')').unwrap_or(("", rest));
    let mut kind = "";
    for (name, value) in pairs(head) {
        match name {
            "type" => kind = named(value),
            "node" => {
                event.put(field::HOST_NAME, value);
            }
            _ => {}
        }
    }
    event.put_named("auditd.type", kind);
    put_meaning(kind, event);
    let defect = put_stamp(stamp, record, event).is_none().then_some(NO_STAMP);
    let mut seen = Seen::default();
    // Programs put their own pairs into `msg='…'`.
    for part in body.split([ENRICHED]) {
        let (outer, inner) = part.split_once("msg='").unwrap_or((part, ""));
        for (name, value) in pairs(outer).chain(pairs(inner)) {
            seen.put(kind, name, value.trim_end_matches('\''), part, event);
        }
    }
    seen.finish(kind, event);
    defect
}

fn named(kind: &str) -> &str {
    let number = kind.strip_prefix("UNKNOWN[").map_or(kind, |rest| rest.trim_end_matches(']'));
    NUMBERED.iter().find(|(known, _)| *known == number).map_or(kind, |(_, name)| name)
}

/// `1795312800.123:456`.
fn put_stamp(
    stamp: &str,
    record: &TextRecord<'_>,
    event: &mut EventBuilder<'_>,
) -> Option<Timestamp> {
    let (clock, serial) = stamp.split_once(':')?;
    event.put_named("auditd.serial", serial);
    let (seconds, millis) = clock.split_once('.')?;
    let millis = format!("{seconds}{millis:0<3}").parse::<i64>().ok()?;
    let claimed = Timestamp::from_nanos(millis.checked_mul(1_000_000)?);
    time::settle(event, claimed, record.received);
    Some(claimed)
}

fn put_meaning(kind: &str, event: &mut EventBuilder<'_>) {
    let (categories, types): (&[&'static str], &[&'static str]) = match kind {
        "EXECVE" | "PROCTITLE" => (&["process"], &["start"]),
        "SYSCALL" | "SECCOMP" | "ANOM_ABEND" | "TTY" | "USER_CMD" | "CWD" => {
            (&["process"], &["info"])
        }
        "PATH" => (&["file"], &["info"]),
        "SOCKADDR" => (&["network"], &["info"]),
        "SERVICE_START" => (&["process"], &["start"]),
        "SERVICE_STOP" => (&["process"], &["end"]),
        "USER_LOGIN" | "USER_START" => (&["authentication"], &["start"]),
        "USER_END" | "USER_LOGOUT" => (&["authentication"], &["end"]),
        "USER_AUTH" | "USER_ACCT" | "USER_ERR" | "LOGIN" => (&["authentication"], &["info"]),
        "ADD_USER" | "ADD_GROUP" => (&["iam"], &["creation"]),
        "DEL_USER" | "DEL_GROUP" => (&["iam"], &["deletion"]),
        "USER_CHAUTHTOK" | "USER_MGMT" | "GRP_MGMT" => (&["iam"], &["change"]),
        "CONFIG_CHANGE" | "MAC_CONFIG_CHANGE" | "MAC_STATUS" => (&["configuration"], &["change"]),
        _ => (&["host"], &["info"]),
    };
    Meaning::new("", categories, types).put(event);
    let action = kind.to_ascii_lowercase().replace('_', "-");
    if !action.is_empty() {
        event.put(field::EVENT_ACTION, &*action);
    }
}

/// What is put together when all pairs are known.
#[derive(Default)]
struct Seen {
    words: Vec<String>,
    arch: String,
    number: String,
    enriched: bool,
    login: [Option<String>; 2],
    user: [Option<String>; 2],
}

impl Seen {
    fn put(
        &mut self,
        kind: &str,
        name: &str,
        value: &str,
        part: &str,
        event: &mut EventBuilder<'_>,
    ) {
        let written = || ["", name, "=\""].concat();
        let quoted = part.contains(&written());
        let value = if quoted { Cow::Borrowed(value) } else { decoded(kind, name, value) };
        event.put_named(&["auditd.", name].concat(), &*value);
        match name {
            "arch" => self.arch = value.into_owned(),
            "syscall" => self.number = value.into_owned(),
            "SYSCALL" => self.enriched = true,
            "auid" if &*value != "4294967295" && &*value != "-1" && &*value != "unset" => {
                self.login[0] = Some(value.into_owned());
            }
            "uid" => self.user[0] = Some(value.into_owned()),
            "AUID" if !value.eq_ignore_ascii_case("unset") => {
                self.login[1] = Some(value.into_owned());
            }
            "acct" => self.login[1] = Some(value.into_owned()),
            "UID" => self.user[1] = Some(value.into_owned()),
            "success" | "res" => put_outcome(&value, event),
            "addr" | "hostname" if !event.has(field::SOURCE_IP) => SOURCE.put_host(&value, event),
            "key" if &*value != "(null)" => {
                event.put(field::RULE_NAME, &*value);
            }
            "proctitle" | "cmd" => {
                event.put(field::PROCESS_COMMAND_LINE, &*value);
            }
            name if kind == "EXECVE" && is_argument(name) => self.words.push(value.into_owned()),
            name => put_ecs(kind, name, &value, event),
        }
    }

    fn finish(self, kind: &str, event: &mut EventBuilder<'_>) {
        if kind == "EXECVE" && !self.words.is_empty() {
            event.put(field::PROCESS_COMMAND_LINE, &*self.words.join(" "));
        }
        let [login_id, login_name] = self.login;
        let [user_id, user_name] = self.user;
        event.put_some(field::USER_ID, login_id.or(user_id).as_deref());
        event.put_some(field::USER_NAME, login_name.or(user_name).as_deref());
        if !self.enriched {
            let call = SYSCALLS.iter().find(|(_, x86, arm)| match self.arch.as_str() {
                "c000003e" => *x86 == self.number,
                "c00000b7" => !arm.is_empty() && *arm == self.number,
                _ => false,
            });
            if let Some((name, ..)) = call {
                event.put_named("auditd.SYSCALL", *name);
            }
        }
    }
}

/// `a0`, `a1`, …, `a2[0]` of a long one.
fn is_argument(name: &str) -> bool {
    name.strip_prefix('a').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn put_outcome(word: &str, event: &mut EventBuilder<'_>) {
    let outcome = match word {
        "yes" | "success" | "1" => "success",
        "no" | "failed" | "0" => "failure",
        _ => return,
    };
    if !event.has(field::EVENT_OUTCOME) {
        event.put(field::EVENT_OUTCOME, outcome);
    }
}

fn put_ecs(kind: &str, name: &str, value: &str, event: &mut EventBuilder<'_>) {
    let ours = match name {
        "pid" => field::PROCESS_PID,
        "ppid" => field::PROCESS_PARENT_PID,
        "exe" => field::PROCESS_EXECUTABLE,
        "comm" => field::PROCESS_NAME,
        "cwd" => field::PROCESS_WORKING_DIRECTORY,
        "name" if kind == "PATH" => field::FILE_PATH,
        "unit" => field::SERVICE_NAME,
        _ => return,
    };
    if event.has(ours) || matches!(value, "" | "?" | "(null)") {
        return;
    }
    match value.parse::<i64>() {
        Ok(number) if name.ends_with("pid") => event.put(ours, number),
        _ => event.put(ours, value),
    };
}

/// Text that the kernel wrote in hexadecimal because a user could have chosen it. Arguments of
/// calls (`a0` of SYSCALL) are numbers, and stay.
fn decoded<'v>(kind: &str, name: &str, value: &'v str) -> Cow<'v, str> {
    let text = match name {
        "proctitle" | "exe" | "comm" | "cwd" | "name" | "cmd" | "acct" | "data" | "key" => true,
        name => kind == "EXECVE" && is_argument(name),
    };
    let hex = value.len() >= 2
        && value.len().is_multiple_of(2)
        && value.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
    if !text || !hex {
        return Cow::Borrowed(value);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let bytes: Option<Vec<u8>> = value
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    // Arguments of a command line are separated by NUL.
    text.map_or(Cow::Borrowed(value), |text| Cow::Owned(text.replace('\0', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_text_and_leaves_numbers() {
        assert_eq!(decoded("EXECVE", "a1", "2F746D702F612062"), "/tmp/a b");
        assert_eq!(decoded("SYSCALL", "a1", "26"), "26");
        assert_eq!(decoded("PROCTITLE", "proctitle", "6C73002D6C"), "ls -l");
        assert_eq!(decoded("PATH", "name", "FF"), "FF");
        assert_eq!(decoded("EXECVE", "a0", "6e67"), "6e67");
    }

    #[test]
    fn types_have_names() {
        assert_eq!(named("1309"), "EXECVE");
        assert_eq!(named("UNKNOWN[1400]"), "AVC");
        assert_eq!(named("USER_CMD"), "USER_CMD");
    }
}
