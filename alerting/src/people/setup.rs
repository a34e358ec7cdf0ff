//! The one-time setup link: how the first person gets in without any default password.

use std::net::IpAddr;
use std::time::Duration;

use keng_event::Timestamp;
use sqlx::Row as _;

use super::{NewPerson, NewSession, People, Principal, Refusal, Role, audit, person};
use crate::alert::Actor;
use crate::error::{Doing as _, Error};
use crate::secret;

/// How long a link can be used; a restart gives a new one.
const LIFETIME: Duration = Duration::from_secs(3600);

/// A link for the first person, printed when Keng starts.
#[derive(Clone, Debug)]
pub struct SetupLink {
    /// What the link carries.
    pub secret: String,
    /// Until when it works.
    pub expires_at: Timestamp,
}

impl People {
    /// A new setup link, if there is nobody yet; links given before stop working.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn setup_link(&self) -> Result<Option<SetupLink>, Error> {
        let mut unit = self.store.begin("setup").await?;
        if count(unit.sql()).await? > 0 {
            return Ok(None);
        }
        let link = SetupLink { secret: secret::fresh(), expires_at: self.now().plus(LIFETIME) };
        sqlx::query("DELETE FROM setup_link")
            .execute(&mut **unit.sql())
            .await
            .doing("make a setup link")?;
        sqlx::query("INSERT INTO setup_link (secret_hash, expires_at) VALUES ($1, $2)")
            .bind(secret::digest(&link.secret))
            .bind(link.expires_at.as_nanos())
            .execute(&mut **unit.sql())
            .await
            .doing("make a setup link")?;
        unit.commit().await?;
        Ok(Some(link))
    }

    /// Makes the first person, an administrator, and logs them in. The link is used up with it,
    /// in the same transaction.
    ///
    /// # Errors
    /// [`Error::Refused`] for a link that is wrong, used or too old, or once there is somebody;
    /// [`Error::Throttled`]; [`Error::Invalid`] for a bad name or password (the link remains);
    /// [`Error::Store`].
    pub async fn set_up(
        &self,
        presented: &str,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<NewSession, Error> {
        const WHO: &str = "(setup)";
        self.begin_attempt(WHO, address)?;
        let open = self.is_open(presented).await;
        if !open.inspect_err(|error| self.not_checked(WHO, address, error))? {
            return Err(self.refuse(Refusal::BadSetupLink));
        }
        self.throttle.succeeded(WHO, address);
        let role = Role::Administrator;
        let new = NewPerson { name: name.to_owned(), role, password: password.to_owned() };
        let hash = self.check_new(&new).await?;
        let mut unit = self.store.begin("setup").await?;
        let used = sqlx::query("DELETE FROM setup_link WHERE secret_hash = $1 AND expires_at > $2")
            .bind(secret::digest(presented))
            .bind(self.now().as_nanos())
            .execute(&mut **unit.sql())
            .await
            .doing("use a setup link")?;
        if used.rows_affected() == 0 || count(unit.sql()).await? > 0 {
            return Err(self.refuse(Refusal::BadSetupLink));
        }
        person::insert(unit.sql(), &new, &hash, self.now()).await?;
        let actor = Actor { name: new.name.clone(), address };
        audit::record(unit.sql(), self.now(), &actor, "set_up", Some(name), None).await?;
        unit.commit().await?;
        self.begin_session(Principal { name: new.name, role }, address).await
    }

    /// Looked up before the expensive hash, so that guessing costs us nothing.
    async fn is_open(&self, presented: &str) -> Result<bool, Error> {
        let row = sqlx::query(
            "SELECT 1 AS known FROM setup_link WHERE secret_hash = $1 AND expires_at > $2",
        )
        .bind(secret::digest(presented))
        .bind(self.now().as_nanos())
        .fetch_optional(self.store.reader())
        .await
        .doing("look up a setup link")?;
        Ok(row.is_some())
    }
}

async fn count(transaction: &mut crate::store::Transaction<'_>) -> Result<i64, Error> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM person")
        .fetch_one(&mut **transaction)
        .await
        .doing("count the accounts")?;
    row.try_get("n").doing("count the accounts")
}
