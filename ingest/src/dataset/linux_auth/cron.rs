//! cron and crontab: `(user) ACTION (detail)`, as Vixie cron and cronie write it.

use keng_event::{EventBuilder, field};

use crate::dataset::meaning::Meaning;
use crate::dataset::phrase::Layout;

pub(super) const PROGRAMS: &[&str] =
    &["cron", "CRON", "crond", "CROND", "crontab", "/usr/sbin/cron", "anacron", "atd"];

const RAN: Meaning = Meaning::new("cron-command", &["process"], &["start"]).success();
const CHANGED: Meaning = Meaning::new("crontab-changed", &["configuration"], &["change"]).success();
const DELETED: Meaning =
    Meaning::new("crontab-deleted", &["configuration"], &["deletion"]).success();
const READ: Meaning = Meaning::new("crontab-read", &["configuration"], &["access"]).success();
const LOADED: Meaning = Meaning::new("crontab-loaded", &["configuration"], &["info"]);
const DENIED: Meaning = Meaning::new("crontab-denied", &["configuration"], &["access"]).failure();
const OTHER: Meaning = Meaning::new("", &["process"], &["info"]);

const ENTRY: Layout = Layout::of("({user}) {action} ({detail..})");

pub(super) fn read(text: &str, event: &mut EventBuilder<'_>) -> bool {
    let Some(found) = ENTRY.captures(text) else {
        return false;
    };
    let detail = found.get("detail").unwrap_or_default();
    event.put(field::USER_NAME, found.get("user").unwrap_or_default());
    let meaning = match found.get("action").unwrap_or_default() {
        "CMD" => {
            event.put(field::PROCESS_COMMAND_LINE, detail);
            RAN
        }
        "REPLACE" | "END EDIT" => CHANGED,
        "DELETE" => DELETED,
        "LIST" | "BEGIN EDIT" => READ,
        "RELOAD" => LOADED,
        "AUTH" => DENIED,
        _ => OTHER,
    };
    if matches!(meaning.action, "crontab-changed" | "crontab-deleted" | "crontab-read") {
        event.put(field::USER_TARGET_NAME, detail);
    }
    meaning.put(event);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_meanings_are_ecs() {
        [RAN, CHANGED, DELETED, READ, LOADED, DENIED, OTHER].iter().for_each(Meaning::check);
    }
}
