//! Becoming somebody else: sudo and su. sudo's layout is that of its manual, section "Log
//! format": `user : [reason ;] TTY=… ; PWD=… ; USER=… ; COMMAND=…`.

use keng_event::{EventBuilder, field};

use crate::dataset::meaning::Meaning;
use crate::dataset::phrase::{self, Phrase, says};

const RAN: Meaning = Meaning::new("sudo-command", &["process"], &["start"]).success();
const NOT_ALLOWED: Meaning =
    Meaning::new("sudo-denied", &["authentication", "process"], &["info"]).failure();
const NOT_PROVED: Meaning =
    Meaning::new("sudo-authenticate", &["authentication"], &["info"]).failure();

const BECAME: Meaning = Meaning::new("su", &["authentication", "session"], &["start"]).success();
const REFUSED: Meaning = Meaning::new("su", &["authentication"], &["info"]).failure();

const SU: &[Phrase] = &[
    says("Successful su for {user.effective.name..} by {user.name}", BECAME),
    says("FAILED su for {user.effective.name..} by {user.name}", REFUSED),
    says("FAILED SU (to {user.effective.name}) {user.name..} on {su.tty}", REFUSED),
    says("(to {user.effective.name}) {user.name..} on {su.tty}", BECAME),
    says("+ {su.tty} {user.name}:{user.effective.name}", BECAME),
    says("- {su.tty} {user.name}:{user.effective.name}", REFUSED),
];

pub(super) fn su(text: &str, event: &mut EventBuilder<'_>) -> bool {
    phrase::speak(SU, text, event)
}

pub(super) fn sudo(text: &str, event: &mut EventBuilder<'_>) -> bool {
    let Some((user, rest)) = text.split_once(" : ") else { return false };
    let (rest, command) = match rest.split_once("COMMAND=") {
        Some((rest, command)) => (rest, Some(command)),
        None => (rest, None),
    };
    event.put(field::USER_NAME, user.trim());
    let mut reason = None;
    for part in rest.split(" ; ").map(str::trim) {
        let (name, value) = part.split_once('=').unwrap_or_default();
        let name = match name {
            "TTY" => "sudo.tty",
            "PWD" => "process.working_directory",
            "USER" => "user.effective.name",
            "GROUP" => "sudo.group",
            "ENV" => "sudo.environment",
            "TSID" => "sudo.session",
            "HOST" => "sudo.host",
            _ => {
                reason = reason.or(Some(part).filter(|part| !matches!(*part, "" | ";")));
                continue;
            }
        };
        event.put_named(name, value);
    }
    if let Some(command) = command {
        event.put(field::PROCESS_COMMAND_LINE, command);
        let executable = command.split(' ').next().unwrap_or_default();
        if executable.starts_with('/') {
            event.put(field::PROCESS_EXECUTABLE, executable);
        }
    }
    event.put_some(field::EVENT_REASON, reason);
    let meaning = match reason {
        None => RAN,
        // "3 incorrect password attempts", "a password is required", "unable to …": the person
        // was not believed. All else is sudoers' refusal of a person it knows.
        Some(reason) if reason.contains("password") || reason.contains("authentication") => {
            NOT_PROVED
        }
        Some(_) => NOT_ALLOWED,
    };
    meaning.put(event);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        phrase::tests::check(SU);
        SU.iter().for_each(|phrase| phrase.meaning.check());
        [RAN, NOT_ALLOWED, NOT_PROVED].iter().for_each(Meaning::check);
    }
}
