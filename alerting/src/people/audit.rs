//! The audit log: who did what, to what, when, from where. It is only ever appended to.

use std::net::IpAddr;

use keng_event::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{QueryBuilder, Row as _};

use super::People;
use crate::alert::Actor;
use crate::error::{Doing as _, Error};
use crate::store::{self, Database, Row, Transaction, pieces};

/// Entries on a page unless fewer are asked for.
const PAGE_MAX: u32 = 500;

/// Longest detail that is kept, in characters; a search can be long, the log need not be.
const DETAIL_CHARACTERS_MAX: usize = 4096;

/// One thing that somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its place in the log, from 1, without gaps.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What: `searched`, `closed`, `login`, `token_created`, ….
    pub action: String,
    /// To what: an alert id, a person's name, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// In words: the query, the verdict, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// From which address; absent for what was done on the machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

/// Which entries to show, latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditFilter {
    /// Only what this person or token did.
    pub actor: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only entries before this number: the `next` of the page before.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: Option<u32>,
}

/// A page of the audit log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditPage {
    /// Latest first.
    pub entries: Vec<AuditEntry>,
    /// `before` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Appends an entry within a transaction, so that the deed and its record stand or fall together.
pub(crate) async fn record(
    transaction: &mut Transaction<'_>,
    at: Timestamp,
    actor: &Actor,
    action: &str,
    object: Option<&str>,
    detail: Option<&str>,
) -> Result<(), Error> {
    record_each(transaction, at, actor, action, &[object], detail).await
}

/// The same for each of several objects.
async fn record_each(
    transaction: &mut Transaction<'_>,
    at: Timestamp,
    actor: &Actor,
    action: &str,
    objects: &[Option<&str>],
    detail: Option<&str>,
) -> Result<(), Error> {
    let count = i64::try_from(objects.len()).unwrap_or(i64::MAX);
    let first = store::next_number(transaction, "audit", count).await?;
    let detail = detail.map(|text| text.chars().take(DETAIL_CHARACTERS_MAX).collect::<String>());
    let numbered: Vec<_> = (first..).zip(objects).collect();
    for piece in pieces(&numbered) {
        let mut insert = QueryBuilder::<Database>::new(
            "INSERT INTO audit (number, at, actor, action, object, detail, address) ",
        );
        insert.push_values(piece, |mut row, (number, object)| {
            row.push_bind(*number)
                .push_bind(at.as_nanos())
                .push_bind(actor.name.clone())
                .push_bind(action.to_owned())
                .push_bind(object.map(str::to_owned))
                .push_bind(detail.clone())
                .push_bind(actor.address.map(|address| address.to_string()));
        });
        insert.build().execute(&mut **transaction).await.doing("write the audit log")?;
    }
    Ok(())
}

impl People {
    /// Appends an entry for something that happened outside the store, such as a search. Returns
    /// when it is durable.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn audit(
        &self,
        actor: &Actor,
        action: &str,
        object: Option<&str>,
        detail: Option<&str>,
    ) -> Result<(), Error> {
        let mut transaction = self.store.begin("audit").await?;
        record(transaction.sql(), self.now(), actor, action, object, detail).await?;
        transaction.commit().await
    }

    /// Appends an entry for each of several things to which the same is done, all or none.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn audit_each(
        &self,
        actor: &Actor,
        action: &str,
        objects: &[String],
        detail: Option<&str>,
    ) -> Result<(), Error> {
        let objects: Vec<_> = objects.iter().map(|object| Some(object.as_str())).collect();
        let mut transaction = self.store.begin("audit").await?;
        record_each(transaction.sql(), self.now(), actor, action, &objects, detail).await?;
        transaction.commit().await
    }

    /// A page of the audit log, latest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn audit_page(&self, filter: &AuditFilter) -> Result<AuditPage, Error> {
        let limit = filter.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let mut query = QueryBuilder::<Database>::new(
            "SELECT number, at, actor, action, object, detail, address FROM audit WHERE 1 = 1",
        );
        if let Some(actor) = &filter.actor {
            query.push(" AND actor = ").push_bind(actor.clone());
        }
        if let Some(action) = &filter.action {
            query.push(" AND action = ").push_bind(action.clone());
        }
        if let Some(before) = filter.before {
            query.push(" AND number < ").push_bind(i64::try_from(before).unwrap_or(i64::MAX));
        }
        query.push(" ORDER BY number DESC LIMIT ").push_bind(i64::from(limit) + 1);
        let rows =
            query.build().fetch_all(self.store.reader()).await.doing("read the audit log")?;
        let mut entries =
            rows.iter().map(entry).collect::<Result<Vec<_>, _>>().doing("read the audit log")?;
        let more = entries.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        entries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = entries.last().filter(|_| more).map(|entry| entry.number);
        Ok(AuditPage { entries, next })
    }
}

fn entry(row: &Row) -> Result<AuditEntry, sqlx::Error> {
    let address: Option<String> = row.try_get("address")?;
    Ok(AuditEntry {
        number: row.try_get::<i64, _>("number")?.try_into().unwrap_or(0),
        at: Timestamp::from_nanos(row.try_get("at")?),
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        object: row.try_get("object")?,
        detail: row.try_get("detail")?,
        address: address.and_then(|address| address.parse().ok()),
    })
}
