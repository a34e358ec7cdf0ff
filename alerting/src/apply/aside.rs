//! Findings that the store works for and will not take, such as one that counts on a damaged
//! alert: set aside whole, logged with their id and counted, so that they hold nobody up and a
//! person can look at them. They leave when alerts of their age leave.

use keng_event::Finding;

use crate::desk::Shared;
use crate::error::{Doing as _, Error};

/// Most findings kept aside. Past it, and only then, the oldest leave; the log has their ids.
const ASIDE_MAX: i64 = 10_000;

/// Sets a finding aside. Returns whether it was not there before.
pub(super) async fn set(shared: &Shared, finding: &Finding, why: &Error) -> Result<bool, Error> {
    let (now, id) = (shared.clock.now(), finding.id.as_str());
    let mut unit = shared.store.begin("set_aside").await?;
    let done = sqlx::query(
        "INSERT INTO finding_aside (id, at, error, body) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(id)
    .bind(now.as_nanos())
    .bind(why.to_string())
    .bind(String::from_utf8_lossy(&finding.encode()).into_owned())
    .execute(&mut **unit.sql())
    .await
    .doing("set a finding aside")?;
    sqlx::query(
        "DELETE FROM finding_aside WHERE at < \
         (SELECT at FROM finding_aside ORDER BY at DESC LIMIT 1 OFFSET $1)",
    )
    .bind(ASIDE_MAX)
    .execute(&mut **unit.sql())
    .await
    .doing("set a finding aside")?;
    unit.commit().await?;
    let is_new = done.rows_affected() > 0;
    if is_new {
        shared.metrics.set_aside.with(&[finding.rule.level.as_str()]).inc();
        let rule = &finding.rule.id;
        tracing::error!(finding = id, rule, error = %why, "a finding cannot be applied; it was set aside");
    }
    Ok(is_new)
}
