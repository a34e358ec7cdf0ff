//! Sessions of people who logged in with a password.
//!
//! The browser holds a random secret, the store its digest. A session ends when its time is
//! over, on logout, and whenever the person's password, role or state changes.

use std::net::IpAddr;

use keng_event::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{People, Principal, Refusal, audit, role};
use crate::alert::Actor;
use crate::error::{Doing as _, Error};
use crate::secret;

/// A session just begun.
#[derive(Clone)]
pub struct NewSession {
    /// What the cookie carries; shown this once.
    pub secret: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whose it is.
    pub principal: Principal,
}

/// Without the secret.
impl std::fmt::Debug for NewSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSession").field("principal", &self.principal).finish_non_exhaustive()
    }
}

impl People {
    /// Begins a session for whoever knows the password.
    ///
    /// # Errors
    /// [`Error::Throttled`] after too many failures, before anything is looked at, or while too
    /// many passwords wait to be checked; [`Error::Refused`]; [`Error::Store`].
    pub async fn login(
        &self,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<NewSession, Error> {
        self.begin_attempt(name, address)?;
        let checked = self.check_password(name, password).await;
        let Some(person) = checked.inspect_err(|error| self.not_checked(name, address, error))?
        else {
            return Err(self.login_failed(name, address, Refusal::BadPassword).await?);
        };
        if person.try_get::<i64, _>("disabled").doing("look up a person")? != 0 {
            return Err(self.login_failed(name, address, Refusal::Disabled).await?);
        }
        self.throttle.succeeded(name, address);
        let role = role::stored(person.try_get("role").doing("look up a person")?)?;
        self.begin_session(Principal { name: name.to_owned(), role }, address).await
    }

    /// Counts an attempt, unless there were too many.
    pub(super) fn begin_attempt(&self, name: &str, address: Option<IpAddr>) -> Result<(), Error> {
        self.throttle.begin(name, address, self.clock.elapsed()).map_err(|retry_after| {
            self.failures.with(&[Refusal::Throttled.reason()]).inc();
            Error::Throttled { retry_after }
        })
    }

    /// An attempt ended before it told anything about the secret.
    pub(super) fn not_checked(&self, name: &str, address: Option<IpAddr>, error: &Error) {
        self.throttle.take_back(name, address);
        if matches!(error, Error::Throttled { .. }) {
            self.failures.with(&[Refusal::Throttled.reason()]).inc();
        }
    }

    /// The row of the person whose password this is.
    async fn check_password(&self, name: &str, password: &str) -> Result<Option<SqliteRow>, Error> {
        let row = sqlx::query("SELECT role, password_hash, disabled FROM person WHERE name = $1")
            .bind(name)
            .fetch_optional(self.store.reader())
            .await
            .doing("look up a person")?;
        let hash = row.as_ref().map(|row| row.try_get::<String, _>("password_hash"));
        let hash = hash.transpose().doing("look up a person")?;
        let right = self.hasher.verify(password, hash.as_deref()).await?;
        Ok(row.filter(|_| right))
    }

    /// Records a failure, which is counted already; the error to answer with.
    async fn login_failed(
        &self,
        name: &str,
        address: Option<IpAddr>,
        refusal: Refusal,
    ) -> Result<Error, Error> {
        // Whatever was typed as a name may be somebody's password; only real names are recorded.
        let known = sqlx::query("SELECT 1 AS known FROM person WHERE name = $1")
            .bind(name)
            .fetch_optional(self.store.reader())
            .await
            .doing("look up a person")?
            .is_some();
        let actor = Actor { name: if known { name } else { "unknown" }.to_owned(), address };
        self.audit(&actor, "login_refused", None, Some(refusal.reason())).await?;
        Ok(self.refuse(refusal))
    }

    pub(super) async fn begin_session(
        &self,
        principal: Principal,
        address: Option<IpAddr>,
    ) -> Result<NewSession, Error> {
        let (secret, now) = (secret::fresh(), self.now());
        let expires_at = now.plus(self.session_lifetime);
        let mut unit = self.store.begin("session").await?;
        sqlx::query(
            "INSERT INTO session (id, person, created_at, expires_at, seen_at, address) \
             VALUES ($1, $2, $3, $4, $3, $5)",
        )
        .bind(secret::digest(&secret))
        .bind(&principal.name)
        .bind(now.as_nanos())
        .bind(expires_at.as_nanos())
        .bind(address.map(|address| address.to_string()))
        .execute(&mut **unit.sql())
        .await
        .doing("begin a session")?;
        sqlx::query("UPDATE person SET last_login_at = $1 WHERE name = $2")
            .bind(now.as_nanos())
            .bind(&principal.name)
            .execute(&mut **unit.sql())
            .await
            .doing("begin a session")?;
        audit::record(unit.sql(), now, &principal.actor(address), "login", None, None).await?;
        unit.commit().await?;
        Ok(NewSession { secret, expires_at, principal })
    }

    /// Whose session this secret is.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such session any more; [`Error::Store`].
    pub async fn authenticate_session(&self, presented: &str) -> Result<Principal, Error> {
        let row = sqlx::query(
            "SELECT person.name AS name, person.role AS role FROM session \
             JOIN person ON person.name = session.person \
             WHERE session.id = $1 AND session.expires_at > $2 AND person.disabled = 0",
        )
        .bind(secret::digest(presented))
        .bind(self.now().as_nanos())
        .fetch_optional(self.store.reader())
        .await
        .doing("look up a session")?;
        let Some(row) = row else { return Err(self.refuse(Refusal::BadSession)) };
        let role = role::stored(row.try_get("role").doing("look up a session")?)?;
        Ok(Principal { name: row.try_get("name").doing("look up a session")?, role })
    }

    /// Ends a session; one that has ended already is no error.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn logout(&self, presented: &str) -> Result<(), Error> {
        let mut unit = self.store.begin("session").await?;
        sqlx::query("DELETE FROM session WHERE id = $1")
            .bind(secret::digest(presented))
            .execute(&mut **unit.sql())
            .await
            .doing("end a session")?;
        unit.commit().await
    }

    /// Forgets sessions and setup links whose time is over.
    pub(crate) async fn forget_expired(&self) -> Result<(), Error> {
        let now = self.now().as_nanos();
        let mut unit = self.store.begin("cleanup").await?;
        for statement in [
            "DELETE FROM session WHERE expires_at <= $1",
            "DELETE FROM setup_link WHERE expires_at <= $1",
        ] {
            sqlx::query(statement)
                .bind(now)
                .execute(&mut **unit.sql())
                .await
                .doing("forget old sessions")?;
        }
        unit.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::{NewPerson, Role};
    use crate::tests::{Fixture, analyst};

    const PASSWORD: &str = "một mật khẩu dài";

    #[tokio::test]
    async fn whoever_meets_a_full_queue_is_told_so_and_not_counted() {
        let fixture = Fixture::new("").await;
        let people = fixture.desk.people();
        let (name, address) = ("lan".to_owned(), "192.0.2.20".parse().ok());
        let new = NewPerson { name, role: Role::Analyst, password: PASSWORD.to_owned() };
        people.add_person(&new, &analyst()).await.unwrap();
        let full = people.hasher.fill();
        for _ in 0..100 {
            let error = people.login("lan", PASSWORD, address).await.unwrap_err();
            assert!(matches!(error, Error::Throttled { .. }), "{error}");
        }
        drop(full);
        people.login("lan", PASSWORD, address).await.unwrap();
        let throttled = r#"keng_auth_failures_total{reason="throttled"}"#;
        assert_eq!(fixture.metric(throttled), Some(100.0));
    }
}
