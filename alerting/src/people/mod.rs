//! People and programs: who they are, what they may do, and the log of what they did.
//!
//! Three things prove an identity: a session (a person who logged in with a password), an API
//! token (a program), and the local administrator's token, a file that only the user who runs
//! Keng on that machine can read. Secrets are stored as digests, passwords as Argon2 hashes.
//!
//! Which permission a route needs is declared by the route; what a role permits is one table in
//! [`role`].

mod audit;
mod local;
mod password;
mod person;
pub mod role;
mod session;
mod setup;
mod throttle;
mod token;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keng_event::{Clock, Timestamp};
use keng_metrics::CounterFamily;

pub use audit::{AuditEntry, AuditFilter, AuditPage};
pub use person::{NewPerson, Person};
pub use role::{Permission, Role};
pub use session::NewSession;
pub use setup::SetupLink;
pub use token::{ApiToken, CreatedToken, NewToken, TOKEN_PREFIX};

pub(crate) use audit::record;

use crate::alert::Actor;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::route::Routes;
use crate::store::Store;
use local::LocalAdministrator;
use password::Hasher;
use throttle::Throttle;

/// Name under which the holder of the local administrator's token acts.
pub const LOCAL_ADMINISTRATOR: &str = "local-admin";

/// People, roles, tokens, sessions and the audit log. Clones share everything.
#[derive(Clone, Debug)]
pub struct People {
    store: Store,
    clock: Arc<dyn Clock>,
    failures: CounterFamily,
    notifications: CounterFamily,
    routes: Arc<Routes>,
    hasher: Arc<Hasher>,
    throttle: Arc<Throttle>,
    local: Arc<LocalAdministrator>,
    session_lifetime: Duration,
}

/// Somebody who proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// A person's name, `token:` and a token's name, or [`LOCAL_ADMINISTRATOR`].
    pub name: String,
    /// What they may do.
    pub role: Role,
}

impl Principal {
    /// Whether their role has this permission.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.role.allows(permission)
    }

    /// Them as the author of an action.
    #[must_use]
    pub fn actor(&self, address: Option<IpAddr>) -> Actor {
        Actor { name: self.name.clone(), address }
    }
}

/// Why somebody was not let in. People see one message for all of them; the metric
/// `keng_auth_failures_total` and the audit log tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Unknown person or wrong password.
    BadPassword,
    /// Somebody whose account is disabled.
    Disabled,
    /// No such session, or it has ended.
    BadSession,
    /// No such token, or it was revoked.
    BadToken,
    /// A token whose time is over.
    ExpiredToken,
    /// A setup link that is wrong, used or too old.
    BadSetupLink,
    /// Too many attempts.
    Throttled,
}

impl Refusal {
    /// The value of the metric's label `reason`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BadPassword => "bad_password",
            Self::Disabled => "disabled",
            Self::BadSession => "bad_session",
            Self::BadToken => "bad_token",
            Self::ExpiredToken => "expired_token",
            Self::BadSetupLink => "bad_setup_link",
            Self::Throttled => "throttled",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadPassword | Self::Disabled => "the name or the password is wrong",
            Self::BadSession => "the session has ended: log in again",
            Self::BadToken | Self::ExpiredToken => "the token is not valid",
            Self::BadSetupLink => "the setup link is used or too old: restart keng for a new one",
            Self::Throttled => "too many attempts",
        })
    }
}

impl std::error::Error for Refusal {}

impl People {
    pub(crate) fn open(
        dir: &Path,
        store: Store,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
        routes: Arc<Routes>,
        session_lifetime: Duration,
    ) -> Result<Self, Error> {
        Ok(Self {
            store,
            clock,
            failures: metrics.auth_failures.clone(),
            notifications: metrics.notifications.clone(),
            routes,
            hasher: Arc::new(Hasher::default()),
            throttle: Arc::new(Throttle::default()),
            local: Arc::new(LocalAdministrator::open(dir)?),
            session_lifetime,
        })
    }

    /// Where the command line on this machine finds its token.
    #[must_use]
    pub fn local_token_path(&self) -> &PathBuf {
        self.local.path()
    }

    /// Counts a refusal and makes it an error.
    fn refuse(&self, refusal: Refusal) -> Error {
        self.failures.with(&[refusal.reason()]).inc();
        Error::Refused(refusal)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
