//! Who gets in, who does not, and what is written down about it.

use std::net::IpAddr;
use std::time::Duration;

use crate::error::Error;
use crate::people::{
    AuditFilter, LOCAL_ADMINISTRATOR, NewPerson, NewToken, Permission, Refusal, Role,
};
use crate::tests::{Fixture, analyst};

const PASSWORD: &str = "một mật khẩu dài";

fn address() -> Option<IpAddr> {
    "192.0.2.20".parse().ok()
}

async fn with_person() -> Fixture {
    let fixture = Fixture::new("").await;
    let new =
        NewPerson { name: "lan".to_owned(), role: Role::Analyst, password: PASSWORD.to_owned() };
    fixture.desk.people().add_person(&new, &analyst()).await.unwrap();
    fixture
}

fn refusal(error: &Error) -> Option<Refusal> {
    match error {
        Error::Refused(refusal) => Some(*refusal),
        _ => None,
    }
}

#[tokio::test]
async fn a_session_lasts_until_its_time_is_over() {
    let fixture = with_person().await;
    let people = fixture.desk.people();
    let session = people.login("lan", PASSWORD, address()).await.unwrap();
    let principal = people.authenticate_session(&session.secret).await.unwrap();
    assert_eq!((principal.name.as_str(), principal.role), ("lan", Role::Analyst));
    assert!(principal.may(Permission::HandleAlerts) && !principal.may(Permission::ManagePeople));
    fixture.clock.advance(Duration::from_secs(12 * 3600));
    let error = people.authenticate_session(&session.secret).await.unwrap_err();
    assert_eq!(refusal(&error), Some(Refusal::BadSession));
}

#[tokio::test]
async fn sessions_outlive_a_restart_and_end_with_what_they_rest_on() {
    let fixture = with_person().await;
    let login = |fixture: &Fixture| {
        let people = fixture.desk.people().clone();
        async move { people.login("lan", PASSWORD, address()).await.unwrap().secret }
    };
    let secret = login(&fixture).await;
    let fixture = fixture.restart().await;
    let people = fixture.desk.people();
    people.authenticate_session(&secret).await.unwrap();
    people.logout(&secret).await.unwrap();
    assert!(people.authenticate_session(&secret).await.is_err());

    let secret = login(&fixture).await;
    people.set_role("lan", Role::Viewer, &analyst()).await.unwrap();
    assert!(people.authenticate_session(&secret).await.is_err());
    let secret = login(&fixture).await;
    people.set_password("lan", PASSWORD, &analyst()).await.unwrap();
    assert!(people.authenticate_session(&secret).await.is_err());
    let secret = login(&fixture).await;
    people.set_disabled("lan", true, &analyst()).await.unwrap();
    assert!(people.authenticate_session(&secret).await.is_err());
    let error = people.login("lan", PASSWORD, address()).await.unwrap_err();
    assert_eq!(refusal(&error), Some(Refusal::Disabled));
    assert_eq!(error.to_string(), Error::Refused(Refusal::BadPassword).to_string());
}

#[tokio::test]
async fn guessing_is_slowed_down_and_counted() {
    let fixture = with_person().await;
    let people = fixture.desk.people();
    for _ in 0..5 {
        let error = people.login("lan", "wrong", address()).await.unwrap_err();
        assert_eq!(refusal(&error), Some(Refusal::BadPassword));
    }
    let error = people.login("lan", PASSWORD, address()).await.unwrap_err();
    assert!(matches!(error, Error::Throttled { .. }), "even the right one: {error}");
    fixture.clock.advance(Duration::from_secs(60));
    people.login("lan", PASSWORD, address()).await.unwrap();
    assert_eq!(fixture.metric(r#"keng_auth_failures_total{reason="bad_password"}"#), Some(5.0));
    assert_eq!(fixture.metric(r#"keng_auth_failures_total{reason="throttled"}"#), Some(1.0));
}

/// Wrong passwords, all at the same time; how many were checked.
async fn checked(fixture: &Fixture, names: impl Iterator<Item = String>) -> Option<f64> {
    let mut logins = tokio::task::JoinSet::new();
    for name in names {
        let people = fixture.desk.people().clone();
        logins.spawn(async move { people.login(&name, "wrong", address()).await });
    }
    assert!(logins.join_all().await.iter().all(Result::is_err));
    fixture.metric(r#"keng_auth_failures_total{reason="bad_password"}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_in_parallel_is_no_faster() {
    let fixture = with_person().await;
    let one_name = std::iter::repeat_n("lan".to_owned(), 300);
    assert_eq!(checked(&fixture, one_name).await, Some(5.0));
    let fixture = with_person().await;
    let many_names = (0..300).map(|number| format!("user{number}"));
    assert_eq!(checked(&fixture, many_names).await, Some(30.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_setup_links_in_parallel_is_no_faster() {
    let fixture = Fixture::new("").await;
    let link = fixture.desk.people().setup_link().await.unwrap().unwrap();
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let people = fixture.desk.people().clone();
        attempts.spawn(async move { people.set_up("x", "lan", PASSWORD, address()).await });
    }
    assert!(attempts.join_all().await.iter().all(Result::is_err));
    let checked = fixture.metric(r#"keng_auth_failures_total{reason="bad_setup_link"}"#);
    assert_eq!(checked, Some(5.0));
    fixture.clock.advance(Duration::from_secs(60));
    fixture.desk.people().set_up(&link.secret, "lan", PASSWORD, address()).await.unwrap();
}

#[tokio::test]
async fn what_was_typed_as_a_name_is_not_written_down() {
    let fixture = with_person().await;
    let people = fixture.desk.people();
    people.login("my secret password", "lan", address()).await.unwrap_err();
    let page = people.audit_page(&AuditFilter::default()).await.unwrap();
    assert_eq!(
        (page.entries[0].actor.as_str(), page.entries[0].action.as_str()),
        ("unknown", "login_refused")
    );
}

#[tokio::test]
async fn the_first_person_comes_by_a_link_that_works_once() {
    let fixture = Fixture::new("").await;
    let people = fixture.desk.people();
    let old = people.setup_link().await.unwrap().unwrap();
    let link = people.setup_link().await.unwrap().unwrap();
    for secret in ["", "x", old.secret.as_str()] {
        let error = people.set_up(secret, "lan", PASSWORD, address()).await.unwrap_err();
        assert_eq!(refusal(&error), Some(Refusal::BadSetupLink));
    }
    let weak = people.set_up(&link.secret, "lan", "short", address()).await;
    assert!(matches!(weak, Err(Error::Invalid(_))));
    let session = people.set_up(&link.secret, "lan", PASSWORD, address()).await.unwrap();
    assert_eq!(session.principal.role, Role::Administrator);
    assert!(people.set_up(&link.secret, "eve", PASSWORD, address()).await.is_err());
    assert!(people.setup_link().await.unwrap().is_none());
}

#[tokio::test]
async fn an_old_setup_link_does_not_work() {
    let fixture = Fixture::new("").await;
    let people = fixture.desk.people();
    let link = people.setup_link().await.unwrap().unwrap();
    fixture.clock.advance(Duration::from_secs(3601));
    let error = people.set_up(&link.secret, "lan", PASSWORD, address()).await.unwrap_err();
    assert_eq!(refusal(&error), Some(Refusal::BadSetupLink));
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked_or_over() {
    let fixture = Fixture::new("").await;
    let people = fixture.desk.people();
    let new = |role| NewToken { name: "shipper".to_owned(), role, days: 30 };
    let created = people.create_token(&new(Role::Sender), &analyst()).await.unwrap();
    assert!(created.secret.starts_with("keng_"));
    let principal = people.authenticate_token(&created.secret, address()).await.unwrap();
    assert_eq!(principal.name, "token:shipper");
    assert!(principal.may(Permission::SendEvents) && !principal.may(Permission::ReadEvents));
    assert!(people.tokens().await.unwrap()[0].used_at.is_some());
    for wrong in ["", "keng_", "keng_x_y", &format!("{}x", created.secret)] {
        let error = people.authenticate_token(wrong, address()).await.unwrap_err();
        assert_eq!(refusal(&error), Some(Refusal::BadToken), "{wrong}");
    }
    people.revoke_token(&created.token.id, &analyst()).await.unwrap();
    assert!(people.authenticate_token(&created.secret, address()).await.is_err());

    let created = people.create_token(&new(Role::Viewer), &analyst()).await.unwrap();
    fixture.clock.advance(Duration::from_secs(30 * 86_400));
    let error = people.authenticate_token(&created.secret, address()).await.unwrap_err();
    assert_eq!(refusal(&error), Some(Refusal::ExpiredToken));
}

#[tokio::test]
async fn a_person_who_leaves_takes_their_tokens_along_but_not_the_senders() {
    let fixture = with_person().await;
    let people = fixture.desk.people();
    let lan = analyst();
    let token = |role| NewToken { name: role_name(role), role, days: 1 };
    let reading = people.create_token(&token(Role::Viewer), &lan).await.unwrap().secret;
    let sending = people.create_token(&token(Role::Sender), &lan).await.unwrap().secret;
    people.set_disabled("lan", true, &lan).await.unwrap();
    assert!(people.authenticate_token(&reading, None).await.is_err());
    people.authenticate_token(&sending, None).await.unwrap();
}

fn role_name(role: Role) -> String {
    role.as_str().to_owned()
}

#[tokio::test]
async fn the_local_administrator_is_local() {
    let fixture = Fixture::new("").await;
    let people = fixture.desk.people();
    let token = std::fs::read_to_string(people.local_token_path()).unwrap();
    let loopback = "127.0.0.1".parse().ok();
    let principal = people.authenticate_token(token.trim(), loopback).await.unwrap();
    assert_eq!(
        (principal.name.as_str(), principal.role),
        (LOCAL_ADMINISTRATOR, Role::Administrator)
    );
    assert!(people.authenticate_token(token.trim(), "::ffff:127.0.0.1".parse().ok()).await.is_ok());
    assert!(people.authenticate_token(token.trim(), address()).await.is_err());
}

#[tokio::test]
async fn names_and_roles_are_checked() {
    let fixture = with_person().await;
    let people = fixture.desk.people();
    for (name, role) in [
        ("", Role::Viewer),
        ("Lan", Role::Viewer),
        ("la\u{202e}n", Role::Viewer),
        ("local-admin", Role::Viewer),
        ("keng", Role::Viewer),
        ("robot", Role::Sender),
    ] {
        let new = NewPerson { name: name.to_owned(), role, password: PASSWORD.to_owned() };
        let result = people.add_person(&new, &analyst()).await;
        assert!(matches!(result, Err(Error::Invalid(_))), "{name}");
    }
    let twice =
        NewPerson { name: "lan".to_owned(), role: Role::Viewer, password: PASSWORD.to_owned() };
    assert!(matches!(people.add_person(&twice, &analyst()).await, Err(Error::Exists { .. })));
    assert!(people.set_password("nobody", PASSWORD, &analyst()).await.is_err());
    assert_eq!(people.persons().await.unwrap().len(), 1);
}

#[tokio::test]
async fn no_secret_is_in_the_store_or_in_debug_output() {
    let fixture = with_person().await;
    let people = fixture.desk.people();
    let session = people.login("lan", PASSWORD, address()).await.unwrap();
    let new = NewToken { name: "t".to_owned(), role: Role::Viewer, days: 1 };
    let token = people.create_token(&new, &analyst()).await.unwrap();
    let link_token = token.secret.rsplit('_').next().unwrap().to_owned();
    assert!(!format!("{session:?} {token:?}").contains(&session.secret));
    assert!(!format!("{token:?}").contains(&link_token));
    let mut stored = Vec::new();
    for file in ["alerts.db", "alerts.db-wal"] {
        stored.extend(std::fs::read(fixture.dir.path().join(file)).unwrap());
    }
    let stored = String::from_utf8_lossy(&stored);
    for secret in [PASSWORD, &session.secret, &link_token] {
        assert!(!stored.contains(secret));
    }
}

#[tokio::test]
async fn the_store_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = with_person().await;
    for file in ["alerts.db", "alerts.db-wal"] {
        let metadata = std::fs::metadata(fixture.dir.path().join(file)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o077, 0, "{file}");
    }
}

#[tokio::test]
async fn the_audit_log_has_no_gaps_and_pages() {
    let fixture = Fixture::new("").await;
    let people = fixture.desk.people();
    for number in 0..7 {
        let query = format!("source.ip:192.0.2.{number}");
        people.audit(&analyst(), "searched", None, Some(&query)).await.unwrap();
    }
    let mut filter = AuditFilter { limit: Some(3), ..AuditFilter::default() };
    let mut numbers = Vec::new();
    loop {
        let page = people.audit_page(&filter).await.unwrap();
        numbers.extend(page.entries.iter().map(|entry| entry.number));
        match page.next {
            Some(next) => filter.before = Some(next),
            None => break,
        }
    }
    assert_eq!(numbers, [7, 6, 5, 4, 3, 2, 1]);
    let other = AuditFilter { actor: Some("eve".to_owned()), ..AuditFilter::default() };
    assert!(people.audit_page(&other).await.unwrap().entries.is_empty());
}

/// The audit log and the histories are only appended to: no statement changes or removes a row.
/// A history leaves with its alert, as a whole and long after the end, and nowhere else.
#[test]
fn no_statement_rewrites_what_happened() {
    fn sources(dir: &std::path::Path, out: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !path.is_dir() {
                out.push((name, std::fs::read_to_string(&path).unwrap()));
            } else if name != "tests" {
                sources(&path, out);
            }
        }
    }
    let mut files = Vec::new();
    sources(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut files);
    for table in ["audit", "alert_history"] {
        let insert = format!("INSERT INTO {table}");
        assert!(files.iter().any(|(_, text)| text.contains(&insert)));
        for verb in ["UPDATE", "DELETE FROM", "REPLACE INTO"] {
            let statement = format!("{verb} {table} ");
            let allowed =
                |name: &str| statement == "DELETE FROM alert_history " && name == "upkeep.rs";
            let found =
                files.iter().find(|(name, text)| !allowed(name) && text.contains(&statement));
            assert!(found.is_none(), "{statement}in {}", found.unwrap().0);
        }
    }
}
