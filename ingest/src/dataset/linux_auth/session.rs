//! Sessions that are neither ssh's nor su's: systemd-logind, consoles, display managers, and the
//! elder network daemons.

use keng_event::EventBuilder;

use crate::dataset::meaning::Meaning;
use crate::dataset::phrase::{self, Phrase, says};

pub(super) const PROGRAMS: &[&str] = &[
    "systemd-logind",
    "login",
    "gdm",
    "gdm-password",
    "gdm-autologin",
    "lightdm",
    "sddm",
    "xrdp",
    "xrdp-sesman",
    "unix_chkpwd",
    "polkitd",
    "pkexec",
    "ftpd",
    "vsftpd",
    "proftpd",
    "klogind",
    "rlogind",
    "rshd",
    "telnetd",
    "in.telnetd",
    "dovecot",
];

const OPENED: Meaning = Meaning::new("session-opened", &["session"], &["start"]).success();
const CLOSED: Meaning = Meaning::new("session-closed", &["session"], &["end"]).success();
const LOGIN: Meaning = Meaning::new("login", &["authentication", "session"], &["start"]).success();
const REFUSED: Meaning = Meaning::new("login", &["authentication"], &["info"]).failure();
const CONNECTED: Meaning = Meaning::new("connection", &["network"], &["connection", "start"]);
const ENDING: Meaning = Meaning::new("host-shutdown", &["host"], &["end"]);
const RAN: Meaning = Meaning::new("pkexec-command", &["process"], &["start"]).success();

const PHRASES: &[Phrase] = &[
    says("New session {session.id} of user {user.name}.", OPENED),
    says("New session '{session.id}' of user '{user.name}' with class {_}", OPENED),
    says("Removed session {session.id}.", CLOSED),
    says("Session {session.id} logged out. {_}", CLOSED),
    says("System is {_}.", ENDING),
    says("ROOT LOGIN ON {login.tty} FROM {source}", LOGIN),
    says("ROOT LOGIN ON {login.tty}", LOGIN),
    says("LOGIN ON {login.tty} BY {user.name..} FROM {source}", LOGIN),
    says("LOGIN ON {login.tty} BY {user.name}", LOGIN),
    says("FAILED LOGIN {_} FROM {source} FOR {user.name..}, {event.reason}", REFUSED),
    says("FAILED LOGIN ({_}) on '{login.tty}' FOR '{user.name..}', {event.reason}", REFUSED),
    says("password check failed for user ({user.name})", REFUSED),
    says("connection from {source.ip} ({source.domain}) at {_}", CONNECTED),
    says("ANONYMOUS FTP LOGIN FROM {source.ip}, ({source.domain}) {_}", LOGIN),
    says("ANONYMOUS FTP LOGIN FROM {source}, {_}", LOGIN),
    says("FTP LOGIN REFUSED {_} FROM {source}, {user.name}", REFUSED),
    says("FTP LOGIN FROM {source}, {user.name}", LOGIN),
    says("Authentication failed from {source.ip} ({source.domain}): {event.reason}", REFUSED),
    says("Kerberos authentication failed", REFUSED),
    says(
        "{user.name}: Executing command [USER={user.effective.name}] [TTY={_}] [CWD={process.working_directory}] [COMMAND={process.command_line..}]",
        RAN,
    ),
];

pub(super) fn read(text: &str, event: &mut EventBuilder<'_>) -> bool {
    phrase::speak(PHRASES, text, event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        phrase::tests::check(PHRASES);
        PHRASES.iter().for_each(|phrase| phrase.meaning.check());
    }
}
