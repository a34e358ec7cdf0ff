//! OpenSSH's server. Wording: `auth.c`, `auth2.c`, `packet.c`, `session.c` and `sshd.c` of its
//! releases; elder wording ("illegal user") is kept because elder systems are.

use keng_event::{EventBuilder, field};

use crate::dataset::meaning::Meaning;
use crate::dataset::phrase::{self, Layout, Phrase, says};

pub(super) const PROGRAMS: &[&str] = &["sshd", "sshd-session", "sshd-auth", "dropbear"];

const LOGIN: Meaning =
    Meaning::new("ssh-login", &["authentication", "session"], &["start"]).success();
const REFUSED: Meaning = Meaning::new("ssh-login", &["authentication"], &["info"]).failure();
const POSTPONED: Meaning = Meaning::new("ssh-login-postponed", &["authentication"], &["info"]);
const UNKNOWN_USER: Meaning =
    Meaning::new("ssh-invalid-user", &["authentication"], &["info"]).failure();
const DENIED: Meaning = Meaning::new("ssh-user-denied", &["authentication"], &["info"]).failure();
const TOO_MANY: Meaning =
    Meaning::new("ssh-max-attempts", &["authentication"], &["info"]).failure();
const TIMEOUT: Meaning = Meaning::new("ssh-timeout", &["authentication"], &["info"]).failure();
const NAME_MISMATCH: Meaning =
    Meaning::new("ssh-reverse-mapping", &["network"], &["info"]).failure();
const CONNECTED: Meaning = Meaning::new("ssh-connection", &["network"], &["connection", "start"]);
const DISCONNECTED: Meaning =
    Meaning::new("ssh-disconnect", &["network", "session"], &["connection", "end"]);
const PROTOCOL: Meaning = Meaning::new("ssh-protocol-error", &["network"], &["protocol"]).failure();
const OPENED: Meaning = Meaning::new("session-opened", &["session"], &["start"]).success();
const CLOSED: Meaning = Meaning::new("session-closed", &["session"], &["end"]).success();
const LISTENING: Meaning = Meaning::new("service-started", &["process"], &["start"]).success();
const STOPPED: Meaning = Meaning::new("service-stopped", &["process"], &["end"]);
const PAM: Meaning = Meaning::new("pam-authenticate", &["authentication"], &["info"]).failure();

const PHRASES: &[Phrase] = &[
    says(
        "Failed {sshd.method} for invalid user {user.name..} from {source} port {source.port} {_}",
        REFUSED,
    ),
    says(
        "Failed {sshd.method} for illegal user {user.name..} from {source} port {source.port} {_}",
        REFUSED,
    ),
    says("Failed {sshd.method} for {user.name..} from {source} port {source.port} {_}", REFUSED),
    says(
        "Accepted {sshd.method} for {user.name..} from {source} port {source.port} {_}: {sshd.key}",
        LOGIN,
    ),
    says("Accepted {sshd.method} for {user.name..} from {source} port {source.port} {_}", LOGIN),
    says(
        "Postponed {sshd.method} for {user.name..} from {source} port {source.port} {_}",
        POSTPONED,
    ),
    says("Partial {sshd.method} for {user.name..} from {source} port {source.port} {_}", POSTPONED),
    says("Invalid user {user.name..} from {source} port {source.port}", UNKNOWN_USER),
    says("Invalid user {user.name..} from {source}", UNKNOWN_USER),
    says("Illegal user {user.name..} from {source}", UNKNOWN_USER),
    says("input_userauth_request: invalid user {user.name}", UNKNOWN_USER),
    says("input_userauth_request: illegal user {user.name}", UNKNOWN_USER),
    says("User {user.name..} from {source} not allowed because {event.reason}", DENIED),
    says("User {user.name..} not allowed because {event.reason}", DENIED),
    says("ROOT LOGIN REFUSED FROM {source} port {source.port}", DENIED),
    says("ROOT LOGIN REFUSED FROM {source}", DENIED),
    says(
        "maximum authentication attempts exceeded for invalid user {user.name..} from {source} port {source.port} {_}",
        TOO_MANY,
    ),
    says(
        "maximum authentication attempts exceeded for {user.name..} from {source} port {source.port} {_}",
        TOO_MANY,
    ),
    says(
        "Disconnecting authenticating user {user.name..} {source} port {source.port}: Too many authentication failures",
        TOO_MANY,
    ),
    says(
        "Disconnecting invalid user {user.name..} {source} port {source.port}: Too many authentication failures",
        TOO_MANY,
    ),
    says("Disconnecting: Too many authentication failures for {user.name}", TOO_MANY),
    says("Disconnecting: Too many authentication failures", TOO_MANY),
    says("Too many authentication failures for {user.name}", TOO_MANY),
    says("PAM: {event.reason} for illegal user {user.name..} from {source}", PAM),
    says("PAM: {event.reason} for {user.name..} from {source}", PAM),
    says(
        "Timeout before authentication for connection from {source} to {destination}, pid = {_}",
        TIMEOUT,
    ),
    says("Timeout before authentication for {source} port {source.port}", TIMEOUT),
    says("Timeout before authentication for {source}", TIMEOUT),
    says(
        "reverse mapping checking getaddrinfo for {source.domain} [{source.ip}] failed{_}",
        NAME_MISMATCH,
    ),
    says("reverse mapping checking getaddrinfo for {source.domain} failed{_}", NAME_MISMATCH),
    says(
        "Address {source.ip} maps to {source.domain}, but this does not map back{_}",
        NAME_MISMATCH,
    ),
    says("Nasty PTR record \"{_}\" is set up for {source.ip}, ignoring", NAME_MISMATCH),
    says(
        "Connection from {source} port {source.port} on {destination} port {destination.port} {_}",
        CONNECTED,
    ),
    says(
        "Connection from {source} port {source.port} on {destination} port {destination.port}",
        CONNECTED,
    ),
    says("Connection from {source} port {source.port}", CONNECTED),
    says(
        "Received disconnect from {source} port {source.port}:{sshd.reason_code}: {event.reason}",
        DISCONNECTED,
    ),
    says("Received disconnect from {source}: {sshd.reason_code}: {event.reason}", DISCONNECTED),
    says(
        "Disconnected from authenticating user {user.name..} {source} port {source.port}",
        DISCONNECTED,
    ),
    says("Disconnected from invalid user {user.name..} {source} port {source.port}", DISCONNECTED),
    says("Disconnected from user {user.name..} {source} port {source.port}", DISCONNECTED),
    says("Disconnected from {source} port {source.port}", DISCONNECTED),
    says("Disconnected from {source}", DISCONNECTED),
    says(
        "Disconnecting authenticating user {user.name..} {source} port {source.port}: {event.reason}",
        DISCONNECTED,
    ),
    says(
        "Disconnecting invalid user {user.name..} {source} port {source.port}: {event.reason}",
        DISCONNECTED,
    ),
    says("Disconnecting {source} port {source.port}: {event.reason}", DISCONNECTED),
    says("Disconnecting: {event.reason}", DISCONNECTED),
    says(
        "Connection {sshd.ending} by authenticating user {user.name..} {source} port {source.port}",
        DISCONNECTED,
    ),
    says(
        "Connection {sshd.ending} by invalid user {user.name..} {source} port {source.port}",
        DISCONNECTED,
    ),
    says(
        "Connection {sshd.ending} by user {user.name..} {source} port {source.port}",
        DISCONNECTED,
    ),
    says("Connection {sshd.ending} by {source} port {source.port}", DISCONNECTED),
    says("Connection {sshd.ending} by {source}", DISCONNECTED),
    says("Did not receive identification string from {source} port {source.port}", PROTOCOL),
    says("Did not receive identification string from {source}", PROTOCOL),
    says(
        "Bad protocol version identification {sshd.banner..} from {source} port {source.port}",
        PROTOCOL,
    ),
    says("Bad protocol version identification {sshd.banner..} from {source}", PROTOCOL),
    says("banner exchange: Connection from {source} port {source.port}: {event.reason}", PROTOCOL),
    says("Unable to negotiate with {source} port {source.port}: {event.reason}", PROTOCOL),
    says("kex_exchange_identification: {event.reason}", PROTOCOL),
    says(
        "Starting session: {sshd.session} for {user.name..} from {source} port {source.port} {_}",
        OPENED,
    ),
    says("Close session: user {user.name..} from {source} port {source.port} {_}", CLOSED),
    says("subsystem request for {sshd.subsystem} by user {user.name}", OPENED),
    says("subsystem request for {sshd.subsystem}", OPENED),
    says("Write failed: {event.reason}", DISCONNECTED),
    says("Read from socket failed: {event.reason}", DISCONNECTED),
    says("Read error from remote host {source} port {source.port}: {event.reason}", DISCONNECTED),
    says("Read error from remote host {source}: {event.reason}", DISCONNECTED),
    says("Server listening on {server.ip} port {server.port}.", LISTENING),
    says("Received signal {_}; terminating.", STOPPED),
    says("PAM service({pam.service}) ignoring max retries; {_}", PAM),
];

const MORE_FAILURES: Layout = Layout::of("PAM {pam.failures} more authentication failure{kv}");

pub(super) fn read(text: &str, event: &mut EventBuilder<'_>) -> bool {
    let text = match text.strip_suffix(" [preauth]") {
        Some(text) => {
            event.put_named("sshd.preauth", true);
            text
        }
        None => text,
    };
    let text = match text.split_once(": ") {
        Some((level @ ("error" | "fatal"), text)) => {
            event.put(field::LOG_LEVEL, level);
            text
        }
        _ => text,
    };
    if let Some(found) = MORE_FAILURES.captures(text) {
        return super::pam::more_failures(&found, event);
    }
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
