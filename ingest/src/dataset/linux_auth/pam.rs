//! Linux-PAM's modules, under their own prefix (`pam_unix(sshd:auth): …`) or, in elder systems,
//! after the program's name (`sshd(pam_unix)`).

use keng_event::{EventBuilder, field};

use crate::dataset::endpoint::SOURCE;
use crate::dataset::meaning::Meaning;
use crate::dataset::pairs::pairs;
use crate::dataset::phrase::{self, Captures, Layout, Phrase, says};

const REFUSED: Meaning = Meaning::new("pam-authenticate", &["authentication"], &["info"]).failure();
const GRANTED: Meaning =
    Meaning::new("pam-authenticate", &["authentication"], &["start"]).success();
const LOCKED: Meaning = Meaning::new("locked-account", &["authentication"], &["info"]).failure();
const OPENED: Meaning = Meaning::new("session-opened", &["session"], &["start"]).success();
const CLOSED: Meaning = Meaning::new("session-closed", &["session"], &["end"]).success();
const PASSWORD: Meaning = Meaning::new("changed-password", &["iam"], &["change", "user"]).success();
const PASSWORD_REFUSED: Meaning =
    Meaning::new("changed-password", &["iam"], &["change", "user"]).failure();

const PHRASES: &[Phrase] = &[
    says("session closed for user {user.name}", CLOSED),
    says("check pass; user unknown", REFUSED),
    says("check pass; user ({user.name}) unknown", REFUSED),
    says("bad username [{user.name}]", REFUSED),
    says("auth could not identify password for [{user.name}]", REFUSED),
    says("conversation failed", REFUSED),
    says("password check failed for user ({user.name})", REFUSED),
    says("Consecutive login failures for user {user.name} account temporarily locked", LOCKED),
    says("user {user.name} ({user.id}) tally {pam.failures}, deny {pam.limit}", LOCKED),
    says("requirement \"{event.reason}\" not met by user \"{user.name}\"", REFUSED),
    says("requirement \"{event.reason}\" was met by user \"{user.name}\"", GRANTED),
    says("access denied for user `{user.name}' from `{source}'", REFUSED),
    says("account {user.name} has expired ({event.reason})", REFUSED),
    says("expired password for user {user.name} ({event.reason})", REFUSED),
    says("password changed for {user.target.name}", PASSWORD),
    says("authentication granted for user {user.name}", GRANTED),
    says("authentication succeeds for '{user.name}' ({_})", GRANTED),
    says("authentication fails for '{user.name}' ({_})", REFUSED),
    says("new password not acceptable", PASSWORD_REFUSED),
];

const MORE_FAILURES: Layout = Layout::of("{pam.failures} more authentication failure{kv}");
const SESSION_OPENED: Layout = Layout::of("session opened for user {user} by {by..}");

/// Module, service and message of `pam_unix(sshd:auth): message`.
pub(super) fn prefix(text: &str) -> Option<(&str, &str, &str)> {
    let rest = text.strip_prefix("pam_")?;
    let (module, rest) = rest.split_once('(')?;
    let (service, message) = rest.split_once("): ")?;
    let service = service.split_once(':').map_or(service, |(service, _)| service);
    (!module.contains(' ')).then_some((module, service, message))
}

pub(super) fn read(module: &str, service: &str, text: &str, event: &mut EventBuilder<'_>) -> bool {
    event.put_named("pam.module", module).put_named("pam.service", service);
    if let Some(rest) = text.strip_prefix("authentication failure") {
        REFUSED.put(event);
        credentials(rest, event);
        return true;
    }
    if let Some(found) = MORE_FAILURES.captures(text) {
        return more_failures(&found, event);
    }
    if let Some(found) = SESSION_OPENED.captures(text) {
        opened(&found, event);
        return true;
    }
    phrase::speak(PHRASES, text, event)
}

/// `2 more authentication failures; logname= uid=0 … rhost=192.0.2.1  user=root`
pub(super) fn more_failures(found: &Captures<'_>, event: &mut EventBuilder<'_>) -> bool {
    let Some(failures) = found.get("pam.failures").and_then(|n| n.parse::<u32>().ok()) else {
        return false;
    };
    REFUSED.put(event);
    event.put_named("pam.failures", failures);
    credentials(found.get("kv").unwrap_or_default(), event);
    true
}

fn credentials(text: &str, event: &mut EventBuilder<'_>) {
    for (name, value) in pairs(text).filter(|(_, value)| !value.is_empty()) {
        match name {
            "user" => event.put(field::USER_NAME, value),
            "rhost" => {
                SOURCE.put_host(value, event);
                continue;
            }
            "ruser" => event.put(field::SOURCE_USER_NAME, value),
            "tty" => event.put_named("pam.tty", value),
            "logname" => event.put_named("pam.logname", value),
            "uid" => event.put_named("pam.uid", value),
            "euid" => event.put_named("pam.euid", value),
            _ => continue,
        };
    }
}

/// A session of `root(uid=0)` opened `by nguyễn(uid=1000)`, or by nobody (`(uid=0)`): daemons.
fn opened(found: &Captures<'_>, event: &mut EventBuilder<'_>) {
    OPENED.put(event);
    let (user, id) = account(found.get("user").unwrap_or_default());
    let (by, by_id) = account(found.get("by").unwrap_or_default());
    if by.is_empty() || by == user {
        event.put(field::USER_NAME, user).put_some(field::USER_ID, id);
    } else {
        event.put(field::USER_NAME, by).put_some(field::USER_ID, by_id);
        event.put(field::USER_EFFECTIVE_NAME, user).put_some(field::USER_EFFECTIVE_ID, id);
    }
}

fn account(text: &str) -> (&str, Option<&str>) {
    match text.split_once("(uid=") {
        Some((name, id)) => (name, id.strip_suffix(')')),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        phrase::tests::check(PHRASES);
        PHRASES.iter().for_each(|phrase| phrase.meaning.check());
    }

    #[test]
    fn takes_the_prefix_apart() {
        let text = "pam_unix(sshd:auth): authentication failure; user=x";
        assert_eq!(prefix(text), Some(("unix", "sshd", "authentication failure; user=x")));
        assert_eq!(prefix("pam_systemd: nothing"), None);
    }
}
