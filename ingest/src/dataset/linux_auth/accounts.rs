//! The shadow suite: accounts, groups and passwords changed. Wording: shadow 4.

use keng_event::EventBuilder;

use crate::dataset::meaning::Meaning;
use crate::dataset::phrase::{self, Phrase, says};

pub(super) const PROGRAMS: &[&str] = &[
    "useradd",
    "adduser",
    "usermod",
    "userdel",
    "groupadd",
    "addgroup",
    "groupmod",
    "groupdel",
    "gpasswd",
    "passwd",
    "chpasswd",
    "chgpasswd",
    "newusers",
    "chage",
    "chfn",
    "chsh",
    "vipw",
];

const USER_ADDED: Meaning =
    Meaning::new("added-user-account", &["iam"], &["creation", "user"]).success();
const USER_NOT_ADDED: Meaning =
    Meaning::new("added-user-account", &["iam"], &["creation", "user"]).failure();
const USER_DELETED: Meaning =
    Meaning::new("deleted-user-account", &["iam"], &["deletion", "user"]).success();
const USER_CHANGED: Meaning =
    Meaning::new("modified-user-account", &["iam"], &["change", "user"]).success();
const PASSWORD: Meaning = Meaning::new("changed-password", &["iam"], &["change", "user"]).success();
const LOCKED: Meaning =
    Meaning::new("disabled-user-account", &["iam"], &["change", "user"]).success();
const UNLOCKED: Meaning =
    Meaning::new("enabled-user-account", &["iam"], &["change", "user"]).success();
const GROUP_ADDED: Meaning =
    Meaning::new("added-group-account", &["iam"], &["creation", "group"]).success();
const GROUP_DELETED: Meaning =
    Meaning::new("deleted-group-account", &["iam"], &["deletion", "group"]).success();
const GROUP_CHANGED: Meaning =
    Meaning::new("modified-group-account", &["iam"], &["change", "group"]).success();
const MEMBER_ADDED: Meaning =
    Meaning::new("added-member-to-group", &["iam"], &["change", "group"]).success();
const MEMBER_REMOVED: Meaning =
    Meaning::new("removed-member-from-group", &["iam"], &["change", "group"]).success();

const PHRASES: &[Phrase] = &[
    says(
        "new user: name={user.target.name}, UID={user.target.id}, GID={group.id}, home={shadow.home}, shell={shadow.shell}, from={shadow.tty}",
        USER_ADDED,
    ),
    says(
        "new user: name={user.target.name}, UID={user.target.id}, GID={group.id}, home={shadow.home}, shell={shadow.shell}",
        USER_ADDED,
    ),
    says(
        "new user: name={user.target.name}, uid={user.target.id}, gid={group.id}, home={shadow.home}, shell={shadow.shell}",
        USER_ADDED,
    ),
    says("failed adding user '{user.target.name}', {event.reason}", USER_NOT_ADDED),
    says("failed adding user `{user.target.name}', {event.reason}", USER_NOT_ADDED),
    says("delete user '{user.target.name}'", USER_DELETED),
    says("delete user `{user.target.name}'", USER_DELETED),
    says("new group: name={group.name}, GID={group.id}", GROUP_ADDED),
    says("group added to {_}: name={group.name}, GID={group.id}", GROUP_ADDED),
    says("group added to {_}: name={group.name}", GROUP_ADDED),
    says("removed group '{group.name}' owned by '{user.target.name}'", GROUP_DELETED),
    says("removed shadow group '{group.name}' owned by '{user.target.name}'", GROUP_DELETED),
    says("group '{group.name}' removed{_}", GROUP_DELETED),
    says("group '{group.name}' changed {shadow.change}", GROUP_CHANGED),
    says("add '{user.target.name}' to group '{group.name}'", MEMBER_ADDED),
    says("add '{user.target.name}' to shadow group '{group.name}'", MEMBER_ADDED),
    says("add `{user.target.name}' to group `{group.name}'", MEMBER_ADDED),
    says("add `{user.target.name}' to shadow group `{group.name}'", MEMBER_ADDED),
    says("user {user.target.name} added by {user.name} to group {group.name}", MEMBER_ADDED),
    says("user {user.target.name} removed by {user.name} from group {group.name}", MEMBER_REMOVED),
    says("delete '{user.target.name}' from group '{group.name}'", MEMBER_REMOVED),
    says("delete '{user.target.name}' from shadow group '{group.name}'", MEMBER_REMOVED),
    says("delete `{user.target.name}' from group `{group.name}'", MEMBER_REMOVED),
    says("change user '{user.target.name}' password", PASSWORD),
    says("change user `{user.target.name}' password", PASSWORD),
    says("change user '{user.target.name}' {shadow.change}", USER_CHANGED),
    says("change user `{user.target.name}' {shadow.change}", USER_CHANGED),
    says("change user name '{user.name}' to '{user.target.name}'", USER_CHANGED),
    says("lock user '{user.target.name}' password", LOCKED),
    says("unlock user '{user.target.name}' password", UNLOCKED),
    says("password for '{user.target.name}' changed by '{user.name}'", PASSWORD),
    says("password changed for {user.target.name}", PASSWORD),
    says("changed password expiry for {user.target.name}", USER_CHANGED),
    says("changed user '{user.target.name}' information", USER_CHANGED),
    says("changed user '{user.target.name}' shell to '{shadow.shell}'", USER_CHANGED),
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
