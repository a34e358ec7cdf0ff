//! Accounts of people.

use keng_event::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;

use super::{People, Role, audit};
use crate::act;
use crate::alert::Actor;
use crate::error::{Doing as _, Error};
use crate::store::{Row, Transaction};

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Somebody with an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Login name; never changes.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether they are shut out.
    pub disabled: bool,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When they last logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login_at: Option<Timestamp>,
}

/// An account to be made.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    /// Login name: 1 to 64 of the characters a-z, 0-9, '.', '-', '_' and '@'.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Their first password, at least 12 characters.
    pub password: String,
}

/// Without the password.
impl std::fmt::Debug for NewPerson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewPerson").field("name", &self.name).field("role", &self.role).finish()
    }
}

impl People {
    /// Makes an account.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, role or password; [`Error::Exists`]; [`Error::Store`].
    pub async fn add_person(&self, new: &NewPerson, actor: &Actor) -> Result<(), Error> {
        let hash = self.check_new(new).await?;
        let mut unit = self.store.begin("person").await?;
        insert(unit.sql(), new, &hash, self.now()).await?;
        let (at, role) = (self.now(), new.role.as_str());
        audit::record(unit.sql(), at, actor, "person_added", Some(&new.name), Some(role)).await?;
        unit.commit().await
    }

    /// Everybody, by name.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn persons(&self) -> Result<Vec<Person>, Error> {
        let rows = sqlx::query("SELECT * FROM person ORDER BY name LIMIT 10000")
            .fetch_all(self.store.reader())
            .await
            .doing("read the accounts")?;
        rows.iter().map(person).collect()
    }

    /// Sets a password and ends every session of that person.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Store`].
    pub async fn set_password(
        &self,
        name: &str,
        password: &str,
        actor: &Actor,
    ) -> Result<(), Error> {
        let hash = self.hasher.hash(password).await?;
        let mut unit = self.store.begin("person").await?;
        let done = sqlx::query("UPDATE person SET password_hash = $1 WHERE name = $2")
            .bind(hash)
            .bind(name)
            .execute(&mut **unit.sql())
            .await
            .doing("set a password")?;
        found(done.rows_affected(), name)?;
        end_sessions(unit.sql(), name).await?;
        audit::record(unit.sql(), self.now(), actor, "password_set", Some(name), None).await?;
        unit.commit().await
    }

    /// Gives a person another role; their sessions end, so that it holds at once.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Store`].
    pub async fn set_role(&self, name: &str, role: Role, actor: &Actor) -> Result<(), Error> {
        check_role(role)?;
        let mut unit = self.store.begin("person").await?;
        let done = sqlx::query("UPDATE person SET role = $1 WHERE name = $2")
            .bind(role.as_str())
            .bind(name)
            .execute(&mut **unit.sql())
            .await
            .doing("set a role")?;
        found(done.rows_affected(), name)?;
        end_sessions(unit.sql(), name).await?;
        let (at, role) = (self.now(), Some(role.as_str()));
        audit::record(unit.sql(), at, actor, "role_set", Some(name), role).await?;
        unit.commit().await
    }

    /// Shuts a person out, at once and with the tokens that they made, or lets them in again
    /// (their tokens stay revoked). Tokens that can only send stay: the servers' logs must not
    /// stop because somebody left. Alerts that they had are nobody's again, and those that they had
    /// taken are open again and told of, because nobody would be at them.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn set_disabled(
        &self,
        name: &str,
        disabled: bool,
        actor: &Actor,
    ) -> Result<(), Error> {
        let mut unit = self.store.begin("person").await?;
        let done = sqlx::query("UPDATE person SET disabled = $1 WHERE name = $2")
            .bind(i64::from(disabled))
            .bind(name)
            .execute(&mut **unit.sql())
            .await
            .doing("disable a person")?;
        found(done.rows_affected(), name)?;
        let mut cancelled = Vec::new();
        if disabled {
            end_sessions(unit.sql(), name).await?;
            cancelled = act::hand_back(&self.routes, unit.sql(), name, actor, self.now()).await?;
            sqlx::query(
                "UPDATE api_token SET revoked_at = $1 \
                 WHERE created_by = $2 AND revoked_at IS NULL AND role <> 'sender'",
            )
            .bind(self.now().as_nanos())
            .bind(name)
            .execute(&mut **unit.sql())
            .await
            .doing("revoke the tokens of a person")?;
        }
        let action = if disabled { "person_disabled" } else { "person_enabled" };
        audit::record(unit.sql(), self.now(), actor, action, Some(name), None).await?;
        unit.commit().await?;
        for channel in cancelled {
            self.notifications.with(&[&channel, "cancelled"]).inc();
        }
        Ok(())
    }

    /// Checks everything about a new account that needs no store; the hash of its password.
    pub(super) async fn check_new(&self, new: &NewPerson) -> Result<String, Error> {
        check_name(&new.name)?;
        check_role(new.role)?;
        self.hasher.hash(&new.password).await
    }
}

pub(super) async fn insert(
    transaction: &mut Transaction<'_>,
    new: &NewPerson,
    password_hash: &str,
    at: Timestamp,
) -> Result<(), Error> {
    let done = sqlx::query(
        "INSERT INTO person (name, role, password_hash, disabled, created_at) \
         VALUES ($1, $2, $3, 0, $4) ON CONFLICT (name) DO NOTHING",
    )
    .bind(&new.name)
    .bind(new.role.as_str())
    .bind(password_hash)
    .bind(at.as_nanos())
    .execute(&mut **transaction)
    .await
    .doing("add a person")?;
    if done.rows_affected() == 0 {
        return Err(Error::Exists { what: "person", id: new.name.clone() });
    }
    Ok(())
}

async fn end_sessions(transaction: &mut Transaction<'_>, name: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM session WHERE person = $1")
        .bind(name)
        .execute(&mut **transaction)
        .await
        .doing("end the sessions of a person")?;
    Ok(())
}

fn found(rows: u64, name: &str) -> Result<(), Error> {
    if rows == 0 {
        return Err(Error::NotFound { what: "person", id: name.to_owned() });
    }
    Ok(())
}

/// Plain names only: they end up in logs, pages and mails, and must not look like another's.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'@');
    let reserved = [super::LOCAL_ADMINISTRATOR, crate::apply::KENG];
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
        return Err(Error::Invalid(
            "a name is 1 to 64 of the characters a-z, 0-9, '.', '-', '_' and '@'".to_owned(),
        ));
    }
    if reserved.contains(&name) {
        return Err(Error::Invalid(format!("the name '{name}' is reserved")));
    }
    Ok(())
}

fn check_role(role: Role) -> Result<(), Error> {
    if role.is_for_people() {
        return Ok(());
    }
    Err(Error::Invalid(format!("the role '{role}' is for tokens, not for people")))
}

fn person(row: &Row) -> Result<Person, Error> {
    const DOING: &str = "read the accounts";
    let role: String = row.try_get("role").doing(DOING)?;
    let last_login_at: Option<i64> = row.try_get("last_login_at").doing(DOING)?;
    Ok(Person {
        name: row.try_get("name").doing(DOING)?,
        role: super::role::stored(&role)?,
        disabled: row.try_get::<i64, _>("disabled").doing(DOING)? != 0,
        created_at: Timestamp::from_nanos(row.try_get("created_at").doing(DOING)?),
        last_login_at: last_login_at.map(Timestamp::from_nanos),
    })
}
