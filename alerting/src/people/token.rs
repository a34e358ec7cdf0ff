//! API tokens: what programs present.
//!
//! A token is `keng_`, an id that may be seen, `_`, and a secret of 256 bits; the store keeps the
//! secret's digest. The prefix lets secret scanners find one that was committed somewhere.

use std::net::IpAddr;
use std::time::Duration;

use keng_event::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;

use super::{LOCAL_ADMINISTRATOR, People, Principal, Refusal, Role, audit, role};
use crate::alert::Actor;
use crate::error::{Doing as _, Error};
use crate::secret;
use crate::store::Row;

/// What every token begins with.
pub const TOKEN_PREFIX: &str = "keng_";

/// Longest life of a token: it must be renewed when people change jobs.
const LIFETIME_DAYS_MAX: u64 = 366;

/// How exact `used_at` is: a token used a thousand times a second writes once in this time.
const USED_RESOLUTION: Duration = Duration::from_secs(60);

/// Longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 64;

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Its visible part.
    pub id: String,
    /// What it is for, in words.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Until when it works.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// A token to be made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for: 1 to 64 characters.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// For how many days it works, 1 to 366.
    pub days: u64,
}

/// A token just made.
#[derive(Clone, Serialize)]
pub struct CreatedToken {
    /// What to present; shown this once.
    pub secret: String,
    /// The rest.
    #[serde(flatten)]
    pub token: ApiToken,
}

/// Without the secret.
impl std::fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedToken").field("token", &self.token).finish_non_exhaustive()
    }
}

impl People {
    /// Makes a token. That the actor may give away `role` is for the caller to ask.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Store`].
    pub async fn create_token(&self, new: &NewToken, actor: &Actor) -> Result<CreatedToken, Error> {
        let length = new.name.chars().count();
        if length == 0 || length > NAME_CHARACTERS_MAX || new.name.chars().any(char::is_control) {
            return Err(Error::Invalid("a token's name is 1 to 64 characters".to_owned()));
        }
        if new.days == 0 || new.days > LIFETIME_DAYS_MAX {
            return Err(Error::Invalid(format!("a token works for 1 to {LIFETIME_DAYS_MAX} days")));
        }
        let (id, secret, now) = (secret::fresh_id(), secret::fresh(), self.now());
        let token = ApiToken {
            id: id.clone(),
            name: new.name.clone(),
            role: new.role,
            created_by: actor.name.clone(),
            created_at: now,
            expires_at: now.plus(Duration::from_secs(new.days * 86_400)),
            used_at: None,
            revoked_at: None,
        };
        let mut unit = self.store.begin("token").await?;
        sqlx::query(
            "INSERT INTO api_token (id, name, secret_hash, role, created_by, created_at, \
             expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&token.id)
        .bind(&token.name)
        .bind(secret::digest(&secret))
        .bind(token.role.as_str())
        .bind(&token.created_by)
        .bind(token.created_at.as_nanos())
        .bind(token.expires_at.as_nanos())
        .execute(&mut **unit.sql())
        .await
        .doing("create a token")?;
        let detail = format!("{} as {}", token.name, token.role);
        audit::record(unit.sql(), now, actor, "token_created", Some(&id), Some(&detail)).await?;
        unit.commit().await?;
        Ok(CreatedToken { secret: format!("{TOKEN_PREFIX}{id}_{secret}"), token })
    }

    /// Every token, latest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn tokens(&self) -> Result<Vec<ApiToken>, Error> {
        let rows = sqlx::query("SELECT * FROM api_token ORDER BY created_at DESC, id LIMIT 10000")
            .fetch_all(self.store.reader())
            .await
            .doing("read the tokens")?;
        rows.iter().map(token).collect()
    }

    /// Makes a token worthless, at once.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn revoke_token(&self, id: &str, actor: &Actor) -> Result<(), Error> {
        let mut unit = self.store.begin("token").await?;
        let done =
            sqlx::query("UPDATE api_token SET revoked_at = COALESCE(revoked_at, $1) WHERE id = $2")
                .bind(self.now().as_nanos())
                .bind(id)
                .execute(&mut **unit.sql())
                .await
                .doing("revoke a token")?;
        if done.rows_affected() == 0 {
            return Err(Error::NotFound { what: "token", id: id.to_owned() });
        }
        audit::record(unit.sql(), self.now(), actor, "token_revoked", Some(id), None).await?;
        unit.commit().await
    }

    /// Whose token this is: of the store, or the local administrator's, which is worth nothing
    /// from another machine.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Store`].
    pub async fn authenticate_token(
        &self,
        presented: &str,
        address: Option<IpAddr>,
    ) -> Result<Principal, Error> {
        if self.local.accepts(presented) {
            if address.is_some_and(|address| !address.to_canonical().is_loopback()) {
                return Err(self.refuse(Refusal::BadToken));
            }
            let name = LOCAL_ADMINISTRATOR.to_owned();
            return Ok(Principal { name, role: Role::Administrator });
        }
        let parts = presented.strip_prefix(TOKEN_PREFIX).and_then(|rest| rest.split_once('_'));
        let Some((id, secret)) = parts else { return Err(self.refuse(Refusal::BadToken)) };
        let row = sqlx::query("SELECT * FROM api_token WHERE id = $1 AND revoked_at IS NULL")
            .bind(id)
            .fetch_optional(self.store.reader())
            .await
            .doing("look up a token")?;
        let Some(row) = row else { return Err(self.refuse(Refusal::BadToken)) };
        let digest: String = row.try_get("secret_hash").doing("look up a token")?;
        if !secret::same(&secret::digest(secret), &digest) {
            return Err(self.refuse(Refusal::BadToken));
        }
        let token = token(&row)?;
        if token.expires_at <= self.now() {
            return Err(self.refuse(Refusal::ExpiredToken));
        }
        self.mark_used(&token).await?;
        Ok(Principal { name: format!("token:{}", token.name), role: token.role })
    }

    async fn mark_used(&self, token: &ApiToken) -> Result<(), Error> {
        let now = self.now();
        if token.used_at.is_some_and(|used_at| now.since(used_at) < USED_RESOLUTION) {
            return Ok(());
        }
        let mut unit = self.store.begin("token").await?;
        sqlx::query("UPDATE api_token SET used_at = $1 WHERE id = $2")
            .bind(now.as_nanos())
            .bind(&token.id)
            .execute(&mut **unit.sql())
            .await
            .doing("note the use of a token")?;
        unit.commit().await
    }
}

fn token(row: &Row) -> Result<ApiToken, Error> {
    const DOING: &str = "read the tokens";
    let time = |column| -> Result<Option<Timestamp>, Error> {
        let nanos: Option<i64> = row.try_get(column).doing(DOING)?;
        Ok(nanos.map(Timestamp::from_nanos))
    };
    let role: String = row.try_get("role").doing(DOING)?;
    Ok(ApiToken {
        id: row.try_get("id").doing(DOING)?,
        name: row.try_get("name").doing(DOING)?,
        role: role::stored(&role)?,
        created_by: row.try_get("created_by").doing(DOING)?,
        created_at: Timestamp::from_nanos(row.try_get("created_at").doing(DOING)?),
        expires_at: Timestamp::from_nanos(row.try_get("expires_at").doing(DOING)?),
        used_at: time("used_at")?,
        revoked_at: time("revoked_at")?,
    })
}
